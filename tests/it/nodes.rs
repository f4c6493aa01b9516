//! Several nodes on one store: one object is one node's at a time, and a lost node's changes are
//! finished by another once its lease has run out.
use std::sync::atomic::{AtomicBool, Ordering};

use recant::{model::Outcome, sync::checkpoint::Point};
use serde_json::json;

use crate::support::{
    servers,
    target::{Ask, Fault},
    world::{Process, Shape, World, delete, put},
};

/// Two folders with the same targets and the same store.
fn pair(store: &str) -> (World, World) {
    let shape = Shape {
        store: Some(store.to_owned()),
        ..Shape::default()
    };
    let one = World::new(&shape);
    let mut other = World::new(&shape);
    other.targets.clone_from(&one.targets);
    (one, other)
}

/// The stores that several nodes can share, as far as there are servers.
fn stores(folder: &tempfile::TempDir) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut stores = vec![format!("sqlite://{}/shared.db", folder.path().display())];
    for server in [servers::postgres_url(), servers::mariadb_url()]
        .into_iter()
        .flatten()
    {
        stores.push(runtime.block_on(servers::fresh_database(&server)));
    }
    stores
}

#[test]
fn a_change_whose_task_panicked_is_finished_by_its_own_node() {
    let world = World::new(&Shape::default());
    let process = world.start();
    process.change(put("x", json!({"name": "old"}))).unwrap();
    let panicked = AtomicBool::new(false);
    let stopped = process.change_until(put("x", json!({"name": "new"})), move |point| {
        let first = point == Point::AfterWrite(1) && !panicked.swap(true, Ordering::SeqCst);
        assert!(!first, "a change panics, as this test wants");
        false
    });
    assert!(!stopped);
    process.until_settled();
    let records = process.operations();
    assert!(
        records
            .iter()
            .all(|record| record.outcome == Some(Outcome::Synced))
    );
    process.change(put("x", json!({"name": "next"}))).unwrap();
}

#[test]
fn a_lost_nodes_change_is_finished_by_another() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder) {
        let (here, there) = pair(&store);
        let lost = here.start();
        let other = there.start();
        lost.change(put("x", json!({"name": "old"}))).unwrap();
        assert!(lost.change_until(put("x", json!({"name": "new"})), |at| at
            == Point::AfterWrite(1)));
        // Its locks are of another folder: only the lease tells that it is gone.
        lost.crash();
        other.until_settled();
        let records = other.operations();
        assert!(
            records
                .iter()
                .all(|record| record.outcome == Some(Outcome::Synced))
        );
        assert_eq!(records.iter().map(|record| record.attempt).max(), Some(2));
        assert!(
            here.dump()
                .iter()
                .all(|held| held["x"] == json!({"name": "new"}))
        );
        other.change(delete("x")).unwrap();
        other.crash();
    }
}

#[test]
fn two_nodes_change_the_same_objects_and_all_agree() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder) {
        let (here, there) = pair(&store);
        let nodes = [here.start(), there.start()];
        let workers: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(node, process)| {
                let app = process.app.clone();
                process.spawn(async move {
                    for number in 0..12 {
                        let id = ["a", "b"][number % 2];
                        let request = put(id, json!({"name": format!("node{node}-{number}")}));
                        let changed = app.change(request).await.unwrap();
                        assert_eq!(changed.outcome, Outcome::Synced);
                    }
                })
            })
            .collect();
        for (process, worker) in nodes.iter().zip(workers) {
            process.run(worker).unwrap();
        }
        for id in ["a", "b"] {
            let stored = nodes[0].read(id).unwrap()["name"].clone();
            for held in here.dump() {
                assert_eq!(held[id]["name"], stored, "{store}");
            }
        }
        let overlaps: usize = here
            .targets
            .iter()
            .map(|t| *t.overlaps.lock().unwrap())
            .sum();
        assert_eq!(overlaps, 0, "{store}");
        let verification = nodes[1].run(nodes[1].app.verify_audit()).unwrap();
        assert_eq!(verification.broken, None);
        for process in nodes {
            process.crash();
        }
    }
}

