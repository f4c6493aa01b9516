//! The project folder: as written, compiled with every problem gathered, and as used.
//!
//! `read` makes documents of files, `written` says which keys there are, `compile` makes of both
//! what the engine uses. None of the three stops at the first problem. Nothing here talks to a
//! target or a store: whether they can be reached is not a question of the folder.
mod compile;
pub mod init;
mod load;
mod problem;
mod read;
mod schemas;
mod settings;
mod watch;
mod written;

pub use init::{init, write_schemas};
pub use load::{Loaded, load, process_environment};
pub use problem::{Place, Problem, Severity, to_json};
pub use read::substitute::Environment;
pub use schemas::schemas;
pub use settings::{
    Auth, Certificate, Changes, ClientAuth, Configuration, Integration, Journal, LogFormat, Poll,
    Scim, Server, Sessions, Store, Subscription, Telemetry, Tls, Webhook,
};
pub use watch::{State, Watcher, shared_runtime, watch};

#[cfg(test)]
mod tests;
