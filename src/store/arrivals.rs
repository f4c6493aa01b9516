//! Integration events arriving: judged by what is known of their external id, and stored together
//! with how far their source has been read.
use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
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
    integration_rows::{body_place, opened},
    integrations::{newest_query, open_query, seen},
    rows::{Encoder, from_micros, micros},
    takeover::retried,
    unique::NO_RULES,
};
use crate::model::{
    Object,
    integration::{
        Direction, IntegrationEvent, State,
        rules::{Judgement, Seen},
    },
};

/// Most deliveries in one query.
const DELIVERIES: usize = 64;

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

/// What tells which of two records of the same external id is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// Their times.
    ByTime,
    /// They are told one after the other: a record that is another one is later than what is known,
    /// whatever its clock says.
    AsTold,
}

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
    /// What the record is.
    after: Option<Object>,
    follows: bool,
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
        (judge, sequence): (Judge<'_>, Sequence),
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
            let after = arrival.payload.after.clone();
            let row = encoder.arrival(arrival)?;
            let follows = sequence == Sequence::AsTold;
            Ok(Prepared {
                event,
                row,
                after: after.filter(|_| follows),
                follows,
            })
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
    let known = delivered_before(&mut transaction, prepared).await?;
    let mut events = Vec::with_capacity(prepared.len());
    for one in prepared {
        if is_known(&known, &one.row) {
            continue;
        }
        let mut arrived = one.event.clone();
        if one.follows {
            arrived.updated_at = follow(core, &mut transaction, one).await?;
        }
        let judgement = judge(&arrived, &seen_by(&mut transaction, &arrived).await?);
        let event = judged(&arrived, &judgement, core);
        insert(&mut transaction, vec![row_of(&one.row, &event)], None).await?;
        cancel(&mut transaction, &judgement.cancels, event.id, now).await?;
        events.push(event);
    }
    let committed = transaction.commit().await;
    committed.map_err(CommitError::into_cause)?;
    Ok(Arrived::Stored(events))
}

/// The time of an event that is told behind everything that is known of its external id: its own, or
/// a moment behind the latest. A record that is as it was has the time of our copy, or a later one of
/// its own.
async fn follow(
    core: &Core,
    transaction: &mut Transaction,
    one: &Prepared,
) -> Result<DateTime<Utc>, DbErr> {
    let arrived = &one.event;
    let open = transaction.all(&open_query(arrived).into_query()).await?;
    let newest = transaction.all(&newest_query(arrived).into_query()).await?;
    let mut latest = None;
    for row in open.iter().chain(&newest) {
        let row = event::Model::from_query_result(row, "")?;
        latest = Ord::max(latest, Some(row.updated_at));
    }
    let query = record::Entity::find_by_id(arrived.lane()).into_query();
    if let Some(row) = transaction.all(&query).await?.first() {
        let copy = record::Model::from_query_result(row, "")?;
        let is_same = copied_body(core, &copy).is_ok_and(|body| body == one.after);
        if is_same && open.is_empty() {
            return Ok(Ord::max(arrived.updated_at, from_micros(copy.updated_at)));
        }
        latest = Ord::max(latest, Some(copy.updated_at));
    }
    let behind = latest.map(|latest| from_micros(latest.saturating_add(1)));
    Ok(behind.map_or(arrived.updated_at, |behind| {
        Ord::max(arrived.updated_at, behind)
    }))
}

/// What a copy holds; none: the record is gone.
fn copied_body(core: &Core, copy: &record::Model) -> Result<Option<Object>, Refusal> {
    let Some(text) = &copy.body else {
        return Ok(None);
    };
    let clear = opened(&core.keys, &body_place(&[&copy.lane]), &copy.body_key, text)?;
    serde_json::from_str(&clear).map_err(|_| Refusal::Damaged("the copy of an external record"))
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

/// Which of these were delivered before: connector and delivery id of each. One delivery may bring
/// several events, so all of them are looked up before any of them is stored.
async fn delivered_before(
    transaction: &mut Transaction,
    prepared: &[Prepared],
) -> Result<HashSet<(String, String)>, DbErr> {
    let deliveries: Vec<&String> = prepared
        .iter()
        .filter_map(|one| one.row.delivery.as_ref())
        .collect();
    let mut known = HashSet::new();
    for part in deliveries.chunks(DELIVERIES) {
        let part = padded(part.iter().map(|delivery| delivery.as_str()));
        let query = event::Entity::find()
            .select_only()
            .column(event::Column::Connector)
            .column(event::Column::Delivery)
            .filter(Expr::col(event::Column::Delivery).is_in(part))
            .filter(Expr::col(event::Column::Direction).eq(Direction::Inbound.as_str()))
            .into_query();
        for row in transaction.all(&query).await? {
            known.insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        }
    }
    Ok(known)
}

fn is_known(known: &HashSet<(String, String)>, row: &event::Model) -> bool {
    let delivery = row.delivery.clone();
    delivery.is_some_and(|delivery| known.contains(&(row.connector.clone(), delivery)))
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
        updated_at: micros(event.updated_at),
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
