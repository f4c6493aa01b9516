//! Several nodes on one store: one run of a mapping at a time, and a lost node's run goes on with
//! another.
use std::time::Duration;

use recant::model::recon::RunState;
use serde_json::json;

use super::*;
use crate::support::{servers, world::put};

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

fn pair(store: &str) -> (World, World) {
    let shape = Shape {
        targets: 1,
        on_sync: None,
        mapping: json!({"enableSync": false,
            "policies": [{"situation": "UNASSIGNED", "action": "DELETE"}]}),
        store: Some(store.to_owned()),
        ..Shape::default()
    };
    let one = World::new(&shape);
    let mut other = World::new(&shape);
    other.targets.clone_from(&one.targets);
    (one, other)
}

#[test]
fn a_lost_nodes_run_goes_on_with_another() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder) {
        let (here, there) = pair(&store);
        let (lost, other) = (here.start(), there.start());
        for number in 0..300 {
            let content = json!({"name": "n", "mail": "m"});
            lost.change(put(&format!("u{number:04}"), content)).unwrap();
        }
        here.targets[0].put("stray", json!({"name": "x"}));
        // It hangs in its second page, however slow or quick this machine is.
        let id = super::resumed::until_cut(&lost, wanted(), 150);
        let second = other.run(other.app.start_recon(wanted(), "test", "t"));
        assert_eq!(second.unwrap_err().code, 409, "{store}");
        lost.crash();
        let over = other.run(other.app.wait_for_recon(id)).unwrap();
        assert_eq!(over.state, RunState::Success, "{store}: {over:?}");
        assert!(over.attempt >= 2, "{store}");
        let counts = &over.counts;
        assert_eq!(
            (counts.created, counts.failures, counts.deleted),
            (300, 0, 1),
            "{store}"
        );
        assert_eq!(here.dump()[0].len(), 300, "{store}");
        let again = other.run(async { reconcile(&other.app, wanted()).await });
        assert_eq!((again.counts.unchanged, again.counts.entries), (300, 0));
    }
}

#[test]
fn a_run_is_canceled_from_another_node() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}/shared.db", folder.path().display());
    let (here, there) = pair(&store);
    let (one, other) = (here.start(), there.start());
    for number in 0..300 {
        one.change(put(&format!("u{number:04}"), json!({"name": "n"})))
            .unwrap();
    }
    here.targets[0].slow_down(Duration::from_millis(20));
    let run = one.run(one.app.start_recon(wanted(), "test", "t")).unwrap();
    other
        .run(other.app.cancel_recon(run.id, crate::support::world::BY))
        .unwrap();
    let over = other.run(other.app.wait_for_recon(run.id)).unwrap();
    assert_eq!(over.state, RunState::Canceled);
    assert!(over.counts.created < 300);
}
