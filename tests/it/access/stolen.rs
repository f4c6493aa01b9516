//! Somebody with the database file: what they read there, and what they can do with it.
use std::time::Duration;

use recant::app::access;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    api::access::client,
    support::{folder::Folder, server::Running},
};

async fn database(folder: &Folder) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.path().join("recant.db"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

#[tokio::test]
async fn what_is_confidential_cannot_be_read_in_the_database_file() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let user = json!({"userName": "Ann", "pin": "hush-hush-4711"});
    for _ in 0..2 {
        let put = server.client.json("PUT", "/managed/user/ann", &user).await;
        assert!(put.status < 300, "{}", put.text);
    }
    server.stop().await;
    for file in ["recant.db", "recant.db-wal"] {
        let kept = std::fs::read(folder.path().join(file)).unwrap_or_default();
        let holds = kept.windows(14).any(|part| part == b"hush-hush-4711");
        assert!(!holds, "{file}");
    }
}

#[tokio::test]
async fn the_hashes_in_the_database_open_nothing() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let (text, _) = server
        .app
        .make_token("t", &["admin".into()], None)
        .await
        .unwrap();
    let arrival = recant::app::Arrival::default();
    let signed_in = server
        .app
        .sign_in(text.expose_secret(), &arrival)
        .await
        .unwrap();
    let mut database = database(&folder).await;
    let mut hashes = Vec::new();
    for query in ["select hash from token", "select hash from browser_session"] {
        let rows = sqlx::query(query).fetch_all(&mut database).await.unwrap();
        hashes.extend(rows.into_iter().map(|row| row.get::<String, _>(0)));
    }
    assert_eq!(hashes.len(), 2);
    for hash in &hashes {
        for bearer in [hash.clone(), format!("recant_{hash}")] {
            let thief = server.client.token(&bearer);
            thief.get("/operations").await.expect(401);
        }
        let session = server.app.session(&arrival, Some(hash)).await.unwrap();
        assert!(session.is_none());
    }
    assert!(hashes.contains(&access::hash(text.expose_secret())));
    assert!(hashes.contains(&access::hash(signed_in.secret.expose_secret())));
    server.stop().await;
}

#[tokio::test]
async fn an_entry_that_is_edited_in_the_file_is_found_from_outside() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    server
        .client
        .json("PUT", "/managed/user/ann", &json!({"userName": "Ann"}))
        .await
        .expect(201);
    let auditor = client(&server.app, &server.client, &["auditor"]).await;
    let good = auditor.send("POST", "/audit?_action=verify", &[], "").await;
    assert_eq!(good.expect(200).json()["broken"], json!(null));
    let mut database = database(&folder).await;
    sqlx::query(
        "update audit_entry set body = replace(body, 'SUCCESS', 'FAILURE') where position = 1",
    )
    .execute(&mut database)
    .await
    .unwrap();
    let broken = auditor.send("POST", "/audit?_action=verify", &[], "").await;
    assert_eq!(broken.expect(200).json()["broken"]["position"], 1);
    server.stop().await;
}

#[tokio::test]
async fn secrets_of_the_settings_are_in_no_answer() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let root = client(&server.app, &server.client, &["admin"]).await;
    let toml = folder.path().join("recant.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    folder.write(
        "recant.toml",
        &format!(
            "{text}\n[auth.oidc]\nissuer = \"https://id.example\"\naudience = \"recant\"\n\
             client_id = \"recant\"\nclient_secret = \"hush-hush-0815\"\nclock_skew_seconds = \"soon\"\n"
        ),
    );
    crate::support::server::eventually("the problem is listed", || async {
        root.get("/config/problems")
            .await
            .text
            .contains("found a text")
    })
    .await;
    for path in [
        "/config/problems",
        "/audit?_queryFilter=true",
        "/openapi.json",
        "/metrics",
    ] {
        let reply = root.get(path).await.expect(200);
        assert!(!reply.text.contains("hush-hush"), "{path}: {}", reply.text);
        assert!(!reply.text.contains(crate::support::folder::KEY), "{path}");
    }
    tokio::time::timeout(Duration::from_secs(20), server.stop())
        .await
        .unwrap();
}
