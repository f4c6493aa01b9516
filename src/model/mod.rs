//! The words of the domain. No input or output, nothing asynchronous, no clock.
pub mod audit;
pub mod change;
pub mod event;
pub mod filter;
pub mod hook_run;
pub mod integration;
pub mod json;
pub mod link;
pub mod metrics;
pub mod object;
pub mod patch;
pub mod path;
pub mod plan;
pub mod pointer;
pub mod recon;
pub mod record;
pub mod role;
pub mod saga;
pub mod scim;
pub mod secret;
pub mod shared_secret;
pub mod signing;
pub mod situation;
pub mod trust;
pub mod unique;

pub use change::{
    ChangeKind, ChangeRequest, Lineage, OperationId, Precondition, Purpose, Requested,
};
pub use filter::Filter;
pub use link::{Link, LinkChange};
pub use object::{Difference, Object};
pub use path::{Container, ResourceName};
pub use plan::{Cause, CauseKind, Follows, PlannedRow, RowResult, Step, TargetObject, TargetWrite};
pub use record::OperationRecord;
pub use role::{Role, Roles};
pub use saga::{Outcome, SagaEvent, SagaState};
pub use situation::{Action, Situation};
