//! Deliveries of the change feed to webhooks: signed, in order for each object, repeated until they
//! arrive or are dead letters; and what is told again.
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use chrono::Utc;
use recant::{
    app::{Audience, Count, EventSearch, Search, SideEffects},
    feed::{Scheme, verify},
    model::{Filter, integration::rules::Request},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{
    server::eventually,
    world::{BY, Process, Shape, World, delete, put},
};

/// A subscriber that remembers what it was told.
#[derive(Clone, Default)]
struct Listener {
    told: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    /// Answers to the next deliveries of objects with these ids.
    refusals: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Whether it never answers.
    hangs: bool,
}

impl Listener {
    async fn start(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", post(hear))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn refuse(&self, object: &str, times: usize) {
        self.refusals
            .lock()
            .unwrap()
            .insert(object.to_owned(), times);
    }

    fn bodies(&self) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        let bodies = told
            .iter()
            .map(|(_, body)| serde_json::from_slice(body).unwrap());
        bodies.collect()
    }

    /// What was told of an object, in order.
    fn names(&self, object: &str) -> Vec<Value> {
        let bodies = self.bodies().into_iter();
        let of_object = bodies.filter(|body| body["object"] == format!("managed/user/{object}"));
        of_object
            .map(|body| body["data"]["after"]["name"].clone())
            .collect()
    }
}

