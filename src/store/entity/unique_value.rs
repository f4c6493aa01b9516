//! Values that no two objects of a type may have, as digests.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "unique_value")]
pub struct Model {
    /// The managed type.
    #[sea_orm(primary_key, auto_increment = false)]
    pub r#type: String,
    /// The digest of rule and value.
    #[sea_orm(primary_key, auto_increment = false)]
    pub digest: String,
    /// The digest of the rule.
    pub rule: String,
    /// The object that has it.
    pub id: String,
    /// 1 while a change under way takes the value from the object, which may get it back.
    pub leaving: i64,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
