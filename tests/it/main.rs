//! Tests that need servers, a whole engine or the binary: one program, a module per topic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]
mod access;
mod agreement;
mod api;
mod architecture;
mod audit_delivery;
mod audit_proof;
mod audit_refused;
mod awkward_services;
mod cli;
mod connector_contract;
mod crash_sweep;
mod cut_off;
mod deliveries;
mod directory;
mod directory_cut_off;
mod durability;
mod example_folder;
mod explain;
mod failure_sweep;
mod four_targets;
mod hooks;
mod hr_run;
mod imports;
mod inbound_classes;
mod integrations;
mod kept_runs;
mod kill;
mod licences;
mod malformed;
mod metrics;
mod nodes;
mod pages;
mod porting;
mod queued;
mod recon;
mod repeats;
mod scim_server;
mod simulation;
mod stopped_servers;
mod store;
mod support;
mod target_health;
mod threats;
mod unique_values;
