//! Integration events that come in: out of order, repeated, at once, with crashes in between.
use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use recant::{
    app::{App, Count, Posted, Received, Search},
    feed::sign,
    model::{Filter, integration::State},
};
use serde_json::{Value, json};

use crate::support::{
    server::eventually,
    servers,
    target::{Ask, Fault},
    world::{BY, Process, Shape, World, delete, object, put},
};

/// Records come from `t3` and go to `t1`, `t2` and, by a mapping of its own, back to `t3`.
pub fn world(integration: Value) -> World {
    world_on(None, integration)
}

fn world_on(store: Option<String>, integration: Value) -> World {
    let world = World::new(&Shape {
        targets: 3,
        store,
        ..Shape::default()
    });
    let properties = ["name", "mail", "department"];
    let properties = properties.map(|name| json!({"source": name, "target": name}));
    let mapping = |name: &str, source: &str, target: &str| json!({"name": name, "source": source, "target": target, "properties": properties});
    let mut back = mapping("back", "managed/user", "system/t3/account");
    back["links"] = json!("in");
    let mappings = json!({"mappings": [
        mapping("in", "system/t3/account", "managed/user"),
        mapping("one", "managed/user", "system/t1/account"),
        mapping("two", "managed/user", "system/t2/account"),
        back,
    ]});
    world.write("conf/sync.json", &mappings.to_string());
    let mut one = json!({"connector": "t3"});
    for (key, value) in integration.as_object().unwrap() {
        one[key] = value.clone();
    }
    let file = json!({"integrations": [one]});
    world.write("conf/integrations.json", &file.to_string());
    world
}

pub fn at(second: i64) -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second)
}

pub fn received(id: &str, second: i64, record: Option<Value>) -> Received {
    Received {
        class: "account".into(),
        external_id: id.into(),
        updated_at: at(second),
        record: record.map(object),
        delivery: None,
    }
}

pub fn everything() -> Search {
    Search {
        filter: Filter::Literal(true),
        sort: Vec::new(),
        page_size: None,
        cookie: None,
        offset: 0,
        count: Count::None,
    }
}

pub async fn events(app: &App) -> Vec<Value> {
    app.integrations("t3", &everything()).await.unwrap().results
}

fn is_open(event: &Value) -> bool {
    let open = ["queued", "processing", "errored"];
    open.iter().any(|state| event["state"] == *state)
}

pub fn until_done(process: &Process) -> Vec<Value> {
    process.run(eventually("all events have ended", || async {
        !events(&process.app).await.iter().any(is_open)
    }));
    process.run(events(&process.app))
}

pub fn receive(process: &Process, events: Vec<Received>) -> Vec<Value> {
    process.run(process.app.receive("t3", events)).unwrap()
}

pub fn person(id: &str, number: i64) -> Value {
    json!({"name": format!("{id}-{number}"), "mail": null, "department": "d"})
}

/// What must be there in the end: the newest record of each id.
fn newest(all: &[Received]) -> BTreeMap<String, Value> {
    let mut newest: BTreeMap<String, &Received> = BTreeMap::new();
    for one in all {
        let known = newest.entry(one.external_id.clone()).or_insert(one);
        if known.updated_at <= one.updated_at {
            *known = one;
        }
    }
    let there = newest.into_iter();
    let there = there.filter_map(|(id, one)| Some((id, one.record.clone()?)));
    there
        .map(|(id, record)| (id, without_nulls(Value::Object(record))))
        .collect()
}

fn without_nulls(mut value: Value) -> Value {
    value
        .as_object_mut()
        .unwrap()
        .retain(|_, member| !member.is_null());
    value
}

/// Holds objects, targets and copies against the newest records.
pub fn agree(world: &World, process: &Process, all: &[Received]) {
    let expected = newest(all);
    for target in &world.dump()[..2] {
        let target: BTreeMap<String, Value> = target
            .iter()
            .map(|(id, held)| (id.clone(), without_nulls(held.clone())))
            .collect();
        assert_eq!(target, expected);
    }
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    let ids: std::collections::BTreeSet<&String> = all.iter().map(|one| &one.external_id).collect();
    for id in ids {
        let stored = process.read(id).map(|mut stored| {
            stored.retain(|name, value| !name.starts_with('_') && !value.is_null());
            Value::Object(stored)
        });
        seen.extend(stored.map(|stored| (id.clone(), stored)));
        let lane = format!("in/t3/account/{id}");
        let copy = process.run(process.app.engine().store().copied(&lane));
        let copy = copy.unwrap().unwrap();
        let body = copy.body.map(|body| without_nulls(Value::Object(body)));
        assert_eq!(body.as_ref(), expected.get(id), "{id}");
    }
    assert_eq!(seen, expected);
}

