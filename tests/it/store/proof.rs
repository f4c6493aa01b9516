//! The audit chain against somebody with the database: keys that change, signatures that would be
//! fetched for a forgery, clocks that run wild, entries that nobody can read.
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use recant::{
    clock::{Clock, SystemClock},
    model::{
        audit::{NotTaken, NotTakenHow, Topic},
        signing::Checkpoint,
        trust::{Handover, Trust},
    },
    store::{Proof, Pruned, Settlement, Store},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    audit,
    chain::{append, by, reason, rewrite, signer},
    name, now, places, record, search,
};

fn trusting(seeds: &[u8], outside: &[Checkpoint]) -> Proof {
    Proof {
        trust: Trust::of(seeds.iter().map(|seed| signer(*seed).verifier().clone())),
        outside: outside.to_vec(),
        from: None,
    }
}

async fn entries(store: &Store) -> Vec<recant::model::audit::ChainedEntry> {
    store.audit(None, &search("true")).await.unwrap().results
}

/// One entry with this body and time.
async fn one(store: &Store, body: String, at: DateTime<Utc>) {
    let mut entry = audit(&record(&name("ann")), Topic::Sync);
    (entry.body, entry.timestamp) = (body, at);
    let settlement = Settlement {
        audit: vec![entry],
        ..Settlement::default()
    };
    store.settle(settlement).wait().await.unwrap();
}

