//! Integration events on their way: whose turn it is, how they are carried out by the engine, and
//! when what failed is tried again.
mod deliver;
mod import;
mod inbound;
pub mod live;
mod owners;
mod receive;
mod refill;
pub mod retry;
mod signature;
mod told_time;
mod turn;
mod worker;

pub use deliver::{Sender, Subscription, Subscriptions, again, pump};
pub use import::{Force, Import, import, lister};
pub use live::Watched;
pub use receive::{Known, Received, Source, receive};
pub use signature::{Scheme, Unsigned, sign, verify};
pub use worker::Worker;
