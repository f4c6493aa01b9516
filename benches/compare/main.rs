//! Recant beside a hand-written minimum, driven the same way in one run.
//!
//! `cargo bench --bench compare` starts three REST targets, then by turns Recant and the minimum
//! as servers of their own, and sends both the same changes from 64 callers. It prints changes/s,
//! p50, p99, the CPU that the server used per change, commits and disk flushes per change, and
//! what a compensation costs. `RECANT_BENCH_SECONDS` and `RECANT_BENCH_CALLERS` change the run.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench may fail, and prints what it found"
)]

mod driver;
mod minimum;
mod process;
mod targets;

use std::time::Duration;

use driver::Figures;
use process::{Server, recant, spawn_self};

const TURNS: usize = 3;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        "targets" => runtime.block_on(targets::serve()),
        "minimum" => runtime.block_on(minimum::serve()),
        _ => runtime.block_on(compare()),
    }
}

async fn compare() {
    let callers = number("RECANT_BENCH_CALLERS", 64);
    let time = Duration::from_secs(number("RECANT_BENCH_SECONDS", 5) as u64);
    println!(
        "{callers} callers, {} s a turn, three REST targets, SQLite store\n",
        time.as_secs()
    );
    let mut ratios = Vec::new();
    for turn in 1..=TURNS {
        // Each server finds empty targets.
        let targets = spawn_self("targets", &[]).await;
        let ours = measure("recant", &recant(&targets.address).await, callers, time).await;
        drop(targets);
        let targets = spawn_self("targets", &[]).await;
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("intent.db").display().to_string();
        let server = spawn_self("minimum", &[&targets.address, &database]).await;
        let least = measure("minimum", &server, callers, time).await;
        ratios.push(ours.per_second() / least.per_second());
        println!("turn {turn}: recant / minimum = {:.2}\n", ratios[turn - 1]);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "median recant / minimum at {callers} callers: {:.2}",
        ratios[TURNS / 2]
    );
    let targets = spawn_self("targets", &[]).await;
    let server = recant(&targets.address).await;
    compensation(&server, time).await;
}

async fn measure(name: &str, server: &Server, callers: usize, time: Duration) -> Figures {
    driver::warm_up(&server.url(), callers).await;
    let before = server.usage().await;
    let figures = driver::drive(&server.url(), callers, time, "fine").await;
    let used = server.usage().await.since(&before);
    let changes = figures.changes() as f64;
    println!(
        "{name:>8}: {:7.0} changes/s  p50 {:5.1} ms  p99 {:5.1} ms  {:4.0} µs CPU/change  \
         {:.3} commits/change  {} MB",
        figures.per_second(),
        figures.percentile(50.0),
        figures.percentile(99.0),
        used.cpu.as_secs_f64() * 1e6 / changes,
        used.commits / changes,
        used.resident_megabytes,
    );
    figures
}

/// One caller, so that nothing but the way itself counts: forward, and there and back.
async fn compensation(server: &Server, time: Duration) {
    driver::warm_up(&server.url(), 1).await;
    let forward = driver::drive(&server.url(), 1, time, "fine").await;
    let back = driver::drive(&server.url(), 1, time, "refuse-me").await;
    println!(
        "one caller: forward p50 {:.2} ms, refused by the third target and taken back p50 {:.2} ms: {:.2} times",
        forward.percentile(50.0),
        back.percentile(50.0),
        back.percentile(50.0) / forward.percentile(50.0),
    );
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}
