//! Links between source and target objects.
use std::collections::BTreeMap;

use sea_orm::{
    DbErr, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    sea_query::{Cond, Expr, ExprTrait as _, OnConflict, Query},
};

use super::{
    Error, Store,
    batch::{insert, padded},
    connection::Transaction,
    entity::link,
    rows::LinkRow,
};
use crate::model::link::Link;

/// Most links named in one statement.
const LINKS: usize = 64;

impl Store {
    /// Links of a source object: those of these link types.
    ///
    /// # Errors
    /// The database fails.
    pub async fn links_of_source(
        &self,
        link_types: &[String],
        first_id: &str,
    ) -> Result<Vec<Link>, Error> {
        if link_types.is_empty() {
            return Ok(Vec::new());
        }
        self.flush().await?;
        let rows = link::Entity::find()
            .filter(Expr::col(link::Column::LinkType).is_in(padded(link_types.iter().cloned())))
            .filter(Expr::col(link::Column::FirstId).eq(first_id))
            .order_by_asc(link::Column::LinkType)
            .order_by_asc(link::Column::Qualifier)
            .all(self.core().database.reader())
            .await
            .map_err(Error::at("read the links of a source object"))?;
        Ok(rows.into_iter().map(link_of).collect())
    }

    /// How many links of a type there are.
    ///
    /// # Errors
    /// The database fails.
    pub async fn count_links(&self, link_type: &str) -> Result<u64, Error> {
        self.flush().await?;
        let count = link::Entity::find()
            .filter(Expr::col(link::Column::LinkType).eq(link_type))
            .count(self.core().database.reader())
            .await;
        count.map_err(Error::at("count links"))
    }

    /// The link of a target object.
    ///
    /// # Errors
    /// The database fails.
    pub async fn link_of_target(
        &self,
        link_type: &str,
        qualifier: &str,
        second_id: &str,
    ) -> Result<Option<Link>, Error> {
        self.flush().await?;
        let row = link::Entity::find()
            .filter(Expr::col(link::Column::LinkType).eq(link_type))
            .filter(Expr::col(link::Column::Qualifier).eq(qualifier))
            .filter(Expr::col(link::Column::SecondId).eq(second_id))
            .one(self.core().database.reader())
            .await
            .map_err(Error::at("read the link of a target object"))?;
        Ok(row.map(link_of))
    }
}

/// Writes links: type, qualifier and first id to the second id, or to none for a removed one.
pub(super) async fn store(
    transaction: &mut Transaction,
    links: BTreeMap<(String, String, String), Option<String>>,
) -> Result<(), DbErr> {
    let (mut set, mut removed) = (Vec::new(), Vec::new());
    for ((link_type, qualifier, first_id), second_id) in links {
        let is_set = second_id.is_some();
        let row = link::Model {
            link_type,
            qualifier,
            first_id,
            second_id: second_id.unwrap_or_default(),
        };
        if is_set { &mut set } else { &mut removed }.push(row);
    }
    delete(transaction, &removed, |row| {
        Expr::col(link::Column::FirstId).eq(row.first_id.as_str())
    })
    .await?;
    // A target that was linked to another source is given to the new one.
    delete(transaction, &set, |row| {
        let taken = Expr::col(link::Column::SecondId).eq(row.second_id.as_str());
        taken.and(Expr::col(link::Column::FirstId).ne(row.first_id.as_str()))
    })
    .await?;
    let replace = OnConflict::columns([
        link::Column::LinkType,
        link::Column::Qualifier,
        link::Column::FirstId,
    ])
    .update_column(link::Column::SecondId)
    .to_owned();
    insert(transaction, set, Some(replace)).await
}

async fn delete(
    transaction: &mut Transaction,
    rows: &[link::Model],
    which: impl Fn(&link::Model) -> Expr,
) -> Result<(), DbErr> {
    for part in rows.chunks(LINKS) {
        let mut any = Cond::any();
        for row in padded(part) {
            let of_type = Expr::col(link::Column::LinkType).eq(row.link_type.as_str());
            let qualified = Expr::col(link::Column::Qualifier).eq(row.qualifier.as_str());
            any = any.add(of_type.and(qualified).and(which(row)));
        }
        let statement = Query::delete()
            .from_table(link::Entity)
            .cond_where(any)
            .to_owned();
        transaction.execute(&statement).await?;
    }
    Ok(())
}

/// The links of a source object as they will be when what is on its way has been written.
pub(super) fn with_pending(mut links: Vec<link::Model>, changes: Vec<LinkRow>) -> Vec<Link> {
    for change in changes {
        let about = change.row();
        links.retain(|link| link.link_type != about.link_type || link.qualifier != about.qualifier);
        if let LinkRow::Set(row) = change {
            links.push(row);
        }
    }
    links.into_iter().map(link_of).collect()
}

fn link_of(row: link::Model) -> Link {
    Link {
        link_type: row.link_type,
        link_qualifier: row.qualifier,
        first_id: row.first_id,
        second_id: row.second_id,
    }
}
