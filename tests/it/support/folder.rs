//! A project folder with three targets: a SQLite payroll, a CSV badge list, a REST directory.
use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::rest::RestTarget;

/// A folder in a temporary place; the REST service runs as long as it lives.
pub struct Folder {
    dir: TempDir,
    /// The third target.
    pub rest: RestTarget,
}

/// 32 bytes in base64: the key of every test folder.
pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const COMPENSATE: &str = r"
if !compensating && !syncResults.success {
    revert();
}
";

impl Folder {
    /// A folder with a managed type `user` (`userName` needed; `mail`, `title`, `salary`; `pin` is
    /// confidential) that goes to `system/payroll/employee`, `system/badges/badge` and
    /// `system/directory/person`, in this order.
    pub async fn new() -> Self {
        let folder = Self {
            dir: TempDir::new().unwrap(),
            rest: RestTarget::start().await,
        };
        folder.write(
            "recant.toml",
            &format!("[server]\nlisten = \"127.0.0.1:0\"\n\n[secrets]\nkey = \"{KEY}\"\n"),
        );
        folder.write_json("conf/managed.json", &managed());
        folder.write_json("conf/sync.json", &mappings());
        for (name, connector) in connectors(&folder.rest.url()) {
            folder.write_json(&format!("conf/connectors/{name}.json"), &connector);
        }
        folder.write("hooks/compensate.rhai", COMPENSATE);
        folder.write("badges.csv", "login,name\n");
        folder
            .payroll("create table employee (id text primary key, name text, title text, salary integer)")
            .await;
        folder
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file, with the folders that lead to it.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a JSON file.
    pub fn write_json(&self, file: &str, value: &Value) {
        self.write(file, &serde_json::to_string_pretty(value).unwrap());
    }

    /// Runs a statement on the payroll database.
    pub async fn payroll(&self, statement: &'static str) {
        let mut connection = self.connect().await;
        connection.execute(statement).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The payroll's rows by id.
    pub async fn employees(&self) -> BTreeMap<String, Value> {
        let mut connection = self.connect().await;
        let rows = sqlx::query("select id, name, title, salary from employee")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        rows.into_iter()
            .map(|row| {
                let employee = json!({
                    "name": row.get::<Option<String>, _>("name"),
                    "title": row.get::<Option<String>, _>("title"),
                    "salary": row.get::<Option<i64>, _>("salary"),
                });
                (row.get("id"), employee)
            })
            .collect()
    }

    /// The lines of the badge list, without the first, sorted.
    pub fn badges(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path().join("badges.csv")).unwrap();
        let mut lines: Vec<_> = text.lines().skip(1).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.path().join("payroll.db"))
            .create_if_missing(true);
        SqliteConnection::connect_with(&options).await.unwrap()
    }
}

fn managed() -> Value {
    json!({"objects": [{
        "name": "user",
        "schema": {
            "type": "object",
            "required": ["userName"],
            "properties": {
                "userName": {"type": "string", "minLength": 1},
                "mail": {"type": "string"},
                "title": {"type": "string"},
                "salary": {"type": "integer"},
                "pin": {"type": "string", "confidential": true},
            },
        },
        "onSync": {"type": "text/rhai", "file": "compensate.rhai"},
    }]})
}

fn mappings() -> Value {
    let property = |source: &str, target: &str| json!({"source": source, "target": target});
    json!({"mappings": [
        {
            "name": "user_payroll",
            "source": "managed/user",
            "target": "system/payroll/employee",
            "properties": [
                property("userName", "name"),
                property("title", "title"),
                property("salary", "salary"),
            ],
        },
        {
            "name": "user_badges",
            "source": "managed/user",
            "target": "system/badges/badge",
            "properties": [property("userName", "name")],
        },
        {
            "name": "user_directory",
            "source": "managed/user",
            "target": "system/directory/person",
            "properties": [property("userName", "name"), property("mail", "mail")],
        },
    ]})
}

fn connectors(rest: &str) -> [(&'static str, Value); 3] {
    let retry = json!({"attempts": 2, "baseMs": 5});
    [
        (
            "payroll",
            json!({
                "type": "sql",
                "url": "sqlite://payroll.db",
                "retry": retry,
                "objects": {"employee": {"table": "employee", "key": "id"}},
            }),
        ),
        (
            "badges",
            json!({
                "type": "csv",
                "file": "badges.csv",
                "retry": retry,
                "objects": {"badge": {"key": "login"}},
            }),
        ),
        (
            "directory",
            json!({
                "type": "rest",
                "baseUrl": rest,
                "timeoutMs": 5000,
                "retry": retry,
                "objects": {"person": {
                    "path": "/people",
                    "idAttribute": "id",
                    "create": "put",
                    "update": "put",
                    "list": {"itemsPointer": "/items"},
                }},
            }),
        ),
    ]
}
