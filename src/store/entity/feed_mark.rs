//! How far the change feed was pruned.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feed_mark")]
pub struct Model {
    /// What the mark is for.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The id of the last event on its far side.
    pub position: i64,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
