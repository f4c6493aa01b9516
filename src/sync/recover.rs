//! Recovery: takes up what a crash or a lost node left in flight, and goes on through the same phases.
use std::collections::HashMap;

use futures::future::join_all;
use tokio::time::Instant;

use crate::{
    model::{
        CauseKind, OperationId, OperationRecord, PlannedRow, Purpose, RowResult, Step, TargetWrite,
    },
    store::{self, InFlight, Settlement, StoredOperation},
};

use super::{
    Engine,
    apply::{Known, LeaseLost, failed_end, look, unknown_end},
    calls::{cause, own_cause},
    change::{Context, Intent, RowEnd, Written},
    compare::{Sight, judge, rest},
    error::Refusal,
    follow,
    journal::Journaled,
    settle::Settled,
};

/// Changes that could not be taken to their end yet; each waits on its own.
#[derive(Debug, Default)]
pub struct Waiting {
    stuck: Vec<InFlight>,
    /// What this node held at the last look although nothing worked on it.
    idle: Vec<InFlight>,
    /// Why each of them waits, as the log was told, and since when.
    told: HashMap<OperationId, (String, Instant)>,
}

/// Whether a change may still wait for a target only because going back then needs no operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Left,
    Over,
}

/// Why a change cannot be recovered now.
enum Stuck {
    /// For this reason; it is tried again later.
    Because(String),
    /// This node may write no more.
    Lost,
    /// The store failed.
    Store(store::Error),
}

impl From<LeaseLost> for Stuck {
    fn from(_: LeaseLost) -> Self {
        Self::Lost
    }
}

impl From<store::Error> for Stuck {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// How recovery found one row.
enum Seen {
    Is(Sight, Option<Written>),
    /// The write was cut off: this is left of it.
    Partly(TargetWrite),
    /// The target does not tell now what it holds.
    Unreadable(crate::model::Cause),
    /// The target assigns ids, and nothing tells how to find the object.
    Unfindable,
    /// As `Unfindable`, but the target makes no second object of a write that is repeated.
    Repeatable,
    NothingToWrite,
}

impl Engine {
    /// Takes over what dead nodes left and carries it to an end, together with what waited since
    /// an earlier call. Comes back when each of these changes has ended or waits; none of them
    /// holds up another.
    ///
    /// # Errors
    /// Where the store cannot tell what is in flight.
    pub async fn recover(&self, waiting: &mut Waiting) -> Result<usize, store::Error> {
        let mut found = self.store().take_over().await?;
        // What a former life of this node was stuck with is taken over like any other's.
        let me = self.store().identity();
        waiting.stuck.retain(|stuck| *stuck.node == *me);
        found.append(&mut waiting.stuck);
        match self.orphans(&found, &mut waiting.idle).await {
            Ok(orphans) => found.extend(orphans),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what this node has left lying is looked for later"
            ),
        }
        let count = found.len();
        let tasks: Vec<_> = found
            .into_iter()
            .map(|in_flight| {
                let engine = self.clone();
                let patience = self.patience(waiting, in_flight.operation);
                self.parts.tasks.spawn(async move {
                    let stuck = engine.resume(&in_flight, patience).await;
                    (in_flight, stuck)
                })
            })
            .collect();
        for ended in join_all(tasks).await {
            match ended {
                Ok((in_flight, Ok(()))) => {
                    waiting.told.remove(&in_flight.operation);
                }
                Ok((in_flight, Err(stuck))) => self.keep(waiting, in_flight, stuck),
                Err(error) => tracing::error!(%error, "a recovery was interrupted"),
            }
        }
        Ok(count)
    }

    fn patience(&self, waiting: &Waiting, operation: OperationId) -> Patience {
        let limit = self.lanes().bounds().recovery;
        let waited = waiting.told.get(&operation);
        match waited.map_or(std::time::Duration::ZERO, |(_, since)| since.elapsed()) {
            waited if waited < limit => Patience::Left,
            _ => Patience::Over,
        }
    }

    /// What this node holds although nothing works on it, at two looks in a row: a task that
    /// panicked left it, or an answer of the store was lost. `found` is worked on from now on.
    async fn orphans(
        &self,
        found: &[InFlight],
        idle: &mut Vec<InFlight>,
    ) -> Result<Vec<InFlight>, store::Error> {
        let before = std::mem::take(idle);
        // What an ended task handed over before the last look is on disk when this has looked.
        let mine = self.store().lanes_of_mine().await?;
        let same = |one: &InFlight, other: &InFlight| {
            (&one.object, one.operation) == (&other.object, other.operation)
        };
        let (orphans, first_seen) = mine
            .into_iter()
            .filter(|lane| !self.parts.working.includes(lane.operation))
            .filter(|lane| !found.iter().any(|other| same(lane, other)))
            .partition(|lane| before.iter().any(|other| same(lane, other)));
        *idle = first_seen;
        Ok(orphans)
    }

