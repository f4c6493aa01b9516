//! Drift of every kind between people and a real SQL target: one reconciliation finds all of it, a
//! second one none.
//!
//! `RECANT_DRIFT_PEOPLE` says how many people (200 if unset), `RECANT_HR_DATA` names the folder with
//! `people.jsonl.gz`; without it people are invented. `RECANT_TEST_POSTGRES_URL` and
//! `RECANT_TEST_MARIADB_URL` add those targets.
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::PathBuf,
};

use futures::StreamExt as _;
use recant::model::{ChangeRequest, Precondition, Requested, recon::RunState};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::*;
use crate::support::{
    servers,
    world::{object, request},
};

const COLUMNS: [&str; 6] = ["first", "last", "title", "department", "status", "hired"];

/// People as managed objects.
fn people(count: usize) -> Vec<(String, Value)> {
    let person = |number: String, record: &Value| {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let content = json!({
            "first": text("firstName"), "last": text("lastName"), "title": text("title"),
            "department": text("department"), "status": text("status"), "hired": text("hireDate"),
        });
        (number, content)
    };
    match std::env::var_os("RECANT_HR_DATA") {
        Some(folder) => {
            let file = PathBuf::from(folder).join("people.jsonl.gz");
            let file = flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap());
            let lines = BufReader::new(file).lines().take(count);
            lines
                .map(|line| {
                    let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
                    person(record["empNo"].to_string(), &record)
                })
                .collect()
        }
        None => (0..count)
            .map(|number| {
                let record = json!({"firstName": format!("F{number}"), "lastName": "L",
                    "title": "T", "department": "D", "status": "active", "hireDate": "1990-01-01"});
                person(format!("{:05}", 10_000 + number), &record)
            })
            .collect(),
    }
}

fn folder(target: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, value: Value| {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, value.to_string()).unwrap();
    };
    std::fs::write(folder.path().join("recant.toml"), "").unwrap();
    let text = json!({"type": "string"});
    let properties: serde_json::Map<String, Value> = COLUMNS
        .iter()
        .map(|name| ((*name).to_owned(), text.clone()))
        .collect();
    write(
        "conf/managed.json",
        json!({"objects": [
        {"name": "user", "schema": {"type": "object", "properties": properties}}]}),
    );
    let properties: Vec<Value> = COLUMNS
        .iter()
        .map(|name| json!({"source": name, "target": name}))
        .collect();
    let policy = |situation: &str, action: &str| json!({"situation": situation, "action": action});
    write(
        "conf/sync.json",
        json!({"mappings": [{
            "name": "people", "source": "managed/user", "target": "system/db/person",
            "enableSync": false, "properties": properties,
            "correlationQuery": {"type": "text/rhai",
                "source": "`_id eq \"${source._id}\"`"},
            "reconciliation": {"maxDeletionShare": 1.0},
            "policies": [policy("MISSING", "CREATE"), policy("UNASSIGNED", "DELETE"),
                policy("SOURCE_MISSING", "DELETE"), policy("LINK_ONLY", "UNLINK")],
        }]}),
    );
    write(
        "conf/connectors/db.json",
        json!({"type": "sql", "url": target,
        "objects": {"person": {"table": "person", "key": "id"}}}),
    );
    folder
}

async fn on_target(url: &str, statements: &[String]) {
    if url.starts_with("postgres") {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        for statement in statements {
            connection
                .execute(AssertSqlSafe(statement.as_str()))
                .await
                .unwrap();
        }
    } else if url.starts_with("mysql") {
        let mut connection = sqlx::MySqlConnection::connect(url).await.unwrap();
        for statement in statements {
            connection
                .execute(AssertSqlSafe(statement.as_str()))
                .await
                .unwrap();
        }
    } else {
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        for statement in statements {
            connection
                .execute(AssertSqlSafe(statement.as_str()))
                .await
                .unwrap();
        }
    }
}

async fn change_all(app: &App, requests: Vec<ChangeRequest>) {
    futures::stream::iter(requests)
        .map(|request| app.change(request))
        .buffer_unordered(32)
        .for_each(|changed| async { drop(changed.unwrap()) })
        .await;
}

