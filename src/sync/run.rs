//! One change from request to answer: its lane, its phases in order, and what is left to do afterwards.
use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::oneshot, time::Instant};
use tracing::Instrument as _;

use crate::{
    managed::HookPoint,
    model::{
        ChangeKind, ChangeRequest, Lineage, Object, OperationId, OperationRecord, Outcome,
        Requested, SagaEvent, SagaState, object::ID,
    },
    store::{JournalError, Settlement},
};

use super::{
    Engine,
    admit::{Attempt, NotAdmitted},
    change::{Change, Context, RowEnd, recorded},
    checkpoint::{Point, Sabotage, is_sabotaged},
    details::{failed_row, first_failed, sync_details, told},
    error::{Answer, Refusal},
    hook::kept_runs,
    journal::{Journaled, Parts},
    lane::Turn,
    plan::Plan,
    settle::{Settled, post_variables},
    unique,
};

/// How often a plan that went stale is made anew before the caller is told to try again.
const TRIES: u32 = 5;
/// The first pause while another node's change of the same object is in flight; it doubles.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long a refused caller waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells that the intent of a change is on disk.
pub(super) type Begun = oneshot::Sender<()>;

impl Engine {
    /// Carries a change out and waits for its end. The change goes on even if nobody waits any more.
    pub async fn change(&self, request: ChangeRequest) -> Answer {
        self.change_as(self.fresh_operation(), request).await
    }

    /// An id for a change that is about to be asked for.
    #[must_use]
    pub fn fresh_operation(&self) -> OperationId {
        OperationId(self.clock().fresh_id())
    }

    /// The same under an id of [`Engine::fresh_operation`], which no other change has.
    pub async fn change_as(&self, id: OperationId, request: ChangeRequest) -> Answer {
        self.change_in(id, Lineage::root(id), request).await
    }

    /// The same for a change that does not come from outside.
    pub(super) async fn change_in(
        &self,
        id: OperationId,
        lineage: Lineage,
        request: ChangeRequest,
    ) -> Answer {
        let engine = self.clone();
        let tasks = &self.parts.tasks;
        let task = tasks.spawn(async move { engine.run(id, lineage, request, None).await });
        task.await.unwrap_or_else(|_| interrupted(id))
    }

    /// Begins a change and comes back when its intent is on disk.
    ///
    /// # Errors
    /// The answer of a change that ended before that.
    pub async fn change_later(&self, request: ChangeRequest) -> Result<OperationId, Answer> {
        let id = OperationId(self.clock().fresh_id());
        let engine = self.clone();
        let (begun, mut has_begun) = oneshot::channel();
        let mut task = self.parts.tasks.spawn(async move {
            engine
                .run(id, Lineage::root(id), request, Some(begun))
                .await
        });
        tokio::select! {
            biased;
            Ok(()) = &mut has_begun => Ok(id),
            answer = &mut task => match answer {
                Ok(Answer { result: Ok(_), .. }) => Ok(id),
                Ok(refused) => Err(refused),
                Err(_) => Err(interrupted(id)),
            },
        }
    }

    /// What a change would do; nothing is written anywhere.
    ///
    /// # Errors
    /// The answer that the change would get before anything is planned; an unreadable target is a
    /// 503 with its rows.
    pub async fn dry_run(&self, request: ChangeRequest) -> Result<Value, Refusal> {
        let id = OperationId(self.clock().fresh_id());
        let attempt = self.attempt(id, Lineage::root(id), request);
        let setup = self.setup();
        let admission = self.store().admission(&attempt.object).await?;
        let admitted = self
            .admit(&attempt, &setup, admission)
            .await
            .map_err(|refused| refused.refusal)?;
        let plan = self.plan(admitted).await;
        match plan.failure() {
            None => Ok(plan.to_value()),
            Some(status) => Err(not_plannable(&plan, status)),
        }
    }

    /// A change with an id and a lineage, in its object's lane. Each log line on the way names it.
    pub(super) async fn run(
        &self,
        id: OperationId,
        lineage: Lineage,
        request: ChangeRequest,
        begun: Option<Begun>,
    ) -> Answer {
        let _work = self.parts.working.begin(id);
        let span = tracing::info_span!("change", operation = %id);
        let way = self.all_the_way(self.attempt(id, lineage, request), begun);
        Box::pin(way).instrument(span).await
    }

