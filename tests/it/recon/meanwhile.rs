//! What happens at the same time as a run: live changes, queues, resets, and reads of scripts.
use std::time::Duration;

use recant::model::recon::{Mode, RunState};
use serde_json::json;

use super::*;
use crate::support::{
    target::Ask,
    world::{BY, Process, put},
};

fn filled(process: &Process, count: usize) {
    for number in 0..count {
        let content = json!({"name": format!("n{number}"), "mail": "m"});
        process
            .change(put(&format!("u{number:04}"), content))
            .unwrap();
    }
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
fn a_target_that_a_live_change_has_just_made_is_not_deleted() {
    let world = World::new(&Shape {
        targets: 2,
        on_sync: None,
        mapping: json!({"policies": [{"situation": "UNASSIGNED", "action": "DELETE"}]}),
        ..Shape::default()
    });
    let process = world.start();
    filled(&process, 3);
    world.targets[0].put("stray", json!({"name": "x"}));
    world.targets[1].slow_down(Duration::from_millis(1_000));
    let app = process.app.clone();
    let change = process.spawn(async move {
        let content = json!({"name": "new", "mail": "m"});
        app.change(put("new", content)).await
    });
    let run = process.run(async {
        while !world.targets[0].dump().contains_key("new") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let run = reconcile(&process.app, wanted()).await;
        change.await.unwrap().unwrap();
        run
    });
    assert_eq!((run.state, run.counts.deleted), (RunState::Success, 1));
    let target = world.dump().remove(0);
    assert!(target.contains_key("new"));
    assert!(!target.contains_key("stray"));
}

#[test]
fn a_record_that_a_queue_writes_meanwhile_is_written_once() {
    let world = world(json!({"queuedSync": {"enabled": true, "retryDelay": 20}}));
    world.targets[0].assign_ids();
    world.targets[0].slow_down(Duration::from_millis(200));
    let process = world.start();
    filled(&process, 20);
    let run = run_of(&process, wanted());
    assert_eq!(run.counts.failures, 0, "{run:?}");
    process.run(async {
        let everything = Search {
            filter: Filter::Literal(true),
            sort: Vec::new(),
            page_size: None,
            cookie: None,
            offset: 0,
            count: Count::None,
        };
        while !process
            .app
            .queue(&everything)
            .await
            .unwrap()
            .results
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let log = world.targets[0].log();
    let creates = log.iter().filter(|(ask, ..)| *ask == Ask::Create).count();
    assert_eq!((creates, world.dump()[0].len()), (20, 20));
}

#[test]
fn what_a_script_reads_elsewhere_counts_as_much_as_source_and_target() {
    let script = "read(\"managed/user/boss\").name";
    let world = world(json!({"enableSync": false, "properties": [
        {"source": "name", "target": "name"},
        {"target": "department", "transform": {"type": "text/rhai", "source": script}},
    ]}));
    let process = world.start();
    process.change(put("boss", json!({"name": "Ann"}))).unwrap();
    process.change(put("jo", json!({"name": "Jo"}))).unwrap();
    assert_eq!(run_of(&process, wanted()).counts.created, 2);
    assert_eq!(run_of(&process, wanted()).counts.unchanged, 2);
    process.change(put("boss", json!({"name": "Bea"}))).unwrap();
    assert_eq!(run_of(&process, wanted()).counts.updated, 2);
    assert_eq!(world.dump()[0]["jo"]["department"], "Bea");
}

#[test]
fn a_partial_run_leaves_out_what_the_source_query_leaves_out() {
    let world = world(json!({"enableSync": false, "sourceQuery": "mail eq \"m\""}));
    let process = world.start();
    filled(&process, 4);
    run_of(&process, partial());
    let change = |id: &str, mail: &str| {
        let content = json!({"name": "new", "mail": mail});
        process.change(put(id, content)).unwrap();
    };
    change("u0000", "m");
    change("u0001", "other");
    change("u0009", "other");
    let run = run_of(&process, partial());
    assert!(!run.whole);
    assert_eq!((run.counts.updated, run.counts.created), (1, 0));
    let target: Vec<Value> = world.dump()[0].values().cloned().collect();
    assert_eq!(target.iter().filter(|one| one["name"] == "new").count(), 1);
}

#[test]
fn a_reset_while_a_run_is_under_way_stands() {
    let world = world(json!({"enableSync": false}));
    let process = world.start();
    filled(&process, 30);
    world.targets[0].slow_down(Duration::from_millis(50));
    let app = &process.app;
    let run = process.run(async {
        let run = app.start_recon(partial(), "test", "t").await.unwrap();
        while world.targets[0].asked(Ask::Create) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        app.reset_syncs("user_t1", None, BY).await.unwrap();
        app.wait_for_recon(run.id).await.unwrap()
    });
    assert_eq!(run.state, RunState::Success);
    assert!(run_of(&process, partial()).whole, "all is looked at again");
    assert!(!run_of(&process, partial()).whole);
}

#[test]
fn a_start_that_is_refused_resets_nothing() {
    let world = world(json!({"enableSync": false}));
    let process = world.start();
    filled(&process, 30);
    let app = &process.app;
    run_of(&process, partial());
    world.targets[0].slow_down(Duration::from_millis(100));
    for number in 0..30 {
        let content = json!({"name": "new", "mail": "m"});
        let request = put(&format!("u{number:04}"), content);
        process.change(request).unwrap();
    }
    let cleared = Wanted {
        clear_cache: true,
        ..partial()
    };
    process.run(async {
        let before = app.syncables().await.unwrap();
        let run = app.start_recon(partial(), "test", "t").await.unwrap();
        let refused = app.start_recon(cleared, "test", "t").await.unwrap_err();
        assert_eq!(refused.code, 409);
        assert_eq!(app.syncables().await.unwrap(), before);
        app.cancel_recon(run.id, crate::support::world::BY)
            .await
            .unwrap();
        app.wait_for_recon(run.id).await.unwrap();
    });
}
