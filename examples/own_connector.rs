//! A target of one's own: a program brings a `Connector`, the folder says where it stands in the sync order.
//!
//! `cargo run --example own_connector`

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::{
    collections::BTreeMap, error::Error, fs, path::Path, sync::Arc, sync::Mutex, time::Duration,
};

use async_trait::async_trait;
use recant::{
    app::Builder,
    connectors::{self, Capabilities, Connector, Page, Query, Update, Written},
    model::{ChangeRequest, Container, Object, Precondition, Requested, TargetObject},
};
use serde_json::json;

/// A door system that keeps badges in memory and lets nobody called Mallory in.
#[derive(Debug, Default)]
struct Doors {
    badges: Mutex<BTreeMap<String, Object>>,
}

impl Doors {
    fn badges(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Object>> {
        self.badges
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn keep(&self, id: &str, badge: &Object) -> Result<Written, connectors::Error> {
        if badge
            .get("holder")
            .is_some_and(|holder| holder == "Mallory")
        {
            // Nothing happened here, and trying again would not help.
            return Err(connectors::Error::refused(403, "Mallory stays outside"));
        }
        self.badges().insert(id.to_owned(), badge.clone());
        Ok(Written {
            id: id.to_owned(),
            version: None,
            attributes: Some(badge.clone()),
        })
    }
}

#[async_trait]
impl Connector for Doors {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            precondition: false,
            recreate_with_id: true,
            changes: false,
        }
    }

    fn classes(&self) -> Vec<String> {
        vec!["badge".to_owned()]
    }

    async fn test(&self) -> Result<(), connectors::Error> {
        Ok(())
    }

    async fn read(&self, _: &str, id: &str) -> Result<Option<TargetObject>, connectors::Error> {
        let attributes = self.badges().get(id).cloned();
        Ok(attributes.map(|attributes| TargetObject {
            id: id.to_owned(),
            attributes,
            version: None,
        }))
    }

    async fn query(&self, _: &str, query: &Query) -> Result<Page, connectors::Error> {
        let objects = self
            .badges()
            .iter()
            .filter(|(id, _)| query.cursor.as_ref().is_none_or(|cursor| *id > cursor))
            .map(|(id, attributes)| TargetObject {
                id: id.clone(),
                attributes: attributes.clone(),
                version: None,
            })
            .filter(|badge| query.filter.matches(&badge.to_object()))
            .take(query.page_size)
            .collect::<Vec<_>>();
        let full = objects.len() == query.page_size;
        let cursor = objects
            .last()
            .filter(|_| full)
            .map(|badge| badge.id.clone());
        Ok(Page { objects, cursor })
    }

    async fn create(
        &self,
        _: &str,
        id: Option<&str>,
        badge: &Object,
    ) -> Result<Written, connectors::Error> {
        let id = id.ok_or_else(|| connectors::Error::refused(400, "a badge needs a number"))?;
        if self.badges().contains_key(id) {
            return Err(connectors::Error::refused(
                409,
                format!("badge {id} exists"),
            ));
        }
        self.keep(id, badge)
    }

    async fn update(&self, _: &str, update: &Update<'_>) -> Result<Written, connectors::Error> {
        self.keep(&update.before.id, update.after)
    }

    async fn delete(&self, _: &str, before: &TargetObject) -> Result<(), connectors::Error> {
        self.badges().remove(&before.id);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    write_folder(folder.path())?;
    let doors = Arc::new(Doors::default());
    let app = Builder::new(folder.path())
        .connector("doors", doors.clone())
        .open()
        .await?;

    let changed = app.change(put("1", "Alice")).await?;
    println!(
        "Alice: {}, the doors hold {:?}",
        changed.outcome,
        doors.badges()
    );
    match app.change(put("1", "Mallory")).await {
        Ok(changed) => println!("Mallory: {}", changed.outcome),
        Err(error) => println!("Mallory: {} ({})", error.message, error.code),
    }
    println!("the doors hold {:?}", doors.badges());
    app.close(Duration::from_secs(10)).await;
    Ok(())
}

/// A project folder whose one target is described as the program's own.
fn write_folder(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder.join("conf/connectors"))?;
    fs::write(folder.join("recant.toml"), "")?;
    let hook = "if !syncResults.success { revert(); }";
    let managed = json!({"objects": [{
        "name": "person",
        "schema": {"type": "object", "properties": {"name": {"type": "string"}}},
        "onSync": {"type": "text/rhai", "source": hook},
    }]});
    fs::write(folder.join("conf/managed.json"), managed.to_string())?;
    let sync = json!({"mappings": [{
        "name": "person_doors",
        "source": "managed/person",
        "target": "system/doors/badge",
        "properties": [{"source": "name", "target": "holder"}],
    }]});
    fs::write(folder.join("conf/sync.json"), sync.to_string())?;
    let doors = json!({"type": "custom", "objects": {"badge": {}}});
    fs::write(folder.join("conf/connectors/doors.json"), doors.to_string())
}

fn put(id: &str, name: &str) -> ChangeRequest {
    let content = json!({"name": name});
    ChangeRequest {
        unseen: Vec::new(),
        container: Container::managed("person"),
        requested: Requested::Replace {
            id: id.to_owned(),
            content: content.as_object().cloned().unwrap_or_default(),
            precondition: Precondition::None,
        },
        caller: "own_connector example".to_owned(),
        transaction_id: "example-2".to_owned(),
        idempotency: None,
        request: json!({"method": "update", "content": content}),
    }
}
