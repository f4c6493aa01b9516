//! Tables of PostgreSQL, MariaDB/MySQL and SQLite as target systems.
mod settings;

pub use settings::*;