#[test]
fn one_change_that_cannot_be_recovered_holds_up_no_other_and_says_why() {
    let world = World::new(&Shape::default());
    let process = world.start();
    for id in ["stuck", "fine"] {
        process.change(put(id, json!({"name": "old"}))).unwrap();
    }
    let stop = |at| at == Point::BeforeWrite(2);
    assert!(process.change_until(put("stuck", json!({"name": "new"})), stop));
    process.crash();
    // The third target is not configured any more.
    let read = |name: &str| std::fs::read_to_string(world.folder.path().join(name)).unwrap();
    let sync = read("conf/sync.json");
    let mut fewer: serde_json::Value = serde_json::from_str(&sync).unwrap();
    fewer["mappings"].as_array_mut().unwrap().pop();
    world.write("conf/sync.json", &fewer.to_string());
    let connector = read("conf/connectors/t3.json");
    std::fs::remove_file(world.folder.path().join("conf/connectors/t3.json")).unwrap();

    let process = world.start();
    let changed = process.change(put("fine", json!({"name": "new"}))).unwrap();
    assert_eq!(changed.outcome, Outcome::Synced);
    let waiting = process.until_waiting();
    assert!(
        waiting
            .waits_because
            .unwrap()
            .contains("system/t3/account is not configured")
    );

    world.write("conf/connectors/t3.json", &connector);
    world.write("conf/sync.json", &sync);
    process.until_settled();
    assert!(
        world
            .dump()
            .iter()
            .all(|held| held["stuck"] == json!({"name": "new"}))
    );
    process.crash();
}

#[test]
fn a_target_that_is_down_at_recovery_leaves_a_divergence_that_heals() {
    let world = World::new(&Shape::default());
    let process = world.start();
    process.change(put("x", json!({"name": "old"}))).unwrap();
    assert!(
        process.change_until(put("x", json!({"name": "new"})), |at| at
            == Point::AfterWrite(1))
    );
    process.crash();
    world.targets[0].fail(Some(Ask::Read), 0, 1_000, Fault::Unavailable);
    let process = world.start();
    process.until_settled();
    let records = process.operations();
    let diverged = records
        .iter()
        .find(|r| r.outcome == Some(Outcome::Diverged) && r.depth == 0);
    let diverged = diverged.unwrap();
    assert_eq!(
        world.dump()[1]["x"],
        json!({"name": "old"}),
        "what can be undone is undone"
    );
    world.targets[0].mend();
    let healed = process.run(process.app.heal(diverged.id, "test")).unwrap();
    assert_eq!(healed.outcome, Some(Outcome::Compensated));
    assert!(
        world
            .dump()
            .iter()
            .all(|held| held["x"] == json!({"name": "old"}))
    );
    process.crash();
}

/// Three targets of which the first is down after a crash between the second write and the third.
fn cut_off_while_a_target_is_down(recovery_wait: u32, at: Point) -> (World, Process) {
    let world = World::new(&Shape {
        recovery_wait,
        ..Shape::default()
    });
    let process = world.start();
    process.change(put("x", json!({"name": "old"}))).unwrap();
    if at == Point::CompensationJournaled {
        world.targets[2].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    }
    assert!(process.change_until(put("x", json!({"name": "new"})), move |now| now == at));
    process.crash();
    world.targets[0].fail(Some(Ask::Read), 0, 1_000_000, Fault::Unavailable);
    let process = world.start();
    (world, process)
}

