//! Object classes whose records come in, as syncables: how far they stand, reading them in full again,
//! and what is kept of their events.
use std::time::Duration;

use chrono::{DateTime, Utc};
use recant::{
    app::{App, Force, Search},
    model::{
        Filter,
        audit::Topic,
        integration::{State, rules::Request},
        recon::Syncable,
    },
};
use serde_json::{Value, json};

use crate::{
    integrations::{at, events, everything, person, receive, received, until_done, world},
    support::{
        server::eventually,
        target::{Ask, Fault},
        world::{BY, Process, World, user},
    },
};

const CLASS: &str = "system/t3/account";

fn polled() -> World {
    world(json!({"poll": {"account": {"intervalMs": 20, "updatedAt": "modified"}}}))
}

async fn stands(app: &App) -> Option<Syncable> {
    let all = app.syncables().await.unwrap();
    all.into_iter().find(|one| one.name == CLASS)
}

fn until_stands(process: &Process, what: &str, holds: impl Fn(&Syncable) -> bool) -> Syncable {
    process.run(eventually(what, || async {
        stands(&process.app).await.is_some_and(|one| holds(&one))
    }));
    process.run(stands(&process.app)).unwrap()
}

fn until_named(process: &Process, id: &str, name: Option<&str>) {
    process.run(eventually("the object is as it should be", || async {
        let found = process.app.read(&user(id), "test").await.ok();
        found.map(|found| found["name"].clone()) == name.map(|name| json!(name))
    }));
}

/// A record that says when it was changed.
fn dated(name: &str, second: i64) -> Value {
    json!({"name": name, "mail": "m", "department": "d", "modified": at(second).to_rfc3339()})
}

#[test]
fn a_polled_class_knows_how_far_it_stands_and_reads_only_what_changed() {
    let world = polled();
    let target = &world.targets[2];
    let process = world.start();
    let begun = until_stands(&process, "it has begun", |one| {
        one.data_synced_through.is_some()
    });
    assert!(!begun.sync_version.is_empty());
    target.put("a", dated("one", 1));
    until_named(&process, "a", Some("one"));
    let through = begun.data_synced_through;
    let moved = until_stands(&process, "it has moved on", |one| {
        one.data_synced_through > through
    });
    let window = moved.last_window.unwrap();
    assert_eq!(
        window.start, through,
        "it begins where the one before ended"
    );
    assert_eq!(Some(window.end), moved.data_synced_through);
    until_done(&process);
    let (reads, asked) = (target.asked(Ask::Read), target.asked_for_changes());
    process.run(eventually("it is asked again", || async {
        target.asked_for_changes() > asked + 3
    }));
    assert_eq!(
        target.asked(Ask::Read),
        reads,
        "nothing but what changed is asked for"
    );
    assert_eq!(process.run(events(&process.app)).len(), 1);
}

#[test]
fn a_class_that_is_moved_back_is_read_in_full_once() {
    let world = polled();
    let target = &world.targets[2];
    target.put("before", dated("before", 1));
    let process = world.start();
    until_stands(&process, "it has begun", |one| {
        one.data_synced_through.is_some()
    });
    target.put("a", dated("one", 1));
    target.put("gone", dated("gone", 1));
    until_named(&process, "gone", Some("gone"));
    until_named(&process, "before", None);
    // What the system does not tell any more is found by looking.
    target.remove("gone");
    target.forget_changes();
    let names = process
        .run(process.app.reset_syncs(CLASS, None, BY))
        .unwrap();
    assert_eq!(names, ["back", "in", CLASS]);
    until_named(&process, "before", Some("before"));
    until_named(&process, "gone", None);
    until_named(&process, "a", Some("one"));
    let stands = until_stands(&process, "it is answered", |one| {
        one.answered_resets == one.resets
    });
    assert_eq!(stands.last_window.unwrap().start, None, "all of it");
    let ended = until_done(&process);
    assert!(
        ended.iter().all(|event| event["state"] == "completed"),
        "{ended:#?}"
    );
    let reads = target.asked(Ask::Read);
    let asked = target.asked_for_changes();
    process.run(eventually("it is asked again", || async {
        target.asked_for_changes() > asked + 3
    }));
    assert_eq!(target.asked(Ask::Read), reads, "once");
    assert_eq!(until_done(&process).len(), ended.len());
}

