//! Integration events: arriving, having their turn one at a time per external id, ending.
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{
    DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Cond, Expr, ExprTrait as _, OnConflict, Query, UpdateStatement},
};
use uuid::Uuid;

use super::{
    Error, Owner, Refusal, Store,
    batch::insert,
    connection::CommitError,
    entity::{integration_event as event, integration_record as record, operation},
    error::{Remedy, remedy},
    integration_rows::{body_place, integration_event, narrow, opened, payload},
    links,
    owner::of_others,
    rows::{from_micros, micros},
    takeover::retried,
};
use crate::model::{
    Container, LinkChange, Object, OperationId, Outcome, Purpose, ResourceName,
    integration::{Direction, IntegrationEvent, Payload, State, rules::Seen},
};

/// How many changes of an object are looked at for the one that made it what it is.
const LATEST: u64 = 50;

/// What the end of an attempt leaves of an event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ending {
    /// The state; none: `completed`.
    pub state: Option<State>,
    /// The event that brought the same.
    pub duplicate_of: Option<Uuid>,
    /// What is newer: its id and type.
    pub ignored_for: Option<(String, String)>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The managed object, where it is known by now.
    pub record: Option<ResourceName>,
    /// Our copy of the external record, where the event was carried out.
    pub copy: Option<Copied>,
    /// The link between external record and managed object.
    pub link: Option<LinkChange>,
}

/// What is kept of an external record.
#[derive(Debug, Clone, PartialEq)]
pub struct Copied {
    /// Whose it is: the lane of its events.
    pub lane: String,
    /// When the record was changed.
    pub updated_at: DateTime<Utc>,
    /// The record; none: it is gone.
    pub body: Option<Object>,
    /// The change that made the managed object what the record says; none: it was so already.
    pub operation: Option<OperationId>,
}

