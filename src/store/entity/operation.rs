//! The journal: changes and their records.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operation")]
pub struct Model {
    /// The change.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Its root.
    pub root: String,
    /// Its parent.
    pub parent: Option<String>,
    /// 0 for a root.
    pub depth: i64,
    /// The object as `managed/TYPE/ID`.
    pub object: String,
    /// What happens to it.
    pub kind: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Where it is.
    pub phase: String,
    /// 1 where a divergence waits for somebody.
    pub open_divergence: i64,
    /// Microseconds since 1970.
    pub started_at: i64,
    /// Microseconds since 1970.
    pub ended_at: Option<i64>,
    /// The record as JSON.
    pub record: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
