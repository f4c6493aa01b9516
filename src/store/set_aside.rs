//! What a destination of the audit trail did not take, kept until somebody sends it again or gives it up.
use std::collections::BTreeMap;

use sea_orm::{
    EntityTrait as _, ExprTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, OnConflict, Query},
};

use super::{
    Error, Store,
    entity::audit_set_aside,
    rows::{from_micros, micros},
};
use crate::model::audit::{NotTaken, NotTakenHow};

impl Store {
    /// Notes entries that a destination did not take; what is noted of them already stays.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_aside(&self, destination: &str, one: &NotTaken) -> Result<(), Error> {
        use audit_set_aside::Column;
        let insert = Query::insert()
            .into_table(audit_set_aside::Entity)
            .columns([
                Column::Destination,
                Column::Position,
                Column::Last,
                Column::Kind,
                Column::Reason,
                Column::At,
                Column::Again,
            ])
            .values_panic([
                destination.into(),
                one.position.into(),
                one.last.into(),
                one.how.as_str().into(),
                one.reason.as_str().into(),
                micros(one.at).into(),
                0_i64.into(),
            ])
            .on_conflict(
                OnConflict::columns([Column::Destination, Column::Position])
                    .do_nothing_on([Column::Destination, Column::Position])
                    .to_owned(),
            )
            .to_owned();
        let inserted = self.core().database.execute(&insert).await;
        inserted.map_err(Error::at("set audit entries aside"))?;
        Ok(())
    }

    /// What a destination did not take, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn not_taken(&self, destination: &str, limit: u64) -> Result<Vec<NotTaken>, Error> {
        use audit_set_aside::Column;
        let rows = audit_set_aside::Entity::find()
            .filter(Expr::col(Column::Destination).eq(destination))
            .order_by_asc(Column::Position)
            .limit(limit)
            .all(self.core().database.fresh())
            .await;
        let rows = rows.map_err(Error::at("read what was set aside"))?;
        Ok(rows.into_iter().filter_map(word).collect())
    }

    /// How many entries each destination did not take, and how, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn not_taken_by_all(
        &self,
    ) -> Result<BTreeMap<String, BTreeMap<NotTakenHow, i64>>, Error> {
        use audit_set_aside::Column;
        let rows: Vec<(String, String, i64)> = audit_set_aside::Entity::find()
            .select_only()
            .column(Column::Destination)
            .column(Column::Kind)
            .column_as(Expr::col(Column::Position).count(), "count_of")
            .group_by(Column::Destination)
            .group_by(Column::Kind)
            .into_tuple()
            .all(self.core().database.fresh())
            .await
            .map_err(Error::at("count what was set aside"))?;
        let mut all: BTreeMap<String, BTreeMap<NotTakenHow, i64>> = BTreeMap::new();
        for (destination, kind, rows) in rows {
            let Some(how) = NotTakenHow::parse(&kind) else {
                continue;
            };
            let count = match how {
                // These are few, and each is about many entries.
                NotTakenHow::Pruned => self.pruned_of(&destination).await?,
                NotTakenHow::Refused | NotTakenHow::Shortened => rows,
            };
            all.entry(destination).or_default().insert(how, count);
        }
        Ok(all)
    }

    async fn pruned_of(&self, destination: &str) -> Result<i64, Error> {
        use audit_set_aside::Column;
        let rows = audit_set_aside::Entity::find()
            .filter(Expr::col(Column::Destination).eq(destination))
            .filter(Expr::col(Column::Kind).eq(NotTakenHow::Pruned.as_str()))
            .all(self.core().database.fresh())
            .await
            .map_err(Error::at("count what was set aside"))?;
        Ok(rows.iter().map(|row| row.last - row.position + 1).sum())
    }

    /// The position of the first entry that a destination refused and that it may still be sent again.
    ///
    /// # Errors
    /// The database fails.
    pub async fn first_refused(&self, destination: &str) -> Result<Option<i64>, Error> {
        use audit_set_aside::Column;
        let first: Option<i64> = audit_set_aside::Entity::find()
            .select_only()
            .column(Column::Position)
            .filter(Expr::col(Column::Destination).eq(destination))
            .filter(Expr::col(Column::Kind).eq(NotTakenHow::Refused.as_str()))
            .order_by_asc(Column::Position)
            .limit(1)
            .into_tuple()
            .one(self.core().database.fresh())
            .await
            .map_err(Error::at("read what was set aside"))?;
        Ok(first)
    }

    /// Asks to send again what a destination refused, or took shortened: all of it, or one entry.
    /// Tells how many entries.
    ///
    /// # Errors
    /// The database fails.
    pub async fn ask_again(&self, destination: &str, position: Option<i64>) -> Result<u64, Error> {
        use audit_set_aside::Column;
        let mut update = Query::update();
        update
            .table(audit_set_aside::Entity)
            .value(Column::Again, 1_i64)
            .and_where(Expr::col(Column::Destination).eq(destination))
            .and_where(Expr::col(Column::Kind).ne(NotTakenHow::Pruned.as_str()));
        if let Some(position) = position {
            update.and_where(Expr::col(Column::Position).eq(position));
        }
        let asked = self.core().database.execute(&update).await;
        asked.map_err(Error::at("ask to send audit entries again"))
    }

    /// The next entry that is to be sent again.
    ///
    /// # Errors
    /// The database fails.
    pub async fn asked_again(&self, destination: &str) -> Result<Option<i64>, Error> {
        use audit_set_aside::Column;
        let next: Option<i64> = audit_set_aside::Entity::find()
            .select_only()
            .column(Column::Position)
            .filter(Expr::col(Column::Destination).eq(destination))
            .filter(Expr::col(Column::Again).eq(1_i64))
            .order_by_asc(Column::Position)
            .limit(1)
            .into_tuple()
            .one(self.core().database.fresh())
            .await
            .map_err(Error::at("read what is to be sent again"))?;
        Ok(next)
    }

    /// Notes what came of sending an entry again.
    ///
    /// # Errors
    /// The database fails.
    pub async fn sent_again(
        &self,
        destination: &str,
        position: i64,
        still: Option<(NotTakenHow, &str)>,
    ) -> Result<(), Error> {
        use audit_set_aside::Column;
        let Some((how, reason)) = still else {
            self.give_up_not_taken(destination, Some(position)).await?;
            return Ok(());
        };
        let update = Query::update()
            .table(audit_set_aside::Entity)
            .value(Column::Again, 0_i64)
            .value(Column::Kind, how.as_str())
            .value(Column::Reason, reason)
            .value(Column::At, micros(self.core().clock.now()))
            .and_where(Expr::col(Column::Destination).eq(destination))
            .and_where(Expr::col(Column::Position).eq(position))
            .to_owned();
        let updated = self.core().database.execute(&update).await;
        updated.map_err(Error::at("note what was sent again"))?;
        Ok(())
    }

    /// Forgets what a destination did not take: all of it, or what begins at one entry. Tells how
    /// many notes went.
    ///
    /// # Errors
    /// The database fails.
    pub async fn give_up_not_taken(
        &self,
        destination: &str,
        position: Option<i64>,
    ) -> Result<u64, Error> {
        use audit_set_aside::Column;
        let mut delete = Query::delete();
        delete
            .from_table(audit_set_aside::Entity)
            .and_where(Expr::col(Column::Destination).eq(destination));
        if let Some(position) = position {
            delete.and_where(Expr::col(Column::Position).eq(position));
        }
        let gone = self.core().database.execute(&delete).await;
        gone.map_err(Error::at("give up what was set aside"))
    }
}

fn word(row: audit_set_aside::Model) -> Option<NotTaken> {
    Some(NotTaken {
        position: row.position,
        last: row.last,
        how: NotTakenHow::parse(&row.kind)?,
        reason: row.reason,
        at: from_micros(row.at),
        again: row.again == 1,
    })
}
