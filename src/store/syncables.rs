//! Where partial syncs, schedules and quarantines of mappings and connector classes stand.
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait as _,
    sea_query::{Expr, ExprTrait as _, Order as Direction, Query},
};

use super::{Error, Refusal, Store, entity::syncable, rows::micros};
use crate::model::recon::Syncable;

impl Store {
    /// Where a syncable stands; as if nothing were known where it was never kept.
    ///
    /// # Errors
    /// The database fails.
    pub async fn syncable(&self, name: &str) -> Result<Syncable, Error> {
        let all = self.syncables().await?;
        let found = all.into_iter().find(|one| one.name == name);
        Ok(found.unwrap_or_else(|| Syncable {
            name: name.to_owned(),
            ..Syncable::default()
        }))
    }

    /// All that were ever kept, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn syncables(&self) -> Result<Vec<Syncable>, Error> {
        let step = "read where syncs stand";
        let query = Query::select()
            .column(syncable::Column::Body)
            .from(syncable::Entity)
            .order_by(syncable::Column::Name, Direction::Asc)
            .to_owned();
        let rows = self.core().database.fresh().query_all(&query).await;
        rows.map_err(Error::at(step))?
            .iter()
            .map(|row| {
                let body: String = row.try_get_by_index(0).map_err(Error::at(step))?;
                serde_json::from_str(&body)
                    .map_err(|_| Error::at(step)(Refusal::Damaged("where a sync stands")))
            })
            .collect()
    }

    /// Changes where a syncable stands, whatever others change at the same time; gives how it stands
    /// then. `change` may be called more than once.
    ///
    /// # Errors
    /// The database fails.
    pub async fn change_syncable(
        &self,
        name: &str,
        change: impl Fn(&mut Syncable),
    ) -> Result<Syncable, Error> {
        loop {
            let before = self.syncable(name).await?;
            let mut after = before.clone();
            change(&mut after);
            if after == before || self.replace_syncable(&before, &after).await? {
                return Ok(after);
            }
        }
    }

    /// Whether nobody else came between.
    async fn replace_syncable(&self, before: &Syncable, after: &Syncable) -> Result<bool, Error> {
        let step = "keep where a sync stands";
        let database = &self.core().database;
        let update = Query::update()
            .table(syncable::Entity)
            .value(syncable::Column::NextAt, after.next_at.map(micros))
            .value(syncable::Column::Body, text(after))
            .and_where(Expr::col(syncable::Column::Name).eq(after.name.as_str()))
            .and_where(Expr::col(syncable::Column::Body).eq(text(before)))
            .to_owned();
        if database.execute(&update).await.map_err(Error::at(step))? == 1 {
            return Ok(true);
        }
        let insert = Query::insert()
            .into_table(syncable::Entity)
            .columns([
                syncable::Column::Name,
                syncable::Column::NextAt,
                syncable::Column::Body,
            ])
            .values([
                after.name.as_str().into(),
                after.next_at.map(micros).into(),
                text(after).into(),
            ])
            .map_err(Error::at(step))?
            .to_owned();
        match database.execute(&insert).await {
            Ok(_) => Ok(true),
            // It was there already, and not as it was read.
            Err(error) if super::error::remedy(&error) == super::error::Remedy::Retry => Ok(false),
            Err(error) => Err(Error::at(step)(error)),
        }
    }

    /// Moves back up to where a syncable is known to be in agreement (none: to the very beginning);
    /// what stands before that time already stays. Gives how it stands then.
    ///
    /// # Errors
    /// The database fails.
    pub async fn reset_syncable(
        &self,
        name: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Syncable, Error> {
        let moved = self.change_syncable(name, |syncable| {
            let through = syncable.data_synced_through;
            syncable.data_synced_through =
                since.and_then(|since| through.map(|at| Ord::min(at, since)));
            // A token knows no time to go back to.
            syncable.token = None;
            syncable.resets = syncable.resets.wrapping_add(1);
        });
        moved.await
    }

    /// Moves a schedule on from the time that was read; false where another node has done so
    /// already: then that one runs it. What else others change at the same time stays.
    ///
    /// # Errors
    /// The database fails.
    pub async fn move_schedule(
        &self,
        read: &Syncable,
        next: Option<DateTime<Utc>>,
    ) -> Result<bool, Error> {
        loop {
            let before = self.syncable(&read.name).await?;
            if before.next_at.is_none() || before.next_at != read.next_at {
                return Ok(false);
            }
            let after = Syncable {
                next_at: next,
                ..before.clone()
            };
            if self.replace_syncable(&before, &after).await? {
                return Ok(true);
            }
        }
    }
}

fn text(one: &Syncable) -> String {
    serde_json::to_string(one).unwrap_or_default()
}
