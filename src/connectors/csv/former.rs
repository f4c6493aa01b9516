//! Rows as they stood before the writes of this process, for writes that take those back.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use super::wire::Former;

/// How many rows are remembered at most.
const MOST: usize = 10_000;

/// The latest state before a write of each row, by its id then.
#[derive(Debug, Default)]
pub struct Formers(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rows: HashMap<String, Former>,
    oldest: VecDeque<String>,
}

impl Formers {
    /// What a row was.
    pub fn of(&self, id: &str) -> Option<Former> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.rows.get(id).cloned()
    }

    /// Remembers what a row was that has been written.
    pub fn keep(&self, id: &str, former: Former) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.rows.insert(id.to_owned(), former).is_none() {
            inner.oldest.push_back(id.to_owned());
        }
        if inner.oldest.len() > MOST
            && let Some(oldest) = inner.oldest.pop_front()
        {
            inner.rows.remove(&oldest);
        }
    }
}