    fn keep(&self, waiting: &mut Waiting, in_flight: InFlight, stuck: Stuck) {
        let reason = match stuck {
            Stuck::Because(reason) => reason,
            Stuck::Store(error) => format!("{error}: {}", error.source),
            Stuck::Lost => {
                waiting.told.remove(&in_flight.operation);
                tracing::warn!(operation = %in_flight.operation, "another node takes the change");
                return;
            }
        };
        let before = waiting.told.get(&in_flight.operation);
        if before.is_none_or(|(told, _)| *told != reason) {
            tracing::warn!(operation = %in_flight.operation, reason, "a change waits");
        }
        let since = before.map_or_else(Instant::now, |(_, since)| *since);
        waiting.told.insert(in_flight.operation, (reason, since));
        waiting.stuck.push(in_flight);
    }

    async fn resume(&self, in_flight: &InFlight, patience: Patience) -> Result<(), Stuck> {
        let _work = self.parts.working.begin(in_flight.operation);
        let Some(stored) = self.store().operation(in_flight.operation).await? else {
            tracing::error!(operation = %in_flight.operation, "in flight, but not in the journal");
            self.release(in_flight);
            return Ok(());
        };
        let record = stored.record.clone();
        if follow::is_row(&in_flight.object) {
            return self.resume_follow_ups(in_flight, stored).await;
        }
        if record.outcome.is_some() {
            self.release(in_flight);
            return Ok(());
        }
        tracing::info!(operation = %in_flight.operation, object = %in_flight.object,
            attempt = in_flight.attempt, "recovering");
        match Box::pin(self.resume_change(in_flight, stored, patience)).await {
            Ok(Some(settled)) => {
                self.afterwards(settled, None).await;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(Stuck::Because(reason)) => {
                self.note_waiting(record, &reason);
                Err(Stuck::Because(reason))
            }
            Err(other) => Err(other),
        }
    }

    async fn resume_change(
        &self,
        in_flight: &InFlight,
        stored: StoredOperation,
        patience: Patience,
    ) -> Result<Option<Settled>, Stuck> {
        let intent = read_intent(stored.payload.as_deref())?;
        let context = self.context_of(&intent, in_flight);
        self.check_targets(&context, &intent.rows)?;
        let children = self.store().children(in_flight.operation).await?;
        let nested = children
            .into_iter()
            .find(|child| child.record.purpose == Purpose::Compensation);
        match nested {
            Some(nested) => self
                .resume_compensation(in_flight, (context, intent), nested, patience)
                .await
                .map(Some),
            None => {
                self.resume_forward(Journaled::recovered(context, intent), patience)
                    .await
            }
        }
    }

    /// A change whose compensation is on disk: undoes what is not undone yet.
    async fn resume_compensation(
        &self,
        in_flight: &InFlight,
        (context, intent): (Context, Intent),
        nested: StoredOperation,
        patience: Patience,
    ) -> Result<Settled, Stuck> {
        let mut nested_intent = read_intent(nested.payload.as_deref())?;
        if patience == Patience::Left {
            let seen = self.look_at_rows(&context, &intent.rows).await;
            let touched = |index: usize| {
                let end = nested_intent.ended.get(index);
                end.is_none_or(|end| end.touched)
            };
            if let Some(reason) = unreadable(&intent.rows, &seen, touched) {
                return Err(Stuck::Because(reason));
            }
        }
        // What is not noted as undone may have been undone all the same.
        nested_intent.doubtful = (0..nested_intent.rows.len()).collect();
        let nested_context = self.context_of(&nested_intent, in_flight);
        let ends = nested_intent.ended.clone();
        let compensation = self
            .undo_all(&context, &nested_context, nested_intent)
            .await?;
        let thrown = intent.thrown.clone().map(Refusal::from);
        let journaled = Journaled::recovered(context, intent);
        Ok(self.taken_back(journaled, ends, compensation, thrown).await)
    }

    /// A change that was going forward: looks at each target and goes on from there.
    /// None where a post hook refuses it after all.
    ///
    /// The post hook runs again in any case, for what it asked for was in memory only; but it may
    /// refuse only what certainly touched nothing.
    async fn resume_forward(
        &self,
        mut journaled: Journaled,
        patience: Patience,
    ) -> Result<Option<Settled>, Stuck> {
        let seen = self
            .look_at_rows(journaled.context(), journaled.rows())
            .await;
        if let Some(reason) = must_wait(journaled.rows(), &seen, patience) {
            return Err(Stuck::Because(reason));
        }
        let refused = self.post_hook(&mut journaled).await.err();
        if let Some(refusal) = refused.filter(|_| is_untouched(&seen)) {
            self.reject_journaled(journaled, refusal).await;
            return Ok(None);
        }
        let applied = self.apply(journaled, &classify(seen)).await?;
        Ok(Some(self.settle(applied).await?))
    }

    async fn look_at_rows(&self, context: &Context, rows: &[PlannedRow]) -> Vec<Seen> {
        join_all(rows.iter().enumerate().map(|(index, row)| async move {
            let Step::Write { write } = &row.step else {
                return Seen::NothingToWrite;
            };
            let id = (context.change.id, index);
            let place = match self.place(context, row, id) {
                Ok(place) => place,
                Err(cause) => return Seen::Unreadable(cause),
            };
            match look(&place, write, None).await {
                Ok(Some(found)) => {
                    let sight = judge(
                        write,
                        place.special,
                        None,
                        found.at_new.as_ref(),
                        found.at_old.as_ref(),
                    );
                    let left = rest(write, place.special, found.both());
                    match left.filter(|_| sight == Sight::Between) {
                        Some(rest) => Seen::Partly(rest),
                        None => Seen::Is(sight, found.at_new.as_ref().map(Written::from)),
                    }
                }
                Ok(None) if place.repeats_creates => Seen::Repeatable,
                Ok(None) => Seen::Unfindable,
                Err(error) => Seen::Unreadable(cause(&error, &context.redactor)),
            }
        }))
        .await
    }

    fn context_of(&self, intent: &Intent, in_flight: &InFlight) -> Context {
        let mut change = intent.change.clone();
        change.attempt = in_flight.attempt;
        Context {
            node: in_flight.node.as_str().into(),
            ..Context::new(change, self.setup()).hiding(&intent.rows)
        }
    }

    fn check_targets(&self, context: &Context, rows: &[PlannedRow]) -> Result<(), Stuck> {
        let gone = rows.iter().find(|row| {
            matches!(row.step, Step::Write { .. }) && context.setup.target(&row.target).is_none()
        });
        match gone {
            None => Ok(()),
            Some(row) => Err(Stuck::Because(format!(
                "{} is not configured any more; its connector must come back first",
                row.target
            ))),
        }
    }

    async fn resume_follow_ups(
        &self,
        in_flight: &InFlight,
        stored: StoredOperation,
    ) -> Result<(), Stuck> {
        let intent = read_intent(stored.payload.as_deref())?;
        let node = &in_flight.node;
        let ended = self.finish_follow_ups(node, &intent.change, &intent.follow_ups);
        Ok(ended.await?.wait().await?)
    }

    fn release(&self, in_flight: &InFlight) {
        let settlement = Settlement {
            release: Some(in_flight.holder()),
            ..Settlement::default()
        };
        let _ = self.store().settle(settlement);
    }

    fn note_waiting(&self, mut record: OperationRecord, reason: &str) {
        if record.waits_because.as_deref() == Some(reason) {
            return;
        }
        record.waits_because = Some(reason.to_owned());
        let _ = self.store().settle(Settlement {
            records: vec![record],
            ..Settlement::default()
        });
    }
}

/// Reads an intent of this or any earlier format.
pub(super) fn intent_of(payload: Option<&str>) -> Result<Intent, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: Option<u64>,
    }
    let payload = payload.ok_or("its intent is not in the journal any more")?;
    let unreadable = |error| format!("its intent cannot be read: {error}");
    let version: Version = serde_json::from_str(payload).map_err(unreadable)?;
    match version.format {
        Some(format) if format <= u64::from(Intent::FORMAT) => {
            serde_json::from_str(payload).map_err(unreadable)
        }
        Some(format) => Err(format!(
            "a newer program wrote it (journal format {format}, this one reads up to {})",
            Intent::FORMAT
        )),
        None => Err("its intent cannot be read: it names no format".to_owned()),
    }
}

