//! The demo's project folder and the two targets that live in files.
use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sqlx::{
    Connection, Executor, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

use super::{
    super::output::{Failure, Result, with_causes},
    directory::TOKEN,
};

/// The standard compensation hook, as it ships.
const COMPENSATE: &str = include_str!("../../../hooks/compensate.rhai");

const PROJECT: &str = "\
# A project folder of Recant, made by `recant demo`.
[store]
url = \"sqlite://recant.db\"
";

const EMPLOYEES: &str = "\
create table employee (
    id text primary key,
    name text not null,
    department text not null,
    salary integer not null check (salary > 0)
)";

const CLOSE_THE_BOOKS: &str = "\
create trigger books_are_closed before update of salary on employee
when new.salary < old.salary
begin
    select raise(abort, 'the books are closed: no salary may fall');
end";

const OPEN_THE_BOOKS: &str = "drop trigger books_are_closed";

/// A folder that goes away with this value, unless it is kept.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    keep: Keep,
}

/// Whether the folder stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It stays.
    Yes,
    /// It goes.
    No,
}

impl Folder {
    /// Makes the folder, named after `name`, with the project and both file targets.
    ///
    /// # Errors
    /// The machine's folder for temporary files cannot be written.
    pub async fn make(name: &str, directory: std::net::SocketAddr, keep: Keep) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("recant-demo-{name}"));
        let folder = Self { path, keep };
        for inside in ["conf/connectors", "hooks"] {
            let inside = folder.path.join(inside);
            fs::create_dir_all(&inside).map_err(|error| cannot("make", &inside, &error))?;
        }
        folder.write("recant.toml", PROJECT)?;
        folder.write("hooks/compensate.rhai", COMPENSATE)?;
        folder.write("badges.csv", "badge,holder,zone\n")?;
        folder.json("conf/managed.json", &managed())?;
        folder.json("conf/sync.json", &sync())?;
        for (name, settings) in connectors(directory) {
            folder.json(&format!("conf/connectors/{name}.json"), &settings)?;
        }
        folder.payroll(EMPLOYEES).await?;
        Ok(folder)
    }

    /// The payroll database.
    pub fn payroll_file(&self) -> PathBuf {
        self.path.join("payroll.db")
    }

    /// From now on payroll lets no salary fall.
    ///
    /// # Errors
    /// The database does not take it.
    pub async fn close_the_books(&self) -> Result<()> {
        self.payroll(CLOSE_THE_BOOKS).await
    }

    /// Takes that back.
    ///
    /// # Errors
    /// The database does not take it.
    pub async fn open_the_books(&self) -> Result<()> {
        self.payroll(OPEN_THE_BOOKS).await
    }

    async fn payroll(&self, statement: &'static str) -> Result<()> {
        let file = self.payroll_file();
        let done = async {
            let options = SqliteConnectOptions::new()
                .filename(&file)
                .journal_mode(SqliteJournalMode::Wal)
                .create_if_missing(true);
            let mut connection = SqliteConnection::connect_with(&options).await?;
            connection.execute(statement).await?;
            connection.close().await
        };
        done.await
            .map_err(|error: sqlx::Error| cannot("use", &file, &error))
    }

    fn json(&self, name: &str, value: &Value) -> Result<()> {
        self.write(name, &format!("{value:#}\n"))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|error| cannot("write", &path, &error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep == Keep::No {
            // What is left of it is in the machine's folder for temporary files.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A failure that names the step and the file.
pub fn cannot(step: &str, path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::Other(format!(
        "cannot {step} {}: {}",
        path.display(),
        with_causes(error)
    ))
}

fn managed() -> Value {
    json!({
        "objects": [{
            "name": "user",
            "schema": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "mail": {"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"},
                    "title": {"type": "string"},
                    "department": {"type": "string"},
                    "salary": {"type": "integer", "minimum": 1}
                },
                "required": ["name", "department", "salary"]
            },
            "onSync": {"type": "text/rhai", "file": "compensate.rhai"}
        }]
    })
}

fn sync() -> Value {
    let upper = json!({"type": "text/rhai", "source": "source.to_upper()"});
    json!({
        "mappings": [
            {
                "name": "payroll",
                "source": "managed/user",
                "target": "system/payroll/employee",
                "properties": [
                    {"source": "name", "target": "name"},
                    {"source": "department", "target": "department"},
                    {"source": "salary", "target": "salary"}
                ]
            },
            {
                "name": "badges",
                "source": "managed/user",
                "target": "system/badges/badge",
                "properties": [
                    {"source": "name", "target": "holder"},
                    {"source": "department", "target": "zone", "transform": upper}
                ]
            },
            {
                "name": "directory",
                "source": "managed/user",
                "target": "system/directory/person",
                "properties": [
                    {"source": "name", "target": "name"},
                    {"source": "mail", "target": "mail"},
                    {"source": "title", "target": "title"},
                    {"source": "department", "target": "department"}
                ]
            }
        ]
    })
}

fn connectors(directory: std::net::SocketAddr) -> [(&'static str, Value); 3] {
    [
        (
            "payroll",
            json!({
                "type": "sql",
                "url": "sqlite://payroll.db",
                "objects": {"employee": {"table": "employee", "key": "id"}}
            }),
        ),
        (
            "badges",
            json!({
                "type": "csv",
                "file": "badges.csv",
                "objects": {"badge": {"key": "badge"}}
            }),
        ),
        (
            "directory",
            json!({
                "type": "rest",
                "baseUrl": format!("http://{directory}"),
                "auth": {"bearer": TOKEN},
                "objects": {"person": {
                    "path": "/people",
                    "idAttribute": "id",
                    "create": "put",
                    "update": "put"
                }}
            }),
        ),
    ]
}
