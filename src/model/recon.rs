//! Words of reconciliation: what is asked for, how a run stands, and what it found of each record.
mod syncable;

use std::collections::{BTreeMap, BTreeSet};

pub use syncable::{HeldBack, Syncable};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    change::OperationId,
    object::Object,
    situation::{Action, Situation},
};

/// What a reconciliation is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    /// The mapping's name.
    pub mapping: String,
    /// Which records are looked at.
    #[serde(default)]
    pub mode: Mode,
    /// Report only: nothing is written anywhere.
    #[serde(default)]
    pub dry_run: bool,
    /// Looks at every record, even where both sides hold what they held when they agreed.
    #[serde(default)]
    pub force: bool,
    /// Looks at the source objects with these ids even so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub force_ids: Vec<String>,
    /// Only the source objects with these ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Runs the mapping of the other direction that shares this one's links.
    #[serde(default)]
    pub reverse: bool,
    /// Forgets where the mapping's partial syncs stand: a full run.
    #[serde(default)]
    pub clear_cache: bool,
    /// In place of the mapping's `allowEmptySourceSet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_empty_source_set: Option<bool>,
    /// In place of the mapping's `runTargetPhase`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_target_phase: Option<bool>,
    /// In place of the mapping's `sourceQuery`: a query filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_query: Option<String>,
    /// In place of the mapping's `targetQuery`: a query filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_query: Option<String>,
    /// In place of the mapping's bound on the number of deletions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletions: Option<u64>,
    /// In place of the mapping's bound on the share of deletions, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletion_share: Option<f64>,
}

/// Which records a run looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// All of both sides.
    #[default]
    Full,
    /// Source objects that changed since the mapping's syncs were complete. A mapping that was
    /// never synced, or has changed since, is looked at in full.
    UpdatedAt,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunState {
    /// It is under way, or waits to be taken up again.
    Active,
    /// It is over; single records may have failed.
    Success,
    /// It stopped before its end.
    Failed,
    /// Somebody stopped it.
    Canceled,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stage {
    /// It has just begun.
    ActiveInitialized,
    /// It lists a target that cannot be asked for many objects by their ids.
    ActiveQueryEntries,
    /// It looks at source objects.
    ActiveReconcilingSource,
    /// It looks for links whose source is gone.
    ActiveLinkCleanup,
    /// It looks for target objects without a source.
    ActiveReconcilingTarget,
    /// It carries out the deletions that were kept for the end.
    ActiveProcessingResults,
    /// It is over.
    CompletedSuccess,
    /// It stopped before its end.
    CompletedFailed,
    /// Somebody stopped it.
    CompletedCanceled,
}

/// One reconciliation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its id; ids sort by time.
    pub id: Uuid,
    /// The mapping.
    pub mapping: String,
    /// How it stands.
    pub state: RunState,
    /// Where it is.
    pub stage: Stage,
    /// Where the stage goes on; none: at its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// What was asked for.
    pub wanted: Wanted,
    /// Who asked.
    pub caller: String,
    /// What ties audit entries together.
    pub transaction_id: String,
    /// The digest of the mapping and its scripts when the run began.
    pub sync_version: String,
    /// Whether all of both sides are looked at.
    pub whole: bool,
    /// What it counted.
    pub counts: Counts,
    /// The window of source changes that it looks at, where it is partial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Up to here the window is done, without a failure and in the order of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_through: Option<DateTime<Utc>>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// How long it worked, in milliseconds: pauses between nodes do not count.
    #[serde(default)]
    pub worked_ms: u64,
    /// How often it was taken up: 1 where nothing interrupted it.
    pub attempt: u32,
    /// How often the mapping's syncs had been moved back when it began; where that happens again
    /// meanwhile, its end does not move them on.
    #[serde(default)]
    pub resets: u32,
    /// Links that the step under way looks at: what it has done about them is to be told, though a
    /// crash comes between and some of them are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// Source objects that earlier runs failed at and left behind: this one looks at them first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<String>,
    /// Source objects that it failed at; none where not every failure is one of a source object, or
    /// there are too many.
    #[serde(default)]
    pub failed: Option<BTreeSet<String>>,
    /// The change token of the source with which a partial run begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_token: Option<String>,
    /// The change token with which the next partial run may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Why it failed, or what it held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who approved the deletions that were held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
}

