//! Whole changes through services that show less in a list than in a read, write names their own way,
//! lose rows on their pages, or give no token.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use recant::{
    app::{Changed, Error},
    model::{Outcome, recon::Wanted},
    sync::checkpoint::{self, Point},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{
    people::{self, Answer, People},
    scim_service::{Habits, ScimService},
    target::{Ask, Fault},
    world::{COMPENSATE, Process, Shape, World, put},
};

fn script(text: &str) -> Value {
    json!({"type": "text/rhai", "source": text})
}

fn outcome(result: Result<Changed, Error>) -> Outcome {
    let outcome = match &result {
        Ok(changed) => Some(changed.outcome),
        Err(error) => error.outcome,
    };
    outcome.unwrap_or_else(|| panic!("{result:?}"))
}

/// Targets whose lists show names only; the first holds an `ann` that correlation finds.
fn summaries(targets: usize) -> (World, Process) {
    let world = World::new(&Shape {
        targets,
        mapping: json!({"correlationQuery": script("`name eq \"${source.name}\"`")}),
        ..Shape::default()
    });
    for target in &world.targets {
        target.summarizes.store(true, Ordering::SeqCst);
    }
    let ann = json!({"name": "Ann", "mail": "old", "note": "keep"});
    world.targets[0].put("t1", ann);
    let process = world.start();
    (world, process)
}

fn ann() -> Value {
    json!({"name": "Ann", "mail": "new"})
}

#[test]
fn what_a_list_leaves_out_is_neither_lost_nor_forgotten_by_the_undo() {
    let (world, process) = summaries(1);
    assert_eq!(outcome(process.change(put("ann", ann()))), Outcome::Synced);
    let expected = json!({"name": "Ann", "mail": "new", "note": "keep"});
    assert_eq!(world.dump()[0]["t1"], expected);

    let (world, process) = summaries(2);
    let before = world.dump();
    world.targets[1].fail(Some(Ask::Create), 0, 9, Fault::Refused);
    let refused = process.change(put("ann", ann()));
    assert_eq!(outcome(refused), Outcome::Compensated);
    assert_eq!(world.dump(), before);
}

#[test]
fn what_was_found_in_a_list_is_written_only_as_it_was_read() {
    let (world, process) = summaries(1);
    let target = world.targets[0].clone();
    let theirs = json!({"name": "Ann", "mail": "theirs", "note": "theirs"});
    let written = theirs.clone();
    checkpoint::watch(process.app.engine().store().node(), move |point| {
        if point == Point::BeforeWrite(0) {
            target.put("t1", written.clone());
        }
        false
    });
    let refused = process.change(put("ann", ann()));
    assert_ne!(outcome(refused), Outcome::Synced);
    assert_eq!(world.dump()[0]["t1"], theirs);
}

#[test]
fn a_row_that_slips_through_the_pages_of_a_list_is_not_missing() {
    let world = World::new(&Shape {
        targets: 1,
        mapping: json!({"policies": [
            {"situation": "MISSING", "action": "CREATE"},
            {"situation": "ABSENT", "action": "CREATE"}]}),
        ..Shape::default()
    });
    let process = world.start();
    for number in 0..20 {
        let id = format!("u{number:02}");
        let made = process.change(put(&id, json!({"name": id})));
        assert_eq!(outcome(made), Outcome::Synced);
    }
    let before = world.dump();
    *world.targets[0].unlisted.lock().unwrap() = vec!["u07".to_owned(), "u13".to_owned()];
    let writes = world.targets[0].log().len();
    let run = process.run(async {
        let wanted = Wanted::full("user_t1");
        let run = process.app.start_recon(wanted, "test", "t").await.unwrap();
        process.app.wait_for_recon(run.id).await.unwrap()
    });
    assert_eq!((run.counts.failures, run.counts.created), (0, 0), "{run:?}");
    assert_eq!(world.targets[0].log().len(), writes);
    assert_eq!(world.dump(), before);
}

