//! Migrations up, down and up again; stores that are not migrated; tokens.
use recant::store::{Keyring, Options, Refusal, Store, Token};
use recant_migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;

use super::{name, now, places, stored};

#[tokio::test]
async fn migrations_go_up_down_and_up_again() {
    for place in places().await {
        assert_eq!(Store::migrate(&place.url).await.unwrap(), 0, "up already");
        let database = sea_orm::Database::connect(&place.url).await.unwrap();
        Migrator::down(&database, None).await.unwrap();
        assert!(Store::open(options(&place.url)).await.is_err());
        Migrator::up(&database, None).await.unwrap();
        database.close().await.unwrap();
        let store = place.open().await;
        stored(&store, "ann", json!({})).await;
        assert_eq!(store.verify_audit().await.unwrap().entries, 1);
        store.close().await.unwrap();
    }
}

/// A change that an older program left in the journal keeps its intent on the way up and down.
#[tokio::test]
async fn intents_move_with_their_changes() {
    for place in places().await {
        let id = "018f0000-0000-7000-8000-000000000001";
        let database = sea_orm::Database::connect(&place.url).await.unwrap();
        let run = async |sql: &str| database.execute_unprepared(sql).await.unwrap();
        Migrator::down(&database, None).await.unwrap();
        Migrator::up(&database, Some(1)).await.unwrap();
        run(&format!(
            "insert into operation (id, root, depth, object, kind, phase, open_divergence, \
             started_at, payload_key, record, payload) values ('{id}', '{id}', 0, \
             'managed/user/ann', 'update', 'journaled', 0, 1, null, '{{}}', '{{\"format\":1}}')"
        ))
        .await;
        let text = async |sql: &str| {
            let statement = Statement::from_string(database.get_database_backend(), sql);
            let row = database.query_one_raw(statement).await.unwrap().unwrap();
            row.try_get_by_index::<String>(0).unwrap()
        };
        Migrator::up(&database, None).await.unwrap();
        assert_eq!(text("select body from intent").await, "{\"format\":1}");
        let steps = u32::try_from(Migrator::migrations().len() - 1).unwrap();
        Migrator::down(&database, Some(steps)).await.unwrap();
        assert_eq!(
            text("select payload from operation").await,
            "{\"format\":1}"
        );
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn several_processes_may_migrate_at_once() {
    for place in places().await {
        let database = sea_orm::Database::connect(&place.url).await.unwrap();
        Migrator::down(&database, None).await.unwrap();
        database.close().await.unwrap();
        let runs = tokio::join!(
            Store::migrate(&place.url),
            Store::migrate(&place.url),
            Store::migrate(&place.url),
        );
        runs.0.unwrap();
        runs.1.unwrap();
        runs.2.unwrap();
        place.open().await.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_unmigrated_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recant.db");
    let url = format!("sqlite://{}", file.display());
    assert!(
        Store::open(options(&url)).await.is_err(),
        "there is no file"
    );
    std::fs::write(&file, "").unwrap();
    let error = Store::open(options(&url)).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::NotMigrated(migrations())));
    let error = Store::open(options("oracle://scott:tiger@db"))
        .await
        .unwrap_err();
    assert!(!format!("{error:?}").contains("tiger"), "{error:?}");
}

#[tokio::test]
async fn a_store_in_memory_works_at_once() {
    let store = Store::open(options("sqlite::memory:")).await.unwrap();
    let revision = stored(&store, "ann", json!({"v": 1})).await;
    let found = store.object(&name("ann")).await.unwrap().unwrap();
    assert_eq!(found.object["_rev"], json!(revision));
    store.close().await.unwrap();
}

#[tokio::test]
async fn tokens_are_found_by_hash_and_revoked_once() {
    for place in places().await {
        let store = place.open().await;
        let token = Token {
            id: "t1".into(),
            name: "crm".into(),
            roles: vec!["caller".into(), "auditor".into()],
            hash: "ab".repeat(32),
            created_at: rounded(now()),
            expires_at: Some(rounded(now())),
            revoked_at: None,
            last_used_at: None,
        };
        store.add_token(&token).await.unwrap();
        assert!(store.add_token(&token).await.is_err());
        let found = store.token_by_hash(&token.hash).await.unwrap();
        assert_eq!(found.as_ref(), Some(&token));
        assert_eq!(store.token_by_hash("other").await.unwrap(), None);
        assert_eq!(store.tokens().await.unwrap(), [token]);
        let at = rounded(now());
        assert!(store.revoke_token("t1", at).await.unwrap());
        assert!(store.revoke_token("t1", now()).await.unwrap());
        assert!(!store.revoke_token("t2", at).await.unwrap());
        assert_eq!(store.tokens().await.unwrap()[0].revoked_at, Some(at));
        store.close().await.unwrap();
    }
}

fn options(url: &str) -> Options {
    Options {
        url: url.to_owned(),
        keys: Keyring::default(),
        clock: std::sync::Arc::new(recant::clock::SystemClock),
        lease: std::time::Duration::from_secs(30),
        lock_folder: None,
    }
}

/// The store keeps microseconds.
fn rounded(time: chrono::DateTime<chrono::Utc>) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap()
}

/// How many migrations there are.
fn migrations() -> usize {
    Migrator::migrations().len()
}