/// Links that a step looks at, and where the next page of them begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Link qualifier and source id of each.
    pub links: Vec<(String, String)>,
    /// None after the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The changes of the source that a partial run looks at: after the start, up to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Up to here all is known to be in agreement; none: nothing is.
    #[serde(rename = "windowStartDate")]
    pub start: Option<DateTime<Utc>>,
    /// When the run began.
    #[serde(rename = "windowEndDate")]
    pub end: DateTime<Utc>,
}

/// What a run counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// How many source objects there are, where that is known.
    pub sources: Option<u64>,
    /// How many of them were looked at.
    pub sources_processed: u64,
    /// How many target objects there are, where that is known.
    pub targets: Option<u64>,
    /// How many of them were looked at.
    pub targets_processed: u64,
    /// How many links the mapping had when the run began.
    pub links_before: u64,
    /// How many links were met.
    pub links: u64,
    /// How many links were set.
    pub links_created: u64,
    /// How many pairs both sides of which hold what they held when they agreed.
    pub unchanged: u64,
    /// Target objects by what happened to them.
    pub created: u64,
    /// See `created`.
    pub updated: u64,
    /// See `created`.
    pub deleted: u64,
    /// Deletions that wait for the end of the run, or for somebody's word.
    pub held: u64,
    /// Those of them that concern target objects without a link.
    pub held_loose: u64,
    /// Records by situation.
    pub situations: BTreeMap<Situation, u64>,
    /// Records by what became of them.
    pub successes: u64,
    /// See `successes`.
    pub failures: u64,
    /// Source objects without a known link that could not be assessed: any target object without a
    /// link may be theirs.
    pub unassessed: u64,
    /// How many entries were written.
    pub entries: u64,
}

/// What a run found of one record, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The run.
    pub recon_id: Uuid,
    /// 1 for the first entry of the run.
    #[serde(rename = "_id")]
    pub number: u64,
    /// From which side the record was met.
    pub reconciling: Side,
    /// The source object's id.
    pub source_object_id: Option<String>,
    /// The target object's id.
    pub target_object_id: Option<String>,
    /// The link qualifier.
    pub link_qualifier: String,
    /// None where it could not be assessed.
    pub situation: Option<Situation>,
    /// What was chosen to be done.
    pub action: Option<Action>,
    /// `create`, `update`, `delete`, `link` or `unlink`; absent where nothing is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What became of it.
    pub status: Status,
    /// The target object before, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Object>,
    /// The target object after, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Object>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The target's own code for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Value>,
    /// The change that put it right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<OperationId>,
}

/// When a mapping is reconciled by itself: a cron expression, in UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    text: String,
    cron: croner::Cron,
}

/// A side of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Source objects.
    Source,
    /// Target objects.
    Target,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Done, or nothing was to be done; in a dry run: it would be.
    Success,
    /// It failed.
    Failure,
    /// It may have been done.
    Unknown,
    /// A deletion that waits for the end of the run, or for somebody's word.
    Held,
}

impl Schedule {
    /// Reads a cron expression of five fields, or six with seconds in front.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parser = croner::parser::CronParser::builder()
            .seconds(croner::parser::Seconds::Optional)
            .build();
        let cron = parser.parse(text).map_err(|error| error.to_string())?;
        Ok(Self {
            text: text.to_owned(),
            cron,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first time after this one; none where there will never be one.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.find_next_occurrence(&time, false).ok()
    }
}

impl RunState {
    /// The word of run objects.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        }
    }
}

impl Status {
    /// The word of entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Unknown => "UNKNOWN",
            Self::Held => "HELD",
        }
    }
}

impl Stage {
    /// What the stage does, for people.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::ActiveInitialized => "beginning",
            Self::ActiveQueryEntries => "listing the target",
            Self::ActiveReconcilingSource => "looking at source objects",
            Self::ActiveLinkCleanup => "looking for links whose source is gone",
            Self::ActiveReconcilingTarget => "looking for target objects without a source",
            Self::ActiveProcessingResults => "carrying out deletions",
            Self::CompletedSuccess => "reconciliation completed",
            Self::CompletedFailed => "reconciliation failed",
            Self::CompletedCanceled => "reconciliation canceled",
        }
    }
}

