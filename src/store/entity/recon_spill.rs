//! What a target listed that cannot be asked for many objects by their ids.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recon_spill")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run: String,
    /// The object's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Its fingerprint.
    pub digest: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
