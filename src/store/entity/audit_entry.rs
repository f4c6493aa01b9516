//! The audit trail; rows are only ever added.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_entry")]
pub struct Model {
    /// The place in the chain, from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    /// The entry.
    pub id: String,
    /// What it is about.
    pub topic: String,
    /// Microseconds since 1970.
    pub timestamp: i64,
    /// What ties entries together.
    pub transaction_id: String,
    /// The change it belongs to.
    pub operation: Option<String>,
    /// Digest of this entry and the one before it.
    pub digest: String,
    /// The other fields as JSON.
    pub body: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
