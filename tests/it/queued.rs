//! Mappings with `queuedSync`: they leave the all-or-nothing set, and nothing of them is lost.
use std::time::Duration;

use recant::{
    app::{App, Audience, Count, EventSearch, Search, SideEffects},
    model::{
        Filter, Outcome,
        integration::{State, rules::Request},
        recon::Wanted,
    },
    sync::checkpoint::{self, Point},
};
use serde_json::{Value, json};

use crate::support::{
    server::eventually,
    target::{Ask, Fault},
    world::{BY, Process, Shape, World, delete, put},
};

/// `t1` at once, `t2` queued with these keys beside `enabled`.
fn world(keys: Value) -> World {
    let world = World::new(&Shape {
        targets: 2,
        ..Shape::default()
    });
    let properties = ["name", "mail", "department"];
    let properties = properties.map(|name| json!({"source": name, "target": name}));
    let mut queued = json!({"enabled": true, "retryDelay": 20});
    for (key, value) in keys.as_object().unwrap() {
        queued[key] = value.clone();
    }
    let mapping = |number: usize| {
        json!({
            "name": format!("user_t{number}"), "source": "managed/user",
            "target": format!("system/t{number}/account"), "properties": properties,
        })
    };
    let mut later = mapping(2);
    later["queuedSync"] = queued;
    let mappings = json!({"mappings": [later, mapping(1)]});
    world.write("conf/sync.json", &mappings.to_string());
    world
}

fn everything() -> Search {
    Search {
        filter: Filter::Literal(true),
        sort: Vec::new(),
        page_size: None,
        cookie: None,
        offset: 0,
        count: Count::None,
    }
}

async fn queue(app: &App) -> Vec<Value> {
    app.queue(&everything()).await.unwrap().results
}

async fn events(app: &App) -> Vec<Value> {
    let found = app.integrations("t2", &everything()).await;
    found.unwrap().results
}

fn states(events: &[Value]) -> Vec<&str> {
    let states = events.iter().map(|event| event["state"].as_str().unwrap());
    states.collect()
}

fn synced(process: &Process, id: &str, content: Value) {
    let changed = process.change(put(id, content)).unwrap();
    assert_eq!(changed.outcome, Outcome::Synced);
}

/// Waits until `t2` holds this, and nothing waits any more.
fn until(world: &World, process: &Process, expected: &Value) {
    process.run(eventually("the queue is empty", || async {
        queue(&process.app).await.is_empty()
    }));
    assert_eq!(json!(world.targets[1].dump()), *expected);
}

#[test]
fn a_queued_mapping_fails_no_change_and_catches_up() {
    let world = world(json!({}));
    let process = world.start();
    synced(&process, "a", json!({"name": "one"}));
    until(&world, &process, &json!({"a": {"name": "one"}}));
    world.targets[1].fail(None, 0, 1_000, Fault::Unavailable);
    for name in ["two", "three", "four"] {
        synced(&process, "a", json!({"name": name}));
        assert_eq!(world.targets[0].dump()["a"], json!({"name": name}));
    }
    process.run(eventually("it is tried again and again", || async {
        let queue = queue(&process.app).await;
        queue
            .iter()
            .any(|event| event["attempts"].as_u64() > Some(2))
    }));
    let waiting = process.run(queue(&process.app));
    let waiting = waiting.last().unwrap();
    assert_eq!(waiting["integrationExternalId"], "a");
    assert_eq!(waiting["mapping"], "user_t2");
    assert!(waiting["lastError"].is_string(), "{waiting}");
    world.targets[1].mend();
    until(&world, &process, &json!({"a": {"name": "four"}}));
    let all = process.run(events(&process.app));
    let last = all.last().unwrap();
    assert_eq!(last["state"], "completed");
    for event in &all[..all.len() - 1] {
        let state = event["state"].as_str().unwrap();
        assert!(
            ["completed", "canceled", "ignored"].contains(&state),
            "{event}"
        );
    }
    process.change(delete("a")).unwrap();
    until(&world, &process, &json!({}));
    let diverged = process.operations();
    assert!(
        diverged
            .iter()
            .all(|record| record.outcome != Some(Outcome::Diverged))
    );
}