/// A folder whose users go to one class of a service.
fn cloud(connector: &Value, class: &str, properties: &Value) -> World {
    let world = World::new(&Shape {
        targets: 0,
        on_sync: Some(COMPENSATE),
        ..Shape::default()
    });
    world.write("conf/connectors/cloud.json", &connector.to_string());
    let mappings = json!({"mappings": [{"name": "cloud", "source": "managed/user",
        "target": format!("system/cloud/{class}"), "properties": properties}]});
    world.write("conf/sync.json", &mappings.to_string());
    world
}

#[test]
fn a_name_that_the_service_writes_its_own_way_is_one_account() {
    let runtime = Runtime::new().unwrap();
    let habits = Habits {
        lower_names: true,
        ..Habits::default()
    };
    let config = json!({"patch": {"supported": true}, "filter": {"supported": true}});
    let service = runtime.block_on(ScimService::start(Some(config), habits));
    let connector = json!({"type": "scim", "baseUrl": format!("http://{}/v2", service.address),
        "retry": {"attempts": 2, "baseMs": 1},
        "objects": {"account": {"resourceType": "User", "key": "userName"}}});
    let properties = json!([{"source": "name", "target": "_id"},
        {"source": "mail", "target": "title"}]);
    let world = cloud(&connector, "account", &properties);
    let process = world.start();
    // It is made, and the answer is lost.
    service.shop().refusals.push(Answer {
        status: 500,
        headers: Vec::new(),
        body: String::new(),
        carried_out: true,
    });
    let bob = |title: &str| put("b", json!({"name": "Bob", "mail": title}));
    assert_eq!(outcome(process.change(bob("one"))), Outcome::Synced);
    assert_eq!(outcome(process.change(bob("two"))), Outcome::Synced);
    assert_eq!(outcome(process.change(bob("two"))), Outcome::Synced);
    let users = service.shop().resources["Users"].clone();
    assert_eq!(users.len(), 1);
    assert_eq!(
        (&users[0]["userName"], &users[0]["title"]),
        (&json!("bob"), &json!("two"))
    );
    let writes: Vec<Value> = service.shop().bodies.clone();
    assert_eq!(writes.len(), 2, "{writes:?}");
    let [_, patch] = writes.as_slice() else {
        panic!()
    };
    assert!(!patch.to_string().contains("userName"), "{patch}");
}

/// Gives tokens that are good for one request, or keeps whoever asks waiting.
async fn token(State(hangs): State<Arc<AtomicBool>>) -> Json<Value> {
    if hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    Json(json!({"access_token": people::TOKEN, "token_type": "bearer", "expires_in": 0}))
}

#[test]
fn without_a_token_a_change_leaves_no_doubt_behind() {
    let runtime = Runtime::new().unwrap();
    let hangs = Arc::new(AtomicBool::new(false));
    let router = Router::new()
        .route("/token", post(token))
        .with_state(Arc::clone(&hangs));
    let (people, token) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let token = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (People::start().await, token)
    });
    let mut connector = People::settings(people.address, "put", "put");
    connector["timeoutMs"] = json!(300);
    connector["retry"] = json!({"attempts": 2, "baseMs": 1});
    connector["auth"] = json!({"oauth2": {"tokenUrl": format!("http://{token}/token"),
        "clientId": "recant", "clientSecret": "hush"}});
    let properties = json!([{"source": "name", "target": "name"}]);
    let world = cloud(&connector, "account", &properties);
    let process = world.start();
    let made = process.change(put("ann", json!({"name": "Ann"})));
    assert_eq!(outcome(made), Outcome::Synced);
    // The token service stops between the plan and the write.
    checkpoint::watch(process.app.engine().store().node(), move |point| {
        if point == Point::BeforeWrite(0) {
            hangs.store(true, Ordering::SeqCst);
        }
        false
    });
    let changed = process.change(put("ann", json!({"name": "Bea"})));
    assert_eq!(outcome(changed), Outcome::Compensated);
    assert_eq!(people.shop().people["ann"].1["name"], "Ann");
    runtime.shutdown_timeout(Duration::from_secs(1));
}
