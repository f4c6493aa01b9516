//! Which source object and which target object are the same.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "link")]
pub struct Model {
    /// The link type.
    #[sea_orm(primary_key, auto_increment = false)]
    pub link_type: String,
    /// The link qualifier.
    #[sea_orm(primary_key, auto_increment = false)]
    pub qualifier: String,
    /// The source object's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_id: String,
    /// The target object's id.
    pub second_id: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