#[test]
fn a_changed_mapping_brings_every_record_in_anew_once() {
    let world = polled();
    let target = &world.targets[2];
    let process = world.start();
    let begun = until_stands(&process, "it has begun", |one| {
        one.data_synced_through.is_some()
    });
    for id in ["a", "b"] {
        target.put(id, dated(id, 1));
        until_named(&process, id, Some(id));
    }
    until_done(&process);
    let sync = std::fs::read_to_string(world.folder.path().join("conf/sync.json")).unwrap();
    let mut sync: Value = serde_json::from_str(&sync).unwrap();
    sync["mappings"][0]["properties"][0]["source"] = json!("mail");
    world.write("conf/sync.json", &sync.to_string());
    for id in ["a", "b"] {
        until_named(&process, id, Some("m"));
    }
    let version = begun.sync_version;
    until_stands(&process, "it has the new version", |one| {
        one.sync_version != version
    });
    assert_eq!(until_done(&process).len(), 4, "each once more");
    assert_eq!(
        world.dump()[0]["a"]["name"],
        "m",
        "and on to the other targets"
    );
}

#[test]
fn a_class_is_imported_as_its_connector_lists_it() {
    let world = polled();
    let target = &world.targets[2];
    for number in 0..30 {
        target.put(&format!("p{number:02}"), dated("old", number));
    }
    let process = world.start();
    let import = |force| {
        let done = process.app.import_listed("t3", "account", force, BY);
        process.run(done).unwrap()
    };
    let first = import(Force::Nothing);
    assert_eq!(
        (&first["fetched"], &first["stored"]),
        (&json!(30), &json!(30))
    );
    assert_eq!(first["class"], CLASS);
    assert!(first["windowEndDate"].is_string());
    until_done(&process);
    assert_eq!(process.read("p07").unwrap()["name"], "old");
    let through: DateTime<Utc> = first["windowEndDate"].as_str().unwrap().parse().unwrap();
    until_stands(&process, "it stands", |one| {
        one.data_synced_through >= Some(through)
    });
    assert_eq!(import(Force::Nothing)["fetched"], 0);
    assert_eq!(import(Force::Ids(["p03".to_owned()].into()))["fetched"], 1);
    assert_eq!(import(Force::All)["fetched"], 30);
    let refused = |connector: &str, class: &str| {
        let done = process.app.import_listed(connector, class, Force::All, BY);
        process.run(done).unwrap_err().code
    };
    assert_eq!(refused("nobody", "account"), 404);
    assert_eq!(refused("t3", "nothing"), 404);
    assert_eq!(refused("t1", "account"), 409, "no mapping leads from there");
}

async fn told_in_audit(app: &App, topic: Topic, name: &str) -> Vec<Value> {
    let search = Search {
        filter: Filter::parse(&format!("eventName eq \"{name}\"")).unwrap(),
        ..everything()
    };
    let found = app.audit(Some(topic), &search).await.unwrap().results;
    found.iter().map(|entry| entry.to_value()).collect()
}

