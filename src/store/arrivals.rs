//! Integration events arriving: judged by what is known of their external id, and stored together
//! with how far their source has been read.
use std::collections::BTreeSet;

use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait as _, FromQueryResult as _, QueryFilter as _,
    QueryResult, QuerySelect as _, QueryTrait as _,
    sea_query::{Expr, ExprTrait as _, OnConflict, Order, Query, UnionType},
};
use uuid::Uuid;

use super::{
    Arrival, Core, Error, Refusal, Store,
    batch::{insert, padded},
    connection::{CommitError, Transaction},
    entity::{integration_event as event, integration_record as record, live_token as token},
    integrations::{newest_query, open_query, seen},
    rows::{Encoder, micros},
    takeover::retried,
    unique::NO_RULES,
};
use crate::model::integration::{
    IntegrationEvent, State,
    rules::{Judgement, Seen},
};

/// Where live sync of an object class goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveToken {
    /// The connector.
    pub connector: String,
    /// The object class.
    pub class: String,
    /// The token that was read last; none: there was none.
    pub before: Option<String>,
    /// The token to go on with.
    pub after: String,
}

/// What decides about an arriving event.
pub type Judge<'a> = &'a (dyn Fn(&IntegrationEvent, &Seen) -> Judgement + Sync);

/// What became of what arrived.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrived {
    /// It is stored: the events as they are now, those apart that were delivered before.
    Stored(Vec<IntegrationEvent>),
    /// Another node has read on from the same token: nothing was stored.
    Overtaken,
}

/// An arrival and its row.
struct Prepared {
    event: IntegrationEvent,
    row: event::Model,
}

impl Store {
    /// Stores what arrived, in its order, each event judged by those before it; moves the token in
    /// the same transaction.
    ///
    /// # Errors
    /// The database fails, or an id is too long; nothing is stored then.
    pub async fn arrive(
        &self,
        arrivals: Vec<Arrival>,
        judge: Judge<'_>,
        moved: Option<&LiveToken>,
    ) -> Result<Arrived, Error> {
        let step = "store integration events";
        let core = self.core();
        let confidential = core.confidential.load();
        let encoder = Encoder {
            keys: &core.keys,
            confidential: &confidential,
            rules: &NO_RULES,
            now: core.clock.now(),
        };
        let prepare = |arrival: Arrival| {
            let event = arrival.event.clone();
            let row = encoder.arrival(arrival)?;
            Ok(Prepared { event, row })
        };
        let prepared: Result<Vec<Prepared>, Refusal> = arrivals.into_iter().map(prepare).collect();
        let prepared = prepared.map_err(Error::at(step))?;
        let stored = retried(|| store(core, &prepared, judge, moved)).await;
        let stored = stored.map_err(Error::at(step))?;
        if matches!(&stored, Arrived::Stored(events) if !events.is_empty()) {
            core.queued.notify_one();
        }
        Ok(stored)
    }

    /// Those of these external ids of which there is a copy, or an event on its way to one; one
    /// query.
    ///
    /// # Errors
    /// The database fails.
    pub async fn known_records(
        &self,
        connector: &str,
        class: &str,
        external_ids: &[&String],
    ) -> Result<BTreeSet<String>, Error> {
        let step = "look for known records";
        if external_ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let prefix = format!("in/{connector}/{class}/");
        let lanes = || padded(external_ids.iter().map(|id| format!("{prefix}{id}")));
        let open = [State::Queued, State::Processing, State::Errored].map(State::as_str);
        let on_the_way = Query::select()
            .column(event::Column::Lane)
            .from(event::Entity)
            .and_where(Expr::col(event::Column::Lane).is_in(lanes()))
            .and_where(Expr::col(event::Column::State).is_in(open))
            .to_owned();
        let query = Query::select()
            .column(record::Column::Lane)
            .from(record::Entity)
            .and_where(Expr::col(record::Column::Lane).is_in(lanes()))
            .and_where(Expr::col(record::Column::Body).is_not_null())
            .union(UnionType::Distinct, on_the_way)
            .to_owned();
        let rows = self.core().database.fresh().query_all(&query).await;
        let rows = rows.map_err(Error::at(step))?;
        let lane = |row: &QueryResult| row.try_get_by_index::<String>(0);
        let lanes: Result<Vec<String>, DbErr> = rows.iter().map(lane).collect();
        let lanes = lanes.map_err(Error::at(step))?;
        let ids = lanes.iter().filter_map(|lane| lane.strip_prefix(&prefix));
        Ok(ids.map(str::to_owned).collect())
    }

