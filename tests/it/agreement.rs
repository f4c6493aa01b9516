//! Integration events beside live changes, beside each other in one webhook, and old ones about
//! objects that are gone.
use std::time::Duration;

use chrono::Utc;
use recant::{
    app::{Force, Posted},
    feed::sign,
    model::{Filter, Outcome, integration::rules::Request},
};
use serde_json::{Value, json};

use crate::{
    integrations::{at, everything, person, receive, received, until_done, world},
    support::{
        server::eventually,
        target::{Ask, Fault},
        world::{BY, Process, World, delete, operations, put, unfinished},
    },
};

/// A live change of `a` by hand is under way, and an event from before it arrives meanwhile.
fn meanwhile(world: &World, process: &Process) -> Outcome {
    world.targets[0].slow_down(Duration::from_millis(600));
    let app = process.app.clone();
    let live = process.spawn(async move { app.change(put("a", json!({"name": "by hand"}))).await });
    process.run(eventually("it is under way", || async {
        !unfinished(&process.app).await.is_empty()
    }));
    receive(process, vec![received("a", 2, Some(person("a", 2)))]);
    let answer = process.run(live).unwrap();
    answer.map_or_else(|refused| refused.outcome.unwrap(), |done| done.outcome)
}

#[test]
fn an_older_event_gives_way_to_a_live_change_that_is_still_under_way() {
    let world = world(json!({}));
    world.targets[2].put("a", person("a", 1));
    let process = world.start();
    receive(&process, vec![received("a", 1, Some(person("a", 1)))]);
    until_done(&process);
    assert_eq!(meanwhile(&world, &process), Outcome::Synced);
    let ended = until_done(&process);
    assert_eq!(process.read("a").unwrap()["name"], "by hand", "{ended:#?}");
    assert_eq!(world.dump()[0]["a"]["name"], "by hand");
    assert_eq!(ended[1]["state"], "ignored", "{ended:#?}");
    assert_eq!(ended[1]["ignoredForId"], "a");
    assert_eq!(ended[1]["ignoredForType"], "managed/user");
}

#[test]
fn an_older_event_is_brought_in_where_the_live_change_under_way_is_taken_back() {
    let world = world(json!({}));
    world.targets[2].put("a", person("a", 1));
    let process = world.start();
    receive(&process, vec![received("a", 1, Some(person("a", 1)))]);
    until_done(&process);
    world.targets[1].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    assert_eq!(meanwhile(&world, &process), Outcome::Compensated);
    let ended = until_done(&process);
    assert_eq!(ended[1]["state"], "completed", "{ended:#?}");
    assert_eq!(process.read("a").unwrap()["name"], "a-2");
    assert_eq!(world.dump()[0]["a"]["name"], "a-2");
}

#[test]
fn an_old_event_brings_no_object_back_that_was_deleted_by_hand_under_another_id() {
    let world = world(json!({}));
    let sync = std::fs::read_to_string(world.folder.path().join("conf/sync.json")).unwrap();
    let mut sync: Value = serde_json::from_str(&sync).unwrap();
    let id = json!({"source": "mail", "target": "_id"});
    sync["mappings"][0]["properties"]
        .as_array_mut()
        .unwrap()
        .push(id);
    world.write("conf/sync.json", &sync.to_string());
    let record = |mail: &str| json!({"name": "n", "mail": mail, "department": "d"});
    world.targets[2].put("a", record("m1"));
    let process = world.start();
    receive(&process, vec![received("a", 1, Some(record("m1")))]);
    until_done(&process);
    process.change(delete("m1")).unwrap();
    receive(&process, vec![received("a", 2, Some(record("m2")))]);
    let ended = until_done(&process);
    assert_eq!(ended[1]["state"], "ignored", "{ended:#?}");
    assert_eq!(ended[1]["ignoredForId"], "m1");
    assert!(process.read("m2").is_none());
}

const SECRET: &str = "a secret of the system";

