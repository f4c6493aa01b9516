//! Databases and files that fail: what is certain must be said so, and what is not, too.
use std::{net::SocketAddr, path::Path, time::Duration};

use recant::{
    connectors::{SharedConnector, Update},
    model::CauseKind,
};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use super::{
    MARIADB_TABLE, POSTGRES_TABLE, SQLITE_TABLE, connector, execute, sql_settings, sqlite,
    suite::{Subject, person, refused},
};
use crate::support::{
    proxy::{Mode, Proxy},
    servers,
};

const CLASS: &str = "account";

fn subject(connector: SharedConnector) -> Subject {
    Subject {
        connector,
        renames: true,
        versions: false,
        types: true,
    }
}

fn sql(url: &str) -> Subject {
    subject(connector(&sql_settings(url), Path::new("/")))
}

fn impatient(url: &str) -> Subject {
    let mut settings = sql_settings(url);
    settings["timeoutMs"] = json!(1000);
    subject(connector(&settings, Path::new("/")))
}

async fn postgres() -> Option<String> {
    let url = servers::fresh_database(&servers::postgres_url()?).await;
    execute(&url, &[POSTGRES_TABLE]).await;
    Some(url)
}

async fn mariadb() -> Option<String> {
    let url = servers::fresh_database(&servers::mariadb_url()?).await;
    execute(&url, &[MARIADB_TABLE]).await;
    Some(url)
}

async fn proxied(url: &str) -> (Proxy, Subject) {
    let mut url = url::Url::parse(url).unwrap();
    let server: SocketAddr = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
        .parse()
        .unwrap();
    let proxy = Proxy::before(server).await;
    url.set_port(Some(proxy.address().port())).unwrap();
    let subject = sql(url.as_str());
    (proxy, subject)
}

async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable() {
    let port = closed_port().await;
    for url in [
        format!("postgres://me:hush@127.0.0.1:{port}/hr"),
        format!("mysql://me:hush@127.0.0.1:{port}/hr"),
    ] {
        let subject = sql(&url);
        let error = subject
            .connector
            .create(CLASS, Some("x"), &person("X"))
            .await
            .unwrap_err();
        assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
        let error = subject.connector.test().await.unwrap_err();
        assert!(error.message.contains(&port.to_string()), "{error}");
        assert!(!format!("{error:?}").contains("hush"));
    }
    let missing = sql("sqlite:///no/such/folder/hr.db");
    let error = missing.connector.read(CLASS, "x").await.unwrap_err();
    assert_eq!(error.kind, CauseKind::Unavailable);
    let error = missing.connector.test().await.unwrap_err();
    assert!(error.message.contains("does not exist"), "{error}");
}

