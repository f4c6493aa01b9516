//! Types, keys and tables as databases really have them.
use std::path::Path;

use recant::{
    connectors::{Query, SharedConnector},
    model::{
        Filter,
        object::{same, same_object},
    },
};
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};

use super::{
    connector, execute, sqlite,
    suite::{Subject, map, refused},
};
use crate::support::servers;

const CLASS: &str = "account";

fn table(url: &str, class: Value) -> Subject {
    let value = json!({"type": "sql", "url": url, "objects": {"account": class}});
    subject(connector(&value, Path::new("/")))
}

fn subject(connector: SharedConnector) -> Subject {
    Subject {
        connector,
        renames: true,
        versions: false,
        types: true,
    }
}

/// Writes each value, reads it back, takes it as the precondition of a change, and deletes the row.
async fn goes_round(subject: &Subject, values: Value) {
    let object = map(values);
    let created = subject.create("1", &object).await;
    for (name, value) in &object {
        let read = created.attributes.get(name);
        assert!(
            read.is_some_and(|read| same(read, value)),
            "{name}: {value} became {read:?}"
        );
    }
    for name in object.keys() {
        let before = subject.existing("1").await;
        let mut after = before.attributes.clone();
        after.shift_remove(name);
        let without = subject.update(&before, &after, None).await;
        let without = without.unwrap_or_else(|error| panic!("remove {name}: {error:?}"));
        assert!(!without.attributes.contains_key(name), "{name}");
        let with = subject.update(&without, &before.attributes, None).await;
        let with = with.unwrap_or_else(|error| panic!("set {name}: {error:?}"));
        assert!(same_object(&with.attributes, &before.attributes), "{name}");
    }
    let last = subject.existing("1").await;
    subject
        .delete(&last)
        .await
        .expect("every value is a precondition that holds");
    assert!(subject.read("1").await.is_none());
}

#[tokio::test]
async fn postgres_types_keep_their_values() {
    let Some(server) = servers::postgres_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    execute(&url, &[
        "create type mood as enum ('sad', 'glad')",
        "create domain mail as text check (value like '%@%')",
        "create schema \"My Schema\"",
        "create table \"My Schema\".\"All\" (id int generated always as identity primary key, \
         a_small smallint, a_big bigint, a_numeric numeric, a_scaled numeric(10,4), a_real float4, \
         a_double float8, a_bool bool, a_char char(5), a_varchar varchar(5), a_text text, a_bytea bytea, \
         a_date date, a_time time, a_timestamp timestamp, a_timestamptz timestamptz, \
         an_interval interval, a_uuid uuid, a_json json, a_jsonb jsonb, an_inet inet, a_mood mood, \
         a_mail mail, some_text text[], some_int int[], some_numeric numeric[], a_range int4range, \
         \"odd \"\"name\" text, twice bigint generated always as (a_big * 2) stored)",
    ]).await;
    let subject = table(&url, json!({"table": "My Schema.All", "key": "id"}));
    goes_round(&subject, json!({
        "a_small": -7, "a_big": 9007199254740993_i64, "a_numeric": "12345678901234567890.0123456789",
        "a_scaled": 1.25, "a_real": 1.1, "a_double": 0.1, "a_bool": true, "a_char": "ab",
        "a_varchar": "abcde", "a_text": "a\tb\\ 'c'", "a_bytea": "AAH/", "a_date": "2024-02-29",
        "a_time": "08:05:06.5", "a_timestamp": "2024-02-29T08:05:06.123456",
        "a_timestamptz": "2024-02-29T08:05:06Z", "an_interval": "1 day 02:03:04",
        "a_uuid": "3f06af63-a93c-11e4-9797-00505690773f", "a_json": {"b": [1, 2.5, null], "a": "x"},
        "a_jsonb": [true, {"k": "v"}], "an_inet": "10.0.0.0/8", "a_mood": "glad", "a_mail": "a@b",
        "some_text": ["a,b", "{x}", "\"q\"", "", null, "NULL", "back\\slash"], "some_int": [1, -2],
        "some_numeric": ["1.50", "2"], "a_range": "[1,5)", "odd \"name": "x",
    })).await;
    let long = map(json!({"a_varchar": "abcdef"}));
    assert_eq!(
        refused(subject.connector.create(CLASS, Some("2"), &long).await).code,
        "22001"
    );
    let mood = map(json!({"a_mood": "bored"}));
    assert_eq!(
        refused(subject.connector.create(CLASS, Some("2"), &mood).await).code,
        "22P02"
    );
    let given = subject
        .connector
        .create(CLASS, None, &map(json!({"a_big": 4})))
        .await
        .unwrap();
    let row = subject.existing(&given.id).await;
    assert_eq!(row.attributes, map(json!({"a_big": 4, "twice": 8})));
    subject.delete(&row).await.unwrap();
    subject.create(&given.id, &row.attributes).await;
    assert!(subject.read("no number").await.is_none());
    assert!(subject.read("007").await.is_none());
    assert_eq!(
        subject
            .all(&format!("_id eq \"{}\"", given.id), 5)
            .await
            .len(),
        1
    );
    assert_eq!(subject.all("_id eq \"x\"", 5).await.len(), 0);
    assert_eq!(
        subject
            .all("some_text co \"x\" or a_big eq 4", 5)
            .await
            .len(),
        1
    );
    let row = map(
        json!({"a_scaled": 1.25, "an_inet": "10.0.0.1", "a_mood": "sad",
        "a_numeric": "0.10000000000000000000001", "a_uuid": "3f06af63-a93c-11e4-9797-00505690773f"}),
    );
    subject.connector.create(CLASS, None, &row).await.unwrap();
    for (filter, count) in [
        ("a_scaled eq 1.25", 1),
        ("a_numeric eq 0.1", 0),
        ("a_numeric co \"0001\"", 1),
        ("a_uuid eq \"3f06af63-a93c-11e4-9797-00505690773f\"", 1),
        ("a_uuid eq \"3F06AF63-A93C-11E4-9797-00505690773F\"", 0),
        ("a_uuid eq \"no uuid\" or a_mood eq \"sad\"", 1),
        ("!(a_uuid eq \"3f06af63-a93c-11e4-9797-00505690773f\")", 1),
        ("an_inet sw \"10.\"", 1),
        ("a_mood eq \"bored\"", 0),
    ] {
        assert_eq!(subject.all(filter, 5).await.len(), count, "{filter}");
    }
}