    /// The ids of the records of an object class of which there is a copy, behind one of them, in
    /// their order.
    ///
    /// # Errors
    /// The database fails.
    pub async fn copied_ids(
        &self,
        connector: &str,
        class: &str,
        behind: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let step = "list copies of external records";
        let prefix = format!("in/{connector}/{class}/");
        // The first text behind all that begin like this.
        let end = format!("in/{connector}/{class}0");
        let behind = format!("{prefix}{}", behind.unwrap_or_default());
        let query = Query::select()
            .column(record::Column::Lane)
            .from(record::Entity)
            .and_where(Expr::col(record::Column::Lane).gt(behind))
            .and_where(Expr::col(record::Column::Lane).lt(end))
            .and_where(Expr::col(record::Column::Body).is_not_null())
            .order_by(record::Column::Lane, Order::Asc)
            .limit(limit as u64)
            .to_owned();
        let rows = self.core().database.fresh().query_all(&query).await;
        let rows = rows.map_err(Error::at(step))?;
        let id = |row: &QueryResult| {
            let lane: String = row.try_get_by_index(0)?;
            Ok(lane.strip_prefix(&prefix).unwrap_or_default().to_owned())
        };
        let ids: Result<Vec<String>, DbErr> = rows.iter().map(id).collect();
        ids.map_err(Error::at(step))
    }

    /// The token with which live sync of an object class goes on; none: it has not begun.
    ///
    /// # Errors
    /// The database fails.
    pub async fn live_token(&self, connector: &str, class: &str) -> Result<Option<String>, Error> {
        let key = (connector.to_owned(), class.to_owned());
        let row = token::Entity::find_by_id(key)
            .one(self.core().database.fresh())
            .await
            .map_err(Error::at("read how far live sync is"))?;
        Ok(row.map(|row| row.token))
    }
}

async fn store(
    core: &Core,
    prepared: &[Prepared],
    judge: Judge<'_>,
    moved: Option<&LiveToken>,
) -> Result<Arrived, DbErr> {
    let now = micros(core.clock.now());
    let mut transaction = core.database.begin().await?;
    if let Some(moved) = moved
        && !move_token(&mut transaction, moved, now).await?
    {
        transaction.rollback().await?;
        return Ok(Arrived::Overtaken);
    }
    let mut events = Vec::with_capacity(prepared.len());
    for one in prepared {
        if was_delivered(&mut transaction, &one.row).await? {
            continue;
        }
        let judgement = judge(&one.event, &seen_by(&mut transaction, &one.event).await?);
        let event = judged(&one.event, &judgement, core);
        insert(&mut transaction, vec![row_of(&one.row, &event)], None).await?;
        cancel(&mut transaction, &judgement.cancels, event.id, now).await?;
        events.push(event);
    }
    let committed = transaction.commit().await;
    committed.map_err(CommitError::into_cause)?;
    Ok(Arrived::Stored(events))
}

async fn seen_by(transaction: &mut Transaction, arrived: &IntegrationEvent) -> Result<Seen, DbErr> {
    let mut found = Vec::new();
    for query in [open_query(arrived), newest_query(arrived)] {
        found.extend(transaction.all(&query.into_query()).await?);
    }
    let rows: Result<Vec<event::Model>, DbErr> = found
        .iter()
        .map(|row| event::Model::from_query_result(row, ""))
        .collect();
    let query = record::Entity::find_by_id(arrived.lane()).into_query();
    let copies = transaction.all(&query).await?;
    let copy = copies
        .first()
        .map(|row| record::Model::from_query_result(row, ""))
        .transpose()?;
    Ok(seen(arrived, &rows?, copy.as_ref()))
}

