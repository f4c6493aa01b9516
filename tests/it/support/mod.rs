//! What the tests share.
pub mod servers;
