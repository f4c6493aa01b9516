//! The end of a change: the hook's verdict, the compensation it may ask for, the outcome, the answer.
use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    audit,
    hooks::{Failure, Run, Variable, Variables, Verdict},
    managed::HookPoint,
    model::{
        CauseKind, ChangeKind, Filter, LinkChange, Object, OperationRecord, Outcome, PlannedRow,
        RowResult, SagaEvent, SagaState, Step, TargetWrite, audit::NewEntry, link::Link,
        record::HookRun,
    },
    store::{Settlement, StoredAnswer, Ticket},
};

use super::{
    Engine,
    apply::{Applied, LeaseLost},
    change::{Change, Context, Intent, RowEnd, Thrown, recorded, revision},
    checkpoint::Point,
    compare::{Naming, Special, is_recognizable},
    compensate::Compensation,
    details::{failed_row, failure_status, first_failed, sync_details, told},
    error::{Accepted, Answer, Refusal},
    follow::Asked,
    hook::{constant, kept_runs},
    journal::{Journaled, Parts},
};

/// The header that tells how many seconds to stay away.
const RETRY_AFTER: &str = "Retry-After";

/// A change that is over, and what is still to be done for it.
pub(super) struct Settled {
    pub answer: Answer,
    pub change: Change,
    pub follow_ups: Vec<Asked>,
    pub ticket: Ticket,
    /// The life of this node that holds the change.
    pub node: Arc<str>,
    /// Whether the end must be on disk before it is answered: recovery would not derive it again
    /// from what the targets hold.
    pub needs_disk: bool,
}

/// How a change ended, for its record.
struct End<'a> {
    state: SagaState,
    ends: &'a [RowEnd],
    /// How it was taken back, where it was.
    compensation: Option<Compensation>,
}

/// What is to happen after all rows were tried.
enum Judgement {
    Stand,
    TakeBack,
}

impl Engine {
    /// Ends a change whose rows are over.
    pub(super) async fn settle(&self, mut applied: Applied) -> Result<Settled, LeaseLost> {
        let success = applied.is_success();
        let run = self.ask_on_sync(&applied, success).await;
        let (judgement, thrown) = judge(success, run.as_ref().map(|(run, _)| run));
        if let Some((run, report)) = run {
            let asked = self.name_follow_ups(run.verdict.follow_ups);
            applied.note(report, asked);
        }
        self.reach(Point::Judged).await;
        match judgement {
            Judgement::Stand => Ok(self.stand(applied, thrown).await),
            Judgement::TakeBack => Box::pin(self.take_back(applied, thrown)).await,
        }
    }

    async fn ask_on_sync(&self, applied: &Applied, success: bool) -> Option<(Run, HookRun)> {
        let context = applied.journaled().context();
        self.hook(context, HookPoint::OnSync, || {
            let details = sync_details(applied.journaled().rows(), applied.ends());
            sync_variables(
                &context.change,
                Asking {
                    success,
                    ..Asking::default()
                },
                details,
            )
        })
        .await
    }

    /// Calls `onSync` for a change that planning refused: nothing was written, and a revert has
    /// nothing to do.
    pub(super) async fn ask_preflight(
        &self,
        context: &Context,
        rows: &[PlannedRow],
        ends: &[RowEnd],
    ) -> Option<(Run, HookRun)> {
        self.hook(context, HookPoint::OnSync, || {
            let asking = Asking {
                preflight: true,
                ..Asking::default()
            };
            sync_variables(&context.change, asking, sync_details(rows, ends))
        })
        .await
    }

