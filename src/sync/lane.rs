//! One change at a time per object on this node, first come first served, with bounded queues.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::ResourceName;

/// How long changes wait: for each other, and for a target after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many changes may wait for one object.
    pub waiting: usize,
    /// How long one may wait.
    pub patience: Duration,
    /// How long a change that a crash cut off waits for a target that cannot be read, where it
    /// could go back without it and end as diverged.
    pub recovery: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            waiting: 100,
            patience: Duration::from_secs(30),
            recovery: Duration::from_secs(60),
        }
    }
}

/// The lanes of all objects that somebody changes now.
#[derive(Debug, Clone)]
pub struct Lanes {
    bounds: Bounds,
    lanes: Arc<Mutex<HashMap<ResourceName, Lane>>>,
}

/// The right to change an object; given back when dropped.
#[derive(Debug)]
pub struct Turn {
    lanes: Arc<Mutex<HashMap<ResourceName, Lane>>>,
    object: ResourceName,
    permit: Option<OwnedSemaphorePermit>,
}

/// The lane is full, or its queue did not move in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many changes of this object are waiting")]
pub struct Full;

#[derive(Debug)]
struct Lane {
    turn: Arc<Semaphore>,
    /// Who holds it and who waits.
    users: usize,
}

impl Lanes {
    /// Lanes with these bounds.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: Arc::default(),
        }
    }

    /// How long queues may be.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Waits for the object's turn.
    ///
    /// # Errors
    /// [`Full`] where too many wait already, or the turn did not come in time.
    pub async fn enter(&self, object: &ResourceName) -> Result<Turn, Full> {
        let (semaphore, mut turn) = self.queue(object)?;
        let permit = tokio::time::timeout(self.bounds.patience, semaphore.acquire_owned())
            .await
            .map_err(|_| Full)?
            .map_err(|_| Full)?;
        turn.permit = Some(permit);
        Ok(turn)
    }

    /// Takes a place in the queue; dropping what comes back leaves it.
    fn queue(&self, object: &ResourceName) -> Result<(Arc<Semaphore>, Turn), Full> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(object.clone()).or_insert_with(|| Lane {
            turn: Arc::new(Semaphore::new(1)),
            users: 0,
        });
        if lane.users > self.bounds.waiting {
            return Err(Full);
        }
        lane.users += 1;
        let turn = Turn {
            lanes: Arc::clone(&self.lanes),
            object: object.clone(),
            permit: None,
        };
        Ok((Arc::clone(&lane.turn), turn))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.permit.take());
        if let Some(lane) = lanes.get_mut(&self.object) {
            lane.users -= 1;
            if lane.users == 0 {
                lanes.remove(&self.object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Container;

    fn object(id: &str) -> ResourceName {
        Container::managed("user").object(id)
    }

    #[tokio::test]
    async fn turns_come_in_order_and_lanes_vanish() {
        let lanes = Lanes::new(Bounds::default());
        let first = lanes.enter(&object("a")).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 0..5 {
            let (lanes, order) = (lanes.clone(), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let _turn = lanes.enter(&object("a")).await.unwrap();
                order.lock().unwrap().push(number);
            }));
            tokio::task::yield_now().await;
        }
        let _other = lanes.enter(&object("b")).await.unwrap();
        assert!(order.lock().unwrap().is_empty());
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(lanes.lanes.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_full_lane_and_a_slow_one_refuse() {
        let lanes = Lanes::new(Bounds {
            waiting: 1,
            patience: Duration::from_millis(5),
            ..Bounds::default()
        });
        let held = lanes.enter(&object("a")).await.unwrap();
        let name = object("a");
        let (one, two) = tokio::join!(lanes.enter(&name), lanes.enter(&name));
        assert!(one.is_err() && two.is_err());
        drop(held);
        assert!(lanes.enter(&object("a")).await.is_ok());
    }
}