#[test]
fn what_is_compensated_is_not_queued_and_what_is_not_changed_is_caught_up() {
    let world = world(json!({}));
    let process = world.start();
    synced(&process, "a", json!({"name": "one"}));
    until(&world, &process, &json!({"a": {"name": "one"}}));
    world.targets[0].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    process.change(put("a", json!({"name": "no"}))).unwrap_err();
    assert_eq!(process.run(events(&process.app)).len(), 1);
    world.targets[1].fail(None, 0, 1, Fault::Refused);
    synced(&process, "a", json!({"name": "two"}));
    synced(&process, "a", json!({"name": "two"}));
    until(&world, &process, &json!({"a": {"name": "two"}}));
}

#[test]
fn a_dead_letter_waits_for_somebody_and_an_old_one_overwrites_nothing() {
    let world = world(json!({"maxRetries": 1}));
    let process = world.start();
    world.targets[1].fail(None, 0, 2, Fault::Refused);
    synced(&process, "a", json!({"name": "one"}));
    process.run(eventually("it is a dead letter", || async {
        let queue = queue(&process.app).await;
        queue
            .first()
            .is_some_and(|event| event["deadLetter"] == true)
    }));
    let letter = process.run(queue(&process.app)).remove(0);
    assert_eq!(letter["attempts"], 2);
    let id = letter["_id"].as_str().unwrap().parse().unwrap();
    let act = |request| process.run(process.app.move_integration("t2", id, request, BY));
    assert_eq!(act(Request::Retry).unwrap().state, State::Queued);
    until(&world, &process, &json!({"a": {"name": "one"}}));
    assert_eq!(act(Request::Cancel).unwrap_err().code, 409);
    synced(&process, "a", json!({"name": "two"}));
    until(&world, &process, &json!({"a": {"name": "two"}}));
    world.targets[1].slow_down(Duration::from_millis(300));
    synced(&process, "a", json!({"name": "three"}));
    synced(&process, "a", json!({"name": "four"}));
    synced(&process, "a", json!({"name": "five"}));
    until(&world, &process, &json!({"a": {"name": "five"}}));
    let all = process.run(events(&process.app));
    let canceled = all
        .iter()
        .find(|event| event["state"] == "canceled")
        .unwrap();
    let id = canceled["_id"].as_str().unwrap().parse().unwrap();
    let act = |request| process.run(process.app.move_integration("t2", id, request, BY));
    act(Request::Retry).unwrap();
    until(&world, &process, &json!({"a": {"name": "five"}}));
    let again = process.run(process.app.integration("t2", id)).unwrap();
    assert_eq!(again.state, State::Ignored);
    assert_eq!(again.ignored_for_type.as_deref(), Some("integrationEvent"));
}

/// Changes the queue behind the store's back.
fn tamper(world: &World, process: &Process, change: &str) {
    let url = format!(
        "sqlite://{}",
        world.folder.path().join("recant.db").display()
    );
    process.run(async {
        use sea_orm::ConnectionTrait as _;
        let database = sea_orm::Database::connect(url).await.unwrap();
        let statement = format!("update integration_event set {change}");
        database.execute_unprepared(&statement).await.unwrap();
        database.close().await.unwrap();
    });
}

fn until_it_failed(process: &Process) {
    process.run(eventually("it failed", || async {
        let queue = queue(&process.app).await;
        queue.iter().all(|event| event["state"] == "errored")
    }));
}

#[test]
fn a_turn_that_was_lost_is_taken_up_again() {
    let world = world(json!({"retryDelay": 3_600_000}));
    let process = world.start();
    world.targets[1].fail(None, 0, 1, Fault::Refused);
    synced(&process, "a", json!({"name": "one"}));
    until_it_failed(&process);
    // As a panic leaves it, or a store that fails after the event was begun.
    let me = process.app.engine().store().identity();
    let lost = format!(
        "state = 'processing', active = lane, node = '{me}', next_attempt_at = null, \
         operation = '01900000-0000-7000-8000-000000000001'"
    );
    tamper(&world, &process, &lost);
    until(&world, &process, &json!({"a": {"name": "one"}}));
}

