//! The engine: one change from its admission to its end, a file per phase.
//!
//! A change goes `admit` → `plan` → `journal` → `apply` → `settle`, each phase consuming the value
//! that the one before it made; `compensate` takes a change back, `recover` carries on with what a
//! crash left, `heal` repairs what a failed compensation left. Nothing but `apply` writes to a
//! target, and it only takes what `journal` gives.
mod admissions;
mod admit;
mod apply;
mod calls;
mod change;
pub mod checkpoint;
mod compare;
mod compensate;
mod details;
mod error;
mod finding;
mod fingerprint;
mod follow;
pub mod guard;
mod heal;
mod hook;
mod inbound;
mod inspect;
mod journal;
pub mod lane;
mod listing;
mod moved_on;
mod plan;
mod queue;
mod reader;
mod recall;
mod recover;
mod recreate;
mod refine;
mod run;
mod settle;
mod setup;
mod unique;
mod version;
mod working;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::task::TaskTracker;

use crate::{
    clock::{Clock, SharedClock},
    hooks::Reader,
    store::Store,
};

pub use change::shown;
pub use error::{Accepted, Answer, Refusal, reason};
pub use finding::{Agreement, Finding, Inspected, Standing};
pub use fingerprint::{Fingerprint, combined, fingerprint};
pub use inbound::{Incoming, Meaning, gave_way};
pub use inspect::{Deeds, Inspection, Subject};
pub use lane::Bounds;
pub use queue::Queued;
pub use recall::Recalled;
pub use recover::Waiting;
pub use setup::{CallPolicy, Setup, Target};
pub use version::sync_version;

/// The engine of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    store: Store,
    clock: SharedClock,
    setup: ArcSwap<Setup>,
    lanes: lane::Lanes,
    tasks: TaskTracker,
    working: working::Working,
}

impl Engine {
    /// An engine on a store.
    #[must_use]
    pub fn new(store: Store, clock: SharedClock, setup: Setup, bounds: Bounds) -> Self {
        let parts = Parts {
            store,
            clock,
            setup: ArcSwap::from_pointee(setup),
            lanes: lane::Lanes::new(bounds),
            tasks: TaskTracker::new(),
            working: working::Working::default(),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Puts another configuration in force, for changes that are admitted from now on.
    pub fn configure(&self, setup: Setup) {
        self.parts.setup.store(Arc::new(setup));
    }

    /// The configuration in force.
    #[must_use]
    pub fn setup(&self) -> Arc<Setup> {
        self.parts.setup.load_full()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.parts.store
    }

    /// Waits until no change is under way. Changes that begin meanwhile are waited for too.
    pub async fn drain(&self) {
        self.parts.tasks.close();
        self.parts.tasks.wait().await;
        self.parts.tasks.reopen();
    }

    /// What scripts may read, under the configuration in force.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn Reader> {
        self.reader_of(self.setup())
    }

    /// As [`Engine::reader`], with what counts as confidential in another setup.
    #[must_use]
    pub fn reader_of(&self, setup: Arc<Setup>) -> Arc<dyn Reader> {
        Arc::new(reader::HookReader::new(self.store().clone(), setup))
    }

    fn clock(&self) -> &dyn Clock {
        self.parts.clock.as_ref()
    }

    fn lanes(&self) -> &lane::Lanes {
        &self.parts.lanes
    }
}
