//! What the three targets hold, read from themselves: the demo's claims are checked against this.
use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    super::output::{Failure, Result},
    directory::Directory,
    folder::{Folder, cannot},
};
use crate::model::Object;

/// Everything that the three targets hold: target, then id, then attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets(BTreeMap<&'static str, BTreeMap<String, Object>>);

/// The targets in the order of the mappings.
pub const NAMES: [&str; 3] = ["payroll", "badges", "directory"];

impl Targets {
    /// Reads all three, past Recant and its connectors.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub async fn read(folder: &Folder, directory: &Directory) -> Result<Self> {
        let [payroll, badges, people] = NAMES;
        Ok(Self(BTreeMap::from([
            (payroll, employees(&folder.payroll_file()).await?),
            (badges, cards(&folder.path.join("badges.csv"))?),
            (people, directory.people()),
        ])))
    }

    /// What one target says about one person.
    pub fn person(&self, target: &str, id: &str) -> Option<&Object> {
        self.0.get(target)?.get(id)
    }

    /// An attribute as one target holds it, in words.
    pub fn attribute(&self, target: &str, id: &str, name: &str) -> String {
        super::super::table::short(self.person(target, id).and_then(|object| object.get(name)))
    }

    /// How many records each target holds, in order.
    pub fn counts(&self) -> Vec<usize> {
        NAMES
            .iter()
            .map(|name| self.0.get(name).map_or(0, BTreeMap::len))
            .collect()
    }

    /// The same without one person.
    pub fn without(&self, id: &str) -> Self {
        let mut others = self.clone();
        for target in others.0.values_mut() {
            target.remove(id);
        }
        others
    }
}

async fn employees(file: &Path) -> Result<BTreeMap<String, Object>> {
    let rows = async {
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let rows = sqlx::query("select id, name, department, salary from employee")
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        rows.iter()
            .map(employee)
            .collect::<std::result::Result<_, sqlx::Error>>()
    };
    rows.await
        .map_err(|error: sqlx::Error| cannot("read", file, &error))
}

fn employee(row: &sqlx::sqlite::SqliteRow) -> std::result::Result<(String, Object), sqlx::Error> {
    let mut object = Object::new();
    for name in ["name", "department"] {
        object.insert(name.to_owned(), json!(row.try_get::<String, _>(name)?));
    }
    object.insert("salary".to_owned(), json!(row.try_get::<i64, _>("salary")?));
    Ok((row.try_get("id")?, object))
}

fn cards(file: &Path) -> Result<BTreeMap<String, Object>> {
    let bytes = fs::read(file).map_err(|error| cannot("read", file, &error))?;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let mut found = BTreeMap::new();
    for row in reader.deserialize::<BTreeMap<String, Value>>() {
        let row = row.map_err(|error| cannot("read", file, &error))?;
        let mut object: Object = row.into_iter().collect();
        let badge = object.remove("badge").and_then(|id| match id {
            Value::String(id) => Some(id),
            _ => None,
        });
        let badge = badge
            .ok_or_else(|| Failure::Other(format!("{}: a row has no badge", file.display())))?;
        found.insert(badge, object);
    }
    Ok(found)
}
