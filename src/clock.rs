//! The time and fresh ids, as inputs: nothing else in Recant asks the system for either.
use std::{fmt::Debug, sync::Arc};

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Where the time and fresh ids come from.
pub trait Clock: Send + Sync + Debug {
    /// The wall-clock time.
    fn now(&self) -> DateTime<Utc>;
    /// A fresh UUIDv7.
    fn fresh_id(&self) -> Uuid;
}

/// A clock that many share.
pub type SharedClock = Arc<dyn Clock>;

/// The system's clock and random numbers.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    fn fresh_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}
