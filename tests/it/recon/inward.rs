//! Mappings that lead from a system to managed objects: each record is a change of its own, which
//! reaches every other target or none.
use recant::model::Outcome;
use serde_json::json;

use super::*;
use crate::support::{
    target::{Ask, Fault},
    world::{COMPENSATE, Process},
};

/// `t1` feeds `managed/user`, which feeds `t2`.
fn chain() -> World {
    let world = World::new(&Shape {
        targets: 2,
        on_sync: Some(COMPENSATE),
        ..Shape::default()
    });
    let same = |name: &str| json!({"source": name, "target": name});
    let properties = json!([same("name"), same("mail"), same("department")]);
    let sync = json!({"mappings": [
        {
            "name": "in", "source": "system/t1/account", "target": "managed/user",
            "properties": properties,
            "policies": [
                {"situation": "SOURCE_MISSING", "action": "DELETE"},
                {"situation": "MISSING", "action": "CREATE"},
                {"situation": "UNASSIGNED", "action": "DELETE"},
            ],
        },
        {
            "name": "out", "source": "managed/user", "target": "system/t2/account",
            "properties": properties,
        },
    ]});
    world.write("conf/sync.json", &sync.to_string());
    world
}

fn inward(process: &Process) -> Run {
    process.run(async { reconcile(&process.app, Wanted::full("in")).await })
}

#[test]
fn records_of_a_system_become_objects_and_reach_the_other_targets() {
    let world = chain();
    for id in ["a", "b", "c"] {
        world.targets[0].put(id, json!({"name": id, "mail": format!("{id}@x")}));
    }
    let process = world.start();
    let dry_run = Wanted {
        dry_run: true,
        ..Wanted::full("in")
    };
    let told = process.run(async { reconcile(&process.app, dry_run).await });
    assert!(process.read("a").is_none());
    let run = inward(&process);
    assert_eq!(
        process.run(story(&process.app, &told)),
        process.run(story(&process.app, &run))
    );
    assert_eq!(run.counts.created, 3);
    assert_eq!(process.read("b").unwrap()["mail"], "b@x");
    assert_eq!(world.dump()[1].len(), 3);
    let again = inward(&process);
    assert_eq!((again.counts.unchanged, again.counts.entries), (3, 0));
    let operations = process.operations().len();
    assert_eq!(inward(&process).counts.unchanged, 3);
    assert_eq!(process.operations().len(), operations);
    // One changed, one gone, one deleted on our side.
    world.targets[0].put("a", json!({"name": "Ann", "mail": "a@x"}));
    world.targets[0].remove("b");
    process.change(crate::support::world::delete("c")).unwrap();
    let third = inward(&process);
    assert_eq!(
        process.run(story(&process.app, &third)),
        [
            "CONFIRMED UPDATE update SUCCESS a a",
            "MISSING CREATE create SUCCESS c c",
            "SOURCE_MISSING DELETE delete SUCCESS b b",
        ]
    );
    assert_eq!(process.read("a").unwrap()["name"], "Ann");
    assert!(process.read("b").is_none());
    let second_target = &world.dump()[1];
    assert_eq!(second_target["a"]["name"], "Ann");
    assert_eq!(second_target.keys().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(inward(&process).counts.entries, 0);
}

#[test]
fn what_another_target_refuses_is_taken_back_and_tried_again() {
    let world = chain();
    world.targets[0].put("a", json!({"name": "a"}));
    world.targets[1].fail(Some(Ask::Create), 0, 1, Fault::Refused);
    let process = world.start();
    let run = inward(&process);
    assert_eq!(run.counts.failures, 1);
    assert!(process.read("a").is_none());
    assert!(world.dump()[1].is_empty());
    let root = process
        .operations()
        .into_iter()
        .find(|record| record.parent.is_none())
        .unwrap();
    assert_eq!(root.outcome, Some(Outcome::Compensated));
    let again = inward(&process);
    assert_eq!(
        process.run(story(&process.app, &again)),
        ["ABSENT CREATE create SUCCESS a a"],
        "the first try left no link"
    );
    assert_eq!(world.dump()[1].len(), 1);
}

#[test]
fn an_object_that_no_record_stands_for_is_deleted_with_its_targets() {
    let world = chain();
    world.targets[0].put("a", json!({"name": "a"}));
    let process = world.start();
    process
        .change(crate::support::world::put("stray", json!({"name": "s"})))
        .unwrap();
    assert!(world.dump()[1].contains_key("stray"));
    let run = inward(&process);
    assert_eq!(
        process.run(story(&process.app, &run)),
        [
            "ABSENT CREATE create SUCCESS a a",
            "UNASSIGNED DELETE delete SUCCESS - stray",
        ]
    );
    assert!(process.read("stray").is_none());
    assert_eq!(world.dump()[1].keys().collect::<Vec<_>>(), ["a"]);
    let operations = process.operations();
    let own = operations.iter().filter(|one| one.object.id == "stray");
    assert_eq!(
        own.count(),
        2,
        "it was made and deleted by changes like any other"
    );
}

#[test]
fn a_run_undoes_no_newer_event_that_comes_between_its_reads() {
    let world = chain();
    let record = |name: &str| json!({"name": name, "mail": null, "department": null});
    world.targets[0].put("a", record("one"));
    let process = world.start();
    inward(&process);
    world.targets[0].put("a", record("two"));
    // What the run is told of the record is old when it arrives.
    world.targets[0].slow_down_reads(std::time::Duration::from_millis(500));
    let app = process.app.clone();
    let run = process.spawn(async move { reconcile(&app, Wanted::full("in")).await });
    process.run(async { tokio::time::sleep(std::time::Duration::from_millis(250)).await });
    world.targets[0].put("a", record("three"));
    let event = recant::app::Received {
        class: "account".into(),
        external_id: "a".into(),
        updated_at: recant::clock::Clock::now(&recant::clock::SystemClock),
        record: Some(crate::support::world::object(record("three"))),
        delivery: None,
    };
    process.run(process.app.receive("t1", vec![event])).unwrap();
    let run = process.run(run).unwrap();
    assert_eq!(run.counts.failures, 0, "{run:?}");
    assert_eq!(process.read("a").unwrap()["name"], "three");
    assert_eq!(world.dump()[1]["a"]["name"], "three");
}
