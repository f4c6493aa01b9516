//! Partial syncs: what they look at, where they stand afterwards, when they run by themselves, and
//! how a run goes on after a crash.
use std::time::Duration;

use recant::model::recon::{Mode, RunState};
use serde_json::json;

use super::*;
use crate::support::{
    target::Ask,
    world::{BY, Process, put},
};

fn fill(process: &Process, from: usize, to: usize, name: &str) {
    let app = process.app.clone();
    let name = name.to_owned();
    process.run(async move {
        let changes = (from..to).map(|number| {
            let content = json!({"name": name, "mail": "m"});
            app.change(put(&format!("u{number:04}"), content))
        });
        for changed in futures::future::join_all(changes).await {
            changed.unwrap();
        }
    });
}

fn partial() -> Wanted {
    Wanted {
        mode: Mode::UpdatedAt,
        ..wanted()
    }
}

fn run_of(process: &Process, wanted: Wanted) -> Run {
    process.run(async { reconcile(&process.app, wanted).await })
}

#[test]
fn a_partial_sync_looks_at_its_window_only_and_a_second_one_at_nothing() {
    let world = world(json!({"enableSync": false}));
    let process = world.start();
    fill(&process, 0, 30, "old");
    let first = run_of(&process, partial());
    assert!(first.whole, "nothing was synced yet");
    assert_eq!(first.counts.created, 30);
    fill(&process, 3, 8, "new");
    let second = run_of(&process, partial());
    assert!(!second.whole);
    assert_eq!(second.counts.sources_processed, 5);
    assert_eq!(second.counts.updated, 5);
    assert_eq!(
        second.window.unwrap().start,
        Some(first.window.unwrap().end)
    );
    let reads = world.targets[0].asked(Ask::Read);
    let third = run_of(&process, partial());
    assert_eq!((third.counts.sources_processed, third.entries()), (0, 0));
    assert_eq!(
        world.targets[0].asked(Ask::Read),
        reads,
        "no target was asked"
    );
    // Going back in time looks again at what lies behind it, and only at that.
    let back = process
        .run(
            process
                .app
                .reset_syncs("managed/user", second.window.unwrap().start, BY),
        )
        .unwrap();
    assert_eq!(back, ["user_t1"]);
    let fourth = run_of(&process, partial());
    assert_eq!(
        (fourth.counts.sources_processed, fourth.counts.updated),
        (5, 0)
    );
    let all = process
        .run(process.app.reset_syncs("all", None, BY))
        .unwrap();
    assert_eq!(all, ["user_t1"]);
    assert!(run_of(&process, partial()).whole);
    let cleared = Wanted {
        clear_cache: true,
        ..partial()
    };
    assert!(run_of(&process, cleared).whole);
    assert_eq!(
        process
            .run(process.app.reset_syncs("nobody", None, BY))
            .unwrap_err()
            .code,
        404
    );
}

