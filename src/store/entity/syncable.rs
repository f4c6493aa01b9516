//! Where partial syncs, schedules and quarantines stand.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "syncable")]
pub struct Model {
    /// The mapping, or the connector's class.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// When its schedule fires next; microseconds since 1970.
    pub next_at: Option<i64>,
    /// The rest as JSON.
    pub body: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
