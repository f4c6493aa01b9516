//! Tokens: made, listed, used, ended and revoked over HTTP and by the command line, on all nodes at once.
use std::time::Duration;

use recant::app::App;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    api::access::client,
    support::{
        folder::Folder,
        server::{Running, eventually},
    },
};

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let tokens = list["tokens"].as_array().unwrap();
    tokens.iter().find(|token| token["name"] == name).unwrap()
}

#[tokio::test]
async fn the_first_token_is_an_admins_and_shuts_the_door() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let anybody = &server.client;
    let path = "/tokens?_action=create";
    let hr = json!({"name": "hr", "roles": ["caller"]});
    anybody.json("POST", path, &hr).await.expect(400);
    let foreign = [
        ("origin", "https://evil.example"),
        ("content-type", "application/json"),
    ];
    let admin = json!({"name": "root", "roles": ["admin"]});
    anybody
        .send("POST", path, &foreign, admin.to_string())
        .await
        .expect(403);
    let made = anybody.json("POST", path, &admin).await.expect(201).json();
    anybody.json("POST", path, &admin).await.expect(401);
    let root = anybody.token(made["token"].as_str().unwrap());
    let made = root.json("POST", path, &hr).await.expect(201).json();
    let caller = anybody.token(made["token"].as_str().unwrap());
    caller.json("POST", path, &hr).await.expect(403);
    caller.get("/tokens").await.expect(403);
    let list = root.get("/tokens").await.expect(200);
    assert!(!list.text.contains("recant_"), "{}", list.text);
    assert!(!list.text.contains("hash"), "{}", list.text);
    eventually("the use is noted", || async {
        named(&root.get("/tokens").await.json(), "hr")["lastUsedAt"].is_string()
    })
    .await;
    let id = made["id"].as_str().unwrap();
    let revoked = root.send("DELETE", &format!("/tokens/{id}"), &[], "").await;
    assert!(revoked.expect(200).json()["revokedAt"].is_string());
    caller.get("/sync/mappings").await.expect(401);
    root.send("DELETE", "/tokens/nobody", &[], "")
        .await
        .expect(404);
    let audit = root
        .get("/audit/access?_queryFilter=true")
        .await
        .expect(200);
    for what in ["create token", "revoke token"] {
        assert!(
            audit.text.contains(&format!("{what} {id}")),
            "{}",
            audit.text
        );
    }
    assert!(!audit.text.contains(made["token"].as_str().unwrap()));
    server.stop().await;
}

#[tokio::test]
async fn what_no_token_can_be_is_refused() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let root = client(&server.app, &server.client, &["admin"]).await;
    for wrong in [
        json!({}),
        json!({"name": "", "roles": ["caller"]}),
        json!({"name": "x", "roles": []}),
        json!({"name": "x", "roles": ["king"]}),
        json!({"name": "x", "roles": "caller"}),
        json!({"name": 7, "roles": ["caller"]}),
        json!({"name": "oidc:ann", "roles": ["caller"]}),
        json!({"name": "cli:ann", "roles": ["caller"]}),
        json!({"name": "anonymous", "roles": ["caller"]}),
        json!({"name": "a\nb", "roles": ["caller"]}),
        json!({"name": "x", "roles": ["caller"], "expiresAt": "tomorrow"}),
        json!({"name": "x", "roles": ["caller"], "expiresAt": "2020-01-01T00:00:00Z"}),
    ] {
        let reply = root.json("POST", "/tokens?_action=create", &wrong).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text);
    }
    server.stop().await;
}

/// Two servers on one store: what one makes and revokes holds at the other at once.
#[tokio::test]
async fn tokens_hold_and_end_on_all_nodes_at_once() {
    let folder = Folder::new().await;
    let one = Running::start(&folder).await;
    let other = App::open(folder.path()).await.unwrap();
    let (root, _) = other
        .make_token("root", &["admin".into()], None)
        .await
        .unwrap();
    let holder = one.client.token(root.expose_secret());
    holder.get("/operations").await.expect(200);
    one.client.get("/operations").await.expect(401);
    let (late, kept) = other
        .make_token("late", &["admin".into()], None)
        .await
        .unwrap();
    let late = one.client.token(late.expose_secret());
    late.get("/operations").await.expect(200);
    other.revoke_token(&kept.id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(250)).await;
    late.get("/operations").await.expect(401);
    other.close(Duration::from_secs(5)).await;
    one.stop().await;
}
