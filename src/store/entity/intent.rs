//! What changes are about to write.
use sea_orm::entity::prelude::*;

/// A row; there is none once its retention has passed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "intent")]
pub struct Model {
    /// The change.
    #[sea_orm(primary_key, auto_increment = false)]
    pub operation: String,
    /// The key that it is encrypted with; none: it is in clear.
    pub key: Option<String>,
    /// The intent.
    pub body: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