#[tokio::test]
async fn mariadb_types_keep_their_values() {
    let Some(server) = servers::mariadb_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    execute(&url, &[
        "create table everything (id bigint unsigned auto_increment primary key, a_tiny tinyint, \
         a_big bigint, a_huge bigint unsigned, a_decimal decimal(30,10), a_float float, a_double double, \
         a_bool boolean, a_bit bit(6), a_year year, a_char char(5), a_latin varchar(20) character set latin1, \
         a_text text, a_blob blob, a_date date, a_time time(3), a_datetime datetime(6), \
         a_timestamp timestamp(3) null, a_json json, an_enum enum('sad', 'glad'), a_set set('a', 'b'), \
         a_uuid uuid, an_inet inet6, `odd ``name` text, twice bigint as (a_big * 2) stored)",
    ]).await;
    let subject = table(&url, json!({"table": "everything", "key": "id"}));
    goes_round(&subject, json!({
        "a_tiny": -7, "a_big": -9007199254740993_i64, "a_huge": 18446744073709551615_u64,
        "a_decimal": "12345678901234567890.0123456789", "a_float": 1.1, "a_double": 0.1, "a_bool": true,
        "a_bit": 33, "a_year": 2024, "a_char": "ab", "a_latin": "é ß", "a_text": "Straße 😀 ",
        "a_blob": "AAH/", "a_date": "2024-02-29", "a_time": "08:05:06.500",
        "a_datetime": "2024-02-29T08:05:06.123456", "a_timestamp": "2024-02-29T08:05:06.25Z",
        "a_json": {"b": [1, 2.5, null], "a": "x"}, "an_enum": "glad", "a_set": "a,b",
        "a_uuid": "3f06af63-a93c-11e4-9797-00505690773f", "an_inet": "2001:db8::1", "odd `name": "x",
    })).await;
    let long = map(json!({"a_char": "abcdef"}));
    assert_eq!(
        refused(subject.connector.create(CLASS, Some("2"), &long).await).code,
        "22001"
    );
    refused(
        subject
            .connector
            .create(CLASS, Some("x"), &map(json!({})))
            .await,
    );
    let given = subject
        .connector
        .create(CLASS, None, &map(json!({"a_big": 4})))
        .await
        .unwrap();
    let row = subject.existing(&given.id).await;
    assert_eq!(row.attributes, map(json!({"a_big": 4, "twice": 8})));
    subject.delete(&row).await.unwrap();
    subject.create(&given.id, &row.attributes).await;
    assert!(subject.read("no number").await.is_none());
    assert!(subject.read(&format!("{}x", given.id)).await.is_none());
}