    /// An attempt from its lane to its answer.
    pub(super) async fn all_the_way(&self, attempt: Attempt, begun: Option<Begun>) -> Answer {
        let started = Instant::now();
        let turn = match self.turn(&attempt).await {
            Ok(turn) => turn,
            Err(refusal) => {
                return self
                    .reject(&attempt, NotAdmitted::from(refusal), None)
                    .await;
            }
        };
        let answer = match Box::pin(self.under_way(&attempt, begun)).await {
            Ok(settled) => Box::pin(self.afterwards(settled, turn)).await,
            Err(answer) => answer,
        };
        metrics::histogram!("recant_change_duration_seconds").record(started.elapsed());
        answer
    }

    async fn turn(&self, attempt: &Attempt) -> Result<Option<Turn>, Refusal> {
        if is_sabotaged(self.store().node(), Sabotage::Lane) {
            return Ok(None);
        }
        let waited = Instant::now();
        let turn = self
            .lanes()
            .enter(&attempt.object)
            .await
            .map_err(|_| Refusal::busy())?;
        metrics::histogram!("recant_lane_wait_seconds").record(waited.elapsed());
        Ok(Some(turn))
    }

    pub(super) fn attempt(
        &self,
        id: OperationId,
        lineage: Lineage,
        request: ChangeRequest,
    ) -> Attempt {
        let named = match &request.requested {
            Requested::Create { id: None, content } => {
                content.get(ID).and_then(Value::as_str).map(str::to_owned)
            }
            _ => request.id().map(str::to_owned),
        };
        let object_id = named.unwrap_or_else(|| self.clock().fresh_id().to_string());
        Attempt {
            id,
            lineage,
            object: request.container.object(&object_id),
            request,
            origin: None,
            brought_at: None,
            started_at: self.clock().now(),
        }
    }

    /// From admission to the end of the change, in its lane.
    async fn under_way(&self, attempt: &Attempt, begun: Option<Begun>) -> Result<Settled, Answer> {
        let mut journaled = self.until_journaled(attempt).await?;
        if let Some(begun) = begun {
            let _ = begun.send(());
        }
        if let Err(refusal) = self.post_hook(&mut journaled).await {
            return Err(self.reject_journaled(journaled, refusal).await);
        }
        let lost = |_| lease_lost(attempt.id);
        let applied = self.apply(journaled, &[]).await.map_err(lost)?;
        self.settle(applied).await.map_err(lost)
    }

