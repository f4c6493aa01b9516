//! What hooks were.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hook_version")]
pub struct Model {
    /// The version; ids sort by time.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The script file.
    pub file: String,
    /// Hexadecimal SHA-256 of the text.
    pub digest: String,
    /// Microseconds since 1970.
    pub saved_at: i64,
    /// Who saved it; none: it was found in the folder.
    pub saved_by: Option<String>,
    /// Why.
    pub note: String,
    /// The text.
    pub body: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
