//! The rows of the store's tables; they never leave this room.
pub mod audit_entry;
pub mod chain_head;
pub mod event;
pub mod feed_mark;
pub mod idempotency;
pub mod integration_event;
pub mod integration_record;
pub mod lane;
pub mod link;
pub mod managed_object;
pub mod node;
pub mod operation;
pub mod token;