fn read_intent(payload: Option<&str>) -> Result<Intent, Stuck> {
    intent_of(payload).map_err(Stuck::Because)
}

/// Why a change cannot go on before a target tells what it holds.
///
/// Where none holds its pre-image all writes may have been done and the caller been told so: then
/// nothing may be taken back only because a target cannot be read. Where one does, the change goes
/// back; a target that was written and cannot be read would end it as diverged, so that some
/// patience saves an operator's work after an outage that hit Recant and a target together.
fn must_wait(rows: &[PlannedRow], seen: &[Seen], patience: Patience) -> Option<String> {
    let untouched = seen
        .iter()
        .position(|seen| matches!(seen, Seen::Is(Sight::Before, _)));
    match (untouched, patience) {
        (None, _) => unreadable(rows, seen, |_| true),
        // Writes went out in order: what lies behind was not begun.
        (Some(untouched), Patience::Left) => unreadable(rows, seen, |index| index < untouched),
        (Some(_), Patience::Over) => None,
    }
}

/// The first of these rows whose target cannot be read, in words.
fn unreadable(
    rows: &[PlannedRow],
    seen: &[Seen],
    matters: impl Fn(usize) -> bool,
) -> Option<String> {
    let mut rows = rows.iter().zip(seen).enumerate();
    rows.find_map(|(index, (row, seen))| match seen {
        Seen::Unreadable(cause) if matters(index) => Some(format!(
            "a target cannot be read: {}: {}",
            row.target, cause.message
        )),
        _ => None,
    })
}

