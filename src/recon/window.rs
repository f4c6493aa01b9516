//! Where the partial syncs of a mapping stand: windows, their resets, schedules and quarantines.
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::{
    mapping::{Mapping, SyncDirection},
    model::recon::{Run, RunState, Syncable, Wanted},
    store,
    sync::Refusal,
};

use super::{Reconciler, guard};

/// Who asks for a run by schedule, as audit names it.
const SCHEDULE: &str = "schedule";

/// How much earlier the next window begins where several nodes share the store: their clocks may
/// differ, and what one has stamped may reach the disk a little later.
const SLACK: chrono::Duration = chrono::Duration::seconds(30);

/// Up to where everything is in agreement after a run; none where that did not move.
#[must_use]
fn synced_through(run: &Run, direction: SyncDirection) -> Option<DateTime<Utc>> {
    let counts = &run.counts;
    let ended_well = run.state == RunState::Success && counts.failures == 0 && counts.held == 0;
    let window = run.window.as_ref()?;
    match direction {
        _ if ended_well => Some(window.end),
        // What was done in the order of time is done, wherever the run stopped.
        SyncDirection::Forward if !run.whole => run.synced_through,
        SyncDirection::Forward | SyncDirection::Backward => None,
    }
}

/// The source objects that a run failed at, where that is all that kept it from ending well: where an
/// earlier one failed at them, too, they are left behind, and looked at again by each later one.
fn keeps_failing<'r>(run: &'r Run, bad: Option<&str>) -> Option<&'r BTreeSet<String>> {
    let failed = run.failed.as_ref().filter(|failed| !failed.is_empty())?;
    let ended = run.state == RunState::Success && run.counts.held == 0 && bad.is_none();
    ended.then_some(failed)
}

impl Reconciler {
    /// Moves on where the mapping's syncs stand, or pauses its schedule.
    pub(super) async fn conclude(&self, mapping: &Mapping, run: &Run) -> Result<(), store::Error> {
        let wanted = &run.wanted;
        let counts_for_all = !wanted.dry_run
            && wanted.ids.is_empty()
            && wanted.source_query.is_none()
            && run.approved_by.is_none();
        if !counts_for_all {
            return Ok(());
        }
        let mut through = synced_through(run, mapping.reconciliation.direction);
        if !self.store().is_alone().await? {
            through = through.and_then(|at| at.checked_sub_signed(SLACK));
        }
        let reason = guard::fails_too_often(&run.counts, &mapping.reconciliation).or_else(|| {
            run.message
                .clone()
                .filter(|_| run.state == RunState::Failed)
        });
        let now = self.parts.clock.now();
        let keeps_failing = keeps_failing(run, reason.as_deref());
        let passed = run.window.as_ref().map(|window| window.end);
        let passed = if self.store().is_alone().await? {
            passed
        } else {
            passed.and_then(|at| at.checked_sub_signed(SLACK))
        };
        let after = self.store().change_syncable(&mapping.name, |syncable| {
            let is_stuck = keeps_failing
                .is_some_and(|failed| failed.iter().all(|id| syncable.failing.contains(id)));
            let through = if is_stuck { passed } else { through };
            if run.state == RunState::Success {
                let failed = run.failed.iter().flatten().cloned();
                syncable.failing = failed.collect();
                syncable.left_behind =
                    !syncable.failing.is_empty() && (is_stuck || syncable.left_behind);
            }
            // Somebody who moved it back meanwhile wants these records looked at again.
            if let Some(through) = through.filter(|_| syncable.resets == run.resets) {
                syncable.data_synced_through = Some(through);
                syncable.sync_version.clone_from(&run.sync_version);
                if run.token.is_some() {
                    syncable.token.clone_from(&run.token);
                }
            }
            note_end(syncable, reason.as_deref(), run.state, now);
        });
        let after = after.await?;
        if let (Some(reason), Some(until)) = (&reason, after.quarantined_until) {
            tracing::warn!(mapping = mapping.name, reason, %until,
                "the schedule of a mapping pauses");
        }
        Ok(())
    }

