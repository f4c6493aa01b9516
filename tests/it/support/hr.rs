//! A human-resources history sent through Recant into three targets, one of which refuses now and
//! then, and the same history replayed by hand to compare with.
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use recant::{
    app::App,
    model::{ChangeRequest, Container, Object, Outcome, Precondition, Requested, patch::Patch},
};
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection, Row, SqliteConnection,
};

use super::{rest::RestTarget, servers};

/// Runs the same lines on a connection of whichever database the URL names.
macro_rules! on_database {
    ($url:expr, |$connection:ident| $body:block) => {{
        let url: &str = $url;
        if url.starts_with("postgres") {
            let mut $connection = PgConnection::connect(url).await.unwrap();
            $body
        } else if url.starts_with("mysql") {
            let mut $connection = MySqlConnection::connect(url).await.unwrap();
            $body
        } else {
            let mut $connection = SqliteConnection::connect(url).await.unwrap();
            $body
        }
    }};
}

/// How many changes are under way at once.
const WORKERS: usize = 32;
/// Every so many changes one is refused by one of the targets: 2 %.
const REFUSED_EVERY: usize = 50;
const COLUMNS: [&str; 7] = [
    "first_name",
    "last_name",
    "title",
    "department",
    "status",
    "salary",
    "marker",
];

/// One dated change of one employee.
#[derive(Debug, Clone)]
pub struct HrChange {
    employee: String,
    set: Object,
    is_new: bool,
    /// Which target refuses it, 0-based.
    refused_by: Option<usize>,
}

/// What a run came to.
pub struct HrFigures {
    pub changes: usize,
    pub refused: usize,
    pub elapsed: Duration,
    /// Milliseconds of each change, sorted.
    pub times: Vec<f64>,
    pub people: usize,
}

impl HrFigures {
    pub fn percentile(&self, percent: usize) -> f64 {
        self.times[(self.times.len() - 1) * percent / 100]
    }
}

/// The first `limit` changes of the history in the folder that `RECANT_HR_DATA` names
/// (`people.jsonl.gz`, `changes.jsonl.gz`), then the people without a history; without that
/// folder, people that are invented here.
pub fn history(limit: usize) -> Vec<HrChange> {
    let mut changes = match std::env::var_os("RECANT_HR_DATA") {
        Some(folder) => recorded(&PathBuf::from(folder), limit),
        None => invented(limit),
    };
    changes.truncate(limit);
    for (number, change) in changes.iter_mut().enumerate() {
        if number % REFUSED_EVERY == REFUSED_EVERY - 1 {
            let target = (number / REFUSED_EVERY) % 3;
            change.refused_by = Some(target);
            change
                .set
                .insert("marker".into(), json!(format!("refuse-{target}")));
        } else {
            change
                .set
                .insert("marker".into(), json!(format!("c{number}")));
        }
    }
    changes
}

/// The employee of each of the first changes, and what is then known of it.
#[allow(dead_code, reason = "the bench that shares this file sends changes")]
pub fn records(limit: usize) -> Vec<(String, Object)> {
    let mut people: BTreeMap<String, Object> = BTreeMap::new();
    let mut records = Vec::new();
    for change in history(limit) {
        let person = people.entry(change.employee.clone()).or_default();
        person.extend(change.set);
        records.push((change.employee, person.clone()));
    }
    records
}

fn recorded(folder: &Path, limit: usize) -> Vec<HrChange> {
    let mut changes: Vec<HrChange> = lines(&folder.join("changes.jsonl.gz"))
        .take(limit)
        .map(|line| HrChange {
            employee: line["empNo"].to_string(),
            is_new: line["op"] == "create",
            set: attributes(line["set"].as_object().unwrap()),
            refused_by: None,
        })
        .collect();
    let known: std::collections::HashSet<String> = changes
        .iter()
        .map(|change| change.employee.clone())
        .collect();
    let others = lines(&folder.join("people.jsonl.gz"))
        .filter(|person| !known.contains(&person["empNo"].to_string()))
        .map(|person| HrChange {
            employee: person["empNo"].to_string(),
            is_new: true,
            set: attributes(person.as_object().unwrap()),
            refused_by: None,
        });
    let rest = limit.saturating_sub(changes.len());
    changes.extend(others.take(rest));
    changes
}