impl Run {
    /// Records that were looked at.
    #[must_use]
    pub fn processed(&self) -> u64 {
        self.counts.successes + self.counts.failures + self.counts.held
    }

    /// Who is responsible for what it does: who approved it, from then on.
    #[must_use]
    pub fn responsible(&self) -> &str {
        self.approved_by.as_deref().unwrap_or(&self.caller)
    }

    /// Records looked at in a second; none before there is anything to go by.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let seen = self.counts.sources_processed + self.counts.targets_processed;
        #[expect(clippy::cast_precision_loss, reason = "a rate is for people")]
        let rate = seen as f64 * 1000.0 / self.worked_ms as f64;
        (self.worked_ms > 0 && seen > 0).then_some(rate)
    }

    /// Seconds that are left at this rate, where the totals are known.
    #[must_use]
    pub fn remaining_seconds(&self) -> Option<u64> {
        let counts = &self.counts;
        let left = counts.sources?.saturating_sub(counts.sources_processed)
            + counts
                .targets
                .unwrap_or_default()
                .saturating_sub(counts.targets_processed);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate is for people"
        )]
        let seconds = (left as f64 / self.rate()?).ceil() as u64;
        Some(seconds)
    }

    /// The run as `/recon/ID` shows it: the members that IDM admins know, and `rate`, `remaining`,
    /// `held`, `message`, `attempt`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let counts = &self.counts;
        let total = |total: Option<u64>| total.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let mut value = json!({
            "_id": self.id,
            "mapping": self.mapping,
            "state": self.state,
            "stage": self.stage,
            "stageDescription": self.stage.description(),
            "progress": {
                "source": {"existing": {
                    "processed": counts.sources_processed.to_string(),
                    "total": total(counts.sources)}},
                "target": {
                    "existing": {
                        "processed": counts.targets_processed.to_string(),
                        "total": total(counts.targets)},
                    "created": counts.created.to_string(),
                    "unchanged": counts.unchanged.to_string(),
                    "updated": counts.updated.to_string(),
                    "deleted": counts.deleted.to_string()},
                "links": {
                    "existing": {"processed": counts.links.to_string(), "total": "?"},
                    "created": counts.links_created.to_string()},
            },
            "situationSummary": counts.situations,
            "statusSummary": {"SUCCESS": counts.successes, "FAILURE": counts.failures,
                "HELD": counts.held},
            "processed": self.processed(),
            "rate": self.rate(),
            "remainingSeconds": self.remaining_seconds().filter(|_| self.state == RunState::Active),
            "held": counts.held,
            "entries": counts.entries,
            "parameters": self.wanted,
            "whole": self.whole,
            "syncVersion": self.sync_version,
            "attempt": self.attempt,
            "userId": self.caller,
            "transactionId": self.transaction_id,
            "started": self.started,
            "ended": self.ended,
            "duration": self.worked_ms,
            "message": self.message,
            "approvedBy": self.approved_by,
        });
        if let (Some(members), Some(window)) = (value.as_object_mut(), &self.window) {
            members.insert("windowStartDate".into(), json!(window.start));
            members.insert("windowEndDate".into(), json!(window.end));
        }
        value
    }
}

impl Wanted {
    /// A full run of a mapping.
    #[must_use]
    pub fn full(mapping: &str) -> Self {
        Self {
            mapping: mapping.to_owned(),
            mode: Mode::Full,
            dry_run: false,
            force: false,
            force_ids: Vec::new(),
            ids: Vec::new(),
            reverse: false,
            clear_cache: false,
            allow_empty_source_set: None,
            run_target_phase: None,
            source_query: None,
            target_query: None,
            max_deletions: None,
            max_deletion_share: None,
        }
    }
}

impl Entry {
    /// The entry as JSON.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_five_or_six_fields_and_come_after_the_time_given() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        let daily = Schedule::parse("0 3 * * *").unwrap();
        let next = daily.next_after(at("2026-03-29T03:00:00Z"));
        assert_eq!(next, Some(at("2026-03-30T03:00:00Z")));
        let quick = Schedule::parse("*/10 * * * * *").unwrap();
        let next = quick.next_after(at("2026-03-29T03:00:05Z"));
        assert_eq!(next, Some(at("2026-03-29T03:00:10Z")));
        assert!(Schedule::parse("every day").is_err());
        assert!(Schedule::parse("61 * * * *").is_err());
    }
}
