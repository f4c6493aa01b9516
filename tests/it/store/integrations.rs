//! The queue of integration events: what is left behind, clocks that differ, pauses, and keys.
use chrono::{DateTime, TimeDelta, Utc};
use recant::{
    clock::{Clock as _, SystemClock},
    model::{
        ChangeKind, OperationId,
        integration::{Direction, IntegrationEvent, Payload, State, rules::Seen},
    },
    store::{Arrival, Copied, Ending, Keyring, Refusal, Settlement, Store},
};
use serde_json::json;
use uuid::Uuid;

use super::{fresh, now, object, on_disk, places};

/// What a queued mapping is to write of an object that changed at this time.
fn arrival(id: &str, at: DateTime<Utc>) -> Arrival {
    Arrival {
        event: IntegrationEvent {
            id: SystemClock.fresh_id(),
            direction: Direction::Outbound,
            connector: "hr".into(),
            external_id: id.into(),
            updated_at: at,
            kind: ChangeKind::Update,
            cached_id: None,
            cached_type: None,
            record_id: Some(id.into()),
            record_type: Some("managed/user".into()),
            mapping: Some("user_hr".into()),
            state: State::Queued,
            canceled_by: None,
            duplicate_of: None,
            ignored_for_id: None,
            ignored_for_type: None,
            attempts: 0,
            next_attempt_at: None,
            last_error: None,
            operation: None,
            created_at: at,
            started_at: None,
            ended_at: None,
            replay: None,
        },
        payload: Payload {
            after: Some(object(json!({"name": "Sesame-4711"}))),
            ..Payload::default()
        },
        delivery: None,
    }
}

async fn queue(store: &Store, arrivals: Vec<Arrival>) -> Vec<Uuid> {
    let ids = arrivals.iter().map(|arrival| arrival.event.id).collect();
    let settlement = Settlement {
        outbound: arrivals,
        ..Settlement::default()
    };
    store.settle(settlement).wait().await.unwrap();
    ids
}

async fn read(store: &Store, id: Uuid) -> IntegrationEvent {
    store.integration_event(id).await.unwrap().unwrap().0
}

async fn begin(store: &Store, id: Uuid) -> bool {
    store.begin_integration(id, fresh()).await.unwrap()
}

fn failed(next_attempt_at: Option<DateTime<Utc>>) -> Ending {
    Ending {
        state: Some(State::Errored),
        next_attempt_at,
        ..Ending::default()
    }
}

