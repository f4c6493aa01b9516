//! Which rules the unique values of a type are complete for.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "unique_rule")]
pub struct Model {
    /// The managed type.
    #[sea_orm(primary_key, auto_increment = false)]
    pub r#type: String,
    /// The digest of the rule.
    #[sea_orm(primary_key, auto_increment = false)]
    pub rule: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
