//! Counts for people: how changes ended over time and how long they took, and what is stuck.
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ConnectionTrait as _, DbErr, QueryResult,
    sea_query::{
        Alias, Asterisk, CaseStatement, Expr, ExprTrait as _, Order as Direction, Query,
        SelectStatement,
    },
};

use super::{
    Core, Error, Store,
    entity::{audit_entry, integration_event as event, operation},
    rows::{from_micros, micros},
};
use crate::model::{OperationRecord, Outcome, integration::State};

/// Bounds of the classes of duration, in milliseconds; what takes longer is a class of its own.
pub const SPEEDS: [i64; 12] = [2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// How many changes began in one span of time, ended one way and took about as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// When the span begins.
    pub at: DateTime<Utc>,
    /// How they ended; none: they have not.
    pub outcome: Option<Outcome>,
    /// The class of duration: a place in [`SPEEDS`], or one more.
    pub speed: usize,
    /// How many.
    pub count: u64,
}

/// Integration events that do not get on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckEvents {
    /// The connector, or the subscription of deliveries.
    pub connector: String,
    /// `inbound`, `outbound` or `delivery`.
    pub direction: String,
    /// How many failed, dead letters included.
    pub errored: u64,
    /// How many of them are not tried again by themselves.
    pub dead: u64,
}

impl Store {
    /// Counts changes that somebody asked for and that began at or after a time, by spans of
    /// `width`. Reads an index only.
    ///
    /// # Errors
    /// The database fails.
    pub async fn tally(&self, since: DateTime<Utc>, width: TimeDelta) -> Result<Vec<Tally>, Error> {
        let step = "count changes";
        self.flush().await?;
        let width = width.num_microseconds().filter(|width| *width > 0);
        let query = tally_query(micros(since), width.unwrap_or(1));
        let rows = self.core().database.reader().query_all(&query).await;
        let rows = rows.map_err(Error::at(step))?;
        rows.iter()
            .map(tallied)
            .collect::<Result<_, _>>()
            .map_err(Error::at(step))
    }

    /// Changes whose divergence waits for somebody, newest first, at most `count`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn open_divergences(&self, count: u64) -> Result<Vec<OperationRecord>, Error> {
        self.flush().await?;
        let query = Query::select()
            .column(operation::Column::Record)
            .from(operation::Entity)
            .and_where(Expr::col(operation::Column::Outcome).eq(Outcome::Diverged.as_str()))
            .and_where(Expr::col(operation::Column::OpenDivergence).eq(1))
            .and_where(Expr::col(operation::Column::Depth).eq(0))
            .order_by(operation::Column::Id, Direction::Desc)
            .limit(count)
            .to_owned();
        records(self.core(), &query).await
    }

    /// The latest changes, newest first, nested ones too.
    ///
    /// # Errors
    /// The database fails.
    pub async fn latest_records(&self, count: u64) -> Result<Vec<OperationRecord>, Error> {
        self.flush().await?;
        let query = Query::select()
            .column(operation::Column::Record)
            .from(operation::Entity)
            .order_by(operation::Column::Id, Direction::Desc)
            .limit(count)
            .to_owned();
        records(self.core(), &query).await
    }

    /// Integration events and deliveries that failed, by connector and direction.
    ///
    /// # Errors
    /// The database fails.
    pub async fn stuck_events(&self) -> Result<Vec<StuckEvents>, Error> {
        let step = "count what is stuck";
        self.flush().await?;
        let dead = CaseStatement::new()
            .case(Expr::col(event::Column::NextAttemptAt).is_null(), 1_i64)
            .finally(0_i64);
        let query = Query::select()
            .columns([event::Column::Connector, event::Column::Direction])
            .expr(Expr::col(Asterisk).count())
            .expr_as(dead, Alias::new("dead"))
            .from(event::Entity)
            .and_where(Expr::col(event::Column::State).eq(State::Errored.as_str()))
            .group_by_columns([event::Column::Connector, event::Column::Direction])
            .group_by_col(Alias::new("dead"))
            .order_by(event::Column::Connector, Direction::Asc)
            .order_by(event::Column::Direction, Direction::Asc)
            .to_owned();
        let rows = self.core().database.reader().query_all(&query).await;
        let mut found: Vec<StuckEvents> = Vec::new();
        for row in rows.map_err(Error::at(step))? {
            let (one, dead) = stuck(&row).map_err(Error::at(step))?;
            let known = found
                .iter_mut()
                .find(|known| known.connector == one.connector && known.direction == one.direction);
            let dead_count = if dead == 0 { 0 } else { one.errored };
            match known {
                Some(known) => {
                    known.errored += one.errored;
                    known.dead += dead_count;
                }
                None => found.push(StuckEvents {
                    dead: dead_count,
                    ..one
                }),
            }
        }
        Ok(found)
    }

    /// The place of the last audit entry: it moves whenever anything was settled, on any node.
    ///
    /// # Errors
    /// The database fails.
    pub async fn newest_entry(&self) -> Result<i64, Error> {
        let step = "find the newest audit entry";
        let query = Query::select()
            .expr(Expr::col(audit_entry::Column::Position).max())
            .from(audit_entry::Entity)
            .to_owned();
        let row = self.core().database.reader().query_one(&query).await;
        let newest: Option<i64> = match row.map_err(Error::at(step))? {
            Some(row) => row.try_get_by_index(0).map_err(Error::at(step))?,
            None => None,
        };
        Ok(newest.unwrap_or_default())
    }
}

