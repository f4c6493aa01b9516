//! What a run must not do: delete a lot, work on an empty source, run twice, or undo a live change.
use std::time::Duration;

use recant::model::recon::{RunState, Status};
use serde_json::json;

use super::*;
use crate::support::{
    target::{Ask, Fault},
    world::{Process, object, put},
};

fn filled(process: &Process, count: usize) {
    for number in 0..count {
        let content = json!({"name": format!("n{number}"), "mail": "m"});
        process
            .change(put(&format!("u{number:04}"), content))
            .unwrap();
    }
}

#[test]
fn an_empty_source_stops_a_run_unless_it_is_allowed() {
    let world = world(json!({"policies": [{"situation": "UNASSIGNED", "action": "DELETE"}]}));
    world.targets[0].put("stray", json!({"name": "x"}));
    let process = world.start();
    let app = &process.app;
    let run = process.run(async { reconcile(app, wanted()).await });
    assert_eq!(run.state, RunState::Failed);
    assert!(run.message.unwrap().contains("allowEmptySourceSet"));
    assert_eq!(world.dump()[0].len(), 1);
    let allowed = Wanted {
        allow_empty_source_set: Some(true),
        ..wanted()
    };
    let run = process.run(async { reconcile(app, allowed).await });
    assert_eq!(run.state, RunState::Success);
    assert!(world.dump()[0].is_empty());
}

#[test]
fn too_many_deletions_wait_for_an_approval() {
    let world = world(json!({"policies": [{"situation": "UNASSIGNED", "action": "DELETE"}]}));
    let process = world.start();
    filled(&process, 80);
    for number in 0..30 {
        world.targets[0].put(&format!("stray{number}"), json!({"name": "x"}));
    }
    let app = &process.app;
    let dry_run = process.run(async { reconcile(app, dry(wanted())).await });
    let run = process.run(async { reconcile(app, wanted()).await });
    for run in [&dry_run, &run] {
        assert_eq!(run.state, RunState::Success);
        assert_eq!(run.counts.held, 30, "{:?}", run.message);
        assert!(run.message.as_ref().unwrap().contains("20 % of 110"));
    }
    assert_eq!(world.dump()[0].len(), 110);
    let held = process.run(matching(app, &run, "status eq \"HELD\""));
    assert_eq!(held.len(), 30);
    let approved = process.run(async {
        let approved = app.approve_recon(run.id, "boss").await.unwrap();
        app.wait_for_recon(approved.id).await.unwrap()
    });
    assert_eq!(approved.counts.held, 0);
    assert_eq!(approved.counts.deleted, 30);
    assert_eq!(approved.approved_by.as_deref(), Some("boss"));
    assert_eq!(world.dump()[0].len(), 80);
    let done = process.run(matching(app, &run, "status eq \"SUCCESS\""));
    assert!(done.iter().all(|entry| entry.change.is_some()));
    let refused = process.run(app.approve_recon(run.id, "boss")).unwrap_err();
    assert_eq!(refused.code, 409);
    let deletions = "entryType eq \"entry\" and status eq \"SUCCESS\"";
    let told = process.run(in_audit(app, deletions));
    assert_eq!(told.len(), 30);
    let by: Vec<&serde_json::Value> = told.iter().map(|entry| &entry["userId"]).collect();
    assert!(by.iter().all(|by| **by == "boss"), "{by:?}");
    let deleted = process.operations().into_iter();
    let deleted = deleted.filter(|one| one.object.id.starts_with("stray"));
    assert!(deleted.into_iter().all(|one| one.caller == "boss"));
}

/// What the audit trail tells of reconciliations.
async fn in_audit(app: &App, filter: &str) -> Vec<serde_json::Value> {
    let search = Search {
        filter: Filter::parse(filter).unwrap(),
        sort: Vec::new(),
        page_size: None,
        cookie: None,
        offset: 0,
        count: Count::None,
    };
    let topic = Some(recant::model::audit::Topic::Recon);
    let found = app.audit(topic, &search).await.unwrap().results;
    found.iter().map(|entry| entry.to_value()).collect()
}

