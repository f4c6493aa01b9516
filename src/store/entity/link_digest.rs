//! What the two sides of a link held when they were found to agree.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "link_digest")]
pub struct Model {
    /// The mapping.
    #[sea_orm(primary_key, auto_increment = false)]
    pub mapping: String,
    /// The link qualifier.
    #[sea_orm(primary_key, auto_increment = false)]
    pub qualifier: String,
    /// The source object's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_id: String,
    /// The fingerprint of mapping, source and target.
    pub digest: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
