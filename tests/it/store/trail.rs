//! The audit chain: everything that is done to it behind the store's back shows.
use recant::{model::audit::Topic, store::Settlement};

use super::{Place, audit, name, places, record, search};

/// What is done to a chain of seven, and where it must show: position, whether the entry's id is
/// told, and a word of the reason.
const TAMPERINGS: &[(&str, i64, bool, &str)] = &[
    (
        "update audit_entry set body = '{}' where position = 3",
        3,
        true,
        "edited",
    ),
    (
        "update audit_entry set topic = 'config' where position = 1",
        1,
        true,
        "edited",
    ),
    (
        "update audit_entry set timestamp = timestamp + 1 where position = 7",
        7,
        true,
        "edited",
    ),
    (
        "update audit_entry set transaction_id = 'x' where position = 4",
        4,
        true,
        "edited",
    ),
    (
        "update audit_entry set operation = null where position = 4",
        4,
        true,
        "edited",
    ),
    (
        "update audit_entry set id = 'x' where position = 2",
        2,
        true,
        "edited",
    ),
    (
        "update audit_entry set digest = 'x' where position = 5",
        5,
        true,
        "edited",
    ),
    (
        "delete from audit_entry where position = 1",
        1,
        false,
        "missing",
    ),
    (
        "delete from audit_entry where position = 4",
        4,
        false,
        "missing",
    ),
    (
        "delete from audit_entry where position = 7",
        7,
        false,
        "removed",
    ),
    (
        "delete from audit_entry where position > 5",
        6,
        false,
        "removed",
    ),
    ("delete from audit_entry", 1, false, "removed"),
    (
        "update audit_entry set position = 100 where position = 3; \
         update audit_entry set position = 3 where position = 5; \
         update audit_entry set position = 5 where position = 100",
        3,
        true,
        "reordered",
    ),
    ("update chain_head set digest = 'x'", 7, true, "head"),
    ("update chain_head set position = 6", 6, true, "head"),
    ("update chain_head set position = 9", 8, false, "removed"),
    ("delete from chain_head", 7, true, "head"),
    (
        "insert into audit_entry (position, id, topic, timestamp, transaction_id, digest, body) \
         values (8, 'forged', 'access', 0, 't', 'd', '{}')",
        8,
        true,
        "added",
    ),
];

#[tokio::test]
async fn every_tampering_shows_at_its_place() {
    for place in places().await {
        let store = place.open().await;
        let record = record(&name("ann"));
        for _ in 0..7 {
            let entry = audit(&record, Topic::Sync);
            let settlement = Settlement {
                audit: vec![entry],
                ..Settlement::default()
            };
            store.settle(settlement).wait().await.unwrap();
        }
        let sound = store.verify_audit().await.unwrap();
        assert_eq!((sound.entries, sound.broken), (7, None));
        let entries = store.audit(None, &search("true")).await.unwrap().results;
        place
            .tamper("create table kept_entry as select * from audit_entry")
            .await;
        place
            .tamper("create table kept_head as select * from chain_head")
            .await;
        for (sql, position, tells_id, word) in TAMPERINGS {
            for statement in sql.split("; ") {
                place.tamper(statement).await;
            }
            let found = store.verify_audit().await.unwrap();
            let broken = found.broken.unwrap_or_else(|| panic!("not found: {sql}"));
            assert_eq!(broken.position, *position, "{sql}: {broken:?}");
            assert!(broken.reason.contains(word), "{sql}: {broken:?}");
            assert_eq!(broken.id.is_some(), *tells_id, "{sql}: {broken:?}");
            restore(&place).await;
        }
        let sound = store.verify_audit().await.unwrap();
        assert_eq!((sound.entries, sound.broken), (7, None));
        assert_eq!(
            store.audit(None, &search("true")).await.unwrap().results,
            entries
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_chain_is_verified_beside_running_writers() {
    for place in places().await {
        let (writer, reader) = (place.open().await, place.open().await);
        let writing = tokio::spawn(async move {
            for _ in 0..60 {
                let record = record(&name("ann"));
                let entries = (0..20).map(|_| audit(&record, Topic::Sync)).collect();
                let settlement = Settlement {
                    audit: entries,
                    ..Settlement::default()
                };
                writer.settle(settlement).wait().await.unwrap();
            }
            writer
        });
        let mut walks = 0;
        while !writing.is_finished() {
            assert_eq!(reader.verify_audit().await.unwrap().broken, None);
            walks += 1;
        }
        let writer = writing.await.unwrap();
        assert!(walks > 0);
        let end = reader.verify_audit().await.unwrap();
        assert_eq!((end.entries, end.broken), (1200, None));
        writer.close().await.unwrap();
        reader.close().await.unwrap();
    }
}

async fn restore(place: &Place) {
    for sql in [
        "delete from audit_entry",
        "insert into audit_entry select * from kept_entry",
        "delete from chain_head",
        "insert into chain_head select * from kept_head",
    ] {
        place.tamper(sql).await;
    }
}
