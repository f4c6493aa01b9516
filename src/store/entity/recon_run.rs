//! The reconciliations.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recon_run")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The mapping.
    pub mapping: String,
    /// The mapping while it is under way.
    pub active: Option<String>,
    /// The node that works on it.
    pub node: Option<String>,
    /// How it stands.
    pub state: String,
    /// What somebody wants of it: `cancel`.
    pub wish: Option<String>,
    /// Microseconds since 1970.
    pub started_at: i64,
    /// Microseconds since 1970.
    pub ended_at: Option<i64>,
    /// The run as JSON.
    pub body: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