fn post(process: &Process, id: &str, body: &Value) -> Vec<Value> {
    #[expect(clippy::disallowed_methods, reason = "signed with the real time")]
    let now = Utc::now();
    let text = body.to_string().into_bytes();
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", now.timestamp().to_string()),
        (
            "webhook-signature",
            sign(&SECRET.into(), id, now, &text).unwrap(),
        ),
    ];
    let posted = Posted {
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        text,
        body: body.clone(),
        transaction_id: "t".into(),
    };
    let answer = process.run(process.app.webhook("t3", posted)).unwrap();
    answer["events"].as_array().unwrap().clone()
}

#[test]
fn one_webhook_may_tell_of_several_changes_of_one_record() {
    let world = world(json!({"webhook": {"secrets": [SECRET]}}));
    let process = world.start();
    let told = |id: &str, name: &str, at: Option<&str>| {
        let mut told = json!({"class": "account", "externalId": id, "record": {"name": name}});
        if let Some(at) = at {
            told["updatedAt"] = json!(at);
        }
        told
    };
    let [one, two] = ["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"];
    let dated = json!([told("a", "one", Some(one)), told("a", "two", Some(two))]);
    assert_eq!(post(&process, "m1", &dated).len(), 2);
    assert_eq!(post(&process, "m1", &dated).len(), 0, "it was delivered");
    let undated = json!([told("b", "one", None), told("b", "two", None)]);
    assert_eq!(post(&process, "m2", &undated).len(), 2);
    // However long an id is, its deliveries are told apart.
    let long = "x".repeat(200);
    let first = json!([told(&long, "one", Some(one))]);
    let second = json!([told(&long, "two", Some(two))]);
    assert_eq!(post(&process, "m3", &first).len(), 1);
    assert_eq!(post(&process, "m4", &second).len(), 1);
    until_done(&process);
    for id in ["a", "b", &long] {
        assert_eq!(process.read(id).unwrap()["name"], "two", "{id}");
    }
}

#[test]
fn an_import_that_leaves_records_out_does_not_stand_for_a_changed_mapping() {
    let world = world(json!({}));
    world.targets[2].put("a", person("a", 1));
    let import = |process: &Process, force| {
        let done = process.app.import_listed("t3", "account", force, BY);
        process.run(done).unwrap()
    };
    let version = |process: &Process| {
        let all = process.run(process.app.syncables()).unwrap();
        let own = all.into_iter().find(|one| one.name == "system/t3/account");
        own.unwrap().sync_version
    };
    let process = world.start();
    assert_eq!(import(&process, Force::Nothing)["fetched"], 1);
    until_done(&process);
    let before = version(&process);
    process.crash();
    let sync = std::fs::read_to_string(world.folder.path().join("conf/sync.json")).unwrap();
    let mut sync: Value = serde_json::from_str(&sync).unwrap();
    sync["mappings"][0]["properties"][0]["source"] = json!("department");
    world.write("conf/sync.json", &sync.to_string());
    let process = world.start();
    assert_eq!(import(&process, Force::Nothing)["fetched"], 0);
    assert_eq!(version(&process), before, "what it left out is as it was");
    assert_eq!(import(&process, Force::All)["fetched"], 1);
    assert_ne!(version(&process), before);
}

/// `t2` and `t3` are read and written; each has its own way to write a name.
fn two_ways() -> World {
    let world = world(json!({}));
    let properties = ["name", "mail", "department"];
    let properties = properties.map(|name| json!({"source": name, "target": name}));
    let mapping = |name: &str, source: &str, target: &str| json!({"name": name, "source": source, "target": target, "properties": properties});
    let mut mappings = Vec::new();
    for (number, connector) in ["t2", "t3"].into_iter().enumerate() {
        let system = format!("system/{connector}/account");
        let (inward, out) = (format!("in{number}"), format!("out{number}"));
        mappings.push(mapping(&inward, &system, "managed/user"));
        let mut back = mapping(&out, "managed/user", &system);
        back["links"] = json!(inward);
        mappings.push(back);
    }
    world.write("conf/sync.json", &json!({"mappings": mappings}).to_string());
    let poll =
        |connector: &str| json!({"connector": connector, "poll": {"account": {"intervalMs": 20}}});
    let file = json!({"integrations": [poll("t2"), poll("t3")]});
    world.write("conf/integrations.json", &file.to_string());
    world.targets[1].normalise(|object| {
        let name = object["name"].as_str().map(str::to_uppercase);
        object.insert("name".into(), json!(name));
    });
    world.targets[2].normalise(|object| {
        let name = object["name"].as_str().map(str::to_lowercase);
        object.insert("name".into(), json!(name));
    });
    world
}

