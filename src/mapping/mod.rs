//! From a source object to what its targets should hold: qualify, correlate, assess, decide, transform.
mod act;
mod bounds;
mod case;
mod condition;
mod confidential;
mod correlate;
mod failure;
mod occasion;
mod policy;
mod properties;
mod qualify;
mod run;
mod settings;
mod situation;
#[cfg(test)]
mod tests;
mod words;

pub use bounds::{DeletionBounds, Deletions, fraction};
pub use case::{
    Candidates, Case, Decision, Effects, Found, Hit, Lookup, Prepared, ScriptRun, Scripts, Source,
};
pub use confidential::confidential_targets;
pub use failure::Failure;
pub use occasion::{Occasion, after_reconciliation};
pub use qualify::link_qualifiers;
pub use settings::*;