/// Numbers from a seed.
pub struct Dice(pub u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % most
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            list.swap(index, self.below(index + 1));
        }
    }
}

#[test]
fn whatever_the_order_the_newest_record_stands_in_the_end() {
    let seeds = std::env::var("RECANT_SEEDS").map_or(24, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let mut dice = Dice(seed);
        let world = world(json!({}));
        let mut process = world.start();
        let mut all = Vec::new();
        for id in ["a", "b", "c"] {
            for number in 1..=12 {
                let gone = dice.below(6) == 0;
                all.push(received(id, number, (!gone).then(|| person(id, number))));
            }
        }
        let repeats: Vec<Received> = (0..12)
            .map(|_| all[dice.below(all.len())].clone())
            .collect();
        let mut sent = all.clone();
        sent.extend(repeats);
        dice.shuffle(&mut sent);
        let mut arrived = 0;
        while !sent.is_empty() {
            let many = 1 + dice.below(6).min(sent.len() - 1);
            let batch: Vec<Received> = sent.drain(..many).collect();
            let waiting: Vec<_> = batch
                .clone()
                .into_iter()
                .map(|one| {
                    let app = process.app.clone();
                    process.spawn(async move { app.receive("t3", vec![one]).await.unwrap() })
                })
                .collect();
            let is_cut_off = dice.below(16) == 0;
            if is_cut_off {
                // What was not acknowledged may or may not be stored: its sender sends it again.
                process.run(async { tokio::time::sleep(pause(&mut dice)).await });
                drop(waiting);
                process.crash();
                process = world.start();
                for one in &batch {
                    receive(&process, vec![one.clone()]);
                    arrived += 1;
                }
                continue;
            }
            for task in waiting {
                process.run(task).unwrap();
                arrived += 1;
            }
            match dice.below(12) {
                0 => {
                    process.run(async { tokio::time::sleep(pause(&mut dice)).await });
                    process.crash();
                    process = world.start();
                }
                1 => world.targets[0].fail(None, 0, 1, Fault::LostAfter),
                2 => world.targets[1].fail(None, 0, 1, Fault::Unavailable),
                _ => {}
            }
        }
        let ended = until_done(&process);
        assert!(ended.len() >= arrived && arrived >= 48, "seed {seed}");
        holds(&ended, seed);
        agree(&world, &process, &all);
        assert!(world.targets[2].log().is_empty(), "an echo");
        process.crash();
    }
}

fn pause(dice: &mut Dice) -> Duration {
    Duration::from_micros(dice.below(6_000) as u64)
}

/// Holds the end of each event against what is true of the others.
fn holds(ended: &[Value], seed: u64) {
    let by_id: BTreeMap<&str, &Value> = ended
        .iter()
        .map(|event| (event["_id"].as_str().unwrap(), event))
        .collect();
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    for event in ended {
        let state = text(event, "state");
        let told = match &*state {
            "canceled" => "canceledBy",
            "duplicate" => "duplicateOf",
            "ignored" => "ignoredForId",
            "completed" => {
                assert!(event["endedAt"].is_string(), "seed {seed}: {event}");
                continue;
            }
            _ => panic!("seed {seed}: no end: {event}"),
        };
        let for_object = text(event, "ignoredForType").starts_with("managed/");
        if state == "ignored" && for_object {
            assert_eq!(event[told], event["integrationExternalId"], "seed {seed}");
            continue;
        }
        let other = by_id[text(event, told).as_str()];
        assert_eq!(
            event["integrationExternalId"], other["integrationExternalId"],
            "seed {seed}"
        );
        // The times are texts of one form, so they sort as they are.
        let times = [event, other].map(|one| text(one, "integrationUpdatedAt"));
        let fits = if state == "duplicate" {
            times[0] == times[1]
        } else {
            times[0] < times[1]
        };
        assert!(fits, "seed {seed}: {event} {other}");
        if state == "duplicate" {
            assert_eq!(other["state"], "completed", "seed {seed}: {other}");
        }
    }
    for id in ["a", "b", "c"] {
        let of_id = ended
            .iter()
            .filter(|event| event["integrationExternalId"] == id);
        let newest = of_id.max_by_key(|event| text(event, "integrationUpdatedAt"));
        let time = text(newest.unwrap(), "integrationUpdatedAt");
        let carried_out = ended.iter().filter(|event| {
            event["integrationExternalId"] == id
                && event["state"] == "completed"
                && text(event, "integrationUpdatedAt") == time
        });
        assert_eq!(
            carried_out.count(),
            1,
            "seed {seed}: the newest of {id}, once"
        );
    }
}

