//! Looking back, counting, kept searches and versions of scripts, on every database.
use std::time::Duration;

use chrono::TimeDelta;
use recant::{
    model::{
        OperationRecord, Outcome, RowResult,
        audit::{ChainedEntry, Topic},
        record::HookRun,
        record::WriteRecord,
    },
    store::{
        AuditLook, ChangeLook, HookVersion, ListedVersion, OutcomeIs, SavedSearch, Settlement,
        Store,
    },
};
use serde_json::json;

use super::{Place, end, now, places, put};

const PATIENCE: Duration = Duration::from_secs(10);

/// Ends a change of an object that has a write to a target and a run of a hook.
async fn change(
    store: &Store,
    id: &str,
    caller: &str,
    mapping: &str,
    outcome: Outcome,
) -> OperationRecord {
    let mut entry = put(id, json!({}), None);
    entry.record.caller = caller.to_owned();
    entry.record.writes = vec![WriteRecord {
        mapping: mapping.to_owned(),
        link_qualifier: "default".into(),
        target: format!("system/{mapping}/account"),
        target_id: None,
        situation: None,
        action: None,
        operation: None,
        before: None,
        after: None,
        result: Some(RowResult::Successful),
        cause: None,
        attempts: 1,
        duration_ms: 1,
    }];
    entry.record.hook_runs =
        vec![serde_json::from_value::<HookRun>(json!({
        "hook": "onSync", "name": format!("{mapping}.rhai"), "digest": "d", "verdict": "accept",
        "compensating": false, "durationMs": 1,
    }))
    .unwrap()];
    store.journal(entry.clone()).await.unwrap();
    let settlement = end(store, &entry, outcome);
    let record = settlement.records[0].clone();
    store.settle(settlement).wait().await.unwrap();
    record
}

async fn found(store: &Store, look: ChangeLook) -> Vec<String> {
    let looked = store.look_for_changes(&look, 10, PATIENCE).await.unwrap();
    assert_eq!((looked.next, looked.broke_off), (None, false));
    let objects = looked.results.iter().map(|record| record.object.id.clone());
    objects.collect()
}

