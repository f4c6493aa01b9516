//! Taking a change back: a nested change with the old object that restores every touched target
//! from its pre-image, in reverse order, and tries them all.
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use crate::{
    connectors::Error,
    model::{
        Cause, CauseKind, LinkChange, Object, OperationId, OperationRecord, Purpose, RowResult,
        SagaEvent, SagaState, Step, TargetWrite,
        object::REV,
        record::{Divergence, HookRun, WriteRecord},
        secret::masked,
    },
    store::{JournalError, ObjectWrite},
};

use super::{
    Engine,
    apply::{Found, LeaseLost, Recreates, Removal, failed_end, look, maybe_recreated, unknown_end},
    calls::{cause, own_cause, retried},
    change::{Change, Context, Intent, RowEnd, revision},
    checkpoint::{Point, Sabotage, is_sabotaged},
    compare::{Sight, Special, ids, judge, lost, undo, without},
    guard,
    recreate::{left_over, relink},
};

/// How long to wait before a store that fails is asked again.
const STORE_PAUSE: Duration = Duration::from_millis(200);

/// How a compensation ended.
#[derive(Debug)]
pub(super) struct Compensation {
    /// The nested change's record.
    pub record: OperationRecord,
    /// The nested change's intent, which tells what is still to be undone.
    pub intent: Intent,
    /// Where the parent is now: ended `compensated` or `diverged`.
    pub state: SagaState,
    /// Targets that could not be put back.
    pub diverged: Vec<Divergence>,
    /// Links that changed on the way back: targets that give recreated objects new ids.
    pub links: Vec<LinkChange>,
    /// The second run of the hook, where the compensation failed.
    pub hook_run: Option<HookRun>,
}

/// How the undo of one row ended.
struct Undone {
    index: usize,
    /// The write that was tried; none where nothing was to be written.
    write: Option<TargetWrite>,
    end: RowEnd,
    actual: Option<Object>,
    link: Option<LinkChange>,
}

impl Engine {
    /// Takes a change back whose rows ended like this. None where its lineage forbids it: a
    /// compensation is not compensated.
    pub(super) async fn compensate(
        &self,
        context: &Context,
        parent: OperationRecord,
        intent: Intent,
        ends: Vec<RowEnd>,
    ) -> Result<Option<Compensation>, LeaseLost> {
        let allowed = guard::may_compensate(&context.change.lineage).is_ok();
        if !allowed && !is_sabotaged(self.store().node(), Sabotage::Guard) {
            return Ok(None);
        }
        let nested = self.nested_context(context);
        let parent = (parent, intent.text());
        let intent = Intent {
            change: nested.change.clone(),
            ended: ends,
            follow_ups: Vec::new(),
            hook_runs: Vec::new(),
            thrown: None,
            ..intent
        };
        self.journal_until_stored(context, &nested, &intent, parent)
            .await?;
        self.reach(Point::CompensationJournaled).await;
        self.undo_all(context, &nested, intent).await.map(Some)
    }

    /// Undoes what is not undone yet, and asks the hook a second time where that fails.
    pub(super) async fn undo_all(
        &self,
        context: &Context,
        nested: &Context,
        intent: Intent,
    ) -> Result<Compensation, LeaseLost> {
        let mut compensation = self.undo_rows(context, nested, intent).await?;
        self.reach(Point::Undone).await;
        if compensation.diverged.is_empty() {
            return Ok(compensation);
        }
        if let Some((verdict, run)) = self.ask_again(context, &compensation).await {
            compensation.hook_run = Some(run);
            if verdict.revert {
                let parent = compensation.record.clone();
                let (intent, ends) = (compensation.intent.clone(), Vec::new());
                // The guard stops here; whatever comes back changes nothing.
                Box::pin(self.compensate(nested, parent, intent, ends)).await?;
            }
        }
        Ok(compensation)
    }

    /// One pass over the rows that are not undone yet; every one of them is tried.
    pub(super) async fn undo_rows(
        &self,
        context: &Context,
        nested: &Context,
        mut intent: Intent,
    ) -> Result<Compensation, LeaseLost> {
        let mut open = open_rows(&intent);
        if is_sabotaged(self.store().node(), Sabotage::UndoOrder) {
            open.reverse();
        }
        let looks = join_all(
            open.iter()
                .map(|index| self.look_at(context, &intent, *index)),
        )
        .await;
        let mut done = Vec::with_capacity(open.len());
        for (index, found) in open.into_iter().zip(looks) {
            done.push(self.undo_row(context, &intent, index, found).await?);
        }
        let succeeded = |undone: &&Undone| undone.end.result == RowResult::Successful;
        intent
            .undone
            .extend(done.iter().filter(succeeded).map(|undone| undone.index));
        let diverged: Vec<Divergence> = done
            .iter()
            .filter_map(|undone| divergence(&intent, undone))
            .collect();
        let event = if diverged.is_empty() {
            SagaEvent::Undone
        } else {
            SagaEvent::UndoFailed
        };
        let state = self.step(SagaState::Compensating, event);
        let links = done
            .iter()
            .filter_map(|undone| undone.link.clone())
            .collect();
        let record = self.nested_record(nested, &intent, &done, &diverged);
        remember_recreated(&mut intent, &done);
        Ok(Compensation {
            record,
            intent,
            state,
            diverged,
            links,
            hook_run: None,
        })
    }

