//! Takes up events whose turn has come, many at a time, one at a time for each external id.
use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{clock::SharedClock, model::integration::IntegrationEvent, sync::Engine};

use super::{
    deliver::Sender,
    owners::{AT_ONCE, Hand},
    retry::Policies,
    turn::Turn,
};

/// How often other nodes' events and those whose pause is over are looked for.
const LOOK: Duration = Duration::from_millis(500);
/// The pause before the next look where all that was found is about to be taken up.
const BREATH: Duration = Duration::from_millis(5);

/// Carries out integration events on one node.
#[derive(Debug, Clone)]
pub struct Worker {
    engine: Engine,
    clock: SharedClock,
    sender: Sender,
    policies: Policies,
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
            hand: Hand::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Works until told to stop, then finishes what it has begun.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.look().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "integration events wait for the store"
                    );
                    LOOK
                }
            };
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.engine.store().queued() => {}
                () = self.hand.freed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes up what can be taken up, and nothing of those who have no room left; tells when to look
    /// again.
    async fn look(&self) -> Result<Duration, crate::store::Error> {
        let store = self.engine.store();
        let in_hand = |id| self.hand.holds(id);
        for event in store.adopt_integrations(&in_hand).await? {
            // What finds no room is found again.
            self.begin(event, Left::ByANode);
        }
        let full = self.hand.full();
        let mut due = store.due_integrations(&full, AT_ONCE).await?;
        due.extend(store.due_deliveries(&full, AT_ONCE).await?);
        let found = due.len();
        let mut begun = 0;
        for event in due {
            begun += usize::from(self.begin(event, Left::ByNobody));
        }
        Ok(match found {
            0..AT_ONCE => LOOK,
            // There may be more behind these, of others or of those who still have room.
            _ if begun > 0 => Duration::ZERO,
            _ => BREATH,
        })
    }

    /// Takes an event up where there is room; never waits for any.
    fn begin(&self, event: IntegrationEvent, left: Left) -> bool {
        let Some(held) = self.hand.take(&event) else {
            return false;
        };
        let own = (self.engine.clone(), Arc::clone(&self.clock));
        let ways = (self.sender.clone(), Arc::clone(&self.policies));
        let turn = Turn::new(own, ways, event);
        self.tasks.spawn(async move {
            let _held = held;
            match left {
                Left::ByANode => turn.go_on().await,
                Left::ByNobody => turn.take().await,
            }
        });
        true
    }
}

/// Who has begun an event before.
#[derive(Debug, Clone, Copy)]
enum Left {
    ByNobody,
    ByANode,
}
