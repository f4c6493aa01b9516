//! What each system holds of one object now, read live, and what a write of it would change there.
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    model::{
        ChangeRequest, Container, Object, Precondition, Requested, ResourceName,
        object::{ID, REV},
    },
    sync::Setup,
};

use super::{App, Error};

/// How long the plan may take, all targets together.
const PATIENCE: Duration = Duration::from_secs(20);

/// How one system stands to an object.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The mapping, with its link qualifier where that is not `default`.
    pub mapping: String,
    /// `system/NAME/CLASS`.
    pub target: String,
    /// The target object's id, where it is known.
    pub target_id: Option<String>,
    /// The situation, or why nothing is to be written.
    pub note: String,
    /// What it holds now, masked (none: nothing), or why that could not be read.
    pub now: Result<Option<Object>, String>,
    /// What it would hold after a write of the object as it is; none: what it holds.
    pub wanted: Option<Object>,
    /// What would be written: `create`, `update`, `delete`; none: nothing.
    pub operation: Option<String>,
}

/// How all systems stand to an object.
#[derive(Debug, Clone, Default)]
pub struct Standings {
    /// A row for every mapping of the object's type.
    pub rows: Vec<Standing>,
    /// Why it could not be said what would be written; the rows tell what is there all the same.
    pub unplanned: Option<String>,
}

impl App {
    /// Reads what each system holds of an object and compares it with what it should hold. Writes
    /// nothing, to the audit neither.
    ///
    /// # Errors
    /// 404 for an unknown type, 503 where the store cannot be read.
    pub async fn standings(&self, name: &ResourceName, caller: &str) -> Result<Standings, Error> {
        self.managed(&name.container)?;
        let stored = self.store().object(name).await?;
        let planned = match stored {
            Some(stored) => self.replanned(name, stored.object, caller).await,
            None => Err("the object is not there".to_owned()),
        };
        Ok(match planned {
            Ok(plan) => Standings {
                rows: self.planned_rows(&plan).await,
                unplanned: None,
            },
            Err(why) => Standings {
                rows: self.linked_rows(name).await?,
                unplanned: Some(why),
            },
        })
    }

    /// The plan of writing the object as it is.
    async fn replanned(
        &self,
        name: &ResourceName,
        mut object: Object,
        caller: &str,
    ) -> Result<Value, String> {
        for member in [ID, REV] {
            object.shift_remove(member);
        }
        let request = ChangeRequest {
            container: name.container.clone(),
            requested: Requested::Replace {
                id: name.id.clone(),
                content: object,
                precondition: Precondition::Exists,
            },
            caller: caller.to_owned(),
            transaction_id: self.clock().fresh_id().to_string(),
            idempotency: None,
            unseen: Vec::new(),
            request: json!({"method": "update", "resourcePath": name}),
        };
        let planning = Box::pin(self.engine().dry_run(request));
        match tokio::time::timeout(PATIENCE, planning).await {
            Ok(Ok(plan)) => Ok(plan),
            Ok(Err(refusal)) => Err(Error::from(refusal).message),
            Err(_) => Err(format!("no plan within {} s", PATIENCE.as_secs())),
        }
    }

    async fn planned_rows(&self, plan: &Value) -> Vec<Standing> {
        let rows = ["writes", "skipped"]
            .into_iter()
            .filter_map(|list| plan.get(list)?.as_array());
        let mut standings: Vec<Standing> =
            join_all(rows.flatten().map(|row| self.planned(row))).await;
        let setup = self.engine().setup();
        standings.sort_by_key(|one| place(&setup, &one.mapping));
        standings
    }

    async fn planned(&self, row: &Value) -> Standing {
        let text = |member: &str| row.get(member).and_then(Value::as_str).map(str::to_owned);
        let object = |member: &str| row.get(member).and_then(Value::as_object).cloned();
        let target = text("target").unwrap_or_default();
        let target_id = text("targetId");
        let operation = text("operation");
        let now = match (&operation, &target_id) {
            (Some(_), _) => Ok(object("before")),
            (None, Some(id)) => self.held(&target, id).await,
            (None, None) => Ok(None),
        };
        let mapping = text("mapping").unwrap_or_default();
        Standing {
            mapping: match text("linkQualifier").filter(|one| one != "default") {
                Some(qualifier) => format!("{mapping} ({qualifier})"),
                None => mapping,
            },
            note: text("situation").unwrap_or_default(),
            wanted: object("after"),
            target,
            target_id,
            now,
            operation,
        }
    }

    /// What the targets hold by the object's links, where there is no plan.
    async fn linked_rows(&self, name: &ResourceName) -> Result<Vec<Standing>, Error> {
        let setup = self.engine().setup();
        let own = setup
            .mappings
            .iter()
            .filter(|mapping| mapping.source == name.container);
        let mappings: Vec<_> = own.cloned().collect();
        let types: Vec<String> = mappings
            .iter()
            .map(|mapping| mapping.link_type.clone())
            .collect();
        let links = self.store().links_of_source(&types, &name.id).await?;
        let rows = mappings.iter().map(|mapping| {
            let link = links
                .iter()
                .find(|link| link.link_type == mapping.link_type);
            let target = mapping.target.to_string();
            let id = link.map_or_else(|| name.id.clone(), |link| link.second_id.clone());
            async move {
                Standing {
                    mapping: mapping.name.clone(),
                    now: self.held(&target, &id).await,
                    note: String::new(),
                    wanted: None,
                    operation: None,
                    target_id: Some(id),
                    target,
                }
            }
        });
        Ok(join_all(rows).await)
    }

    async fn held(&self, target: &str, id: &str) -> Result<Option<Object>, String> {
        let container: Container = target
            .parse()
            .map_err(|_| format!("{target} is no target"))?;
        let found = match container {
            Container::System { .. } => self.read_target(&container.object(id)).await,
            Container::Managed(_) => self.read(&container.object(id), "").await,
        };
        match found {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code == 404 => Ok(None),
            Err(error) => Err(error.message),
        }
    }
}

/// The place of a mapping among all.
fn place(setup: &Setup, mapping: &str) -> usize {
    let name = mapping.split(" (").next().unwrap_or(mapping);
    let found = setup.mappings.iter().position(|one| one.name == name);
    found.unwrap_or(usize::MAX)
}
