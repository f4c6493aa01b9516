//! Our copies of external records.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "integration_record")]
pub struct Model {
    /// The external record: the lane of its events.
    #[sea_orm(primary_key, auto_increment = false)]
    pub lane: String,
    /// The copy's id.
    pub id: String,
    /// When the record was changed.
    pub updated_at: i64,
    /// The event that brought it.
    pub event: String,
    /// The managed object.
    pub record_id: Option<String>,
    /// Its type.
    pub record_type: Option<String>,
    /// The key of the body.
    pub body_key: Option<String>,
    /// The record; none: it is gone.
    pub body: Option<String>,
    /// The change that made the managed object what the record says.
    pub operation: Option<String>,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
