//! The store on SQLite, PostgreSQL and MariaDB: journal, settlements, chain, leases, queries.
mod chain;
mod confidential;
mod events;
mod failures;
mod integrations;
mod journal;
mod look;
mod nodes;
mod proof;
mod queries;
mod schema;
mod trail;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use recant::{
    clock::{Clock as _, SharedClock, SystemClock},
    model::{
        ChangeKind, Filter, Object, OperationId, OperationRecord, Outcome, Purpose, ResourceName,
        audit::{NewEntry, Topic},
    },
    store::{Holder, JournalEntry, Keyring, ObjectWrite, Options, Search, Settlement, Store},
};
use serde_json::{Value, json};

use crate::support::servers;

/// One empty, migrated store of one kind.
pub struct Place {
    pub url: String,
    /// Holds the SQLite file and the nodes' lock files.
    pub folder: tempfile::TempDir,
    pub clock: SharedClock,
}

impl Place {
    /// Opens the store as a fresh node.
    pub async fn open(&self) -> Store {
        self.open_with(|_| {}).await
    }

    /// The same with other options.
    pub async fn open_with(&self, change: impl FnOnce(&mut Options)) -> Store {
        let mut options = Options {
            url: self.url.clone(),
            keys: Keyring::default(),
            clock: self.clock.clone(),
            lease: Duration::from_secs(30),
            lock_folder: Some(self.folder.path().join("locks")),
        };
        change(&mut options);
        Store::open(options).await.unwrap()
    }

    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite")
    }

    /// Runs a statement behind the store's back.
    pub async fn tamper(&self, sql: &str) {
        use sea_orm::ConnectionTrait as _;
        let database = sea_orm::Database::connect(&self.url).await.unwrap();
        database.execute_unprepared(sql).await.unwrap();
        database.close().await.unwrap();
    }
}

/// Every kind of store that there is a server for, SQLite always.
pub async fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for server in [None, servers::postgres_url(), servers::mariadb_url()]
        .into_iter()
        .enumerate()
        .filter_map(|(index, url)| (index == 0 || url.is_some()).then_some(url))
    {
        let folder = tempfile::tempdir().unwrap();
        let url = match server {
            None => format!("sqlite://{}", folder.path().join("recant.db").display()),
            Some(url) => servers::fresh_database(&url).await,
        };
        assert!(Store::migrate(&url).await.unwrap() > 0);
        places.push(Place {
            url,
            folder,
            clock: Arc::new(SystemClock),
        });
    }
    places
}

pub fn fresh() -> OperationId {
    OperationId(SystemClock.fresh_id())
}

pub fn now() -> DateTime<Utc> {
    SystemClock.now()
}

pub fn name(id: &str) -> ResourceName {
    format!("managed/user/{id}").parse().unwrap()
}

pub fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

pub fn record(name: &ResourceName) -> OperationRecord {
    let id = fresh();
    OperationRecord {
        id,
        transaction_id: id.to_string(),
        root: id,
        parent: None,
        depth: 0,
        purpose: Purpose::Request,
        caller: "tester".into(),
        object: name.clone(),
        kind: ChangeKind::Update,
        outcome: None,
        phase: "journaled".into(),
        attempt: 1,
        started_at: now(),
        ended_at: None,
        revision_before: None,
        revision: None,
        writes: Vec::new(),
        hook_runs: Vec::new(),
        nested: Vec::new(),
        follow_ups: Vec::new(),
        diverged: Vec::new(),
        error: None,
        healed_at: None,
        resolution: None,
        waits_because: None,
    }
}

/// A root change that stores this object.
pub fn put(id: &str, mut content: Value, expected: Option<&str>) -> JournalEntry {
    let record = record(&name(id));
    content["_id"] = json!(id);
    content["_rev"] = json!(record.id.to_string());
    JournalEntry {
        record,
        payload: r#"{"format":1,"writes":[]}"#.to_owned(),
        object: ObjectWrite::Put {
            object: object(content),
            expected: expected.map(str::to_owned),
        },
        claim: true,
        node: Arc::default(),
        latest: None,
        check_latest: false,
        idempotency: None,
        updates: Vec::new(),
        payloads: Vec::new(),
        claims: Vec::new(),
    }
}

/// What this node gives free.
pub fn held(store: &Store, object: &ResourceName, operation: OperationId) -> Holder {
    Holder {
        object: object.clone(),
        operation,
        node: store.identity(),
    }
}

/// What ends a change of this node.
pub fn end(store: &Store, entry: &JournalEntry, outcome: Outcome) -> Settlement {
    let mut record = entry.record.clone();
    record.outcome = Some(outcome);
    record.phase = "ended".into();
    record.ended_at = Some(now());
    Settlement {
        audit: vec![audit(&record, Topic::Activity)],
        release: Some(held(store, &record.object, record.id)),
        records: vec![record],
        ..Settlement::default()
    }
}

pub fn audit(record: &OperationRecord, topic: Topic) -> NewEntry {
    NewEntry {
        id: SystemClock.fresh_id(),
        topic,
        timestamp: now(),
        transaction_id: record.transaction_id.clone(),
        operation: Some(record.id.0),
        body: json!({"resourceName": record.object.to_string(), "status": "SUCCESS"}).to_string(),
    }
}

/// Stores an object by a whole change and gives its revision.
pub async fn stored(store: &Store, id: &str, content: Value) -> String {
    let entry = put(id, content, None);
    let revision = entry.record.id.to_string();
    store.journal(entry.clone()).await.unwrap();
    let _ = store.settle(end(store, &entry, Outcome::Synced));
    revision
}

pub fn search(filter: &str) -> Search {
    Search {
        filter: Filter::parse(filter).unwrap(),
        sort: Vec::new(),
        page_size: None,
        cookie: None,
        offset: 0,
        count: recant::store::Count::None,
    }
}

/// Whether a file, or one beside it that SQLite made, holds the text.
pub fn on_disk(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files.filter(|file| file.is_file()).any(|file| {
        let bytes = std::fs::read(file).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

pub fn confidential(attributes: &[&str]) -> BTreeMap<String, Vec<String>> {
    let attributes = attributes.iter().map(|name| (*name).to_owned()).collect();
    BTreeMap::from([("user".to_owned(), attributes)])
}
