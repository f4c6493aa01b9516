//! How far the audit trail was delivered to each destination, and which node delivers to it.
use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait as _, QueryOrder as _,
    sea_query::{Cond, Expr, ExprTrait as _, OnConflict, Query},
};

use super::{
    Error, Store,
    audit::chained,
    chain::{head_query, span},
    entity::audit_delivery,
};
use crate::model::audit::ChainedEntry;

impl Store {
    /// Takes or keeps a destination for this node for `milliseconds`, and tells the position of the
    /// last entry that it took. None while another node delivers to it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn hold_delivery(
        &self,
        destination: &str,
        milliseconds: i64,
    ) -> Result<Option<i64>, Error> {
        use audit_delivery::Column;
        let step = "take a destination of the audit trail";
        let database = &self.core().database;
        let now = self.core().clock.now().timestamp_millis();
        let known = audit_delivery::Entity::find_by_id(destination.to_owned())
            .one(database.fresh())
            .await
            .map_err(Error::at(step))?;
        let is_taken = |row: &audit_delivery::Model| {
            row.lease_until >= now && row.node.as_deref() != Some(self.node())
        };
        if known.as_ref().is_some_and(is_taken) {
            return Ok(None);
        }
        if known.is_none() {
            let fresh = Query::insert()
                .into_table(audit_delivery::Entity)
                .columns([Column::Name, Column::Position, Column::LeaseUntil])
                .values_panic([destination.into(), 0_i64.into(), 0_i64.into()])
                .on_conflict(
                    OnConflict::column(Column::Name)
                        .do_nothing_on([Column::Name])
                        .to_owned(),
                )
                .to_owned();
            database.execute(&fresh).await.map_err(Error::at(step))?;
        }
        let free = Cond::any()
            .add(Expr::col(Column::Node).eq(self.node()))
            .add(Expr::col(Column::LeaseUntil).lt(now));
        let take = Query::update()
            .table(audit_delivery::Entity)
            .value(Column::Node, self.node())
            .value(Column::LeaseUntil, now.saturating_add(milliseconds))
            .and_where(Expr::col(Column::Name).eq(destination))
            .cond_where(free)
            .to_owned();
        if database.execute(&take).await.map_err(Error::at(step))? == 0 {
            return Ok(None);
        }
        let held = audit_delivery::Entity::find_by_id(destination.to_owned())
            .one(database.fresh())
            .await
            .map_err(Error::at(step))?;
        Ok(held.map(|held| held.position))
    }

    /// Notes that a destination took everything up to this position; false where another node has
    /// taken it over meanwhile.
    ///
    /// # Errors
    /// The database fails.
    pub async fn delivered(
        &self,
        destination: &str,
        position: i64,
        milliseconds: i64,
    ) -> Result<bool, Error> {
        use audit_delivery::Column;
        let now = self.core().clock.now().timestamp_millis();
        let note = Query::update()
            .table(audit_delivery::Entity)
            .value(Column::Position, position)
            .value(Column::LeaseUntil, now.saturating_add(milliseconds))
            .and_where(Expr::col(Column::Name).eq(destination))
            .and_where(Expr::col(Column::Node).eq(self.node()))
            .to_owned();
        let noted = self.core().database.execute(&note).await;
        Ok(noted.map_err(Error::at("note what was delivered"))? > 0)
    }

    /// Gives a destination free for other nodes.
    ///
    /// # Errors
    /// The database fails.
    pub async fn release_delivery(&self, destination: &str) -> Result<(), Error> {
        use audit_delivery::Column;
        let free = Query::update()
            .table(audit_delivery::Entity)
            .value(Column::LeaseUntil, 0_i64)
            .and_where(Expr::col(Column::Name).eq(destination))
            .and_where(Expr::col(Column::Node).eq(self.node()))
            .to_owned();
        let freed = self.core().database.execute(&free).await;
        freed.map_err(Error::at("give a destination free"))?;
        Ok(())
    }

    /// Where each destination stands.
    ///
    /// # Errors
    /// The database fails.
    pub async fn deliveries_of_audit(&self) -> Result<Vec<(String, i64)>, Error> {
        let rows = audit_delivery::Entity::find()
            .order_by_asc(audit_delivery::Column::Name)
            .all(self.core().database.reader())
            .await
            .map_err(Error::at("read how far the audit trail was delivered"))?;
        Ok(rows
            .into_iter()
            .map(|row| (row.name, row.position))
            .collect())
    }

    /// The entries behind a position that are on disk, in order: at most so many, and not more than
    /// a few megabytes, but always one where there is one.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_after(&self, position: i64, limit: u64) -> Result<Vec<ChainedEntry>, Error> {
        let rows = span(self.core(), position, i64::MAX, limit)
            .await
            .map_err(Error::at("read audit entries to deliver"))?;
        Ok(rows.into_iter().map(chained).collect())
    }

    /// The position of the last entry that is on disk.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_head(&self) -> Result<i64, Error> {
        let step = "read the end of the audit chain";
        let row = self.core().database.reader().query_one(&head_query()).await;
        let position = row.and_then(|row| -> Result<i64, DbErr> {
            row.map_or(Ok(0), |row| row.try_get_by_index(0))
        });
        position.map_err(Error::at(step))
    }
}