    /// Admits and plans until the plan is on disk: another node may come between.
    async fn until_journaled(&self, attempt: &Attempt) -> Result<Journaled, Answer> {
        let mut tries = 0;
        let mut pause = PAUSE;
        let deadline = Instant::now() + self.lanes().bounds().patience;
        loop {
            let setup = self.setup();
            let admission = match self.store().admission(&attempt.object).await {
                Ok(admission) => admission,
                Err(error) => return Err(Self::unrecorded(attempt, error)),
            };
            let unlaned = is_sabotaged(self.store().node(), Sabotage::Lane);
            if admission.in_flight.is_some() && !unlaned {
                if Instant::now() >= deadline {
                    return Err(self.reject(attempt, Refusal::busy().into(), None).await);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            if let Err(refusal) = self.give_way(attempt).await {
                return Err(self.reject(attempt, refusal.into(), None).await);
            }
            let plan = match self.admit(attempt, &setup, admission).await {
                Ok(admitted) => self.plan(admitted).await,
                Err(refused) => return Err(self.reject(attempt, refused, None).await),
            };
            self.reach(Point::Planned).await;
            if let Some(status) = self.must_reject(&plan) {
                if tries < TRIES && self.is_outdated(&plan).await {
                    tries += 1;
                    continue;
                }
                return Err(self.reject_plan(attempt, plan, status).await);
            }
            let error = match self.journal(plan).await {
                Ok(journaled) => return Ok(journaled),
                Err(error) => error,
            };
            tries += 1;
            let refusal = match error {
                JournalError::Stale | JournalError::InFlight(_) if tries < TRIES => continue,
                JournalError::Stale | JournalError::InFlight(_) => Refusal::busy(),
                // What is told under the key is for the change that has it.
                JournalError::KeyInUse => {
                    let refused = keyless(attempt, self.setup());
                    return Err(self.reject(attempt, refused, None).await);
                }
                JournalError::Taken(taken) if taken.leaving && tries < TRIES => continue,
                JournalError::Taken(taken) => {
                    unique::refused(&unplanned(attempt, self.setup()).change, &taken)
                }
                JournalError::Unknown => return Err(not_known(attempt.id)),
                JournalError::LeaseLost => Refusal::new(503, "this node lost its lease; try again")
                    .after(Some(Duration::from_secs(1))),
                JournalError::Store(error) => return Err(Self::unrecorded(attempt, error)),
            };
            return Err(self.reject(attempt, refusal.into(), None).await);
        }
    }

    /// A plan that failed is refused where the type has an `onSync` hook (SPEC 2, Plan).
    fn must_reject(&self, plan: &Plan) -> Option<u16> {
        let has_hook = plan
            .context()
            .managed
            .as_ref()
            .is_some_and(|managed| managed.hooks.contains_key(&HookPoint::OnSync));
        plan.failure().filter(|_| has_hook)
    }

    async fn reject_plan(&self, attempt: &Attempt, plan: Plan, status: u16) -> Answer {
        let ends = plan.preflight_ends();
        let mut refusal = not_plannable(&plan, status);
        let ran = self.ask_preflight(plan.context(), plan.rows(), &ends).await;
        let (context, rows, mut hook_runs, _) = plan.into_parts();
        if let Some((run, report)) = ran {
            hook_runs.push(report);
            if let Err(failure @ crate::hooks::Failure::Thrown { .. }) = &run.result {
                let facts = refusal.detail.take().and_then(|d| d.as_object().cloned());
                refusal = Refusal::of_hook("onSync", failure, &context.redactor);
                refusal.merge_detail(facts.unwrap_or_default());
            }
        }
        let record = context.record(SagaState::Planned, rows, &ends, hook_runs.clone());
        let refused = NotAdmitted {
            refusal,
            context: Some(context),
            hook_runs,
        };
        self.reject(attempt, refused, Some(record)).await
    }

    /// Runs `postCreate`, `postUpdate` or `postDelete`: the object is stored, no target is written.
    pub(super) async fn post_hook(&self, journaled: &mut Journaled) -> Result<(), Refusal> {
        let point = match journaled.context().change.kind {
            _ if journaled.context().change.notified => return Ok(()),
            ChangeKind::Create => HookPoint::PostCreate,
            ChangeKind::Update => HookPoint::PostUpdate,
            ChangeKind::Delete => HookPoint::PostDelete,
        };
        let context = journaled.context();
        let Some((run, report)) = self.hook(context, point, || post_variables(context)).await
        else {
            return Ok(());
        };
        let refusal = run
            .result
            .as_ref()
            .err()
            .map(|failure| Refusal::of_hook(point.key(), failure, &context.redactor));
        let asked = self.name_follow_ups(run.verdict.follow_ups);
        let asked = if refusal.is_some() { Vec::new() } else { asked };
        journaled.note(report, asked);
        refusal.map_or(Ok(()), Err)
    }

    /// Ends a change that a post hook refused: the old object comes back, no target was touched.
    pub(super) async fn reject_journaled(
        &self,
        journaled: Journaled,
        mut refusal: Refusal,
    ) -> Answer {
        let state = self.step(journaled.state(), SagaEvent::Refuse);
        let ends: Vec<RowEnd> = journaled
            .rows()
            .iter()
            .map(|_| RowEnd::of(crate::model::RowResult::Skipped))
            .collect();
        let Parts {
            context,
            rows,
            hook_runs,
            ..
        } = journaled.into_parts();
        let change = &context.change;
        let record = context.record(state, rows, &ends, hook_runs);
        refusal.merge_detail(facts(change.id, Outcome::Rejected));
        let answer = Answer {
            operation: change.id,
            outcome: Some(Outcome::Rejected),
            result: Err(refusal),
        };
        let settlement = Settlement {
            object: Some((change.object.clone(), self.as_before(change))),
            release: Some(context.holder()),
            ..Settlement::default()
        };
        let ticket = self.write_rejection(&context, record, &answer, settlement);
        // The repository holds the new object until this is written.
        if let Err(error) = ticket.wait().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a rejection is not stored"
            );
        }
        count_rejection(context.change.kind);
        answer
    }

