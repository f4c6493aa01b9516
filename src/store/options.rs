//! How a store is opened.
use std::{path::PathBuf, time::Duration};

use super::Keyring;
use crate::clock::SharedClock;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// `sqlite://FILE`, `sqlite::memory:`, `postgres://…` or `mysql://…`
    pub url: String,
    /// What encrypts confidential values; the first key encrypts, all decrypt.
    pub keys: Keyring,
    /// Where time and ids come from.
    pub clock: SharedClock,
    /// How long a node's claim on its changes lasts without renewal.
    pub lease: Duration,
    /// A folder in which living nodes of this machine hold a lock each, so that a restart knows at
    /// once that its former self is dead.
    pub lock_folder: Option<PathBuf>,
}
