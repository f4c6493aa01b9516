//! Recant keeps many systems in agreement about one record.
pub mod api;
pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connectors;
pub mod hooks;
pub mod managed;
pub mod mapping;
pub mod model;
pub mod server;
pub mod store;
pub mod sync;