fn lines(file: &Path) -> impl Iterator<Item = Value> + use<> {
    let file = std::fs::File::open(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let unpacked: Box<dyn Read> = Box::new(flate2::read::GzDecoder::new(file));
    BufReader::new(unpacked)
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

/// The attributes that are kept, under our names.
fn attributes(from: &Object) -> Object {
    let names = [
        ("firstName", "first_name"),
        ("lastName", "last_name"),
        ("title", "title"),
        ("department", "department"),
        ("status", "status"),
        ("salary", "salary"),
    ];
    names
        .into_iter()
        .filter_map(|(theirs, ours)| Some((ours.to_owned(), from.get(theirs)?.clone())))
        .collect()
}

fn invented(limit: usize) -> Vec<HrChange> {
    let people = limit.div_ceil(6).max(1);
    (0..limit)
        .map(|number| {
            let (round, person) = (number / people, number % people);
            let set = match round {
                0 => json!({"first_name": format!("First{person}"), "last_name": "Müller-O'Neil",
                    "title": "Engineer", "salary": 40_000 + person, "status": "active"}),
                1 => json!({"department": format!("Department {}", person % 9)}),
                2 => json!({"title": "Senior Engineer"}),
                5 => json!({"status": "left"}),
                _ => json!({"salary": 40_000 + person + round}),
            };
            HrChange {
                employee: format!("{}", 10_001 + person),
                set: set.as_object().cloned().unwrap(),
                is_new: round == 0,
                refused_by: None,
            }
        })
        .collect()
}

/// What everybody must hold in the end.
fn replay(changes: &[HrChange]) -> BTreeMap<String, Object> {
    let mut people: BTreeMap<String, Object> = BTreeMap::new();
    for change in changes {
        if change.refused_by.is_some() || (!change.is_new && !people.contains_key(&change.employee))
        {
            continue;
        }
        people
            .entry(change.employee.clone())
            .or_default()
            .extend(change.set.clone());
    }
    people
}

/// Sends the history through a fresh folder and compares all stores with the replay.
pub async fn run(changes: Vec<HrChange>) -> HrFigures {
    let folder = tempfile::tempdir().unwrap();
    let rest = RestTarget::start().await;
    rest.refuse_bodies_with("refuse-2");
    let tables = [
        table(servers::postgres_url(), folder.path(), 0).await,
        table(servers::mariadb_url(), folder.path(), 1).await,
    ];
    write_folder(folder.path(), &tables, &rest.url());
    let app = App::open(folder.path()).await.unwrap();
    let expected = replay(&changes);
    let refused = changes
        .iter()
        .filter(|change| change.refused_by.is_some())
        .count();
    let count = changes.len();
    let begun = Instant::now();
    let mut times = send(&app, changes).await;
    let elapsed = begun.elapsed();
    times.sort_by(f64::total_cmp);
    compare(&app, &tables, &rest, &expected).await;
    assert_eq!(app.verify_audit().await.unwrap().broken, None);
    app.close(Duration::from_secs(30)).await;
    HrFigures {
        changes: count,
        refused,
        elapsed,
        times,
        people: expected.len(),
    }
}

/// Each employee's changes in order, different employees at once.
async fn send(app: &App, changes: Vec<HrChange>) -> Vec<f64> {
    let mut queues: Vec<Vec<HrChange>> = vec![Vec::new(); WORKERS];
    for change in changes {
        let number: usize = change.employee.parse().unwrap();
        queues[number % WORKERS].push(change);
    }
    let workers = queues.into_iter().map(|queue| {
        let app = app.clone();
        tokio::spawn(async move {
            let mut times = Vec::with_capacity(queue.len());
            let mut absent = std::collections::HashSet::new();
            for change in queue {
                if absent.contains(&change.employee) && !change.is_new {
                    continue;
                }
                let sent = Instant::now();
                let answer = app.change(request(&change)).await;
                times.push(sent.elapsed().as_secs_f64() * 1e3);
                check(&change, answer, &mut absent);
            }
            times
        })
    });
    let mut times = Vec::new();
    for worker in futures::future::join_all(workers).await {
        times.append(&mut worker.unwrap());
    }
    times
}

fn check(
    change: &HrChange,
    answer: Result<recant::app::Changed, recant::app::Error>,
    absent: &mut std::collections::HashSet<String>,
) {
    match (change.refused_by, answer) {
        (None, Ok(changed)) => assert_eq!(changed.outcome, Outcome::Synced),
        (Some(_), Err(error)) => {
            assert_eq!(error.outcome, Some(Outcome::Compensated), "{error:?}");
            assert_eq!(error.code, 409, "{error:?}");
            if change.is_new {
                absent.insert(change.employee.clone());
            }
        }
        (refused, other) => panic!("{change:?}: {refused:?} but {other:?}"),
    }
}

fn request(change: &HrChange) -> ChangeRequest {
    let id = change.employee.clone();
    let requested = if change.is_new {
        Requested::Create {
            id: Some(id),
            content: change.set.clone(),
        }
    } else {
        let patch = Patch::parse_merge(Value::Object(change.set.clone())).unwrap();
        Requested::Patch {
            id,
            patch,
            precondition: Precondition::None,
        }
    };
    ChangeRequest {
        unseen: Vec::new(),
        container: Container::managed("person"),
        requested,
        caller: "hr".to_owned(),
        transaction_id: "hr".to_owned(),
        idempotency: None,
        request: Value::Null,
    }
}

/// A fresh database with a table that refuses its marker; SQLite where there is no server.
async fn table(server: Option<String>, folder: &Path, number: usize) -> String {
    let url = match server {
        Some(server) => servers::fresh_database(&server).await,
        None => format!("sqlite://{}/target{number}.db?mode=rwc", folder.display()),
    };
    let statement = format!(
        "create table person (emp_no varchar(20) primary key, first_name varchar(50), \
         last_name varchar(50), title varchar(50), department varchar(50), status varchar(10), \
         salary integer, marker varchar(20) check (marker <> 'refuse-{number}'))"
    );
    on_database!(&url, |connection| {
        connection.execute(AssertSqlSafe(statement)).await.unwrap();
        connection.close().await.unwrap();
    });
    url
}

fn write_folder(folder: &Path, tables: &[String; 2], rest: &str) {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("recant.toml", "");
    write(
        "hooks/compensate.rhai",
        include_str!("../../../hooks/compensate.rhai"),
    );
    let managed = json!({"objects": [{
        "name": "person",
        "schema": {"type": "object", "required": ["first_name", "last_name"]},
        "onSync": {"type": "text/rhai", "file": "compensate.rhai"},
    }]});
    write("conf/managed.json", &managed.to_string());
    let properties: Vec<Value> = COLUMNS
        .iter()
        .map(|name| json!({"source": name, "target": name}))
        .collect();
    let targets = ["one", "two", "three"];
    let mappings: Vec<Value> = targets
        .iter()
        .map(|name| {
            json!({"name": format!("person_{name}"), "source": "managed/person",
                "target": format!("system/{name}/person"), "properties": properties})
        })
        .collect();
    write("conf/sync.json", &json!({"mappings": mappings}).to_string());
    for (name, url) in targets.iter().zip(tables) {
        let connector = json!({"type": "sql", "url": url.trim_end_matches("?mode=rwc"),
            "objects": {"person": {"table": "person", "key": "emp_no"}}});
        write(
            &format!("conf/connectors/{name}.json"),
            &connector.to_string(),
        );
    }
    let connector = json!({"type": "rest", "baseUrl": rest,
        "objects": {"person": {"path": "/people", "idAttribute": "empNo", "create": "put",
            "update": "put"}}});
    write("conf/connectors/three.json", &connector.to_string());
}

async fn compare(
    app: &App,
    tables: &[String; 2],
    rest: &RestTarget,
    expected: &BTreeMap<String, Object>,
) {
    for url in tables {
        let held = dump(url).await;
        assert_eq!(
            held.len(),
            expected.len(),
            "{} rows",
            url.split(':').next().unwrap()
        );
        for (id, person) in expected {
            assert_eq!(held.get(id), Some(person), "employee {id}");
        }
    }
    let people = rest.people();
    assert_eq!(people.len(), expected.len());
    for (id, person) in expected {
        let mut held = people[id].as_object().cloned().unwrap();
        held.remove("empNo");
        assert!(
            recant::model::object::same_object(&held, person),
            "{held:?} {person:?}"
        );
        let stored = app
            .read(&Container::managed("person").object(id), "hr")
            .await
            .unwrap();
        assert!(
            recant::model::object::same_record(&stored, person),
            "{stored:?} {person:?}"
        );
    }
}

async fn dump(url: &str) -> BTreeMap<String, Object> {
    let statement = format!("select emp_no, {} from person", COLUMNS.join(", "));
    on_database!(url, |connection| {
        let query = sqlx::query(AssertSqlSafe(statement));
        let rows = query.fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let person = |row: &_| {
            let text = |index: usize| Row::get::<Option<String>, _>(row, index).map(Value::from);
            let number = |index: usize| Row::get::<Option<i32>, _>(row, index).map(Value::from);
            let cells = COLUMNS.iter().enumerate().filter_map(|(index, name)| {
                let value = if *name == "salary" {
                    number(index + 1)
                } else {
                    text(index + 1)
                };
                Some(((*name).to_owned(), value?))
            });
            (Row::get::<String, _>(row, 0), cells.collect::<Object>())
        };
        rows.iter().map(person).collect()
    })
}
