//! Dropping what is kept no longer, a few rows at a time: nobody waits for one long statement.
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait as _, DbErr, QueryResult,
    sea_query::{Expr, ExprTrait as _, JoinType, Order as Direction, Query, SelectStatement},
};

use super::{
    Error, Store,
    batch::padded,
    entity::{
        idempotency, integration_event as event, intent, lane, operation, recon_entry, recon_run,
        recon_spill,
    },
    listed::met_by,
    rows::micros,
};
use crate::model::{
    integration::State,
    recon::{Run, RunState},
};

/// How many rows one statement drops.
const BATCH: u64 = 500;
/// The same for what a target listed: small rows, and many.
const SPILLED: u64 = 5_000;

/// An intent and its change, as far as it matters here.
struct Held {
    id: String,
    started_at: i64,
    /// Whether the change is over for good, and since before the time that was given.
    is_over: bool,
}

impl Store {
    /// Drops intents of changes that ended before `before` and are no open divergence; tells how
    /// many. What is known of an object's latest change goes with them: a plan that is older than
    /// that is stale.
    ///
    /// Ids grow with time, so the walk along them comes to its end at the first page of changes
    /// that began later.
    ///
    /// # Errors
    /// The database fails; what was dropped until then is dropped.
    pub async fn forget_intents(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        self.flush().await?;
        let (mut dropped, mut after) = (0, String::new());
        loop {
            let page = self.held_intents(&after, micros(before)).await;
            let page = page.map_err(Error::at("look for old intents"))?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            let (is_late, is_last) = (
                page.iter().all(|held| held.started_at >= micros(before)),
                (page.len() as u64) < BATCH,
            );
            let over = page.into_iter().filter(|held| held.is_over);
            dropped += self
                .drop_intents(over.map(|held| held.id).collect())
                .await?;
            if is_late || is_last {
                break;
            }
        }
        self.forget_lanes(before).await?;
        Ok(dropped)
    }

    async fn held_intents(&self, after: &str, before: i64) -> Result<Vec<Held>, DbErr> {
        use operation::Column;
        let of_change = |column: Column| Expr::col((operation::Entity, column));
        let query = Query::select()
            .column((intent::Entity, intent::Column::Operation))
            .expr(of_change(Column::StartedAt))
            .expr(of_change(Column::EndedAt))
            .expr(of_change(Column::Outcome))
            .expr(of_change(Column::OpenDivergence))
            .from(intent::Entity)
            .join(
                JoinType::InnerJoin,
                operation::Entity,
                of_change(Column::Id).equals((intent::Entity, intent::Column::Operation)),
            )
            .and_where(Expr::col((intent::Entity, intent::Column::Operation)).gt(after))
            .order_by((intent::Entity, intent::Column::Operation), Direction::Asc)
            .limit(BATCH)
            .to_owned();
        let rows = self.core().database.reader().query_all(&query).await?;
        let held = |row: &QueryResult| {
            let ended: Option<i64> = row.try_get_by_index(2)?;
            let outcome: Option<String> = row.try_get_by_index(3)?;
            let open: i64 = row.try_get_by_index(4)?;
            Ok(Held {
                id: row.try_get_by_index(0)?,
                started_at: row.try_get_by_index(1)?,
                is_over: ended.is_some_and(|at| at < before) && outcome.is_some() && open == 0,
            })
        };
        rows.iter().map(held).collect()
    }

