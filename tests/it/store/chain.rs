//! What a chain of digests alone cannot show: a chain that was written anew, a tail that was cut off,
//! a beginning that somebody says was pruned.
use recant::{
    model::{
        audit::{ChainedEntry, GENESIS, Topic, chain_digest},
        signing::{Checkpoint, Signer},
        trust::Trust,
    },
    store::{Proof, Pruned, Settlement, Store},
};
use serde_json::Value;

use super::{Place, audit, name, now, places, record, search};

pub(super) fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32]).unwrap()
}

pub(super) fn by(signer: &Signer, outside: &[Checkpoint]) -> Proof {
    Proof {
        trust: Trust::of([signer.verifier().clone()]),
        outside: outside.to_vec(),
        from: None,
    }
}

pub(super) async fn append(store: &Store, count: usize) {
    for _ in 0..count {
        let settlement = Settlement {
            audit: vec![audit(&record(&name("ann")), Topic::Sync)],
            ..Settlement::default()
        };
        store.settle(settlement).wait().await.unwrap();
    }
}

/// Changes an entry and writes all digests from there on anew, as somebody with the database can.
pub(super) async fn rewrite(place: &Place, entries: &[ChainedEntry], position: i64) {
    let mut digest = GENESIS.to_owned();
    for one in entries {
        let body = if one.position == position {
            "{\"eventName\":\"nothing happened\"}".to_owned()
        } else {
            Value::Object(one.entry.body.clone()).to_string()
        };
        let entry = &one.entry;
        let (id, timestamp) = (entry.id.to_string(), entry.timestamp.timestamp_micros());
        let timestamp = timestamp.to_string();
        let operation = entry.operation.map(|id| id.to_string()).unwrap_or_default();
        let columns = [
            id.as_str(),
            entry.topic.as_str(),
            &timestamp,
            &entry.transaction_id,
            &operation,
        ];
        digest = chain_digest(&digest, one.position, &columns, &body);
        if one.position >= position {
            place
                .tamper(&format!(
                    "update audit_entry set body = '{body}', digest = '{digest}' where position = {}",
                    one.position
                ))
                .await;
        } else {
            assert_eq!(
                digest, one.digest,
                "the test computes digests as the store does"
            );
        }
    }
    place
        .tamper(&format!("update chain_head set digest = '{digest}'"))
        .await;
}

pub(super) async fn reason(store: &Store, proof: &Proof) -> (i64, String) {
    let found = store.verify_audit_against(proof).await.unwrap();
    found.broken.map_or((0, String::new()), |broken| {
        (broken.position, broken.reason)
    })
}

