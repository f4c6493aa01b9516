//! From what the engine found to a run's counts and entries.
use std::collections::HashMap;

use serde_json::{Value, json};

use crate::{
    model::{
        Action, OperationId, Situation,
        recon::{Entry, Run, Side, Status},
    },
    store::Mark,
    sync::{Finding, Refusal, Standing, Subject},
};

/// How many source objects a run keeps that it failed at.
const MOST_FAILED: usize = 1_000;

/// Counts a pair that is as it was when it agreed.
pub(super) fn unchanged(run: &mut Run, pairs: u64) {
    run.counts.unchanged += pairs;
    run.counts.links += pairs;
    run.counts.successes += pairs;
    *run.counts
        .situations
        .entry(Situation::Confirmed)
        .or_default() += pairs;
}

/// Counts a finding and gives its entry; none where there is nothing to tell.
pub(super) fn found(
    run: &mut Run,
    side: Side,
    finding: Finding,
    change: Option<OperationId>,
) -> Option<Entry> {
    if let Some(situation) = finding.situation {
        *run.counts.situations.entry(situation).or_default() += 1;
        if has_link(situation) {
            run.counts.links += 1;
        }
    }
    let status = status(run, &finding);
    count(run, status, &finding);
    if matches!(status, Status::Failure | Status::Unknown) {
        note_failure(run, finding.source_id.as_deref());
    }
    if is_quiet(&finding) {
        return None;
    }
    run.counts.entries += 1;
    Some(Entry {
        recon_id: run.id,
        number: run.counts.entries,
        reconciling: side,
        source_object_id: finding.source_id,
        target_object_id: finding.target_id,
        link_qualifier: finding.link_qualifier,
        situation: finding.situation,
        action: finding.action,
        operation: finding.operation.map(str::to_owned),
        status,
        before: finding.before,
        after: finding.after,
        message: finding.cause.as_ref().map(|cause| cause.message.clone()),
        code: finding.cause.map(|cause| cause.code),
        change: change
            .filter(|_| !matches!(finding.standing, Standing::Agreed | Standing::Excepted)),
    })
}

/// Puts a page's entries in the order of its source objects, whatever the order of the looks: a run
/// that was cut off then tells the same as one that was not.
pub(super) fn in_order(run: &Run, entries: &mut [Entry], marks: &[Mark]) {
    let places: HashMap<&str, usize> = marks.iter().map(|mark| mark.id.as_str()).zip(0..).collect();
    entries.sort_by_key(|entry| {
        let id = entry.source_object_id.as_deref();
        id.and_then(|id| places.get(id).copied())
    });
    let before = run.counts.entries.saturating_sub(entries.len() as u64);
    for (entry, number) in entries.iter_mut().zip(before + 1..) {
        entry.number = number;
    }
}

/// The entry of a record that could not be looked at.
pub(super) fn unseen(run: &mut Run, side: Side, subject: &Subject, refusal: &Refusal) -> Entry {
    run.counts.failures += 1;
    run.counts.entries += 1;
    let (source, target, qualifier) = match subject {
        Subject::Source(id) => (Some(id.clone()), None, String::new()),
        Subject::Target { qualifier, id } => (None, Some(id.clone()), qualifier.clone()),
    };
    note_failure(run, source.as_deref());
    Entry {
        recon_id: run.id,
        number: run.counts.entries,
        reconciling: side,
        source_object_id: source,
        target_object_id: target,
        link_qualifier: qualifier,
        situation: None,
        action: None,
        operation: None,
        status: Status::Failure,
        before: None,
        after: None,
        message: Some(refusal.message.clone()),
        code: Some(refusal.code.into()),
        change: None,
    }
}

