//! Bearer tokens as hashes.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token")]
pub struct Model {
    /// The token's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whom it was given to.
    pub name: String,
    /// Its roles as a JSON array.
    pub roles: String,
    /// Hexadecimal SHA-256.
    pub hash: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub expires_at: Option<i64>,
    /// Microseconds since 1970.
    pub revoked_at: Option<i64>,
    /// Microseconds since 1970.
    pub last_used_at: Option<i64>,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
