//! One row per object that was ever changed: its latest change and the one in flight.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lane")]
pub struct Model {
    /// The object as `managed/TYPE/ID`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub object: String,
    /// Its latest change.
    pub latest: String,
    /// The change in flight.
    pub operation: Option<String>,
    /// Who carries it out.
    pub node: Option<String>,
    /// How often it was taken up.
    pub attempt: i64,
    /// Microseconds since 1970.
    pub claimed_at: i64,
    /// 1 where a divergence of the object may be open.
    pub open_divergence: i64,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