    async fn undo_row(
        &self,
        context: &Context,
        intent: &Intent,
        index: usize,
        found: Result<Option<Found>, Cause>,
    ) -> Result<Undone, LeaseLost> {
        let (Some(row), Some(end)) = (intent.rows.get(index), intent.ended.get(index)) else {
            return Ok(nothing(index, RowEnd::of(RowResult::Successful)));
        };
        let Step::Write { write } = &row.step else {
            return Ok(nothing(index, RowEnd::of(RowResult::Successful)));
        };
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(nothing(index, failed_end(not_findable()))),
            // It failed, and a look at the target then showed the pre-image: nothing to take back.
            Err(_) if end.result == RowResult::Failed => {
                return Ok(nothing(index, RowEnd::of(RowResult::Successful)));
            }
            Err(cause) => return Ok(nothing(index, failed_end(cause))),
        };
        let actual = found
            .at_new
            .as_ref()
            .or(found.at_old.as_ref())
            .map(|o| o.to_object());
        let written = end
            .written
            .as_ref()
            .and_then(|written| written.attributes.as_ref());
        let (at_new, at_old) = (found.at_new.as_ref(), found.at_old.as_ref());
        let special = Special::of(row);
        let sight = judge(write, special, written, at_new, at_old);
        let half =
            (sight == Sight::Between && matches!(write, TargetWrite::Delete { .. })).then(|| {
                let assigns_ids = context
                    .setup
                    .target(&row.target)
                    .is_some_and(|(target, class)| target.connector.particulars(class).assigns_ids);
                let is_same = at_new.is_some_and(|found| ids(write).0 == Some(found.id.as_str()));
                match (assigns_ids && is_same, intent.doubtful.contains(&index)) {
                    (false, true) => Half::Back,
                    // It still has the id that no second object gets, or nobody has tried to.
                    _ if end.result != RowResult::Successful => Half::Left,
                    _ => Half::Foreign,
                }
            });
        let lost = match (sight, half) {
            (Sight::Before, _) | (_, Some(Half::Left)) => Vec::new(),
            _ => lost(write, &row.write_only),
        };
        let inverse = match undo(write, special, written, at_new, at_old) {
            Ok(Some(_)) if half == Some(Half::Foreign) => {
                return Ok(Undone {
                    actual,
                    ..nothing(index, failed_end(changed_since()))
                });
            }
            // What never shows is there still, as it was.
            Ok(Some(inverse)) if half == Some(Half::Left) => {
                without(&inverse, &row.write_only).into_owned()
            }
            Ok(Some(inverse)) => inverse,
            Ok(None) if !lost.is_empty() => {
                return Ok(Undone {
                    actual,
                    ..nothing(index, failed_end(unreadable_before(&lost)))
                });
            }
            Ok(None) => return Ok(nothing(index, RowEnd::of(RowResult::Successful))),
            Err(_) => {
                return Ok(Undone {
                    actual,
                    ..nothing(index, failed_end(changed_since()))
                });
            }
        };
        let mut place = match self.place(context, row, (intent.change.id, index)) {
            Ok(place) => place,
            Err(cause) => return Ok(nothing(index, failed_end(cause))),
        };
        let connector = &place.target.connector;
        let refine = || connector.refine(place.class, inverse.clone());
        let inverse = match retried(&place.target.calls, refine).await {
            Ok(inverse) => inverse,
            Err(error) => {
                let cause = cause(&error, &context.redactor);
                return Ok(nothing(index, failed_end(cause)));
            }
        };
        if matches!(write, TargetWrite::Create { .. }) {
            place.removal = Removal::Uncreate(row.dormant.as_ref());
        }
        if matches!(inverse, TargetWrite::Create { .. }) {
            place.recreates = Recreates::of(&place);
            if place.recreates == Recreates::UnderAnotherId && intent.doubtful.contains(&index) {
                return Ok(nothing(index, unknown_end(maybe_recreated())));
            }
        }
        self.reach(Point::BeforeUndo(index)).await;
        let mut end = self.write(&place, &inverse).await?;
        if let Some(rest) = left_over(&inverse, special, &end) {
            let created = end.written.take();
            end = self.write(&place, &rest).await?;
            end.written = end.written.or(created);
        }
        self.reach(Point::AfterUndo(index)).await;
        let link = relink(row.link.as_ref(), &inverse, &mut end, place.recreates);
        if end.result == RowResult::Successful && !lost.is_empty() {
            end.result = RowResult::Failed;
            end.cause = Some(unreadable_before(&lost));
        }
        Ok(Undone {
            index,
            write: Some(inverse),
            end,
            actual,
            link,
        })
    }

    async fn look_at(
        &self,
        context: &Context,
        intent: &Intent,
        index: usize,
    ) -> Result<Option<Found>, Cause> {
        let (Some(row), Some(end)) = (intent.rows.get(index), intent.ended.get(index)) else {
            return Ok(None);
        };
        let Step::Write { write } = &row.step else {
            return Ok(None);
        };
        let place = self.place(context, row, (intent.change.id, index))?;
        look(&place, write, end.written.as_ref())
            .await
            .map_err(|error: Error| cause(&error, &context.redactor))
    }

    /// Journals the nested change; a store that fails is asked until it answers.
    async fn journal_until_stored(
        &self,
        context: &Context,
        nested: &Context,
        intent: &Intent,
        parent: (OperationRecord, String),
    ) -> Result<(), LeaseLost> {
        let mut object = restoration(context, nested);
        loop {
            let record = nested.record(SagaState::Journaled, Vec::new(), &[], Vec::new());
            match self
                .journal_compensation(
                    record,
                    intent,
                    object.clone(),
                    parent.clone(),
                    &context.node,
                )
                .await
            {
                Ok(()) => return Ok(()),
                // Whoever takes the change over finds out what is in the journal.
                Err(JournalError::LeaseLost | JournalError::Unknown) => return Err(LeaseLost),
                Err(JournalError::Store(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error,
                        operation = %context.change.id, "cannot journal the compensation yet");
                    if self.store().lease_left_of(&context.node).is_zero() {
                        return Err(LeaseLost);
                    }
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                // Somebody wrote the repository past Recant: what they wrote stays.
                Err(
                    JournalError::Stale
                    | JournalError::InFlight(_)
                    | JournalError::KeyInUse
                    | JournalError::Taken(_),
                ) => {
                    tracing::error!(operation = %context.change.id,
                        "the repository was changed from outside; the object stays as it is");
                    object = ObjectWrite::Untouched;
                }
            }
        }
    }

    /// What puts the stored object back as it was, under a new revision.
    pub(super) fn as_before(&self, change: &Change) -> ObjectWrite {
        let expected = revision(change.new.as_ref());
        match (&change.old, expected) {
            (Some(old), expected) => {
                let mut object = old.clone();
                let fresh = self.clock().fresh_id().simple().to_string();
                object.insert(REV.to_owned(), json!(fresh));
                ObjectWrite::Put { object, expected }
            }
            (None, Some(expected)) => ObjectWrite::Remove { expected },
            (None, None) => ObjectWrite::Untouched,
        }
    }

    fn nested_context(&self, context: &Context) -> Context {
        let change = &context.change;
        let restored = change.old.clone().map(|mut old| {
            if !change.notified {
                let fresh = self.clock().fresh_id().simple().to_string();
                old.insert(REV.to_owned(), json!(fresh));
            }
            old
        });
        let nested = Change {
            id: OperationId(self.clock().fresh_id()),
            lineage: change.lineage.child(change.id, Purpose::Compensation),
            kind: change.kind.inverse(),
            idempotency: None,
            old: change.new.clone(),
            new: restored,
            started_at: self.clock().now(),
            attempt: change.attempt,
            ..change.clone()
        };
        Context {
            change: nested,
            ..context.clone()
        }
    }

    fn nested_record(
        &self,
        nested: &Context,
        intent: &Intent,
        done: &[Undone],
        diverged: &[Divergence],
    ) -> OperationRecord {
        let event = if diverged.is_empty() {
            SagaEvent::Accept
        } else {
            SagaEvent::Revert
        };
        let mut state = self.step(SagaState::Applied, event);
        if !diverged.is_empty() {
            state = self.step(state, SagaEvent::UndoFailed);
        }
        let mut record = nested.record(state, Vec::new(), &[], Vec::new());
        record.writes = done
            .iter()
            .filter_map(|undone| undo_record(intent, undone))
            .collect();
        record.diverged = diverged.to_vec();
        record.ended_at = Some(self.clock().now());
        record
    }
}

