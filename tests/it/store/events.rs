//! The change feed: nothing is skipped by whoever reads along, and what is old can be pruned.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use recant::{
    model::{
        ChangeKind, Outcome,
        event::{ChangeEvent, NewEvent},
    },
    store::{Confidential, EventSearch, Keyring, Refusal, Settlement, Store},
};
use serde_json::{Value, json};

use super::{confidential, end, name, now, object, on_disk, places, put};

/// A settled change of an object.
async fn told(store: &Store, id: &str, content: Value) {
    told_with(store, id, content, now()).await;
}

async fn told_at(store: &Store, id: &str, at: chrono::DateTime<chrono::Utc>) {
    told_with(store, id, json!({}), at).await;
}

async fn told_with(store: &Store, id: &str, content: Value, at: chrono::DateTime<chrono::Utc>) {
    let mut entry = put(id, content.clone(), None);
    entry.object = recant::store::ObjectWrite::Untouched;
    store.journal(entry.clone()).await.unwrap();
    let mut content = object(content);
    content.insert("_id".into(), json!(id));
    let settlement = Settlement {
        event: Some(NewEvent {
            object: name(id),
            kind: ChangeKind::Create,
            operation: entry.record.id,
            created_at: at,
            before: None,
            after: Some(content),
        }),
        ..end(store, &entry, Outcome::Synced)
    };
    store.settle(settlement).wait().await.unwrap();
}

/// A clock that is this much ahead.
#[derive(Debug)]
struct Ahead(chrono::TimeDelta);

impl recant::clock::Clock for Ahead {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        now() + self.0
    }

    fn fresh_id(&self) -> uuid::Uuid {
        recant::clock::SystemClock.fresh_id()
    }
}

#[tokio::test]
async fn a_range_of_times_is_a_range_of_cursors_whatever_the_clocks_say() {
    for place in places().await {
        let store = place.open().await;
        let ahead = place
            .open_with(|options| options.clock = Arc::new(Ahead(chrono::TimeDelta::seconds(20))))
            .await;
        told(&store, "a", json!({})).await;
        told_at(&ahead, "b", now() + chrono::TimeDelta::seconds(20)).await;
        told(&store, "c", json!({})).await;
        let all = read(&store, all()).await;
        assert_eq!(ids(&all), ["a", "b", "c"]);
        let times: Vec<_> = all.iter().map(|one| one.event.created_at).collect();
        assert!(times.is_sorted(), "{}: {times:?}", place.url);
        let until = times[1];
        let first = EventSearch {
            until: Some(until),
            ..EventSearch::default()
        };
        let page = store.events(&first).await.unwrap();
        assert_eq!(ids(&page.events), ["a"]);
        let rest = EventSearch {
            after: Some(page.cursor),
            ..EventSearch::default()
        };
        assert_eq!(
            ids(&read(&store, rest).await),
            ["b", "c"],
            "nothing is skipped"
        );
        let from = EventSearch {
            from: Some(until),
            ..EventSearch::default()
        };
        assert_eq!(ids(&read(&store, from).await), ["b", "c"], "nor told twice");
        ahead.close().await.unwrap();
        store.close().await.unwrap();
    }
}

async fn read(store: &Store, search: EventSearch) -> Vec<ChangeEvent> {
    store.events(&search).await.unwrap().events
}