    /// What is being healed keeps its intent, and so do nested changes of what is in flight.
    async fn drop_intents(&self, ids: Vec<String>) -> Result<u64, Error> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids = padded(ids);
        let in_flight = Query::select()
            .column(lane::Column::Operation)
            .from(lane::Entity)
            .and_where(Expr::col(lane::Column::Operation).is_not_null())
            .to_owned();
        let nested = Query::select()
            .column(operation::Column::Id)
            .from(operation::Entity)
            .and_where(Expr::col(operation::Column::Id).is_in(ids.clone()))
            .and_where(Expr::col(operation::Column::Root).in_subquery(in_flight.clone()))
            .to_owned();
        let statement = Query::delete()
            .from_table(intent::Entity)
            .and_where(Expr::col(intent::Column::Operation).is_in(ids))
            .and_where(Expr::col(intent::Column::Operation).not_in_subquery(in_flight))
            .and_where(Expr::col(intent::Column::Operation).not_in_subquery(nested))
            .to_owned();
        let done = self.core().database.execute(&statement).await;
        done.map_err(Error::at("drop old intents"))
    }

    /// Drops lanes that have long been free: of objects that are gone, or were never stored here.
    async fn forget_lanes(&self, before: DateTime<Utc>) -> Result<(), Error> {
        use lane::Column;
        let step = "drop free lanes";
        let mut after = String::new();
        loop {
            let page = Query::select()
                .columns([Column::Object, Column::ClaimedAt])
                .from(lane::Entity)
                .and_where(Expr::col(Column::Object).gt(after.as_str()))
                .order_by(Column::Object, Direction::Asc)
                .limit(BATCH)
                .to_owned();
            let rows = self.core().database.reader().query_all(&page).await;
            let rows = rows.map_err(Error::at(step))?;
            let lane = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
            let lanes: Result<Vec<(String, i64)>, DbErr> = rows.iter().map(lane).collect();
            let lanes = lanes.map_err(Error::at(step))?;
            let Some((last, _)) = lanes.last() else {
                return Ok(());
            };
            after.clone_from(last);
            let is_last = (lanes.len() as u64) < BATCH;
            let old = lanes.into_iter().filter(|(_, at)| *at < micros(before));
            let old: Vec<String> = old.map(|(object, _)| object).collect();
            if !old.is_empty() {
                let statement = Query::delete()
                    .from_table(lane::Entity)
                    .and_where(Expr::col(Column::Object).is_in(padded(old)))
                    .and_where(Expr::col(Column::Operation).is_null())
                    .and_where(Expr::col(Column::OpenDivergence).eq(0))
                    .and_where(Expr::col(Column::ClaimedAt).lt(micros(before)))
                    .to_owned();
                let done = self.core().database.execute(&statement).await;
                done.map_err(Error::at(step))?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Forgets idempotency keys older than `before`; tells how many.
    ///
    /// # Errors
    /// The database fails; what was dropped until then is dropped.
    pub async fn forget_keys(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        use idempotency::Column;
        let step = "forget idempotency keys";
        let database = &self.core().database;
        let mut dropped = 0;
        loop {
            let page = Query::select()
                .column(Column::CreatedAt)
                .from(idempotency::Entity)
                .and_where(Expr::col(Column::CreatedAt).lt(micros(before)))
                .order_by(Column::CreatedAt, Direction::Asc)
                .limit(BATCH)
                .to_owned();
            let rows = database.fresh().query_all(&page).await;
            let rows = rows.map_err(Error::at(step))?;
            let Some(last) = rows.last() else {
                return Ok(dropped);
            };
            let last: i64 = last.try_get_by_index(0).map_err(Error::at(step))?;
            // With them go those of the very same moment: few.
            let statement = Query::delete()
                .from_table(idempotency::Entity)
                .and_where(Expr::col(Column::CreatedAt).lte(last))
                .to_owned();
            let done = database.execute(&statement).await;
            dropped += done.map_err(Error::at(step))?;
        }
    }

    /// Drops what a run's target listed, and which target objects it met.
    ///
    /// # Errors
    /// The database fails; what was dropped until then is dropped.
    pub async fn forget_listed(&self, run: uuid::Uuid) -> Result<(), Error> {
        use recon_spill::Column;
        let step = "drop what a target listed";
        let database = &self.core().database;
        for list in [run, met_by(run)] {
            let of_list = || Expr::col(Column::Run).eq(list.to_string());
            loop {
                let page = Query::select()
                    .column(Column::Id)
                    .from(recon_spill::Entity)
                    .and_where(of_list())
                    .order_by(Column::Id, Direction::Asc)
                    .limit(SPILLED)
                    .to_owned();
                let ids = self.texts(&page).await.map_err(Error::at(step))?;
                let Some(last) = ids.last() else { break };
                let statement = Query::delete()
                    .from_table(recon_spill::Entity)
                    .and_where(of_list())
                    .and_where(Expr::col(Column::Id).lte(last.as_str()))
                    .to_owned();
                let done = database.execute(&statement).await;
                done.map_err(Error::at(step))?;
            }
        }
        Ok(())
    }

    /// Drops integration events and deliveries that came to their end before a time; tells how many.
    /// Dead letters stay until somebody has looked at them.
    ///
    /// # Errors
    /// The database fails; what was dropped until then is dropped.
    pub async fn forget_integrations(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        use event::Column;
        let step = "drop settled integration events";
        let open = [State::Queued, State::Processing, State::Errored].map(State::as_str);
        let settled = || {
            Expr::col(Column::EndedAt)
                .lt(micros(before))
                .and(Expr::col(Column::State).is_not_in(open))
        };
        let mut dropped = 0;
        loop {
            let page = Query::select()
                .column(Column::Id)
                .from(event::Entity)
                .and_where(settled())
                .order_by(Column::EndedAt, Direction::Asc)
                .limit(BATCH)
                .to_owned();
            let ids = self.texts(&page).await.map_err(Error::at(step))?;
            let is_last = (ids.len() as u64) < BATCH;
            if !ids.is_empty() {
                let statement = Query::delete()
                    .from_table(event::Entity)
                    .and_where(Expr::col(Column::Id).is_in(padded(ids)))
                    .and_where(settled())
                    .to_owned();
                let done = self.core().database.execute(&statement).await;
                dropped += done.map_err(Error::at(step))?;
            }
            if is_last {
                return Ok(dropped);
            }
        }
    }

    /// Drops reconciliations that ended before a time, with their entries; tells how many. One that
    /// holds something back stays until that is approved, or until a later full run of its mapping
    /// has looked at the same records.
    ///
    /// # Errors
    /// The database fails; what was dropped until then is dropped.
    pub async fn forget_runs(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        use recon_run::Column;
        let step = "drop old reconciliations";
        let mut latest = std::collections::BTreeMap::<String, uuid::Uuid>::new();
        let (mut dropped, mut bound) = (0, None::<String>);
        loop {
            // Newest first, so that later runs of the same mapping are known.
            let mut page = Query::select();
            page.columns([Column::Body])
                .from(recon_run::Entity)
                .and_where(Expr::col(Column::Active).is_null())
                .order_by(Column::Id, Direction::Desc)
                .limit(BATCH);
            if let Some(bound) = &bound {
                page.and_where(Expr::col(Column::Id).lt(bound.as_str()));
            }
            let bodies = self.texts(&page).await.map_err(Error::at(step))?;
            let is_last = (bodies.len() as u64) < BATCH;
            for body in bodies {
                let Ok(run) = serde_json::from_str::<Run>(&body) else {
                    continue;
                };
                bound = Some(run.id.to_string());
                let is_old = run.ended.is_some_and(|ended| ended < before);
                if is_old && (!holds_back(&run) || latest.contains_key(&run.mapping)) {
                    // Where a node ended between a run's end and this, it is still there.
                    self.forget_listed(run.id).await?;
                    self.drop_run(run.id).await.map_err(Error::at(step))?;
                    dropped += 1;
                }
                if is_whole_word(&run) {
                    latest.entry(run.mapping).or_insert(run.id);
                }
            }
            if is_last {
                return Ok(dropped);
            }
        }
    }

    async fn drop_run(&self, id: uuid::Uuid) -> Result<(), DbErr> {
        use recon_entry::Column;
        let database = &self.core().database;
        let of_run = || Expr::col(Column::Run).eq(id.to_string());
        loop {
            let page = Query::select()
                .column(Column::Number)
                .from(recon_entry::Entity)
                .and_where(of_run())
                .order_by(Column::Number, Direction::Asc)
                .limit(BATCH)
                .to_owned();
            let rows = database.fresh().query_all(&page).await?;
            let Some(last) = rows.last() else { break };
            let last: i64 = last.try_get_by_index(0)?;
            let statement = Query::delete()
                .from_table(recon_entry::Entity)
                .and_where(of_run())
                .and_where(Expr::col(Column::Number).lte(last))
                .to_owned();
            database.execute(&statement).await?;
        }
        let statement = Query::delete()
            .from_table(recon_run::Entity)
            .and_where(Expr::col(recon_run::Column::Id).eq(id.to_string()))
            .and_where(Expr::col(recon_run::Column::Active).is_null())
            .to_owned();
        database.execute(&statement).await.map(drop)
    }

    /// The first column of what a query finds.
    async fn texts(&self, query: &SelectStatement) -> Result<Vec<String>, DbErr> {
        let rows = self.core().database.fresh().query_all(query).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }
}

/// Whether somebody may still approve what a run held back.
fn holds_back(run: &Run) -> bool {
    run.counts.held > 0 && !run.wanted.dry_run
}

/// Whether a run has said everything about both sides of its mapping.
fn is_whole_word(run: &Run) -> bool {
    let wanted = &run.wanted;
    let is_all = run.whole && wanted.ids.is_empty() && wanted.source_query.is_none();
    is_all && !wanted.dry_run && run.state == RunState::Success
}
