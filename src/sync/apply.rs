//! Target writes, in order, each to a known end. The only place that writes to a target.
use std::{
    borrow::Cow,
    future::Future,
    time::{Duration, Instant},
};

use chrono::TimeDelta;

use crate::{
    connectors::{Error, Update},
    model::{
        Cause, CauseKind, Filter, Object, OperationId, PlannedRow, RowResult, Step, TargetObject,
        TargetWrite, record::HookRun, secret::Redactor,
    },
};

use super::{
    Engine,
    calls::{cause, find, limited, own_cause, pause, read, read_by_id},
    change::{Context, RowEnd, Written},
    checkpoint::{Point, Sabotage, checkpoint, is_sabotaged},
    compare::{Sight, Special, ids, judge, rest},
    details::is_failure,
    follow::Asked,
    journal::Journaled,
    setup::Target,
};

/// How long after its beginning a change counts on a target to remember the key of a write: targets
/// forget them after a day at the earliest.
const KEY_LIFE: TimeDelta = TimeDelta::hours(12);

/// How often a lease that is about to end is looked at.
const LEASE_PAUSE: Duration = Duration::from_millis(10);

/// A change whose rows are over: each is done, failed, unknown or skipped.
#[derive(Debug)]
pub(super) struct Applied {
    journaled: Journaled,
    ends: Vec<RowEnd>,
}

/// This node may write no more: its lease ended. The change stays in flight for whoever takes it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseLost;

/// Where one write goes, and how to look for it.
pub(super) struct Place<'a> {
    pub target: &'a Target,
    pub class: &'a str,
    pub find: Option<Filter>,
    pub redactor: &'a Redactor,
    /// The life of this node that holds the change.
    pub node: &'a str,
    /// What is known of an object that is created again here.
    pub recreates: Recreates,
    /// What tells the target that an attempt is one at the same write.
    pub key: String,
    /// Whether the target carries a create out once only, however often it is asked under the key.
    pub repeats_creates: bool,
    /// What is special about the attributes.
    pub special: Special<'a>,
    /// What a deletion here is.
    pub removal: Removal<'a>,
}

/// What a deletion is to the change that asks for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Removal<'a> {
    /// The deletion of what is there.
    Delete,
    /// The undo of its own create, and what the object held that this brought back into use.
    Uncreate(Option<&'a Object>),
}

/// What recovery found out about a row.
#[derive(Debug)]
pub(super) enum Known {
    /// How it ended.
    End(RowEnd),
    /// It was cut off: this is left to be done.
    Rest(TargetWrite),
}

/// Whether a write has begun already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    NotYet,
    /// A part of it is done.
    Partly,
}

/// Under which id a target creates an object again that was deleted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recreates {
    /// Under its own, or under the one that it got when it was first asked: it is found there.
    UnderItsId,
    /// It assigns another one: if its answer is lost, nothing tells whether the object is there.
    UnderAnotherId,
}

impl Recreates {
    pub(super) fn of(place: &Place<'_>) -> Self {
        let keeps_ids = place.target.connector.capabilities().recreate_with_id;
        if keeps_ids || place.repeats_creates {
            Self::UnderItsId
        } else {
            Self::UnderAnotherId
        }
    }
}

/// What stands at a target where a write was meant to go.
pub(super) struct Found {
    pub at_new: Option<TargetObject>,
    pub at_old: Option<TargetObject>,
}

impl Found {
    /// What stands under the id after the write, and what under the one before.
    pub(super) fn both(&self) -> (Option<&TargetObject>, Option<&TargetObject>) {
        (self.at_new.as_ref(), self.at_old.as_ref())
    }
}

impl Applied {
    pub(super) fn journaled(&self) -> &Journaled {
        &self.journaled
    }

    pub(super) fn ends(&self) -> &[RowEnd] {
        &self.ends
    }

    /// Keeps what the hook said.
    pub(super) fn note(&mut self, run: HookRun, asked: Vec<Asked>) {
        self.journaled.note(run, asked);
    }

    /// Whether every row is done.
    pub(super) fn is_success(&self) -> bool {
        !self.ends.iter().any(|end| is_failure(end.result))
    }

    pub(super) fn into_parts(self) -> (Journaled, Vec<RowEnd>) {
        (self.journaled, self.ends)
    }
}

