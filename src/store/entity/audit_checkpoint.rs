//! Signed places of the audit chain.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_checkpoint")]
pub struct Model {
    /// From 1, without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The entry.
    pub position: i64,
    /// Its digest.
    pub digest: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// The signature before this one.
    pub previous: String,
    /// Who signed.
    pub key: String,
    /// In base64.
    pub signature: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
