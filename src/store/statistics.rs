//! What the writer has done since the store was opened.
use std::sync::atomic::{AtomicU64, Ordering};

/// What the writer has done since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// Transactions that were committed, and so waited for by the disk.
    pub commits: u64,
    /// Journal entries that were stored.
    pub journal_entries: u64,
    /// Settlements that were stored.
    pub settlements: u64,
    /// The most journal entries and settlements that shared a commit.
    pub largest_round: u64,
    /// Rounds that had to be tried again.
    pub retries: u64,
    /// Times a failing round was written piece by piece.
    pub splits: u64,
}

/// The counters behind [`Statistics`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    journal_entries: AtomicU64,
    settlements: AtomicU64,
    largest_round: AtomicU64,
    retries: AtomicU64,
    splits: AtomicU64,
    /// Runs of hooks that were too large to be kept, or too many.
    pub(super) runs_not_kept: AtomicU64,
}

impl Counters {
    /// A round was committed.
    pub(super) fn committed(&self, journal_entries: usize, settlements: usize) {
        let (journal_entries, settlements) = (journal_entries as u64, settlements as u64);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.journal_entries
            .fetch_add(journal_entries, Ordering::Relaxed);
        self.settlements.fetch_add(settlements, Ordering::Relaxed);
        self.largest_round
            .fetch_max(journal_entries + settlements, Ordering::Relaxed);
        metrics::counter!("recant_store_commits_total").increment(1);
        metrics::counter!("recant_store_journal_entries_total").increment(journal_entries);
        metrics::counter!("recant_store_settlements_total").increment(settlements);
    }

    /// A round has to be tried again.
    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("recant_store_retries_total").increment(1);
    }

    /// A failing round is written piece by piece.
    pub(super) fn split(&self) {
        self.splits.fetch_add(1, Ordering::Relaxed);
    }

    /// The figures now.
    pub(super) fn read(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            commits: read(&self.commits),
            journal_entries: read(&self.journal_entries),
            settlements: read(&self.settlements),
            largest_round: read(&self.largest_round),
            retries: read(&self.retries),
            splits: read(&self.splits),
        }
    }
}
