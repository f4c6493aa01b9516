//! A run that is cut off and goes on tells, in the end, what an uninterrupted one tells.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use recant::{
    model::recon::{Counts, RunState},
    sync::checkpoint::{self, Point},
};
use serde_json::json;

use super::*;
use crate::support::world::{Process, delete, put};

/// Correlates by id, so that a target that is there already is found; deletes and unlinks.
fn drifting() -> World {
    let policy = |situation: &str, action: &str| json!({"situation": situation, "action": action});
    world(json!({
        "enableSync": false,
        "linkQualifiers": ["a", "b"],
        "correlationQuery": {"type": "text/rhai",
            "source": "`_id eq \"${source._id}-${linkQualifier}\"`"},
        "properties": [
            {"source": "name", "target": "name"},
            {"target": "_id", "transform": {"type": "text/rhai",
                "source": "sourceId + \"-\" + linkQualifier"}},
        ],
        "policies": [policy("MISSING", "CREATE"), policy("UNASSIGNED", "DELETE"),
            policy("SOURCE_MISSING", "UNLINK")],
        "reconciliation": {"maxDeletionShare": 1.0},
    }))
}

fn name(kind: &str, number: usize) -> String {
    format!("{kind}{number:03}")
}

/// Some of everything that a run puts right, more than one page of it.
fn disturb(world: &World, process: &Process) {
    let target = &world.targets[0];
    for number in 0..70 {
        let id = name("u", number);
        process.change(put(&id, json!({"name": id}))).unwrap();
    }
    let first = process.run(async { reconcile(&process.app, wanted()).await });
    assert_eq!(first.counts.created, 140, "{first:?}");
    for number in 0..10 {
        target.put(
            &format!("{}-a", name("u", number)),
            json!({"name": "drift"}),
        );
        target.remove(&format!("{}-b", name("u", number)));
        target.put(&name("stray", number), json!({"name": "stray"}));
    }
    for number in 10..25 {
        process.change(delete(&name("u", number))).unwrap();
    }
    for number in 0..40 {
        let id = name("n", number);
        if number % 8 == 0 {
            target.put(&format!("{id}-a"), json!({"name": "found"}));
        }
        process.change(put(&id, json!({"name": id}))).unwrap();
    }
}

/// What entries tell, without ids that no two runs share.
fn told(mut entries: Vec<Entry>) -> Vec<Entry> {
    for entry in &mut entries {
        entry.recon_id = uuid::Uuid::nil();
        let change = entry.change.take();
        entry.message = change
            .map(|_| "by a change".to_owned())
            .or(entry.message.take());
    }
    entries
}

fn report(process: &Process, run: &Run) -> (Counts, Vec<Entry>) {
    (
        run.counts.clone(),
        told(process.run(entries(&process.app, run))),
    )
}

#[test]
fn a_run_that_was_cut_off_tells_what_an_uninterrupted_one_tells() {
    cut_off_everywhere(drifting);
}

#[test]
fn the_same_with_a_target_that_is_asked_for_many_objects_at_once() {
    cut_off_everywhere(|| {
        let world = drifting();
        world.targets[0].read_many_at_once();
        world
    });
}

fn cut_off_everywhere(drifting: impl Fn() -> World) {
    let whole = drifting();
    let process = whole.start();
    disturb(&whole, &process);
    let run = process.run(async { reconcile(&process.app, wanted()).await });
    assert_eq!(run.state, RunState::Success, "{:?}", run.message);
    let expected = report(&process, &run);
    assert_eq!(expected.0.deleted, 10);
    assert_eq!(expected.0.created, 10 + 80 - 5);
    let changes = expected
        .1
        .iter()
        .filter(|one| one.message.is_some())
        .count();
    assert_eq!(changes, 10 + 10 + 80 + 30 + 10, "all kinds of deeds");
    process.crash();
    // In the sweep over sources, links and deletions, and at their ends.
    for cut in [1, 9, 30, 49, 52, 70, 79, 82, 88] {
        let world = drifting();
        let process = world.start();
        disturb(&world, &process);
        let id = until_cut(&process, wanted(), cut);
        process.crash();
        let process = world.start();
        let over = process.run(process.app.wait_for_recon(id)).unwrap();
        assert_eq!(
            (over.state, over.attempt),
            (RunState::Success, 2),
            "{cut}: {over:?}"
        );
        let (counts, entries) = report(&process, &over);
        for (one, other) in entries.iter().zip(&expected.1) {
            assert_eq!(one, other, "cut at {cut}");
        }
        assert_eq!(entries.len(), expected.1.len(), "cut at {cut}");
        assert_eq!(counts, expected.0, "cut at {cut}");
        assert_eq!(world.dump(), whole.dump(), "cut at {cut}");
        process.crash();
    }
}

/// Starts a run and waits until all its work hangs, after so many changes of its own.
pub fn until_cut(process: &Process, wanted: Wanted, cut: usize) -> uuid::Uuid {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    checkpoint::watch(process.app.engine().store().node(), move |point| {
        let is_new = point == Point::Journaled;
        let before = count.fetch_add(usize::from(is_new), Ordering::SeqCst);
        before + usize::from(is_new) > cut
    });
    process.run(async {
        let run = process.app.start_recon(wanted, "test", "t").await.unwrap();
        while seen.load(Ordering::SeqCst) <= cut {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        // What was under way beside it ends, or hangs too.
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        run.id
    })
}
