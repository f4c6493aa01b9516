//! Reading the change feed, and pruning it.
//!
//! An event's id is the place in the audit chain of the last entry of its change's end. The chain's
//! end is locked from there to the commit, so ids become visible in their order on every database
//! and with any number of nodes: whoever has read one event has missed none before it.
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, Query, SelectStatement},
};

use super::{
    Error, Refusal, Store,
    connection::CommitError,
    entity::{event, feed_mark},
    event_rows::{Confidential, change_event},
    rows::micros,
};
use crate::model::event::ChangeEvent;

/// The name of the mark behind which events are pruned.
const PRUNED: &str = "pruned";
/// How far one transaction of pruning goes, in ids.
const STRIDE: i64 = 20_000;

/// Which events are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct EventSearch {
    /// Those behind this cursor; none: from the oldest that there is.
    pub after: Option<i64>,
    /// Those from this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Those before this moment.
    pub until: Option<DateTime<Utc>>,
    /// Those of these types (`user.created`); none: all.
    pub types: Vec<String>,
    /// How many at most.
    pub limit: usize,
    /// Whether confidential attributes are read in clear.
    pub confidential: Confidential,
}

/// A part of the change feed.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// In their order.
    pub events: Vec<ChangeEvent>,
    /// The cursor behind all that was looked at, for the next part.
    pub cursor: i64,
    /// Whether there may be more already.
    pub more: bool,
}

impl Default for EventSearch {
    fn default() -> Self {
        Self {
            after: None,
            from: None,
            until: None,
            types: Vec::new(),
            limit: 100,
            confidential: Confidential::Masked,
        }
    }
}

impl Store {
    /// Events in their order.
    ///
    /// # Errors
    /// [`Refusal::Pruned`] where there were events behind the cursor that are kept no more; the
    /// database fails, or something is encrypted with an unknown key.
    pub async fn events(&self, search: &EventSearch) -> Result<EventPage, Error> {
        let step = "read the change feed";
        self.flush().await?;
        let reader = self.core().database.reader();
        // Before the page: what is not on the page and not behind this is still to come.
        let newest = self.newest_event().await?;
        let query = page_query(search);
        let rows = query.all(reader).await.map_err(Error::at(step))?;
        let pruned = self.pruned().await?;
        if let Some(after) = search.after.filter(|after| *after < pruned) {
            let refusal = Refusal::Pruned {
                after,
                oldest: pruned,
            };
            return Err(Error::at(step)(refusal));
        }
        let more = search.limit > 0 && rows.len() >= search.limit;
        let begin = search.after.unwrap_or(pruned);
        let last = rows.last().map(|row| row.id);
        // Behind the last row there may be what a page that ends at a moment does not give.
        let saw_all = !more && search.limit > 0 && search.until.is_none();
        let last = last.unwrap_or(begin);
        let cursor = if saw_all {
            Ord::max(newest, last)
        } else {
            last
        };
        let keys = &self.core().keys;
        let events = rows
            .into_iter()
            .map(|row| change_event(keys, row, search.confidential))
            .collect::<Result<_, _>>()?;
        Ok(EventPage {
            events,
            cursor,
            more,
        })
    }

    /// The cursor of the newest event; where there is none, that of the newest one that was pruned.
    ///
    /// # Errors
    /// The database fails.
    pub async fn newest_event(&self) -> Result<i64, Error> {
        let step = "read the end of the change feed";
        self.flush().await?;
        let query = Query::select()
            .expr(Expr::col(event::Column::Id).max())
            .from(event::Entity)
            .to_owned();
        let row = self.core().database.reader().query_one(&query).await;
        let newest = row
            .and_then(|row| row.map_or(Ok(None), |row| row.try_get_by_index::<Option<i64>>(0)))
            .map_err(Error::at(step))?;
        match newest {
            Some(newest) => Ok(newest),
            None => self.pruned().await,
        }
    }