impl Store {
    /// Events whose turn has come: queued ones and errored ones whose pause is over, of external
    /// ids of which no other event is being carried out, but for those of `full`; the oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due_integrations(
        &self,
        full: &[Owner],
        limit: usize,
    ) -> Result<Vec<IntegrationEvent>, Error> {
        use event::Column;
        let step = "look for integration events";
        let now = micros(self.core().clock.now());
        let busy = Query::select()
            .column(Column::Active)
            .from(event::Entity)
            .and_where(Expr::col(Column::Active).is_not_null())
            .to_owned();
        let mut due = Vec::new();
        // One state at a time, so that the index gives the rows in their order.
        for state in [State::Queued, State::Errored] {
            let rows = narrow()
                .filter(Expr::col(Column::State).eq(state.as_str()))
                .filter(is_due(now))
                .filter(Expr::col(Column::Direction).ne(Direction::Delivery.as_str()))
                .filter(Expr::col(Column::Lane).not_in_subquery(busy.clone()))
                .filter(of_others(full, Expr::col))
                .order_by_asc(Column::UpdatedAt)
                .order_by_asc(Column::Id)
                .limit(limit as u64)
                .into_model::<event::Model>()
                .all(self.core().database.reader())
                .await;
            due.extend(rows.map_err(Error::at(step))?);
        }
        due.sort_by(|one, other| (one.updated_at, &one.id).cmp(&(other.updated_at, &other.id)));
        due.truncate(limit);
        self.readable(due).await
    }

    /// Takes up an event as this change; false where another of its external id is being carried
    /// out, or it is not to be carried out (any more, or before its pause is over).
    ///
    /// # Errors
    /// The database fails.
    pub async fn begin_integration(&self, id: Uuid, operation: OperationId) -> Result<bool, Error> {
        use event::Column;
        let core = self.core();
        let now = micros(core.clock.now());
        let begin = Query::update()
            .table(event::Entity)
            .value(Column::State, State::Processing.as_str())
            .value(Column::Active, Expr::col(Column::Lane))
            .value(Column::Operation, operation.to_string())
            .value(Column::Node, &*self.identity())
            .value(Column::StartedAt, now)
            .value(Column::NextAttemptAt, Option::<i64>::None)
            .value(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .and_where(Expr::col(Column::Id).eq(id.to_string()))
            .cond_where(is_due(now))
            .to_owned();
        match core.database.execute(&begin).await {
            Ok(count) => Ok(count == 1),
            // The column `active` is unique: another event of this external id was quicker.
            Err(error) if remedy(&error) == Remedy::Retry => Ok(false),
            Err(error) => Err(Error::at("begin an integration event")(error)),
        }
    }

    /// Says that an event that this node carries out is carried out as another change.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rename_integration(&self, id: Uuid, operation: OperationId) -> Result<(), Error> {
        use event::Column;
        let update = Query::update()
            .table(event::Entity)
            .value(Column::Operation, operation.to_string())
            .and_where(Expr::col(Column::Id).eq(id.to_string()))
            .and_where(Expr::col(Column::Node).eq(&*self.identity()))
            .to_owned();
        retried(|| self.core().database.execute(&update))
            .await
            .map_err(Error::at("go on with an integration event"))?;
        Ok(())
    }

    /// Ends an attempt at an event that this node carries out, together with our copy of the record
    /// and its link; nothing happens where the event is somebody else's by now.
    ///
    /// # Errors
    /// The database fails, or the copy cannot be encrypted.
    pub async fn end_integration(&self, id: Uuid, ending: &Ending) -> Result<(), Error> {
        let step = "end an integration event";
        let copy = self.copy_of(id, ending).map_err(Error::at(step))?;
        let ended = retried(|| self.end_with(id, ending, copy.clone())).await;
        ended.map_err(Error::at(step))
    }

    async fn end_with(
        &self,
        id: Uuid,
        ending: &Ending,
        copy: Option<record::Model>,
    ) -> Result<(), DbErr> {
        let mut transaction = self.core().database.begin().await?;
        if transaction.execute(&self.ending(id, ending)).await? == 0 {
            return transaction.rollback().await;
        }
        if let Some(copy) = copy {
            let replaced = replaced_copy(&copy);
            insert(&mut transaction, vec![copy], Some(replaced)).await?;
        }
        if let Some(link) = &ending.link {
            links::store(&mut transaction, link_rows(link)).await?;
        }
        let committed = transaction.commit().await;
        committed.map_err(CommitError::into_cause)
    }

    fn copy_of(&self, id: Uuid, ending: &Ending) -> Result<Option<record::Model>, Refusal> {
        let Some(copied) = &ending.copy else {
            return Ok(None);
        };
        let core = self.core();
        let (mut body_key, mut body) = (None, None);
        if let Some(object) = &copied.body {
            let clear = serde_json::to_string(object).unwrap_or_default();
            body = Some(clear.clone());
            if let Some(sealed) = core.keys.seal(&body_place(&[&copied.lane]), &clear)? {
                (body_key, body) = (Some(sealed.key), Some(sealed.data));
            }
        }
        Ok(Some(record::Model {
            lane: copied.lane.clone(),
            id: core.clock.fresh_id().to_string(),
            updated_at: micros(copied.updated_at),
            event: id.to_string(),
            record_id: ending.record.as_ref().map(|name| name.id.clone()),
            record_type: ending
                .record
                .as_ref()
                .map(|name| name.container.to_string()),
            body_key,
            body,
            operation: copied.operation.map(|id| id.to_string()),
        }))
    }

    /// Our copy of an external record: what it is (none: it is gone) and when it was changed.
    ///
    /// # Errors
    /// The database fails, or the copy is encrypted with an unknown key.
    pub async fn copied(&self, lane: &str) -> Result<Option<Copied>, Error> {
        let step = "read the copy of an external record";
        let row = record::Entity::find_by_id(lane)
            .one(self.core().database.fresh())
            .await
            .map_err(Error::at(step))?;
        let Some(row) = row else {
            return Ok(None);
        };
        let body = match &row.body {
            Some(text) => {
                let keys = &self.core().keys;
                let clear = opened(keys, &body_place(&[&row.lane]), &row.body_key, text);
                Some(
                    serde_json::from_str(&clear.map_err(Error::at(step))?)
                        .map_err(Error::at(step))?,
                )
            }
            None => None,
        };
        Ok(Some(Copied {
            lane: row.lane,
            updated_at: from_micros(row.updated_at),
            body,
            operation: row.operation.and_then(|id| id.parse().ok()),
        }))
    }

    /// The managed object that our copy of an external record stands for.
    ///
    /// # Errors
    /// The database fails.
    pub async fn object_of_copy(&self, lane: &str) -> Result<Option<ResourceName>, Error> {
        let step = "read which object an external record stands for";
        let row: Option<(Option<String>, Option<String>)> = record::Entity::find_by_id(lane)
            .select_only()
            .column(record::Column::RecordType)
            .column(record::Column::RecordId)
            .into_tuple()
            .one(self.core().database.fresh())
            .await
            .map_err(Error::at(step))?;
        let Some((Some(container), Some(id))) = row else {
            return Ok(None);
        };
        let damaged = |_| Error::at(step)(Refusal::Damaged("the copy of an external record"));
        let container: Container = container.parse().map_err(damaged)?;
        Ok(Some(container.object(&id)))
    }

    /// When a managed object got what it holds: the time of the external record where an event
    /// brought it, else when its change began. None: it never changed.
    ///
    /// # Errors
    /// The database fails.
    pub async fn modified_at(&self, object: &ResourceName) -> Result<Option<DateTime<Utc>>, Error> {
        let step = "find out when an object was changed";
        self.flush().await?;
        let standing = [Outcome::Synced, Outcome::Partial].map(Outcome::as_str);
        let rows = operation::Entity::find()
            .filter(Expr::col(operation::Column::Object).eq(object.to_string()))
            .filter(Expr::col(operation::Column::Outcome).is_in(standing))
            .order_by_desc(operation::Column::Id)
            .limit(LATEST)
            .all(self.core().database.fresh())
            .await
            .map_err(Error::at(step))?;
        for row in rows {
            let found = super::decode::record(&row.record)?;
            if !matches!(found.purpose, Purpose::Request | Purpose::FollowUp) {
                continue;
            }
            let brought = self.brought_by(&row.id).await.map_err(Error::at(step))?;
            return Ok(Some(from_micros(brought.unwrap_or(row.started_at))));
        }
        Ok(None)
    }

    /// The time of the external record that a change brought, by its event, or by our copy where the
    /// event is kept no more.
    async fn brought_by(&self, operation: &str) -> Result<Option<i64>, DbErr> {
        let reader = self.core().database.fresh();
        let event: Option<i64> = event::Entity::find()
            .select_only()
            .column(event::Column::UpdatedAt)
            .filter(Expr::col(event::Column::Operation).eq(operation))
            .filter(Expr::col(event::Column::Direction).eq(Direction::Inbound.as_str()))
            .into_tuple()
            .one(reader)
            .await?;
        if event.is_some() {
            return Ok(event);
        }
        record::Entity::find()
            .select_only()
            .column(record::Column::UpdatedAt)
            .filter(Expr::col(record::Column::Operation).eq(operation))
            .into_tuple()
            .one(reader)
            .await
    }

    fn ending(&self, id: Uuid, ending: &Ending) -> UpdateStatement {
        use event::Column;
        let state = ending.state.unwrap_or(State::Completed);
        let text = |uuid: Option<Uuid>| uuid.map(|uuid| uuid.to_string());
        let newer = ending.ignored_for.clone();
        let waits = matches!(state, State::Queued | State::Errored);
        let mut update = Query::update();
        update
            .table(event::Entity)
            .value(Column::State, state.as_str())
            .value(Column::Active, Option::<String>::None)
            .value(Column::Node, Option::<String>::None)
            .value(Column::DuplicateOf, text(ending.duplicate_of))
            .value(
                Column::IgnoredForId,
                newer.as_ref().map(|newer| newer.0.clone()),
            )
            .value(Column::IgnoredForType, newer.map(|newer| newer.1))
            .value(Column::LastError, ending.error.clone())
            .value(Column::NextAttemptAt, ending.next_attempt_at.map(micros))
            .and_where(Expr::col(Column::Id).eq(id.to_string()))
            .and_where(Expr::col(Column::State).eq(State::Processing.as_str()))
            .and_where(Expr::col(Column::Node).eq(&*self.identity()));
        if !waits {
            update.value(Column::EndedAt, micros(self.core().clock.now()));
        }
        if let Some(name) = &ending.record {
            update
                .value(Column::RecordType, name.container.to_string())
                .value(Column::RecordId, name.id.as_str());
        }
        update
    }

    /// One event and what it brings, or why that cannot be read: it is damaged, or encrypted with an
    /// unknown key.
    ///
    /// # Errors
    /// The database fails, or the event itself is damaged.
    pub async fn integration_event(
        &self,
        id: Uuid,
    ) -> Result<Option<(IntegrationEvent, Result<Payload, Error>)>, Error> {
        self.flush().await?;
        let row = event::Entity::find_by_id(id.to_string())
            .one(self.core().database.fresh())
            .await
            .map_err(Error::at("read an integration event"))?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some((
            integration_event(&row)?,
            payload(&self.core().keys, &row),
        )))
    }

    /// What is known of an event's external id, but for the event itself and the managed object.
    ///
    /// # Errors
    /// The database fails.
    pub async fn seen_of(&self, arrived: &IntegrationEvent) -> Result<Seen, Error> {
        let step = "look at the other events of an external id";
        let core = self.core();
        let rows = open_query(arrived).into_model::<event::Model>();
        let rows = rows.all(core.database.fresh()).await;
        let mut rows = rows.map_err(Error::at(step))?;
        let newest = newest_query(arrived).into_model::<event::Model>();
        let newest = newest.one(core.database.fresh()).await;
        rows.extend(newest.map_err(Error::at(step))?);
        let copy = record::Entity::find_by_id(arrived.lane())
            .one(core.database.fresh())
            .await
            .map_err(Error::at(step))?;
        Ok(seen(arrived, &rows, copy.as_ref()))
    }

    /// Moves an event by hand from one state to another; false where it is in another state.
    ///
    /// # Errors
    /// The database fails.
    pub async fn move_integration(&self, id: Uuid, from: State, to: State) -> Result<bool, Error> {
        use event::Column;
        let ended = (to == State::Canceled).then(|| micros(self.core().clock.now()));
        let update = Query::update()
            .table(event::Entity)
            .value(Column::State, to.as_str())
            .value(Column::NextAttemptAt, Option::<i64>::None)
            .value(Column::EndedAt, ended)
            .and_where(Expr::col(Column::Id).eq(id.to_string()))
            .and_where(Expr::col(Column::State).eq(from.as_str()))
            .to_owned();
        let moved = retried(|| self.core().database.execute(&update)).await;
        let moved = moved.map_err(Error::at("move an integration event"))? == 1;
        if moved {
            self.core().queued.notify_one();
        }
        Ok(moved)
    }

    /// Waits until this node has stored an event that is to be carried out.
    pub async fn queued(&self) {
        self.core().queued.notified().await;
    }
}