/// Whether certainly no target was written.
fn is_untouched(seen: &[Seen]) -> bool {
    seen.iter()
        .all(|seen| matches!(seen, Seen::NothingToWrite | Seen::Is(Sight::Before, _)))
}

/// What recovery knows of each row before it goes on. Writes went out in order, so a row that
/// still holds its pre-image tells that the rows behind it were not begun.
fn classify(seen: Vec<Seen>) -> Vec<Option<Known>> {
    let mut begun = true;
    seen.into_iter()
        .map(|seen| match seen {
            Seen::NothingToWrite | Seen::Repeatable => None,
            Seen::Is(Sight::After, written) => Some(Known::End(RowEnd {
                written,
                touched: true,
                ..RowEnd::of(RowResult::Successful)
            })),
            Seen::Partly(rest) if begun => Some(Known::Rest(rest)),
            Seen::Is(Sight::Before, _) => {
                begun = false;
                None
            }
            Seen::Is(Sight::Other | Sight::Between, _) | Seen::Partly(_) => {
                Some(ended(begun, changed_meanwhile()))
            }
            Seen::Unreadable(cause) => Some(ended(begun, cause)),
            Seen::Unfindable => Some(ended(begun, not_findable())),
        })
        .collect()
}

fn ended(begun: bool, cause: crate::model::Cause) -> Known {
    Known::End(if begun {
        unknown_end(crate::model::Cause {
            kind: CauseKind::Unknown,
            ..cause
        })
    } else {
        failed_end(cause)
    })
}

fn not_findable() -> crate::model::Cause {
    own_cause(
        CauseKind::Unknown,
        504,
        "the target assigns ids, and nothing tells how to find the object",
    )
}

fn changed_meanwhile() -> crate::model::Cause {
    own_cause(
        CauseKind::Refused,
        409,
        "the target holds neither the old nor the new value: somebody else has changed it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_waits_for_a_newer_program() {
        let refused = |payload| intent_of(payload).err().unwrap();
        assert!(refused(Some(r#"{"format": 99}"#)).contains("newer program"));
        assert!(refused(Some("{}")).contains("names no format"));
        assert!(refused(Some(r#"{"format": 1}"#)).contains("cannot be read"));
        assert!(refused(None).contains("not in the journal"));
    }

    fn rest() -> TargetWrite {
        TargetWrite::Create {
            id: None,
            after: crate::model::Object::new(),
        }
    }

    #[test]
    fn rows_behind_an_untouched_one_were_not_begun() {
        let ends = classify(vec![
            Seen::Is(Sight::After, None),
            Seen::Partly(rest()),
            Seen::Is(Sight::Other, None),
            Seen::Is(Sight::Before, None),
            Seen::Is(Sight::Other, None),
            Seen::Partly(rest()),
            Seen::NothingToWrite,
        ]);
        let known: Vec<_> = ends
            .iter()
            .map(|known| match known {
                Some(Known::End(end)) => Some((end.result, end.touched)),
                Some(Known::Rest(_)) => Some((RowResult::Skipped, true)),
                None => None,
            })
            .collect();
        assert_eq!(
            known,
            [
                Some((RowResult::Successful, true)),
                Some((RowResult::Skipped, true)),
                Some((RowResult::Unknown, true)),
                None,
                Some((RowResult::Failed, false)),
                Some((RowResult::Failed, false)),
                None,
            ]
        );
    }
}