    /// Calls `onSync` after a compensation has failed too. Whatever it says, the engine stops.
    pub(super) async fn ask_again(
        &self,
        context: &Context,
        compensation: &Compensation,
    ) -> Option<(Verdict, HookRun)> {
        let causes: Vec<String> = compensation
            .diverged
            .iter()
            .map(|divergence| format!("{}: {}", divergence.target, divergence.cause.message))
            .collect();
        tracing::warn!(
            operation = %context.change.id, object = %context.change.object,
            action = context.change.kind.sync_action(), cause = causes.join("; "),
            "the compensation failed; the engine stops here and lists what differs"
        );
        let (run, mut report) = self
            .hook(context, HookPoint::OnSync, || {
                let details = sync_details(&compensation.intent.rows, &compensation.intent.ended);
                let asking = Asking {
                    compensating: true,
                    ..Asking::default()
                };
                sync_variables(&context.change, asking, details)
            })
            .await?;
        report.compensating = true;
        Some((run.verdict, report))
    }

    /// The change stands: `synced`, or `partial` where a target failed and nobody asked for a revert.
    async fn stand(&self, applied: Applied, thrown: Option<Refusal>) -> Settled {
        let success = applied.is_success();
        let event = if success {
            SagaEvent::Accept
        } else {
            SagaEvent::LeavePartial
        };
        let (journaled, ends) = applied.into_parts();
        let state = self.step(self.step(journaled.state(), SagaEvent::Apply), event);
        let outcome = state.outcome().unwrap_or(Outcome::Partial);
        let (context, rows) = (journaled.context(), journaled.rows());
        let answer = self.answer(context, outcome, rows, &ends, thrown);
        let settlement = Settlement {
            links: links(rows, &ends),
            // One mapping put right says nothing about the others.
            supersedes: (outcome == Outcome::Synced && !context.is_reconciliation())
                .then(|| (context.change.object.clone(), context.change.id)),
            event: context.event(self.clock().now()),
            outbound: self.left_to_queues(context),
            ..Settlement::default()
        };
        let needs_disk = outcome != Outcome::Synced || !are_recognizable(context, rows, &ends);
        let end = End {
            state,
            ends: &ends,
            compensation: None,
        };
        let settled = self.ended(journaled, answer, settlement, end).await;
        Settled {
            needs_disk,
            ..settled
        }
    }

    /// The change is taken back: `compensated`, or `diverged` where that fails too.
    async fn take_back(
        &self,
        applied: Applied,
        thrown: Option<Refusal>,
    ) -> Result<Settled, LeaseLost> {
        let (journaled, ends) = applied.into_parts();
        let context = journaled.context();
        let applied_state = self.step(journaled.state(), SagaEvent::Apply);
        let compensating = self.step(applied_state, SagaEvent::Revert);
        let (rows, hook_runs) = (journaled.rows().to_vec(), journaled.hook_runs().to_vec());
        let parent = context.record(compensating, rows, &ends, hook_runs);
        let intent = Intent {
            thrown: thrown.as_ref().map(Thrown::from),
            ..journaled.intent()
        };
        let compensation = Box::pin(self.compensate(context, parent, intent, ends.clone())).await?;
        match compensation {
            Some(compensation) => Ok(self.taken_back(journaled, ends, compensation, thrown).await),
            None => {
                tracing::error!(operation = %context.change.id, "a compensation asked for a revert");
                Err(LeaseLost)
            }
        }
    }

    /// Writes down how a compensation ended.
    pub(super) async fn taken_back(
        &self,
        mut journaled: Journaled,
        ends: Vec<RowEnd>,
        mut compensation: Compensation,
        thrown: Option<Refusal>,
    ) -> Settled {
        if let Some(run) = compensation.hook_run.take() {
            journaled.note(run, Vec::new());
        }
        let outcome = compensation.state.outcome().unwrap_or(Outcome::Diverged);
        let answer = self.answer(
            journaled.context(),
            outcome,
            journaled.rows(),
            &ends,
            thrown,
        );
        let mut links = standing_links(&compensation);
        links.append(&mut compensation.links);
        let settlement = Settlement {
            records: vec![compensation.record.clone()],
            payloads: vec![(compensation.record.id, compensation.intent.text())],
            links,
            ..Settlement::default()
        };
        let end = End {
            state: compensation.state,
            ends: &ends,
            compensation: Some(compensation),
        };
        self.ended(journaled, answer, settlement, end).await
    }

