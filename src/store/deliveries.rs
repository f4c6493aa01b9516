//! Deliveries of the change feed: how far each subscription was told, and what is still to be told.
use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait as _, FromQueryResult as _,
    sea_query::{Alias, Cond, Expr, ExprTrait as _, OnConflict, Order, Query},
};

use super::{
    Arrival, Error, Owner, Refusal, Store,
    batch::insert,
    connection::CommitError,
    entity::{feed_mark, integration_event as event},
    integration_rows::narrow_columns,
    owner::of_others,
    rows::{Encoder, micros},
    takeover::retried,
    unique::NO_RULES,
};
use crate::model::integration::{Direction, IntegrationEvent, State};

/// What became of a step along the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// It is stored.
    Stored,
    /// Another node has gone this step.
    Overtaken,
}

impl Store {
    /// The cursor up to which deliveries for a subscription were made; none: it is new.
    ///
    /// # Errors
    /// The database fails.
    pub async fn subscribed_to(&self, name: &str) -> Result<Option<i64>, Error> {
        let row = feed_mark::Entity::find_by_id(mark(name))
            .one(self.core().database.fresh())
            .await
            .map_err(Error::at("read how far a subscription was told"))?;
        Ok(row.map(|row| row.position))
    }

    /// Begins a subscription with what happens from now on; nothing happens where it is there.
    ///
    /// # Errors
    /// The database fails.
    pub async fn subscribe(&self, name: &str) -> Result<(), Error> {
        let step = "begin a subscription";
        let newest = self.newest_event().await?;
        let begin = Query::insert()
            .into_table(feed_mark::Entity)
            .columns([feed_mark::Column::Name, feed_mark::Column::Position])
            .values([mark(name).into(), newest.into()])
            .map_err(Error::at(step))?
            .on_conflict(
                OnConflict::column(feed_mark::Column::Name)
                    .do_nothing_on([feed_mark::Column::Name])
                    .to_owned(),
            )
            .to_owned();
        retried(|| self.core().database.execute(&begin))
            .await
            .map_err(Error::at(step))?;
        Ok(())
    }

    /// Stores deliveries for a subscription and moves its cursor, in one transaction.
    ///
    /// # Errors
    /// The database fails.
    pub async fn pump(
        &self,
        name: &str,
        from: i64,
        to: i64,
        deliveries: Vec<Arrival>,
    ) -> Result<Pumped, Error> {
        let step = "store deliveries";
        let core = self.core();
        let confidential = core.confidential.load();
        let encoder = Encoder {
            keys: &core.keys,
            confidential: &confidential,
            rules: &NO_RULES,
            now: core.clock.now(),
        };
        let rows = deliveries.into_iter().map(|one| encoder.arrival(one));
        let rows: Result<Vec<event::Model>, Refusal> = rows.collect();
        let rows = rows.map_err(Error::at(step))?;
        let pumped = retried(|| self.pump_rows(name, from, to, rows.clone())).await;
        let pumped = pumped.map_err(Error::at(step))?;
        core.queued.notify_one();
        Ok(pumped)
    }

    async fn pump_rows(
        &self,
        name: &str,
        from: i64,
        to: i64,
        rows: Vec<event::Model>,
    ) -> Result<Pumped, DbErr> {
        let move_on = Query::update()
            .table(feed_mark::Entity)
            .value(feed_mark::Column::Position, to)
            .and_where(Expr::col(feed_mark::Column::Name).eq(mark(name)))
            .and_where(Expr::col(feed_mark::Column::Position).eq(from))
            .to_owned();
        let mut transaction = self.core().database.begin().await?;
        if transaction.execute(&move_on).await? == 0 {
            transaction.rollback().await?;
            return Ok(Pumped::Overtaken);
        }
        insert(&mut transaction, rows, None).await?;
        let committed = transaction.commit().await;
        committed.map_err(CommitError::into_cause)?;
        Ok(Pumped::Stored)
    }

    /// Stores deliveries beside the feed's order of things: a replay.
    ///
    /// # Errors
    /// The database fails.
    pub async fn deliver_again(&self, deliveries: Vec<Arrival>) -> Result<(), Error> {
        let step = "store deliveries again";
        let core = self.core();
        let confidential = core.confidential.load();
        let encoder = Encoder {
            keys: &core.keys,
            confidential: &confidential,
            rules: &NO_RULES,
            now: core.clock.now(),
        };
        let rows = deliveries.into_iter().map(|one| encoder.arrival(one));
        let rows: Result<Vec<event::Model>, Refusal> = rows.collect();
        let rows = rows.map_err(Error::at(step))?;
        let mut transaction = core.database.begin().await.map_err(Error::at(step))?;
        insert(&mut transaction, rows, None)
            .await
            .map_err(Error::at(step))?;
        let committed = transaction.commit().await;
        committed.map_err(|error| Error::at(step)(CommitError::into_cause(error)))?;
        core.queued.notify_one();
        Ok(())
    }

    /// Deliveries whose turn has come: of each object and subscription the oldest one that is
    /// neither delivered nor given up, where its pause is over, but for those of `full`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due_deliveries(
        &self,
        full: &[Owner],
        limit: usize,
    ) -> Result<Vec<IntegrationEvent>, Error> {
        use event::Column;
        let step = "look for deliveries";
        let core = self.core();
        let now = micros(core.clock.now());
        let (this, other) = (Alias::new("this"), Alias::new("other"));
        let of_this = |column: Column| Expr::col((this.clone(), column));
        let of_other = |column: Column| Expr::col((other.clone(), column));
        let open = Cond::any()
            .add(
                of_other(Column::State)
                    .is_in([State::Queued, State::Processing].map(State::as_str)),
            )
            .add(of_other(Column::NextAttemptAt).is_not_null());
        let before = Query::select()
            .expr(Expr::cust("1"))
            .from_as(event::Entity, other.clone())
            .and_where(of_other(Column::Lane).equals((this.clone(), Column::Lane)))
            .and_where(of_other(Column::Delivery).lt(of_this(Column::Delivery)))
            .cond_where(open)
            .to_owned();
        let due = Cond::any()
            .add(of_this(Column::State).eq(State::Queued.as_str()))
            .add(
                Cond::all()
                    .add(of_this(Column::State).eq(State::Errored.as_str()))
                    .add(of_this(Column::NextAttemptAt).lte(now)),
            );
        let columns = narrow_columns().into_iter();
        let query = Query::select()
            .columns(columns.map(|column| (this.clone(), column)))
            .expr_as(Expr::cust("NULL"), Alias::new("payload"))
            .from_as(event::Entity, this.clone())
            .and_where(of_this(Column::Direction).eq(Direction::Delivery.as_str()))
            .cond_where(due)
            .cond_where(of_others(full, of_this))
            .and_where(Expr::exists(before).not())
            .order_by((this.clone(), Column::Delivery), Order::Asc)
            .limit(limit as u64)
            .to_owned();
        let rows = core.database.reader().query_all(&query).await;
        let rows = rows.map_err(Error::at(step))?;
        let rows = rows
            .iter()
            .map(|row| event::Model::from_query_result(row, ""));
        let rows: Result<Vec<event::Model>, DbErr> = rows.collect();
        self.readable(rows.map_err(Error::at(step))?).await
    }
}

/// The mark of a subscription.
fn mark(name: &str) -> String {
    format!("subscription/{name}")
}