    /// Ends a change before anything was stored: an audit entry, and a record where it was planned.
    pub(super) async fn reject(
        &self,
        attempt: &Attempt,
        refused: NotAdmitted,
        record: Option<OperationRecord>,
    ) -> Answer {
        let NotAdmitted {
            mut refusal,
            context,
            hook_runs,
        } = refused;
        refusal.merge_detail(facts(attempt.id, Outcome::Rejected));
        let answer = Answer {
            operation: attempt.id,
            outcome: Some(Outcome::Rejected),
            result: Err(refusal),
        };
        let context = context.unwrap_or_else(|| unplanned(attempt, self.setup()));
        let keep = record.is_some();
        let mut record = record
            .unwrap_or_else(|| context.record(SagaState::Planned, Vec::new(), &[], hook_runs));
        let state = self.step(SagaState::Planned, SagaEvent::Refuse);
        record.outcome = state.outcome();
        record.phase = state.phase().to_owned();
        let mut settlement = self.rejection(&context, &mut record, &answer, Settlement::default());
        if keep {
            settlement.records.push(record);
        }
        self.write_down(settlement).await;
        count_rejection(context.change.kind);
        answer
    }

    /// Hands over what nothing else depends on and waits until it is on disk, at most five seconds:
    /// whoever gets refused in a hurry is slowed down by the disk like everybody else.
    pub async fn write_down(&self, settlement: Settlement) {
        let ticket = self.store().settle(settlement);
        match tokio::time::timeout(PATIENCE, ticket.wait()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "an entry of the audit trail is not stored"
            ),
            Err(_) => tracing::warn!("an entry of the audit trail is not on disk yet"),
        }
    }

    /// The answer to a change that the store itself kept from beginning: there is nowhere to write
    /// that down.
    fn unrecorded(attempt: &Attempt, error: crate::store::Error) -> Answer {
        let mut refusal = Refusal::from(error);
        refusal.merge_detail(facts(attempt.id, Outcome::Rejected));
        Answer {
            operation: attempt.id,
            outcome: Some(Outcome::Rejected),
            result: Err(refusal),
        }
    }

    fn write_rejection(
        &self,
        context: &Context,
        mut record: OperationRecord,
        answer: &Answer,
        settlement: Settlement,
    ) -> crate::store::Ticket {
        let mut settlement = self.rejection(context, &mut record, answer, settlement);
        settlement.records.push(record);
        self.store().settle(settlement)
    }

    fn rejection(
        &self,
        context: &Context,
        record: &mut OperationRecord,
        answer: &Answer,
        mut settlement: Settlement,
    ) -> Settlement {
        record.ended_at = Some(self.clock().now());
        if let Err(refusal) = &answer.result {
            record.error = Some(recorded(refusal.code, &refusal.message));
        }
        let change = &context.change;
        settlement.audit = told(self.clock(), context, record);
        settlement.hook_runs = kept_runs(self.clock(), record);
        // Who is told to try again under the same key is not to get this answer again.
        let is_journaled = settlement.release.is_some();
        let refusal = answer.result.as_ref().err();
        if is_journaled || refusal.is_none_or(|refusal| refusal.retry_after.is_none()) {
            settlement.answer = self.stored_answer(change, answer);
        }
        settlement
    }

    /// After the end: leaves the lane, waits for the disk where recovery would not come to the same
    /// end, and carries out what hooks asked for.
    pub(super) async fn afterwards(&self, settled: Settled, turn: Option<Turn>) -> Answer {
        let Settled {
            answer,
            change,
            follow_ups,
            ticket,
            node,
            needs_disk,
        } = settled;
        if !needs_disk && follow_ups.is_empty() {
            return answer;
        }
        if let Err(error) = ticket.wait().await {
            tracing::error!(error = &error as &dyn std::error::Error, operation = %change.id,
                "the end of a change is not stored; recovery will derive it again");
            return answer;
        }
        drop(turn);
        if follow_ups.is_empty() {
            return answer;
        }
        self.reach(Point::FollowUps).await;
        // Where the lease is lost, the node that takes the follow-ups over finishes them.
        let _ = self.finish_follow_ups(&node, &change, &follow_ups).await;
        answer
    }
}

