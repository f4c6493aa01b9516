//! From a source object to what its targets should hold: qualify, correlate, assess, decide, transform.
mod act;
mod case;
mod condition;
mod correlate;
mod failure;
mod policy;
mod properties;
mod qualify;
mod run;
mod settings;
mod situation;

pub use case::{
    Candidates, Case, Decision, Found, Hit, Lookup, Prepared, ScriptRun, Scripts, Source,
};
pub use failure::Failure;
pub use qualify::link_qualifiers;
pub use settings::*;

/// Target attributes whose values come from confidential source attributes, judged by what the
/// properties and scripts of a mapping read; where that is unclear, an attribute counts as
/// confidential. `confidential` names the source's confidential attributes.
#[must_use]
pub fn confidential_targets(mapping: &Mapping, confidential: &[String]) -> Vec<String> {
    let _ = (mapping, confidential);
    todo!()
}