#[test]
fn a_run_that_holds_something_back_is_kept_until_it_is_approved_or_another_has_looked() {
    let world = world(json!({"policies": [{"situation": "UNASSIGNED", "action": "DELETE"}]}));
    let process = world.start();
    filled(&process, 80);
    for number in 0..30 {
        world.targets[0].put(&format!("stray{number}"), json!({"name": "x"}));
    }
    let app = &process.app;
    let run = || process.run(async { reconcile(app, wanted()).await });
    let forget = || {
        let before = chrono::DateTime::<chrono::Utc>::MAX_UTC;
        process
            .run(app.engine().store().forget_runs(before))
            .unwrap()
    };
    let held = run();
    assert_eq!(held.counts.held, 30);
    let told = process.run(async { reconcile(app, dry(wanted())).await });
    let of_one = Wanted {
        ids: vec!["u0001".to_owned()],
        ..wanted()
    };
    process.run(async { reconcile(app, of_one).await });
    assert_eq!(forget(), 2, "the dry run and that of one record");
    assert_eq!(process.run(app.recon(told.id)).unwrap_err().code, 404);
    assert_eq!(process.run(entries(app, &held)).len(), 30);
    let newer = run();
    assert_eq!(forget(), 1, "the newer one has looked at the same");
    assert_eq!(process.run(app.recon(held.id)).unwrap_err().code, 404);
    process.run(async {
        app.approve_recon(newer.id, "boss").await.unwrap();
        app.wait_for_recon(newer.id).await.unwrap();
    });
    assert_eq!(world.dump()[0].len(), 80);
    assert_eq!(forget(), 1);
    assert!(process.run(app.recons(None)).unwrap().is_empty());
}

#[test]
fn an_unchanged_pair_is_known_again_without_a_look() {
    let world = world(json!({}));
    let process = world.start();
    filled(&process, 50);
    let app = &process.app;
    let first = process.run(async { reconcile(app, wanted()).await });
    assert_eq!(first.counts.unchanged, 50);
    let before = world.targets[0].asked(Ask::Read);
    let operations = process.operations().len();
    let again = process.run(async { reconcile(app, wanted()).await });
    assert_eq!(again.counts.unchanged, 50);
    assert_eq!(
        again.to_value()["situationSummary"],
        json!({"CONFIRMED": 50})
    );
    let listing = 1;
    assert_eq!(world.targets[0].asked(Ask::Read) - before, listing);
    assert_eq!(
        process.operations().len(),
        operations,
        "nothing was changed"
    );
    // A drifted target, a changed source and a forced id are looked at, and nothing else.
    world.targets[0].put("u0007", json!({"name": "drift", "mail": "m"}));
    process
        .change(put("u0008", json!({"name": "new", "mail": "m"})))
        .unwrap();
    let before = world.targets[0].asked(Ask::Read);
    let forced = Wanted {
        force_ids: vec!["u0009".to_owned()],
        ..wanted()
    };
    let third = process.run(async { reconcile(app, forced).await });
    assert_eq!(third.counts.updated, 1);
    assert_eq!(world.targets[0].asked(Ask::Read) - before, listing + 3);
    let all = Wanted {
        force: true,
        ..wanted()
    };
    let before = world.targets[0].asked(Ask::Read);
    let fourth = process.run(async { reconcile(app, all).await });
    assert_eq!(fourth.counts.unchanged, 50);
    assert!(world.targets[0].asked(Ask::Read) - before >= 50);
}

#[test]
fn one_record_is_looked_at_by_its_id() {
    let world = world(json!({}));
    let process = world.start();
    filled(&process, 3);
    for id in ["u0000", "u0001"] {
        world.targets[0].put(id, json!({"name": "drift"}));
    }
    let app = &process.app;
    let one = Wanted {
        ids: vec!["u0001".to_owned(), "nobody".to_owned()],
        ..wanted()
    };
    let run = process.run(async { reconcile(app, one).await });
    assert_eq!(
        process.run(story(app, &run)),
        ["CONFIRMED UPDATE update SUCCESS u0001 u0001"]
    );
    assert_eq!(
        run.to_value()["situationSummary"],
        json!({"ALL_GONE": 1, "CONFIRMED": 1})
    );
    assert_eq!(world.dump()[0]["u0000"]["name"], "drift");
}

#[test]
fn a_record_that_fails_does_not_stop_the_others() {
    let world = world(json!({}));
    let process = world.start();
    filled(&process, 10);
    for number in 0..10 {
        world.targets[0].put(&format!("u{number:04}"), json!({"name": "drift"}));
    }
    world.targets[0].fail(Some(Ask::Update), 4, 1, Fault::Refused);
    let app = &process.app;
    let run = process.run(async { reconcile(app, wanted()).await });
    assert_eq!(run.state, RunState::Success);
    assert_eq!((run.counts.updated, run.counts.failures), (9, 1));
    let failed = process.run(matching(app, &run, "status eq \"FAILURE\""));
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].status, Status::Failure);
    assert_eq!(failed[0].message.as_deref(), Some("refused by policy"));
    let again = process.run(async { reconcile(app, wanted()).await });
    assert_eq!((again.counts.updated, again.counts.failures), (1, 0));
    let operations = process.operations();
    assert!(operations.iter().all(|record| record.outcome.is_some()));
}