#[tokio::test]
async fn sqlite_types_keep_their_values() {
    let (_folder, url) = sqlite(
        "create table everything (id integer primary key, an_int int, a_real real, a_text text, \
         a_bool boolean, a_json json, a_blob blob, a_decimal decimal(10, 2), anything, \
         twice int as (an_int * 2))",
    )
    .await;
    let subject = table(&url, json!({"table": "everything", "key": "id"}));
    goes_round(
        &subject,
        json!({
            "an_int": 9007199254740993_i64, "a_real": 0.1, "a_text": "5", "a_bool": false,
            "a_json": {"b": [1, 2.5, null], "a": "x"}, "a_decimal": 1.5, "anything": "5",
        }),
    )
    .await;
    let given = subject
        .connector
        .create(CLASS, None, &map(json!({"an_int": 4})))
        .await
        .unwrap();
    let row = subject.existing(&given.id).await;
    assert_eq!(row.attributes, map(json!({"an_int": 4, "twice": 8})));
    subject.delete(&row).await.unwrap();
    subject.create(&given.id, &row.attributes).await;
    assert!(subject.read("no number").await.is_none());
    refused(
        subject
            .connector
            .create(CLASS, Some("no number"), &row.attributes)
            .await,
    );
}

#[tokio::test]
async fn an_id_is_exactly_itself_whatever_the_collation() {
    let create = "create table people (login varchar(60) primary key, name text)";
    let (_folder, file) = sqlite(&create.replace("varchar(60)", "text collate nocase")).await;
    let mut urls = vec![file];
    if let Some(server) = servers::mariadb_url() {
        let url = servers::fresh_database(&server).await;
        execute(&url, &[create]).await;
        urls.push(url);
    }
    for url in urls {
        let subject = table(&url, json!({"table": "people", "key": "login"}));
        let before = subject.create("Ann", &map(json!({"name": "Ann"}))).await;
        assert!(subject.read("ann").await.is_none());
        refused(
            subject
                .connector
                .create(CLASS, Some("ANN"), &map(json!({"name": "x"})))
                .await,
        );
        assert_eq!(subject.all("_id eq \"ann\"", 5).await.len(), 0);
        assert_eq!(subject.all("name eq \"ann\"", 5).await.len(), 0);
        let renamed = subject
            .update(&before, &before.attributes, Some("ann"))
            .await
            .unwrap();
        let stale = map(json!({"name": "y"}));
        let mut wrong = renamed.clone();
        wrong.attributes = map(json!({"name": "ann"}));
        refused(subject.update(&wrong, &stale, None).await);
        assert_eq!(subject.existing("ann").await.attributes["name"], "Ann");
    }
}

#[tokio::test]
async fn only_the_columns_that_were_named_exist() {
    let (_folder, url) =
        sqlite("create table people (login text primary key, name text, secret text)").await;
    let subject = table(
        &url,
        json!({"table": "people", "key": "login", "columns": ["name"]}),
    );
    let before = subject.create("a", &map(json!({"name": "A"}))).await;
    execute(&url, &["update people set secret = 'x'"]).await;
    assert_eq!(subject.existing("a").await, before);
    let error = refused(
        subject
            .connector
            .create(CLASS, Some("b"), &map(json!({"secret": "y"})))
            .await,
    );
    assert!(
        error.message.contains("`secret`") && error.message.contains("`people`"),
        "{error}"
    );
    let error = refused(
        subject
            .connector
            .create(CLASS, Some("b"), &map(json!({"login": "y"})))
            .await,
    );
    assert!(error.message.contains("`_id`"), "{error}");
    subject
        .delete(&before)
        .await
        .expect("what cannot be seen is no precondition");
}

