//! A database that fails: lost commits, locks that others hold.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use recant::model::Outcome;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{Place, end, name, places, put, search};

/// What a proxy does to the next commit.
const NOTHING: u8 = 0;
/// It does not reach the server.
const LOSE_COMMIT: u8 = 1;
/// It reaches the server, but its answer does not come back.
const LOSE_ANSWER: u8 = 2;
/// Nothing reaches the server, and nobody is let in.
const AWAY: u8 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_unknown_outcome_is_looked_up() {
    for mut place in places().await {
        if place.is_sqlite() {
            continue;
        }
        let sabotage = through_proxy(&mut place).await;
        let store = place.open().await;
        let mut entries = 0;
        for what in [LOSE_COMMIT, LOSE_ANSWER, LOSE_ANSWER, LOSE_COMMIT] {
            let entry = put(&format!("user{entries}"), json!({}), None);
            sabotage.store(what, Ordering::SeqCst);
            store.journal(entry.clone()).await.unwrap();
            assert_eq!(
                sabotage.load(Ordering::SeqCst),
                NOTHING,
                "the commit was met"
            );
            sabotage.store(what, Ordering::SeqCst);
            store
                .settle(end(&store, &entry, Outcome::Synced))
                .wait()
                .await
                .unwrap();
            assert_eq!(
                sabotage.load(Ordering::SeqCst),
                NOTHING,
                "the commit was met"
            );
            entries += 1;
        }
        let found = store.audit(None, &search("true")).await.unwrap().results;
        assert_eq!(found.len(), entries, "each once");
        assert_eq!(store.verify_audit().await.unwrap().broken, None);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_fails_changes_and_keeps_settlements() {
    for mut place in places().await {
        if place.is_sqlite() {
            continue;
        }
        let sabotage = through_proxy(&mut place).await;
        let lease = Duration::from_secs(2);
        let store = place.open_with(|options| options.lease = lease).await;
        let entry = put("ann", json!({}), None);
        store.journal(entry.clone()).await.unwrap();
        sabotage.store(AWAY, Ordering::SeqCst);
        let mut audit_only = end(&store, &entry, Outcome::Synced);
        audit_only.release = None;
        let ticket = store.settle(audit_only);
        let failed = store.journal(put("bob", json!({}), None)).await;
        assert!(failed.is_err(), "{failed:?}");
        assert!(store.lease_left() < lease);
        sabotage.store(NOTHING, Ordering::SeqCst);
        ticket.wait().await.unwrap();
        assert_eq!(store.object(&name("bob")).await.unwrap(), None);
        store.journal(put("bob", json!({}), None)).await.unwrap();
        assert_eq!(store.verify_audit().await.unwrap().entries, 1);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_locked_store_is_waited_for() {
    for place in places().await {
        let store = place.open().await;
        let lock = tokio::spawn(hold_lanes(place.url.clone()));
        while !lock.is_finished() {
            let entry = put("ann", json!({}), None);
            if store.journal(entry.clone()).await.is_ok() {
                store
                    .settle(end(&store, &entry, Outcome::Synced))
                    .wait()
                    .await
                    .unwrap();
                break;
            }
        }
        lock.await.unwrap();
        let seen = store.admission(&name("ann")).await.unwrap();
        assert!(seen.object.is_some() && seen.in_flight.is_none());
        store.close().await.unwrap();
    }
}

/// Holds a lock that the writer needs for a while.
async fn hold_lanes(url: String) {
    use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
    let database = sea_orm::Database::connect(&url).await.unwrap();
    let transaction = database.begin().await.unwrap();
    transaction
        .execute_unprepared("update node set round = round")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    transaction.rollback().await.unwrap();
    database.close().await.unwrap();
}

/// Puts a proxy before the place's server.
async fn through_proxy(place: &mut Place) -> Arc<AtomicU8> {
    let mut url = url::Url::parse(&place.url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port()))
        .unwrap();
    place.url = url.into();
    let sabotage = Arc::new(AtomicU8::new(NOTHING));
    let shared = sabotage.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(pass_on(client, server, shared.clone()));
        }
    });
    sabotage
}

async fn pass_on(mut client: TcpStream, mut server: TcpStream, sabotage: Arc<AtomicU8>) {
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                if sabotage.load(Ordering::SeqCst) == AWAY {
                    return;
                }
                let commit = asked[..length].windows(6).any(|window| window == b"COMMIT");
                let what = if commit { sabotage.swap(NOTHING, Ordering::SeqCst) } else { NOTHING };
                if what == LOSE_COMMIT || server.write_all(&asked[..length]).await.is_err() {
                    return;
                }
                if what == LOSE_ANSWER {
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