async fn hear(State(listener): State<Listener>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if listener.hangs {
        std::future::pending::<()>().await;
    }
    let told: Value = serde_json::from_slice(&body).unwrap();
    let object = told["object"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    if let Some(times) = listener.refusals.lock().unwrap().get_mut(&object)
        && *times > 0
    {
        *times -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    listener.told.lock().unwrap().push((headers, body));
    StatusCode::NO_CONTENT
}

fn subscription(address: SocketAddr, keys: Value) -> Value {
    let mut one = json!({"name": "crm", "url": format!("http://{address}/"),
        "secrets": ["whsec_b25lIHRoYXQgaXMgbG9uZyBlbm91Z2g=", "two that is long enough"], "retryDelay": 10});
    for (key, value) in keys.as_object().unwrap() {
        one[key] = value.clone();
    }
    one
}

/// A world with this subscription, begun; the listener lives as long as the runtime.
fn begin(keys: Value) -> (World, Process, Listener, Runtime) {
    begin_on(None, keys)
}

fn begin_on(store: Option<String>, keys: Value) -> (World, Process, Listener, Runtime) {
    let world = World::new(&Shape {
        store,
        ..Shape::default()
    });
    let listener = Listener::default();
    let runtime = Runtime::new().unwrap();
    let address = runtime.block_on(listener.start());
    let file = json!({"subscriptions": [subscription(address, keys)]});
    world.write("conf/integrations.json", &file.to_string());
    let process = world.start();
    process.run(eventually("the subscription has begun", || async {
        let begun = process.app.engine().store().subscribed_to("crm").await;
        begun.unwrap().is_some()
    }));
    (world, process, listener, runtime)
}

fn deliveries(process: &Process) -> Vec<Value> {
    let search = Search {
        filter: Filter::Literal(true),
        sort: Vec::new(),
        page_size: None,
        cookie: None,
        offset: 0,
        count: Count::None,
    };
    process
        .run(process.app.deliveries("crm", &search))
        .unwrap()
        .results
}

fn until(process: &Process, what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        process.run(async { tokio::time::sleep(std::time::Duration::from_millis(20)).await });
    }
    panic!("never: {what}: {:#?}", deliveries(process));
}

#[test]
fn each_object_is_told_in_order_signed_with_every_key() {
    told_in_order(None);
    for store in crate::integrations::databases() {
        told_in_order(Some(store));
    }
}

fn told_in_order(store: Option<String>) {
    let (_world, process, listener, _runtime) = begin_on(store, json!({}));
    listener.refuse("a", 3);
    for name in ["one", "two", "three"] {
        process.change(put("a", json!({"name": name}))).unwrap();
        process.change(put("b", json!({"name": name}))).unwrap();
    }
    process.change(delete("b")).unwrap();
    until(&process, "all is told", || listener.bodies().len() == 7);
    assert_eq!(
        listener.names("a"),
        ["one", "two", "three"].map(|name| json!(name))
    );
    let mut b = ["one", "two", "three"].map(|name| json!(name)).to_vec();
    b.push(Value::Null);
    assert_eq!(listener.names("b"), b);
    let told = listener.told.lock().unwrap().clone();
    for (headers, body) in &told {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let event: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(header("webhook-id").unwrap(), event["id"].to_string());
        assert!(event["timestamp"].is_string() && event["replayed"].is_null());
        #[expect(clippy::disallowed_methods, reason = "signed with the real time")]
        let now = Utc::now();
        for secret in [
            "whsec_b25lIHRoYXQgaXMgbG9uZyBlbm91Z2g=",
            "two that is long enough",
        ] {
            let secrets = [secret.into()];
            verify(&Scheme::Standard, &secrets, header, body, now).unwrap();
        }
    }
    until(&process, "the retries are recorded", || {
        let all = deliveries(&process);
        all.iter().all(|one| one["state"] == "completed")
    });
    let attempts: u64 = deliveries(&process)
        .iter()
        .map(|one| one["attempts"].as_u64().unwrap())
        .sum();
    assert_eq!(attempts, 10);
}

#[test]
fn a_dead_letter_lets_others_pass_and_is_sent_again_by_hand() {
    let (world, process, listener, _runtime) =
        begin(json!({"retries": 1, "types": ["user.created"]}));
    listener.refuse("a", 2);
    process.change(put("a", json!({"name": "one"}))).unwrap();
    process.change(put("a", json!({"name": "two"}))).unwrap();
    process.change(put("b", json!({"name": "b"}))).unwrap();
    until(&process, "it is a dead letter", || {
        deliveries(&process)
            .iter()
            .any(|one| one["deadLetter"] == true)
    });
    until(&process, "b is told", || !listener.names("b").is_empty());
    let all = deliveries(&process);
    assert_eq!(all.len(), 2, "only what was asked for");
    let dead = all.iter().find(|one| one["deadLetter"] == true).unwrap();
    assert!(
        dead["lastError"].as_str().unwrap().contains("503"),
        "{dead}"
    );
    let id = dead["_id"].as_str().unwrap().parse().unwrap();
    process
        .run(process.app.move_delivery("crm", id, Request::Retry, BY))
        .unwrap();
    until(&process, "a is told", || {
        listener.names("a") == [json!("one")]
    });
    process.crash();
    let process = world.start();
    process.change(put("c", json!({"name": "c"}))).unwrap();
    until(&process, "c is told", || {
        listener.names("c") == [json!("c")]
    });
    assert_eq!(listener.names("b").len(), 1, "once");
}

#[test]
fn what_is_told_again_says_so_and_side_effects_are_not_repeated_unasked() {
    let (world, process, listener, _runtime) = begin(json!({"sideEffects": true}));
    for id in ["a", "b"] {
        process.change(put(id, json!({"name": id}))).unwrap();
    }
    process.change(put("a", json!({"name": "later"}))).unwrap();
    until(&process, "all is told", || listener.bodies().len() == 3);
    let search = EventSearch {
        after: Some(0),
        types: vec!["user.created".into()],
        ..EventSearch::default()
    };
    let audience = Audience::Subscription("crm".into());
    let replay = |audience: &Audience, effects| {
        process.run(process.app.replay(&search, audience, effects, BY))
    };
    assert_eq!(replay(&audience, SideEffects::Skip).unwrap_err().code, 409);
    let told = replay(&audience, SideEffects::Repeat).unwrap();
    assert_eq!(told, json!({"events": 2, "told": 2}));
    until(&process, "it is told again", || {
        listener.bodies().len() == 5
    });
    let again: Vec<Value> = listener.bodies().split_off(3);
    assert!(
        again.iter().all(|body| body["replayed"] == true),
        "{again:?}"
    );

    world.targets[1].put("a", json!({"name": "spoiled"}));
    let mapping = Audience::Mapping("user_t2".into());
    let told = replay(&mapping, SideEffects::Skip).unwrap();
    assert_eq!(told, json!({"events": 2, "told": 2}));
    until(&process, "the target has what it should", || {
        world.targets[1].dump().get("a") == Some(&json!({"name": "later"}))
    });
    let unknown = Audience::Mapping("nobody".into());
    assert_eq!(replay(&unknown, SideEffects::Skip).unwrap_err().code, 404);
    let nobody = Audience::Subscription("nobody".into());
    assert_eq!(replay(&nobody, SideEffects::Repeat).unwrap_err().code, 404);
}

#[test]
fn a_subscriber_that_never_answers_holds_up_no_other() {
    let world = World::new(&Shape::default());
    let runtime = Runtime::new().unwrap();
    let dead = Listener {
        hangs: true,
        ..Listener::default()
    };
    let living = Listener::default();
    let mut subscriptions = Vec::new();
    for (name, listener) in [("crm", &dead), ("erp", &living)] {
        let address = runtime.block_on(listener.start());
        subscriptions.push(subscription(address, json!({"name": name})));
    }
    let file = json!({"subscriptions": subscriptions});
    world.write("conf/integrations.json", &file.to_string());
    let process = world.start();
    process.run(eventually("the subscriptions have begun", || async {
        let store = process.app.engine().store();
        let begun = ["crm", "erp"].map(|name| store.subscribed_to(name));
        let begun = futures::future::join_all(begun).await;
        begun.into_iter().all(|one| one.unwrap().is_some())
    }));
    for number in 0..80 {
        let id = format!("u{number}");
        process.change(put(&id, json!({"name": id}))).unwrap();
    }
    until(&process, "the one that answers is told all", || {
        living.bodies().len() == 80
    });
}
