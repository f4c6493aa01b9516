//! Bearer tokens, kept as hashes.
use chrono::{DateTime, Utc};
use sea_orm::{
    DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    sea_query::{Expr, ExprTrait as _, Query},
};

use super::{
    Error, Store,
    entity::token,
    rows::{from_micros, micros},
};

/// A bearer token, as it is kept: a hash.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Its id, which is no secret.
    pub id: String,
    /// Whom it was given to.
    pub name: String,
    /// `caller`, `hook-admin`, `auditor`, `admin`.
    pub roles: Vec<String>,
    /// Hexadecimal SHA-256 of its 256 random bits.
    #[serde(skip)]
    pub hash: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, by the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Keeps a token.
    ///
    /// # Errors
    /// The database fails, or a token with this id or hash exists.
    pub async fn add_token(&self, token: &Token) -> Result<(), Error> {
        let step = "keep a token";
        let statement = Query::insert()
            .into_table(token::Entity)
            .columns([
                token::Column::Id,
                token::Column::Name,
                token::Column::Roles,
                token::Column::Hash,
                token::Column::CreatedAt,
                token::Column::ExpiresAt,
                token::Column::RevokedAt,
                token::Column::LastUsedAt,
            ])
            .values([
                token.id.as_str().into(),
                token.name.as_str().into(),
                serde_json::json!(token.roles).to_string().into(),
                token.hash.as_str().into(),
                micros(token.created_at).into(),
                token.expires_at.map(micros).into(),
                token.revoked_at.map(micros).into(),
                token.last_used_at.map(micros).into(),
            ])
            .map_err(Error::at(step))?
            .to_owned();
        let database = &self.core().database;
        database
            .execute(&statement)
            .await
            .map_err(Error::at(step))?;
        Ok(())
    }

    /// All tokens, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        let rows = token::Entity::find()
            .order_by_asc(token::Column::CreatedAt)
            .order_by_asc(token::Column::Id)
            .all(self.core().database.reader())
            .await;
        found(rows).map_err(Error::at("list tokens"))
    }

    /// The token with this hash (hexadecimal SHA-256), revoked and expired ones too.
    ///
    /// # Errors
    /// The database fails.
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<Token>, Error> {
        let rows = token::Entity::find()
            .filter(Expr::col(token::Column::Hash).eq(hash))
            .all(self.core().database.reader())
            .await;
        let found = found(rows).map_err(Error::at("look a token up"))?;
        Ok(found.into_iter().next())
    }

    /// Revokes one; false where there is none. One that is revoked already stays as it is.
    ///
    /// # Errors
    /// The database fails.
    pub async fn revoke_token(&self, id: &str, at: DateTime<Utc>) -> Result<bool, Error> {
        let step = "revoke a token";
        let statement = Query::update()
            .table(token::Entity)
            .value(token::Column::RevokedAt, micros(at))
            .and_where(Expr::col(token::Column::Id).eq(id))
            .and_where(Expr::col(token::Column::RevokedAt).is_null())
            .to_owned();
        let database = &self.core().database;
        let revoked = database
            .execute(&statement)
            .await
            .map_err(Error::at(step))?;
        if revoked > 0 {
            return Ok(true);
        }
        Ok(self.tokens().await?.iter().any(|token| token.id == id))
    }

    /// Notes when a token was used; never moves back.
    ///
    /// # Errors
    /// The database fails.
    pub async fn use_token(&self, id: &str, at: DateTime<Utc>) -> Result<(), Error> {
        let used = Expr::col(token::Column::LastUsedAt);
        let statement = Query::update()
            .table(token::Entity)
            .value(token::Column::LastUsedAt, micros(at))
            .and_where(Expr::col(token::Column::Id).eq(id))
            .and_where(used.clone().is_null().or(used.lt(micros(at))))
            .to_owned();
        let noted = self.core().database.execute(&statement).await;
        noted.map_err(Error::at("note the use of a token"))?;
        Ok(())
    }
}

fn found(rows: Result<Vec<token::Model>, DbErr>) -> Result<Vec<Token>, DbErr> {
    rows?.into_iter().map(token_of).collect()
}

fn token_of(row: token::Model) -> Result<Token, DbErr> {
    Ok(Token {
        roles: serde_json::from_str(&row.roles).map_err(|error| DbErr::Json(error.to_string()))?,
        id: row.id,
        name: row.name,
        hash: row.hash,
        created_at: from_micros(row.created_at),
        expires_at: row.expires_at.map(from_micros),
        revoked_at: row.revoked_at.map(from_micros),
        last_used_at: row.last_used_at.map(from_micros),
    })
}