#[test]
fn what_cannot_be_opened_is_a_dead_letter_and_holds_up_nothing() {
    let world = world(json!({"retryDelay": 3_600_000}));
    let process = world.start();
    world.targets[1].fail(None, 0, 1, Fault::Refused);
    synced(&process, "a", json!({"name": "Sesame-4711"}));
    until_it_failed(&process);
    let damaged = "payload = '\"Sesame-4711\"', state = 'queued', next_attempt_at = null";
    tamper(&world, &process, damaged);
    process.run(eventually("it is a dead letter", || async {
        let queue = queue(&process.app).await;
        queue
            .first()
            .is_some_and(|event| event["deadLetter"] == true)
    }));
    let letter = process.run(queue(&process.app)).remove(0);
    let why = letter["lastError"].as_str().unwrap();
    assert!(
        why.contains("not understood") && !why.contains("Sesame"),
        "{why}"
    );
    let id = letter["_id"].as_str().unwrap().parse().unwrap();
    let canceled = process.app.move_integration("t2", id, Request::Cancel, BY);
    assert_eq!(process.run(canceled).unwrap().state, State::Canceled);
    synced(&process, "a", json!({"name": "two"}));
    until(&world, &process, &json!({"a": {"name": "two"}}));
}

#[test]
fn a_slow_target_holds_up_neither_changes_nor_other_objects() {
    let world = world(json!({}));
    let process = world.start();
    world.targets[1].slow_down(Duration::from_millis(1_500));
    let began = std::time::Instant::now();
    for number in 0..20 {
        synced(&process, &format!("x{number}"), json!({"name": "a"}));
        synced(&process, &format!("x{number}"), json!({"name": "b"}));
    }
    let queue = process.run(queue(&process.app));
    assert!(states(&queue).contains(&"processing"), "{queue:?}");
    let expected: serde_json::Map<String, Value> = (0..20)
        .map(|number| (format!("x{number}"), json!({"name": "b"})))
        .collect();
    until(&world, &process, &Value::Object(expected));
    let one_by_one = Duration::from_millis(1_500 * 20);
    assert!(
        began.elapsed() < one_by_one,
        "objects waited for each other"
    );
    assert_eq!(*world.targets[1].overlaps.lock().unwrap(), 0);
}

#[test]
fn a_crash_loses_nothing_of_the_queue() {
    let world = world(json!({}));
    for round in 0..6 {
        let process = world.start();
        world.targets[1].slow_down(Duration::from_millis(30 * round));
        for id in ["a", "b", "c"] {
            synced(&process, id, json!({"name": format!("{id}{round}")}));
        }
        process.crash();
    }
    world.targets[1].slow_down(Duration::ZERO);
    let process = world.start();
    let expected = json!({"a": {"name": "a5"}, "b": {"name": "b5"}, "c": {"name": "c5"}});
    until(&world, &process, &expected);
    let all = process.run(events(&process.app));
    assert_eq!(all.len(), 18);
    let verified = process.run(process.app.verify_audit()).unwrap();
    assert_eq!(verified.broken, None);
}

#[test]
fn hooks_with_side_effects_run_on_replay_only_where_they_are_asked_for() {
    let hook = |effects: bool, line: &str| {
        json!({"type": "text/rhai", "sideEffects": effects,
            "source": format!("{line} target.department = `${{context.replayed}}`;")})
    };
    let world = World::new(&Shape {
        targets: 1,
        mapping: json!({"onUpdate": hook(true, "target.mail = \"sent\";")}),
        ..Shape::default()
    });
    let process = world.start();
    synced(&process, "a", json!({"name": "one"}));
    synced(&process, "a", json!({"name": "two"}));
    let sent = json!({"name": "two", "mail": "sent", "department": "false"});
    assert_eq!(world.dump()[0]["a"], sent, "a live change runs it");
    let spoiled = || world.targets[0].put("a", json!({"name": "spoiled"}));
    let replay = |effects| {
        spoiled();
        let search = EventSearch {
            after: Some(0),
            ..EventSearch::default()
        };
        let audience = Audience::Mapping("user_t1".into());
        let told = process.app.replay(&search, &audience, effects, BY);
        assert_eq!(process.run(told).unwrap()["told"], 1);
        process.run(eventually("it is written again", || async {
            queue(&process.app).await.is_empty() && world.dump()[0]["a"]["name"] == "two"
        }));
        world.dump()[0]["a"].clone()
    };
    assert_eq!(
        replay(SideEffects::Skip),
        json!({"name": "two"}),
        "left out"
    );
    let again = json!({"name": "two", "mail": "sent", "department": "true"});
    assert_eq!(
        replay(SideEffects::Repeat),
        again,
        "asked for, and it is told so"
    );
}

