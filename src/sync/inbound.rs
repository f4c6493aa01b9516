//! What a record of an external system means for managed objects, and carrying that out.
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    mapping::{DeletionBounds, Mapping, Occasion, Reconciliation},
    model::{
        ChangeKind, ChangeRequest, Container, Lineage, Object, OperationId, PlannedRow, Purpose,
        ResourceName, Step, object::ID,
    },
};

use super::{
    Engine, Setup,
    admit::Attempt,
    change::{Change, Context},
    error::{Answer, Refusal},
    fingerprint::Fingerprint,
    inspect::requested_of,
    plan::inspect::Sight,
    run::interrupted,
    version::sync_version,
};

/// The pause while a change of an object is in flight.
const PAUSE: Duration = Duration::from_millis(20);
/// The member of a refusal's detail that names the object that is newer than what came in.
const NEWER: &str = "newerObject";

/// A record of an external system, as it came from there.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// Where it came from, `system/CONNECTOR/CLASS`.
    pub source: Container,
    /// Its id there.
    pub id: String,
    /// What it is; none: it is gone.
    pub record: Option<Object>,
    /// Who brings it.
    pub caller: String,
    /// What ties audit entries together.
    pub transaction_id: String,
}

/// What a record means.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// The managed object that it is about, where there is one already.
    pub object: Option<ResourceName>,
    /// The change that it asks for; none: the object holds all of it.
    pub request: Option<ChangeRequest>,
    /// What the mapping made of it; its link is set when the change stands.
    pub row: PlannedRow,
}

/// The mapping that brings records of a container in.
fn mapping_from<'a>(setup: &'a Setup, source: &Container) -> Option<&'a Arc<Mapping>> {
    let mappings = setup.mappings.iter();
    let mut inbound = mappings.filter(|mapping| mapping.enable_sync && mapping.source == *source);
    inbound.find(|mapping| matches!(mapping.target, Container::Managed(_)))
}

impl Engine {
    /// The name of the mapping that brings records of a container in.
    #[must_use]
    pub fn brings_in(&self, source: &Container) -> Option<String> {
        let setup = self.setup();
        mapping_from(&setup, source).map(|mapping| mapping.name.clone())
    }

    /// The version of the mapping that brings records of a container in.
    #[must_use]
    pub fn version_of(&self, source: &Container) -> Option<Fingerprint> {
        let setup = self.setup();
        mapping_from(&setup, source).map(|mapping| sync_version(mapping))
    }

    /// How many records of a container may go at once without anybody's word, and whether all of them
    /// may: by the mapping that brings them in.
    #[must_use]
    pub fn deletion_bounds_of(&self, source: &Container) -> (DeletionBounds, bool) {
        let setup = self.setup();
        let mapping = mapping_from(&setup, source);
        let default = || (Reconciliation::default().deletion_bounds(), false);
        mapping.map_or_else(default, |mapping| {
            let bounds = mapping.reconciliation.deletion_bounds();
            (bounds, mapping.allow_empty_source_set)
        })
    }

    /// What an external record means under the first enabled mapping of its class. Reads only.
    ///
    /// # Errors
    /// 404 where no mapping brings such records in; a mapping's own failure; 503 where the store
    /// cannot be read.
    pub async fn meaning(&self, incoming: &Incoming) -> Result<Meaning, Refusal> {
        let setup = self.setup();
        let Some(mapping) = mapping_from(&setup, &incoming.source) else {
            let message = format!("no mapping brings records of {} in", incoming.source);
            return Err(Refusal::new(404, message));
        };
        let types = [mapping.link_type.clone()];
        let own = self.store().links_of_source(&types, &incoming.id).await?;
        let links = self.links_under(mapping, &incoming.id, own).await?;
        let context = Context::new(self.unmoved(incoming), Arc::clone(&setup));
        let sight = Sight::Source(&links, &[]);
        let examined = self.examine(&context, mapping, sight, Occasion::Change);
        let mut rows = examined.await.into_iter().map(|one| one.row);
        match (rows.next(), rows.next()) {
            (Some(row), None) => meaning_of(row, incoming),
            (None, _) => Err(Refusal::new(
                409,
                "the mapping knows no link qualifier for this",
            )),
            (Some(_), Some(_)) => {
                let message = "one record becomes one object: the mapping gives several qualifiers";
                Err(Refusal::new(409, message))
            }
        }
    }