    /// Fills a settlement with what every end has, and hands it to the store.
    async fn ended(
        &self,
        journaled: Journaled,
        answer: Answer,
        mut settlement: Settlement,
        end: End<'_>,
    ) -> Settled {
        let intent = (!journaled.follow_ups().is_empty()).then(|| journaled.intent().text());
        let Parts {
            context,
            rows,
            hook_runs,
            follow_ups,
        } = journaled.into_parts();
        let mut record = context.record(end.state, rows, end.ends, hook_runs);
        record.ended_at = Some(self.clock().now());
        if let Err(refusal) = &answer.result {
            record.error = Some(recorded(refusal.code, &refusal.message));
        }
        record.follow_ups = follow_ups.iter().map(Asked::record).collect();
        record.nested = end.compensation.iter().map(|it| it.record.id).collect();
        record
            .nested
            .extend(follow_ups.iter().map(|asked| asked.id));
        if let Some(compensation) = &end.compensation {
            record.diverged.clone_from(&compensation.diverged);
            record.revision = revision(compensation.intent.change.new.as_ref());
        }
        let outcome = record.outcome;
        let change = &context.change;
        settlement.audit = self.entries(&context, &record, end.compensation.as_ref());
        settlement.hook_runs = kept_runs(self.clock(), &record);
        settlement.records.push(record);
        settlement.release = Some(context.holder());
        settlement.answer = self.stored_answer(change, &answer);
        if let Some(intent) = intent {
            settlement.claim = Some((super::follow::row(change.id), change.id));
            settlement.payloads.push((change.id, intent));
        }
        let ticket = self.store().settle(settlement);
        metrics::counter!("recant_changes_total",
            "outcome" => outcome.map_or("", Outcome::as_str), "kind" => change.kind.as_str())
        .increment(1);
        self.reach(Point::Ended).await;
        Settled {
            answer,
            change: context.change,
            follow_ups,
            ticket,
            node: context.node,
            needs_disk: true,
        }
    }

    fn entries(
        &self,
        context: &Context,
        record: &OperationRecord,
        compensation: Option<&Compensation>,
    ) -> Vec<NewEntry> {
        let mut entries = told(self.clock(), context, record);
        let undo = compensation.map(|it| audit::about_compensation(self.clock(), &it.record));
        entries.extend(undo.into_iter().flatten());
        entries
    }

    /// The answer under the caller's idempotency key, if there is one.
    pub(super) fn stored_answer(
        &self,
        change: &Change,
        answer: &Answer,
    ) -> Option<(String, crate::model::change::IdempotencyKey, StoredAnswer)> {
        let key = change.idempotency.clone()?;
        Some((change.caller.clone(), key, stored(answer)))
    }

    /// What the caller is told.
    fn answer(
        &self,
        context: &Context,
        outcome: Outcome,
        rows: &[PlannedRow],
        ends: &[RowEnd],
        thrown: Option<Refusal>,
    ) -> Answer {
        let change = &context.change;
        let result = match (outcome, thrown) {
            (Outcome::Synced | Outcome::Partial, None) => Ok(accepted(context, rows, ends)),
            (_, thrown) => Err(refused(context, outcome, rows, ends, thrown)),
        };
        Answer {
            operation: change.id,
            outcome: Some(outcome),
            result,
        }
    }

    /// The next state; the table knows every step that the engine takes, so a hole in it is a
    /// defect that is told, not hidden.
    pub(super) fn step(&self, state: SagaState, event: SagaEvent) -> SagaState {
        state.next(event).unwrap_or_else(|step| {
            tracing::error!(%step, "the engine took a step that the table does not know");
            state
        })
    }
}

/// What `onSync` is asked about.
#[derive(Default)]
struct Asking {
    success: bool,
    preflight: bool,
    compensating: bool,
}

