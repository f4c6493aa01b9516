//! Changes of other objects that hooks ask for: kept in the journal, carried out after their parent.
use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    hooks::FollowUp,
    model::{
        ChangeRequest, Container, Object, OperationId, OperationRecord, Outcome, Precondition,
        Purpose, Requested, ResourceName, patch::Patch, record::FollowUpRecord,
    },
    store::{Holder, Settlement, StoredOperation, Ticket},
};

use super::{
    Engine,
    apply::LeaseLost,
    change::{Change, recorded},
    error::Refusal,
    guard,
};

/// The name of no type: types are named by admins, who cannot use `$`.
const FOLLOW_UPS: &str = "$follow-ups";

/// How long to wait before a store that fails is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How a change that a hook asked for ended.
type Carried = Result<Option<Outcome>, (Option<Outcome>, Refusal)>;

/// The in-flight row of a change's follow-ups: it names no real object.
pub(super) fn row(parent: OperationId) -> ResourceName {
    Container::managed(FOLLOW_UPS).object(&parent.to_string())
}

/// Whether an in-flight row is that of follow-ups.
pub(super) fn is_row(object: &ResourceName) -> bool {
    object.container == Container::managed(FOLLOW_UPS)
}

/// A change that a hook asked for, as the journal keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    /// The id that the change will have: once a change of this id is known, it is not begun again.
    pub id: OperationId,
    /// `create`, `update`, `patch` or `delete`.
    pub method: String,
    /// `managed/TYPE` or `managed/TYPE/ID`.
    pub path: String,
    /// The object, or the patch operations.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub content: Value,
}

impl Asked {
    pub(super) fn new(id: OperationId, follow_up: FollowUp) -> Self {
        let (method, path, content) = match follow_up {
            FollowUp::Create { path, object } => ("create", path, Value::Object(object)),
            FollowUp::Update { path, object } => ("update", path, Value::Object(object)),
            FollowUp::Patch {
                path, operations, ..
            } => ("patch", path, operations),
            FollowUp::Delete { path } => ("delete", path, Value::Null),
        };
        Self {
            id,
            method: method.to_owned(),
            path,
            content,
        }
    }

    /// What the parent's record says about it before it has begun.
    pub(super) fn record(&self) -> FollowUpRecord {
        FollowUpRecord {
            id: self.id,
            method: self.method.clone(),
            path: self.path.clone(),
            outcome: None,
            error: None,
        }
    }

    /// The request that it makes.
    fn request(&self, parent: &Change) -> Result<ChangeRequest, String> {
        let (container, id) = self.place()?;
        if id
            .as_ref()
            .is_some_and(|id| container.object(id) == parent.object)
        {
            return Err(format!(
                "{} is the object that changes: a hook takes its change back with revert()",
                self.path
            ));
        }
        let needed = || {
            id.clone()
                .ok_or_else(|| format!("`{}` names no object", self.path))
        };
        let requested = match self.method.as_str() {
            "create" => Requested::Create {
                id: id.clone(),
                content: self.object()?,
            },
            "update" => Requested::Replace {
                id: needed()?,
                content: self.object()?,
                precondition: Precondition::Exists,
            },
            "patch" => Requested::Patch {
                id: needed()?,
                patch: Patch::parse_crest(&self.content).map_err(|error| error.to_string())?,
                precondition: Precondition::None,
            },
            _ => Requested::Delete {
                id: needed()?,
                precondition: Precondition::None,
            },
        };
        Ok(ChangeRequest {
            unseen: Vec::new(),
            container,
            requested,
            caller: parent.caller.clone(),
            transaction_id: parent.transaction_id.clone(),
            idempotency: None,
            request: json!({
                "method": self.method,
                "resourcePath": self.path,
                "content": self.content,
                "additionalParameters": {},
            }),
        })
    }

    fn place(&self) -> Result<(Container, Option<String>), String> {
        if let Ok(name) = self.path.parse::<ResourceName>() {
            return managed_only(name.container, &self.path).map(|place| (place, Some(name.id)));
        }
        let container: Container = self
            .path
            .parse()
            .map_err(|error: crate::model::path::Error| error.to_string())?;
        managed_only(container, &self.path).map(|place| (place, None))
    }

    fn object(&self) -> Result<Object, String> {
        self.content
            .as_object()
            .cloned()
            .ok_or_else(|| "the content is no object".to_owned())
    }
}

