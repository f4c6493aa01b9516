//! Searches that people keep, each for itself.
use sea_orm::{
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, Query},
};

use super::{Error, Store, entity::saved_search};

/// How many searches one caller may keep for one page.
pub const MOST_SEARCHES: u64 = 50;

/// A search that somebody keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSearch {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub caller: String,
    /// The page that it belongs to.
    pub page: String,
    /// What it is called.
    pub name: String,
    /// The query part of the page's address.
    pub query: String,
}

impl Store {
    /// Keeps a search in place of the caller's own of the same name; false where the caller keeps
    /// [`MOST_SEARCHES`] for the page already.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add_search(&self, search: &SavedSearch) -> Result<bool, Error> {
        let step = Error::at("keep a search");
        let others = self.searches(&search.caller, &search.page).await?;
        let same: Vec<&str> = others
            .iter()
            .filter(|other| other.name == search.name)
            .map(|other| other.id.as_str())
            .collect();
        let left = others.len() - same.len();
        if left as u64 >= MOST_SEARCHES {
            return Ok(false);
        }
        let row = saved_search::ActiveModel::from(saved_search::Model {
            id: search.id.clone(),
            caller: search.caller.clone(),
            page: search.page.clone(),
            name: search.name.clone(),
            query: search.query.clone(),
        });
        saved_search::Entity::insert(row)
            .exec_without_returning(self.core().database.writer())
            .await
            .map_err(step)?;
        for id in same {
            self.forget_search(&search.caller, id).await?;
        }
        Ok(true)
    }

    /// The searches of a caller for a page, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn searches(&self, caller: &str, page: &str) -> Result<Vec<SavedSearch>, Error> {
        let rows = saved_search::Entity::find()
            .filter(Expr::col(saved_search::Column::Caller).eq(caller))
            .filter(Expr::col(saved_search::Column::Page).eq(page))
            .order_by_asc(saved_search::Column::Name)
            .limit(MOST_SEARCHES + 1)
            .all(self.core().database.fresh())
            .await
            .map_err(Error::at("read kept searches"))?;
        let found = rows.into_iter().map(|row| SavedSearch {
            id: row.id,
            caller: row.caller,
            page: row.page,
            name: row.name,
            query: row.query,
        });
        Ok(found.collect())
    }

    /// Forgets a search of a caller; false where there is none.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forget_search(&self, caller: &str, id: &str) -> Result<bool, Error> {
        let statement = Query::delete()
            .from_table(saved_search::Entity)
            .and_where(Expr::col(saved_search::Column::Caller).eq(caller))
            .and_where(Expr::col(saved_search::Column::Id).eq(id))
            .to_owned();
        let forgotten = self.core().database.execute(&statement).await;
        Ok(forgotten.map_err(Error::at("forget a search"))? > 0)
    }
}