#[tokio::test]
async fn changes_are_found_by_what_people_ask_about_them() {
    for place in places().await {
        let store = place.open().await;
        change(&store, "ann", "hr", "crm", Outcome::Synced).await;
        change(&store, "ben", "it \"quoted\"", "crm2", Outcome::Compensated).await;
        let last = change(&store, "cat", "hr", "erp", Outcome::Diverged).await;
        let none = ChangeLook::default;
        let text = |text: &str| Some(text.to_owned());
        for (look, expected) in [
            (none(), &["cat", "ben", "ann"][..]),
            (
                ChangeLook {
                    caller: text("hr"),
                    ..none()
                },
                &["cat", "ann"],
            ),
            (
                ChangeLook {
                    caller: text("it \"quoted\""),
                    ..none()
                },
                &["ben"],
            ),
            (
                ChangeLook {
                    caller: text("h"),
                    ..none()
                },
                &[],
            ),
            (
                ChangeLook {
                    mapping: text("crm"),
                    ..none()
                },
                &["ann"],
            ),
            (
                ChangeLook {
                    target: text("system/crm"),
                    ..none()
                },
                &["ann"],
            ),
            (
                ChangeLook {
                    target: text("system/crm2/account"),
                    ..none()
                },
                &["ben"],
            ),
            (
                ChangeLook {
                    hook: text("erp.rhai"),
                    ..none()
                },
                &["cat"],
            ),
            (
                ChangeLook {
                    hook: text("onSync"),
                    ..none()
                },
                &["cat", "ben", "ann"],
            ),
            (
                ChangeLook {
                    outcome: Some(OutcomeIs::Ended(Outcome::Compensated)),
                    ..none()
                },
                &["ben"],
            ),
            (
                ChangeLook {
                    outcome: Some(OutcomeIs::OpenDivergence),
                    ..none()
                },
                &["cat"],
            ),
            (
                ChangeLook {
                    outcome: Some(OutcomeIs::Running),
                    ..none()
                },
                &[],
            ),
            (
                ChangeLook {
                    objects: vec!["managed/user/ben".into()],
                    ..none()
                },
                &["ben"],
            ),
            (
                ChangeLook {
                    before: Some(last.id),
                    ..none()
                },
                &["ben", "ann"],
            ),
            (
                ChangeLook {
                    from: Some(last.started_at),
                    ..none()
                },
                &["cat"],
            ),
            (
                ChangeLook {
                    until: Some(last.started_at - TimeDelta::hours(2)),
                    ..none()
                },
                &[],
            ),
            (
                ChangeLook {
                    caller: text("hr"),
                    mapping: text("crm"),
                    ..none()
                },
                &["ann"],
            ),
        ] {
            assert_eq!(
                found(&store, look.clone()).await,
                expected,
                "{look:?} at {}",
                place.url
            );
        }
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_look_goes_on_where_it_ended_and_breaks_off_in_time() {
    for place in places().await {
        let store = place.open().await;
        for index in 0..5 {
            change(&store, &format!("u{index}"), "hr", "crm", Outcome::Synced).await;
        }
        let mut look = ChangeLook {
            caller: Some("hr".into()),
            ..ChangeLook::default()
        };
        let mut seen = Vec::new();
        loop {
            let looked = store.look_for_changes(&look, 2, PATIENCE).await.unwrap();
            seen.extend(looked.results.iter().map(|record| record.object.id.clone()));
            match looked.next {
                Some(next) => look.before = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ["u4", "u3", "u2", "u1", "u0"], "{}", place.url);
        let mut look = AuditLook {
            topic: Some(Topic::Activity),
            ..AuditLook::default()
        };
        let mut positions = Vec::new();
        loop {
            let looked = store.look_for_entries(&look, 2, PATIENCE).await.unwrap();
            positions.extend(looked.results.iter().map(|entry| entry.position));
            match looked.next {
                Some(next) => look.before = Some(next),
                None => break,
            }
        }
        assert_eq!(positions, [5, 4, 3, 2, 1], "{}", place.url);
        without_patience(&store).await;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn entries_are_found_by_what_they_hold() {
    for place in places().await {
        let store = place.open().await;
        let first = change(&store, "ann", "hr", "crm", Outcome::Synced).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        change(&store, "ben", "hr", "crm", Outcome::Synced).await;
        let none = AuditLook::default;
        for (look, expected) in [
            (none(), 2),
            (
                AuditLook {
                    text: Some("managed/user/ann".into()),
                    ..none()
                },
                1,
            ),
            (
                AuditLook {
                    operation: Some(first.id.to_string()),
                    ..none()
                },
                1,
            ),
            (
                AuditLook {
                    transaction: Some(first.transaction_id.clone()),
                    ..none()
                },
                1,
            ),
            (
                AuditLook {
                    topic: Some(Topic::Config),
                    ..none()
                },
                0,
            ),
            (
                AuditLook {
                    user: Some("nobody".into()),
                    ..none()
                },
                0,
            ),
            (
                AuditLook {
                    until: Some(first.started_at - TimeDelta::hours(1)),
                    ..none()
                },
                0,
            ),
            (
                AuditLook {
                    from: Some(now() + TimeDelta::hours(1)),
                    ..none()
                },
                0,
            ),
            (
                AuditLook {
                    from: first.ended_at.map(|at| at + TimeDelta::milliseconds(10)),
                    ..none()
                },
                1,
            ),
        ] {
            let looked = store.look_for_entries(&look, 10, PATIENCE).await.unwrap();
            assert_eq!(looked.results.len(), expected, "{look:?} at {}", place.url);
        }
        store.close().await.unwrap();
    }
}

/// What the database takes for hits and is none fills windows, too: they end in time as well.
async fn without_patience(store: &Store) {
    let look = ChangeLook {
        hook: Some("crm".into()),
        ..ChangeLook::default()
    };
    let looked = store
        .look_for_changes(&look, 1, Duration::ZERO)
        .await
        .unwrap();
    assert!(looked.results.is_empty() && looked.broke_off, "{looked:?}");
    assert!(looked.next.is_some(), "it can be gone on with");
    let nothing = |_: &ChainedEntry| false;
    let looked = store
        .look_for_entries_that(&AuditLook::default(), 1, Duration::ZERO, &nothing)
        .await
        .unwrap();
    assert!(looked.results.is_empty() && looked.broke_off, "{looked:?}");
    assert_eq!(looked.next, Some(4), "two entries were looked at");
}

#[tokio::test]
async fn changes_are_counted_by_time_outcome_and_speed() {
    for place in places().await {
        let store = place.open().await;
        let begin = now() - TimeDelta::seconds(1);
        for (id, outcome) in [
            ("a", Outcome::Synced),
            ("b", Outcome::Synced),
            ("c", Outcome::Diverged),
        ] {
            change(&store, id, "hr", "crm", outcome).await;
        }
        let tallies = store.tally(begin, TimeDelta::hours(1)).await.unwrap();
        let of = |outcome| -> u64 {
            let own = tallies
                .iter()
                .filter(|tally| tally.outcome == Some(outcome));
            own.map(|tally| tally.count).sum()
        };
        assert_eq!(
            (of(Outcome::Synced), of(Outcome::Diverged)),
            (2, 1),
            "{}",
            place.url
        );
        assert!(tallies.iter().all(|tally| tally.at <= now()));
        let later = store
            .tally(now() + TimeDelta::hours(1), TimeDelta::hours(1))
            .await
            .unwrap();
        assert!(later.is_empty());
        let open = store.open_divergences(10).await.unwrap();
        assert_eq!(open.len(), 1);
        let (rejections, reach) = store.rejections(begin, 100).await.unwrap();
        assert_eq!((rejections.len(), reach), (0, None));
        let (_, reach) = store.rejections(begin, 2).await.unwrap();
        assert!(reach.is_some_and(|at| at >= begin), "no further back");
        assert!(store.latest_hook_entries(100).await.unwrap().is_empty());
        assert!(store.stuck_events().await.unwrap().is_empty());
        assert_eq!(store.newest_entry().await.unwrap(), 3);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn searches_are_each_callers_own_and_versions_stay_in_order() {
    for place in places().await {
        let store = place.open().await;
        kept_searches(&store).await;
        versions(&place, &store).await;
        let _ = store.settle(Settlement::default());
        store.close().await.unwrap();
    }
}

async fn kept_searches(store: &Store) {
    for (id, caller) in [("1", "ann"), ("2", "ben")] {
        let search = SavedSearch {
            id: id.into(),
            caller: caller.into(),
            page: "audit".into(),
            name: "mine".into(),
            query: "user=x".into(),
        };
        store.add_search(&search).await.unwrap();
    }
    assert_eq!(store.searches("ann", "audit").await.unwrap().len(), 1);
    assert!(store.searches("ann", "changes").await.unwrap().is_empty());
    let named = |id: &str, name: &str| SavedSearch {
        id: id.into(),
        caller: "ann".into(),
        page: "audit".into(),
        name: name.into(),
        query: "user=y".into(),
    };
    assert!(store.add_search(&named("3", "mine")).await.unwrap());
    let mine = store.searches("ann", "audit").await.unwrap();
    assert_eq!(mine.len(), 1, "one of a name");
    assert_eq!(mine[0].query, "user=y");
    for at in 1..recant::store::MOST_SEARCHES {
        let search = named(&format!("n{at}"), &format!("name {at}"));
        assert!(store.add_search(&search).await.unwrap());
    }
    assert!(!store.add_search(&named("x", "one too many")).await.unwrap());
    assert!(store.add_search(&named("y", "mine")).await.unwrap());
    let all = store.searches("ann", "audit").await.unwrap();
    assert_eq!(all.len() as u64, recant::store::MOST_SEARCHES);
    assert!(!store.forget_search("ann", "2").await.unwrap(), "not hers");
    assert!(store.forget_search("ben", "2").await.unwrap());
    assert!(store.searches("ben", "audit").await.unwrap().is_empty());
}

async fn versions(place: &Place, store: &Store) {
    let mut kept = Vec::new();
    for note in ["one", "two"] {
        let version = HookVersion {
            id: place.clock.fresh_id(),
            file: "x.rhai".into(),
            digest: note.into(),
            saved_at: chrono::DateTime::from_timestamp_micros(now().timestamp_micros()).unwrap(),
            saved_by: (note == "two").then(|| "ann".into()),
            note: note.into(),
            text: "1".into(),
        };
        store.add_hook_version(&version).await.unwrap();
        kept.insert(0, version);
    }
    let listed = store.hook_versions("x.rhai", 10).await.unwrap();
    let told = |one: &HookVersion| ListedVersion {
        id: one.id,
        digest: one.digest.clone(),
        saved_at: one.saved_at,
        saved_by: one.saved_by.clone(),
        note: one.note.clone(),
    };
    assert_eq!(listed, kept.iter().map(told).collect::<Vec<_>>());
    store.remove_hook_version(kept[1].id).await.unwrap();
    assert!(store.hook_version(kept[1].id).await.unwrap().is_none());
    assert_eq!(
        store.hook_version(kept[0].id).await.unwrap().as_ref(),
        kept.first()
    );
    assert!(store.hook_versions("y.rhai", 10).await.unwrap().is_empty());
}
