//! The change feed; rows are added in the order of their ids, and dropped when they are old.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    /// The cursor: the place in the audit chain of the last entry of the change's end.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// `TYPE.created`, `TYPE.updated`, `TYPE.deleted`.
    pub r#type: String,
    /// The managed type.
    pub object_type: String,
    /// The object.
    pub object_id: String,
    /// `create`, `update`, `delete`.
    pub kind: String,
    /// The change.
    pub operation: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// The key of the encrypted attributes.
    pub sealed_key: Option<String>,
    /// `{before, after}` as JSON, without what is encrypted.
    pub body: String,
    /// `{before, after}` of the confidential attributes, encrypted.
    pub sealed: Option<String>,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
