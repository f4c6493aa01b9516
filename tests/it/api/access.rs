//! Who may do what, and what is recorded of those who may not.
use recant::app::App;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::support::{
    folder::Folder,
    server::{Client, Running},
};

pub async fn client(app: &App, anybody: &Client, roles: &[&str]) -> Client {
    let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
    let name = format!("test-{}", roles.join("-"));
    let (token, _) = app.make_token(&name, &roles, None).await.unwrap();
    anybody.token(token.expose_secret())
}

#[tokio::test]
async fn roles_open_what_is_theirs_and_nothing_else() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let anybody = &server.client;
    let [caller, hooks, auditor, admin] = [
        client(&server.app, anybody, &["caller"]).await,
        client(&server.app, anybody, &["hook-admin"]).await,
        client(&server.app, anybody, &["auditor"]).await,
        client(&server.app, anybody, &["admin"]).await,
    ];
    let script = json!({"type": "text/rhai", "source": "1"});
    let person = json!({"userName": "x"});
    let none = json!(null);
    for (method, path, body, [by_caller, by_hooks, by_auditor, by_admin]) in [
        ("PUT", "/managed/user/x", &person, [201, 403, 403, 200]),
        ("GET", "/managed/user/x", &none, [200, 403, 403, 200]),
        (
            "GET",
            "/managed/user?_queryFilter=true",
            &none,
            [200, 403, 403, 200],
        ),
        (
            "POST",
            "/managed/user/x?_action=plan&operation=update",
            &person,
            [200, 200, 403, 200],
        ),
        ("GET", "/operations", &none, [403, 403, 200, 200]),
        ("GET", "/audit/activity", &none, [403, 403, 200, 200]),
        ("POST", "/audit?_action=verify", &none, [403, 403, 200, 200]),
        (
            "POST",
            "/script?_action=eval",
            &script,
            [403, 200, 403, 200],
        ),
        ("GET", "/config/problems", &none, [403, 200, 403, 200]),
        ("POST", "/system?_action=test", &none, [403, 200, 403, 200]),
        ("GET", "/sync/mappings", &none, [200, 200, 200, 200]),
        ("GET", "/metrics", &none, [200, 200, 200, 200]),
        ("GET", "/nowhere", &none, [404, 404, 404, 404]),
        ("DELETE", "/metrics", &none, [405, 405, 405, 405]),
    ] {
        for (who, status) in [
            (&caller, by_caller),
            (&hooks, by_hooks),
            (&auditor, by_auditor),
            (&admin, by_admin),
        ] {
            let reply = who.json(method, path, body).await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
        }
        let stranger = anybody.json(method, path, body).await.expect(401);
        assert_eq!(stranger.header("www-authenticate"), "Bearer");
        assert_eq!(stranger.json()["code"], 401);
    }
    for path in ["/health/live", "/health/ready", "/openapi.json"] {
        anybody.get(path).await.expect(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_caller_sees_the_changes_that_it_asked_for() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let caller = client(&server.app, &server.client, &["caller"]).await;
    let other = client(&server.app, &server.client, &["caller", "hook-admin"]).await;
    let put = caller
        .json("PUT", "/managed/user/x", &json!({"userName": "x"}))
        .await
        .expect(201);
    let path = format!("/operations/{}", put.header("recant-operation"));
    let record = caller.get(&path).await.expect(200).json();
    assert_eq!(record["caller"], "test-caller");
    other.get(&path).await.expect(403);
    caller
        .send("POST", &format!("{path}?_action=heal"), &[], "")
        .await
        .expect(403);
    server.stop().await;
}

#[tokio::test]
async fn denials_are_recorded_and_name_the_attempt() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let auditor = client(&server.app, &server.client, &["auditor"]).await;
    let person = json!({"userName": "x"});
    let refused = auditor
        .json("PUT", "/managed/user/x", &person)
        .await
        .expect(403);
    assert_eq!(refused.header("recant-outcome"), "rejected");
    let wrong = server
        .client
        .token("recant_wrong-token-text")
        .json("PUT", "/managed/user/x", &person)
        .await
        .expect(401);
    assert_eq!(wrong.header("recant-outcome"), "rejected");
    let found = auditor
        .get("/audit/access?_queryFilter=true")
        .await
        .expect(200);
    assert!(!found.text.contains("wrong-token-text"), "{}", found.text);
    let entries = found.json();
    for reply in [&refused, &wrong] {
        let operation = reply.header("recant-operation");
        let named = entries["result"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["operation"] == operation);
        assert!(named, "{operation}: {entries}");
    }
    assert!(folder.employees().await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_and_the_door_stays_shut() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let (token, kept) = server
        .app
        .make_token("t", &["admin".to_owned()], None)
        .await
        .unwrap();
    let holder = server.client.token(token.expose_secret());
    holder.get("/operations").await.expect(200);
    server.app.revoke_token(&kept.id).await.unwrap();
    holder.get("/operations").await.expect(401);
    server.client.get("/operations").await.expect(401);
    server.stop().await;
}

#[tokio::test]
async fn without_tokens_only_this_machine_is_answered() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    client.get("/operations").await.expect(200);
    for foreign in [
        ("host", "recant.example"),
        ("origin", "http://evil.example"),
    ] {
        client
            .send("GET", "/operations", &[foreign], "")
            .await
            .expect(403);
        let put = client
            .send("PUT", "/managed/user/x", &[foreign], "{}")
            .await
            .expect(403);
        assert_eq!(put.header("recant-outcome"), "rejected");
    }
    client
        .send("GET", "/operations", &[("host", "localhost:1")], "")
        .await
        .expect(200);
    server.stop().await;
}

#[tokio::test]
async fn transactions_are_named_by_callers_only_where_they_are_trusted() {
    for (trusted, expected) in [("false", false), ("true", true)] {
        let folder = Folder::new().await;
        folder.write(
            "recant.toml",
            &format!(
                "[server]\nlisten = \"127.0.0.1:0\"\ntrust_transaction_header = {trusted}\n\n[secrets]\nkey = \"{}\"\n",
                crate::support::folder::KEY
            ),
        );
        let server = Running::start(&folder).await;
        let headers = [
            ("content-type", "application/json"),
            ("x-forgerock-transactionid", "mine-1"),
        ];
        let put = server
            .client
            .send("PUT", "/managed/user/x", &headers, r#"{"userName": "x"}"#)
            .await
            .expect(201);
        let path = format!("/operations/{}", put.header("recant-operation"));
        let record = server.client.get(&path).await.expect(200).json();
        assert_eq!(record["transactionId"] == "mine-1", expected, "{record}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_caller_that_asks_too_often_is_told_to_wait() {
    let folder = Folder::new().await;
    folder.write(
        "recant.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nrate_limit_per_second = 5\n\n[secrets]\nkey = \"{}\"\n",
            crate::support::folder::KEY
        ),
    );
    let server = Running::start(&folder).await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let reply = server.client.get("/health/live").await;
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), "1");
            assert_eq!(reply.json()["code"], 429);
        }
        statuses.push(reply.status);
    }
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
    server.stop().await;
}
