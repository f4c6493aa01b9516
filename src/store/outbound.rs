//! Integration events that go out: stored with the change that they are of, each in the place of those
//! of its object that wait.
use std::collections::{BTreeMap, HashSet};

use sea_orm::{
    ConnectionTrait as _, DbErr, QueryResult,
    sea_query::{Cond, Expr, ExprTrait as _, Query, SelectStatement, UpdateStatement},
};

use super::{
    Error, Store,
    batch::{insert, padded},
    connection::Transaction,
    entity::integration_event as event,
};
use crate::model::integration::State;

/// Most lanes in one query.
const LANES: usize = 64;

impl Store {
    /// Those of these lanes in which an event waits, or is to be tried again, that is told for the first
    /// time.
    ///
    /// # Errors
    /// The database fails.
    pub async fn lanes_with_live_events(&self, lanes: &[String]) -> Result<HashSet<String>, Error> {
        let step = "look for live events";
        self.flush().await?;
        let mut live = HashSet::new();
        for part in lanes.chunks(LANES) {
            let part: Vec<&str> = part.iter().map(String::as_str).collect();
            let query = live_query(&part);
            let rows = self.core().database.fresh().query_all(&query).await;
            let rows = rows.map_err(Error::at(step))?;
            live.extend(lanes_of(&rows).map_err(Error::at(step))?);
        }
        Ok(live)
    }
}

fn live_query(lanes: &[&str]) -> SelectStatement {
    use event::Column;
    let is = |state: State| Expr::col(Column::State).eq(state.as_str());
    let again = is(State::Errored).and(Expr::col(Column::NextAttemptAt).is_not_null());
    Query::select()
        .column(Column::Lane)
        .from(event::Entity)
        .and_where(Expr::col(Column::Lane).is_in(padded(lanes.iter().copied())))
        .and_where(Expr::col(Column::Replay).is_null())
        .cond_where(Cond::any().add(is(State::Queued)).add(again))
        .to_owned()
}

fn lanes_of(rows: &[QueryResult]) -> Result<HashSet<String>, DbErr> {
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Stores events that go out: each takes the place of those of its object that wait. What is told
/// again takes no live one's place: that one brings the same, and what a replay leaves out. Nodes' clocks
/// differ, and a clock may go back: what is stored later is later by its time all the same.
pub(super) async fn enqueue(
    transaction: &mut Transaction,
    events: Vec<event::Model>,
    now: i64,
) -> Result<(), DbErr> {
    let mut newest = newest_of(transaction, &events).await?;
    let replayed: Vec<&str> = events
        .iter()
        .filter(|row| row.replay.is_some())
        .map(|row| row.lane.as_str())
        .collect();
    let mut live = HashSet::new();
    for part in replayed.chunks(LANES) {
        live.extend(lanes_of(&transaction.all(&live_query(part)).await?)?);
    }
    for mut row in events {
        if row.replay.is_none() {
            live.insert(row.lane.clone());
        } else if live.contains(&row.lane) {
            continue;
        }
        if let Some(newest) = newest.get(&row.lane) {
            row.updated_at = Ord::max(row.updated_at, newest.saturating_add(1));
        }
        newest.insert(row.lane.clone(), row.updated_at);
        transaction.execute(&canceling(&row, now)).await?;
        insert(transaction, vec![row], None).await?;
    }
    Ok(())
}

/// The latest time of any event in the lanes of these.
async fn newest_of(
    transaction: &mut Transaction,
    events: &[event::Model],
) -> Result<BTreeMap<String, i64>, DbErr> {
    use event::Column;
    let mut newest = BTreeMap::new();
    for part in events.chunks(LANES) {
        let lanes = padded(part.iter().map(|row| row.lane.as_str()));
        let query = Query::select()
            .column(Column::Lane)
            .expr(Expr::col(Column::UpdatedAt).max())
            .from(event::Entity)
            .and_where(Expr::col(Column::Lane).is_in(lanes))
            .group_by_col(Column::Lane)
            .to_owned();
        for row in transaction.all(&query).await? {
            newest.insert(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        }
    }
    Ok(newest)
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