    /// Waits until this node has stored an event; other nodes' events do not end the wait.
    pub async fn fed(&self) {
        self.core().fed.notified().await;
    }

    /// Drops events that are older than `before`, and the oldest ones beyond `keep`, but none of which
    /// one of these subscriptions is still to be told; tells how many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forget_events(
        &self,
        before: DateTime<Utc>,
        keep: u64,
        subscriptions: &[String],
    ) -> Result<u64, Error> {
        let step = "prune the change feed";
        let pruned = self.pruned().await?;
        let old = last_of(
            event::Entity::find().filter(Expr::col(event::Column::CreatedAt).lt(micros(before))),
        );
        let beyond = last_of(event::Entity::find()).offset(keep);
        let reader = self.core().database.reader();
        let mut end = pruned;
        for query in [old, beyond] {
            let found = query.into_tuple::<i64>().one(reader).await;
            end = Ord::max(end, found.map_err(Error::at(step))?.unwrap_or(pruned));
        }
        for name in subscriptions {
            let told = self.subscribed_to(name).await?;
            end = told.map_or(end, |told| Ord::min(end, told));
        }
        let (mut dropped, mut at) = (0, pruned);
        while at < end {
            at = Ord::min(at.saturating_add(STRIDE), end);
            dropped += self.prune_to(at).await?;
        }
        Ok(dropped)
    }

    /// Drops every event up to this one, together with moving the mark.
    async fn prune_to(&self, position: i64) -> Result<u64, Error> {
        let step = "prune the change feed";
        let mark = Query::update()
            .table(feed_mark::Entity)
            .value(feed_mark::Column::Position, position)
            .and_where(Expr::col(feed_mark::Column::Name).eq(PRUNED))
            .and_where(Expr::col(feed_mark::Column::Position).lt(position))
            .to_owned();
        let drop = Query::delete()
            .from_table(event::Entity)
            .and_where(Expr::col(event::Column::Id).lte(position))
            .to_owned();
        let mut transaction = self
            .core()
            .database
            .begin()
            .await
            .map_err(Error::at(step))?;
        transaction.execute(&mark).await.map_err(Error::at(step))?;
        let dropped = transaction.execute(&drop).await.map_err(Error::at(step))?;
        let committed = transaction.commit().await;
        committed.map_err(|error| Error::at(step)(CommitError::into_cause(error)))?;
        Ok(dropped)
    }

    /// The cursor of the newest event that was pruned; 0 where none was.
    async fn pruned(&self) -> Result<i64, Error> {
        let query: SelectStatement = Query::select()
            .column(feed_mark::Column::Position)
            .from(feed_mark::Entity)
            .and_where(Expr::col(feed_mark::Column::Name).eq(PRUNED))
            .to_owned();
        let row = self.core().database.reader().query_one(&query).await;
        row.and_then(|row| row.map_or(Ok(0), |row| row.try_get_by_index(0)))
            .map_err(Error::at("read how far the change feed is pruned"))
    }
}

fn page_query(search: &EventSearch) -> sea_orm::Select<event::Entity> {
    use event::Column;
    let mut query = event::Entity::find()
        .order_by_asc(Column::Id)
        .limit(search.limit as u64);
    if let Some(after) = search.after {
        query = query.filter(Expr::col(Column::Id).gt(after));
    }
    if let Some(from) = search.from {
        query = query.filter(Expr::col(Column::CreatedAt).gte(micros(from)));
    }
    if let Some(until) = search.until {
        query = query.filter(Expr::col(Column::CreatedAt).lt(micros(until)));
    }
    if !search.types.is_empty() {
        query = query.filter(Expr::col(Column::Type).is_in(search.types.iter().cloned()));
    }
    query
}

/// The largest id of what a query finds.
fn last_of(query: sea_orm::Select<event::Entity>) -> sea_orm::Select<event::Entity> {
    query
        .select_only()
        .column(event::Column::Id)
        .order_by_desc(event::Column::Id)
        .limit(1)
}