#[test]
fn what_fails_for_ever_is_a_dead_letter_that_somebody_takes_up_again() {
    let world = world(json!({"retries": 2, "retryDelay": 5}));
    let process = world.start();
    world.targets[1].fail(Some(Ask::Create), 0, 3, Fault::Refused);
    receive(&process, vec![received("a", 1, Some(person("a", 1)))]);
    let is_dead = async || events(&process.app).await[0]["deadLetter"] == true;
    process.run(eventually("it is a dead letter", is_dead));
    let dead = process.run(events(&process.app)).remove(0);
    assert_eq!(
        (&dead["state"], &dead["attempts"]),
        (&json!("errored"), &json!(3))
    );
    // It holds up neither others nor itself for ever.
    receive(&process, vec![received("b", 1, Some(person("b", 1)))]);
    process.run(eventually("b is there", || async {
        process.app.read(&user("b"), "test").await.is_ok()
    }));
    process.run(async { tokio::time::sleep(Duration::from_millis(100)).await });
    assert_eq!(process.run(events(&process.app))[0], dead, "it waits");
    let store = process.app.engine().store().clone();
    let forgotten = process.run(store.forget_integrations(DateTime::<Utc>::MAX_UTC));
    assert_eq!(forgotten.unwrap(), 1, "the other one; dead letters stay");
    let id = dead["_id"].as_str().unwrap().parse().unwrap();
    let moved = process.app.move_integration("t3", id, Request::Retry, BY);
    assert_eq!(process.run(moved).unwrap().state, State::Queued);
    until_done(&process);
    assert_eq!(process.read("a").unwrap()["name"], "a-1");
    let again = process.app.move_integration("t3", id, Request::Cancel, BY);
    assert_eq!(process.run(again).unwrap_err().code, 409);
    process
        .run(process.app.reset_syncs("all", None, BY))
        .unwrap();
    let told = process.run(told_in_audit(&process.app, Topic::Sync, "integration"));
    assert_eq!(told.len(), 1, "what was refused is no deed: {told:#?}");
    let entry = &told[0];
    assert_eq!(
        (&entry["userId"], &entry["action"]),
        (&json!("boss"), &json!("retry"))
    );
    assert_eq!(entry["integrationEvent"], dead["_id"]);
    assert_eq!(
        (&entry["stateBefore"], &entry["stateAfter"]),
        (&json!("errored"), &json!("queued"))
    );
    let told = process.run(told_in_audit(&process.app, Topic::Recon, "recon"));
    let reset = told
        .iter()
        .find(|entry| entry["entryType"] == "reset")
        .unwrap();
    assert_eq!(
        (&reset["userId"], &reset["scope"]),
        (&json!("boss"), &json!("all"))
    );
}

#[test]
fn what_is_forgotten_makes_no_old_event_new_and_no_new_one_old() {
    let world = world(json!({}));
    let process = world.start();
    receive(&process, vec![received("a", 1, Some(person("a", 1)))]);
    receive(&process, vec![received("a", 5, Some(person("a", 5)))]);
    until_done(&process);
    // A record that says nothing new is carried out without a change.
    receive(&process, vec![received("a", 6, Some(person("a", 5)))]);
    until_done(&process);
    let store = process.app.engine().store().clone();
    let forgotten = process
        .run(store.forget_integrations(DateTime::<Utc>::MAX_UTC))
        .unwrap();
    assert!(forgotten >= 2, "{forgotten}");
    assert!(process.run(events(&process.app)).is_empty());
    let states = |second| {
        receive(
            &process,
            vec![received("a", second, Some(person("a", second)))],
        );
        let ended = until_done(&process);
        ended.last().unwrap()["state"].clone()
    };
    assert_eq!(states(3), "ignored", "our copy is newer");
    assert_eq!(states(6), "duplicate");
    // Its time lies long before that of the change that brought the last one.
    assert_eq!(states(9), "completed");
    assert_eq!(process.read("a").unwrap()["name"], "a-9");
    let since = process.app.engine().store().clone();
    let modified = process.run(since.modified_at(&user("a"))).unwrap();
    assert_eq!(modified, Some(at(9)));
}

#[test]
fn polled_changes_come_in_the_order_in_which_they_were_told_whatever_their_clock_says() {
    let world = polled();
    let target = &world.targets[2];
    let process = world.start();
    until_stands(&process, "it has begun", |one| {
        one.data_synced_through.is_some()
    });
    // A clock that counts seconds.
    target.put("a", dated("one", 1));
    until_named(&process, "a", Some("one"));
    target.put("a", dated("two", 1));
    until_named(&process, "a", Some("two"));
    // One that is ahead, and goes back.
    let ahead = 4_000_000_000 - at(0).timestamp();
    target.put("b", dated("ahead", ahead));
    until_named(&process, "b", Some("ahead"));
    target.put("b", dated("back", 5));
    until_named(&process, "b", Some("back"));
    target.put("c", dated("ahead", ahead));
    until_named(&process, "c", Some("ahead"));
    target.remove("c");
    until_named(&process, "c", None);
    // What says nothing new changes nothing.
    until_done(&process);
    let changes = process.operations().len();
    target.put("a", dated("two", 1));
    let before = process.run(events(&process.app)).len();
    process.run(eventually("it is told", || async {
        events(&process.app).await.len() > before
    }));
    assert_eq!(until_done(&process).last().unwrap()["state"], "duplicate");
    assert_eq!(process.operations().len(), changes);
}

/// A polled class of so many records, all of them brought in.
fn brought_in(world: &World, process: &Process, count: usize) {
    until_stands(process, "it has begun", |one| {
        one.data_synced_through.is_some()
    });
    for number in 0..count {
        world.targets[2].put(&format!("u{number:03}"), dated("n", 1));
    }
    until_named(process, &format!("u{:03}", count - 1), Some("n"));
    until_done(process);
}

