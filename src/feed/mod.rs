//! Integration events on their way: whose turn it is, how they are carried out by the engine, and
//! when what failed is tried again.
pub mod retry;
mod turn;
mod worker;

pub use worker::Worker;