#[tokio::test]
async fn tests_say_what_is_wrong() {
    let (_folder, file) = sqlite(SQLITE_TABLE).await;
    let urls = [Some(file), postgres().await, mariadb().await];
    for url in urls.into_iter().flatten() {
        for (key, value, part) in [
            ("table", json!("persons"), "persons"),
            ("key", json!("uid"), "uid"),
            ("columns", json!(["name", "shoe"]), "shoe"),
            ("key", json!("name"), "unique"),
        ] {
            let mut settings = sql_settings(&url);
            settings["objects"]["account"][key] = value;
            let error = connector(&settings, Path::new("/"))
                .test()
                .await
                .unwrap_err();
            assert_eq!(error.kind, CauseKind::Refused, "{error:?}");
            assert!(error.message.contains(part), "{error}");
        }
        if url.starts_with("sqlite") {
            continue;
        }
        let mut wrong = url::Url::parse(&url).unwrap();
        wrong.set_password(Some("hush")).unwrap();
        let error = sql(wrong.as_str()).connector.test().await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Refused, "{error:?}");
        assert!(error.message.contains("credentials"), "{error}");
        assert!(!error.message.contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn constraints_are_refusals_with_the_targets_code() {
    let (_folder, file) = sqlite(SQLITE_TABLE).await;
    let urls = [Some(file), postgres().await, mariadb().await];
    for url in urls.into_iter().flatten() {
        let subject = sql(&url);
        let before = subject.create("a", &person("A")).await;
        let with = |name: &str, value: Value| {
            let mut object = person("B");
            object.insert(name.into(), value);
            object
        };
        let codes: &[&str] = match url.split(':').next() {
            Some("sqlite") => &[
                "SQLITE_CONSTRAINT_UNIQUE",
                "SQLITE_CONSTRAINT_CHECK",
                "SQLITE_CONSTRAINT_NOTNULL",
            ],
            Some("postgres") => &["23505", "23514", "23502"],
            _ => &["23000", "23000", "23000"],
        };
        let mut nameless = person("C");
        nameless.shift_remove("name");
        let objects = [
            with("mail", json!("A@example.com")),
            with("age", json!(-6)),
            nameless,
        ];
        for (object, code) in objects.iter().zip(codes) {
            let error = refused(subject.connector.create(CLASS, Some("b"), object).await);
            assert!(error.code == *code || error.code == "HY000", "{error:?}");
            assert!(subject.read("b").await.is_none());
        }
        let mut after = before.attributes.clone();
        after.insert("age".into(), json!(-6));
        refused(subject.update(&before, &after, None).await);
        after.insert("age".into(), json!("many"));
        if !url.starts_with("sqlite") {
            refused(subject.update(&before, &after, None).await);
        }
        assert_eq!(subject.existing("a").await, before);
        // The connection goes on after refusals.
        subject.create("c", &person("C")).await;
    }
}

#[tokio::test]
async fn a_constraint_that_is_checked_at_the_commit_is_a_refusal() {
    let Some(url) = postgres().await else { return };
    execute(&url, &[
        "create table boss (id text primary key)",
        "alter table people add constraint boss foreign key (note) references boss deferrable initially deferred",
    ]).await;
    let subject = sql(&url);
    let error = refused(
        subject
            .connector
            .create(CLASS, Some("a"), &person("A"))
            .await,
    );
    assert_eq!(error.code, "23503");
    assert!(subject.read("a").await.is_none());
}

#[tokio::test]
async fn a_read_only_file_refuses() {
    let (folder, url) = sqlite(SQLITE_TABLE).await;
    let subject = sql(&url);
    let before = subject.create("a", &person("A")).await;
    drop(subject);
    let file = folder.path().join("hr.db");
    let subject = sql(&format!("sqlite://{}?mode=ro", file.display()));
    assert_eq!(subject.existing("a").await, before);
    let error = refused(
        subject
            .connector
            .create(CLASS, Some("b"), &person("B"))
            .await,
    );
    assert_eq!(error.code, "SQLITE_READONLY");
    refused(subject.delete(&before).await);
}

#[tokio::test]
async fn a_locked_row_or_file_is_unavailable_and_stays_as_it_is() {
    let (_folder, file) = sqlite(SQLITE_TABLE).await;
    let subject = impatient(&file);
    let before = subject.create("a", &person("A")).await;
    let mut after = before.attributes.clone();
    after.insert("name".into(), json!("late"));
    let mut other = SqliteConnection::connect(&file).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let error = subject.update(&before, &after, None).await.unwrap_err();
    assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
    other.execute("rollback").await.unwrap();
    assert_eq!(subject.existing("a").await, before);

    if let Some(url) = postgres().await {
        let subject = impatient(&url);
        let before = subject.create("a", &person("A")).await;
        let mut other = PgConnection::connect(&url).await.unwrap();
        other
            .execute("begin; select * from people for update")
            .await
            .unwrap();
        let error = subject.update(&before, &after, None).await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
        other.execute("rollback").await.unwrap();
        assert_eq!(subject.existing("a").await, before);
        subject
            .update(&before, &after, None)
            .await
            .expect("free again");
    }
    if let Some(url) = mariadb().await {
        let subject = impatient(&url);
        let before = subject.create("a", &person("A")).await;
        let mut other = sqlx::MySqlConnection::connect(&url).await.unwrap();
        other.execute("start transaction").await.unwrap();
        other
            .execute("select * from people for update")
            .await
            .unwrap();
        let error = subject.update(&before, &after, None).await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
        other.execute("rollback").await.unwrap();
        assert_eq!(subject.existing("a").await, before);
        subject
            .update(&before, &after, None)
            .await
            .expect("free again");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    let Some(url) = postgres().await else { return };
    let subject = impatient(&url);
    let before = subject.create("a", &person("A")).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    other
        .execute("begin; select * from people for update")
        .await
        .unwrap();
    let mut after = before.attributes.clone();
    after.insert("name".into(), json!("late"));
    let update = Update {
        before: &before,
        after: &after,
        rename: None,
    };
    for _ in 0..40 {
        let call = subject.connector.update(CLASS, &update);
        let _ = tokio::time::timeout(Duration::from_millis(5), call).await;
    }
    // More calls were dropped than there are connections: none of them is lost or half used.
    assert_eq!(subject.existing("a").await, before);
    other
        .execute("update people set name = 'first'; commit")
        .await
        .unwrap();
    // Whatever the server still had to do finds another row than it expects.
    assert_eq!(subject.existing("a").await.attributes["name"], "first");
}

#[tokio::test]
async fn a_postgres_connection_that_is_cut_while_writing_is_unknown() {
    let Some(url) = postgres().await else { return };
    let (proxy, subject) = proxied(&url).await;
    let direct = sql(&url);
    let before = subject.create("a", &person("A")).await;
    let mut after = before.attributes.clone();
    after.insert("name".into(), json!("cut"));
    // Its statement is prepared on the connection that stays.
    let mut before = subject.update(&before, &after, None).await.unwrap();
    for (mode, happened) in [(Mode::CutRequest, false), (Mode::CutAnswer, true)] {
        after.insert("name".into(), json!(format!("{mode:?}")));
        proxy.set(mode);
        let update = Update {
            before: &before,
            after: &after,
            rename: None,
        };
        let error = subject.connector.update(CLASS, &update).await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Unknown, "{mode:?}: {error:?}");
        let error = subject.connector.read(CLASS, "a").await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Unavailable, "{mode:?}: {error:?}");
        proxy.set(Mode::Pass);
        let changed = eventually(&direct, &after, happened).await;
        assert_eq!(changed, happened, "{mode:?}");
        // It goes on by itself, on a new connection, which is warm for the next round.
        before = direct.existing("a").await;
        after.insert("name".into(), json!(format!("after {mode:?}")));
        before = subject
            .update(&before, &after, None)
            .await
            .expect("a new connection");
    }
}

/// Whether the row becomes what was to be written; a statement whose answer is lost may still run.
async fn eventually(subject: &Subject, after: &recant::model::Object, wanted: bool) -> bool {
    for _ in 0..200 {
        let now = subject.existing("a").await;
        if now.attributes["name"] == after["name"] {
            return true;
        }
        if !wanted {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn a_mariadb_connection_is_unknown_only_from_the_commit_on() {
    let Some(url) = mariadb().await else { return };
    let (proxy, subject) = proxied(&url).await;
    let direct = sql(&url);
    let before = subject.create("a", &person("A")).await;
    let mut after = before.attributes.clone();
    after.insert("name".into(), json!("warm"));
    let mut before = subject.update(&before, &after, None).await.unwrap();
    // UPDATE, SELECT, COMMIT: each is one request and one answer.
    for (pieces, mode, kind, happened) in [
        (0, Mode::CutRequest, CauseKind::Unavailable, false),
        (0, Mode::CutAnswer, CauseKind::Unavailable, false),
        (1, Mode::CutAnswer, CauseKind::Unavailable, false),
        (2, Mode::CutRequest, CauseKind::Unknown, false),
        (2, Mode::CutAnswer, CauseKind::Unknown, true),
    ] {
        let name = format!("{mode:?} {pieces}");
        after.insert("name".into(), json!(name));
        proxy.set_after(pieces, mode);
        let update = Update {
            before: &before,
            after: &after,
            rename: None,
        };
        let error = subject.connector.update(CLASS, &update).await.unwrap_err();
        assert_eq!(error.kind, kind, "{name}: {error:?}");
        proxy.set(Mode::Pass);
        assert_eq!(
            eventually(&direct, &after, happened).await,
            happened,
            "{name}"
        );
        // The next round has a warm connection again.
        before = direct.existing("a").await;
        after.insert("name".into(), json!(format!("after {name}")));
        before = subject
            .update(&before, &after, None)
            .await
            .expect("a new connection");
    }
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_no_refusal() {
    let Some(url) = postgres().await else { return };
    let subject = sql(&url);
    let before = subject.create("a", &person("A")).await;
    execute(
        &url,
        &["select pg_terminate_backend(pid) from pg_stat_activity \
        where application_name = 'recant' and datname = current_database()"],
    )
    .await;
    // Reading goes on, on a new connection.
    assert_eq!(subject.existing("a").await, before);
    execute(
        &url,
        &["select pg_terminate_backend(pid) from pg_stat_activity \
        where application_name = 'recant' and datname = current_database()"],
    )
    .await;
    match subject
        .connector
        .create(CLASS, Some("b"), &person("B"))
        .await
    {
        Ok(written) => assert_eq!(written.id, "b"),
        Err(error) => assert_ne!(error.kind, CauseKind::Refused, "{error:?}"),
    }
    subject.connector.test().await.expect("a good target");
}

#[tokio::test]
async fn a_database_that_is_read_only_refuses_and_says_so() {
    if let Some(url) = postgres().await {
        sql(&url).create("a", &person("A")).await;
        let mut read_only = url::Url::parse(&url).unwrap();
        let option = "-c default_transaction_read_only=on";
        read_only.query_pairs_mut().append_pair("options", option);
        refuses_writes(&sql(read_only.as_str()), "25006").await;
    }
    if let Some(url) = mariadb().await {
        let subject = sql(&url);
        let before = subject.create("a", &person("A")).await;
        // A view that joins nothing can be read, and only its owner's rights let it be written.
        execute(
            &url,
            &["create algorithm = temptable view readers as select * from people"],
        )
        .await;
        let mut settings = sql_settings(&url);
        settings["objects"]["account"]["table"] = json!("readers");
        let readers = self::subject(connector(&settings, Path::new("/")));
        assert_eq!(readers.existing("a").await, before);
        refuses_writes(&readers, "").await;
    }
}

async fn refuses_writes(subject: &Subject, code: &str) {
    let before = subject.existing("a").await;
    let mut after = before.attributes.clone();
    after.insert("note".into(), json!("changed"));
    let update = Update {
        before: &before,
        after: &after,
        rename: None,
    };
    let target = &subject.connector;
    for error in [
        refused(target.create(CLASS, Some("b"), &person("B")).await),
        refused(target.update(CLASS, &update).await),
        refused(target.delete(CLASS, &before).await),
    ] {
        assert!(code.is_empty() || error.code == code, "{error:?}");
    }
    assert_eq!(subject.existing("a").await, before);
}
