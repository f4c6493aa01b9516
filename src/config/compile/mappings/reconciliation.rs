//! When and within which bounds a mapping is reconciled.
use super::One;
use crate::{
    config::{
        read::document::step,
        written::sync::{DirectionName, ModeName},
    },
    mapping::{Reconciliation, SyncDirection},
    model::recon::{Mode, Schedule},
};

impl One<'_, '_> {
    pub(super) fn reconciliation(&mut self) -> Reconciliation {
        let default = Reconciliation::default();
        let Some(written) = &self.written.reconciliation else {
            return default;
        };
        let schedule = written.schedule.as_deref().and_then(|text| {
            let parsed = Schedule::parse(text);
            parsed
                .map_err(|error| {
                    let pointer = step(&self.at("reconciliation"), "schedule");
                    let message =
                        format!("`{text}` is no cron expression such as `0 3 * * *`: {error}");
                    self.context.error(&pointer, message);
                })
                .ok()
        });
        let disabled_when = written.disabled_when.as_deref().and_then(|text| {
            let pointer = step(&self.at("reconciliation"), "disabledWhen");
            self.context.filter(text, &pointer)
        });
        Reconciliation {
            schedule,
            disabled_when,
            mode: match written.mode {
                None | Some(ModeName::Full) => Mode::Full,
                Some(ModeName::UpdatedAt) => Mode::UpdatedAt,
            },
            max_deletions: written.max_deletions,
            max_deletion_share: written
                .max_deletion_share
                .unwrap_or(default.max_deletion_share),
            max_failure_share: written
                .max_failure_share
                .unwrap_or(default.max_failure_share),
            sync_version: written.sync_version.clone(),
            direction: match written.direction {
                None | Some(DirectionName::Forward) => SyncDirection::Forward,
                Some(DirectionName::Backward) => SyncDirection::Backward,
            },
        }
    }
}
