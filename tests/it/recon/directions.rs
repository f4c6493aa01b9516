//! Runs that go another way: against the mapping, from the newest change back, by what a system says
//! has changed, by one link at a time; and what happens to a mapping that always fails.
use std::time::Duration;

use recant::model::recon::{Mode, RunState, Syncable};
use serde_json::json;

use super::*;
use crate::support::{
    target::{Ask, Fault},
    world::{BY, Process, delete, put},
};

fn run_of(process: &Process, wanted: Wanted) -> Run {
    process.run(async { reconcile(&process.app, wanted).await })
}

/// Where a mapping stands, once the end of its latest run is written down there.
fn syncable(process: &Process, name: &str, holds: impl Fn(&Syncable) -> bool) -> Syncable {
    process.run(async {
        for _ in 0..500 {
            let all = process.app.syncables().await.unwrap();
            if let Some(found) = all.into_iter().find(|one| one.name == name && holds(one)) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let all = process.app.syncables().await.unwrap();
        panic!("never: {all:?}");
    })
}

/// `t1` feeds `managed/user` by `in`, which `back` leads back over the same links.
fn both_ways() -> World {
    let world = World::new(&Shape {
        targets: 1,
        on_sync: None,
        ..Shape::default()
    });
    let same = |name: &str| json!({"source": name, "target": name});
    let properties = json!([same("name"), same("mail")]);
    let sync = json!({"mappings": [
        {"name": "in", "source": "system/t1/account", "target": "managed/user",
            "properties": properties, "enableSync": false,
            "policies": [{"situation": "SOURCE_MISSING", "action": "DELETE"}]},
        {"name": "back", "source": "managed/user", "target": "system/t1/account", "links": "in",
            "properties": properties, "enableSync": false},
    ]});
    world.write("conf/sync.json", &sync.to_string());
    world
}

fn partial(mapping: &str) -> Wanted {
    Wanted {
        mode: Mode::UpdatedAt,
        ..Wanted::full(mapping)
    }
}

#[test]
fn a_reverse_run_takes_the_mapping_of_the_other_direction() {
    let world = both_ways();
    world.targets[0].put("a", json!({"name": "Ann", "mail": "a@x"}));
    let process = world.start();
    let reverse = |mapping: &str| Wanted {
        reverse: true,
        allow_empty_source_set: Some(true),
        ..Wanted::full(mapping)
    };
    let run = run_of(&process, reverse("back"));
    assert_eq!(
        (run.mapping.as_str(), run.counts.created),
        ("in", 1),
        "{run:?}"
    );
    assert_eq!(process.read("a").unwrap()["name"], "Ann");
    process
        .change(put("a", json!({"name": "Bea", "mail": "a@x"})))
        .unwrap();
    let run = run_of(&process, reverse("in"));
    assert_eq!(
        (run.mapping.as_str(), run.counts.updated),
        ("back", 1),
        "{run:?}"
    );
    assert_eq!(world.dump()[0]["a"]["name"], "Bea");
    let one_way = super::world(json!({}));
    let process = one_way.start();
    let start = process.app.start_recon(reverse("user_t1"), "test", "t");
    let refused = process.run(start).unwrap_err();
    assert_eq!(refused.code, 400);
    assert!(
        refused
            .message
            .contains("no mapping leads from system/t1/account")
    );
}

#[test]
fn a_system_that_tells_what_changed_is_not_read_in_full() {
    let world = both_ways();
    let target = &world.targets[0];
    for number in 0..20 {
        target.put(
            &format!("p{number:02}"),
            json!({"name": "old", "mail": "m"}),
        );
    }
    let process = world.start();
    let first = run_of(&process, partial("in"));
    assert!(first.whole, "nothing was synced yet");
    assert_eq!(first.counts.created, 20);
    let through = first.window.unwrap().end;
    syncable(&process, "in", |one| {
        one.data_synced_through == Some(through)
    });
    target.put("p03", json!({"name": "new", "mail": "m"}));
    target.put("p03", json!({"name": "newer", "mail": "m"}));
    target.put("x", json!({"name": "x", "mail": "m"}));
    target.remove("p07");
    let reads = target.asked(Ask::Read);
    let second = run_of(&process, partial("in"));
    assert!(!second.whole);
    assert_eq!(second.window.unwrap().start, Some(through));
    assert_eq!(
        process.run(story(&process.app, &second)),
        [
            "ABSENT CREATE create SUCCESS x x",
            "CONFIRMED UPDATE update SUCCESS p03 p03",
            "SOURCE_MISSING DELETE delete SUCCESS p07 p07",
        ]
    );
    assert_eq!(second.counts.sources_processed, 3, "each once");
    assert!(target.asked(Ask::Read) - reads <= 6, "no listing");
    assert_eq!(process.read("p03").unwrap()["name"], "newer");
    assert!(process.read("p07").is_none());
    let through = second.window.unwrap().end;
    syncable(&process, "in", |one| {
        one.data_synced_through == Some(through)
    });
    let reads = target.asked(Ask::Read);
    let third = run_of(&process, partial("in"));
    assert_eq!(
        (third.counts.sources_processed, third.counts.entries),
        (0, 0)
    );
    assert_eq!(target.asked(Ask::Read), reads, "only the window was read");
    // A dry run moves nothing on.
    target.put("p04", json!({"name": "new", "mail": "m"}));
    assert_eq!(
        run_of(&process, dry(partial("in")))
            .counts
            .sources_processed,
        1
    );
    assert_eq!(run_of(&process, partial("in")).counts.updated, 1);
    // What the system has forgotten is found by looking at everything, once.
    target.put("p05", json!({"name": "new", "mail": "m"}));
    target.forget_changes();
    let forgotten = run_of(&process, partial("in"));
    assert!(forgotten.whole);
    assert_eq!(
        (forgotten.counts.updated, forgotten.state),
        (1, RunState::Success)
    );
    let through = forgotten.window.unwrap().end;
    syncable(&process, "in", |one| {
        one.data_synced_through == Some(through)
    });
    assert!(!run_of(&process, partial("in")).whole);
    process
        .run(process.app.reset_syncs("system/t1/account", None, BY))
        .unwrap();
    assert!(run_of(&process, partial("in")).whole);
}

#[test]
fn backward_takes_the_newest_first_and_stands_where_it_was_until_it_is_through() {
    let world = world(json!({"enableSync": false, "reconciliation": {"direction": "backward"}}));
    let process = world.start();
    let change = |number: usize, name: &str| {
        let content = json!({"name": name, "mail": "m"});
        process
            .change(put(&format!("u{number:04}"), content))
            .unwrap();
    };
    (0..220).for_each(|number| change(number, "old"));
    let first = run_of(&process, partial("user_t1"));
    let stands = first.window.unwrap().end;
    syncable(&process, "user_t1", |one| {
        one.data_synced_through == Some(stands)
    });
    (0..220).for_each(|number| change(number, "new"));
    let before = world.targets[0].log().len();
    let id = super::resumed::until_cut(&process, partial("user_t1"), 150);
    let done = process.run(process.app.recon(id)).unwrap();
    assert_eq!(
        done.synced_through, None,
        "the oldest changes are still to come"
    );
    let updated: Vec<String> = world.targets[0].log()[before..]
        .iter()
        .map(|(_, id, _)| id.clone())
        .collect();
    assert!(
        updated.len() >= 100 && updated.iter().all(|id| id.as_str() >= "u0060"),
        "{updated:?}"
    );
    process.crash();
    let process = world.start();
    let over = process.run(process.app.wait_for_recon(id)).unwrap();
    assert_eq!((over.state, over.counts.updated), (RunState::Success, 220));
    let through = over.window.unwrap().end;
    assert!(!over.whole && through > stands);
    syncable(&process, "user_t1", |one| {
        one.data_synced_through == Some(through)
    });
    assert_eq!(
        run_of(&process, partial("user_t1"))
            .counts
            .sources_processed,
        0
    );
}

#[test]
fn a_mapping_that_fails_too_often_is_quarantined_until_a_run_goes_well() {
    let world = world(json!({"enableSync": false, "reconciliation": {"schedule": "* * * * * *"}}));
    let target = &world.targets[0];
    target.fail(None, 0, 1_000_000, Fault::Refused);
    let process = world.start();
    for number in 0..30 {
        process
            .change(put(&format!("u{number}"), json!({"name": "n"})))
            .unwrap();
    }
    let paused = syncable(&process, "user_t1", |one| one.quarantined_until.is_some());
    assert_eq!(paused.bad_runs, 1);
    let because = paused.quarantined_because.clone().unwrap();
    assert!(because.contains("records failed"), "{because}");
    let runs = || {
        process
            .run(process.app.recons(Some("user_t1")))
            .unwrap()
            .len()
    };
    let before = runs();
    process.run(async { tokio::time::sleep(Duration::from_millis(4_500)).await });
    assert_eq!(runs(), before, "the schedule pauses");
    // By hand it may be tried at any time; what fails again makes the pause longer.
    assert_eq!(run_of(&process, wanted()).state, RunState::Failed);
    let longer = syncable(&process, "user_t1", |one| one.bad_runs == 2);
    assert!(longer.quarantined_until > paused.quarantined_until);
    target.mend();
    assert_eq!(run_of(&process, wanted()).state, RunState::Success);
    let ended = syncable(&process, "user_t1", |one| one.bad_runs == 0);
    assert_eq!(
        (ended.quarantined_until, ended.quarantined_because),
        (None, None)
    );
    process.run(async {
        while process.app.recons(Some("user_t1")).await.unwrap().len() < before + 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn what_a_canceled_run_held_back_is_not_approved() {
    let world = world(
        json!({"policies": [{"situation": "UNASSIGNED", "action": "DELETE"}],
        "validSource": {"type": "text/rhai", "source": "source.name != \"gone\""}}),
    );
    let process = world.start();
    for number in 0..130 {
        process
            .change(put(&format!("u{number:04}"), json!({"name": "n"})))
            .unwrap();
    }
    let text = std::fs::read_to_string(world.folder.path().join("conf/sync.json")).unwrap();
    let invalid = text.replace("source.name != \\\"gone\\\"", "source._id >= \\\"u0050\\\"");
    assert_ne!(text, invalid);
    world.write("conf/sync.json", &invalid);
    process.run(async {
        let version = |app: &App| recant::recon::sync_version(&app.engine().setup().mappings[0]);
        let before = version(&process.app);
        while version(&process.app) == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    for number in 120..130 {
        world.targets[0].put(&format!("u{number:04}"), json!({"name": "drift"}));
    }
    let id = super::resumed::until_cut(&process, wanted(), 0);
    process
        .run(process.app.cancel_recon(id, crate::support::world::BY))
        .unwrap();
    process.crash();
    let process = world.start();
    let over = process.run(process.app.wait_for_recon(id)).unwrap();
    assert_eq!(over.state, RunState::Canceled);
    assert_eq!(over.counts.held, 50);
    let refused = process
        .run(process.app.approve_recon(id, "boss"))
        .unwrap_err();
    assert_eq!(refused.code, 409);
    assert!(
        refused.message.contains("was canceled before"),
        "{}",
        refused.message
    );
    assert_eq!(world.dump()[0].len(), 130);
}

#[test]
fn links_without_a_source_are_told_alike_by_the_dry_run_and_the_real_one() {
    for action in ["UNLINK", "DELETE", "EXCEPTION", "IGNORE"] {
        let world = world(json!({
            "enableSync": false,
            "linkQualifiers": ["a", "b"],
            "properties": [
                {"source": "name", "target": "name"},
                {"target": "_id", "transform": {"type": "text/rhai",
                    "source": "sourceId + \"-\" + linkQualifier"}},
            ],
            "policies": [{"situation": "SOURCE_MISSING", "action": action},
                {"situation": "UNASSIGNED", "action": "DELETE"}],
            "reconciliation": {"maxDeletionShare": 1.0},
        }));
        let process = world.start();
        for id in ["u1", "u2", "u3", "u4"] {
            process.change(put(id, json!({"name": id}))).unwrap();
        }
        assert_eq!(run_of(&process, wanted()).counts.created, 8);
        process.change(delete("u2")).unwrap();
        process.change(delete("u3")).unwrap();
        world.targets[0].remove("u3-b");
        let told = run_of(&process, dry(wanted()));
        let done = run_of(&process, wanted());
        let [mut dry, real] = [&told, &done].map(|run| process.run(story(&process.app, run)));
        // Nothing is held back here: what the dry run keeps for the end is done by the real one.
        for line in &mut dry {
            *line = line.replace(" HELD ", " SUCCESS ");
        }
        assert_eq!(dry, real, "{action}");
        let situations = |run: &Run| run.to_value()["situationSummary"].clone();
        assert_eq!(situations(&told), situations(&done), "{action}");
    }
}