fn managed_only(container: Container, path: &str) -> Result<Container, String> {
    match container {
        Container::Managed(_) => Ok(container),
        Container::System { .. } => Err(format!(
            "`{path}`: hooks change managed objects; targets follow by mappings"
        )),
    }
}

impl Engine {
    /// Names the changes that a hook asked for.
    pub(super) fn name_follow_ups(&self, asked: Vec<FollowUp>) -> Vec<Asked> {
        asked
            .into_iter()
            .map(|follow_up| Asked::new(OperationId(self.clock().fresh_id()), follow_up))
            .collect()
    }

    /// Carries out what hooks asked for and writes down how that ended. `node` is the life of this
    /// node that holds the parent.
    pub(super) async fn finish_follow_ups(
        &self,
        node: &str,
        parent: &Change,
        asked: &[Asked],
    ) -> Result<Ticket, LeaseLost> {
        let follow_ups = self.follow_up(node, parent, asked).await?;
        // Others may have written the parent's record meanwhile: nothing else of it may change.
        let stored = self.known(node, parent.id).await?;
        let records = stored.map(|stored| OperationRecord {
            follow_ups,
            ..stored.record
        });
        let settlement = Settlement {
            records: records.into_iter().collect(),
            release: Some(Holder {
                object: row(parent.id),
                operation: parent.id,
                node: Arc::from(node),
            }),
            ..Settlement::default()
        };
        Ok(self.store().settle(settlement))
    }

    /// Carries out what hooks asked for, in order, and gives what the parent's record says about it.
    /// A failure changes nothing about the parent.
    async fn follow_up(
        &self,
        node: &str,
        parent: &Change,
        asked: &[Asked],
    ) -> Result<Vec<FollowUpRecord>, LeaseLost> {
        let mut records = Vec::with_capacity(asked.len());
        for one in asked {
            let mut record = one.record();
            match self.until_carried_out(node, parent, one).await? {
                Ok(outcome) => record.outcome = outcome,
                Err((outcome, refusal)) => {
                    tracing::warn!(
                        operation = %parent.id, child = %one.id, path = one.path,
                        message = refusal.message, "a change that a hook asked for failed"
                    );
                    record.outcome = outcome;
                    record.error = Some(recorded(refusal.code, &refusal.message));
                }
            }
            records.push(record);
        }
        Ok(records)
    }

    /// Tries again for as long as it is the store that fails.
    async fn until_carried_out(
        &self,
        node: &str,
        parent: &Change,
        one: &Asked,
    ) -> Result<Carried, LeaseLost> {
        loop {
            // After a crash the child may have been begun already; then recovery finishes it.
            if let Some(stored) = self.known(node, one.id).await? {
                return Ok(Ok(stored.record.outcome));
            }
            match self.carry_out(parent, one).await {
                Err((_, refusal)) if refusal.is_by_store() => self.pause_for_store(node).await?,
                ended => return Ok(ended),
            }
        }
    }

    /// A change as the journal holds it; a store that fails is asked until it answers.
    async fn known(
        &self,
        node: &str,
        id: OperationId,
    ) -> Result<Option<StoredOperation>, LeaseLost> {
        loop {
            match self.store().operation(id).await {
                Ok(found) => return Ok(found),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error,
                        operation = %id, "what hooks asked for waits for the store");
                    self.pause_for_store(node).await?;
                }
            }
        }
    }

    async fn pause_for_store(&self, node: &str) -> Result<(), LeaseLost> {
        if self.store().lease_left_of(node).is_zero() {
            return Err(LeaseLost);
        }
        tokio::time::sleep(STORE_PAUSE).await;
        Ok(())
    }

    async fn carry_out(&self, parent: &Change, one: &Asked) -> Carried {
        let rejected = |message: String| (Some(Outcome::Rejected), Refusal::new(400, message));
        let lineage = parent.lineage.child(parent.id, Purpose::FollowUp);
        guard::may_follow_up(&parent.lineage).map_err(|error| rejected(error.to_string()))?;
        let request = one.request(parent).map_err(rejected)?;
        let answer = Box::pin(self.run(one.id, lineage, request, None)).await;
        match answer.result {
            Ok(_) => Ok(answer.outcome),
            Err(refusal) => Err((answer.outcome, refusal)),
        }
    }
}