/// Why an object that was to be deleted is there in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// The deletion was cut off: this is what it left.
    Left,
    /// An undo has begun to create it again.
    Back,
    /// It was gone, and somebody else has made one like it.
    Foreign,
}

/// Keeps where deleted objects were created again, so that the next try finds them there, and
/// which ones may have been.
fn remember_recreated(intent: &mut Intent, done: &[Undone]) {
    let recreated = done
        .iter()
        .filter(|undone| matches!(undone.write, Some(TargetWrite::Create { .. })));
    for undone in recreated {
        if let (Some(written), Some(ended)) =
            (&undone.end.written, intent.ended.get_mut(undone.index))
        {
            ended.written = Some(written.clone());
        }
        let is_known = intent.doubtful.contains(&undone.index);
        if undone.end.result == RowResult::Unknown && !is_known {
            intent.doubtful.push(undone.index);
        }
    }
}

/// The touched rows that are not undone yet, last first.
fn open_rows(intent: &Intent) -> Vec<usize> {
    intent
        .ended
        .iter()
        .enumerate()
        .rev()
        .filter(|(index, end)| end.touched && !intent.undone.contains(index))
        .map(|(index, _)| index)
        .collect()
}

/// What the compensation does to the repository: the old object comes back under a new revision.
fn restoration(context: &Context, nested: &Context) -> ObjectWrite {
    if context.change.notified {
        return ObjectWrite::Untouched;
    }
    let expected = revision(context.change.new.as_ref());
    match (&nested.change.new, expected) {
        (Some(object), expected) => ObjectWrite::Put {
            object: object.clone(),
            expected,
        },
        (None, Some(expected)) => ObjectWrite::Remove { expected },
        (None, None) => ObjectWrite::Untouched,
    }
}