#[test]
fn two_nodes_of_every_database_agree() {
    for store in databases() {
        let world = world_on(
            Some(store.clone()),
            json!({"poll": {"account": {"intervalMs": 50}}}),
        );
        let mut other = world_on(Some(store.clone()), json!({}));
        other.targets.clone_from(&world.targets);
        let nodes = [world.start(), other.start()];
        let mut all = Vec::new();
        for id in ["a", "b", "c"] {
            all.extend((1..=10).map(|number| received(id, number, Some(person(id, number)))));
        }
        let mut sent = all.clone();
        sent.extend(all.iter().step_by(3).cloned());
        Dice(3).shuffle(&mut sent);
        let tasks: Vec<_> = sent
            .into_iter()
            .enumerate()
            .map(|(number, one)| {
                let app = nodes[number % 2].app.clone();
                let task = async move { app.receive("t3", vec![one]).await.unwrap() };
                nodes[number % 2].spawn(task)
            })
            .collect();
        for task in tasks {
            nodes[0].run(task).unwrap();
        }
        let ended = until_done(&nodes[0]);
        assert_eq!(ended.len(), 40, "{store}");
        agree(&world, &nodes[0], &all);
        let ids = ["a", "z"].map(str::to_owned);
        let asked = [&ids[0], &ids[1]];
        let process = &nodes[0];
        let found = process
            .app
            .engine()
            .store()
            .known_records("t3", "account", &asked);
        assert_eq!(
            process.run(found).unwrap(),
            ["a".to_owned()].into(),
            "{store}"
        );
        process.run(eventually("live sync has begun", || async {
            let store = process.app.engine().store();
            store.live_token("t3", "account").await.unwrap().is_some()
        }));
        world.targets[2].put("live", person("live", 1));
        process.run(eventually("live sync works", || async {
            let name = crate::support::world::user("live");
            process.app.read(&name, "test").await.is_ok()
        }));
        for node in nodes {
            node.crash();
        }
    }
}

/// Stores that nodes share, as far as there are servers.
pub fn databases() -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let servers = [servers::postgres_url(), servers::mariadb_url()];
    let fresh = |url: String| runtime.block_on(servers::fresh_database(&url));
    servers.into_iter().flatten().map(fresh).collect()
}

#[test]
fn a_newer_object_is_not_overwritten_and_an_older_one_is() {
    let world = world(json!({}));
    world.targets[2].put("a", person("a", 1));
    let process = world.start();
    receive(&process, vec![received("a", 1, Some(person("a", 1)))]);
    until_done(&process);
    process
        .change(put("a", json!({"name": "by hand"})))
        .unwrap();
    receive(&process, vec![received("a", 2, Some(person("a", 2)))]);
    let ended = until_done(&process);
    assert_eq!(ended[1]["state"], "ignored");
    assert_eq!(ended[1]["ignoredForId"], "a");
    assert_eq!(ended[1]["ignoredForType"], "managed/user");
    assert_eq!(process.read("a").unwrap()["name"], "by hand");
    let ahead = Received {
        updated_at: DateTime::<Utc>::MAX_UTC - TimeDelta::days(400 * 365 * 600),
        ..received("a", 3, Some(person("a", 3)))
    };
    receive(&process, vec![ahead]);
    until_done(&process);
    assert_eq!(process.read("a").unwrap()["name"], "a-3");
    process.change(delete("a")).unwrap();
}

#[test]
fn a_failure_is_tried_again_and_holds_up_no_other_id() {
    let world = world(json!({}));
    let process = world.start();
    world.targets[1].fail(Some(Ask::Create), 0, 1, Fault::Refused);
    receive(&process, vec![received("a", 1, Some(person("a", 1)))]);
    process.run(eventually("it failed", || async {
        events(&process.app).await[0]["state"] == "errored"
    }));
    assert!(process.read("a").is_none(), "taken back");
    receive(&process, vec![received("b", 1, Some(person("b", 1)))]);
    let failed = process.run(events(&process.app)).remove(0);
    assert!(
        failed["lastError"].as_str().unwrap().contains("refused"),
        "{failed}"
    );
    let ended = until_done(&process);
    assert!(
        ended.iter().all(|event| event["state"] == "completed"),
        "{ended:#?}"
    );
    assert_eq!(ended[0]["attempts"], 2);
    assert!(ended[0]["operation"].is_string());
}

