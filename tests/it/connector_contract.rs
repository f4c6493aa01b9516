//! One suite for all connectors, against real targets.
mod changes;
mod csv_bytes;
mod csv_faults;
mod faults;
mod ldap;
mod ldap_changes;
mod ldap_groups;
mod ldap_guards;
mod ldap_values;
mod rest_answers;
mod rest_faults;
mod rest_server;
mod rest_styles;
mod scim_dialects;
mod scim_keys;
mod scim_pieces;
mod scim_server;
mod sql_details;
mod suite;
mod words;

use std::path::Path;

use recant::connectors::{Settings, SharedConnector, open};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection, SqliteConnection};
use suite::Subject;

use crate::support::{people::People, servers};

/// A connector out of what a file in `conf/connectors` would say.
pub fn connector(value: &Value, folder: &Path) -> SharedConnector {
    let settings =
        Settings::parse("subject", value, folder).unwrap_or_else(|problems| panic!("{problems:?}"));
    open(&settings).expect("a connector")
}

/// Runs statements on a database, one after the other.
pub async fn execute(url: &str, statements: &[&str]) {
    for statement in statements {
        let query = AssertSqlSafe((*statement).to_owned());
        if url.starts_with("postgres") {
            let mut connection = PgConnection::connect(url).await.expect(url);
            connection.execute(query).await.map(drop)
        } else if url.starts_with("mysql") {
            let mut connection = MySqlConnection::connect(url).await.expect(url);
            connection.execute(query).await.map(drop)
        } else {
            let mut connection = SqliteConnection::connect(url).await.expect(url);
            connection.execute(query).await.map(drop)
        }
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// A connector to the table `people` at a URL.
pub fn sql_settings(url: &str) -> Value {
    json!({"type": "sql", "url": url, "timeoutMs": 10000,
        "objects": {"account": {"table": "people", "key": "login"}}})
}

/// A fresh SQLite file; the folder lives as long as the test holds it.
pub async fn sqlite(table: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("hr.db").display()
    );
    execute(&url, &[table]).await;
    (folder, url)
}

pub const SQLITE_TABLE: &str = "create table people (login text primary key, name text not null, \
    mail text unique, note text, age integer check (age > -5), salary decimal(12, 2), weight real, \
    active boolean, born date, seen timestamp)";
pub const POSTGRES_TABLE: &str = "create table people (login text primary key, \
    name varchar(80) not null, mail text unique, note text, age int check (age > -5), \
    salary numeric(12, 2), weight float8, active boolean, born date, seen timestamptz)";
pub const MARIADB_TABLE: &str = "create table people (\
    login varchar(120) character set utf8mb4 collate utf8mb4_bin primary key, \
    name varchar(80) not null, mail varchar(190) unique, note longtext, age int check (age > -5), \
    salary decimal(12, 2), weight double, active boolean, born date, seen timestamp(6) null) \
    character set utf8mb4";

fn sql_subject(url: &str) -> Subject {
    Subject {
        connector: connector(&sql_settings(url), Path::new("/")),
        renames: true,
        versions: false,
        types: true,
    }
}

#[tokio::test]
async fn a_sqlite_table_keeps_the_contract() {
    let (_folder, url) = sqlite(SQLITE_TABLE).await;
    suite::run(&sql_subject(&url)).await;
}

#[tokio::test]
async fn a_postgres_table_keeps_the_contract() {
    let Some(server) = servers::postgres_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    execute(&url, &[POSTGRES_TABLE]).await;
    suite::run(&sql_subject(&url)).await;
}

#[tokio::test]
async fn a_mariadb_table_keeps_the_contract() {
    let Some(server) = servers::mariadb_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    execute(&url, &[MARIADB_TABLE]).await;
    suite::run(&sql_subject(&url)).await;
}

#[tokio::test]
async fn a_csv_file_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("badges.csv");
    let header = "note,login,name,mail,age,salary,weight,active,born,seen\r\n";
    std::fs::write(&file, header).expect("a file");
    let value = json!({"type": "csv", "file": "badges.csv",
        "objects": {"account": {"key": "login"}}});
    let subject = Subject {
        connector: connector(&value, folder.path()),
        renames: true,
        versions: false,
        types: false,
    };
    suite::run(&subject).await;
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.starts_with(header), "{text}");
}

#[tokio::test]
async fn a_rest_service_keeps_the_contract() {
    for (create, update) in [("put", "put"), ("put", "patch"), ("post", "patch")] {
        let people = People::start().await;
        let value = People::settings(people.address, create, update);
        let subject = Subject {
            connector: connector(&value, Path::new("/")),
            renames: false,
            versions: true,
            types: true,
        };
        suite::run(&subject).await;
    }
}
