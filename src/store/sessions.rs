//! Sessions of browsers, kept as hashes of the secrets in their cookies.
use chrono::{DateTime, Utc};
use sea_orm::{
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, Query},
};

use super::{
    Error, Refusal, Store,
    entity::browser_session,
    rows::{from_micros, micros},
};
use crate::model::Roles;

/// A session of a browser, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSession {
    /// Hexadecimal SHA-256 of the 256 random bits in the cookie.
    pub hash: String,
    /// Who signed in.
    pub caller: String,
    /// Their roles at that time.
    pub roles: Roles,
    /// The id of the bearer token that was signed in with; none: a provider's word.
    pub token: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last used, by the minute.
    pub used_at: DateTime<Utc>,
    /// When it ends, whatever happens.
    pub ends_at: DateTime<Utc>,
}

impl Store {
    /// Keeps a session.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add_session(&self, session: &BrowserSession) -> Result<(), Error> {
        let step = "keep a session";
        let row = browser_session::ActiveModel::from(row_of(session));
        browser_session::Entity::insert(row)
            .exec_without_returning(self.core().database.fresh())
            .await
            .map_err(Error::at(step))?;
        Ok(())
    }

    /// The session with this hash, ended ones too.
    ///
    /// # Errors
    /// The database fails.
    pub async fn session(&self, hash: &str) -> Result<Option<BrowserSession>, Error> {
        let step = "look a session up";
        let row = browser_session::Entity::find_by_id(hash)
            .one(self.core().database.reader())
            .await
            .map_err(Error::at(step))?;
        row.map(session_of)
            .transpose()
            .map_err(|_| Error::at(step)(Refusal::Damaged("a session")))
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    /// The database fails.
    pub async fn use_session(&self, hash: &str, at: DateTime<Utc>) -> Result<(), Error> {
        let statement = Query::update()
            .table(browser_session::Entity)
            .value(browser_session::Column::UsedAt, micros(at))
            .and_where(Expr::col(browser_session::Column::Hash).eq(hash))
            .to_owned();
        let noted = self.core().database.execute(&statement).await;
        noted.map_err(Error::at("note the use of a session"))?;
        Ok(())
    }

    /// Ends a session; false where there is none.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end_session(&self, hash: &str) -> Result<bool, Error> {
        let condition = Expr::col(browser_session::Column::Hash).eq(hash);
        Ok(self.end_where(condition).await? > 0)
    }

    /// Ends every session of a caller; tells how many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end_sessions_of(&self, caller: &str) -> Result<u64, Error> {
        let condition = Expr::col(browser_session::Column::Caller).eq(caller);
        self.end_where(condition).await
    }

    /// Ends every session that was begun with a token; tells how many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end_sessions_of_token(&self, token: &str) -> Result<u64, Error> {
        let condition = Expr::col(browser_session::Column::Token).eq(token);
        self.end_where(condition).await
    }

    /// The sessions of a caller that end after a time, the newest `count`, newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn sessions_of(
        &self,
        caller: &str,
        after: DateTime<Utc>,
        count: u64,
    ) -> Result<Vec<BrowserSession>, Error> {
        use browser_session::Column;
        let step = "read the sessions of a caller";
        let rows = browser_session::Entity::find()
            .filter(Expr::col(Column::Caller).eq(caller))
            .filter(Expr::col(Column::EndsAt).gt(micros(after)))
            .order_by_desc(Column::CreatedAt)
            .limit(count)
            .all(self.core().database.reader())
            .await
            .map_err(Error::at(step))?;
        rows.into_iter()
            .map(session_of)
            .collect::<Result<_, _>>()
            .map_err(|_| Error::at(step)(Refusal::Damaged("a session")))
    }

    /// Drops sessions that ended before a time or were last used before another.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forget_sessions(
        &self,
        ended: DateTime<Utc>,
        used: DateTime<Utc>,
    ) -> Result<u64, Error> {
        let condition = Expr::col(browser_session::Column::EndsAt)
            .lt(micros(ended))
            .or(Expr::col(browser_session::Column::UsedAt).lt(micros(used)));
        self.end_where(condition).await
    }

    async fn end_where(&self, condition: Expr) -> Result<u64, Error> {
        let statement = Query::delete()
            .from_table(browser_session::Entity)
            .and_where(condition)
            .to_owned();
        let ended = self.core().database.execute(&statement).await;
        ended.map_err(Error::at("end sessions"))
    }
}

fn row_of(session: &BrowserSession) -> browser_session::Model {
    browser_session::Model {
        hash: session.hash.clone(),
        caller: session.caller.clone(),
        roles: serde_json::json!(session.roles).to_string(),
        token: session.token.clone(),
        created_at: micros(session.created_at),
        used_at: micros(session.used_at),
        ends_at: micros(session.ends_at),
    }
}

fn session_of(row: browser_session::Model) -> Result<BrowserSession, serde_json::Error> {
    Ok(BrowserSession {
        roles: serde_json::from_str(&row.roles)?,
        hash: row.hash,
        caller: row.caller,
        token: row.token,
        created_at: from_micros(row.created_at),
        used_at: from_micros(row.used_at),
        ends_at: from_micros(row.ends_at),
    })
}
