//! What was handed over and is not on disk yet, as far as readers of this node must know it.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::rows::{LinkRow, SettlementRows};

/// Settlements on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Pending {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    settlements: usize,
    /// Objects whose in-flight row is given free.
    released: HashMap<String, usize>,
    /// Objects that are written, by `TYPE/ID`.
    written: HashMap<String, usize>,
    /// Changed links by first id, in order.
    links: HashMap<String, VecDeque<LinkRow>>,
}

impl Pending {
    /// A settlement was handed over.
    pub(super) fn add(&self, settlement: &SettlementRows) {
        let mut inner = self.inner();
        inner.settlements += 1;
        if let Some(holder) = &settlement.release {
            *inner.released.entry(holder.object.clone()).or_default() += 1;
        }
        if let Some(key) = written_object(settlement) {
            *inner.written.entry(key).or_default() += 1;
        }
        for change in &settlement.links {
            let first_id = change.row().first_id.clone();
            inner
                .links
                .entry(first_id)
                .or_default()
                .push_back(change.clone());
        }
    }

    /// It is on disk, or never will be.
    pub(super) fn remove(&self, settlement: &SettlementRows) {
        let mut inner = self.inner();
        inner.settlements = inner.settlements.saturating_sub(1);
        if let Some(holder) = &settlement.release {
            count_down(&mut inner.released, &holder.object);
        }
        if let Some(key) = written_object(settlement) {
            count_down(&mut inner.written, &key);
        }
        for first_id in settlement.links.iter().map(|change| &change.row().first_id) {
            if let Some(changes) = inner.links.get_mut(first_id) {
                changes.pop_front();
                if changes.is_empty() {
                    inner.links.remove(first_id);
                }
            }
        }
    }

    /// Whether anything is on its way.
    pub(super) fn any(&self) -> bool {
        self.inner().settlements > 0
    }

    /// Whether a settlement on its way gives the object's in-flight row free.
    pub(super) fn releases(&self, object: &str) -> bool {
        self.inner().released.contains_key(object)
    }

    /// What settlements on their way change about the links of a source object, in order.
    pub(super) fn links(&self, first_id: &str) -> Vec<LinkRow> {
        let inner = self.inner();
        inner
            .links
            .get(first_id)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Whether a settlement on its way writes the object.
    pub(super) fn writes(&self, managed_type: &str, id: &str) -> bool {
        let inner = self.inner();
        !inner.written.is_empty() && inner.written.contains_key(&format!("{managed_type}/{id}"))
    }

    /// Whether a settlement on its way writes any object.
    pub(super) fn writes_any(&self) -> bool {
        !self.inner().written.is_empty()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn written_object(settlement: &SettlementRows) -> Option<String> {
    let write = settlement.write.as_ref()?;
    Some(format!("{}/{}", write.managed_type, write.id))
}

fn count_down(counts: &mut HashMap<String, usize>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
