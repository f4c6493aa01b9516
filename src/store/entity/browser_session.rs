//! Sessions of browsers.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "browser_session")]
pub struct Model {
    /// Hexadecimal SHA-256 of the secret in the cookie.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: String,
    /// Who signed in.
    pub caller: String,
    /// Their roles as a JSON array.
    pub roles: String,
    /// The bearer token that was signed in with.
    pub token: Option<String>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub used_at: i64,
    /// Microseconds since 1970.
    pub ends_at: i64,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
