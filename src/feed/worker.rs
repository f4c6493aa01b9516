//! Takes up events whose turn has come, many at a time, one at a time for each external id.
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{clock::SharedClock, model::integration::IntegrationEvent, sync::Engine};

use super::{deliver::Sender, retry::Policies, turn::Turn};

/// How many events are carried out at once.
const AT_ONCE: usize = 32;
/// How often other nodes' events and those whose pause is over are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Carries out integration events on one node.
#[derive(Debug, Clone)]
pub struct Worker {
    engine: Engine,
    clock: SharedClock,
    sender: Sender,
    policies: Policies,
    room: Arc<Semaphore>,
    hand: Hand,
    tasks: TaskTracker,
}

impl Worker {
    /// A worker on an engine.
    #[must_use]
    pub fn new(engine: Engine, clock: SharedClock, sender: Sender, policies: Policies) -> Self {
        Self {
            engine,
            clock,
            sender,
            policies,
            room: Arc::new(Semaphore::new(AT_ONCE)),
            hand: Hand::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Works until told to stop, then finishes what it has begun.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let full = match self.look().await {
                Ok(found) => found >= AT_ONCE,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "integration events wait for the store"
                    );
                    false
                }
            };
            if full {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.engine.store().queued() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes up what can be taken up; tells how many were found.
    async fn look(&self) -> Result<usize, crate::store::Error> {
        let store = self.engine.store();
        let in_hand = |id| self.hand.holds(id);
        for event in store.adopt_integrations(&in_hand).await? {
            self.begin(event, true).await;
        }
        let mut due = store.due_integrations(AT_ONCE).await?;
        due.extend(store.due_deliveries(AT_ONCE).await?);
        let found = due.len();
        for event in due {
            self.begin(event, false).await;
        }
        Ok(found)
    }

    async fn begin(&self, event: IntegrationEvent, adopted: bool) {
        let Ok(room) = Arc::clone(&self.room).acquire_owned().await else {
            return;
        };
        let Some(held) = self.hand.take(event.id) else {
            return;
        };
        let own = (self.engine.clone(), Arc::clone(&self.clock));
        let ways = (self.sender.clone(), Arc::clone(&self.policies));
        let turn = Turn::new(own, ways, event);
        self.tasks.spawn(async move {
            let (_room, _held) = (room, held);
            if adopted {
                turn.go_on().await;
            } else {
                turn.take().await;
            }
        });
    }
}

/// The events that this node is at work on. One that counts as being carried out by this node but is
/// not in its hand was left behind: the store failed in its turn, or the turn panicked.
#[derive(Debug, Clone, Default)]
struct Hand(Arc<Mutex<HashSet<Uuid>>>);

/// An event in hand, as long as this lives.
struct Held {
    hand: Hand,
    event: Uuid,
}

impl Hand {
    /// Takes an event into the hand, unless it is there.
    fn take(&self, event: Uuid) -> Option<Held> {
        let hand = self.clone();
        self.events().insert(event).then(|| Held { hand, event })
    }

    fn holds(&self, event: Uuid) -> bool {
        self.events().contains(&event)
    }

    fn events(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.hand.events().remove(&self.event);
    }
}
