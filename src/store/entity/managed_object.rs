//! The managed objects.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "managed_object")]
pub struct Model {
    /// The managed type.
    #[sea_orm(primary_key, auto_increment = false)]
    pub r#type: String,
    /// The object's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The revision.
    pub rev: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
    /// The key that the confidential attributes are encrypted with.
    pub sealed_key: Option<String>,
    /// The object as JSON, without its confidential attributes.
    pub body: String,
    /// The confidential attributes, encrypted: attribute name to [`super::super::keys::Sealed`].
    pub sealed: Option<String>,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
