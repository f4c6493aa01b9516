//! The change feed over HTTP: what is told and to whom, live reading, cursors that are too old.
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};

use super::access::client;
use crate::support::{
    folder::Folder,
    server::{Client, Reply, Running},
};

async fn put(client: &Client, id: &str, person: &Value, status: u16) -> Reply {
    let path = format!("/managed/user/{id}");
    client.json("PUT", &path, person).await.expect(status)
}

fn seen(page: &Value) -> Vec<(&str, &str)> {
    let text = |event: &'static str| move |one| text_of(one, event);
    let events = page["result"].as_array().unwrap();
    let pairs = events
        .iter()
        .map(|one| (text("type")(one), text("object")(one)));
    pairs.collect()
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

#[tokio::test]
async fn what_stands_is_told_in_order_and_what_was_taken_back_is_not() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    put(client, "a", &json!({"userName": "a", "pin": "4711"}), 201).await;
    put(client, "a", &json!({"userName": "a", "title": "T"}), 200).await;
    folder.rest.refuse_writes(Some(422));
    put(client, "a", &json!({"userName": "refused"}), 409).await;
    folder.rest.refuse_writes(None);
    put(client, "b", &json!({"userName": ""}), 403).await;
    let deleted = client.send("DELETE", "/managed/user/a", &[], "").await;
    let operation = deleted.expect(200).header("Recant-Operation").to_owned();

    let page = client.get("/events").await.expect(200).json();
    let user = "managed/user/a";
    let expected = ["user.created", "user.updated", "user.deleted"];
    assert_eq!(seen(&page), expected.map(|kind| (kind, user)));
    let [created, updated, deleted] = [0, 1, 2].map(|index| &page["result"][index]);
    assert_eq!(created["data"]["before"], Value::Null);
    assert_eq!(created["data"]["after"]["pin"], "***");
    assert_eq!(
        updated["data"]["before"]["_rev"],
        created["data"]["after"]["_rev"]
    );
    assert_eq!(updated["data"]["after"]["title"], "T");
    assert_eq!(deleted["data"]["before"]["title"], "T");
    assert_eq!(deleted["operation"], operation.as_str());
    assert_eq!(page["cursor"], deleted["id"]);

    let after = |cursor: &Value| format!("/events?after={cursor}");
    let rest = client.get(&after(&created["id"])).await.json();
    assert_eq!(rest["resultCount"], 2);
    let typed = client.get("/events?types=user.deleted,x.y").await.json();
    assert_eq!(seen(&typed), [("user.deleted", user)]);
    let begin = text_of(updated, "createdAt");
    let ranged = format!("/events?rangeStart={begin}&limit=1");
    let ranged = client.get(&ranged).await.json();
    assert_eq!(
        (seen(&ranged), &ranged["more"]),
        (vec![("user.updated", user)], &json!(true))
    );
    let nothing = client.get("/events?limit=0").await.json();
    assert_eq!(
        (&nothing["result"], &nothing["cursor"]),
        (&json!([]), &page["cursor"])
    );
    for skipping in [
        "after=0",
        "rangeStart=2026-01-01T00:00:00Z",
        "rangeEnd=2026-01-01T00:00:00Z",
    ] {
        let told = client.get(&format!("/events?limit=0&{skipping}")).await;
        assert!(told.expect(400).text.contains("limit"));
    }
    for wrong in ["after=-1", "after=x", "rangeStart=yesterday", "limit=many"] {
        let told = client.get(&format!("/events?{wrong}")).await.expect(400);
        let name = wrong.split('=').next().unwrap();
        assert!(told.text.contains(name), "{}", told.text);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_that_is_too_old_is_gone_and_roles_see_what_is_theirs() {
    let folder = Folder::new().await;
    folder.write(
        "recant.toml",
        "[server]\nlisten = \"127.0.0.1:0\"\n[events]\nkeep_count = 1\n[secrets]\nkey = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n",
    );
    let server = Running::start(&folder).await;
    for id in ["a", "b", "c"] {
        put(&server.client, id, &json!({"userName": id}), 201).await;
    }
    let page = server.client.get("/events").await.json();
    assert_eq!(server.app.forget_events().await.unwrap(), 2);
    let first = &page["result"][0]["id"];
    let gone = server.client.get(&format!("/events?after={first}")).await;
    let gone = gone.expect(410).json();
    assert_eq!(gone["detail"]["oldest"], page["result"][1]["id"]);
    let live = [("accept", "text/event-stream"), ("last-event-id", "0")];
    server
        .client
        .send("GET", "/events", &live, "")
        .await
        .expect(410);
    let kept = server.client.get("/events").await.json();
    assert_eq!(seen(&kept), [("user.created", "managed/user/c")]);

    for (role, name) in [("caller", "c"), ("auditor", "c"), ("hook-admin", "***")] {
        let client = client(&server.app, &server.client, &[role]).await;
        let page = client.get("/events").await.expect(200).json();
        let after = &page["result"][0]["data"]["after"];
        assert_eq!(
            (&after["_id"], &after["userName"]),
            (&json!("c"), &json!(name)),
            "{role}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_live_reader_goes_on_where_it_was() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    put(&server.client, "a", &json!({"userName": "a"}), 201).await;
    let url = format!("http://{}/events", server.address);
    let stream = async |last: Option<&str>| {
        let mut request = reqwest::Client::new()
            .get(&url)
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Lines {
            stream: Box::pin(response.bytes_stream()),
            text: String::new(),
        }
    };
    let mut fresh = stream(None).await;
    put(&server.client, "b", &json!({"userName": "b"}), 201).await;
    let b = fresh.event().await;
    assert!(
        b.contains("event: user.created") && b.contains("managed/user/b"),
        "{b}"
    );
    let mut again = stream(Some("0")).await;
    assert!(again.event().await.contains("managed/user/a"));
    assert_eq!(again.event().await, b);
    put(&server.client, "c", &json!({"userName": "c"}), 201).await;
    for live in [&mut fresh, &mut again] {
        assert!(live.event().await.contains("managed/user/c"));
    }
    server.stop().await;
    assert!(fresh.stream.next().await.is_none_or(|end| end.is_ok()));
}

#[tokio::test]
async fn a_live_reader_does_not_wait_between_full_pages() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    for number in 0..60 {
        let id = format!("p{}", number % 10);
        let person = json!({"userName": format!("n{number}")});
        let path = format!("/managed/user/{id}");
        assert!(server.client.json("PUT", &path, &person).await.status < 300);
    }
    let url = format!("http://{}/events?limit=3", server.address);
    let response = reqwest::Client::new()
        .get(&url)
        .header("accept", "text/event-stream")
        .header("last-event-id", "0");
    let mut live = Lines::new(response.send().await.unwrap());
    let began = std::time::Instant::now();
    for _ in 0..60 {
        live.event().await;
    }
    // A wait for news between two pages takes half a second.
    let spent = began.elapsed();
    assert!(spent < Duration::from_secs(5), "{spent:?} for twenty pages");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_readers_right_to_it() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let url = format!("http://{}/events", server.address);
    let stream = async |token: Option<&str>| {
        let request = reqwest::Client::new()
            .get(&url)
            .header("accept", "text/event-stream");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        Lines::new(request.send().await.unwrap())
    };
    let mut nobody = stream(None).await;
    let roles = ["auditor".to_owned()];
    let (text, token) = server.app.make_token("reader", &roles, None).await.unwrap();
    let end = nobody.event().await;
    assert!(end.contains("event: error") && end.contains("401"), "{end}");
    let secret = secrecy::ExposeSecret::expose_secret(&text).to_owned();
    let mut reader = stream(Some(&secret)).await;
    let admin = client(&server.app, &server.client, &["admin"]).await;
    put(&admin, "a", &json!({"userName": "a"}), 201).await;
    assert!(reader.event().await.contains("managed/user/a"));
    server.app.revoke_token(&token.id).await.unwrap();
    put(&admin, "b", &json!({"userName": "b"}), 201).await;
    let end = reader.event().await;
    assert!(end.contains("event: error") && end.contains("401"), "{end}");
    assert!(
        reader.stream.next().await.is_none(),
        "nothing comes after that"
    );
    server.stop().await;
}

type Bytes = dyn futures::Stream<Item = reqwest::Result<axum::body::Bytes>> + Send;

impl Lines<Bytes> {
    fn new(response: reqwest::Response) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            stream: Box::pin(response.bytes_stream()),
            text: String::new(),
        }
    }
}

struct Lines<S: ?Sized> {
    stream: std::pin::Pin<Box<S>>,
    text: String,
}

impl<S: ?Sized + futures::Stream<Item = reqwest::Result<axum::body::Bytes>>> Lines<S> {
    /// The next event of the stream.
    async fn event(&mut self) -> String {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                return event;
            }
            let more = tokio::time::timeout(Duration::from_secs(10), self.stream.next());
            let bytes = more.await.unwrap().unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}