#[test]
fn a_cut_off_change_waits_a_while_for_a_target_that_is_down() {
    for at in [Point::AfterWrite(1), Point::CompensationJournaled] {
        let (world, process) = cut_off_while_a_target_is_down(60, at);
        let waiting = process.until_waiting();
        let reason = waiting.waits_because.unwrap();
        assert!(reason.contains("cannot be read"), "{reason}");
        world.targets[0].mend();
        process.until_settled();
        let record = process.operations();
        let record = record.iter().find(|record| record.id == waiting.id);
        let outcome = record.unwrap().outcome.unwrap();
        assert_ne!(outcome, Outcome::Diverged, "{at:?}");
        let name = if outcome == Outcome::Synced {
            "new"
        } else {
            "old"
        };
        for held in world.dump() {
            assert_eq!(held["x"], json!({"name": name}), "{at:?}");
        }
        process.crash();
    }
}

#[test]
fn patience_with_a_target_that_is_down_ends() {
    for at in [Point::AfterWrite(1), Point::CompensationJournaled] {
        let (world, process) = cut_off_while_a_target_is_down(3, at);
        let waiting = process.until_waiting();
        process.until_settled();
        let record = process.operations();
        let record = record.iter().find(|record| record.id == waiting.id);
        assert_eq!(record.unwrap().outcome, Some(Outcome::Diverged), "{at:?}");
        world.targets[0].mend();
        let healed = process.run(process.app.heal(waiting.id, "test")).unwrap();
        assert_eq!(healed.outcome, Some(Outcome::Compensated), "{at:?}");
        process.crash();
    }
}

#[test]
fn an_acknowledged_change_waits_for_a_target_that_is_down_at_recovery() {
    let world = World::new(&Shape::default());
    let process = world.start();
    process.change(put("x", json!({"name": "old"}))).unwrap();
    // All targets are written: the caller may have been told `synced`.
    assert!(process.change_until(put("x", json!({"name": "new"})), |at| at == Point::Judged));
    process.crash();
    world.targets[0].fail(Some(Ask::Read), 0, 1_000_000, Fault::Unavailable);
    let process = world.start();
    let waiting = process.until_waiting();
    let reason = waiting.waits_because.unwrap();
    assert!(reason.contains("cannot be read"), "{reason}");
    let other = process.change(put("y", json!({"name": "other"})));
    assert_eq!(
        other.unwrap_err().code,
        503,
        "only its own target is missed"
    );
    world.targets[0].mend();
    process.until_settled();
    let newest = process
        .operations()
        .into_iter()
        .find(|record| record.id == waiting.id);
    assert_eq!(newest.unwrap().outcome, Some(Outcome::Synced));
    assert!(
        world
            .dump()
            .iter()
            .all(|held| held["x"] == json!({"name": "new"}))
    );
    process.crash();
}

/// A hook that takes a failure back in its own words and asks for another change.
const IN_ITS_WORDS: &str = r#"
if !syncResults.success && newObject.name == "new" {
    create("managed/user/note", #{ name: "note" });
    revert();
    throw #{ code: 418, message: "in its own words" };
}
"#;

#[test]
fn what_a_hook_said_outlasts_a_crash_of_its_compensation() {
    let shape = Shape {
        on_sync: Some(IN_ITS_WORDS),
        ..Shape::default()
    };
    let world = World::new(&shape);
    let process = world.start();
    process.change(put("x", json!({"name": "old"}))).unwrap();
    world.targets[2].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    let stop = |at| at == Point::CompensationJournaled;
    assert!(process.change_until(put("x", json!({"name": "new"})), stop));
    process.crash();
    let process = world.start();
    process.until_settled();
    let records = process.operations();
    let taken_back = records
        .iter()
        .find(|record| record.outcome == Some(Outcome::Compensated))
        .unwrap();
    let error = taken_back.error.as_ref().unwrap();
    assert_eq!(
        (error.code, error.message.as_str()),
        (418, "in its own words")
    );
    let hooks: Vec<&str> = taken_back
        .hook_runs
        .iter()
        .map(|run| run.hook.as_str())
        .collect();
    assert_eq!(hooks, ["onSync"]);
    assert_eq!(taken_back.follow_ups.len(), 1);
    assert!(process.read("note").is_some(), "what it asked for happened");
    process.crash();
}