impl Engine {
    /// Carries the rows out in order and stops at the first failure. `seen` holds what recovery
    /// found out about rows already; a live change knows nothing.
    pub(super) async fn apply(
        &self,
        journaled: Journaled,
        seen: &[Option<Known>],
    ) -> Result<Applied, LeaseLost> {
        let mut ends: Vec<RowEnd> = Vec::with_capacity(journaled.rows().len());
        let mut failed = false;
        for (index, row) in journaled.rows().iter().enumerate() {
            let known = seen.get(index).and_then(Option::as_ref);
            let end = match (known, failed) {
                (Some(Known::End(end)), false) => end.clone(),
                (Some(Known::End(end)), true) if end.touched => end.clone(),
                (Some(Known::Rest(_)), true) => unknown_end(cut_off()),
                (_, true) => RowEnd::of(RowResult::Skipped),
                (Some(Known::Rest(rest)), false) => {
                    self.row(&journaled, index, row, Some(rest)).await?
                }
                (None, false) => self.row(&journaled, index, row, None).await?,
            };
            failed |= is_failure(end.result);
            ends.push(end);
        }
        self.reach(Point::Applied).await;
        Ok(Applied { journaled, ends })
    }

    async fn row(
        &self,
        journaled: &Journaled,
        index: usize,
        row: &PlannedRow,
        rest: Option<&TargetWrite>,
    ) -> Result<RowEnd, LeaseLost> {
        let write = match &row.step {
            Step::Nothing => return Ok(RowEnd::of(RowResult::Successful)),
            Step::Failed { cause } => return Ok(failed_end(cause.clone())),
            Step::Write { write } => write,
        };
        let context = journaled.context();
        let place = match self.place(context, row, (context.change.id, index)) {
            Ok(place) => place,
            Err(cause) => return Ok(failed_end(cause)),
        };
        self.reach(Point::BeforeWrite(index)).await;
        let end = match rest {
            Some(rest) => self.write_on(&place, rest, Begun::Partly).await?,
            None => self.write(&place, write).await?,
        };
        self.reach(Point::AfterWrite(index)).await;
        Ok(end)
    }

    /// Carries one write out: bounded attempts, and a look at the target where an outcome is unknown.
    pub(super) async fn write(
        &self,
        place: &Place<'_>,
        write: &TargetWrite,
    ) -> Result<RowEnd, LeaseLost> {
        self.write_on(place, write, Begun::NotYet).await
    }

