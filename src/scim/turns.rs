//! Turns: requests of this process that read an object before they write it wait for each other, so that
//! they need not be tried again. Nobody waits for ever.
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::error::{Failure, Result};

/// How many turns there are; objects that share one only wait for longer.
const TURNS: usize = 256;
/// When somebody whose turn did not come may try again.
const LATER: Duration = Duration::from_secs(1);

/// The turns of objects.
#[derive(Debug)]
pub(super) struct Turns {
    objects: Vec<Arc<Mutex<()>>>,
    patience: Duration,
}

/// A turn that was taken, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl Turns {
    /// Turns for which nobody waits longer than this.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            objects: (0..TURNS).map(|_| Arc::default()).collect(),
            patience,
        }
    }

    /// Waits for an object's turn; 503 where it does not come.
    pub(super) async fn of_object(&self, name: &str) -> Result<Turn> {
        let busy = || {
            let detail = "other changes of this resource take their time; try again";
            Failure {
                retry_after: Some(LATER),
                ..Failure::new(503, detail)
            }
        };
        let turn = self.objects.get(place(name)).ok_or_else(Failure::fault)?;
        let waited = tokio::time::timeout(self.patience, Arc::clone(turn).lock_owned()).await;
        let held = waited.map_err(|_| busy())?;
        Ok(Turn { _held: held })
    }
}

fn place(name: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_too_long_is_told_when_to_come_back() {
        let turns = Turns::new(Duration::from_millis(20));
        let first = turns.of_object("managed/user/a").await.unwrap();
        let late = turns.of_object("managed/user/a").await.unwrap_err();
        assert_eq!((late.status, late.retry_after), (503, Some(LATER)));
        drop(first);
        assert!(turns.of_object("managed/user/a").await.is_ok());
    }
}
