//! What changed since a token: the same promises for every kind of target that can tell.
use std::{collections::BTreeMap, path::Path};

use recant::{
    connectors::{Change, SharedConnector, Update},
    model::{CauseKind, Object},
};
use serde_json::{Value, json};

use super::{connector, execute, sqlite, suite::map};
use crate::support::{people::People, servers};

const CLASS: &str = "account";

/// A target under test. Objects carry the time of their change, which the test sets.
struct Subject {
    connector: SharedConnector,
    /// Whether an object goes away by a mark, not by being deleted.
    marks_deleted: bool,
    /// How many objects make more than one page.
    many: usize,
}

/// What has been seen of each object: its name, or none where it is gone.
type Seen = BTreeMap<String, Option<String>>;

impl Subject {
    async fn put(&self, id: &str, name: &str, at: &str) {
        let object = map(json!({"name": name, "changed": at}));
        self.write(id, object).await;
    }

    async fn write(&self, id: &str, object: Object) {
        match self.connector.read(CLASS, id).await.unwrap() {
            None => {
                let created = self.connector.create(CLASS, Some(id), &object).await;
                created.unwrap_or_else(|error| panic!("create {id}: {error:?}"));
            }
            Some(before) => {
                let update = Update {
                    before: &before,
                    after: &object,
                    rename: None,
                };
                let updated = self.connector.update(CLASS, &update).await;
                updated.unwrap_or_else(|error| panic!("update {id}: {error:?}"));
            }
        }
    }

    async fn remove(&self, id: &str, at: &str) {
        if self.marks_deleted {
            let object = map(json!({"name": "x", "changed": at, "deleted": true}));
            return self.write(id, object).await;
        }
        let before = self.connector.read(CLASS, id).await.unwrap().unwrap();
        self.connector.delete(CLASS, &before).await.unwrap();
    }

    /// Everything since a token, and that nothing of it is told twice.
    async fn drain(&self, token: &mut String) -> Seen {
        let mut seen = Seen::new();
        loop {
            let changes = self.connector.changes(CLASS, Some(token)).await.unwrap();
            for change in changes.changes {
                let (id, name) = match change {
                    Change::Present(object) => {
                        let name = object.attributes["name"].as_str().unwrap().to_owned();
                        (object.id, Some(name))
                    }
                    Change::Gone(id) => (id, None),
                };
                assert!(
                    seen.insert(id.clone(), name).is_none(),
                    "{id} is told twice"
                );
            }
            *token = changes.token;
            if !changes.more {
                return seen;
            }
        }
    }
}

fn seen(names: &[(&str, Option<&str>)]) -> Seen {
    let owned = |(id, name): &(&str, Option<&str>)| ((*id).to_owned(), name.map(str::to_owned));
    names.iter().map(owned).collect()
}

async fn tells(subject: &Subject) {
    let target = &subject.connector;
    assert!(target.capabilities().changes);
    subject.put("a", "A", "2026-01-01T10:00:00Z").await;
    let first = target.changes(CLASS, None).await.unwrap();
    assert!(first.changes.is_empty() && !first.more, "{first:?}");
    let mut token = first.token;
    assert_eq!(subject.drain(&mut token).await, Seen::new());

    // Two at the same time as the latest, and one that was committed late.
    subject.put("a", "AA", "2026-01-01T10:00:00Z").await;
    subject.put("b", "B", "2026-01-01T10:00:00Z").await;
    let old = token.clone();
    let both = seen(&[("a", Some("AA")), ("b", Some("B"))]);
    assert_eq!(subject.drain(&mut token).await, both);
    subject.put("late", "L", "2026-01-01T09:59:30Z").await;
    let late = seen(&[("late", Some("L"))]);
    assert_eq!(subject.drain(&mut token).await, late);
    assert_eq!(subject.drain(&mut token).await, Seen::new());
    // A consumer that crashed before it kept its token comes back with the one before.
    let mut again = old;
    assert_eq!(subject.drain(&mut again).await.len(), 3);

    subject.remove("b", "2026-01-01T10:00:10Z").await;
    assert_eq!(subject.drain(&mut token).await, seen(&[("b", None)]));
    assert_eq!(subject.drain(&mut token).await, Seen::new());

    for number in 0..subject.many {
        let id = format!("m{number}");
        subject.put(&id, "M", "2026-01-01T10:01:00Z").await;
    }
    assert_eq!(subject.drain(&mut token).await.len(), subject.many);
    assert_eq!(subject.drain(&mut token).await, Seen::new());

    for unknown in ["", "nonsense", "{}", "0123456789abcdef", "../people"] {
        let error = target.changes(CLASS, Some(unknown)).await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Refused, "{unknown}: {error:?}");
    }
}

