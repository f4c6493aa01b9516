//! Tests that need servers, a whole engine or the binary: one program, a module per topic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]
mod access;
mod api;
mod architecture;
mod cli;
mod connector_contract;
mod crash_sweep;
mod deliveries;
mod directory;
mod durability;
mod example_folder;
mod failure_sweep;
mod four_targets;
mod hooks;
mod hr_run;
mod imports;
mod inbound_classes;
mod integrations;
mod kill;
mod licences;
mod malformed;
mod metrics;
mod nodes;
mod pages;
mod queued;
mod recon;
mod repeats;
mod simulation;
mod store;
mod support;
mod target_health;
