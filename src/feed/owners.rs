//! How much of a node's work each connector and each subscription may take up at once.
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::{model::integration::IntegrationEvent, store::Owner};

/// How many events of one owner are carried out at once: a slow one has no more than that to wait
/// for, and takes nothing from the others.
pub(super) const AT_ONCE: usize = 32;

/// The events that this node is at work on. One that counts as being carried out by this node but is
/// not in its hand was left behind: the store failed in its turn, or the turn panicked.
#[derive(Debug, Clone, Default)]
pub(super) struct Hand(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    work: Mutex<Work>,
    /// An owner who had no room has some again.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Work {
    events: HashSet<Uuid>,
    by_owner: HashMap<Owner, usize>,
}

/// An event in hand, as long as this lives.
pub(super) struct Held {
    hand: Hand,
    event: Uuid,
    owner: Owner,
}

impl Hand {
    /// Takes an event into the hand, unless it is there or its owner has no room.
    pub(super) fn take(&self, event: &IntegrationEvent) -> Option<Held> {
        let owner = Owner::of(event);
        let mut work = self.work();
        let taken = work.by_owner.get(&owner).copied().unwrap_or_default();
        if taken >= AT_ONCE || !work.events.insert(event.id) {
            return None;
        }
        work.by_owner.insert(owner.clone(), taken + 1);
        Some(Held {
            hand: self.clone(),
            event: event.id,
            owner,
        })
    }

    pub(super) fn holds(&self, event: Uuid) -> bool {
        self.work().events.contains(&event)
    }

    /// Those who have no room for more.
    pub(super) fn full(&self) -> Vec<Owner> {
        let work = self.work();
        let full = work.by_owner.iter().filter(|(_, taken)| **taken >= AT_ONCE);
        full.map(|(owner, _)| owner.clone()).collect()
    }

    /// Waits until an owner who had no room has some again.
    pub(super) async fn freed(&self) {
        self.0.freed.notified().await;
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.0.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut work = self.hand.work();
        work.events.remove(&self.event);
        let Some(taken) = work.by_owner.get_mut(&self.owner) else {
            return;
        };
        let was_full = *taken >= AT_ONCE;
        *taken = taken.saturating_sub(1);
        if *taken == 0 {
            work.by_owner.remove(&self.owner);
        }
        drop(work);
        if was_full {
            self.hand.0.freed.notify_one();
        }
    }
}