#[test]
fn a_replay_takes_no_live_events_place_and_says_what_it_is() {
    let world = world(json!({"retryDelay": 200}));
    let process = world.start();
    synced(&process, "a", json!({"name": "one"}));
    until(&world, &process, &json!({"a": {"name": "one"}}));
    world.targets[1].fail(None, 0, 1_000, Fault::Unavailable);
    synced(&process, "a", json!({"name": "two"}));
    process.run(eventually("it is to be tried again", || async {
        queue(&process.app)
            .await
            .iter()
            .any(|event| event["state"] == "errored")
    }));
    let replay = || {
        let search = EventSearch {
            after: Some(0),
            ..EventSearch::default()
        };
        let audience = Audience::Mapping("user_t2".into());
        let told = process
            .app
            .replay(&search, &audience, SideEffects::Skip, BY);
        process.run(told).unwrap()["told"].clone()
    };
    assert_eq!(replay(), 0, "a live one waits");
    world.targets[1].mend();
    until(&world, &process, &json!({"a": {"name": "two"}}));
    let all = process.run(events(&process.app));
    assert_eq!(states(&all), ["completed", "completed"]);
    world.targets[1].put("a", json!({"name": "spoiled"}));
    assert_eq!(replay(), 1);
    until(&world, &process, &json!({"a": {"name": "two"}}));
    let all = process.run(events(&process.app));
    let told: Vec<&Value> = all.iter().map(|event| &event["replay"]).collect();
    assert_eq!(json!(told), json!([null, null, "withoutEffects"]));
}

#[test]
fn what_a_reconciliation_on_another_node_writes_is_not_written_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut stores = vec![format!("sqlite://{}/shared.db", folder.path().display())];
    stores.extend(crate::integrations::databases());
    for store in stores {
        let shape = Shape {
            targets: 1,
            on_sync: None,
            mapping: json!({"queuedSync": {"enabled": true, "retryDelay": 20}}),
            store: Some(store.clone()),
            ..Shape::default()
        };
        let here = World::new(&shape);
        let mut there = World::new(&shape);
        there.targets.clone_from(&here.targets);
        let target = &here.targets[0];
        let first = here.start();
        synced(&first, "a", json!({"name": "old"}));
        first.run(eventually("it is written", || async {
            target.dump().contains_key("a")
        }));
        target.put("a", json!({"name": "drift"}));
        let stopped = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = std::sync::Arc::clone(&stopped);
        checkpoint::watch(first.app.engine().store().node(), move |point| {
            let hit = matches!(point, Point::BeforeWrite(_));
            flag.fetch_or(hit, std::sync::atomic::Ordering::SeqCst);
            hit
        });
        let wanted = Wanted::full("user_t1");
        first
            .run(first.app.start_recon(wanted, "test", "t"))
            .unwrap();
        first.run(eventually("it is about to write", || async {
            stopped.load(std::sync::atomic::Ordering::SeqCst)
        }));
        let other = there.start();
        let writes = target.log().len();
        synced(&other, "a", json!({"name": "new"}));
        other.run(async { tokio::time::sleep(Duration::from_millis(700)).await });
        assert_eq!(
            target.log().len(),
            writes,
            "{store}: the queue waits for it"
        );
        first.crash();
        other.run(eventually("the newest stands", || async {
            queue(&other.app).await.is_empty() && target.dump()["a"]["name"] == "new"
        }));
        assert_eq!(*target.overlaps.lock().unwrap(), 0, "{store}");
        other.crash();
    }
}
