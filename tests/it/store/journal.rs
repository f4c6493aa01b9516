//! The journal and settlements: conflicts, order, shared commits.
use recant::{
    model::{LinkChange, Outcome, change::IdempotencyKey, record::Resolution},
    store::{JournalError, ObjectWrite, Refusal, Settlement, StoredAnswer},
};
use serde_json::json;

use super::{audit, end, fresh, held, name, now, places, put, record, search, stored};

#[tokio::test]
async fn a_change_is_stored_and_settled() {
    for place in places().await {
        let store = place.open().await;
        let entry = put(
            "ann",
            json!({"userName": "ann", "n": 1.0, "text": "é\u{0}\"x\\"}),
            None,
        );
        store.journal(entry.clone()).await.unwrap();
        let seen = store.admission(&name("ann")).await.unwrap();
        assert_eq!(seen.in_flight, Some(entry.record.id));
        assert_eq!(seen.latest, Some(entry.record.id));
        let ObjectWrite::Put { object, .. } = &entry.object else {
            unreachable!()
        };
        assert_eq!(&seen.object.as_ref().unwrap().object, object);
        let mut settlement = end(&store, &entry, Outcome::Synced);
        settlement.links = vec![set("crm", "ann", "17")];
        let ticket = store.settle(settlement.clone());
        let seen = store.admission(&name("ann")).await.unwrap();
        assert_eq!(seen.in_flight, None, "released before it is written");
        assert_eq!(seen.links.len(), 1, "linked before it is written");
        ticket.wait().await.unwrap();
        let again = store.admission(&name("ann")).await.unwrap();
        assert_eq!((again.in_flight, again.links), (None, seen.links));
        let operation = store.operation(entry.record.id).await.unwrap().unwrap();
        assert_eq!(operation.record, settlement.records[0]);
        assert_eq!(operation.payload, Some(entry.payload));
        let entries = store.audit(None, &search("true")).await.unwrap().results;
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].entry.id, settlement.audit[0].id);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn conflicts_are_refused_and_fail_nobody_else() {
    for place in places().await {
        let store = place.open().await;
        let revision = stored(&store, "ann", json!({})).await;
        let first = put("ann", json!({"v": 1}), Some(&revision));
        let second = put("ann", json!({"v": 2}), Some(&revision));
        let wrong = put("bob", json!({}), Some("nothing"));
        let fine = put("eve", json!({}), None);
        let (one, two, three, four) = tokio::join!(
            store.journal(first.clone()),
            store.journal(second),
            store.journal(wrong),
            store.journal(fine),
        );
        one.unwrap();
        assert!(
            matches!(two, Err(JournalError::InFlight(id)) if id == first.record.id),
            "{two:?}"
        );
        assert!(matches!(three, Err(JournalError::Stale)), "{three:?}");
        four.unwrap();
        let _ = store.settle(end(&store, &first, Outcome::Synced));
        let late = store
            .journal(put("ann", json!({"v": 3}), Some(&revision)))
            .await;
        assert!(matches!(late, Err(JournalError::Stale)), "{late:?}");
        let mut latest = put("eve", json!({}), None);
        latest.object = ObjectWrite::Untouched;
        latest.check_latest = true;
        let in_flight = store.journal(latest).await;
        assert!(
            matches!(in_flight, Err(JournalError::InFlight(_))),
            "{in_flight:?}"
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_record_kept_elsewhere_is_guarded_by_its_latest_change() {
    for place in places().await {
        let store = place.open().await;
        let entry = |latest| {
            let mut entry = put("ann", json!({}), None);
            entry.object = ObjectWrite::Untouched;
            entry.check_latest = true;
            entry.latest = latest;
            entry
        };
        let first = entry(None);
        store.journal(first.clone()).await.unwrap();
        let _ = store.settle(end(&store, &first, Outcome::Synced));
        let stale = store.journal(entry(None)).await;
        assert!(matches!(stale, Err(JournalError::Stale)), "{stale:?}");
        let second = entry(Some(first.record.id));
        store.journal(second.clone()).await.unwrap();
        let _ = store.settle(end(&store, &second, Outcome::Diverged));
        assert!(store.claim(&name("ann"), second.record.id).await.unwrap());
        assert!(!store.claim(&name("ann"), fresh()).await.unwrap());
        let healed = Settlement {
            release: Some(held(&store, &name("ann"), second.record.id)),
            ..Settlement::default()
        };
        store.settle(healed).wait().await.unwrap();
        let stale = store.journal(entry(Some(second.record.id))).await;
        assert!(
            matches!(stale, Err(JournalError::Stale)),
            "planned before the healing: {stale:?}"
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_compensation_runs_under_its_parents_lane() {
    for place in places().await {
        let store = place.open().await;
        let parent = put("ann", json!({"v": 1}), None);
        let nested = |expected: &str| {
            let mut nested = put("ann", json!({"v": 0}), Some(expected));
            nested.claim = false;
            nested.node = store.identity();
            nested.record.parent = Some(parent.record.id);
            nested.record.root = parent.record.id;
            let mut updated = parent.record.clone();
            updated.phase = "compensating".into();
            nested.updates = vec![updated];
            nested
        };
        let revision = parent.record.id.to_string();
        let early = store.journal(nested(&revision)).await;
        assert!(matches!(early, Err(JournalError::LeaseLost)), "{early:?}");
        store.journal(parent.clone()).await.unwrap();
        let child = nested(&revision);
        store.journal(child.clone()).await.unwrap();
        let found = store.operation(parent.record.id).await.unwrap().unwrap();
        assert_eq!(found.record.phase, "compensating");
        assert_eq!(
            found.payload,
            Some(parent.payload.clone()),
            "the intent stays"
        );
        let children = store.children(parent.record.id).await.unwrap();
        assert_eq!(children.len(), 1);
        assert_eq!(children[0].record.id, child.record.id);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_late_settlement_never_frees_the_lane_of_another_change() {
    for place in places().await {
        let store = place.open().await;
        let first = put("ann", json!({}), None);
        store.journal(first.clone()).await.unwrap();
        let mine = store.lanes_of_mine().await.unwrap();
        assert_eq!(mine.len(), 1);
        assert_eq!(
            mine[0].holder(),
            held(&store, &name("ann"), first.record.id)
        );
        let _ = store.settle(end(&store, &first, Outcome::Synced));
        assert!(store.lanes_of_mine().await.unwrap().is_empty());
        let second = put("ann", json!({}), Some(&first.record.id.to_string()));
        store.journal(second.clone()).await.unwrap();
        store
            .journal(second.clone())
            .await
            .expect("stored before, as after a commit in doubt");
        let late = store.settle(end(&store, &first, Outcome::Synced)).wait();
        let refused = late.await.unwrap_err();
        assert_eq!(refused.refusal(), Some(&Refusal::TakenOver));
        let mut former = end(&store, &second, Outcome::Synced);
        if let Some(holder) = &mut former.release {
            holder.node = "a former life".into();
        }
        assert!(store.settle(former).wait().await.is_err());
        let seen = store.admission(&name("ann")).await.unwrap();
        assert_eq!(seen.in_flight, Some(second.record.id));
        let settled = store.settle(end(&store, &second, Outcome::Synced));
        settled.wait().await.unwrap();
        assert!(store.is_writing());
        store.close().await.unwrap();
        let closed = store.journal(put("eve", json!({}), None)).await;
        assert!(closed.is_err());
        assert!(!store.is_writing());
    }
}

#[tokio::test]
async fn an_idempotency_key_is_taken_once_and_keeps_its_answer() {
    for place in places().await {
        let store = place.open().await;
        let key = IdempotencyKey {
            key: "k".repeat(300),
            request_digest: "d".into(),
        };
        let mut first = put("ann", json!({}), None);
        first.idempotency = Some(("caller".into(), key.clone()));
        let mut second = put("bob", json!({}), None);
        second.idempotency = first.idempotency.clone();
        let (one, two) = tokio::join!(store.journal(first.clone()), store.journal(second));
        one.unwrap();
        assert!(matches!(two, Err(JournalError::KeyInUse)), "{two:?}");
        let found = store.key("caller", &key.key).await.unwrap().unwrap();
        assert_eq!((found.operation, found.answer), (first.record.id, None));
        let answer = StoredAnswer {
            status: 201,
            body: json!({"_id": "ann"}),
            headers: vec![("Recant-Operation".into(), first.record.id.to_string())],
        };
        let mut settlement = end(&store, &first, Outcome::Synced);
        settlement.answer = Some(("caller".into(), key.clone(), answer.clone()));
        let _ = store.settle(settlement);
        let found = store.key("caller", &key.key).await.unwrap().unwrap();
        assert_eq!(found.answer.as_ref(), Some(&answer));
        assert_eq!(found.request_digest, "d");
        assert!(store.key("other", &key.key).await.unwrap().is_none());
        let refused = IdempotencyKey {
            key: "refused".into(),
            request_digest: "e".into(),
        };
        let _ = store.settle(Settlement {
            answer: Some(("caller".into(), refused, answer)),
            ..Settlement::default()
        });
        let found = store.key("caller", "refused").await.unwrap().unwrap();
        assert_eq!(found.operation, first.record.id, "from the answer's header");
        let late = StoredAnswer {
            status: 409,
            body: json!(null),
            headers: vec![("Recant-Operation".into(), fresh().to_string())],
        };
        let _ = store.settle(Settlement {
            answer: Some(("caller".into(), key.clone(), late)),
            ..Settlement::default()
        });
        let found = store.key("caller", &key.key).await.unwrap().unwrap();
        assert_eq!(found.operation, first.record.id);
        assert_eq!(found.answer.map(|answer| answer.status), Some(201));
        assert_eq!(store.forget_keys(now()).await.unwrap(), 2);
        assert!(store.key("caller", "refused").await.unwrap().is_none());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn sequential_changes_wait_for_one_commit_each() {
    for place in places().await {
        let store = place.open().await;
        let before = store.statistics();
        for number in 0..20 {
            stored(&store, &format!("user{number}"), json!({"n": number})).await;
        }
        store.flush().await.unwrap();
        let after = store.statistics();
        assert_eq!(after.journal_entries - before.journal_entries, 20);
        assert_eq!(after.settlements - before.settlements, 20);
        let commits = after.commits - before.commits;
        // One each, one for the last settlement, and a few where the machine was too slow.
        assert!(
            (21..=25).contains(&commits),
            "{commits} commits for 20 changes"
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn concurrent_changes_share_commits() {
    for place in places().await {
        let store = place.open().await;
        let changes = (0..64).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in 0..5 {
                    stored(&store, &format!("user{number}-{round}"), json!({})).await;
                }
            })
        });
        for change in changes.collect::<Vec<_>>() {
            change.await.unwrap();
        }
        store.flush().await.unwrap();
        let figures = store.statistics();
        assert_eq!((figures.journal_entries, figures.settlements), (320, 320));
        assert!(figures.commits < 160, "{figures:?}");
        assert!(figures.largest_round > 8, "{figures:?}");
        let verified = store.verify_audit().await.unwrap();
        assert_eq!((verified.entries, verified.broken), (320, None));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn one_bad_settlement_fails_nobody_else() {
    for place in places().await {
        let store = place.open().await;
        let (good, bad) = (put("ann", json!({}), None), put("bob", json!({}), None));
        store.journal(good.clone()).await.unwrap();
        store.journal(bad.clone()).await.unwrap();
        let first = end(&store, &good, Outcome::Synced);
        let mut twice = end(&store, &bad, Outcome::Synced);
        twice.audit = first.audit.clone();
        let (first, twice) = (store.settle(first), store.settle(twice));
        let third = put("eve", json!({}), None);
        store.journal(third.clone()).await.unwrap();
        first.wait().await.unwrap();
        assert!(twice.wait().await.is_err(), "an entry with this id exists");
        assert!(store.operation(third.record.id).await.unwrap().is_some());
        assert!(store.statistics().splits > 0);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_synced_change_supersedes_open_divergences() {
    for place in places().await {
        let store = place.open().await;
        let first = put("ann", json!({}), None);
        store.journal(first.clone()).await.unwrap();
        let mut diverged = end(&store, &first, Outcome::Diverged);
        let mut nested = diverged.records[0].clone();
        nested.id = fresh();
        nested.parent = Some(first.record.id);
        nested.purpose = recant::model::Purpose::Compensation;
        let nested_id = nested.id;
        diverged.records.insert(0, nested);
        let _ = store.settle(diverged);
        let other = put("bob", json!({}), None);
        store.journal(other.clone()).await.unwrap();
        let _ = store.settle(end(&store, &other, Outcome::Diverged));
        let second = put("ann", json!({}), Some(&first.record.id.to_string()));
        store.journal(second.clone()).await.unwrap();
        let mut settlement = end(&store, &second, Outcome::Synced);
        settlement.supersedes = Some((name("ann"), second.record.id));
        let _ = store.settle(settlement);
        let closed = store
            .operation(first.record.id)
            .await
            .unwrap()
            .unwrap()
            .record;
        let resolution: Resolution = closed.resolution.unwrap();
        assert_eq!(resolution.kind, "superseded");
        assert_eq!(resolution.operation, Some(second.record.id));
        let nested = store.operation(nested_id).await.unwrap().unwrap().record;
        assert!(!nested.is_open_divergence());
        let open = store
            .operation(other.record.id)
            .await
            .unwrap()
            .unwrap()
            .record;
        assert!(open.is_open_divergence(), "another object's stays open");
        let topic = recant::model::audit::Topic::Compensation;
        let entries = store
            .audit(Some(topic), &search("true"))
            .await
            .unwrap()
            .results;
        assert_eq!(entries.len(), 1, "the compensation ends with its change");
        assert_eq!(entries[0].entry.operation, Some(first.record.id.0));
        let body = &entries[0].entry.body;
        assert_eq!(body["eventName"], "divergenceEnd");
        assert_eq!(body["action"], "superseded");
        assert_eq!(body["objectId"], "managed/user/ann");
        assert_eq!(body["root"], json!(first.record.id));
        assert_eq!(body["userId"], "tester");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn links_are_unique_both_ways_and_change_in_order() {
    for place in places().await {
        let store = place.open().await;
        let links = |links| Settlement {
            links,
            ..Settlement::default()
        };
        let _ = store.settle(links(vec![set("crm", "ann", "1"), set("crm", "bob", "2")]));
        let _ = store.settle(links(vec![set("crm", "ann", "2"), set("crm", "bob", "1")]));
        let _ = store.settle(links(vec![set("crm", "Ann", "3"), set("crm", "ann ", "4")]));
        let _ = store.settle(links(vec![set("crm", "eve", "3")]));
        let second = |id: &'static str| {
            let store = store.clone();
            async move {
                let found = store.links_of_source(&["crm".into()], id).await.unwrap();
                found.first().map(|link| link.second_id.clone())
            }
        };
        assert_eq!(second("ann").await.as_deref(), Some("2"));
        assert_eq!(second("bob").await.as_deref(), Some("1"));
        assert_eq!(
            second("ann ").await.as_deref(),
            Some("4"),
            "ids keep their spaces"
        );
        assert_eq!(
            second("Ann").await,
            None,
            "its target went to another source"
        );
        let of_target = store
            .link_of_target("crm", "default", "3")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(of_target.first_id, "eve");
        let _ = store.settle(links(vec![LinkChange::Remove(of_target)]));
        assert_eq!(second("eve").await, None);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn follow_ups_take_a_lane_that_leaves_no_trace() {
    for place in places().await {
        let store = place.open().await;
        let entry = put("ann", json!({}), None);
        store.journal(entry.clone()).await.unwrap();
        let lane = name("x").container.object("x");
        let passing: recant::model::ResourceName =
            format!("managed/$follow-ups/{}", entry.record.id)
                .parse()
                .unwrap();
        assert_ne!(lane, passing);
        let mut settlement = end(&store, &entry, Outcome::Synced);
        settlement.claim = Some((passing.clone(), entry.record.id));
        store.settle(settlement).wait().await.unwrap();
        let seen = store.admission(&passing).await.unwrap();
        assert_eq!(seen.in_flight, Some(entry.record.id));
        let done = Settlement {
            release: Some(held(&store, &passing, entry.record.id)),
            ..Settlement::default()
        };
        store.settle(done).wait().await.unwrap();
        let seen = store.admission(&passing).await.unwrap();
        assert_eq!((seen.in_flight, seen.latest), (None, None));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn intents_of_ended_changes_are_forgotten() {
    for place in places().await {
        let store = place.open().await;
        let (ended, diverged, running) = (
            put("a", json!({}), None),
            put("b", json!({}), None),
            put("c", json!({}), None),
        );
        for entry in [&ended, &diverged, &running] {
            store.journal(entry.clone()).await.unwrap();
        }
        let _ = store.settle(end(&store, &ended, Outcome::Synced));
        let _ = store.settle(end(&store, &diverged, Outcome::Diverged));
        let later = now() + chrono::Duration::seconds(1);
        assert_eq!(store.forget_intents(later).await.unwrap(), 1);
        let payload = |id| {
            let store = store.clone();
            async move { store.operation(id).await.unwrap().unwrap().payload }
        };
        assert_eq!(payload(ended.record.id).await, None);
        assert!(payload(diverged.record.id).await.is_some());
        assert!(payload(running.record.id).await.is_some());
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_intents_than_one_statement_drops_are_forgotten_too() {
    for place in places().await {
        let store = place.open().await;
        let mut kept = Vec::new();
        let tasks: Vec<_> = (0..1_200)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move {
                    let entry = put(&format!("p{number}"), json!({}), None);
                    store.journal(entry.clone()).await.unwrap();
                    let outcome = match number % 100 {
                        7 => Outcome::Diverged,
                        _ => Outcome::Synced,
                    };
                    let ended = end(&store, &entry, outcome);
                    store.settle(ended).wait().await.unwrap();
                    (outcome == Outcome::Diverged).then_some(entry.record.id)
                })
            })
            .collect();
        for task in tasks {
            kept.extend(task.await.unwrap());
        }
        let later = now() + chrono::Duration::seconds(1);
        let dropped = store.forget_intents(later).await.unwrap();
        assert_eq!(dropped, 1_188, "{}", place.url);
        assert_eq!(store.forget_intents(later).await.unwrap(), 0);
        for id in kept {
            assert!(
                store
                    .operation(id)
                    .await
                    .unwrap()
                    .unwrap()
                    .payload
                    .is_some()
            );
        }
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_the_tables_cannot_hold_is_refused_before() {
    for place in places().await {
        let store = place.open().await;
        let long = "x".repeat(256);
        let refused = store
            .journal(put(&long, json!({}), None))
            .await
            .unwrap_err();
        assert!(matches!(refused, JournalError::Store(error) if error.refusal().is_some()));
        let mut record = record(&name("ann"));
        record.transaction_id = "t\0".repeat(400);
        let entry = audit(&record, recant::model::audit::Topic::Access);
        let settlement = Settlement {
            audit: vec![entry],
            ..Settlement::default()
        };
        store.settle(settlement).wait().await.unwrap();
        assert_eq!(store.verify_audit().await.unwrap().broken, None);
        store.close().await.unwrap();
    }
}

fn set(link_type: &str, first: &str, second: &str) -> LinkChange {
    LinkChange::Set {
        link_type: link_type.into(),
        link_qualifier: "default".into(),
        first_id: first.into(),
        second_id: Some(second.into()),
    }
}
