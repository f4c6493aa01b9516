//! Entries of the audit trail that a destination did not take for good, or not whole.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_set_aside")]
pub struct Model {
    /// The destination.
    #[sea_orm(primary_key, auto_increment = false)]
    pub destination: String,
    /// The first entry.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    /// The last entry.
    pub last: i64,
    /// `refused`, `shortened` or `pruned`.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// 1 where somebody asked to send it again.
    pub again: i64,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