fn ids(events: &[ChangeEvent]) -> Vec<&str> {
    let ids = events.iter().map(|one| one.event.object.id.as_str());
    ids.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_along_misses_nothing_of_many_writers_and_nodes() {
    for place in places().await {
        let nodes = [place.open().await, place.open().await, place.open().await];
        let (writers, changes) = (4, 25);
        let over = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn(read_along(nodes[0].clone(), Arc::clone(&over)));
        let mut tasks = Vec::new();
        for (node, store) in nodes.iter().enumerate() {
            for writer in 0..writers {
                let store = store.clone();
                tasks.push(tokio::spawn(async move {
                    for change in 0..changes {
                        told(&store, &format!("{node}-{writer}-{change}"), json!({})).await;
                    }
                }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        over.store(true, Ordering::SeqCst);
        let seen = reader.await.unwrap();
        let all = read(&nodes[1], all()).await;
        assert_eq!(all.len(), nodes.len() * writers * changes, "{}", place.url);
        assert_eq!(seen, all.iter().map(|event| event.id).collect::<Vec<_>>());
        for store in nodes {
            store.close().await.unwrap();
        }
    }
}

/// Reads by the cursor of each page until the writers are over and nothing is left.
async fn read_along(store: Store, over: Arc<AtomicBool>) -> Vec<i64> {
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let was_over = over.load(Ordering::SeqCst);
        let search = EventSearch {
            after,
            limit: 7,
            ..EventSearch::default()
        };
        let page = store.events(&search).await.unwrap();
        if page.events.is_empty() && was_over {
            return seen;
        }
        seen.extend(page.events.iter().map(|event| event.id));
        after = Some(page.cursor);
        tokio::task::yield_now().await;
    }
}

fn all() -> EventSearch {
    EventSearch {
        limit: 100_000,
        ..EventSearch::default()
    }
}

#[tokio::test]
async fn events_are_found_by_cursor_time_and_type() {
    for place in places().await {
        let store = place.open().await;
        for id in ["a", "b"] {
            told(&store, id, json!({"n": 1})).await;
        }
        let middle = now();
        tokio::time::sleep(Duration::from_millis(2)).await;
        told(&store, "c", json!({})).await;
        let everything = read(&store, all()).await;
        assert_eq!(ids(&everything), ["a", "b", "c"]);
        let search = |change: fn(&mut EventSearch)| {
            let mut search = all();
            change(&mut search);
            search
        };
        let mut later = all();
        later.from = Some(middle);
        assert_eq!(ids(&read(&store, later.clone()).await), ["c"]);
        later.until = later.from.take();
        let page = store.events(&later).await.unwrap();
        assert_eq!((ids(&page.events), page.more), (vec!["a", "b"], false));
        let mut rest = all();
        rest.after = Some(page.cursor);
        assert_eq!(ids(&read(&store, rest).await), ["c"], "it is not skipped");
        later.until = Some(everything[0].event.created_at - chrono::TimeDelta::seconds(1));
        let page = store.events(&later).await.unwrap();
        assert_eq!((page.events.len(), page.cursor), (0, 0));
        let nothing = search(|search| search.limit = 0);
        assert_eq!(store.events(&nothing).await.unwrap().cursor, 0);
        let typed = search(|search| search.types = vec!["user.created".into()]);
        assert_eq!(read(&store, typed).await.len(), 3);
        let page = store
            .events(&search(|search| search.types = vec!["user.deleted".into()]))
            .await
            .unwrap();
        assert_eq!((page.events.len(), page.more), (0, false));
        assert_eq!(page.cursor, everything[2].id, "all was looked at");
        let page = store.events(&search(|search| search.limit = 2)).await;
        let page = page.unwrap();
        assert_eq!((ids(&page.events), page.more), (vec!["a", "b"], true));
        let mut rest = all();
        rest.after = Some(page.cursor);
        assert_eq!(ids(&read(&store, rest).await), ["c"]);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_pruned_cursor_is_told_and_not_skipped() {
    for place in places().await {
        let store = place.open().await;
        for number in 0..6 {
            told(&store, &number.to_string(), json!({})).await;
        }
        let events = read(&store, all()).await;
        let dropped = store
            .forget_events(events[1].event.created_at, 4, &[])
            .await;
        assert_eq!(dropped.unwrap(), 2);
        assert_eq!(ids(&read(&store, all()).await), ["2", "3", "4", "5"]);
        let behind = |after| EventSearch {
            after: Some(after),
            ..all()
        };
        let error = store.events(&behind(events[0].id)).await.unwrap_err();
        let oldest = events[1].id;
        let refusal = Refusal::Pruned {
            after: events[0].id,
            oldest,
        };
        assert_eq!(error.refusal(), Some(&refusal));
        assert_eq!(read(&store, behind(oldest)).await.len(), 4);
        // A subscription that was told of all but the last two.
        store.subscribe("crm").await.unwrap();
        let back = [events[3].id, store.newest_event().await.unwrap()];
        let moved = store.pump("crm", back[1], back[0], Vec::new()).await;
        assert_eq!(moved.unwrap(), recant::store::Pumped::Stored);
        let subscriptions = ["crm".to_owned()];
        let dropped = store
            .forget_events(now(), 100, &subscriptions)
            .await
            .unwrap();
        assert_eq!(dropped, 2, "what is still to be told stays");
        store
            .pump("crm", back[0], back[1], Vec::new())
            .await
            .unwrap();
        let dropped = store
            .forget_events(now(), 100, &subscriptions)
            .await
            .unwrap();
        assert_eq!(dropped, 2);
        assert_eq!(read(&store, all()).await, []);
        assert_eq!(store.newest_event().await.unwrap(), events[5].id);
        told(&store, "new", json!({})).await;
        assert_eq!(ids(&read(&store, behind(events[5].id)).await), ["new"]);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn confidential_attributes_of_events_are_encrypted_at_rest() {
    let key = |byte: u8| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.encode([byte; 32])
    };
    for place in places().await {
        let ring = |text: &str| Keyring::from_base64(text).unwrap();
        let store = place.open_with(|o| o.keys = ring(&key(1))).await;
        store.set_confidential(confidential(&["pin"]));
        told(&store, "a", json!({"name": "n", "pin": "Sesame-4711"})).await;
        let after = async |store: &Store, confidential| {
            let search = EventSearch {
                confidential,
                ..all()
            };
            read(store, search).await[0].event.after.clone().unwrap()
        };
        let masked = json!({"name": "n", "pin": "***", "_id": "a"});
        let clear = json!({"name": "n", "pin": "Sesame-4711", "_id": "a"});
        assert_eq!(after(&store, Confidential::Masked).await, object(masked));
        assert_eq!(
            after(&store, Confidential::Clear).await,
            object(clear.clone())
        );
        if place.is_sqlite() {
            assert!(!on_disk(place.folder.path(), "Sesame-4711"));
        }
        store.close().await.unwrap();
        let both = format!("{} {}", key(2), key(1));
        let store = place.open_with(|o| o.keys = ring(&both)).await;
        assert!(store.reencrypt().await.unwrap() > 0);
        store.close().await.unwrap();
        let store = place.open_with(|o| o.keys = ring(&key(2))).await;
        assert_eq!(after(&store, Confidential::Clear).await, object(clear));
        store.close().await.unwrap();
    }
}
