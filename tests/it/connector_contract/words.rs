//! What `connectors test` says about a target that does not work: words that an admin can act on.
use std::path::Path;

use recant::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::{connector, execute, sqlite};
use crate::support::{people::People, servers};

/// Tests a connector and compares what is said with what has to stand in it.
async fn says(value: Value, folder: &Path, words: &[&str]) {
    let said = connector(&value, folder).test().await;
    let said = said.err().map(|error| error.message).unwrap_or_default();
    for word in words {
        assert!(
            said.contains(word),
            "`{word}` is missing in: {said}\n{value}"
        );
    }
    assert!(!said.contains("hush"), "{said}");
}

fn sql(url: &str, class: &Value) -> Value {
    json!({"type": "sql", "url": url, "timeoutMs": 3000, "retry": {"attempts": 1},
        "objects": {"account": class}})
}

fn with(url: &str, change: impl FnOnce(&mut url::Url)) -> String {
    let mut url = url::Url::parse(url).unwrap();
    change(&mut url);
    url.into()
}

/// What is wrong with a class is said in the same words by every database.
async fn class_words(url: &str) {
    for (class, words) in [
        (
            json!({"table": "nobody", "key": "login"}),
            &["`account`", "no table `nobody`"][..],
        ),
        (
            json!({"table": "people", "key": "uid"}),
            &["`people`", "no column `uid`"],
        ),
        (
            json!({"table": "people", "key": "login", "columns": ["name", "fax"]}),
            &["`people`", "no column `fax`"],
        ),
        (
            json!({"table": "people", "key": "name"}),
            &["`name`", "unique index"],
        ),
    ] {
        says(sql(url, &class), Path::new("/"), words).await;
    }
}

fn good() -> Value {
    json!({"table": "people", "key": "login"})
}

#[tokio::test]
async fn about_sqlite() {
    let (folder, url) = sqlite("create table people (login text primary key, name text)").await;
    class_words(&url).await;
    says(
        sql("sqlite://none.db", &good()),
        folder.path(),
        &["none.db", "does not exist", "`url`"],
    )
    .await;
    std::fs::write(
        folder.path().join("text.db"),
        "this is a letter, and no database at all".repeat(99),
    )
    .unwrap();
    says(
        sql("sqlite://text.db", &good()),
        folder.path(),
        &["text.db", "not a database"],
    )
    .await;
}

#[tokio::test]
async fn about_postgres() {
    let Some(server) = servers::postgres_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    let role = format!("r{}", SystemClock.fresh_id().simple());
    execute(
        &url,
        &[
            "create table people (login text primary key, name text)",
            &format!("create role {role} login password 'hush'"),
        ],
    )
    .await;
    class_words(&url).await;
    let wrong = with(&url, |url| url.set_password(Some("hush")).unwrap());
    says(
        sql(&wrong, &good()),
        Path::new("/"),
        &["does not accept the credentials", "`url`"],
    )
    .await;
    let nowhere = with(&url, |url| url.set_path("/nowhere"));
    says(
        sql(&nowhere, &good()),
        Path::new("/"),
        &["nowhere", "does not exist", "`url`"],
    )
    .await;
    let stranger = with(&url, |url| {
        url.set_username(&role).unwrap();
        url.set_password(Some("hush")).unwrap();
    });
    says(
        sql(&stranger, &good()),
        Path::new("/"),
        &["may not read", "GRANT"],
    )
    .await;
    let closed = with(&url, |url| url.set_port(Some(1)).unwrap());
    says(
        sql(&closed, &good()),
        Path::new("/"),
        &["127.0.0.1:1", "cannot be reached", "refused"],
    )
    .await;
    execute(&url, &[&format!("drop role {role}")]).await;
}

#[tokio::test]
async fn about_mariadb() {
    let Some(server) = servers::mariadb_url() else {
        return;
    };
    let url = servers::fresh_database(&server).await;
    let user = format!("u{}", &SystemClock.fresh_id().simple().to_string()[12..]);
    let database = url::Url::parse(&url).unwrap().path()[1..].to_owned();
    execute(
        &url,
        &[
            "create table people (login varchar(80) primary key, name varchar(80))",
            "create table others (login varchar(80) primary key)",
            &format!("create user {user}@'127.0.0.1' identified by 'hush'"),
            &format!("grant select on {database}.others to {user}@'127.0.0.1'"),
        ],
    )
    .await;
    class_words(&url).await;
    let wrong = with(&url, |url| url.set_password(Some("hush")).unwrap());
    says(
        sql(&wrong, &good()),
        Path::new("/"),
        &["does not accept the credentials", "`url`"],
    )
    .await;
    let nowhere = with(&url, |url| url.set_path("/nowhere"));
    says(
        sql(&nowhere, &good()),
        Path::new("/"),
        &["nowhere", "does not exist", "`url`"],
    )
    .await;
    let stranger = with(&url, |url| {
        url.set_username(&user).unwrap();
        url.set_password(Some("hush")).unwrap();
    });
    // MariaDB shows nobody what they may not read.
    says(
        sql(&stranger, &good()),
        Path::new("/"),
        &["no table `people`", "may not see it"],
    )
    .await;
    let closed = with(&url, |url| url.set_port(Some(1)).unwrap());
    says(
        sql(&closed, &good()),
        Path::new("/"),
        &["127.0.0.1:1", "cannot be reached", "refused"],
    )
    .await;
    execute(&url, &[&format!("drop user {user}@'127.0.0.1'")]).await;
}

