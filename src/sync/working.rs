//! Which changes this engine works on now: what this node holds besides is nobody's work.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::OperationId;

/// The changes that tasks of this engine work on.
#[derive(Debug, Clone, Default)]
pub(super) struct Working {
    counts: Arc<Mutex<HashMap<OperationId, usize>>>,
}

/// Work on a change; it ends when this is dropped, by a panic too.
#[derive(Debug)]
pub(super) struct Work {
    counts: Arc<Mutex<HashMap<OperationId, usize>>>,
    operation: OperationId,
}

impl Working {
    /// Work on a change begins.
    pub(super) fn begin(&self, operation: OperationId) -> Work {
        *lock(&self.counts).entry(operation).or_default() += 1;
        Work {
            counts: Arc::clone(&self.counts),
            operation,
        }
    }

    /// Whether any task works on it.
    pub(super) fn includes(&self, operation: OperationId) -> bool {
        lock(&self.counts).contains_key(&operation)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.operation) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.operation);
            }
        }
    }
}

fn lock(
    counts: &Mutex<HashMap<OperationId, usize>>,
) -> MutexGuard<'_, HashMap<OperationId, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn work_ends_with_its_last_guard_and_with_a_panic() {
        let working = Working::default();
        let operation = OperationId(Uuid::from_u128(1));
        let (one, two) = (working.begin(operation), working.begin(operation));
        drop(one);
        assert!(working.includes(operation));
        drop(two);
        assert!(!working.includes(operation));
        let inner = working.clone();
        let panicked = std::thread::spawn(move || {
            let _work = inner.begin(operation);
            panic!("the work panics");
        });
        assert!(panicked.join().is_err());
        assert!(!working.includes(operation));
    }
}