    /// Waits until no change of an object is in flight, on any node; tells whether one was.
    ///
    /// # Errors
    /// 409 where it takes too long, 503 where the store cannot be read.
    pub async fn until_settled(&self, object: &ResourceName) -> Result<bool, Refusal> {
        let deadline = Instant::now() + self.lanes().bounds().patience;
        let mut has_waited = false;
        while self.store().admission(object).await?.in_flight.is_some() {
            if Instant::now() >= deadline {
                return Err(Refusal::busy());
            }
            has_waited = true;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(has_waited)
    }

    /// Refuses what an external system changed before the object was modified last. In the object's
    /// lane, so that a change that was under way when the record was looked at counts as it ended.
    pub(super) async fn give_way(&self, attempt: &Attempt) -> Result<(), Refusal> {
        let Some(brought_at) = attempt.brought_at else {
            return Ok(());
        };
        let object = &attempt.object;
        match self.store().modified_at(object).await? {
            Some(modified) if modified > brought_at => {
                let message = format!("{object} is newer than the record that was to change it");
                Err(Refusal::new(412, message).with_detail(json!({NEWER: object.to_string()})))
            }
            _ => Ok(()),
        }
    }

    /// Carries out what a record that was changed at `brought_at` means: a change like any other,
    /// which sets the record's link when it stands and is not written back to where the record came
    /// from.
    pub async fn change_from(
        &self,
        id: OperationId,
        (source, brought_at): (&Container, DateTime<Utc>),
        request: ChangeRequest,
        row: PlannedRow,
    ) -> Answer {
        let lineage = Lineage {
            came_from: Some(source.clone()),
            ..Lineage::root(id)
        };
        let origin = PlannedRow {
            step: Step::Nothing,
            ..row
        };
        let attempt = Attempt {
            origin: Some(Box::new(origin)),
            brought_at: Some(brought_at),
            ..self.attempt(id, lineage, request)
        };
        let engine = self.clone();
        let task = self.parts.tasks.spawn(async move {
            let _work = engine.parts.working.begin(id);
            Box::pin(engine.all_the_way(attempt, None)).await
        });
        task.await.unwrap_or_else(|_| interrupted(id))
    }

    /// The record as the source of a change that moves nothing: mappings and their scripts see it.
    fn unmoved(&self, incoming: &Incoming) -> Change {
        let id = self.fresh_operation();
        Change {
            id,
            lineage: Lineage {
                purpose: Purpose::Reconciliation,
                ..Lineage::root(id)
            },
            object: incoming.source.object(&incoming.id),
            kind: ChangeKind::Update,
            notified: true,
            caller: incoming.caller.clone(),
            transaction_id: incoming.transaction_id.clone(),
            idempotency: None,
            request: json!({"method": "integration"}),
            old: None,
            new: named(incoming),
            started_at: self.clock().now(),
            attempt: 1,
        }
    }
}

/// Whether a change was refused because its object is newer than what came in.
#[must_use]
pub fn gave_way(answer: &Answer) -> bool {
    let refused = answer.result.as_ref().err();
    let detail = refused.and_then(|refusal| refusal.detail.as_ref());
    detail.is_some_and(|detail| detail.get(NEWER).is_some())
}

fn meaning_of(row: PlannedRow, incoming: &Incoming) -> Result<Meaning, Refusal> {
    let object = row.target_id.as_deref().map(|id| row.target.object(id));
    let requested = match &row.step {
        Step::Failed { cause } => {
            let code = cause.code.as_u64();
            let code = code.and_then(|code| u16::try_from(code).ok());
            return Err(Refusal::new(code.unwrap_or(409), cause.message.clone()));
        }
        Step::Nothing => None,
        Step::Write { .. } => {
            Some(requested_of(&row).map_err(|message| Refusal::new(400, message))?)
        }
    };
    let request = requested.map(|requested| ChangeRequest {
        unseen: Vec::new(),
        container: row.target.clone(),
        requested,
        caller: incoming.caller.clone(),
        transaction_id: incoming.transaction_id.clone(),
        idempotency: None,
        request: json!({
            "method": "integration",
            "resourcePath": object.as_ref().map(ToString::to_string),
            "additionalParameters": {"mapping": row.mapping, "source": incoming.source},
        }),
    });
    Ok(Meaning {
        object,
        request,
        row,
    })
}

/// The record with its id, as scripts and properties see it.
fn named(incoming: &Incoming) -> Option<Object> {
    let record = incoming.record.as_ref()?;
    let mut named = Object::with_capacity(record.len() + 1);
    named.insert(ID.to_owned(), json!(incoming.id));
    named.extend(record.clone().into_iter().filter(|(name, _)| name != ID));
    Some(named)
}
