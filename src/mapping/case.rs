//! One mapping's part in one change: what has to be read first, and the row that comes of it.
use std::{borrow::Cow, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Failure, Mapping};
use crate::{
    hooks::{self, LogLine, Reader, Runtime, Script},
    model::{Cause, Filter, Link, Object, PlannedRow, Situation, TargetObject},
};

/// The source object of a change.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it was; none for a create.
    pub old: Option<&'a Object>,
    /// What it becomes; none for a delete.
    pub new: Option<&'a Object>,
}

/// What scripts run with.
#[derive(Debug, Clone, Copy)]
pub struct Scripts<'a> {
    /// What runs them.
    pub runtime: &'a Runtime,
    /// How they read objects.
    pub reader: Option<&'a Arc<dyn Reader>>,
    /// The variable `context`.
    pub context: &'a Value,
}

/// One mapping under one link qualifier for one source object.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The mapping.
    pub mapping: &'a Mapping,
    /// The link qualifier.
    pub qualifier: &'a str,
    /// The source object.
    pub source: Source<'a>,
    /// The source object's link of the mapping's link type under this qualifier (as stored: where
    /// the mapping reads links reversed, the source is the second id).
    pub link: Option<&'a Link>,
    /// What scripts run with.
    pub scripts: Scripts<'a>,
}

/// What has to be read at the target before the situation can be assessed. Both may be asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lookup {
    /// The object with this id: the linked one, or one that would be in the way of a create.
    pub id: Option<String>,
    /// Objects that may be the source's.
    pub candidates: Option<Candidates>,
}

/// Objects that correlation names.
#[derive(Debug, Clone, PartialEq)]
pub enum Candidates {
    /// Those that meet a filter.
    Query(Filter),
    /// Those with these ids that exist.
    Ids(Vec<String>),
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// What is at [`Lookup::id`].
    pub object: Option<TargetObject>,
    /// What [`Lookup::candidates`] came to.
    pub hits: Vec<Hit>,
}

/// An object that correlation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The object.
    pub object: TargetObject,
    /// Its link under the mapping's link type and this qualifier.
    pub link: Option<Link>,
}

/// A case whose source has been looked at.
#[derive(Debug)]
pub struct Prepared<'a> {
    case: Case<'a>,
    lookup: Lookup,
}

/// What a case came to.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The row of the plan; its step is `Failed` where the mapping could not decide.
    pub row: PlannedRow,
    /// The hooks of the mapping that ran, in order.
    pub runs: Vec<ScriptRun>,
    /// An id that a create or rename gives and that was not read before: where there is an object
    /// with it, [`Decision::taken`] must be called.
    pub unread: Option<String>,
}

/// A hook of a mapping that ran.
#[derive(Debug, Clone)]
pub struct ScriptRun {
    /// `MAPPING/onUpdate`, `MAPPING/postAction`, …
    pub hook: String,
    /// The script.
    pub script: Script,
    /// Why it failed.
    pub failure: Option<hooks::Failure>,
    /// What it logged; secrets are not masked.
    pub log: Vec<LogLine>,
    /// How long it ran.
    pub duration: Duration,
}

/// The link qualifiers under which a mapping looks at a source object.
///
/// # Errors
/// Where the mapping's script fails or gives no list of texts.
pub async fn link_qualifiers<'a>(
    mapping: &'a Mapping,
    source: Source<'_>,
    scripts: Scripts<'_>,
) -> Result<Cow<'a, [String]>, Failure> {
    let _ = (mapping, source, scripts);
    todo!()
}

impl<'a> Case<'a> {
    /// Looks at the source: does it qualify, and what must be read at the target.
    ///
    /// # Errors
    /// The finished decision, its row `Failed`, where a script fails.
    pub async fn prepare(self) -> Result<Prepared<'a>, Box<Decision>> {
        todo!()
    }

    /// The decision where the case cannot be decided, for example because the target cannot be read.
    #[must_use]
    pub fn failed(&self, cause: Cause, situation: Option<Situation>) -> Decision {
        let _ = (cause, situation);
        todo!()
    }
}

impl<'a> Prepared<'a> {
    /// The case.
    #[must_use]
    pub fn case(&self) -> &Case<'a> {
        &self.case
    }

    /// What must be read at the target.
    #[must_use]
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Assesses the situation, chooses the action and computes the write.
    pub async fn decide(self, found: Found) -> Decision {
        let _ = found;
        todo!()
    }
}

impl Decision {
    /// The id that was not read is taken at the target: the row fails.
    pub fn taken(&mut self) {
        todo!()
    }
}