#[test]
fn a_switched_off_integration_only_records() {
    let world = world(json!({"enabled": false}));
    let process = world.start();
    let stored = receive(&process, vec![received("a", 1, Some(person("a", 1)))]);
    assert_eq!(stored[0]["state"], "disabled");
    assert!(process.read("a").is_none());
    let id = stored[0]["_id"].as_str().unwrap().parse().unwrap();
    let retry = recant::model::integration::rules::Request::Retry;
    let moved = process
        .run(process.app.move_integration("t3", id, retry, BY))
        .unwrap();
    assert_eq!(moved.state, State::Queued);
    until_done(&process);
    assert_eq!(process.read("a").unwrap()["name"], "a-1");
}

#[test]
fn live_sync_follows_its_system_and_ends_a_loop() {
    let world = world(json!({"poll": {"account": {"intervalMs": 20}}}));
    let process = world.start();
    let begun = async || {
        let store = process.app.engine().store();
        store.live_token("t3", "account").await.unwrap().is_some()
    };
    process.run(eventually("it has begun", begun));
    world.targets[2].put("a", person("a", 1));
    world.targets[2].put("b", person("b", 1));
    let name = async |id: &str| {
        let found = process
            .app
            .read(&crate::support::world::user(id), "test")
            .await;
        found.ok().map(|found| found["name"].clone())
    };
    process.run(eventually("both are there", || async {
        name("a").await == Some(json!("a-1")) && name("b").await == Some(json!("b-1"))
    }));
    // By hand to the system, from there back as a change that says nothing new.
    process
        .change(put("a", json!({"name": "by hand"})))
        .unwrap();
    assert_eq!(world.targets[2].dump()["a"]["name"], "by hand");
    world.targets[2].remove("b");
    process.run(eventually("b is gone", || async {
        name("b").await.is_none()
    }));
    let ended = until_done(&process);
    let writes = world.targets[2].log().len();
    assert_eq!(
        writes,
        1,
        "only what was done by hand: {:?}",
        world.targets[2].log()
    );
    assert_eq!(process.read("a").unwrap()["name"], "by hand");
    let changes = process.operations().len();
    process.crash();
    let process = world.start();
    process.run(async { tokio::time::sleep(Duration::from_millis(200)).await });
    assert_eq!(until_done(&process).len(), ended.len());
    assert_eq!(process.operations().len(), changes);
}

#[test]
fn a_webhook_is_signed_mapped_stored_and_not_stored_twice() {
    let map = "request.body.people.map(|one| #{class: \"account\", externalId: one.id, \
        updatedAt: one.changed, record: if one.left { () } else { #{name: one.name} }})";
    let world = world(json!({"webhook": {
        "secrets": ["whsec_c2VjcmV0IHRoYXQgaXMgbG9uZw==", "older, but long enough"],
        "map": {"type": "text/rhai", "source": map},
    }}));
    let process = world.start();
    let body = json!({"people": [
        {"id": "a", "changed": "2026-01-01T00:00:01Z", "name": "Ann", "left": false},
        {"id": "b", "changed": "2026-01-01T00:00:01Z", "name": "Bob", "left": false},
    ]});
    let post = |id: &str, secret: &str, body: &Value| {
        #[expect(clippy::disallowed_methods, reason = "signed with the real time")]
        let now = Utc::now();
        let text = body.to_string().into_bytes();
        let signature = sign(&secret.into(), id, now, &text).unwrap();
        let headers = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", now.timestamp().to_string()),
            ("webhook-signature", signature),
        ];
        let posted = Posted {
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            text,
            body: body.clone(),
            transaction_id: "t".into(),
        };
        process.run(process.app.webhook("t3", posted))
    };
    let first = post("m1", "whsec_c2VjcmV0IHRoYXQgaXMgbG9uZw==", &body).unwrap();
    assert_eq!(
        (
            &first["received"],
            first["events"].as_array().unwrap().len()
        ),
        (&json!(2), 2)
    );
    let again = post("m1", "older, but long enough", &body).unwrap();
    assert_eq!(again["events"], json!([]));
    assert_eq!(
        post("m2", "wrong, though it is long enough", &body)
            .unwrap_err()
            .code,
        401
    );
    let wrong = json!({"people": [{"id": "", "changed": "", "name": "", "left": false}]});
    assert_eq!(
        post("m3", "older, but long enough", &wrong)
            .unwrap_err()
            .code,
        400
    );
    until_done(&process);
    let names = ["a", "b"].map(|id| process.read(id).unwrap()["name"].clone());
    assert_eq!(names, ["Ann", "Bob"].map(|name| json!(name)));
    let left = json!({"people": [
        {"id": "a", "changed": "2026-01-01T00:00:02Z", "name": "Ann", "left": true},
    ]});
    post("m4", "older, but long enough", &left).unwrap();
    assert_eq!(until_done(&process).len(), 3);
    assert!(process.read("a").is_none());
    assert!(!world.dump()[0].contains_key("a"));
}