fn sync_variables(change: &Change, asking: Asking, details: Value) -> Variables {
    let results = json!({
        "success": asking.success,
        "action": change.kind.sync_action(),
        "preflight": asking.preflight,
        "syncDetails": details,
    });
    vec![
        ("oldObject", constant(change.old.as_ref())),
        ("newObject", constant(change.new.as_ref())),
        ("object", Variable::Constant(Value::Null)),
        ("syncResults", Variable::Constant(results)),
        (
            "compensating",
            Variable::Constant(json!(asking.compensating)),
        ),
    ]
}

/// What the hook's run means (SPEC 2, Settle): what it asked for is done even if it then throws; a
/// hook that fails reverts a failed sync and lets a successful one stand.
fn judge(success: bool, run: Option<&Run>) -> (Judgement, Option<Refusal>) {
    let Some(run) = run else {
        return (Judgement::Stand, None);
    };
    let asked = run.verdict.revert;
    match &run.result {
        Ok(_) if asked => (Judgement::TakeBack, None),
        Ok(_) => (Judgement::Stand, None),
        Err(failure @ Failure::Thrown { .. }) => {
            let refusal = Refusal::of_hook("onSync", failure, &Default::default());
            let judgement = if asked {
                Judgement::TakeBack
            } else {
                Judgement::Stand
            };
            (judgement, Some(refusal))
        }
        Err(_) if asked || !success => (Judgement::TakeBack, None),
        Err(_) => (Judgement::Stand, None),
    }
}

fn accepted(context: &Context, rows: &[PlannedRow], ends: &[RowEnd]) -> Accepted {
    let change = &context.change;
    let shown = change.new.as_ref().or(change.old.as_ref());
    let body = if change.notified {
        sync_details(rows, ends)
    } else {
        shown.map_or(Value::Null, |object| Value::Object(context.visible(object)))
    };
    let created = change.kind == ChangeKind::Create && !change.notified;
    Accepted {
        status: if created { 201 } else { 200 },
        body,
        revision: revision(change.new.as_ref()),
    }
}

/// The error for a change that did not stand; a thrown code, message and detail count, but a
/// divergence is always a 500.
fn refused(
    context: &Context,
    outcome: Outcome,
    rows: &[PlannedRow],
    ends: &[RowEnd],
    thrown: Option<Refusal>,
) -> Refusal {
    let failed = first_failed(rows, ends).and_then(|(row, end)| Some((row, end.cause.as_ref()?)));
    let mut refusal = match (thrown, failed) {
        (Some(mut thrown), _) => {
            thrown.message = context.redactor.text(&thrown.message);
            thrown.detail = thrown.detail.map(|detail| context.redactor.value(&detail));
            thrown
        }
        (None, Some((row, cause))) => Refusal::new(
            failure_status(cause.kind),
            format!(
                "{} {}: {}",
                row.target,
                ended_how(cause.kind),
                cause.message
            ),
        ),
        (None, None) => Refusal::new(409, "the onSync hook took the change back"),
    };
    if outcome == Outcome::Diverged {
        refusal.code = 500;
        refusal.message = format!(
            "{}; taking it back failed too, see the operation",
            refusal.message
        );
    }
    let mut facts = Object::new();
    facts.insert("operation".into(), json!(context.change.id));
    facts.insert("outcome".into(), json!(outcome));
    facts.extend(failed_row(rows, ends));
    facts.insert("syncDetails".into(), sync_details(rows, ends));
    refusal.merge_detail(facts);
    refusal
}

/// Whether recovery would take every write for done again.
fn are_recognizable(context: &Context, rows: &[PlannedRow], ends: &[RowEnd]) -> bool {
    rows.iter().zip(ends).all(|(row, end)| match &row.step {
        Step::Write { write } => {
            let find = row.find.as_deref();
            let find = find.and_then(|text| Filter::parse(text).ok());
            let target = context.setup.target(&row.target);
            let naming = target.map_or(Naming::Id, |(target, class)| Naming::of(target, class));
            let written = end.written.as_ref();
            is_recognizable(write, Special::of(row), written, find.as_ref(), naming)
        }
        Step::Nothing | Step::Failed { .. } => true,
    })
}