fn nothing(index: usize, end: RowEnd) -> Undone {
    Undone {
        index,
        write: None,
        end,
        actual: None,
        link: None,
    }
}

/// What was overwritten and could not be read before.
fn unreadable_before(names: &[&str]) -> Cause {
    let names = names.join("`, `");
    let message = format!(
        "the target never shows `{names}`, and the old object does not give what it was before: \
         it was not put back, set it anew"
    );
    own_cause(CauseKind::Refused, 409, message)
}

fn changed_since() -> Cause {
    own_cause(
        CauseKind::Refused,
        409,
        "somebody else has changed the target since; nothing was written there",
    )
}

fn not_findable() -> Cause {
    own_cause(
        CauseKind::Unknown,
        504,
        "the id that the target assigned is not known",
    )
}

fn divergence(intent: &Intent, undone: &Undone) -> Option<Divergence> {
    let (row, cause) = (intent.rows.get(undone.index)?, undone.end.cause.clone()?);
    if undone.end.result == RowResult::Successful {
        return None;
    }
    let Step::Write { write } = &row.step else {
        return None;
    };
    let hide = |object: Object| masked(object, row.confidential.iter().map(String::as_str));
    let forward = intent
        .ended
        .get(undone.index)
        .and_then(|end| end.written.as_ref());
    Some(Divergence {
        mapping: row.mapping.clone(),
        target: row.target.to_string(),
        target_id: forward
            .map(|written| written.id.clone())
            .or_else(|| row.target_id.clone()),
        expected: write.before().map(hide),
        actual: undone.actual.clone().map(hide),
        cause,
    })
}

fn undo_record(intent: &Intent, undone: &Undone) -> Option<WriteRecord> {
    let row = intent.rows.get(undone.index)?;
    let forward = intent.ended.get(undone.index)?;
    let hide = |object: Object| masked(object, row.confidential.iter().map(String::as_str));
    let target_id = forward
        .written
        .as_ref()
        .map(|written| written.id.clone())
        .or_else(|| row.target_id.clone());
    Some(WriteRecord {
        mapping: row.mapping.clone(),
        link_qualifier: row.link_qualifier.clone(),
        target: row.target.to_string(),
        target_id,
        situation: row.situation,
        action: row.action,
        operation: undone
            .write
            .as_ref()
            .map(|write| write.operation().to_owned()),
        before: undone
            .write
            .as_ref()
            .and_then(TargetWrite::before)
            .map(hide),
        after: undone.write.as_ref().and_then(TargetWrite::after).map(hide),
        result: Some(undone.end.result),
        cause: undone.end.cause.clone(),
        attempts: undone.end.attempts,
        duration_ms: undone.end.duration_ms,
    })
}