#[test]
fn a_live_change_is_never_undone() {
    let world = world(json!({}));
    let process = world.start();
    filled(&process, 40);
    for number in 0..40 {
        world.targets[0].put(&format!("u{number:04}"), json!({"name": "drift"}));
    }
    world.targets[0].slow_down(Duration::from_millis(2));
    let app = process.app.clone();
    let changes = process.spawn(async move {
        for round in 0..5 {
            for number in 0..40 {
                let content = json!({"name": format!("live{round}"), "mail": "m"});
                let request = put(&format!("u{number:04}"), content);
                app.change(request).await.unwrap();
            }
        }
    });
    let app = process.app.clone();
    process.run(async {
        while !changes.is_finished() {
            let run = reconcile(&app, wanted()).await;
            assert_eq!(run.counts.failures, 0, "{:?}", story(&app, &run).await);
        }
    });
    let expected = object(json!({"name": "live4", "mail": "m"}));
    for attributes in world.dump()[0].values() {
        assert_eq!(attributes.as_object().unwrap()["name"], expected["name"]);
    }
    assert_eq!(*world.targets[0].overlaps.lock().unwrap(), 0);
}

#[test]
fn one_run_of_a_mapping_at_a_time_and_it_can_be_canceled() {
    let world = world(json!({}));
    let process = world.start();
    filled(&process, 60);
    for number in 0..60 {
        world.targets[0].put(&format!("u{number:04}"), json!({"name": "drift"}));
    }
    world.targets[0].slow_down(Duration::from_millis(300));
    let app = &process.app;
    process.run(async {
        let run = app.start_recon(wanted(), "test", "t").await.unwrap();
        let refused = app.start_recon(wanted(), "test", "t").await.unwrap_err();
        assert_eq!(refused.code, 409);
        assert_eq!(refused.detail.unwrap()["reconId"], json!(run.id));
        app.cancel_recon(run.id, crate::support::world::BY)
            .await
            .unwrap();
        let over = app.wait_for_recon(run.id).await.unwrap();
        assert_eq!(over.state, RunState::Canceled);
        assert!(over.counts.updated < 60, "{:?}", over.counts);
        let again = app.cancel_recon(run.id, crate::support::world::BY).await;
        assert_eq!(again.unwrap_err().code, 409);
        let told = in_audit(app, "entryType eq \"cancel\"").await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["userId"], "boss");
    });
}

#[test]
fn disabling_many_waits_for_an_approval_too() {
    let world = world(json!({
        "enableSync": false,
        "reconciliation": {"disabledWhen": "/department eq \"left\"", "maxDeletions": 3},
    }));
    let process = world.start();
    let leave = |from: usize, to: usize| {
        for number in from..to {
            let content = json!({"name": "n", "department": "left"});
            process
                .change(put(&format!("u{number:04}"), content))
                .unwrap();
        }
    };
    filled(&process, 10);
    let app = &process.app;
    process.run(async { reconcile(app, wanted()).await });
    leave(0, 3);
    let few = process.run(async { reconcile(app, wanted()).await });
    assert_eq!((few.counts.updated, few.counts.held), (3, 0));
    leave(3, 7);
    let many = process.run(async { reconcile(app, wanted()).await });
    assert_eq!((many.counts.updated, many.counts.held), (0, 4));
    assert_ne!(world.dump()[0]["u0003"]["department"], "left");
    process.run(async {
        app.approve_recon(many.id, "boss").await.unwrap();
        let over = app.wait_for_recon(many.id).await.unwrap();
        assert_eq!((over.counts.updated, over.counts.held), (4, 0));
    });
    assert_eq!(world.dump()[0]["u0003"]["department"], "left");
}

#[test]
fn the_result_hook_sees_what_was_counted() {
    let hook = "if global.situations.CONFIRMED != 3 || target.unchanged != 3 { throw \"no\"; } \
                throw `counted ${source.processed} of ${mappingConfig.name}`";
    let world = world(json!({"result": {"type": "text/rhai", "source": hook}}));
    let process = world.start();
    filled(&process, 3);
    let run = process.run(async { reconcile(&process.app, wanted()).await });
    assert_eq!(run.state, RunState::Success, "the hook changes nothing");
    assert!(run.message.unwrap().contains("counted 3 of user_t1"));
}

