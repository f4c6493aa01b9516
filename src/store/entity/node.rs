//! The nodes that share the store.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "node")]
pub struct Model {
    /// The node.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// When its claims end; microseconds since 1970.
    pub lease_until: i64,
    /// Microseconds since 1970.
    pub started_at: i64,
    /// The file that it keeps locked while it lives.
    pub lock_file: Option<String>,
    /// How many rounds its writer has committed.
    pub round: i64,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
