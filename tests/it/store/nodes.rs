//! Several nodes on one store: leases, dead nodes, races.
use std::{sync::Arc, time::Duration};

use recant::{
    clock::{Clock, SystemClock},
    model::Outcome,
    store::{JournalError, Refusal},
};
use serde_json::json;

use super::{Place, end, name, places, put, search};

/// A clock that can be put forward.
#[derive(Debug, Default)]
struct Ahead(std::sync::atomic::AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        let seconds = self.0.load(std::sync::atomic::Ordering::Relaxed);
        SystemClock.now() + chrono::Duration::seconds(seconds)
    }

    fn fresh_id(&self) -> uuid::Uuid {
        SystemClock.fresh_id()
    }
}

#[tokio::test]
async fn a_dead_nodes_changes_are_taken_over_at_once() {
    for place in places().await {
        let dead = place.open().await;
        let entry = put("ann", json!({"v": 1}), None);
        dead.journal(entry.clone()).await.unwrap();
        let name_of_dead = dead.node().to_owned();
        let alive = place.open().await;
        assert!(alive.take_over().await.unwrap().is_empty(), "it lives");
        drop(dead);
        let taken = alive.take_over().await.unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].operation, entry.record.id);
        assert_eq!(taken[0].object, name("ann"));
        assert_eq!(
            (taken[0].attempt, taken[0].node.as_str()),
            (2, alive.node())
        );
        assert_ne!(alive.node(), name_of_dead);
        assert!(alive.take_over().await.unwrap().is_empty(), "once only");
        alive
            .settle(end(&alive, &entry, Outcome::Synced))
            .wait()
            .await
            .unwrap();
        let seen = alive.admission(&name("ann")).await.unwrap();
        assert_eq!(seen.in_flight, None);
        assert!(seen.object.is_some(), "the journaled object is there");
        alive.close().await.unwrap();
        let left = std::fs::read_dir(place.folder.path().join("locks"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "no lock file stays behind");
    }
}