#[tokio::test]
async fn a_rewritten_chain_and_a_cut_tail_show_where_somebody_signed() {
    for place in places().await {
        let store = place.open().await;
        let signer = signer(1);
        let mut outside = Vec::new();
        for _ in 0..3 {
            append(&store, 3).await;
            outside.extend(store.sign_audit(&signer, None).await.unwrap());
        }
        assert_eq!(
            store.sign_audit(&signer, None).await.unwrap(),
            None,
            "nothing was added"
        );
        append(&store, 1).await;
        let whole = store
            .verify_audit_against(&by(&signer, &outside))
            .await
            .unwrap();
        let signed = whole.signed.unwrap();
        assert_eq!((whole.entries, whole.broken), (10, None));
        assert_eq!(
            (signed.checkpoints, signed.position, signed.verified),
            (3, 9, true)
        );

        let entries = store.audit(None, &search("true")).await.unwrap().results;
        rewrite(&place, &entries, 5).await;
        // The digests hold; the checkpoints do not, with a key or without.
        assert_eq!(reason(&store, &Proof::default()).await.0, 6);
        assert!(
            reason(&store, &by(&signer, &[]))
                .await
                .1
                .starts_with("rewritten")
        );
        // Whoever removes the checkpoints, too, is found by the key, and by what is kept elsewhere.
        place
            .tamper("create table kept as select * from audit_checkpoint")
            .await;
        place
            .tamper("delete from audit_checkpoint where number > 1")
            .await;
        let kept = reason(&store, &by(&signer, &outside)).await;
        assert_eq!(
            kept,
            (
                6,
                "rewritten: a checkpoint was signed over another digest at this position".into()
            )
        );
        place.tamper("delete from audit_checkpoint").await;
        assert_eq!(
            reason(&store, &Proof::default()).await.1,
            "",
            "the chain alone says nothing"
        );
        assert!(
            reason(&store, &by(&signer, &[]))
                .await
                .1
                .starts_with("missing: a checkpoint")
        );
        // One in the middle is missed by the ones around it.
        place
            .tamper("insert into audit_checkpoint select * from kept where number <> 2")
            .await;
        assert!(
            reason(&store, &by(&signer, &[]))
                .await
                .1
                .starts_with("missing: a checkpoint")
        );
        // Somebody else's signature does not count.
        place.tamper("delete from audit_checkpoint").await;
        store.sign_audit(&self::signer(2), None).await.unwrap();
        assert!(
            reason(&store, &by(&signer, &[]))
                .await
                .1
                .starts_with("forged")
        );
        place.tamper("delete from audit_checkpoint").await;
        place
            .tamper("insert into audit_checkpoint select * from kept")
            .await;

        // The tail is cut off, with everything that tells of it in the chain.
        place
            .tamper("delete from audit_entry where position > 4")
            .await;
        let digest = store.audit(None, &search("true")).await.unwrap().results[3]
            .digest
            .clone();
        place
            .tamper(&format!(
                "update chain_head set position = 4, digest = '{digest}'"
            ))
            .await;
        assert_eq!(
            reason(&store, &Proof::default()).await,
            (
                6,
                "removed at the end: a checkpoint was signed over an entry that is not there"
                    .into()
            )
        );
        place
            .tamper("delete from audit_checkpoint where position > 4")
            .await;
        assert_eq!(reason(&store, &Proof::default()).await.1, "");
        assert!(
            reason(&store, &by(&signer, &outside))
                .await
                .1
                .starts_with("removed at the end")
        );
        place.tamper("drop table kept").await;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_left_after_pruning_is_verified_from_its_anchor_on() {
    for place in places().await {
        let store = place.open().await;
        let signer = signer(1);
        append(&store, 9).await;
        let later = now() + chrono::TimeDelta::days(1);
        let before = now() - chrono::TimeDelta::days(1);
        assert_eq!(
            store.prune_audit(before, 99, None).await.unwrap(),
            Pruned::Done
        );
        assert_eq!(
            store.prune_audit(later, 4, Some(&signer)).await.unwrap(),
            Pruned::Some(4)
        );
        assert_eq!(
            store.prune_audit(later, 4, Some(&signer)).await.unwrap(),
            Pruned::Done
        );
        append(&store, 2).await;
        store.sign_audit(&signer, None).await.unwrap();
        let whole = store.verify_audit_against(&by(&signer, &[])).await.unwrap();
        let anchor = whole.anchor.clone().unwrap();
        assert_eq!((whole.entries, whole.broken, whole.position), (7, None, 11));
        assert_eq!((anchor.position, anchor.signed), (4, true));
        let unasked = store.verify_audit().await.unwrap();
        assert_eq!(
            (unasked.entries, unasked.anchor.unwrap().signed),
            (7, false)
        );

        // Going on where a walk ended reads only what was added.
        append(&store, 1).await;
        let from = Some((whole.position, whole.digest));
        let onward = store
            .verify_audit_against(&Proof {
                from,
                ..Proof::default()
            })
            .await
            .unwrap();
        assert_eq!(
            (onward.entries, onward.broken, onward.position),
            (1, None, 12)
        );
        let wrong = Some((11, "x".to_owned()));
        let wrong = store
            .verify_audit_against(&Proof {
                from: wrong,
                ..Proof::default()
            })
            .await
            .unwrap();
        assert_eq!(wrong.broken.unwrap().position, 11);

        // A gap elsewhere, and a beginning that went without an anchor.
        for (sql, position, word) in [
            ("delete from audit_entry where position = 8", 8, "missing"),
            ("delete from audit_entry where position = 5", 5, "missing"),
            (
                "update audit_entry set body = '{}' where position = 5",
                5,
                "edited",
            ),
            ("update audit_anchor set position = 5", 5, "edited"),
            ("delete from audit_anchor", 1, "missing"),
        ] {
            place
                .tamper("create table kept_entry as select * from audit_entry")
                .await;
            place
                .tamper("create table kept_anchor as select * from audit_anchor")
                .await;
            place.tamper(sql).await;
            let found = store.verify_audit().await.unwrap().broken;
            let found = found.unwrap_or_else(|| panic!("{sql}"));
            assert!(found.reason.contains(word), "{sql}: {found:?}");
            assert!(found.position >= position, "{sql}: {found:?}");
            for table in ["entry", "anchor"] {
                place.tamper(&format!("delete from audit_{table}")).await;
                place
                    .tamper(&format!(
                        "insert into audit_{table} select * from kept_{table}"
                    ))
                    .await;
                place.tamper(&format!("drop table kept_{table}")).await;
            }
        }
        // An anchor that another hand set is forged for who knows the key.
        place
            .tamper("update audit_anchor set signature = null")
            .await;
        assert!(
            reason(&store, &by(&signer, &[]))
                .await
                .1
                .starts_with("forged")
        );
        assert_eq!(reason(&store, &Proof::default()).await.1, "");

        // What does not hold is not pruned away.
        place
            .tamper("update audit_entry set body = '{}' where position = 7")
            .await;
        assert_eq!(
            store.prune_audit(later, 99, None).await.unwrap(),
            Pruned::Some(2)
        );
        assert_eq!(
            store.prune_audit(later, 99, None).await.unwrap(),
            Pruned::Broken(7)
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn all_may_be_pruned_and_the_chain_goes_on() {
    for place in places().await {
        let store = place.open().await;
        append(&store, 3).await;
        let later = now() + chrono::TimeDelta::days(1);
        assert_eq!(
            store.prune_audit(later, i64::MAX, None).await.unwrap(),
            Pruned::Some(3)
        );
        let empty = store.verify_audit().await.unwrap();
        assert_eq!((empty.entries, empty.broken, empty.position), (0, None, 3));
        append(&store, 1).await;
        assert_eq!(store.verify_audit().await.unwrap().entries, 1);
        // Verifying beside pruning sees either state, never a hole.
        append(&store, 50).await;
        let pruning = async {
            for end in 5..40 {
                store.prune_audit(later, end, None).await.unwrap();
            }
        };
        let verifying = async {
            for _ in 0..20 {
                assert_eq!(store.verify_audit().await.unwrap().broken, None);
            }
        };
        tokio::join!(pruning, verifying);
        store.close().await.unwrap();
    }
}

/// `RECANT_ENTRIES=1000000 cargo test --release … -- --ignored --nocapture verifying_is_flat`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "fills a store with a million entries"]
#[expect(clippy::print_stdout, reason = "it measures")]
async fn verifying_is_flat() {
    let wanted: usize = std::env::var("RECANT_ENTRIES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    let place = places().await.remove(0);
    let store = place.open().await;
    let record = record(&name("ann"));
    let begun = std::time::Instant::now();
    let mut tickets = Vec::new();
    for batch in 0..wanted.div_ceil(200) {
        let entries = (0..200).map(|_| audit(&record, Topic::Sync)).collect();
        let settlement = Settlement {
            audit: entries,
            ..Settlement::default()
        };
        tickets.push(store.settle(settlement));
        if batch % 20 == 19 {
            for ticket in tickets.drain(..) {
                ticket.wait().await.unwrap();
            }
        }
    }
    store.flush().await.unwrap();
    println!("filled in {:?}", begun.elapsed());
    for round in 0..3 {
        let (before, begun) = (resident(), std::time::Instant::now());
        let found = store.verify_audit().await.unwrap();
        let took = begun.elapsed();
        assert_eq!(found.broken, None);
        println!(
            "round {round}: {} entries in {took:?}, {:.0} entries/s, RSS {} -> {} KiB",
            found.entries,
            found.entries as f64 / took.as_secs_f64(),
            before,
            resident()
        );
    }
    store.close().await.unwrap();
}

/// Kilobytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