fn ids(events: &[IntegrationEvent]) -> Vec<Uuid> {
    events.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn what_is_in_no_hand_is_taken_over_and_nothing_else() {
    for place in places().await {
        let (store, other) = (place.open().await, place.open().await);
        let both = [arrival("a", now()), arrival("b", now())];
        let [left, held] = queue(&store, both.to_vec()).await[..] else {
            panic!("two events were queued")
        };
        let operation: OperationId = fresh();
        assert!(store.begin_integration(left, operation).await.unwrap());
        assert!(begin(&store, held).await);
        let adopted = store.adopt_integrations(&|id| id == held).await.unwrap();
        assert_eq!(ids(&adopted), [left]);
        assert_eq!(adopted[0].operation, Some(operation));
        let adopted = other.adopt_integrations(&|_| false).await.unwrap();
        assert_eq!(adopted, [], "the node that has them lives");
        let ending = Ending::default();
        store.end_integration(left, &ending).await.unwrap();
        let adopted = store.adopt_integrations(&|id| id == held).await.unwrap();
        assert_eq!(adopted, [], "it has ended");
        store.close().await.unwrap();
        let adopted = other.adopt_integrations(&|_| false).await.unwrap();
        assert_eq!(ids(&adopted), [held], "its node is gone");
        other.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_event_holds_up_no_other() {
    for place in places().await {
        let store = place.open().await;
        let all = ["a", "b", "c", "d"].map(|id| arrival(id, now()));
        let all = queue(&store, all.to_vec()).await;
        for id in &all[..2] {
            assert!(begin(&store, *id).await);
        }
        for id in ["a", "c"] {
            let damage = format!(
                "update integration_event set kind = 'nonsense' where external_id = '{id}'"
            );
            place.tamper(&damage).await;
        }
        let adopted = store.adopt_integrations(&|_| false).await.unwrap();
        assert_eq!(ids(&adopted), [all[1]]);
        let due = store.due_integrations(&[], 10).await.unwrap();
        assert_eq!(ids(&due), [all[3]]);
        let mended = "update integration_event set kind = 'update'";
        place.tamper(mended).await;
        for id in [all[0], all[2]] {
            let aside = read(&store, id).await;
            assert!(aside.is_dead_letter(), "{aside:?}");
            assert!(aside.last_error.unwrap().contains("not understood"));
        }
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_queued_later_is_newer_whatever_the_clocks_say() {
    for place in places().await {
        let store = place.open().await;
        let ahead = now() + TimeDelta::hours(1);
        let done = queue(&store, vec![arrival("a", ahead)]).await[0];
        assert!(begin(&store, done).await);
        store
            .end_integration(done, &Ending::default())
            .await
            .unwrap();
        let two = vec![arrival("a", now()), arrival("a", now())];
        let two = queue(&store, two).await;
        let other = queue(&store, vec![arrival("b", now())]).await[0];
        let first = read(&store, two[0]).await;
        let newest = read(&store, two[1]).await;
        let step = TimeDelta::microseconds(1);
        let done = read(&store, done).await.updated_at;
        assert_eq!(first.updated_at, done + step);
        assert_eq!(newest.updated_at, done + step + step);
        assert_eq!(first.state, State::Canceled);
        assert_eq!(newest.state, State::Queued);
        assert_eq!(
            store.seen_of(&newest).await.unwrap(),
            Seen::default(),
            "nothing is later"
        );
        assert!(read(&store, other).await.updated_at < ahead);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_pause_and_a_dead_letter_are_held_to() {
    for place in places().await {
        let store = place.open().await;
        let id = queue(&store, vec![arrival("a", now())]).await[0];
        assert!(begin(&store, id).await);
        let later = failed(Some(now() + TimeDelta::hours(1)));
        store.end_integration(id, &later).await.unwrap();
        assert!(!begin(&store, id).await, "its pause is not over");
        let moved = store.move_integration(id, State::Errored, State::Queued);
        assert!(moved.await.unwrap());
        assert!(begin(&store, id).await);
        store.end_integration(id, &failed(None)).await.unwrap();
        assert!(!begin(&store, id).await, "it is a dead letter");
        let moved = store.move_integration(id, State::Errored, State::Queued);
        assert!(moved.await.unwrap());
        assert!(begin(&store, id).await);
        let over = failed(Some(now()));
        store.end_integration(id, &over).await.unwrap();
        assert!(begin(&store, id).await);
        assert_eq!(read(&store, id).await.attempts, 4);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_integrations_hold_changes_keys() {
    let ring = |text: &str| Keyring::from_base64(text).unwrap();
    let old = "old:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let new = "new:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=";
    for place in places().await {
        let clear = place.open().await;
        queue(&clear, vec![arrival("clear", now())]).await;
        clear.close().await.unwrap();
        let store = place.open_with(|options| options.keys = ring(old)).await;
        let id = queue(&store, vec![arrival("a", now())]).await[0];
        assert!(begin(&store, id).await);
        let lane = read(&store, id).await.lane();
        let copied = Copied {
            lane: lane.clone(),
            updated_at: now(),
            operation: None,
            body: Some(object(json!({"name": "Sesame-4711"}))),
        };
        let ending = Ending {
            copy: Some(copied.clone()),
            ..Ending::default()
        };
        store.end_integration(id, &ending).await.unwrap();
        store.close().await.unwrap();

        let both = format!("{new} {old}");
        let store = place.open_with(|options| options.keys = ring(&both)).await;
        assert_eq!(store.reencrypt().await.unwrap(), 3, "{}", place.url);
        assert_eq!(store.reencrypt().await.unwrap(), 0);
        store.close().await.unwrap();

        let store = place.open_with(|options| options.keys = ring(new)).await;
        let (_, payload) = store.integration_event(id).await.unwrap().unwrap();
        assert_eq!(payload.unwrap(), arrival("a", now()).payload);
        let copy = store.copied(&lane).await.unwrap().unwrap();
        assert_eq!(copy.body, copied.body);
        store.close().await.unwrap();

        let store = place.open_with(|options| options.keys = ring(old)).await;
        let (_, payload) = store.integration_event(id).await.unwrap().unwrap();
        let why = payload.unwrap_err();
        assert_eq!(why.refusal(), Some(&Refusal::UnknownKey("new".into())));
        store.close().await.unwrap();
        if place.is_sqlite() {
            place.tamper("pragma wal_checkpoint(truncate)").await;
            place.tamper("vacuum").await;
            assert!(!on_disk(place.folder.path(), "Sesame-4711"));
        }
    }
}
