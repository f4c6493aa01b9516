//! Cases: a script, what it is given, and what must come of it; kept in files beside the scripts.
mod compare;
mod format;
mod replay;
mod suite;

pub use compare::{Difference, differences};
pub use format::{Case, CaseFile, Expectation, schema};
pub use replay::{Answers, Bench};
pub use suite::{Checked, Subject, check};