    async fn write_on(
        &self,
        place: &Place<'_>,
        write: &TargetWrite,
        mut begun: Begun,
    ) -> Result<RowEnd, LeaseLost> {
        let started = Instant::now();
        let mut write = Cow::Borrowed(write);
        let mut doubtful = begun == Begun::Partly;
        let mut attempt = 1;
        let mut end = loop {
            self.enough_lease(place).await?;
            let error = match self.while_leased(place, send(place, &write)).await {
                Ok(written) => break done(Some(written)),
                Err(error) => error,
            };
            let error = match error.kind {
                CauseKind::Unavailable => error,
                CauseKind::Refused if !doubtful => break failed_end(cause(&error, place.redactor)),
                // An earlier attempt of unknown outcome may be what stands in our own way.
                CauseKind::Refused | CauseKind::Unknown => {
                    doubtful = !is_sabotaged(self.store().node(), Sabotage::ReadBack);
                    match self.look_back(place, &write, error).await {
                        LookBack::Done(written) => break done(written),
                        LookBack::Unknown(cause) => break unknown_end(cause),
                        LookBack::NotDone(error) if error.kind == CauseKind::Refused => {
                            break failed_end(cause(&error, place.redactor));
                        }
                        LookBack::NotDone(error) => error,
                        LookBack::Partly(rest, error) => {
                            begun = Begun::Partly;
                            match pause(&place.target.calls, attempt, &error) {
                                Some(pause) => tokio::time::sleep(pause).await,
                                None => break unknown_end(cause(&error, place.redactor)),
                            }
                            attempt += 1;
                            write = Cow::Owned(*rest);
                            continue;
                        }
                        LookBack::Repeatable(error) => {
                            match pause(&place.target.calls, attempt, &error) {
                                Some(pause) => tokio::time::sleep(pause).await,
                                None => break unknown_end(unfindable(&error, place.redactor)),
                            }
                            attempt += 1;
                            continue;
                        }
                    }
                }
            };
            match pause(&place.target.calls, attempt, &error) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break failed_end(cause(&error, place.redactor)),
            }
            attempt += 1;
        };
        if begun == Begun::Partly && end.result == RowResult::Failed {
            // Its last attempt did nothing, but those before it did.
            end.result = RowResult::Unknown;
        }
        end.attempts = attempt;
        end.touched |= doubtful;
        end.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(end)
    }

    /// Makes a call, but not beyond the end of the lease, which is renewed in the background.
    async fn while_leased<T>(
        &self,
        place: &Place<'_>,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let ended = async {
            loop {
                match self.store().lease_left_of(place.node) {
                    Duration::ZERO => break,
                    left => tokio::time::sleep(left).await,
                }
            }
        };
        tokio::select! {
            biased;
            result = call => result,
            () = ended => {
                let message = "the lease of this node ended before an answer came";
                Err(Error::unknown(504, message))
            }
        }
    }

    /// Waits until the lease lasts long enough for an attempt. It is renewed in the background;
    /// where it is not, it ends.
    async fn enough_lease(&self, place: &Place<'_>) -> Result<(), LeaseLost> {
        let margin = (self.store().lease() / 3).min(place.target.calls.timeout);
        loop {
            let left = self.store().lease_left_of(place.node);
            if left.is_zero() {
                return Err(LeaseLost);
            }
            if left > margin {
                return Ok(());
            }
            tokio::time::sleep(LEASE_PAUSE).await;
        }
    }

    /// Settles an unknown outcome by what the target holds now.
    async fn look_back(&self, place: &Place<'_>, write: &TargetWrite, error: Error) -> LookBack {
        if is_sabotaged(self.store().node(), Sabotage::ReadBack) {
            return LookBack::NotDone(Error::refused(error.code, error.message));
        }
        let found = match look(place, write, None).await {
            Ok(Some(found)) => found,
            Ok(None) if place.repeats_creates => return LookBack::Repeatable(error),
            Ok(None) => return LookBack::Unknown(unfindable(&error, place.redactor)),
            Err(unread) => return LookBack::Unknown(unreadable(&error, &unread, place.redactor)),
        };
        match judge(
            write,
            place.special,
            None,
            found.at_new.as_ref(),
            found.at_old.as_ref(),
        ) {
            Sight::Between => match rest(write, place.special, found.both()) {
                Some(rest) => LookBack::Partly(Box::new(rest), error),
                None => LookBack::Unknown(Cause {
                    kind: CauseKind::Unknown,
                    ..cause(&error, place.redactor)
                }),
            },
            Sight::After => LookBack::Done(found.at_new.as_ref().map(Written::from)),
            Sight::Before if place.recreates == Recreates::UnderAnotherId => {
                LookBack::Unknown(maybe_recreated())
            }
            Sight::Before if error.kind == CauseKind::Refused => LookBack::NotDone(error),
            Sight::Before => LookBack::NotDone(
                Error::unavailable(error.code.clone(), error.message.clone())
                    .after(error.retry_after),
            ),
            Sight::Other => LookBack::Unknown(Cause {
                kind: CauseKind::Unknown,
                ..cause(&error, place.redactor)
            }),
        }
    }

    /// Where a row's write goes; `id` is the change that writes, and the row's place in its plan.
    pub(super) fn place<'a>(
        &self,
        context: &'a Context,
        row: &'a PlannedRow,
        (change, index): (OperationId, usize),
    ) -> Result<Place<'a>, Cause> {
        let (target, class) = context.setup.target(&row.target).ok_or_else(|| {
            let message = format!("{} is not configured any more", row.target);
            own_cause(CauseKind::Unavailable, 503, message)
        })?;
        let find = row
            .find
            .as_deref()
            .and_then(|text| Filter::parse(text).ok());
        let age = self.clock().now() - context.change.started_at;
        Ok(Place {
            target,
            class,
            find,
            redactor: &context.redactor,
            node: &context.node,
            recreates: Recreates::UnderItsId,
            key: change.write_key(index),
            repeats_creates: age < KEY_LIFE && target.connector.repeats_creates(class),
            special: Special::of(row),
            removal: Removal::Delete,
        })
    }

    /// Marks a crash window.
    pub(super) async fn reach(&self, point: Point) {
        checkpoint(self.store().node(), point).await;
    }
}