#[tokio::test]
async fn about_csv() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder.csv")).unwrap();
    std::fs::write(folder.path().join("other.csv"), "name,mail\nx,y\n").unwrap();
    std::fs::write(folder.path().join("ragged.csv"), "login,name\na,b,c\n").unwrap();
    std::fs::write(folder.path().join("latin.csv"), b"login,name\na,\xe9\n").unwrap();
    for (file, words) in [
        (
            "no/such.csv",
            &["no` does not exist or is not mounted", "`file`"][..],
        ),
        ("folder.csv", &["folder.csv", "a folder", "`file`"]),
        ("other.csv", &["other.csv", "no column `login`", "`key`"]),
        ("ragged.csv", &["ragged.csv", "line 2", "more cells"]),
        ("latin.csv", &["latin.csv", "line 2", "UTF-8"]),
    ] {
        let value = json!({"type": "csv", "file": file, "objects": {"account": {"key": "login"}}});
        says(value, folder.path(), words).await;
    }
    let value = json!({"type": "csv", "file": "none.csv", "createFile": false,
        "objects": {"account": {"key": "login"}}});
    says(
        value,
        folder.path(),
        &["none.csv", "does not exist", "`createFile`"],
    )
    .await;
}

#[tokio::test]
async fn about_rest() {
    let people = People::start().await;
    let good = People::settings(people.address, "put", "put");
    for (pointer, wrong, words) in [
        (
            "/auth/bearer",
            json!("hush"),
            &["does not accept the credentials", "`auth`", "who are you"][..],
        ),
        (
            "/objects/account/path",
            json!("/nobody"),
            &["`account`", "nothing at `/nobody`", "`path`"],
        ),
        (
            "/objects/account/list/itemsPointer",
            json!("/people"),
            &["no array at `/people`", "itemsPointer"],
        ),
        (
            "/objects/account/idAttribute",
            json!("uid"),
            &["no id in `uid`", "`idAttribute`"],
        ),
        (
            "/baseUrl",
            json!("http://127.0.0.1:1/api"),
            &["cannot be reached", "`baseUrl`", "refused"],
        ),
        (
            "/baseUrl",
            json!("http://no-such-host.invalid/api"),
            &["cannot be reached", "`baseUrl`"],
        ),
        (
            "/auth",
            json!({"oauth2": {"tokenUrl": "http://127.0.0.1:1/token", "clientId": "me", "clientSecret": "hush"}}),
            &[
                "http://127.0.0.1:1/token",
                "auth.oauth2.tokenUrl",
                "does not answer",
            ],
        ),
    ] {
        let person = json!({"id": "a", "name": "A"})
            .as_object()
            .cloned()
            .unwrap();
        people.shop().people.insert("a".into(), (1, person));
        let mut value = good.clone();
        let (place, key) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(place).unwrap()[key] = wrong;
        says(value, Path::new("/"), words).await;
    }
}

#[tokio::test]
async fn about_a_certificate_that_nobody_trusts() {
    // The crate has two providers in its tree; one of them has to be named.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = axum_server::tls_rustls::RustlsConfig::from_pem(
        include_bytes!("../support/certificates/first.pem").to_vec(),
        include_bytes!("../support/certificates/first.key").to_vec(),
    );
    let handle = axum_server::Handle::new();
    let server = axum_server::bind_rustls("127.0.0.1:0".parse().unwrap(), config.await.unwrap());
    let serving = server.handle(handle.clone());
    let task =
        tokio::spawn(async move { serving.serve(axum::Router::new().into_make_service()).await });
    let address: std::net::SocketAddr = handle.listening().await.unwrap();
    let mut value = People::settings(address, "put", "put");
    value["baseUrl"] = json!(format!("https://localhost:{}/api", address.port()));
    says(value, Path::new("/"), &["certificate", "`baseUrl`"]).await;
    task.abort();
}