/// A copy that is there keeps its id, and the change that made its object what it is, where this
/// event changed nothing.
fn replaced_copy(copy: &record::Model) -> OnConflict {
    use record::Column;
    let always = [
        Column::UpdatedAt,
        Column::Event,
        Column::RecordId,
        Column::RecordType,
        Column::BodyKey,
        Column::Body,
    ];
    let operation = copy.operation.as_ref().map(|_| Column::Operation);
    OnConflict::column(Column::Lane)
        .update_columns(always.into_iter().chain(operation))
        .to_owned()
}

/// A link as it is written; one whose second id is not known is left out.
fn link_rows(change: &LinkChange) -> BTreeMap<(String, String, String), Option<String>> {
    let (key, second) = match change.clone() {
        LinkChange::Set {
            link_type,
            link_qualifier,
            first_id,
            second_id,
        } => match second_id {
            Some(second) => ((link_type, link_qualifier, first_id), Some(second)),
            None => return BTreeMap::new(),
        },
        LinkChange::Remove(link) => ((link.link_type, link.link_qualifier, link.first_id), None),
    };
    BTreeMap::from([(key, second)])
}

/// The other events of the same external id that have not come to their end, without what they
/// bring.
pub(super) fn open_query(arrived: &IntegrationEvent) -> sea_orm::Select<event::Entity> {
    let open = [State::Queued, State::Processing, State::Errored].map(State::as_str);
    others(arrived)
        .filter(Expr::col(event::Column::State).is_in(open))
        .order_by_asc(event::Column::UpdatedAt)
}

