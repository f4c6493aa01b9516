//! Bounds on what a run may do: how much it deletes, and how much may fail. Pure.
use std::time::Duration;

use crate::{
    mapping::{DeletionBounds, Deletions, Reconciliation, fraction},
    model::recon::{Counts, Wanted},
};

/// From how many failures on a run is stopped or its mapping quarantined.
const FAILURES: u64 = 20;
/// The first pause of a mapping whose runs fail; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// Why deletions are held back; none where they are within their bounds. Objects that a link of the
/// mapping names are measured by its links, those without one by the target objects in scope.
#[must_use]
pub fn holds_back(counts: &Counts, wanted: &Wanted, settings: &Reconciliation) -> Option<String> {
    let own = settings.deletion_bounds();
    let bounds = DeletionBounds {
        most: wanted.max_deletions.or(own.most),
        share: wanted.max_deletion_share.unwrap_or(own.share),
    };
    let links = counts.links_before.max(counts.links);
    let all = Deletions {
        count: counts.held,
        of: counts.targets_processed.max(links),
        kind: "records",
    };
    let linked = Deletions {
        count: counts.held.saturating_sub(counts.held_loose),
        of: links,
        kind: "linked records",
    };
    let loose = Deletions {
        count: counts.held_loose,
        of: counts.targets_processed,
        kind: "target records",
    };
    bounds.passed(all, &[linked, loose])
}

/// Why a run is not worth going on with; none where its failures are few.
#[must_use]
pub fn fails_too_often(counts: &Counts, settings: &Reconciliation) -> Option<String> {
    let all = counts.successes + counts.failures;
    let allowed = fraction(all, settings.max_failure_share);
    (counts.failures >= FAILURES && counts.failures > allowed)
        .then(|| format!("{} of {all} records failed", counts.failures))
}

/// How long the schedule of a mapping pauses after so many bad runs in a row.
#[must_use]
pub fn pause_after(bad_runs: u32) -> Duration {
    let doublings = bad_runs.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(targets: u64, held: u64) -> Counts {
        Counts {
            targets_processed: targets,
            held,
            ..Counts::default()
        }
    }

    #[test]
    fn a_fifth_of_a_hundred_records_may_go_and_no_more() {
        let (wanted, settings) = (Wanted::full("m"), Reconciliation::default());
        let held = |targets, held| holds_back(&counts(targets, held), &wanted, &settings).is_some();
        assert!(!held(100, 20));
        assert!(held(100, 21));
        assert!(!held(99, 99), "too few records for a share to say anything");
        assert!(!held(0, 0));
    }

    #[test]
    fn a_number_bounds_whatever_the_share_and_a_request_bounds_its_own_run() {
        let mut wanted = Wanted::full("m");
        let settings = Reconciliation {
            max_deletions: Some(5),
            ..Reconciliation::default()
        };
        assert!(holds_back(&counts(10, 6), &wanted, &settings).is_some());
        wanted.max_deletions = Some(6);
        assert!(holds_back(&counts(10, 6), &wanted, &settings).is_none());
        wanted.max_deletion_share = Some(1.0);
        assert!(holds_back(&counts(1000, 6), &wanted, &settings).is_none());
    }

    #[test]
    fn linked_objects_are_measured_by_the_links_and_others_by_the_targets() {
        let (wanted, settings) = (Wanted::full("m"), Reconciliation::default());
        let held = |linked, loose| {
            let counts = Counts {
                targets_processed: 10_000,
                links_before: 1_000,
                held: linked + loose,
                held_loose: loose,
                ..Counts::default()
            };
            holds_back(&counts, &wanted, &settings).is_some()
        };
        assert!(!held(200, 0));
        assert!(held(201, 0));
        assert!(held(800, 0), "8 % of all, but most of the mapping's own");
        assert!(!held(0, 2_000));
        assert!(held(0, 2_001));
        assert!(held(150, 1_900), "together");
    }

    #[test]
    fn a_run_that_fails_for_most_is_stopped() {
        let settings = Reconciliation::default();
        let failing = |successes, failures| {
            let counts = Counts {
                successes,
                failures,
                ..Counts::default()
            };
            fails_too_often(&counts, &settings).is_some()
        };
        assert!(!failing(0, 19));
        assert!(failing(0, 20));
        assert!(failing(19, 20));
        assert!(!failing(20, 20));
    }

    #[test]
    fn pauses_grow_and_end_growing() {
        assert_eq!(pause_after(1), Duration::from_secs(60));
        assert_eq!(pause_after(3), Duration::from_secs(240));
        assert_eq!(pause_after(100), LONGEST_PAUSE);
    }
}