#[tokio::test]
async fn a_table_that_changes_is_looked_at_again() {
    let create = "create table people (login varchar(60) primary key, name varchar(60))";
    let (_folder, file) = sqlite(create).await;
    let mut urls = vec![file];
    for server in [servers::postgres_url(), servers::mariadb_url()]
        .into_iter()
        .flatten()
    {
        let url = servers::fresh_database(&server).await;
        execute(&url, &[create]).await;
        urls.push(url);
    }
    for url in urls {
        let subject = table(&url, json!({"table": "people", "key": "login"}));
        let before = subject.create("a", &map(json!({"name": "A"}))).await;
        let after = map(json!({"name": "A", "phone": "1"}));
        refused(subject.update(&before, &after, None).await);
        execute(&url, &["alter table people add column phone varchar(20)"]).await;
        let now = subject
            .update(&before, &after, None)
            .await
            .expect("the new column");
        assert!(same_object(&now.attributes, &after));
        execute(&url, &["alter table people drop column phone"]).await;
        assert_eq!(subject.existing("a").await, before, "{url}");
    }
}

#[tokio::test]
async fn a_table_without_transactions_is_no_target() {
    let Some(server) = servers::mariadb_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    execute(
        &url,
        &["create table old (id int primary key, name text) engine = MyISAM"],
    )
    .await;
    let subject = table(&url, json!({"table": "old", "key": "id"}));
    let error = refused(subject.connector.test().await);
    assert!(error.message.contains("InnoDB"), "{error}");
    refused(
        subject
            .connector
            .create(CLASS, Some("1"), &map(json!({"name": "A"})))
            .await,
    );
}

#[tokio::test]
async fn a_type_that_is_not_known_is_an_error_and_no_silence() {
    let Some(server) = servers::mariadb_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    execute(
        &url,
        &["create table places (id int primary key, name text, spot point)"],
    )
    .await;
    let error = refused(
        table(&url, json!({"table": "places", "key": "id"}))
            .connector
            .test()
            .await,
    );
    assert!(error.message.contains("`spot`"), "{error}");
    let subject = table(
        &url,
        json!({"table": "places", "key": "id", "columns": ["name"]}),
    );
    subject.create("1", &map(json!({"name": "A"}))).await;
}

#[tokio::test]
async fn rows_with_numbers_for_keys_are_listed_in_their_order() {
    let (_folder, file) = sqlite("create table people (id integer primary key, name text)").await;
    let mut urls = vec![file];
    for server in [servers::postgres_url(), servers::mariadb_url()] {
        let Some(server) = server else { continue };
        let url = servers::fresh_database(&server).await;
        execute(
            &url,
            &["create table people (id int primary key, name varchar(20))"],
        )
        .await;
        urls.push(url);
    }
    for url in urls {
        for id in 1..=25 {
            let insert = format!("insert into people (id, name) values ({id}, 'x')");
            execute(&url, &[&insert]).await;
        }
        let subject = table(&url, json!({"table": "people", "key": "id"}));
        let all = subject.all("name eq \"x\"", 7).await;
        let ids: Vec<String> = all.into_iter().map(|object| object.id).collect();
        let expected: Vec<String> = (1..=25).map(|id| id.to_string()).collect();
        assert_eq!(ids, expected, "{url}");
    }
}

/// The ids that are listed without their objects, a few at a time.
async fn ids_alone(subject: &Subject, page_size: usize) -> Vec<String> {
    let mut query = Query {
        filter: Filter::Literal(true),
        page_size,
        cursor: None,
    };
    let mut ids = Vec::new();
    loop {
        let page = subject.connector.list_ids(CLASS, &query).await.unwrap();
        let page = page.expect("ids without their objects");
        assert!(page.ids.len() <= page_size);
        ids.extend(page.ids);
        if page.cursor.is_none() {
            return ids;
        }
        query.cursor = page.cursor;
    }
}

