//! Integration events, in and out.
use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "integration_event")]
pub struct Model {
    /// The event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// The connector.
    pub connector: String,
    /// Whose events are carried out one after the other.
    pub lane: String,
    /// The lane, while this event is carried out.
    pub active: Option<String>,
    /// The id in the external system, or that of the managed object.
    pub external_id: String,
    /// When the record was changed, in microseconds since 1970.
    pub updated_at: i64,
    /// `create`, `update`, `delete`.
    pub kind: String,
    /// Our copy of the external record.
    pub cached_id: Option<String>,
    /// Its object class.
    pub cached_type: Option<String>,
    /// The managed object.
    pub record_id: Option<String>,
    /// Its type.
    pub record_type: Option<String>,
    /// The mapping that carries it out.
    pub mapping: Option<String>,
    /// Where it stands.
    pub state: String,
    /// The event that took its place.
    pub canceled_by: Option<String>,
    /// The event that brought the same.
    pub duplicate_of: Option<String>,
    /// What is newer.
    pub ignored_for_id: Option<String>,
    /// What that is.
    pub ignored_for_type: Option<String>,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried again.
    pub next_attempt_at: Option<i64>,
    /// The change that carries it out.
    pub operation: Option<String>,
    /// Who carries it out.
    pub node: Option<String>,
    /// When it arrived.
    pub created_at: i64,
    /// When its last attempt began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// The id under which it was delivered.
    pub delivery: Option<String>,
    /// The key of the payload.
    pub payload_key: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// What it brings.
    pub payload: Option<String>,
    /// How a recorded event is told again.
    pub replay: Option<String>,
}

/// None are declared: the store joins by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