fn ended_how(kind: CauseKind) -> &'static str {
    match kind {
        CauseKind::Refused => "refused the change",
        CauseKind::Unavailable => "is unavailable",
        CauseKind::Unknown => "may or may not have taken the change",
    }
}

/// The link changes of the rows that are done.
fn links(rows: &[PlannedRow], ends: &[RowEnd]) -> Vec<LinkChange> {
    rows.iter()
        .zip(ends)
        .filter(|(_, end)| end.result == RowResult::Successful)
        .filter_map(|(row, end)| known_link(row, end))
        .collect()
}

/// The link changes of rows whose write stands because it could not be undone: links follow what
/// the targets hold.
fn standing_links(compensation: &Compensation) -> Vec<LinkChange> {
    let intent = &compensation.intent;
    intent
        .rows
        .iter()
        .zip(&intent.ended)
        .enumerate()
        .filter(|(index, (_, end))| {
            end.result == RowResult::Successful && end.touched && !intent.undone.contains(index)
        })
        .filter_map(|(_, (row, end))| known_link(row, end))
        .collect()
}

/// The row's link change with the target's id in it.
fn known_link(row: &PlannedRow, end: &RowEnd) -> Option<LinkChange> {
    match row.link.clone()? {
        LinkChange::Set {
            link_type,
            link_qualifier,
            first_id,
            second_id,
        } => {
            let assigned = end.written.as_ref().map(|written| written.id.clone());
            Some(LinkChange::Set {
                link_type,
                link_qualifier,
                first_id,
                second_id: Some(assigned.or(second_id)?),
            })
        }
        LinkChange::Remove(link) => Some(LinkChange::Remove(link)),
    }
}

/// What takes a row's link change back.
pub(super) fn unlinked(row: &PlannedRow, end: &RowEnd) -> Option<LinkChange> {
    match known_link(row, end)? {
        LinkChange::Set {
            link_type,
            link_qualifier,
            first_id,
            second_id,
        } => Some(LinkChange::Remove(Link {
            link_type,
            link_qualifier,
            first_id,
            second_id: second_id?,
        })),
        LinkChange::Remove(link) => Some(LinkChange::Set {
            link_type: link.link_type,
            link_qualifier: link.link_qualifier,
            first_id: link.first_id,
            second_id: Some(recreated(row, end).unwrap_or(link.second_id)),
        }),
    }
}

/// The id of the object that a row deleted, as it was created again.
fn recreated(row: &PlannedRow, end: &RowEnd) -> Option<String> {
    match &row.step {
        Step::Write {
            write: TargetWrite::Delete { .. },
        } => end.written.as_ref().map(|written| written.id.clone()),
        _ => None,
    }
}

/// The answer as the store keeps it.
pub(super) fn stored(answer: &Answer) -> StoredAnswer {
    let mut headers = vec![("Recant-Operation".to_owned(), answer.operation.to_string())];
    if let Some(outcome) = answer.outcome {
        headers.push(("Recant-Outcome".to_owned(), outcome.to_string()));
    }
    match &answer.result {
        Ok(accepted) => {
            let tag = accepted
                .revision
                .iter()
                .map(|revision| format!("\"{revision}\""));
            headers.extend(tag.map(|tag| ("ETag".to_owned(), tag)));
        }
        Err(refusal) => {
            let wait = refusal.retry_after.iter();
            let seconds = wait.map(|wait| wait.as_secs_f64().ceil().max(1.0).to_string());
            headers.extend(seconds.map(|seconds| (RETRY_AFTER.to_owned(), seconds)));
        }
    }
    StoredAnswer {
        status: answer.status(),
        body: answer.body(),
        headers,
    }
}

/// What `postCreate`, `postUpdate` and `postDelete` see.
pub(super) fn post_variables(context: &Context) -> Variables {
    let change = &context.change;
    let shown = change.new.as_ref().or(change.old.as_ref());
    vec![
        ("oldObject", constant(change.old.as_ref())),
        ("newObject", constant(change.new.as_ref())),
        ("object", constant(shown)),
    ]
}