fn sql_subject(url: &str) -> Subject {
    let value = json!({"type": "sql", "url": url, "objects": {"account": {
        "table": "people", "key": "login", "changeColumn": "changed", "deletedColumn": "deleted"}}});
    Subject {
        connector: connector(&value, Path::new("/")),
        marks_deleted: true,
        many: 520,
    }
}

#[tokio::test]
async fn a_sqlite_table_tells_what_changed() {
    let table = "create table people (login text primary key, name text, changed text, \
                 deleted boolean)";
    let (_folder, url) = sqlite(table).await;
    tells(&sql_subject(&url)).await;
}

#[tokio::test]
async fn a_postgres_table_tells_what_changed() {
    let Some(server) = servers::postgres_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    let table = "create table people (login text primary key, name text, changed timestamptz, \
                 deleted boolean)";
    execute(&url, &[table]).await;
    tells(&sql_subject(&url)).await;
}

#[tokio::test]
async fn a_mariadb_table_tells_what_changed() {
    let Some(server) = servers::mariadb_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    let table = "create table people (login varchar(80) primary key, name varchar(80), \
                 changed timestamp(6) null, deleted boolean)";
    execute(&url, &[table]).await;
    tells(&sql_subject(&url)).await;
}

/// A table whose changes triggers write down in another one.
async fn logged(url: &str, statements: &[&str]) -> Subject {
    execute(url, statements).await;
    let value = json!({"type": "sql", "url": url, "objects": {"account": {
        "table": "people", "key": "login", "overlap": 100,
        "changes": {"table": "people_changes", "key": "person", "order": "number"}}}});
    let target = connector(&value, Path::new("/"));
    target.test().await.expect("good settings");
    Subject {
        connector: target,
        marks_deleted: false,
        many: 520,
    }
}

#[tokio::test]
async fn a_table_of_changes_tells_deletions_too() {
    let people = "create table people (login varchar(80) primary key, name varchar(80), \
        changed varchar(40))";
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}?mode=rwc", folder.path().join("a.db").display());
    let mut sqlite = vec![
        people.to_owned(),
        "create table people_changes (number integer primary key autoincrement, person text)"
            .into(),
    ];
    let mut mariadb = vec![
        people.to_owned(),
        "create table people_changes (number bigint primary key auto_increment, \
            person varchar(80))"
            .into(),
    ];
    for (event, row) in [("insert", "new"), ("update", "new"), ("delete", "old")] {
        let note = format!("insert into people_changes (person) values ({row}.login)");
        sqlite.push(format!(
            "create trigger t_{event} after {event} on people begin {note}; end"
        ));
        let each = format!("create trigger t_{event} after {event} on people for each row {note}");
        mariadb.push(each);
    }
    let postgres = [
        people,
        "create table people_changes (number bigserial primary key, person varchar(80))",
        "create function note() returns trigger language plpgsql as $$ begin \
            if tg_op = 'DELETE' then insert into people_changes (person) values (old.login); \
            else insert into people_changes (person) values (new.login); end if; \
            return null; end $$",
        "create trigger note after insert or update or delete on people \
            for each row execute function note()",
    ];
    fn texts(all: &[String]) -> Vec<&str> {
        all.iter().map(String::as_str).collect()
    }
    tells(&logged(&file, &texts(&sqlite)).await).await;
    if let Some(server) = servers::postgres_url() {
        let url = servers::fresh_database(&server).await;
        tells(&logged(&url, &postgres).await).await;
    }
    if let Some(server) = servers::mariadb_url() {
        let url = servers::fresh_database(&server).await;
        execute(&server, &["set global log_bin_trust_function_creators = 1"]).await;
        tells(&logged(&url, &texts(&mariadb)).await).await;
    }
}