/// A deletion that was held back and has been carried out, or failed.
pub(super) fn carried_out(
    run: &mut Run,
    entry: &mut Entry,
    outcome: Result<Option<OperationId>, String>,
) {
    run.counts.held = run.counts.held.saturating_sub(1);
    if entry.situation == Some(Situation::Unassigned) {
        run.counts.held_loose = run.counts.held_loose.saturating_sub(1);
    }
    match outcome {
        Ok(change) => {
            run.counts.successes += 1;
            match entry.operation.as_deref() {
                Some("update") => run.counts.updated += 1,
                _ => run.counts.deleted += 1,
            }
            entry.status = Status::Success;
            entry.change = change;
        }
        Err(message) => {
            run.counts.failures += 1;
            note_failure(run, None);
            entry.status = Status::Failure;
            entry.message = Some(message);
        }
    }
}

/// Keeps the source objects that a run failed at, as long as that is all that it failed at.
fn note_failure(run: &mut Run, source_id: Option<&str>) {
    match (&mut run.failed, source_id) {
        (Some(failed), Some(id)) if failed.len() < MOST_FAILED => {
            failed.insert(id.to_owned());
        }
        (failed, _) => *failed = None,
    }
}

/// What the `result` hook sees: `source`, `target` and `global`.
pub(super) fn statistics(run: &Run) -> Value {
    let counts = &run.counts;
    json!({
        "source": {"processed": counts.sources_processed, "total": counts.sources},
        "target": {
            "processed": counts.targets_processed, "total": counts.targets,
            "created": counts.created, "updated": counts.updated, "deleted": counts.deleted,
            "unchanged": counts.unchanged,
        },
        "global": {
            "reconId": run.id, "mapping": run.mapping, "dryRun": run.wanted.dry_run,
            "situations": counts.situations, "successes": counts.successes,
            "failures": counts.failures, "held": counts.held, "startTime": run.started,
            "durationMs": run.worked_ms,
        },
    })
}

/// A dry run's deletions are told as held back, like those of the real run, until their number is
/// known.
fn status(run: &Run, finding: &Finding) -> Status {
    match finding.standing {
        Standing::Planned if finding.removes => Status::Held,
        Standing::Agreed | Standing::Planned | Standing::Done | Standing::Excepted => {
            Status::Success
        }
        Standing::Held => Status::Held,
        Standing::Failed => Status::Failure,
        // Nothing is written in a dry run, so nothing is unknown there.
        Standing::Unknown if run.wanted.dry_run => Status::Failure,
        Standing::Unknown => Status::Unknown,
    }
}

fn count(run: &mut Run, status: Status, finding: &Finding) {
    let counts = &mut run.counts;
    match status {
        Status::Held => {
            counts.held += 1;
            let is_loose = finding.situation == Some(Situation::Unassigned);
            counts.held_loose += u64::from(is_loose);
            return;
        }
        Status::Failure | Status::Unknown => {
            counts.failures += 1;
            return;
        }
        Status::Success => counts.successes += 1,
    }
    match finding.operation {
        Some("create") => counts.created += 1,
        Some("update") => counts.updated += 1,
        Some("delete") => counts.deleted += 1,
        _ => {}
    }
    let sets_link = finding.operation == Some("link")
        || matches!(
            (finding.operation, finding.situation),
            (Some("create"), _) | (Some("update"), Some(Situation::Found))
        );
    if sets_link {
        counts.links_created += 1;
    }
    if finding.standing == Standing::Agreed && finding.situation == Some(Situation::Confirmed) {
        counts.unchanged += 1;
    }
}

fn has_link(situation: Situation) -> bool {
    matches!(
        situation,
        Situation::Confirmed | Situation::Missing | Situation::SourceMissing | Situation::LinkOnly
    )
}

/// Whether a finding needs no entry: all is well, or the policy wants no report.
fn is_quiet(finding: &Finding) -> bool {
    let unreported = matches!(
        finding.action,
        Some(Action::Noreport | Action::Async | Action::Ignore)
    );
    finding.standing == Standing::Agreed
        && (finding.situation == Some(Situation::Confirmed)
            && finding.action == Some(Action::Update)
            || unreported)
}
