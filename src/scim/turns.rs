//! Turns: requests of this process that read before they write wait for each other, so that they need
//! not be tried again, and so that a value which must be unique is looked for by one at a time.
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// How many turns of each kind there are; things that share one only wait for longer.
const TURNS: usize = 256;

/// Turns of objects, and of values that must be unique. Whoever needs both takes the object's first.
#[derive(Debug)]
pub(super) struct Turns {
    objects: Vec<Arc<Mutex<()>>>,
    values: Vec<Arc<Mutex<()>>>,
}

/// A turn that was taken, given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Turn(Vec<OwnedMutexGuard<()>>);

impl Turn {
    /// Both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl Default for Turns {
    fn default() -> Self {
        let turns = || (0..TURNS).map(|_| Arc::default()).collect();
        Self {
            objects: turns(),
            values: turns(),
        }
    }
}

impl Turns {
    /// Waits for an object's turn.
    pub(super) async fn of_object(&self, name: &str) -> Turn {
        taken(&self.objects, &[name.to_owned()]).await
    }

    /// Waits for the turns of all these values.
    pub(super) async fn of_values(&self, values: &[String]) -> Turn {
        taken(&self.values, values).await
    }
}

/// In one order for all, so that no two wait for each other.
async fn taken(turns: &[Arc<Mutex<()>>], names: &[String]) -> Turn {
    let places: BTreeSet<usize> = names.iter().map(|name| place(name)).collect();
    let mut held = Vec::with_capacity(places.len());
    for turn in places.into_iter().filter_map(|place| turns.get(place)) {
        held.push(Arc::clone(turn).lock_owned().await);
    }
    Turn(held)
}

fn place(name: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default()
}