/// Every kind of key, values that are hard to write included.
#[tokio::test]
async fn ids_alone_are_those_of_the_objects() {
    let hard = r#"'"', '\', 'é', '0', '007', '1e3', 'null', ' ', 'a''b', 'true', '😀'"#;
    let keys = [
        ("sqlite", "text", hard),
        ("sqlite", "integer", "-3, 0, 10, 9, 9007199254740993"),
        ("sqlite", "real", "-0.5, 1.0, 2.25, 1e300"),
        ("sqlite", "blob", "x'00ff', x'61', 'text', 7"),
        ("sqlite", "", "'b', 10, 2.5, '10x', x'ff'"),
        ("postgres", "text", hard),
        ("postgres", "bigint", "-3, 0, 10, 9, 9007199254740993"),
        (
            "postgres",
            "numeric(20, 3)",
            "-0.5, 1, 2.250, 90071992547409.125",
        ),
        (
            "postgres",
            "uuid",
            "'00000000-0000-0000-0000-00000000000a', 'ffffffff-0000-0000-0000-000000000001'",
        ),
        ("postgres", "date", "'2026-01-02', '0999-01-01'"),
        (
            "postgres",
            "timestamptz",
            "'2026-01-02T03:04:05.678+02:00', '2026-01-02T03:04:05Z'",
        ),
        ("postgres", "bytea", r"'\x00ff', '\x61'"),
        (
            "mysql",
            "varchar(20) character set utf8mb4 collate utf8mb4_bin",
            r#"'"', 'é', '007', 'null', 'a''b', '😀'"#,
        ),
        ("mysql", "bigint", "-3, 0, 10, 9, 9007199254740993"),
    ];
    for (product, kind, values) in keys {
        let (_folder, url) = sqlite("create table unused (id int)").await;
        let url = match product {
            "sqlite" => url,
            other => {
                let server = match other {
                    "postgres" => servers::postgres_url(),
                    _ => servers::mariadb_url(),
                };
                let Some(server) = server else { continue };
                servers::fresh_database(&server).await
            }
        };
        let rows: Vec<String> = values
            .split(", ")
            .map(|value| format!("({value})"))
            .collect();
        let insert = format!("insert into things (id) values {}", rows.join(", "));
        let create = format!("create table things (id {kind} primary key, name varchar(20))");
        execute(&url, &[&create, &insert]).await;
        let subject = table(&url, json!({"table": "things", "key": "id"}));
        let whole = subject.all("true", 100).await;
        let whole: Vec<String> = whole.into_iter().map(|object| object.id).collect();
        assert_eq!(whole.len(), rows.len(), "{product} {kind}");
        for page_size in [2, 100] {
            let alone = ids_alone(&subject, page_size).await;
            assert_eq!(alone, whole, "{product} {kind}, {page_size} at a time");
        }
        execute(&url, &["delete from things"]).await;
        assert_eq!(ids_alone(&subject, 2).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_sqlite_file_of_others_keeps_its_journal_mode() {
    let create = "create table people (login text primary key, name text)";
    let mode = async |url: &str| {
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        let row = sqlx::query("pragma journal_mode").fetch_one(&mut connection);
        let mode: String = row.await.unwrap().get(0);
        mode
    };
    for (switches, wanted) in [(false, "delete"), (true, "wal")] {
        let (_folder, url) = sqlite(create).await;
        let mut settings = json!({"type": "sql", "url": url,
            "objects": {"account": {"table": "people", "key": "login"}}});
        if switches {
            settings["writeAheadLog"] = json!(true);
        }
        let connector = connector(&settings, Path::new("/"));
        let ann = map(json!({"name": "A"}));
        connector.create(CLASS, Some("a"), &ann).await.unwrap();
        connector.read(CLASS, "a").await.unwrap().expect("a row");
        assert_eq!(mode(&url).await, wanted);
    }
    // A file that the connector makes is Recant's.
    let folder = tempfile::tempdir().unwrap();
    let url = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("new.db").display()
    );
    let settings = json!({"type": "sql", "url": url,
        "objects": {"account": {"table": "people", "key": "login"}}});
    let connector = connector(&settings, Path::new("/"));
    connector.test().await.unwrap_err();
    assert_eq!(mode(&url).await, "wal");
}
