//! What every connector must do, whatever its target.
use recant::{
    connectors::{Error, Query, SharedConnector, Update},
    model::{CauseKind, Filter, Object, TargetObject, TargetWrite, object::same_object},
};
use serde_json::{Value, json};

/// A connector under test: object class `account` with the attributes of [`person`].
pub struct Subject {
    /// The connector.
    pub connector: SharedConnector,
    /// Whether an object's id can change.
    pub renames: bool,
    /// Whether a write is refused after any change of the object, not only of the same attributes.
    pub versions: bool,
    /// Whether values keep their JSON types; elsewhere every value is text.
    pub types: bool,
}

const CLASS: &str = "account";

/// Ids that break careless quoting and escaping.
pub const ODD_IDS: &[&str] = &[
    "a/b",
    "100%",
    "%2F",
    "O'Neil",
    "\"quoted\"",
    "a b",
    "ünïcödé-😀",
    "a,b;c",
    "back\\slash",
    "q?x=1&y#z",
    "+1",
    "-",
    "`tick`",
    "$1",
    "null",
    "007",
    "id with  two  spaces",
];

pub fn map(value: Value) -> Object {
    value.as_object().cloned().expect("an object")
}

pub fn person(name: &str) -> Object {
    map(
        json!({"name": name, "mail": format!("{}@example.com", plain_letters(name)), "note": "line 1\nline 2; \"x\", 'y'"}),
    )
}

/// A directory takes no other letters in an address (RFC 4524, 2.16).
fn plain_letters(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii(), "_")
}

