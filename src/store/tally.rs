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
    look::holds,
    rows::{from_micros, micros},
};
use crate::model::{Object, OperationRecord, Outcome, audit::Topic, integration::State};

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

    /// When changes that somebody asked for were rejected, at or after a time, newest first: most of
    /// them leave an audit entry and nothing else. Looks at the latest `most` entries of activity;
    /// gives how far back that is where it is not far enough.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rejections(
        &self,
        since: DateTime<Utc>,
        most: u64,
    ) -> Result<(Vec<DateTime<Utc>>, Option<DateTime<Utc>>), Error> {
        use audit_entry::Column;
        let step = "count rejections";
        self.flush().await?;
        let latest = latest_activity(most)
            .columns([Column::Timestamp, Column::Body])
            .and_where(Expr::col(Column::Timestamp).gte(micros(since)))
            .to_owned();
        let backend = self.core().database.backend();
        let says = |text: &str| holds(Column::Body, text, backend);
        let query = Query::select()
            .column(Column::Timestamp)
            .from_subquery(latest, Alias::new("latest"))
            .and_where(says("\"outcome\":\"rejected\""))
            .and_where(says("\"parent\":\"").not())
            .order_by(Column::Timestamp, Direction::Desc)
            .to_owned();
        // The oldest of them, where there are as many: read from the index alone.
        let oldest = latest_activity(1)
            .column(Column::Timestamp)
            .offset(most.saturating_sub(1))
            .to_owned();
        let reader = self.core().database.reader();
        let rows = reader.query_all(&query).await.map_err(Error::at(step))?;
        let at = |row: &QueryResult| row.try_get_by_index(0).map(from_micros);
        let found = rows.iter().map(at).collect::<Result<_, _>>();
        let row = reader.query_one(&oldest).await.map_err(Error::at(step))?;
        let reach = row.as_ref().map(at).transpose().map_err(Error::at(step))?;
        let reach = reach.filter(|reach| *reach > since);
        Ok((found.map_err(Error::at(step))?, reach))
    }

    /// The runs of hooks among the latest `most` audit entries of activity, newest first: each with
    /// the change, and the entry's fields.
    ///
    /// # Errors
    /// The database fails.
    pub async fn latest_hook_entries(
        &self,
        most: u64,
    ) -> Result<Vec<(Option<uuid::Uuid>, Object)>, Error> {
        use audit_entry::Column;
        let step = "read runs of hooks";
        self.flush().await?;
        let latest = latest_activity(most)
            .columns([
                Column::Timestamp,
                Column::Position,
                Column::Operation,
                Column::Body,
            ])
            .to_owned();
        let query = Query::select()
            .columns([Column::Operation, Column::Body])
            .from_subquery(latest, Alias::new("latest"))
            .and_where(holds(
                Column::Body,
                "\"eventName\":\"hook\"",
                self.core().database.backend(),
            ))
            .order_by(Column::Timestamp, Direction::Desc)
            .order_by(Column::Position, Direction::Desc)
            .to_owned();
        let rows = self.core().database.reader().query_all(&query).await;
        let run = |row: &QueryResult| {
            let operation: Option<String> = row.try_get_by_index(0)?;
            let body: String = row.try_get_by_index(1)?;
            let fields =
                serde_json::from_str(&body).map_err(|error| DbErr::Json(error.to_string()))?;
            Ok((operation.and_then(|id| id.parse().ok()), fields))
        };
        let runs = rows
            .map_err(Error::at(step))?
            .iter()
            .map(run)
            .collect::<Result<_, DbErr>>();
        runs.map_err(Error::at(step))
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

/// The latest entries of activity, by the index on topic and time.
fn latest_activity(most: u64) -> SelectStatement {
    Query::select()
        .from(audit_entry::Entity)
        .and_where(Expr::col(audit_entry::Column::Topic).eq(Topic::Activity.as_str()))
        .order_by(audit_entry::Column::Timestamp, Direction::Desc)
        .limit(most)
        .to_owned()
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