#[test]
fn a_failure_keeps_the_window_open_and_a_changed_mapping_opens_it_wide_once() {
    let world = world(json!({"enableSync": false}));
    let process = world.start();
    fill(&process, 0, 10, "old");
    run_of(&process, partial());
    fill(&process, 4, 6, "new");
    let fault = crate::support::target::Fault::Refused;
    world.targets[0].fail(Some(Ask::Update), 0, 1, fault);
    assert_eq!(run_of(&process, partial()).counts.failures, 1);
    let again = run_of(&process, partial());
    assert_eq!(
        (again.counts.sources_processed, again.counts.failures),
        (2, 0)
    );
    let text = std::fs::read_to_string(world.folder.path().join("conf/sync.json")).unwrap();
    let edited = text.replace("\"source\":\"mail\"", "\"source\":\"name\"");
    assert_ne!(text, edited);
    let version = recant::recon::sync_version(&process.app.engine().setup().mappings[0]);
    world.write("conf/sync.json", &edited);
    process.run(async {
        while recant::recon::sync_version(&process.app.engine().setup().mappings[0]) == version {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let changed = run_of(&process, partial());
    assert!(changed.whole);
    assert_eq!(changed.counts.updated, 10);
    assert!(!run_of(&process, partial()).whole);
}

#[test]
fn a_canceled_partial_run_is_through_only_with_what_it_looked_at() {
    let world = world(json!({"enableSync": false}));
    let process = world.start();
    fill(&process, 0, 60, "old");
    run_of(&process, partial());
    fill(&process, 0, 60, "new");
    world.targets[0].slow_down(Duration::from_millis(100));
    let app = &process.app;
    let before = world.targets[0].asked(Ask::Read);
    let canceled = process.run(async {
        let run = app.start_recon(partial(), "test", "t").await.unwrap();
        while world.targets[0].asked(Ask::Read) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        app.cancel_recon(run.id, crate::support::world::BY)
            .await
            .unwrap();
        app.wait_for_recon(run.id).await.unwrap()
    });
    assert_eq!(canceled.state, RunState::Canceled);
    assert!(canceled.counts.updated < 60, "{:?}", canceled.counts);
    assert_eq!(canceled.synced_through, None);
    world.targets[0].slow_down(Duration::ZERO);
    let rest = run_of(&process, partial());
    assert_eq!(rest.counts.sources_processed, 60);
    assert!(world.dump()[0].values().all(|one| one["name"] == "new"));
}

#[test]
fn a_deletion_that_was_held_back_keeps_the_window_open() {
    let script = json!({"type": "text/rhai", "source": "source.name != \"new\""});
    let world = world(json!({
        "enableSync": false, "validSource": script, "reconciliation": {"maxDeletions": 1},
    }));
    let process = world.start();
    fill(&process, 0, 5, "old");
    let first = run_of(&process, partial());
    fill(&process, 0, 3, "new");
    let held = run_of(&process, partial());
    assert_eq!((held.counts.held, held.counts.failures), (3, 0));
    assert_eq!(held.synced_through, None);
    let again = run_of(&process, partial());
    assert_eq!(again.window.unwrap().start, Some(first.window.unwrap().end));
    assert_eq!(
        again.counts.held, 3,
        "they are told again until somebody approves"
    );
}

#[test]
fn a_schedule_starts_runs_by_itself() {
    let world = world(json!({"reconciliation": {"schedule": "* * * * * *"}}));
    let process = world.start();
    fill(&process, 0, 3, "n");
    world.targets[0].put("u0001", json!({"name": "drift"}));
    process.run(async {
        loop {
            let runs = process.app.recons(Some("user_t1")).await.unwrap();
            if runs
                .iter()
                .any(|run| run.caller == "schedule" && run.counts.updated == 1)
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let syncs = process.app.syncables().await.unwrap();
        assert!(syncs[0].next_at.is_some());
    });
}

#[test]
fn a_run_goes_on_where_a_crash_stopped_it() {
    let world = world(json!({"enableSync": false}));
    let process = world.start();
    fill(&process, 0, 500, "n");
    world.targets[0].slow_down(Duration::from_millis(5));
    let app = process.app.clone();
    let id = process.run(async move {
        let run = app.start_recon(wanted(), "test", "t").await.unwrap();
        loop {
            let now = app.recon(run.id).await.unwrap();
            assert_eq!(now.state, RunState::Active);
            if now.counts.created >= 200 {
                return run.id;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    process.crash();
    let process = world.start();
    let over = process.run(process.app.wait_for_recon(id)).unwrap();
    assert_eq!(over.state, RunState::Success, "{over:?}");
    assert_eq!(over.attempt, 2);
    assert_eq!(over.counts.sources_processed, 500);
    assert_eq!(world.dump()[0].len(), 500);
    let mut created: Vec<_> = world.targets[0]
        .log()
        .into_iter()
        .filter(|(ask, ..)| *ask == Ask::Create)
        .map(|(_, id, _)| id)
        .collect();
    created.sort();
    created.dedup();
    assert_eq!(created.len(), 500);
    assert_eq!(over.counts.created, 500, "{:?}", over.counts);
    process.until_settled();
}

trait Entries {
    fn entries(&self) -> u64;
}

impl Entries for Run {
    fn entries(&self) -> u64 {
        self.counts.entries
    }
}

#[test]
fn a_clock_that_was_set_back_makes_the_next_sync_a_full_one() {
    let world = world(json!({}));
    let process = world.start();
    process
        .change(crate::support::world::put("a", json!({"name": "a"})))
        .unwrap();
    let app = &process.app;
    let partial = || Wanted {
        mode: recant::model::recon::Mode::UpdatedAt,
        ..wanted()
    };
    process.run(async { reconcile(app, wanted()).await });
    let run = process.run(async { reconcile(app, partial()).await });
    assert!(!run.whole);
    let ahead = run.window.unwrap().end + chrono::Duration::hours(1);
    let moved = app.engine().store().change_syncable("user_t1", |one| {
        one.data_synced_through = Some(ahead);
    });
    process.run(moved).unwrap();
    let run = process.run(async { reconcile(app, partial()).await });
    assert!(run.whole, "{:?}", run.window);
    assert_eq!(run.window.unwrap().start, None);
    let run = process.run(async { reconcile(app, partial()).await });
    assert!(!run.whole, "once");
}

#[test]
fn a_record_that_fails_again_and_again_is_left_behind_and_looked_at_each_time() {
    let world = world(json!({"enableSync": false}));
    let process = world.start();
    fill(&process, 0, 10, "old");
    run_of(&process, partial());
    fill(&process, 4, 6, "new");
    let stands = || {
        let all = process.run(process.app.syncables()).unwrap();
        all.into_iter().find(|one| one.name == "user_t1").unwrap()
    };
    let fault = crate::support::target::Fault::Refused;
    let fails = || {
        world.targets[0].fail(Some(Ask::Update), 0, 1, fault);
        let run = run_of(&process, partial());
        assert_eq!(run.counts.failures, 1, "{run:?}");
        run
    };
    let through = stands().data_synced_through;
    fails();
    let once = stands();
    assert_eq!(once.failing.len(), 1);
    assert!(!once.left_behind && once.data_synced_through <= run_end(&fails()));
    let twice = stands();
    assert!(twice.left_behind && twice.data_synced_through > through);
    assert_eq!(twice.failing, once.failing);
    let third = fails();
    assert_eq!(
        third.counts.sources_processed, 0,
        "nothing else is looked at"
    );
    let mended = run_of(&process, partial());
    assert_eq!((mended.counts.updated, mended.counts.failures), (1, 0));
    let stands = stands();
    assert!(stands.failing.is_empty() && !stands.left_behind);
    let id = &once.failing[0];
    assert_eq!(world.dump()[0][id]["name"], "new");
}

fn run_end(run: &Run) -> Option<chrono::DateTime<chrono::Utc>> {
    run.window.map(|window| window.end)
}
