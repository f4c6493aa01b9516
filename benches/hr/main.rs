//! The whole human-resources history through Recant into PostgreSQL, MariaDB and a REST service.
//!
//! `RECANT_HR_DATA=FOLDER tests/run --shell cargo bench --bench hr`; without the folder, invented
//! people; without servers, SQLite in their place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench may fail, and prints what it found"
)]

#[path = "../../tests/it/support/hr.rs"]
mod hr;
#[path = "../../tests/it/support/rest.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod rest;
#[path = "../../tests/it/support/servers.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod servers;

use hr::{history, run};

/// More than the history has.
const EVERYTHING: usize = 100_000;

#[tokio::main]
async fn main() {
    let has_data = std::env::var_os("RECANT_HR_DATA").is_some();
    let limit = std::env::var("RECANT_HR_CHANGES")
        .ok()
        .and_then(|text| text.parse().ok());
    let limit = limit.unwrap_or(if has_data { EVERYTHING } else { 20_000 });
    let figures = run(history(limit)).await;
    println!(
        "{} changes of {} people, {} of them refused and taken back, in {:.1} s: {:.0} changes/s, \
         p50 {:.1} ms, p99 {:.1} ms, {} MB resident",
        figures.changes,
        figures.people,
        figures.refused,
        figures.elapsed.as_secs_f64(),
        figures.changes as f64 / figures.elapsed.as_secs_f64(),
        figures.percentile(50),
        figures.percentile(99),
        resident(),
    );
    println!("all stores agree with the replay");
}

/// Megabytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}
