//! The door of the pages: tokens made and withdrawn there, sessions ended, forms that come too late or
//! from elsewhere.
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Visitor, door, form_token, set_cookie};
use crate::support::{
    folder::{Folder, KEY},
    server::{Client, Running},
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn entries(server: &Running) -> Vec<Value> {
    let look = recant::app::AuditLook {
        event: Some("access".into()),
        ..Default::default()
    };
    let looked = server.app.look_for_entries(&look, 100).await.unwrap();
    let bodies = looked.results.into_iter();
    bodies.map(|one| Value::Object(one.entry.body)).collect()
}

#[tokio::test]
async fn the_first_token_made_on_the_page_is_an_admins_and_the_audit_names_who() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = server.client.without_redirects();
    let page = client.get("/ui/tokens").await.expect(200);
    let token = form_token(&page.text);
    let make = async |roles: &str| {
        let body = format!("form_token={token}&name=x&{roles}");
        client.send("POST", "/ui/tokens", &[FORM], body).await
    };
    let refused = make("role=caller").await.expect(400);
    assert!(
        refused.text.contains("first token must have the role"),
        "{}",
        refused.text
    );
    assert!(server.app.tokens().await.unwrap().is_empty());
    client.get("/ui").await.expect(200);
    let made = make("role=admin").await.expect(200);
    let (_, text) = made.text.split_once("recant_").unwrap();
    let text = format!("recant_{}", text.split('<').next().unwrap());
    client.get("/ui").await.expect(303);
    let admin = Visitor::sign_in(&server.client, &text).await;
    admin
        .post("/ui/tokens", "name=hr&role=caller&days=3")
        .await
        .expect(200);
    let tokens = server.app.tokens().await.unwrap();
    let hr = tokens.iter().find(|one| one.name == "hr").unwrap();
    let days = hr.expires_at.unwrap() - hr.created_at;
    assert!((days.num_seconds() - 72 * 3_600).abs() < 60, "{days}");
    for days in ["0", "-1", "99999999999", "x"] {
        let fields = format!("name=hr&role=caller&days={days}");
        admin.post("/ui/tokens", &fields).await.expect(400);
    }
    let revoke = format!("/ui/tokens/{}/revoke", hr.id);
    admin.post(&revoke, "").await.expect(303);
    let entries = entries(&server).await;
    let by = |what: &str| {
        let found = entries.iter().find(|entry| {
            let request = entry["request"].as_str().unwrap_or_default();
            request.starts_with(what)
        });
        found.unwrap_or_else(|| panic!("no {what}: {entries:?}"))["userId"].clone()
    };
    assert_eq!(by("create token"), "x", "the newest was made by the first");
    assert_eq!(by("revoke token"), "x");
    assert!(
        entries.iter().all(|entry| entry["userId"] != "program"),
        "{entries:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn sessions_end_all_at_once_by_token_and_by_name() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let app = &server.app;
    let token = async |name: &str, role: &str| {
        let (text, token) = app.make_token(name, &[role.into()], None).await.unwrap();
        (text.expose_secret().to_owned(), token.id)
    };
    let (root, _) = token("root", "admin").await;
    let (ann, ann_id) = token("ann", "auditor").await;
    let admin = Visitor::sign_in(&server.client, &root).await;
    let sign_in = async |text: &str| Visitor::sign_in(&server.client, text).await;
    let (one, other) = (sign_in(&ann).await, sign_in(&ann).await);
    let mine = one.get("/ui/me").await.expect(200);
    let listed = mine.text.matches("<tr><td><time").count();
    assert_eq!(listed, 2, "{}", mine.text);
    let ended = one.post("/ui/me/end-sessions", "").await.expect(303);
    assert_eq!(set_cookie(&ended, "recant"), "recant=");
    for visitor in [&one, &other] {
        visitor.get("/ui").await.expect(303);
    }
    admin.get("/ui").await.expect(200);
    let third = sign_in(&ann).await;
    let of_token = format!("/ui/tokens/{ann_id}/sessions");
    third.post(&of_token, "").await.expect(403);
    let done = admin.post(&of_token, "").await.expect(303);
    assert_eq!(done.header("location"), "/ui/tokens?done=sessions-ended");
    third.get("/ui").await.expect(303);
    admin
        .post("/ui/tokens/nothing/sessions", "")
        .await
        .expect(404);
    let fourth = sign_in(&ann).await;
    let done = admin
        .post("/ui/sessions", "caller=nobody")
        .await
        .expect(303);
    assert_eq!(done.header("location"), "/ui/tokens?done=no-sessions");
    fourth.get("/ui").await.expect(200);
    admin.post("/ui/sessions", "caller=ann").await.expect(303);
    fourth.get("/ui").await.expect(303);
    let entries = entries(&server).await;
    let told = |what: &str, by: &str| {
        let found = entries.iter().filter(|entry| entry["request"] == what);
        found.filter(|entry| entry["userId"] == by).count()
    };
    assert_eq!(told("end the sessions of ann", "ann"), 1);
    assert_eq!(told("end the sessions of ann", "root"), 1);
    assert_eq!(
        told(&format!("end the sessions of token {ann_id}"), "root"),
        1
    );
    server.stop().await;
}

#[tokio::test]
async fn nobody_is_signed_in_by_a_form_that_this_browser_was_not_given() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let made = server.app.make_token("eve", &["admin".into()], None).await;
    let token = made.unwrap().0;
    let token = token.expose_secret();
    let client = server.client.without_redirects();
    let (mine, own) = door(&client).await;
    let (_, foreign) = door(&client).await;
    let send = async |cookie: &str, form: &str| {
        let body = format!("form_token={form}&token={token}");
        client
            .send("POST", "/ui/sign-in", &[FORM, ("cookie", cookie)], body)
            .await
    };
    for (cookie, form) in [
        ("", own.as_str()),
        (&mine, ""),
        (&mine, &foreign),
        ("x=1", ""),
    ] {
        let refused = send(cookie, form).await.expect(403);
        assert!(refused.text.contains("send it again"), "{}", refused.text);
        assert!(
            refused.text.contains("name=\"token\""),
            "the form is there again"
        );
        assert!(
            !refused.header("set-cookie").contains("recant="),
            "{refused:?}"
        );
    }
    let begun = send(&mine, &own).await.expect(303);
    set_cookie(&begun, "recant");
    server.stop().await;
}