#[test]
fn a_loop_between_two_systems_that_spell_differently_ends_and_says_so() {
    let world = two_ways();
    let process = world.start();
    process.run(eventually("both are asked", || async {
        let store = process.app.engine().store();
        let mut begun = true;
        for connector in ["t2", "t3"] {
            begun &= store
                .live_token(connector, "account")
                .await
                .unwrap()
                .is_some();
        }
        begun
    }));
    let dead = async || {
        let mut dead = Vec::new();
        for connector in ["t2", "t3"] {
            let found = process.app.integrations(connector, &everything()).await;
            let found = found.unwrap().results.into_iter();
            dead.extend(found.filter(|event| event["deadLetter"] == true));
        }
        dead
    };
    world.targets[2].put("a", person("a", 1));
    process.run(eventually("it has ended", async || {
        !dead().await.is_empty()
    }));
    let told = process.run(dead());
    assert_eq!(told.len(), 1);
    let error = told[0]["lastError"].as_str().unwrap();
    assert!(error.starts_with("loop: "), "{error}");
    let changes = process.operations().len();
    process.run(async { tokio::time::sleep(Duration::from_millis(300)).await });
    assert_eq!(process.operations().len(), changes);
    assert!(changes < 40, "{changes}");
    // What somebody says in between is nobody's loop.
    process
        .change(put(
            "a",
            json!({"name": "by hand", "mail": null, "department": "d"}),
        ))
        .unwrap();
    process.run(eventually("it is answered", || async {
        let all = operations(&process.app, Filter::Literal(true)).await;
        all.len() > changes + 1
    }));
}

#[test]
fn what_reaches_into_the_past_moves_back_how_far_a_class_stands() {
    let world = world(json!({}));
    world.targets[2].put("b", person("b", 1));
    let process = world.start();
    let through = || {
        let all = process.run(process.app.syncables()).unwrap();
        let own = all.into_iter().find(|one| one.name == "system/t3/account");
        own.unwrap().data_synced_through.unwrap()
    };
    let done = process
        .app
        .import_listed("t3", "account", Force::Nothing, BY);
    process.run(done).unwrap();
    until_done(&process);
    assert!(through() > at(3));
    receive(&process, vec![received("a", 3, Some(person("a", 3)))]);
    assert_eq!(through(), at(3));
    receive(&process, vec![received("a", 2, Some(person("a", 2)))]);
    assert_eq!(through(), at(3), "what is ignored reaches nowhere");
}

#[test]
fn events_are_taken_up_again_by_a_filter() {
    let world = world(json!({"enabled": false}));
    let process = world.start();
    let some = (0..5).map(|number| {
        let id = format!("u{number}");
        received(&id, 1, Some(person(&id, 1)))
    });
    receive(&process, some.collect());
    let moved = |filter: &str, request| {
        let filter = Filter::parse(filter).unwrap();
        let moved = process.app.move_integrations("t3", filter, request, BY);
        process.run(moved).unwrap()
    };
    let of_two = "integrationExternalId eq \"u1\" or integrationExternalId eq \"u2\"";
    let answer = moved(of_two, Request::Retry);
    assert_eq!(answer, json!({"moved": 2, "refused": 0}));
    until_done(&process);
    assert!(process.read("u1").is_some() && process.read("u3").is_none());
    let answer = moved("true", Request::Retry);
    assert_eq!(answer, json!({"moved": 3, "refused": 2}));
    until_done(&process);
    assert!(process.read("u3").is_some());
    let unknown = Filter::Literal(true);
    let unknown = process
        .app
        .move_integrations("nobody", unknown, Request::Retry, BY);
    assert_eq!(process.run(unknown).unwrap_err().code, 404);
}
