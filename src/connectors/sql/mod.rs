//! Tables of PostgreSQL, MariaDB/MySQL and SQLite as target systems.
//!
//! A row is an object; its key shows as `_id`, as text, and nowhere else. What a column holds goes
//! to JSON and back without loss, or not at all: a type that Recant does not know is an error.
//! PostgreSQL and SQLite get one statement for each write, which commits by itself and gives the
//! row as it is now; MySQL needs a transaction for that.
mod changes;
mod columns;
mod connector;
mod describe;
mod explain;
mod failure;
mod filter;
mod many;
mod refine;
mod session;
mod settings;
mod tables;
mod wire;

pub use connector::Sql;
pub use settings::*;