#[tokio::test]
async fn an_open_page_keeps_no_session_alive_by_itself() {
    use recant::app::{Arrival, Builder};
    let folder = Folder::new().await;
    let clock = crate::support::clock::MovedClock::default();
    let builder = Builder::new(folder.path()).clock(std::sync::Arc::new(clock.clone()));
    let app = builder.open().await.unwrap();
    let made = app.make_token("ann", &["auditor".into()], None).await;
    let arrival = Arrival {
        host: Some("127.0.0.1"),
        ..Arrival::default()
    };
    let token = made.unwrap().0;
    let signed_in = app.sign_in(token.expose_secret(), &arrival).await.unwrap();
    let secret = Some(signed_in.secret.expose_secret());
    for _ in 0..4 {
        clock.pass(chrono::TimeDelta::minutes(10));
        app.session_in_passing(&arrival, secret).await.unwrap();
    }
    assert!(
        app.session(&arrival, secret).await.unwrap().is_none(),
        "40 minutes idle"
    );
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_form_that_never_ends_is_given_up() {
    let folder = Folder::new().await;
    folder.write(
        "recant.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nrequest_timeout_seconds = 1\n\n\
             [secrets]\nkey = \"{KEY}\"\n"
        ),
    );
    let server = Running::start(&folder).await;
    let mut stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let head = format!(
        "POST /ui/sign-in HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: 100\r\nconnection: close\r\n\r\ntoken=",
        server.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    read.expect("the server waits for ever").unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("did not arrive in time"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn searches_are_kept_within_bounds() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let made = server
        .app
        .make_token("ann", &["auditor".into()], None)
        .await;
    let ann = Visitor::sign_in(&server.client, made.unwrap().0.expose_secret()).await;
    let keep = async |name: &str, query: &str| {
        let fields = format!("page=audit&name={name}&query={query}");
        ann.post("/ui/searches", &fields).await
    };
    keep("long", &format!("user%3D{}", "x".repeat(3_000)))
        .await
        .expect(400);
    for at in 0..50 {
        keep(&format!("n{at}"), "user%3Dx").await.expect(303);
    }
    let full = keep("one-too-many", "user%3Dx").await.expect(409);
    assert!(full.text.contains("forget one first"), "{}", full.text);
    keep("n7", "user%3Dy").await.expect(303);
    let page = ann.get("/ui/audit").await.expect(200);
    assert!(page.text.contains("user=y") && page.text.len() < 100_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_is_verified_beside_the_request() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client: Client = server.client.without_redirects();
    client
        .json(
            "PUT",
            "/managed/user/ann",
            &serde_json::json!({"userName": "ann"}),
        )
        .await
        .expect(201);
    let page = client.get("/ui/audit").await.expect(200);
    let body = format!("form_token={}", form_token(&page.text));
    let begun = client.send("POST", "/ui/audit/verify", &[FORM], body).await;
    assert_eq!(
        begun.expect(303).header("location"),
        "/ui/audit?done=verify"
    );
    let whole = async || client.get("/ui/audit").await.text.contains("is whole");
    crate::support::server::eventually("the chain is whole", whole).await;
    assert_eq!(server.app.verification_progress(), None);
    assert_eq!(server.app.verification_failure(), None);
    server.stop().await;
}