/// The newest other event of the same external id, if it is later than this one; those of a
/// switched-off integration and canceled ones do not count.
pub(super) fn newest_query(arrived: &IntegrationEvent) -> sea_orm::Select<event::Entity> {
    let out = [State::Disabled, State::Canceled].map(State::as_str);
    others(arrived)
        .filter(Expr::col(event::Column::State).is_not_in(out))
        .filter(Expr::col(event::Column::UpdatedAt).gt(micros(arrived.updated_at)))
        .order_by_desc(event::Column::UpdatedAt)
        .limit(1)
}

fn others(arrived: &IntegrationEvent) -> sea_orm::Select<event::Entity> {
    narrow()
        .filter(Expr::col(event::Column::Lane).eq(arrived.lane()))
        .filter(Expr::col(event::Column::Id).ne(arrived.id.to_string()))
}

/// What these rows tell about an event of their lane: the open ones, and the newest one last.
pub(super) fn seen(
    arrived: &IntegrationEvent,
    rows: &[event::Model],
    copy: Option<&record::Model>,
) -> Seen {
    let at = micros(arrived.updated_at);
    let id = |row: &event::Model| row.id.parse::<Uuid>().ok();
    let is = |row: &event::Model, states: &[State]| {
        states.iter().any(|state| state.as_str() == row.state)
    };
    let waits =
        |row: &&event::Model| row.updated_at < at && is(row, &[State::Queued, State::Errored]);
    let busy = |row: &event::Model| {
        is(row, &[State::Processing]) || (is(row, &[State::Queued]) && row.updated_at >= at)
    };
    Seen {
        later: rows
            .iter()
            .rev()
            .find(|row| row.updated_at > at)
            .and_then(id),
        cached: copy.and_then(|copy| {
            let event = copy.event.parse().ok()?;
            Some((from_micros(copy.updated_at), event))
        }),
        object: None,
        earlier: rows.iter().filter(waits).filter_map(id).collect(),
        is_busy: rows.iter().any(busy),
    }
}

/// Queued, or failed and its pause is over; a dead letter is neither.
fn is_due(now: i64) -> Cond {
    use event::Column;
    let state = |state: State| Expr::col(Column::State).eq(state.as_str());
    let over = || Expr::col(Column::NextAttemptAt).lte(now);
    Cond::any()
        .add(state(State::Queued).and(Expr::col(Column::NextAttemptAt).is_null()))
        .add(state(State::Queued).and(over()))
        .add(state(State::Errored).and(over()))
}