fn count_rejection(kind: ChangeKind) {
    metrics::counter!("recant_changes_total", "outcome" => "rejected", "kind" => kind.as_str())
        .increment(1);
}

/// The facts that every error about a change carries.
fn facts(operation: OperationId, outcome: Outcome) -> Object {
    let mut facts = Object::new();
    facts.insert("operation".into(), json!(operation));
    facts.insert("outcome".into(), json!(outcome));
    facts
}

fn not_plannable(plan: &Plan, status: u16) -> Refusal {
    let ends = plan.preflight_ends();
    let message = match first_failed(plan.rows(), &ends) {
        Some((
            row,
            RowEnd {
                cause: Some(cause), ..
            },
        )) => {
            format!("{} cannot be planned: {}", row.target, cause.message)
        }
        _ => "the change cannot be planned".to_owned(),
    };
    let mut facts = failed_row(plan.rows(), &ends);
    facts.insert("syncDetails".into(), sync_details(plan.rows(), &ends));
    let refusal = Refusal::new(status, message).with_detail(Value::Object(facts));
    match plan.held_off() {
        Some(wait) => refusal.held_off(wait),
        None => refusal,
    }
}

/// What is known of a change that was refused before it was looked at.
fn unplanned(attempt: &Attempt, setup: Arc<super::Setup>) -> Context {
    let (kind, notified) = match &attempt.request.requested {
        Requested::Create { .. } => (ChangeKind::Create, false),
        Requested::Replace { .. } | Requested::Patch { .. } => (ChangeKind::Update, false),
        Requested::Delete { .. } => (ChangeKind::Delete, false),
        Requested::Notify { kind, .. } => (*kind, true),
    };
    let change = Change {
        id: attempt.id,
        lineage: attempt.lineage.clone(),
        object: attempt.object.clone(),
        kind,
        notified,
        caller: attempt.request.caller.clone(),
        transaction_id: attempt.request.transaction_id.clone(),
        idempotency: attempt.request.idempotency.clone(),
        request: Value::Null,
        old: None,
        new: None,
        started_at: attempt.started_at,
        attempt: 1,
    };
    Context::new(change, setup)
}

/// The refusal of a change whose idempotency key is another's.
fn keyless(attempt: &Attempt, setup: Arc<super::Setup>) -> NotAdmitted {
    let mut context = unplanned(attempt, setup);
    context.change.idempotency = None;
    NotAdmitted {
        refusal: Refusal::busy(),
        context: Some(context),
        hook_runs: Vec::new(),
    }
}

fn not_known(id: OperationId) -> Answer {
    let message = "the store ended before it told whether the change began; its record tells";
    unfinished(
        id,
        Refusal::new(503, message).after(Some(Duration::from_secs(5))),
    )
}

pub(super) fn interrupted(id: OperationId) -> Answer {
    let refusal = Refusal::new(
        500,
        "the change was interrupted; its record tells how it ends",
    );
    unfinished(id, refusal)
}

fn lease_lost(id: OperationId) -> Answer {
    let message = "this node lost its lease; another one finishes the change";
    unfinished(
        id,
        Refusal::new(503, message).after(Some(Duration::from_secs(5))),
    )
}

fn unfinished(id: OperationId, mut refusal: Refusal) -> Answer {
    let mut facts = Object::new();
    facts.insert("operation".into(), json!(id));
    refusal.merge_detail(facts);
    Answer {
        operation: id,
        outcome: None,
        result: Err(refusal),
    }
}