/// The attributes without those that a directory has besides.
pub fn plain(object: &Object) -> Object {
    let own = |name: &str| !matches!(name, "dn" | "objectClass" | "uid");
    let kept = object.iter().filter(|(name, _)| own(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl Subject {
    pub async fn read(&self, id: &str) -> Option<TargetObject> {
        self.connector
            .read(CLASS, id)
            .await
            .unwrap_or_else(|error| panic!("read `{id}`: {error:?}"))
    }

    pub async fn existing(&self, id: &str) -> TargetObject {
        self.read(id)
            .await
            .unwrap_or_else(|| panic!("`{id}` is missing"))
    }

    pub async fn create(&self, id: &str, object: &Object) -> TargetObject {
        let written = self.connector.create(CLASS, Some(id), object).await;
        let written = written.unwrap_or_else(|error| panic!("create `{id}`: {error:?}"));
        assert_eq!(written.id, id);
        let now = self.existing(id).await;
        agrees(written.attributes.as_ref(), &now);
        assert_eq!(written.version, now.version);
        now
    }

    pub async fn update(
        &self,
        before: &TargetObject,
        after: &Object,
        rename: Option<&str>,
    ) -> Result<TargetObject, Error> {
        let update = Update {
            before,
            after,
            rename,
        };
        let written = self.connector.update(CLASS, &update).await?;
        let now = self.existing(&written.id).await;
        agrees(written.attributes.as_ref(), &now);
        assert_eq!(written.version, now.version);
        Ok(now)
    }

    pub async fn delete(&self, before: &TargetObject) -> Result<(), Error> {
        self.connector.delete(CLASS, before).await
    }

    pub async fn all(&self, filter: &str, page_size: usize) -> Vec<TargetObject> {
        let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
        let mut query = Query {
            filter,
            page_size,
            cursor: None,
        };
        let mut all = Vec::new();
        loop {
            let page = self.connector.query(CLASS, &query).await.expect("a page");
            assert!(
                page.objects.len() <= page_size,
                "a page of {}",
                page.objects.len()
            );
            all.extend(page.objects);
            match page.cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => return all,
            }
        }
    }
}

fn agrees(told: Option<&Object>, now: &TargetObject) {
    if let Some(told) = told {
        assert!(
            same_object(told, &now.attributes),
            "told {told:?}, holds {now:?}"
        );
    }
}

pub fn refused(result: Result<impl std::fmt::Debug, Error>) -> Error {
    let error = result.expect_err("a refusal");
    assert_eq!(error.kind, CauseKind::Refused, "{error:?}");
    error
}

/// Runs the whole suite.
pub async fn run(subject: &Subject) {
    run_with_plain_ids(subject).await;
    renames(subject).await;
    handles_odd_ids(subject).await;
}

/// The suite but for ids of other characters than letters, digits and dashes, which some services
/// refuse.
pub async fn run_with_plain_ids(subject: &Subject) {
    subject.connector.test().await.expect("a good target");
    assert_eq!(subject.connector.classes(), [CLASS]);
    creates_reads_and_refuses_twins(subject).await;
    changes_only_what_differs(subject).await;
    refuses_what_is_stale(subject).await;
    deletes_and_brings_back(subject).await;
    knows_no_difference_between_null_and_absent(subject).await;
    keeps_values(subject).await;
    pages_and_filters(subject).await;
    names_what_does_not_fit(subject).await;
}

async fn creates_reads_and_refuses_twins(subject: &Subject) {
    assert!(subject.read("ann").await.is_none());
    let created = subject.create("ann", &person("Ann")).await;
    assert!(
        same_object(&plain(&created.attributes), &person("Ann")),
        "{created:?}"
    );
    let twin = person("Twin");
    refused(subject.connector.create(CLASS, Some("ann"), &twin).await);
    assert_eq!(subject.existing("ann").await, created);
}

async fn changes_only_what_differs(subject: &Subject) {
    let before = subject.create("ben", &person("Ben")).await;
    let mut after = before.attributes.clone();
    after.insert("name".into(), json!("Benjamin"));
    let first = subject
        .update(&before, &after, None)
        .await
        .expect("a change");
    assert_eq!(first.attributes["name"], "Benjamin");
    assert_eq!(first.attributes["note"], before.attributes["note"]);
    // Somebody who read the old object changes another attribute.
    let mut after = before.attributes.clone();
    after.insert("note".into(), json!("new"));
    let second = subject.update(&before, &after, None).await;
    if subject.versions {
        refused(second);
        assert_eq!(subject.existing("ben").await, first);
    } else {
        let now = second.expect("a change of another attribute");
        assert_eq!(now.attributes["name"], "Benjamin");
        assert_eq!(now.attributes["note"], "new");
    }
}

async fn refuses_what_is_stale(subject: &Subject) {
    let before = subject.create("cem", &person("Cem")).await;
    let change = |name: &str| {
        let mut after = before.attributes.clone();
        after.insert("name".into(), json!(name));
        after
    };
    let now = subject
        .update(&before, &change("Çem"), None)
        .await
        .expect("a change");
    let error = refused(subject.update(&before, &change("Jim"), None).await);
    assert_eq!(error.code, 412, "{error:?}");
    let error = refused(subject.delete(&before).await);
    assert_eq!(error.code, 412, "{error:?}");
    assert_eq!(subject.existing("cem").await, now);
    subject.delete(&now).await.expect("a delete");
    refused(subject.update(&now, &change("Ghost"), None).await);
    assert!(subject.read("cem").await.is_none());
}

async fn renames(subject: &Subject) {
    let before = subject.create("old/name", &person("Dan")).await;
    let mut after = before.attributes.clone();
    after.insert("name".into(), json!("Dana"));
    let renamed = subject.update(&before, &after, Some("new name")).await;
    if !subject.renames {
        refused(renamed);
        assert_eq!(subject.existing("old/name").await, before);
        return;
    }
    let renamed = renamed.expect("a new id");
    assert_eq!(renamed.id, "new name");
    assert!(same_object(&plain(&renamed.attributes), &plain(&after)));
    assert!(subject.read("old/name").await.is_none());
    refused(subject.update(&renamed, &after, Some("ann")).await);
    assert_eq!(subject.existing("new name").await, renamed);
}

async fn deletes_and_brings_back(subject: &Subject) {
    let before = subject.create("eve", &person("Eve")).await;
    subject.delete(&before).await.expect("a delete");
    assert!(subject.read("eve").await.is_none());
    subject
        .delete(&before)
        .await
        .expect("a delete of what is gone");
    let again = subject.create("eve", &before.attributes).await;
    assert!(same_object(&again.attributes, &before.attributes));
}

async fn handles_odd_ids(subject: &Subject) {
    for id in ODD_IDS {
        let name = format!("odd {id}");
        let before = subject.create(id, &person(&name)).await;
        let mut after = before.attributes.clone();
        after.insert("note".into(), json!(id));
        let now = subject.update(&before, &after, None).await.expect(id);
        let filter = format!("_id eq {}", json!(id));
        assert_eq!(subject.all(&filter, 5).await.len(), 1, "{filter}");
        subject.delete(&now).await.expect(id);
        assert!(subject.read(id).await.is_none(), "{id}");
    }
}

async fn knows_no_difference_between_null_and_absent(subject: &Subject) {
    let mut object = person("Fay");
    object.shift_remove("mail");
    let before = subject.create("fay", &object).await;
    assert!(before.attributes.get("mail").is_none_or(Value::is_null));
    let mut after = before.attributes.clone();
    after.insert("mail".into(), json!("fay@example.com"));
    let with = subject.update(&before, &after, None).await.expect("set");
    after.shift_remove("mail");
    let without = subject.update(&with, &after, None).await.expect("removed");
    assert!(without.attributes.get("mail").is_none_or(Value::is_null));
    after.insert("note".into(), Value::Null);
    let nulled = subject
        .update(&without, &after, None)
        .await
        .expect("nulled");
    assert!(nulled.attributes.get("note").is_none_or(Value::is_null));
    after.insert("note".into(), json!("back"));
    subject
        .update(&nulled, &after, None)
        .await
        .expect("set again");
}

/// A plan shows what a later read compares with, and what the target holds already is no change.
async fn plans_what_will_read(subject: &Subject, (object, now): (&Object, &TargetObject)) {
    let create = TargetWrite::Create {
        id: Some(now.id.clone()),
        after: object.clone(),
    };
    let planned = subject.connector.refine(CLASS, create).await;
    let planned = planned.expect("a plan").after().expect("an object");
    for name in object.keys() {
        let (planned, read) = (planned.get(name), now.attributes.get(name));
        let is_same = match (planned, read) {
            (Some(planned), Some(read)) => recant::model::object::same(planned, read),
            _ => planned.is_none_or(Value::is_null) && read.is_none(),
        };
        assert!(is_same, "{name}: planned {planned:?}, read {read:?}");
    }
    let mut after = now.attributes.clone();
    after.extend(object.clone());
    let update = TargetWrite::Update {
        before: now.clone(),
        after,
        rename: None,
    };
    let planned = subject.connector.refine(CLASS, update).await;
    let difference = planned.expect("a plan").difference();
    assert!(difference.is_empty(), "{difference:?}");
}

async fn keeps_values(subject: &Subject) {
    let large = "äb\"'\\,;\t%_".repeat(30_000);
    let mut object = person("Gus");
    object.insert("note".into(), json!(large));
    let mut expected = object.clone();
    let values = json!({
        "age": 42, "salary": 1234.5, "weight": 71.3, "active": true,
        "born": "1990-12-31", "seen": "2024-02-29T23:59:59.125Z",
    });
    for (name, value) in map(values) {
        let read = match &value {
            Value::String(_) => value.clone(),
            other if subject.types => other.clone(),
            other => json!(other.to_string()),
        };
        object.insert(name.clone(), value);
        expected.insert(name, read);
    }
    let before = subject.create("gus", &object).await;
    assert!(
        same_object(&plain(&before.attributes), &expected),
        "{:?}",
        short(&before)
    );
    plans_what_will_read(subject, (&object, &before)).await;
    let changed = json!({
        "age": -1, "salary": 0.1, "weight": 0.30000000000000004_f64, "active": false,
        "born": "2000-01-01", "seen": "2024-03-01T00:00:00Z",
    });
    let mut after = before.attributes.clone();
    after.extend(map(changed.clone()));
    let now = subject
        .update(&before, &after, None)
        .await
        .expect("new values");
    for (name, value) in map(changed) {
        let value = if subject.types || value.is_string() {
            value
        } else {
            json!(value.to_string())
        };
        assert!(
            recant::model::object::same(&now.attributes[&name], &value),
            "{name}: {:?}",
            short(&now)
        );
    }
    // What was just read is a precondition that holds.
    let back = subject
        .update(&now, &before.attributes, None)
        .await
        .expect("the old values");
    assert!(
        same_object(&back.attributes, &before.attributes),
        "{:?}",
        short(&back)
    );
    subject
        .delete(&back)
        .await
        .expect("a delete of typed values");
}

fn short(object: &TargetObject) -> Object {
    let mut attributes = object.attributes.clone();
    attributes.shift_remove("note");
    attributes
}

async fn pages_and_filters(subject: &Subject) {
    for number in 0..23 {
        let mut object = person(&format!("row{number:02}"));
        if subject.types {
            object.insert("age".into(), json!(number));
            object.insert("active".into(), json!(number % 2 == 0));
            object.insert("weight".into(), json!(f64::from(number) / 4.0));
            object.insert("salary".into(), json!(f64::from(number) * 1.5));
        }
        if number % 3 == 0 {
            object.shift_remove("mail");
        }
        subject.create(&format!("row-{number:02}"), &object).await;
    }
    let all = subject.all("true", 1000).await;
    for size in [1, 4, 23, 100] {
        let found = subject.all("_id sw \"row-\"", size).await;
        assert_eq!(found.len(), 23, "pages of {size}");
        let ids: std::collections::BTreeSet<_> = found.iter().map(|it| &it.id).collect();
        assert_eq!(ids.len(), 23, "pages of {size}");
    }
    for filter in [
        "true",
        "false",
        "name eq \"row07\"",
        "name co \"w1\"",
        "name sw \"row0\"",
        "name sw \"ROW\"",
        "name gt \"row20\"",
        "name le \"row03\"",
        "mail pr",
        "!(mail pr)",
        "mail eq null",
        "!(mail co \"row1\")",
        "age lt 4",
        "age ge 20 and active eq true",
        "!(age lt 20)",
        "weight gt 5.1",
        "salary eq 4.5",
        "salary lt 3",
        "active eq false",
        "!(active eq true)",
        "active eq \"true\"",
        "age eq \"4\"",
        "age eq 4.5",
        "age gt 4.5",
        "missing pr",
        "!(missing eq 1)",
        "name eq 4",
        "_id eq \"row-03\"",
        "_id gt \"row-20\"",
        "_id eq \"row-03\" or name eq \"row04\"",
        "name co \"%\"",
        "name co \"\"",
        "name sw \"\"",
        "name eq \"x' or 1=1 --\"",
        "name/first eq \"x\"",
        "_id eq 5",
    ] {
        let parsed = Filter::parse(filter).expect(filter);
        let mut expected: Vec<&str> = all
            .iter()
            .filter(|object| parsed.matches(&object.to_object()))
            .map(|object| object.id.as_str())
            .collect();
        expected.sort_unstable();
        let found = subject.all(filter, 6).await;
        let mut found: Vec<&str> = found.iter().map(|object| object.id.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{filter}");
    }
}

async fn names_what_does_not_fit(subject: &Subject) {
    let mut object = person("Hal");
    object.insert("no_such_thing".into(), json!("x"));
    if let Err(error) = subject.connector.create(CLASS, Some("hal"), &object).await {
        assert_eq!(error.kind, CauseKind::Refused);
        assert!(error.message.contains("no_such_thing"), "{error}");
        assert!(subject.read("hal").await.is_none());
    }
    let unknown = subject.connector.read("nothing", "x").await;
    refused(unknown);
}
