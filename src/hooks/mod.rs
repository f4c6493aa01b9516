//! Scripts in Rhai, shut in: they see variables, may read, and leave a verdict; they hold no handle
//! on the engine.
mod bindings;
pub mod cases;
mod convert;
mod definitions;
mod docs;
mod failure;
mod keeping;
mod limits;
mod names;
mod reader;
mod run;
mod runtime;
mod sandbox;
mod script;
mod session;
#[cfg(test)]
mod tests;
mod variables;
mod verdict;
mod weight;

pub use definitions::Definition;
pub use failure::Failure;
pub use keeping::{Keep, Keeper, Keeping};
pub use limits::Limits;
pub use reader::Reader;
pub use run::{LogLine, Run};
pub use runtime::Runtime;
pub use script::{CompileError, Script};
pub use variables::{Page, Variable, Variables};
pub use verdict::{FollowUp, Verdict};