enum LookBack {
    Done(Option<Written>),
    NotDone(Error),
    /// Some of it is done, and this is left.
    Partly(Box<TargetWrite>, Error),
    /// Nothing tells where the object would be, but the target makes no second one.
    Repeatable(Error),
    Unknown(Cause),
}

/// Reads what stands where a write was meant to go; none where the id is not known and nothing
/// tells how to find the object. `written` tells the id that the target assigned.
pub(super) async fn look(
    place: &Place<'_>,
    write: &TargetWrite,
    written: Option<&Written>,
) -> Result<Option<Found>, Error> {
    let (new, old) = ids(write);
    let at_old = match old {
        Some(id) => read_by_id(place.target, place.class, id).await?,
        None => None,
    };
    // A target that assigns ids may or may not have kept the one that we gave: only what is found
    // under it tells something.
    let guessed = matches!(write, TargetWrite::Create { .. })
        && written.is_none()
        && !place.target.keeps_ids(place.class);
    let known = written.map(|written| written.id.as_str()).or(new);
    let is_name = matches!(write, TargetWrite::Create { .. }) && written.is_none();
    let under_id = match known {
        Some(id) if is_name => read(place.target, place.class, id).await?,
        Some(id) => read_by_id(place.target, place.class, id).await?,
        None => None,
    };
    let at_new = match (known, &place.find) {
        (Some(_), _) if under_id.is_some() || !guessed => under_id,
        (_, Some(filter)) => {
            let mut hits = find(place.target, place.class, filter).await?;
            match hits.len() {
                0 | 1 => hits.pop(),
                _ => return Ok(None),
            }
        }
        (_, None) => return Ok(None),
    };
    Ok(Some(Found { at_new, at_old }))
}

/// One attempt.
async fn send(place: &Place<'_>, write: &TargetWrite) -> Result<Written, Error> {
    let connector = &place.target.connector;
    let calls = &place.target.calls;
    match write {
        TargetWrite::Create { id, after } => {
            let call = connector.create_once(place.class, id.as_deref(), after, &place.key);
            let written = limited(calls, call).await.map(Written::from)?;
            if let Some(id) = id {
                place.target.note_id(place.class, id, &written.id);
            }
            Ok(written)
        }
        TargetWrite::Update {
            before,
            after,
            rename,
        } => {
            let update = Update {
                before,
                after,
                rename: rename.as_deref(),
            };
            limited(calls, connector.update(place.class, &update))
                .await
                .map(Written::from)
        }
        TargetWrite::Delete { before } => {
            match place.removal {
                Removal::Delete => limited(calls, connector.delete(place.class, before)).await,
                Removal::Uncreate(dormant) => {
                    limited(calls, connector.uncreate(place.class, before, dormant)).await
                }
            }?;
            Ok(Written {
                id: before.id.clone(),
                attributes: None,
            })
        }
    }
}

fn done(written: Option<Written>) -> RowEnd {
    RowEnd {
        written,
        touched: true,
        ..RowEnd::of(RowResult::Successful)
    }
}

pub(super) fn failed_end(cause: Cause) -> RowEnd {
    RowEnd {
        cause: Some(cause),
        ..RowEnd::of(RowResult::Failed)
    }
}

pub(super) fn unknown_end(cause: Cause) -> RowEnd {
    RowEnd {
        cause: Some(cause),
        touched: true,
        ..RowEnd::of(RowResult::Unknown)
    }
}

fn cut_off() -> Cause {
    own_cause(
        CauseKind::Unknown,
        504,
        "the write was cut off: the target holds a part of it",
    )
}

pub(super) fn maybe_recreated() -> Cause {
    own_cause(
        CauseKind::Unknown,
        504,
        "the object may have been created again under an id that the target assigned; \
         nothing more was created there",
    )
}

fn unfindable(error: &Error, redactor: &Redactor) -> Cause {
    let mut told = cause(error, redactor);
    told.kind = CauseKind::Unknown;
    told.message
        .push_str("; the target assigns ids, and nothing tells how to find the object");
    told
}

fn unreadable(error: &Error, unread: &Error, redactor: &Redactor) -> Cause {
    let mut told = cause(error, redactor);
    told.kind = CauseKind::Unknown;
    told.message = format!(
        "{}; the target could not be read afterwards: {}",
        told.message,
        redactor.text(&unread.message)
    );
    told
}
