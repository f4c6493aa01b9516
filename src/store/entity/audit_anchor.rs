//! Where the audit chain begins, once its beginning was pruned.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_anchor")]
pub struct Model {
    /// The chain.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The last pruned entry.
    pub position: i64,
    /// Its digest.
    pub digest: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// Who signed.
    pub key: Option<String>,
    /// In base64.
    pub signature: Option<String>,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
