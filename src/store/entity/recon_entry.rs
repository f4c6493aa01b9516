//! What reconciliations found of each record.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recon_entry")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run: String,
    /// 1 for the first one of the run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The situation.
    pub situation: Option<String>,
    /// The action.
    pub action: Option<String>,
    /// What became of it.
    pub status: String,
    /// The source object's id.
    pub source_id: Option<String>,
    /// The target object's id.
    pub target_id: Option<String>,
    /// The entry as JSON.
    pub body: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