fn put(id: &str, content: Value) -> ChangeRequest {
    request(Requested::Replace {
        id: id.to_owned(),
        content: object(content),
        precondition: Precondition::None,
    })
}

async fn run(app: &App) -> Run {
    reconcile(app, Wanted::full("people")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_reconciliation_finds_drift_of_every_kind_and_a_second_finds_none() {
    let count = std::env::var("RECANT_DRIFT_PEOPLE").map_or(200, |text| text.parse().unwrap());
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("target.db");
    std::fs::write(&file, "").unwrap();
    let mut targets = vec![format!("sqlite://{}", file.display())];
    for server in [servers::postgres_url(), servers::mariadb_url()]
        .into_iter()
        .flatten()
    {
        targets.push(servers::fresh_database(&server).await);
    }
    for target in targets {
        drift(&target, count).await;
    }
}

async fn drift(target: &str, count: usize) {
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|name| format!("{name} varchar(100)"))
        .collect();
    let table = format!(
        "create table person (id varchar(20) primary key, {})",
        columns.join(", ")
    );
    on_target(target, &[table]).await;
    let folder = folder(target);
    let app = App::open(folder.path()).await.unwrap();
    let people = people(count);
    let all: BTreeMap<&String, &Value> = people.iter().map(|(id, content)| (id, content)).collect();
    change_all(
        &app,
        people
            .iter()
            .map(|(id, person)| put(id, person.clone()))
            .collect(),
    )
    .await;
    let loaded = run(&app).await;
    assert_eq!(loaded.state, RunState::Success, "{:?}", loaded.message);
    assert_eq!(loaded.counts.created, count as u64);
    let same = run(&app).await;
    assert_eq!(
        (same.counts.unchanged, same.counts.entries),
        (count as u64, 0)
    );

    // Every tenth person is hit by one of the kinds.
    let ids: Vec<&String> = all.keys().copied().collect();
    let hit = |kind: usize| ids.iter().skip(kind).step_by(10).map(|id| (*id).clone());
    let mut statements: Vec<String> = hit(0)
        .map(|id| format!("update person set title = 'by hand' where id = '{id}'"))
        .collect();
    statements.extend(hit(1).map(|id| format!("delete from person where id = '{id}'")));
    statements.extend(
        hit(2).map(|id| format!("insert into person (id, first) values ('x{id}', 'stranger')")),
    );
    on_target(target, &statements).await;
    let missed = hit(3).map(|id| {
        let mut person = all[&id].clone();
        person["department"] = json!("moved");
        put(&id, person)
    });
    change_all(&app, missed.collect()).await;
    let left = hit(4).map(|id| {
        request(Requested::Delete {
            id,
            precondition: Precondition::None,
        })
    });
    change_all(&app, left.collect()).await;
    let store = format!("sqlite://{}", folder.path().join("recant.db").display());
    let unlinked: Vec<String> = hit(5)
        .map(|id| format!("delete from link where first_id = '{id}'"))
        .collect();
    on_target(&store, &unlinked).await;

    let each = |kind: usize| hit(kind).count() as u64;
    let found = run(&app).await;
    let summary = found.to_value()["situationSummary"].clone();
    assert_eq!(summary["MISSING"], json!(each(1)));
    assert_eq!(summary["UNASSIGNED"], json!(each(2)));
    assert_eq!(summary["SOURCE_MISSING"], json!(each(4)));
    assert_eq!(summary["FOUND"], json!(each(5)));
    assert_eq!(found.counts.updated, each(0) + each(3), "{found:?}");
    assert_eq!(found.counts.failures, 0);
    assert_eq!(found.counts.links_created, each(1) + each(5), "{found:?}");
    assert_eq!(found.counts.held, 0);
    let again = run(&app).await;
    let remaining = count as u64 - each(4);
    assert_eq!(again.counts.entries, 0, "{:?}", story(&app, &again).await);
    assert_eq!(again.counts.unchanged, remaining);
    app.close(std::time::Duration::from_secs(10)).await;
}
