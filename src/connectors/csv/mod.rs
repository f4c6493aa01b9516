//! Small CSV files as target systems: every call reads the whole file, every write replaces it.
mod changes;
mod connector;
mod former;
mod lines;
mod settings;
mod wire;

pub use connector::CsvFile;
pub use settings::*;