#[tokio::test]
async fn keys_change_and_what_old_ones_signed_still_counts() {
    for place in places().await {
        let store = place.open().await;
        let (old, new) = (signer(1), signer(2));
        append(&store, 2).await;
        store.sign_audit(&old, None).await.unwrap();
        append(&store, 2).await;
        store.sign_audit(&new, None).await.unwrap();
        append(&store, 1).await;
        let whole = store
            .verify_audit_against(&trusting(&[1, 2], &[]))
            .await
            .unwrap();
        let signed = whole.signed.unwrap();
        assert_eq!(whole.broken, None);
        assert_eq!((signed.checkpoints, signed.position), (2, 4));
        // Who only knows one of them is told which one is missing, not that all is forged.
        let missing = reason(&store, &trusting(&[1], &[])).await;
        assert_eq!(missing.0, 4);
        assert!(
            missing.1.contains("key that was not given") && missing.1.contains(new.verifier().id()),
            "{missing:?}"
        );
        assert_eq!(reason(&store, &trusting(&[2], &[])).await.0, 2);
        // The old key vouches for the new one.
        let mut trust = Trust::of([old.verifier().clone()]);
        trust
            .accept(&Handover::new(&old, new.verifier(), 0))
            .unwrap();
        let proof = Proof {
            trust,
            ..Proof::default()
        };
        assert_eq!(reason(&store, &proof).await, (0, String::new()));
        // Who stole the old one signs nothing any more.
        store.sign_audit(&old, None).await.unwrap();
        let late = reason(&store, &trusting(&[1, 2], &[])).await;
        assert!(late.1.contains("taken over from"), "{late:?}");
        // Neither does a signature that names a key and is not by it.
        place
            .tamper("update audit_checkpoint set signature = 'AAAA' where number = 3")
            .await;
        let bent = reason(&store, &trusting(&[1, 2], &[])).await;
        assert!(bent.1.starts_with("forged: the signature"), "{bent:?}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_a_walk_cannot_prove_is_said() {
    let place = places().await.remove(0);
    let store = place.open().await;
    let unproven = async |proof: &Proof| {
        let found = store.verify_audit_against(proof).await.unwrap();
        assert_eq!(found.broken, None);
        found.unproven.join("; ")
    };
    append(&store, 6).await;
    let nothing = unproven(&Proof::default()).await;
    assert!(nothing.contains("nothing is signed"), "{nothing}");
    let signer = signer(1);
    let outside: Vec<_> = store
        .sign_audit(&signer, None)
        .await
        .unwrap()
        .into_iter()
        .collect();
    let no_key = unproven(&Proof::default()).await;
    assert!(no_key.contains("no public key"), "{no_key}");
    assert!(no_key.contains("cut off together"), "{no_key}");
    assert_eq!(unproven(&by(&signer, &outside)).await, "", "all is proven");
    append(&store, 3).await;
    let newer = unproven(&by(&signer, &outside)).await;
    assert!(
        newer.contains("behind position 6") && newer.contains("last 3 entries"),
        "{newer}"
    );

    // A beginning that somebody took away: the anchor fits, and nobody signed it.
    let digest = entries(&store).await[2].digest.clone();
    place
        .tamper("delete from audit_entry where position < 4")
        .await;
    place
        .tamper(&format!(
            "insert into audit_anchor (name, position, digest, at) values ('audit', 3, '{digest}', 1)"
        ))
        .await;
    let begun = unproven(&Proof::default()).await;
    assert!(
        begun.contains("first 3 entries were pruned by Recant, and not removed"),
        "{begun}"
    );
    assert!(
        reason(&store, &by(&signer, &[]))
            .await
            .1
            .starts_with("forged")
    );
    store.close().await.unwrap();
}

/// The anchor stands where somebody signed, and has another digest: all behind it was made to fit.
#[tokio::test]
async fn a_forged_beginning_shows_at_a_checkpoint_even_without_a_key() {
    for place in places().await {
        let store = place.open().await;
        append(&store, 4).await;
        store.sign_audit(&signer(1), None).await.unwrap();
        append(&store, 1).await;
        let entries = entries(&store).await;
        rewrite(&place, &entries, 2).await;
        let digest = self::entries(&store).await[3].digest.clone();
        assert_ne!(digest, entries[3].digest);
        place
            .tamper("delete from audit_entry where position < 5")
            .await;
        place
            .tamper(&format!(
                "insert into audit_anchor (name, position, digest, at) values ('audit', 4, '{digest}', 1)"
            ))
            .await;
        let found = reason(&store, &Proof::default()).await;
        assert!(found.1.starts_with("rewritten"), "{found:?}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_signed_over_a_chain_that_was_written_anew() {
    for place in places().await {
        let store = place.open().await;
        let signer = signer(1);
        append(&store, 3).await;
        let first = store.sign_audit(&signer, None).await.unwrap().unwrap();
        append(&store, 3).await;
        rewrite(&place, &entries(&store).await, 2).await;
        let refused = store.sign_audit(&signer, None).await.unwrap_err();
        assert!(refused.to_string().contains("sign"), "{refused}");
        // Nor where the checkpoints that would tell are gone, as long as somebody remembers one.
        place.tamper("delete from audit_checkpoint").await;
        assert!(store.sign_audit(&signer, Some(&first)).await.is_err());
        let left = store.checkpoints(0, 10).await.unwrap();
        assert_eq!(left, [] as [Checkpoint; 0]);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_speaks_against_the_chain_is_not_pruned_away() {
    for place in places().await {
        let store = place.open().await;
        append(&store, 4).await;
        store.sign_audit(&signer(1), None).await.unwrap();
        append(&store, 2).await;
        rewrite(&place, &entries(&store).await, 2).await;
        let later = now() + TimeDelta::days(1);
        let prune = async || {
            store
                .prune_audit(later, 99, Some(&signer(1)))
                .await
                .unwrap()
        };
        assert_eq!(prune().await, Pruned::Some(3));
        assert_eq!(prune().await, Pruned::Broken(4));
        assert!(store.verify_audit().await.unwrap().broken.is_some());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn two_nodes_that_sign_at_once_agree() {
    for place in places().await {
        let (one, two) = (place.open().await, place.open().await);
        for _ in 0..10 {
            append(&one, 1).await;
            let signer = signer(1);
            let (first, second) =
                tokio::join!(one.sign_audit(&signer, None), two.sign_audit(&signer, None));
            let stored = one.checkpoints(0, 99).await.unwrap();
            for signed in [first.unwrap(), second.unwrap()].into_iter().flatten() {
                assert!(stored.contains(&signed), "{signed:?}");
            }
        }
        let found = one
            .verify_audit_against(&by(&signer(1), &[]))
            .await
            .unwrap();
        assert_eq!(found.broken, None);
        one.close().await.unwrap();
        two.close().await.unwrap();
    }
}

#[derive(Debug)]
struct Fixed(DateTime<Utc>);

impl Clock for Fixed {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }

    fn fresh_id(&self) -> Uuid {
        SystemClock.fresh_id()
    }
}

#[tokio::test]
async fn a_clock_that_ran_ahead_or_back_holds_no_pruning_up_and_hastens_none() {
    let mut place = places().await.remove(0);
    let now = now();
    place.clock = std::sync::Arc::new(Fixed(now));
    let store = place.open().await;
    let days = |days: i64| now + TimeDelta::days(days);
    // Old ones, one of a clock that was years ahead, and fresh ones, one of a clock that was back.
    for at in [-40, -40, 3_000, -39, -1, -300, 0] {
        one(&store, "{}".to_owned(), days(at)).await;
    }
    let before = days(-30);
    assert_eq!(
        store.prune_audit(before, 99, None).await.unwrap(),
        Pruned::Some(4)
    );
    assert_eq!(
        store.prune_audit(before, 99, None).await.unwrap(),
        Pruned::Done,
        "a fresh one before it keeps the one that looks old"
    );
    assert_eq!(store.verify_audit().await.unwrap().broken, None);
    // As the last one it stays: what it is worth shows only with the next.
    one(&store, "{}".to_owned(), days(3_000)).await;
    assert_eq!(
        store.prune_audit(days(1), 99, None).await.unwrap(),
        Pruned::Some(3)
    );
    assert_eq!(store.verify_audit().await.unwrap().entries, 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn entries_of_megabytes_are_read_few_at_a_time() {
    for place in places().await {
        let store = place.open().await;
        for _ in 0..20 {
            let body = json!({"after": "x".repeat(1_500_000)}).to_string();
            one(&store, body, now()).await;
        }
        let mut position = 0;
        loop {
            let some = store.audit_after(position, 500).await.unwrap();
            assert!(some.len() <= 6, "{} at once", some.len());
            let Some(last) = some.last() else { break };
            assert!(last.position > position);
            position = last.position;
        }
        assert_eq!(position, 20);
        let found = store.verify_audit().await.unwrap();
        assert_eq!((found.entries, found.broken), (20, None));
        let later = now() + TimeDelta::days(1);
        let mut pruned = 0;
        while let Pruned::Some(count) = store.prune_audit(later, 99, None).await.unwrap() {
            assert!(count <= 6, "{count} at once");
            pruned += count;
        }
        assert_eq!(pruned, 20);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_entry_that_nobody_can_read_keeps_nobody_from_the_others() {
    for place in places().await {
        let store = place.open().await;
        append(&store, 5).await;
        for sql in [
            "update audit_entry set topic = 'purpose' where position = 2",
            "update audit_entry set body = 'no JSON' where position = 3",
            "update audit_entry set id = 'x', operation = 'y' where position = 4",
        ] {
            place.tamper(sql).await;
        }
        let listed = entries(&store).await;
        let delivered = store.audit_after(0, 500).await.unwrap();
        for some in [&listed, &delivered] {
            let positions: Vec<i64> = some.iter().map(|entry| entry.position).collect();
            assert_eq!(positions, [1, 2, 3, 4, 5]);
            assert_eq!(some[1].to_value()["topic"], "other");
            let told = some[2].to_value();
            assert!(told["message"].as_str().unwrap().contains("not understood"));
        }
        assert_eq!(
            store.verify_audit().await.unwrap().broken.unwrap().position,
            2
        );
        store.close().await.unwrap();
    }
}

/// The beginning is pruned and entries are appended while somebody walks along the chain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_and_appending_beside_a_walk_break_nothing() {
    for place in places().await {
        let store = place.open().await;
        append(&store, 30).await;
        let until = std::time::Instant::now() + Duration::from_secs(3);
        let later = now() + TimeDelta::days(1);
        let pruning = async {
            while std::time::Instant::now() < until {
                append(&store, 2).await;
                store.prune_audit(later, i64::MAX, None).await.unwrap();
            }
        };
        let verifying = async {
            let mut walks = 0;
            while std::time::Instant::now() < until {
                let found = store.verify_audit().await.unwrap();
                assert_eq!(found.broken, None, "walk {walks}");
                walks += 1;
            }
            walks
        };
        let (walks, ()) = tokio::join!(verifying, pruning);
        assert!(walks > 3, "{walks}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_destination_has_one_node_and_what_it_refused_is_kept() {
    for place in places().await {
        let (one, two) = (place.open().await, place.open().await);
        assert_eq!(one.hold_delivery("siem", 60_000).await.unwrap(), Some(0));
        assert_eq!(two.hold_delivery("siem", 60_000).await.unwrap(), None);
        assert!(one.delivered("siem", 7, 60_000).await.unwrap());
        assert!(
            !two.delivered("siem", 9, 60_000).await.unwrap(),
            "not its own"
        );
        two.release_delivery("siem").await.unwrap();
        assert_eq!(two.hold_delivery("siem", 60_000).await.unwrap(), None);
        one.release_delivery("siem").await.unwrap();
        assert_eq!(two.hold_delivery("siem", 60_000).await.unwrap(), Some(7));
        assert!(!one.delivered("siem", 8, 60_000).await.unwrap());

        let refused = |position, last, how| NotTaken {
            position,
            last,
            how,
            reason: "it answers 400".into(),
            at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            again: false,
        };
        for again in 0..2 {
            let three = refused(3, 3, NotTakenHow::Refused);
            two.set_aside("siem", &three).await.unwrap();
            let lost = refused(5, 9, NotTakenHow::Pruned);
            two.set_aside("siem", &lost).await.unwrap();
            assert_eq!(
                one.not_taken("siem", 9).await.unwrap(),
                [three, lost],
                "{again}"
            );
        }
        let counts = one.not_taken_by_all().await.unwrap();
        assert_eq!(counts["siem"][&NotTakenHow::Refused], 1);
        assert_eq!(counts["siem"][&NotTakenHow::Pruned], 5);
        assert_eq!(one.first_refused("siem").await.unwrap(), Some(3));
        assert_eq!(one.ask_again("other", None).await.unwrap(), 0);
        assert_eq!(
            one.ask_again("siem", None).await.unwrap(),
            1,
            "what is gone is gone"
        );
        assert_eq!(two.asked_again("siem").await.unwrap(), Some(3));
        let still = Some((NotTakenHow::Refused, "still"));
        two.sent_again("siem", 3, still).await.unwrap();
        assert_eq!(two.asked_again("siem").await.unwrap(), None);
        assert_eq!(one.not_taken("siem", 1).await.unwrap()[0].reason, "still");
        two.sent_again("siem", 3, None).await.unwrap();
        assert_eq!(one.first_refused("siem").await.unwrap(), None);
        assert_eq!(one.give_up_not_taken("siem", None).await.unwrap(), 1);
        one.close().await.unwrap();
        two.close().await.unwrap();
    }
}
