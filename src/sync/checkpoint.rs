//! Names of the crash windows on a change's way, and where tests hold on to them.
//!
//! In a release build every call here compiles to nothing.

/// One place where a process may die. Numbers are 0-based rows of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// Planned; nothing is stored.
    Planned,
    /// The intent is durable; no target was written.
    Journaled,
    /// About to send a row's write.
    BeforeWrite(usize),
    /// A row's write was sent and answered; nobody has noted that.
    AfterWrite(usize),
    /// All rows are over; no hook was asked yet.
    Applied,
    /// The hook has spoken; nothing about it is stored.
    Judged,
    /// The nested change is durable; nothing was undone.
    CompensationJournaled,
    /// About to send the undo write of a row.
    BeforeUndo(usize),
    /// The undo write of a row was answered.
    AfterUndo(usize),
    /// Everything was undone that could be; nothing about it is stored.
    Undone,
    /// The end was handed to the store, but may not be on disk.
    Ended,
    /// The end is on disk; follow-up changes have not begun.
    FollowUps,
}

/// A part of the engine that a test can switch off, to prove that its checkers would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// Targets are written without a durable intent.
    Journal,
    /// Undo writes run in the order of the mappings.
    UndoOrder,
    /// An unknown outcome is taken for a failure without a look at the target.
    ReadBack,
    /// Changes of one object run at the same time.
    Lane,
    /// A failed compensation may be compensated.
    Guard,
}

#[cfg(debug_assertions)]
mod live {
    use std::{
        collections::{HashMap, HashSet},
        sync::{Arc, LazyLock, PoisonError, RwLock},
    };

    use super::{Point, Sabotage};

    /// Asked at each point; `true` stops the change there for ever.
    type Probe = Arc<dyn Fn(Point) -> bool + Send + Sync>;

    #[derive(Default)]
    struct Registry {
        probes: HashMap<String, Probe>,
        sabotage: HashMap<String, HashSet<Sabotage>>,
    }

    static REGISTRY: LazyLock<RwLock<Registry>> = LazyLock::new(RwLock::default);

    /// Asks `probe` at each point that the node reaches. For tests.
    pub fn watch(node: &str, probe: impl Fn(Point) -> bool + Send + Sync + 'static) {
        let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
        registry.probes.insert(node.to_owned(), Arc::new(probe));
    }

    /// Switches a part of the node's engine off. For tests.
    pub fn sabotage(node: &str, part: Sabotage) {
        let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
        registry
            .sabotage
            .entry(node.to_owned())
            .or_default()
            .insert(part);
    }

    pub(in crate::sync) async fn checkpoint(node: &str, point: Point) {
        let probe = {
            let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
            registry.probes.get(node).map(Arc::clone)
        };
        if probe.is_some_and(|probe| probe(point)) {
            std::future::pending::<()>().await;
        }
    }

    pub(in crate::sync) fn is_sabotaged(node: &str, part: Sabotage) -> bool {
        let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
        registry
            .sabotage
            .get(node)
            .is_some_and(|parts| parts.contains(&part))
    }
}

#[cfg(not(debug_assertions))]
mod live {
    use super::{Point, Sabotage};

    #[inline(always)]
    pub(in crate::sync) async fn checkpoint(_node: &str, _point: Point) {}

    #[inline(always)]
    pub(in crate::sync) fn is_sabotaged(_node: &str, _part: Sabotage) -> bool {
        false
    }
}

pub(super) use live::{checkpoint, is_sabotaged};
#[cfg(debug_assertions)]
pub use live::{sabotage, watch};
