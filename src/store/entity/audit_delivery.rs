//! How far the audit trail was delivered to a destination.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_delivery")]
pub struct Model {
    /// The destination.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The last entry that it took.
    pub position: i64,
    /// Which node delivers.
    pub node: Option<String>,
    /// Until when, in milliseconds since 1970.
    pub lease_until: i64,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
