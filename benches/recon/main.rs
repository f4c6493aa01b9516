//! What a reconciliation of unchanged pairs costs, beside a plain `SELECT` of both tables.
//!
//! `RECANT_RECON_RECORDS=1000000 tests/run --shell cargo bench --bench recon` works up to that many
//! records (100,000 if unset) in SQLite and, where there is a server, in PostgreSQL: store and
//! target are databases of the same kind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench may fail, and prints what it found"
)]

mod database;

#[path = "../../tests/it/support/servers.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod servers;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use recant::{
    app::App,
    model::recon::{RunState, Wanted},
};
use serde_json::{Value, json};

use database::Database;

const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];
/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() {
    let most = std::env::var("RECANT_RECON_RECORDS").ok();
    let most = most.and_then(|text| text.parse().ok()).unwrap_or(100_000);
    println!(
        "| databases | records | reconciled | pairs/s | plain SELECT of both | ratio | most memory |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for size in SIZES.into_iter().filter(|size| *size <= most) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            format!("sqlite://{}", path.display())
        };
        let (store, target) = (file("store.db"), file("target.db"));
        measure("SQLite", &store, &target, size).await;
        if let Some(server) = servers::postgres_url() {
            let store = servers::fresh_database(&server).await;
            let target = servers::fresh_database(&server).await;
            measure("PostgreSQL", &store, &target, size).await;
        }
    }
}

async fn measure(kind: &str, store: &str, target: &str, size: usize) {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), store, target);
    let target = Database::open(target).await;
    target.create_people().await;
    let app = App::open(folder.path()).await.unwrap();
    let version = recant::recon::sync_version(&app.engine().setup().mappings[0]);
    let store = Database::open(store).await;
    database::fill(&store, &target, &version, size).await;
    // The first run warms the caches, as a scheduled one finds them.
    reconcile(&app, size).await;
    let (memory, stop) = watch_memory();
    let began = Instant::now();
    reconcile(&app, size).await;
    let reconciled = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let began = Instant::now();
    store.read("select id, rev from managed_object").await;
    target
        .read("select id, name, mail, title, department, salary from person")
        .await;
    let plain = began.elapsed();
    println!(
        "| {kind} | {size} | {:.2} s | {:.0} | {:.2} s | {:.1} | {} MB |",
        reconciled.as_secs_f64(),
        size as f64 / reconciled.as_secs_f64(),
        plain.as_secs_f64(),
        reconciled.as_secs_f64() / plain.as_secs_f64(),
        memory.load(Ordering::Relaxed),
    );
    app.close(Duration::from_secs(10)).await;
}

async fn reconcile(app: &App, size: usize) {
    let run = app
        .start_recon(Wanted::full("people"), "bench", "bench")
        .await
        .unwrap();
    let run = app.wait_for_recon(run.id).await.unwrap();
    assert_eq!(run.state, RunState::Success, "{:?}", run.message);
    assert_eq!(run.counts.unchanged, size as u64);
    assert_eq!(run.counts.entries, 0);
}

fn project(folder: &Path, store: &str, target: &str) {
    let write = |name: &str, value: &Value| {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, value.to_string()).unwrap();
    };
    std::fs::write(
        folder.join("recant.toml"),
        format!("[store]\nurl = \"{store}\"\n"),
    )
    .unwrap();
    write(
        "conf/managed.json",
        &json!({"objects": [{"name": "user", "schema": {"type": "object"}}]}),
    );
    let columns = ["name", "mail", "title", "department", "salary"];
    let properties: Vec<Value> = columns
        .iter()
        .map(|name| json!({"source": name, "target": name}))
        .collect();
    write(
        "conf/sync.json",
        &json!({"mappings": [{
        "name": "people", "source": "managed/user", "target": "system/db/person",
        "properties": properties}]}),
    );
    write(
        "conf/connectors/db.json",
        &json!({"type": "sql", "url": target,
        "objects": {"person": {"table": "person", "key": "id"}}}),
    );
}

/// The most megabytes that this process held, until it is told to stop.
fn watch_memory() -> (Arc<AtomicU64>, Arc<AtomicBool>) {
    let (most, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (seen, stopped) = (Arc::clone(&most), Arc::clone(&stop));
    std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            seen.fetch_max(resident(), Ordering::Relaxed);
            std::thread::sleep(LOOK);
        }
    });
    (most, stop)
}

/// Megabytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}
