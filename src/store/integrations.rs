//! Integration events: arriving, having their turn one at a time per external id, ending.
use chrono::{DateTime, Utc};
use sea_orm::{
    DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Cond, Expr, ExprTrait as _, Query, UpdateStatement},
};
use uuid::Uuid;

use super::{
    Error, Store,
    batch::insert,
    connection::Transaction,
    entity::{integration_event as event, integration_record as record, node},
    error::{Remedy, remedy},
    integration_rows::{integration_event, payload},
    rows::{from_micros, micros},
    takeover::retried,
};
use crate::model::{
    OperationId,
    integration::{IntegrationEvent, Payload, State, rules::Seen},
};

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
    /// The managed object, where it is known by now: type and id.
    pub record: Option<(String, String)>,
}

impl Store {
    /// Events whose turn has come: queued ones and errored ones whose pause is over, of external
    /// ids of which no other event is being carried out; the oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due_integrations(&self, limit: usize) -> Result<Vec<IntegrationEvent>, Error> {
        use event::Column;
        let step = "look for integration events";
        let now = micros(self.core().clock.now());
        let busy = Query::select()
            .column(Column::Active)
            .from(event::Entity)
            .and_where(Expr::col(Column::Active).is_not_null())
            .to_owned();
        let state = |state: State| Expr::col(Column::State).eq(state.as_str());
        let again = state(State::Errored).and(Expr::col(Column::NextAttemptAt).lte(now));
        let waits = state(State::Queued).and(Expr::col(Column::NextAttemptAt).is_null());
        let later = state(State::Queued).and(Expr::col(Column::NextAttemptAt).lte(now));
        let rows = event::Entity::find()
            .filter(Cond::any().add(waits).add(later).add(again))
            .filter(Expr::col(Column::Lane).not_in_subquery(busy))
            .order_by_asc(Column::UpdatedAt)
            .order_by_asc(Column::Id)
            .limit(limit as u64)
            .all(self.core().database.reader())
            .await
            .map_err(Error::at(step))?;
        rows.iter().map(integration_event).collect()
    }

    /// Takes up an event as this change; false where another of its external id is being carried
    /// out, or it is not to be carried out any more.
    ///
    /// # Errors
    /// The database fails.
    pub async fn begin_integration(&self, id: Uuid, operation: OperationId) -> Result<bool, Error> {
        use event::Column;
        let core = self.core();
        let waits = [State::Queued, State::Errored].map(State::as_str);
        let begin = Query::update()
            .table(event::Entity)
            .value(Column::State, State::Processing.as_str())
            .value(Column::Active, Expr::col(Column::Lane))
            .value(Column::Operation, operation.to_string())
            .value(Column::Node, &*self.identity())
            .value(Column::StartedAt, micros(core.clock.now()))
            .value(Column::NextAttemptAt, Option::<i64>::None)
            .value(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .and_where(Expr::col(Column::Id).eq(id.to_string()))
            .and_where(Expr::col(Column::State).is_in(waits))
            .to_owned();
        match core.database.execute(&begin).await {
            Ok(count) => Ok(count == 1),
            // The column `active` is unique: another event of this external id was quicker.
            Err(error) if remedy(&error) == Remedy::Retry => Ok(false),
            Err(error) => Err(Error::at("begin an integration event")(error)),
        }
    }

    /// Takes over events that nodes were carrying out that are gone by now; tells which.
    ///
    /// # Errors
    /// The database fails.
    pub async fn adopt_integrations(&self) -> Result<Vec<IntegrationEvent>, Error> {
        use event::Column;
        let step = "take over integration events";
        let core = self.core();
        let alive = Query::select()
            .column(node::Column::Id)
            .from(node::Entity)
            .to_owned();
        let rows = event::Entity::find()
            .filter(Expr::col(Column::Active).is_not_null())
            .filter(Expr::col(Column::Node).not_in_subquery(alive))
            .all(core.database.fresh())
            .await
            .map_err(Error::at(step))?;
        let mut taken = Vec::new();
        for row in rows {
            let take = Query::update()
                .table(event::Entity)
                .value(Column::Node, &*self.identity())
                .and_where(Expr::col(Column::Id).eq(row.id.as_str()))
                .and_where(Expr::col(Column::State).eq(State::Processing.as_str()))
                .and_where(Expr::col(Column::Node).eq(row.node.clone()))
                .to_owned();
            if core
                .database
                .execute(&take)
                .await
                .map_err(Error::at(step))?
                == 1
            {
                taken.push(integration_event(&row)?);
            }
        }
        Ok(taken)
    }

    /// Ends an attempt at an event that this node carries out.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end_integration(&self, id: Uuid, ending: &Ending) -> Result<(), Error> {
        let statement = self.ending(id, ending);
        self.core()
            .database
            .execute(&statement)
            .await
            .map_err(Error::at("end an integration event"))?;
        Ok(())
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
        if let Some((record_type, record_id)) = &ending.record {
            update
                .value(Column::RecordType, record_type.as_str())
                .value(Column::RecordId, record_id.as_str());
        }
        update
    }

    /// One event and what it brings.
    ///
    /// # Errors
    /// The database fails, or what it brings is encrypted with an unknown key.
    pub async fn integration_event(
        &self,
        id: Uuid,
    ) -> Result<Option<(IntegrationEvent, Payload)>, Error> {
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
            payload(&self.core().keys, &row)?,
        )))
    }

    /// What is known of an event's external id, but for the event itself and the managed object.
    ///
    /// # Errors
    /// The database fails.
    pub async fn seen_of(&self, arrived: &IntegrationEvent) -> Result<Seen, Error> {
        let step = "look at the other events of an external id";
        let core = self.core();
        let rows = lane_query(arrived).all(core.database.fresh()).await;
        let rows = rows.map_err(Error::at(step))?;
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

/// The other events of the same external id, without what they bring; those of a switched-off
/// integration and canceled ones do not count.
pub(super) fn lane_query(arrived: &IntegrationEvent) -> sea_orm::Select<event::Entity> {
    let out = [State::Disabled, State::Canceled].map(State::as_str);
    event::Entity::find()
        .filter(Expr::col(event::Column::Lane).eq(arrived.lane()))
        .filter(Expr::col(event::Column::Id).ne(arrived.id.to_string()))
        .filter(Expr::col(event::Column::State).is_not_in(out))
        .order_by_asc(event::Column::UpdatedAt)
}

/// What these rows tell about an event of their lane.
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

/// Stores events that go out: each takes the place of those of its object that wait.
pub(super) async fn enqueue(
    transaction: &mut Transaction,
    events: Vec<event::Model>,
    now: i64,
) -> Result<(), DbErr> {
    for row in events {
        transaction.execute(&canceling(&row, now)).await?;
        insert(transaction, vec![row], None).await?;
    }
    Ok(())
}

/// Cancels what waits in the event's lane.
fn canceling(row: &event::Model, now: i64) -> UpdateStatement {
    use event::Column;
    let waits = [State::Queued, State::Errored].map(State::as_str);
    Query::update()
        .table(event::Entity)
        .value(Column::State, State::Canceled.as_str())
        .value(Column::CanceledBy, row.id.as_str())
        .value(Column::NextAttemptAt, Option::<i64>::None)
        .value(Column::EndedAt, now)
        .and_where(Expr::col(Column::Lane).eq(row.lane.as_str()))
        .and_where(Expr::col(Column::State).is_in(waits))
        .to_owned()
}