#[test]
fn a_class_whose_source_lists_nothing_deletes_nobody() {
    let world = polled();
    let process = world.start();
    brought_in(&world, &process, 3);
    world.targets[2].lose(|_| true);
    process
        .run(process.app.reset_syncs(CLASS, None, BY))
        .unwrap();
    process.run(async { tokio::time::sleep(Duration::from_millis(700)).await });
    until_done(&process);
    assert_eq!(world.dump()[0].len(), 3);
    let held = process.run(stands(&process.app)).unwrap();
    assert_ne!(held.answered_resets, held.resets, "it is not answered");
    let told = held.held_back.unwrap();
    assert_eq!((told.gone, told.approved_by), (3, None));
    assert!(
        told.because.contains("allowEmptySourceSet"),
        "{}",
        told.because
    );
    // What changes meanwhile comes in all the same.
    world.targets[2].put("new", dated("new", 2));
    until_named(&process, "new", Some("new"));
}

#[test]
fn a_class_of_which_too_many_are_gone_deletes_nobody() {
    let world = polled();
    let process = world.start();
    brought_in(&world, &process, 120);
    world.targets[2].lose(|id| id < "u030");
    process
        .run(process.app.reset_syncs(CLASS, None, BY))
        .unwrap();
    process.run(async { tokio::time::sleep(Duration::from_millis(700)).await });
    until_done(&process);
    assert_eq!(world.dump()[0].len(), 120);
    let held = process.run(stands(&process.app)).unwrap();
    let because = held.held_back.unwrap().because;
    assert!(because.contains("20 % of 120"), "{because}");
    let refused = process.run(process.app.approve_sync("in", BY));
    assert_eq!(refused.unwrap_err().code, 409);
    let approved = process.run(process.app.approve_sync(CLASS, BY)).unwrap();
    let by = approved.held_back.unwrap().approved_by;
    assert_eq!(by.as_deref(), Some("boss"));
    let over = until_stands(&process, "it is answered", |one| {
        one.answered_resets == one.resets
    });
    assert_eq!(over.held_back, None);
    until_done(&process);
    assert_eq!(world.dump()[0].len(), 90);
    let told = process.run(told_in_audit(&process.app, Topic::Sync, "integration"));
    let approval = told.iter().find(|entry| entry["action"] == "approve");
    assert_eq!(approval.unwrap()["userId"], "boss");
}

#[test]
fn a_class_whose_source_is_mended_meanwhile_needs_nobodys_word() {
    let world = polled();
    let process = world.start();
    brought_in(&world, &process, 3);
    world.targets[2].lose(|_| true);
    process
        .run(process.app.reset_syncs(CLASS, None, BY))
        .unwrap();
    until_stands(&process, "it is held back", |one| one.held_back.is_some());
    for number in 0..3 {
        world.targets[2].put(&format!("u{number:03}"), dated("back", 3));
    }
    until_named(&process, "u002", Some("back"));
    process
        .run(process.app.reset_syncs(CLASS, None, BY))
        .unwrap();
    let over = until_stands(&process, "it is answered", |one| {
        one.answered_resets == one.resets
    });
    assert_eq!(over.held_back, None);
    until_done(&process);
    assert_eq!(world.dump()[0].len(), 3);
}

#[test]
fn an_integration_that_is_switched_on_again_catches_up() {
    let keys = json!({"account": {"intervalMs": 20, "updatedAt": "modified"}});
    let world = world(json!({"enabled": false, "poll": keys}));
    let process = world.start();
    until_stands(&process, "it has begun", |one| {
        one.data_synced_through.is_some()
    });
    world.targets[2].put("a", dated("one", 1));
    process.run(eventually("it is recorded", || async {
        events(&process.app)
            .await
            .iter()
            .any(|event| event["state"] == "disabled")
    }));
    assert!(process.read("a").is_none());
    let file = json!({"integrations": [{"connector": "t3", "poll": keys}]});
    world.write("conf/integrations.json", &file.to_string());
    until_named(&process, "a", Some("one"));
    until_stands(&process, "it is answered", |one| {
        one.answered_resets == one.resets && !one.missed
    });
}