    /// Where the partial syncs of every mapping stand, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn syncables(&self) -> Result<Vec<Syncable>, Refusal> {
        Ok(self.store().syncables().await?)
    }

    /// Moves back to a time where partial syncs stand (none: to the very beginning), for a mapping,
    /// for all mappings from or to `managed/TYPE` or `system/CONNECTOR/CLASS`, or for `all`. Gives
    /// the names. What stands before that time already stays.
    ///
    /// # Errors
    /// 404 where nothing has this name.
    pub async fn reset(
        &self,
        scope: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<String>, Refusal> {
        let setup = self.parts.engine.setup();
        let mut names: Vec<String> = setup
            .mappings
            .iter()
            .filter(|mapping| {
                scope == "all"
                    || mapping.name == scope
                    || mapping.source.to_string() == scope
                    || mapping.target.to_string() == scope
            })
            .map(|mapping| mapping.name.clone())
            .collect();
        let kept = self.store().syncables().await?;
        let others = kept.into_iter().map(|syncable| syncable.name);
        names.extend(others.filter(|name| name == scope || scope == "all"));
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            let message = format!(
                "`{scope}` is no mapping, no side of one (managed/TYPE, system/CONNECTOR/CLASS) and not `all`"
            );
            return Err(Refusal::new(404, message));
        }
        for name in &names {
            self.store().reset_syncable(name, since).await?;
        }
        Ok(names)
    }

    /// Starts the runs whose schedule has come, on one node each.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn run_schedules(&self) -> Result<usize, store::Error> {
        let mut started = 0;
        let setup = self.parts.engine.setup();
        for mapping in &setup.mappings {
            if self.is_due(mapping).await? {
                let wanted = Wanted {
                    mode: mapping.reconciliation.mode,
                    ..Wanted::full(&mapping.name)
                };
                let transaction = self.parts.clock.fresh_id().to_string();
                match self.start(wanted, SCHEDULE, &transaction).await {
                    Ok(_) => started += 1,
                    Err(refusal) => tracing::warn!(
                        mapping = mapping.name,
                        reason = refusal.message,
                        "a scheduled reconciliation did not begin"
                    ),
                }
            }
        }
        Ok(started)
    }

    /// Whether a mapping's schedule has come; moves it on, so that nobody else finds it due.
    async fn is_due(&self, mapping: &Mapping) -> Result<bool, store::Error> {
        let Some(schedule) = &mapping.reconciliation.schedule else {
            return Ok(false);
        };
        let now = self.parts.clock.now();
        let before = self.store().syncable(&mapping.name).await?;
        let is_known = before.schedule.as_deref() == Some(schedule.as_str());
        if !is_known {
            let next = schedule.next_after(now);
            let kept = self.store().change_syncable(&mapping.name, |syncable| {
                syncable.schedule = Some(schedule.as_str().to_owned());
                syncable.next_at = next;
            });
            kept.await?;
            return Ok(false);
        }
        if before.next_at.is_none_or(|next| next > now) {
            return Ok(false);
        }
        let next = schedule.next_after(now);
        let is_mine = self.store().move_schedule(&before, next).await?;
        let paused = before.quarantined_until.filter(|until| *until > now);
        if let (true, Some(until)) = (is_mine, paused) {
            tracing::info!(mapping = mapping.name, %until, "its schedule pauses");
        }
        Ok(is_mine && paused.is_none())
    }
}

/// Ends or lengthens a quarantine.
fn note_end(syncable: &mut Syncable, reason: Option<&str>, state: RunState, now: DateTime<Utc>) {
    match reason {
        Some(reason) => {
            syncable.bad_runs += 1;
            let pause = chrono::Duration::from_std(guard::pause_after(syncable.bad_runs));
            syncable.quarantined_until = pause.ok().and_then(|pause| now.checked_add_signed(pause));
            syncable.quarantined_because = Some(reason.to_owned());
        }
        None if state == RunState::Success => {
            syncable.bad_runs = 0;
            syncable.quarantined_until = None;
            syncable.quarantined_because = None;
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarantine_grows_with_each_bad_run_and_ends_with_a_good_one() {
        let now = DateTime::UNIX_EPOCH;
        let mut syncable = Syncable::default();
        let mut pauses = Vec::new();
        for _ in 0..3 {
            note_end(&mut syncable, Some("all failed"), RunState::Failed, now);
            pauses.push((syncable.quarantined_until.unwrap() - now).num_seconds());
        }
        assert_eq!(pauses, [60, 120, 240]);
        note_end(&mut syncable, None, RunState::Canceled, now);
        assert_eq!(syncable.bad_runs, 3, "a canceled run tells nothing");
        note_end(&mut syncable, None, RunState::Success, now);
        assert_eq!(syncable, Syncable::default());
    }
}