#[tokio::test]
async fn a_table_of_tombstones_completes_a_change_column() {
    let table = "create table people (login text primary key, name text, changed text)";
    let (_folder, url) = sqlite(table).await;
    execute(
        &url,
        &[
            "create table tombs (number integer primary key autoincrement, person text)",
            "create trigger t after delete on people begin \
                insert into tombs (person) values (old.login); end",
        ],
    )
    .await;
    let class = |changes: Value| {
        json!({"type": "sql", "url": url, "objects": {"account": {"table": "people",
            "key": "login", "changeColumn": "changed", "changes": changes}}})
    };
    let tombs = class(json!({"table": "tombs", "key": "person", "order": "number"}));
    let subject = Subject {
        connector: connector(&tombs, Path::new("/")),
        marks_deleted: false,
        many: 520,
    };
    tells(&subject).await;
    // One that came back is there.
    let mut token = subject.connector.changes(CLASS, None).await.unwrap().token;
    subject.remove("a", "").await;
    subject.put("a", "back", "2026-01-01T10:02:00Z").await;
    let back = seen(&[("a", Some("back"))]);
    assert_eq!(subject.drain(&mut token).await, back);
    for (changes, part) in [
        (
            json!({"table": "graves", "key": "person", "order": "number"}),
            "graves",
        ),
        (
            json!({"table": "tombs", "key": "who", "order": "number"}),
            "`who`",
        ),
        (
            json!({"table": "tombs", "key": "number", "order": "person"}),
            "`person`",
        ),
    ] {
        let target = connector(&class(changes), Path::new("/"));
        let error = target.test().await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Refused);
        assert!(error.message.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_number_that_only_grows_tells_what_changed_too() {
    let table = "create table people (login text primary key, name text, version integer)";
    let (_folder, url) = sqlite(table).await;
    let value = json!({"type": "sql", "url": url, "objects": {"account": {
        "table": "people", "key": "login", "changeColumn": "version", "overlap": 5}}});
    let target = connector(&value, Path::new("/"));
    let object = |version: i64| map(json!({"name": "x", "version": version}));
    target.create(CLASS, Some("a"), &object(10)).await.unwrap();
    let mut token = target.changes(CLASS, None).await.unwrap().token;
    // 6 was drawn before 10 and is seen after it; 3 comes too late.
    for (id, version, told) in [("b", 6, 1), ("c", 11, 1), ("d", 3, 0)] {
        target
            .create(CLASS, Some(id), &object(version))
            .await
            .unwrap();
        let changes = target.changes(CLASS, Some(&token)).await.unwrap();
        assert_eq!(changes.changes.len(), told, "{id}");
        token = changes.token;
    }
}

#[tokio::test]
async fn a_column_that_cannot_tell_is_refused() {
    let table = "create table people (login text primary key, changed text)";
    let (_folder, url) = sqlite(table).await;
    for (more, said) in [
        (json!({}), "`changeColumn`"),
        (json!({"changeColumn": "gone"}), "`gone`"),
    ] {
        let mut class = more;
        class["table"] = json!("people");
        class["key"] = json!("login");
        let value = json!({"type": "sql", "url": url, "objects": {"account": class}});
        let target = connector(&value, Path::new("/"));
        let error = target.changes(CLASS, None).await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Refused);
        assert!(error.message.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_csv_file_tells_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let value = json!({"type": "csv", "file": "people.csv", "objects": {"account": {
        "key": "login", "columns": ["name", "changed"]}}});
    let subject = Subject {
        connector: connector(&value, folder.path()),
        marks_deleted: false,
        many: 5,
    };
    tells(&subject).await;
    // The oldest tokens are forgotten, the latest ones are not.
    let first = subject.connector.changes(CLASS, None).await.unwrap().token;
    let mut latest = first.clone();
    for number in 0..40 {
        subject
            .put("a", &number.to_string(), "2026-01-01T10:00:00Z")
            .await;
        assert_eq!(subject.drain(&mut latest).await.len(), 1);
    }
    let forgotten = subject.connector.changes(CLASS, Some(&first)).await;
    assert_eq!(forgotten.unwrap_err().kind, CauseKind::Refused);
    let kept = std::fs::read_dir(folder.path().join(".people.csv.changes")).unwrap();
    assert!(kept.count() <= 32);
}

async fn service(changes: Value) -> (People, Subject) {
    let people = People::start().await;
    let mut value = People::settings(people.address, "put", "put");
    value["objects"]["account"]["changes"] = changes;
    let subject = Subject {
        connector: connector(&value, Path::new("/")),
        marks_deleted: true,
        many: 30,
    };
    (people, subject)
}

#[tokio::test]
async fn a_service_with_times_tells_what_changed() {
    let changes = json!({"sinceParameter": "since", "changedAttribute": "changed",
        "deletedAttribute": "deleted"});
    let (_people, subject) = service(changes).await;
    tells(&subject).await;
}

#[tokio::test]
async fn a_service_with_times_tells_each_of_very_many_once() {
    let changes = json!({"sinceParameter": "since", "changedAttribute": "changed"});
    let (people, subject) = service(changes).await;
    // All of the same time, and more than a token remembers.
    for number in 0..2_300 {
        let id = format!("{number:04}");
        let person = json!({"id": id, "name": "x", "changed": "2026-01-01T10:00:00Z"});
        people.shop().people.insert(id, (1, map(person)));
    }
    let mut token = subject.connector.changes(CLASS, None).await.unwrap().token;
    for _ in 0..2 {
        assert_eq!(subject.drain(&mut token).await, Seen::new());
    }
    subject.put("2299", "new", "2026-01-01T10:00:01Z").await;
    let new = seen(&[("2299", Some("new"))]);
    assert_eq!(subject.drain(&mut token).await, new);
    assert_eq!(subject.drain(&mut token).await, Seen::new());
}

#[tokio::test]
async fn a_service_with_cursors_tells_what_changed() {
    let changes = json!({"path": "/feed", "cursorParameter": "cursor", "cursorPointer": "/next",
        "deletedAttribute": "deleted"});
    let (_people, subject) = service(changes).await;
    tells(&subject).await;
}