/// Whether the same delivery of this connector is here already.
async fn was_delivered(transaction: &mut Transaction, row: &event::Model) -> Result<bool, DbErr> {
    let Some(delivery) = &row.delivery else {
        return Ok(false);
    };
    let query = event::Entity::find()
        .select_only()
        .column(event::Column::Id)
        .filter(Expr::col(event::Column::Delivery).eq(delivery.as_str()))
        .filter(Expr::col(event::Column::Connector).eq(row.connector.as_str()))
        .filter(Expr::col(event::Column::CreatedAt).lt(row.created_at))
        .limit(1)
        .into_query();
    Ok(!transaction.all(&query).await?.is_empty())
}

/// The event with what it was judged to be. One that may be carried out waits for its turn, which
/// comes at once.
fn judged(event: &IntegrationEvent, judgement: &Judgement, core: &Core) -> IntegrationEvent {
    let state = judgement.state.unwrap_or(State::Queued);
    let newer = judgement.newer_object.as_ref();
    let newer = newer.map(|name| (name.id.clone(), name.container.to_string()));
    let event_id = |id: Uuid| (id.to_string(), "integrationEvent".to_owned());
    let newer = judgement.newer_event.map(event_id).or(newer);
    let (ignored_for_id, ignored_for_type) = newer.unzip();
    IntegrationEvent {
        state,
        duplicate_of: judgement.duplicate_of.map(|id| id.to_string()),
        ignored_for_id,
        ignored_for_type,
        ended_at: (state != State::Queued).then(|| core.clock.now()),
        ..event.clone()
    }
}

fn row_of(row: &event::Model, event: &IntegrationEvent) -> event::Model {
    event::Model {
        state: event.state.as_str().to_owned(),
        duplicate_of: event.duplicate_of.clone(),
        ignored_for_id: event.ignored_for_id.clone(),
        ignored_for_type: event.ignored_for_type.clone(),
        ended_at: event.ended_at.map(micros),
        ..row.clone()
    }
}

async fn cancel(
    transaction: &mut Transaction,
    events: &[Uuid],
    by: Uuid,
    now: i64,
) -> Result<(), DbErr> {
    use event::Column;
    if events.is_empty() {
        return Ok(());
    }
    let waits = [State::Queued, State::Errored].map(State::as_str);
    let statement = Query::update()
        .table(event::Entity)
        .value(Column::State, State::Canceled.as_str())
        .value(Column::CanceledBy, by.to_string())
        .value(Column::NextAttemptAt, Option::<i64>::None)
        .value(Column::EndedAt, now)
        .and_where(Expr::col(Column::Id).is_in(events.iter().map(Uuid::to_string)))
        .and_where(Expr::col(Column::State).is_in(waits))
        .to_owned();
    transaction.execute(&statement).await?;
    Ok(())
}

/// Moves the token on; false where it is not what was read from any more.
async fn move_token(
    transaction: &mut Transaction,
    moved: &LiveToken,
    now: i64,
) -> Result<bool, DbErr> {
    use token::Column;
    let Some(before) = &moved.before else {
        let first = Query::insert()
            .into_table(token::Entity)
            .columns([
                Column::Connector,
                Column::Class,
                Column::MovedAt,
                Column::Token,
            ])
            .values([
                moved.connector.as_str().into(),
                moved.class.as_str().into(),
                now.into(),
                moved.after.as_str().into(),
            ])
            .map_err(|error| DbErr::Custom(error.to_string()))?
            .on_conflict(
                OnConflict::columns([Column::Connector, Column::Class])
                    .do_nothing_on([Column::Connector])
                    .to_owned(),
            )
            .to_owned();
        return Ok(transaction.execute(&first).await? == 1);
    };
    let on = Query::update()
        .table(token::Entity)
        .value(Column::Token, moved.after.as_str())
        .value(Column::MovedAt, now)
        .and_where(Expr::col(Column::Connector).eq(moved.connector.as_str()))
        .and_where(Expr::col(Column::Class).eq(moved.class.as_str()))
        .and_where(Expr::col(Column::Token).eq(before.as_str()))
        .to_owned();
    Ok(transaction.execute(&on).await? == 1)
}