fn tally_query(since: i64, width: i64) -> SelectStatement {
    use operation::Column;
    let started = || Expr::col(Column::StartedAt);
    let span = started().sub(started().modulo(width));
    let took = || Expr::col(Column::EndedAt).sub(started());
    let mut speed = CaseStatement::new().case(Expr::col(Column::EndedAt).is_null(), -1_i64);
    for (class, bound) in (0_i64..).zip(SPEEDS) {
        speed = speed.case(took().lte(bound * 1_000), class);
    }
    let slowest = i64::try_from(SPEEDS.len()).unwrap_or(-1);
    Query::select()
        .expr_as(span, Alias::new("span"))
        .column(Column::Outcome)
        .expr_as(speed.finally(slowest), Alias::new("speed"))
        .expr(Expr::col(Asterisk).count())
        .from(operation::Entity)
        .and_where(started().gte(since))
        .and_where(Expr::col(Column::Depth).eq(0))
        .group_by_col(Alias::new("span"))
        .group_by_col(Column::Outcome)
        .group_by_col(Alias::new("speed"))
        .to_owned()
}

fn tallied(row: &QueryResult) -> Result<Tally, DbErr> {
    let outcome: Option<String> = row.try_get_by_index(1)?;
    let (speed, count): (i64, i64) = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
    Ok(Tally {
        at: from_micros(row.try_get_by_index(0)?),
        outcome: outcome.and_then(|word| {
            let mut all = Outcome::ALL.into_iter();
            all.find(|outcome| outcome.as_str() == word)
        }),
        speed: usize::try_from(speed).unwrap_or(SPEEDS.len()),
        count: count.unsigned_abs(),
    })
}

fn stuck(row: &QueryResult) -> Result<(StuckEvents, i64), DbErr> {
    let count: i64 = row.try_get_by_index(2)?;
    let one = StuckEvents {
        connector: row.try_get_by_index(0)?,
        direction: row.try_get_by_index(1)?,
        errored: count.unsigned_abs(),
        dead: 0,
    };
    Ok((one, row.try_get_by_index(3)?))
}

async fn records(core: &Core, query: &SelectStatement) -> Result<Vec<OperationRecord>, Error> {
    let step = "read changes";
    let rows = core.database.reader().query_all(query).await;
    let rows = rows.map_err(Error::at(step))?;
    rows.iter()
        .map(|row| {
            let text: String = row.try_get_by_index(0).map_err(Error::at(step))?;
            super::decode::record(&text)
        })
        .collect()
}