#[test]
fn a_divergence_ends_with_the_run_that_puts_its_target_right() {
    let world = World::new(&Shape::default());
    let process = world.start();
    process.change(put("x", json!({"name": "old"}))).unwrap();
    world.targets[2].fail(None, 0, 1, Fault::Refused);
    world.targets[0].fail(Some(Ask::Update), 1, 1, Fault::Refused);
    let refused = process
        .change(put("x", json!({"name": "new"})))
        .unwrap_err();
    assert_eq!(refused.outcome, Some(recant::model::Outcome::Diverged));
    let id = refused.operation.unwrap();
    let app = &process.app;
    let run = process.run(async { reconcile(app, Wanted::full("user_t2")).await });
    assert_eq!(run.counts.failures, 0);
    let record = || process.run(app.operation(id)).unwrap();
    assert!(record().resolution.is_none(), "that was another target");
    assert_eq!(world.dump()[0]["x"]["name"], "new");
    let run = process.run(async { reconcile(app, wanted()).await });
    assert_eq!(world.dump()[0]["x"]["name"], "old");
    process.run(async {
        while record_of(app, id).await.resolution.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let reason = record().resolution.unwrap().reason.unwrap();
    assert!(reason.contains(&run.id.to_string()), "{reason}");
}

/// A change of `id` whose undo write at the first target failed.
fn diverged(world: &World, process: &Process, id: &str) -> recant::model::OperationId {
    process.change(put(id, json!({"name": "old"}))).unwrap();
    world.targets[2].fail(None, 0, 1, Fault::Refused);
    world.targets[0].fail(Some(Ask::Update), 1, 1, Fault::Refused);
    let refused = process.change(put(id, json!({"name": "new"}))).unwrap_err();
    assert_eq!(refused.outcome, Some(recant::model::Outcome::Diverged));
    refused.operation.unwrap()
}

#[test]
fn a_run_ends_the_divergences_of_what_it_put_right_and_no_other() {
    let world = World::new(&Shape::default());
    let process = world.start();
    let app = &process.app;
    let [x, y] = ["x", "y"].map(|id| diverged(&world, &process, id));
    let of_one = |id: &str| Wanted {
        ids: vec![id.to_owned()],
        ..wanted()
    };
    let of_nobody = Wanted {
        source_query: Some("name eq \"nobody\"".to_owned()),
        allow_empty_source_set: Some(true),
        run_target_phase: Some(false),
        ..wanted()
    };
    process.run(async { reconcile(app, of_nobody).await });
    // Each run is told as the one that ended its own object's divergence.
    for (operation, id) in [(x, "x"), (y, "y")] {
        let run = process.run(async { reconcile(app, of_one(id)).await });
        assert_eq!(run.counts.updated, 1);
        process.run(async {
            while record_of(app, operation).await.resolution.is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let record = process.run(record_of(app, operation));
        let reason = record.resolution.unwrap().reason.unwrap();
        assert!(reason.contains(&run.id.to_string()), "{id}: {reason}");
    }
}

#[test]
fn exceptions_chosen_by_policy_neither_stop_a_run_nor_hold_up_partial_syncs() {
    let world = world(json!({}));
    let process = world.start();
    filled(&process, 2);
    for number in 0..30 {
        world.targets[0].put(&format!("stray{number}"), json!({"name": "x"}));
    }
    let app = &process.app;
    let run = process.run(async { reconcile(app, wanted()).await });
    assert_eq!(run.state, RunState::Success, "{:?}", run.message);
    assert_eq!((run.counts.failures, run.counts.entries), (0, 30));
    let told = process.run(matching(app, &run, "action eq \"EXCEPTION\""));
    assert_eq!(told.len(), 30);
    assert!(told.iter().all(|entry| entry.message.is_some()));
    process.run(async {
        while app.syncables().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let syncable = process.run(app.syncables()).unwrap().remove(0);
    assert_eq!(syncable.data_synced_through, Some(run.window.unwrap().end));
    assert_eq!(syncable.quarantined_until, None);
}

#[test]
fn a_run_that_a_failure_of_the_store_left_behind_is_taken_up_by_the_same_node() {
    let world = world(json!({}));
    let process = world.start();
    filled(&process, 3);
    let app = &process.app;
    let over = process.run(async { reconcile(app, wanted()).await });
    world.targets[0].put("u0001", json!({"name": "drift"}));
    // What is left where the store fails between the beginning of a run and its first page.
    let left = Run {
        id: uuid::Uuid::from_u128(over.id.as_u128() + 1),
        state: RunState::Active,
        stage: recant::model::recon::Stage::ActiveInitialized,
        counts: recant::model::recon::Counts::default(),
        ended: None,
        ..over
    };
    let store = app.engine().store();
    let other = process.run(store.begin_run(&left)).unwrap();
    assert_eq!(other, None);
    let over = process.run(app.wait_for_recon(left.id)).unwrap();
    assert_eq!((over.state, over.attempt), (RunState::Success, 2));
    assert_eq!(over.counts.updated, 1);
}

async fn record_of(app: &App, id: recant::model::OperationId) -> recant::model::OperationRecord {
    app.operation(id).await.unwrap()
}
