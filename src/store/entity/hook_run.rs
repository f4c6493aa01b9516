//! Runs of hooks that are kept.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hook_run")]
pub struct Model {
    /// A UUIDv7: later runs have greater ones.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Which hook.
    pub hook: String,
    /// The script's name.
    pub script: String,
    /// Digest of the script's text.
    pub digest: String,
    /// The change that it ran for.
    pub operation: String,
    /// The object of that change.
    pub object: String,
    /// What came of it.
    pub verdict: String,
    /// When it began, in microseconds since 1970.
    pub at: i64,
    /// How long it ran, in microseconds.
    pub micros: i64,
    /// How many operations it took.
    pub operations: i64,
    /// Which key opens the body; none: it is in clear.
    pub key: Option<String>,
    /// What it was given and what came of it.
    pub body: String,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
