//! Filling and reading the two databases directly, past Recant.
use std::fmt::Write as _;

use futures::TryStreamExt as _;
use recant::{recon::classify::pair_digest, sync::fingerprint};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Row as _, SqlitePool};

/// How many rows one statement fills in.
const ROWS: usize = 500;

/// A database of one of the two kinds.
pub enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Database {
    pub async fn open(url: &str) -> Self {
        if url.starts_with("postgres") {
            Self::Postgres(PgPool::connect(url).await.unwrap())
        } else {
            Self::Sqlite(SqlitePool::connect(url).await.unwrap())
        }
    }

    pub async fn run(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        match self {
            Self::Sqlite(pool) => drop(pool.execute(statement).await.unwrap()),
            Self::Postgres(pool) => drop(pool.execute(statement).await.unwrap()),
        }
    }

    /// Reads every row, one at a time.
    pub async fn read(&self, query: &'static str) {
        let mut bytes = 0;
        match self {
            Self::Sqlite(pool) => {
                let mut rows = sqlx::query(query).fetch(pool);
                while let Some(row) = rows.try_next().await.unwrap() {
                    for column in 0..row.len() {
                        bytes += row.get::<String, _>(column).len();
                    }
                }
            }
            Self::Postgres(pool) => {
                let mut rows = sqlx::query(query).fetch(pool);
                while let Some(row) = rows.try_next().await.unwrap() {
                    for column in 0..row.len() {
                        bytes += row.get::<String, _>(column).len();
                    }
                }
            }
        }
        assert!(bytes > 0);
    }

    pub async fn create_people(&self) {
        self.run(
            "create table person (id varchar(40) primary key, name varchar(60), mail varchar(60), \
             title varchar(60), department varchar(60), salary varchar(20))",
        )
        .await;
    }
}

/// Pairs that agree, and what tells so.
pub async fn fill(store: &Database, target: &Database, version: &str, size: usize) {
    for from in (0..size).step_by(ROWS) {
        let mut people = String::from("insert into person values ");
        let mut objects = String::from(
            "insert into managed_object (type, id, rev, created_at, updated_at, body) values ",
        );
        let mut links =
            String::from("insert into link (link_type, qualifier, first_id, second_id) values ");
        let mut digests =
            String::from("insert into link_digest (mapping, qualifier, first_id, digest) values ");
        for number in from..(from + ROWS).min(size) {
            let comma = if number == from { "" } else { ", " };
            let id = format!("{number:08}");
            let (name, mail) = (format!("Person {number}"), format!("p{number}@example.org"));
            let (title, department) = ("Engineer", format!("Department {}", number % 9));
            let salary = (40_000 + number % 5_000).to_string();
            let person = json!({"name": name, "mail": mail, "title": title,
                "department": department, "salary": salary});
            let revision = format!("{number:032x}");
            let body = json!({"_id": id, "_rev": revision, "name": name, "mail": mail,
                "title": title, "department": department, "salary": salary});
            let digest = pair_digest(
                version,
                &id,
                &revision,
                &fingerprint(person.as_object().unwrap()),
            );
            let _ = write!(
                people,
                "{comma}('{id}', '{name}', '{mail}', '{title}', '{department}', '{salary}')"
            );
            let _ = write!(
                objects,
                "{comma}('user', '{id}', '{revision}', 1, 1, '{body}')"
            );
            let _ = write!(links, "{comma}('people', 'default', '{id}', '{id}')");
            let _ = write!(digests, "{comma}('people', 'default', '{id}', '{digest}')");
        }
        target.run(&people).await;
        for statement in [objects, links, digests] {
            store.run(&statement).await;
        }
    }
    for (database, tables) in [
        (store, &["managed_object", "link", "link_digest"][..]),
        (target, &["person"]),
    ] {
        for table in tables {
            database.run(&format!("analyze {table}")).await;
        }
    }
}