#[tokio::test]
async fn what_was_taken_over_is_kept_whatever_fails_beside_it() {
    for place in places().await.into_iter().filter(Place::is_sqlite) {
        let mut dead = Vec::new();
        for id in ["first", "fails", "last"] {
            let node = place.open().await;
            node.journal(put(id, json!({}), None)).await.unwrap();
            node.journal(put(&format!("{id}2"), json!({}), None))
                .await
                .unwrap();
            dead.push(node);
        }
        drop(dead);
        place
            .tamper("update lane set operation = 'broken' where object = 'managed/user/last2'")
            .await;
        place
            .tamper(
                "create trigger broken before update on lane when old.object = 'managed/user/fails'
                 begin select raise(abort, 'as this test wants'); end",
            )
            .await;
        let alive = place.open().await;
        let taken = alive.take_over().await.unwrap();
        let mut objects: Vec<String> = taken.iter().map(|one| one.object.id.clone()).collect();
        objects.sort();
        assert_eq!(objects, ["first", "first2", "last"]);
        assert_eq!(alive.lanes_of_mine().await.unwrap().len(), 3);
        assert!(alive.take_over().await.is_err(), "nothing but what fails");
        place.tamper("drop trigger broken").await;
        assert_eq!(alive.take_over().await.unwrap().len(), 2);
        alive.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_elsewhere_is_dead_when_its_lease_ran_out() {
    for place in places().await {
        let far = place.open_with(|options| options.lock_folder = None).await;
        let entry = put("ann", json!({}), None);
        far.journal(entry.clone()).await.unwrap();
        let clock = Arc::new(Ahead::default());
        let near = place
            .open_with(|options| options.clock = clock.clone())
            .await;
        assert!(near.take_over().await.unwrap().is_empty());
        // Both clocks are set forward, as if this much time had passed without a renewal.
        clock.0.store(20, std::sync::atomic::Ordering::Relaxed);
        assert!(near.take_over().await.unwrap().is_empty());
        clock.0.store(31, std::sync::atomic::Ordering::Relaxed);
        let refused = near.take_over().await;
        if refused.is_err() {
            // Its own lease ended by this clock too: it goes on under another id.
            poll(|| !near.lease_left().is_zero()).await;
        }
        let taken = match refused {
            Ok(taken) => taken,
            Err(_) => near.take_over().await.unwrap(),
        };
        assert_eq!(taken.len(), 1);
        let late = far
            .settle(end(&far, &entry, Outcome::Synced))
            .wait()
            .await
            .unwrap_err();
        assert_eq!(late.refusal(), Some(&Refusal::TakenOver));
        let lost = far.journal(put("bob", json!({}), None)).await;
        assert!(
            lost.is_ok() || matches!(lost, Err(JournalError::LeaseLost)),
            "{lost:?}"
        );
        near.settle(end(&near, &entry, Outcome::Synced))
            .wait()
            .await
            .unwrap();
        far.close().await.unwrap();
        near.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_whose_row_is_gone_refuses_and_goes_on_under_another_id() {
    for place in places().await {
        let store = place.open().await;
        let entry = put("ann", json!({}), None);
        store.journal(entry.clone()).await.unwrap();
        let before = store.identity();
        assert!(!store.lease_left_of(&before).is_zero());
        place.tamper("delete from node").await;
        let lost = store.journal(put("bob", json!({}), None)).await;
        assert!(matches!(lost, Err(JournalError::LeaseLost)), "{lost:?}");
        poll(|| store.identity() != before).await;
        assert!(store.lease_left_of(&before).is_zero());
        store.journal(put("eve", json!({}), None)).await.unwrap();
        let taken = store.take_over().await.unwrap();
        assert_eq!(taken.len(), 1, "what the former self left");
        assert_eq!(taken[0].operation, entry.record.id);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_is_renewed_while_the_node_lives() {
    for place in places().await {
        let lease = Duration::from_millis(600);
        let open = || {
            place.open_with(|options| {
                options.lease = lease;
                options.lock_folder = None;
            })
        };
        let (one, other) = (open().await, open().await);
        one.journal(put("ann", json!({}), None)).await.unwrap();
        let end = std::time::Instant::now() + lease * 3;
        while std::time::Instant::now() < end {
            assert!(other.take_over().await.unwrap().is_empty());
            assert!(!one.lease_left().is_zero());
            tokio::time::sleep(lease / 10).await;
        }
        one.close().await.unwrap();
        other.close().await.unwrap();
    }
}

#[tokio::test]
async fn of_two_nodes_that_race_for_an_object_one_wins() {
    for place in places().await {
        let (one, other) = (place.open().await, place.open().await);
        let mut revision: Option<String> = None;
        for round in 0..30 {
            let left = put("ann", json!({"round": round}), revision.as_deref());
            let right = put("ann", json!({"round": round}), revision.as_deref());
            let (first, second) =
                tokio::join!(one.journal(left.clone()), other.journal(right.clone()));
            assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
            let (store, winner) = if first.is_ok() {
                (&one, left)
            } else {
                (&other, right)
            };
            let lost = first.err().or(second.err());
            assert!(matches!(lost, Some(JournalError::InFlight(id)) if id == winner.record.id));
            store
                .settle(end(store, &winner, Outcome::Synced))
                .wait()
                .await
                .unwrap();
            revision = Some(winner.record.id.to_string());
        }
        let verified = one.verify_audit().await.unwrap();
        assert_eq!((verified.entries, verified.broken), (30, None));
        one.close().await.unwrap();
        other.close().await.unwrap();
    }
}

#[tokio::test]
async fn nodes_share_a_store_under_load() {
    for place in places().await {
        let stores = [place.open().await, place.open().await];
        let mut tasks = Vec::new();
        for task in 0..16 {
            let store = stores[task % 2].clone();
            tasks.push(tokio::spawn(async move {
                let mut won = 0;
                for round in 0..6 {
                    let mut entry = put(&format!("user{}", (task + round) % 5), json!({}), None);
                    entry.object = recant::store::ObjectWrite::Untouched;
                    match store.journal(entry.clone()).await {
                        Ok(()) => {
                            won += 1;
                            store
                                .settle(end(&store, &entry, Outcome::Synced))
                                .wait()
                                .await
                                .unwrap();
                        }
                        Err(JournalError::InFlight(_)) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
                won
            }));
        }
        let mut won = 0;
        for task in tasks {
            won += task.await.unwrap();
        }
        let ended = stores[0]
            .operations(&search("outcome eq \"synced\""))
            .await
            .unwrap();
        assert_eq!(ended.results.len(), won);
        assert!(won > 0);
        let verified = stores[1].verify_audit().await.unwrap();
        assert_eq!((verified.entries, verified.broken), (won as u64, None));
        for store in stores {
            store.close().await.unwrap();
        }
    }
}

async fn poll(holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never happened");
}
