//! Confidential values at rest: encrypted, bound to their place, and able to change keys.
use std::sync::Arc;

use recant::{
    clock::{Clock as _, SystemClock},
    model::{
        Outcome,
        hook_run::{Ended, Inputs, Kept, KeptRun},
    },
    store::{JournalError, Keyring, ObjectWrite, Refusal, RunSearch, Settlement, SortKey, Store},
};
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use super::{Place, confidential, end, name, object, on_disk, places, put, search};

const OLD: &str = "old:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const NEW: &str = "new:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=";
const SECRET: &str = "correct-horse-battery-staple";

#[tokio::test]
async fn a_secret_is_nowhere_on_disk_and_comes_back() {
    for place in places().await {
        let store = open(&place, OLD).await;
        let entry = secret_entry("ann");
        store.journal(entry.clone()).await.unwrap();
        store
            .settle(end(&store, &entry, Outcome::Synced))
            .wait()
            .await
            .unwrap();
        let ObjectWrite::Put { object, .. } = &entry.object else {
            unreachable!()
        };
        let found = store.object(&name("ann")).await.unwrap().unwrap();
        assert_eq!(found.object["password"], object["password"]);
        assert_eq!(found.object["mail"], json!("ann@example.org"));
        assert_eq!(
            store.admission(&name("ann")).await.unwrap().object,
            Some(found)
        );
        let operation = store.operation(entry.record.id).await.unwrap().unwrap();
        assert_eq!(operation.payload, Some(entry.payload));
        let rows = dump(&place).await;
        assert!(
            rows.contains("ann@example.org") && !rows.contains(SECRET),
            "{rows}"
        );
        if place.is_sqlite() {
            assert!(on_disk(place.folder.path(), "ann@example.org"));
            assert!(!on_disk(place.folder.path(), SECRET));
        }
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_key_nothing_confidential_is_stored() {
    for place in places().await {
        let store = open(&place, "").await;
        let refused = store.journal(secret_entry("ann")).await.unwrap_err();
        let JournalError::Store(error) = refused else {
            panic!("{refused:?}")
        };
        assert!(
            matches!(error.refusal(), Some(Refusal::NoKey { .. })),
            "{error:?}"
        );
        assert!(!format!("{error:?}").contains(SECRET));
        assert_eq!(store.object(&name("ann")).await.unwrap(), None);
        store
            .journal(put("bob", json!({"mail": "b"}), None))
            .await
            .unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_key_and_a_wrong_key_are_named() {
    for place in places().await {
        let store = open(&place, OLD).await;
        let entry = secret_entry("ann");
        store.journal(entry.clone()).await.unwrap();
        store.close().await.unwrap();
        let other = open(&place, NEW).await;
        let error = other.object(&name("ann")).await.unwrap_err();
        assert_eq!(error.refusal(), Some(&Refusal::UnknownKey("old".into())));
        let error = other.operation(entry.record.id).await.unwrap_err();
        assert_eq!(error.refusal(), Some(&Refusal::UnknownKey("old".into())));
        other.close().await.unwrap();
        let wrong = open(&place, &NEW.replace("new", "old")).await;
        let error = wrong.object(&name("ann")).await.unwrap_err();
        assert_eq!(error.refusal(), Some(&Refusal::WrongKey("old".into())));
        wrong.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_sealed_value_opens_only_in_its_own_row() {
    for place in places().await {
        let store = open(&place, OLD).await;
        store.journal(secret_entry("ann")).await.unwrap();
        store.journal(secret_entry("bob")).await.unwrap();
        place
            .tamper("create table kept as select * from managed_object")
            .await;
        let moved = "update managed_object set sealed = \
                     (select sealed from kept where id = 'ann') where id = 'bob'";
        place.tamper(moved).await;
        let error = store.object(&name("bob")).await.unwrap_err();
        assert_eq!(error.refusal(), Some(&Refusal::WrongKey("old".into())));
        assert!(store.object(&name("ann")).await.unwrap().is_some());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn keys_rotate() {
    for place in places().await {
        let store = open(&place, OLD).await;
        for id in ["ann", "bob"] {
            let entry = secret_entry(id);
            store.journal(entry.clone()).await.unwrap();
            let _ = store.settle(end(&store, &entry, Outcome::Synced));
        }
        assert_eq!(store.reencrypt().await.unwrap(), 0);
        store.close().await.unwrap();
        let both = open(&place, &format!("{NEW}, {OLD}")).await;
        let before = both.object(&name("ann")).await.unwrap();
        assert_eq!(
            both.reencrypt().await.unwrap(),
            4,
            "two objects and two intents"
        );
        assert_eq!(both.reencrypt().await.unwrap(), 0);
        assert_eq!(both.object(&name("ann")).await.unwrap(), before);
        both.close().await.unwrap();
        let new = open(&place, NEW).await;
        assert_eq!(new.object(&name("ann")).await.unwrap(), before);
        let found = new.operations(&search("true")).await.unwrap().results;
        for record in found {
            assert!(
                new.operation(record.id)
                    .await
                    .unwrap()
                    .unwrap()
                    .payload
                    .is_some()
            );
        }
        new.close().await.unwrap();
    }
}

#[tokio::test]
async fn kept_runs_of_hooks_go_over_to_the_new_key() {
    let run = |number: usize| KeptRun {
        id: SystemClock.fresh_id().to_string(),
        operation: super::fresh(),
        object: name("ann"),
        run: Arc::new(Kept {
            hook: "managed/user/onSync".into(),
            script: "compensate.rhai".into(),
            digest: "d".into(),
            at: super::now(),
            micros: 1,
            operations: 1,
            inputs: Inputs {
                variables: object(json!({"newObject": {"password": SECRET, "number": number}})),
                ..Inputs::default()
            },
            ended: Ended::default(),
            secrets: vec![SECRET.into()],
        }),
    };
    let all = RunSearch {
        limit: 99,
        ..RunSearch::default()
    };
    for place in places().await {
        let store = open(&place, OLD).await;
        let settlement = Settlement {
            hook_runs: (0..3).map(run).collect(),
            ..Settlement::default()
        };
        store.settle(settlement).wait().await.unwrap();
        let kept = store.hook_runs(&all).await.unwrap();
        assert_eq!(kept.len(), 3);
        store.close().await.unwrap();
        let both = open(&place, &format!("{NEW}, {OLD}")).await;
        assert_eq!(both.reencrypt().await.unwrap(), 3);
        assert_eq!(both.reencrypt().await.unwrap(), 0);
        both.close().await.unwrap();
        let new = open(&place, NEW).await;
        assert_eq!(new.hook_runs(&all).await.unwrap(), kept);
        new.close().await.unwrap();
        let old = open(&place, OLD).await;
        assert!(
            old.hook_runs(&all).await.is_err(),
            "the old key opens nothing any more"
        );
        old.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_attribute_that_becomes_confidential_is_encrypted_by_rotation() {
    for place in places().await {
        let store = place
            .open_with(|options| options.keys = Keyring::from_base64(OLD).unwrap())
            .await;
        store.journal(secret_entry("ann")).await.unwrap();
        assert!(dump(&place).await.contains(SECRET), "it was no secret then");
        store.set_confidential(confidential(&["password"]));
        assert_eq!(store.reencrypt().await.unwrap(), 1);
        assert!(!dump(&place).await.contains(SECRET));
        let found = store.object(&name("ann")).await.unwrap().unwrap();
        assert_eq!(found.object["password"], json!([SECRET, {"hint": SECRET}]));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn nobody_filters_or_sorts_by_a_secret() {
    for place in places().await {
        let store = open(&place, OLD).await;
        let refusal = Some(Refusal::ConfidentialField("password".into()));
        for filter in [
            "password sw \"a\"",
            "!(password/hint pr)",
            "a eq 1 or password pr",
        ] {
            let error = store.objects("user", &search(filter)).await.unwrap_err();
            assert_eq!(error.refusal().cloned(), refusal);
        }
        let mut sorted = search("true");
        sorted.sort = vec![SortKey {
            field: recant::model::pointer::Pointer::attribute("password"),
            descending: false,
            texts: recant::model::filter::Texts::Exact,
        }];
        let error = store.objects("user", &sorted).await.unwrap_err();
        assert_eq!(error.refusal().cloned(), refusal);
        store.close().await.unwrap();
    }
}

async fn open(place: &Place, keys: &str) -> Store {
    let keys = Keyring::from_base64(keys).unwrap();
    let store = place.open_with(|options| options.keys = keys).await;
    store.set_confidential(confidential(&["password"]));
    store
}

fn secret_entry(id: &str) -> recant::store::JournalEntry {
    let content =
        json!({"mail": format!("{id}@example.org"), "password": [SECRET, {"hint": SECRET}]});
    let mut entry = put(id, content.clone(), None);
    entry.payload = json!({"new": content}).to_string();
    entry
}

/// What objects and journal hold, as text; intents that are in clear left out.
async fn dump(place: &Place) -> String {
    let database = sea_orm::Database::connect(&place.url).await.unwrap();
    let mut text = String::new();
    for (columns, table) in [
        ("body, sealed", "managed_object"),
        ("record, null", "operation"),
        ("body, null", "intent"),
    ] {
        let sql = format!("select {columns} from {table}");
        let statement = sea_orm::Statement::from_string(database.get_database_backend(), sql);
        for row in database.query_all_raw(statement).await.unwrap() {
            for column in [0, 1] {
                let value: Option<String> = row.try_get_by_index(column).unwrap();
                text.push_str(&value.unwrap_or_default());
            }
        }
    }
    database.close().await.unwrap();
    text
}
