//! What bounds a run: the share of deletions, of links and of targets, and a request's own query.
use serde_json::json;

use super::*;
use crate::support::world::{Process, delete, put};

/// So many linked pairs; live changes reach no target.
fn linked(world: &World, process: &Process, count: usize) {
    for number in 0..count {
        let content = json!({"name": format!("n{number}")});
        process
            .change(put(&format!("u{number:03}"), content))
            .unwrap();
    }
    let run = process.run(async { reconcile(&process.app, wanted()).await });
    assert_eq!(run.counts.created, count as u64, "{run:?}");
    assert_eq!(world.dump()[0].len(), count);
}

#[test]
fn most_of_the_linked_objects_are_many_however_many_targets_are_not_linked() {
    let world = world(json!({"enableSync": false,
        "policies": [{"situation": "MISSING", "action": "CREATE"},
            {"situation": "SOURCE_MISSING", "action": "DELETE"}]}));
    let process = world.start();
    linked(&world, &process, 110);
    for number in 0..600 {
        world.targets[0].put(&format!("stray{number}"), json!({"name": "x"}));
    }
    for number in 0..80 {
        process.change(delete(&format!("u{number:03}"))).unwrap();
    }
    let run = process.run(async { reconcile(&process.app, wanted()).await });
    assert_eq!(
        (run.counts.held, run.counts.deleted),
        (80, 0),
        "{:?}",
        run.message
    );
    assert!(run.message.unwrap().contains("20 % of 110"));
    assert_eq!(world.dump()[0].len(), 710);
}

#[test]
fn a_run_of_some_sources_says_nothing_about_targets_without_one() {
    let world = world(json!({"enableSync": false,
        "policies": [{"situation": "UNASSIGNED", "action": "DELETE"}]}));
    let process = world.start();
    linked(&world, &process, 1);
    world.targets[0].put("stray", json!({"name": "x"}));
    let app = &process.app;
    let narrowed = |run_target_phase| Wanted {
        source_query: Some("name eq \"n0\"".to_owned()),
        run_target_phase,
        ..wanted()
    };
    let run = process.run(async { reconcile(app, narrowed(None)).await });
    assert_eq!((run.counts.sources_processed, run.counts.deleted), (1, 0));
    assert_eq!(world.dump()[0].len(), 2);
    let run = process.run(async { reconcile(app, narrowed(Some(true))).await });
    assert_eq!(run.counts.deleted, 1, "where it is asked for");
}

#[test]
fn a_share_of_deletions_is_between_nothing_and_all() {
    let world = world(json!({}));
    let process = world.start();
    for share in [-0.1, 1.1, 20.0, f64::NAN, f64::INFINITY] {
        let wrong = Wanted {
            max_deletion_share: Some(share),
            ..wanted()
        };
        let started = process.run(process.app.start_recon(wrong, "test", "t"));
        let refused = started.unwrap_err();
        assert_eq!(refused.code, 400, "{share}");
        assert!(refused.message.contains("maxDeletionShare"), "{share}");
    }
}
