//! How far live sync has read an external system.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "live_token")]
pub struct Model {
    /// The connector.
    #[sea_orm(primary_key, auto_increment = false)]
    pub connector: String,
    /// The object class.
    #[sea_orm(primary_key, auto_increment = false)]
    pub class: String,
    /// When it was moved.
    pub moved_at: i64,
    /// What to come back with.
    pub token: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
