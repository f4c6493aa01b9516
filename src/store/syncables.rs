//! Where partial syncs, schedules and quarantines of mappings and connector classes stand.
use sea_orm::{
    ConnectionTrait as _,
    sea_query::{Expr, ExprTrait as _, OnConflict, Order as Direction, Query},
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

    /// Keeps where a syncable stands.
    ///
    /// # Errors
    /// The database fails.
    pub async fn keep_syncable(&self, one: &Syncable) -> Result<(), Error> {
        let step = "keep where a sync stands";
        let statement = Query::insert()
            .into_table(syncable::Entity)
            .columns([
                syncable::Column::Name,
                syncable::Column::NextAt,
                syncable::Column::Body,
            ])
            .values([
                one.name.as_str().into(),
                one.next_at.map(micros).into(),
                serde_json::to_string(one).unwrap_or_default().into(),
            ])
            .map_err(Error::at(step))?
            .on_conflict(
                OnConflict::column(syncable::Column::Name)
                    .update_columns([syncable::Column::NextAt, syncable::Column::Body])
                    .to_owned(),
            )
            .to_owned();
        let database = &self.core().database;
        let kept = database.execute(&statement).await;
        kept.map(drop).map_err(Error::at(step))
    }

    /// Moves a schedule from one time to the next; false where another node has done so already:
    /// then that one runs it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn move_schedule(&self, before: &Syncable, after: &Syncable) -> Result<bool, Error> {
        let Some(at) = before.next_at else {
            return Ok(false);
        };
        let statement = Query::update()
            .table(syncable::Entity)
            .value(syncable::Column::NextAt, after.next_at.map(micros))
            .value(
                syncable::Column::Body,
                serde_json::to_string(after).unwrap_or_default(),
            )
            .and_where(Expr::col(syncable::Column::Name).eq(before.name.as_str()))
            .and_where(Expr::col(syncable::Column::NextAt).eq(micros(at)))
            .to_owned();
        let database = &self.core().database;
        let moved = database.execute(&statement).await;
        Ok(moved.map_err(Error::at("move a schedule on"))? == 1)
    }
}
