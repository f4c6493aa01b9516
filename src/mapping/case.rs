//! One mapping's part in one change: what has to be read first, and the row that comes of it.
use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    Failure, Mapping,
    act::{Acting, Reserved},
    condition::View,
    occasion::Occasion,
    situation::{Assessed, Qualified},
};
use crate::{
    hooks::{self, LogLine, Reader, Runtime, Script},
    model::{Action, Cause, Filter, Link, Object, PlannedRow, Step, TargetObject, hook_run::Kept},
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
    /// Whether hooks run that have effects elsewhere.
    pub effects: Effects,
}

/// Whether hooks run that have effects elsewhere (`"sideEffects": true`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effects {
    /// They run.
    #[default]
    Wanted,
    /// They are left out: a replay.
    Unwanted,
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
    qualified: Qualified,
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
    /// How many operations it took.
    pub operations: u64,
    /// What it was given and what came of it, where it is kept.
    pub kept: Option<Box<Kept>>,
}

impl<'a> Source<'a> {
    /// The object that scripts and properties see: what it becomes, or what a deleted one was.
    #[must_use]
    pub fn object(&self) -> Option<&'a Object> {
        self.new.or(self.old)
    }
}

impl<'a> Case<'a> {
    /// Looks at the source: does it qualify, and what must be read at the target.
    ///
    /// # Errors
    /// The finished decision, its row `Failed`, where a script fails.
    pub async fn prepare(self) -> Result<Prepared<'a>, Box<Decision>> {
        match self.look().await {
            Ok((qualified, lookup)) => Ok(Prepared {
                case: self,
                qualified,
                lookup,
            }),
            Err(failure) => Err(Box::new(self.failed(failure.cause()))),
        }
    }

    /// The decision where the case cannot be assessed, for example because the target cannot be
    /// read.
    #[must_use]
    pub fn failed(&self, cause: Cause) -> Decision {
        self.decision(Step::Failed { cause })
    }

    pub(super) fn decision(&self, step: Step) -> Decision {
        Decision {
            row: PlannedRow {
                mapping: self.mapping.name.clone(),
                link_qualifier: self.qualifier.to_owned(),
                source_id: self.source.id.to_owned(),
                target: self.mapping.target.clone(),
                target_id: self.linked_id().map(str::to_owned),
                situation: None,
                action: None,
                step,
                link: None,
                confidential: self.mapping.confidential.clone(),
                write_only: Vec::new(),
                sets: Vec::new(),
                follows: None,
                dormant: None,
                find: None,
            },
            runs: Vec::new(),
            unread: None,
        }
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

    /// Assesses the situation, chooses the action and computes the write. Hooks of the mapping run
    /// here, so that what the plan shows is what will be written.
    pub async fn decide(self, found: Found) -> Decision {
        self.decide_on(found, Occasion::Change).await
    }

    /// The same for a given occasion, which says what is done by default.
    pub async fn decide_on(self, found: Found, occasion: Occasion<'_>) -> Decision {
        let mut decision = self.case.decision(Step::Nothing);
        decision.row.find = match &self.lookup.candidates {
            Some(Candidates::Query(filter)) => Some(filter.to_string()),
            _ => None,
        };
        if let Err(failure) = self.fill(found, occasion, &mut decision).await {
            decision.row.step = Step::Failed {
                cause: failure.cause(),
            };
        }
        decision
    }

    async fn fill(
        &self,
        found: Found,
        occasion: Occasion<'_>,
        decision: &mut Decision,
    ) -> Result<(), Failure> {
        let reserved = Reserved::new(&self.case, &self.lookup, &found);
        let assessed = self.case.assess(self.qualified, found).await?;
        self.case
            .settle_on(assessed, &reserved, occasion, decision)
            .await
    }
}

impl Case<'_> {
    /// From the situation to the row: the action, its write and its link.
    pub(super) async fn settle_on(
        self,
        assessed: Assessed,
        reserved: &Reserved,
        occasion: Occasion<'_>,
        decision: &mut Decision,
    ) -> Result<(), Failure> {
        let case = self;
        decision.row.situation = Some(assessed.situation);
        if let Some(target) = &assessed.target {
            decision.row.target_id = Some(target.id.clone());
        }
        let view = View::new(case, assessed.target.as_ref());
        let chosen = case.choose(assessed.situation, &view, occasion).await?;
        decision.row.action = Some(chosen.action);
        let mut acting = Acting {
            case,
            assessed: &assessed,
            action: chosen.action,
            occasion,
            view: &view,
            runs: &mut decision.runs,
        };
        let effect = acting.effect(reserved).await?;
        if let Some(script) = chosen.post_action.filter(|_| concludes(chosen.action)) {
            acting.conclude(script, &effect).await?;
        }
        decision.row.target_id = effect.target_id;
        decision.row.link = effect.link;
        decision.row.step = effect.step;
        decision.unread = effect.unread;
        Ok(())
    }
}

/// Whether a `postAction` runs after an action: IDM's ASYNC and IGNORE do nothing at all.
fn concludes(action: Action) -> bool {
    !matches!(action, Action::Async | Action::Ignore)
}

impl Decision {
    /// The id that was not read is taken at the target: the row fails.
    pub fn taken(&mut self) {
        if let Some(id) = self.unread.take() {
            let failure = Failure::Exists {
                mapping: self.row.mapping.clone(),
                id,
            };
            self.row.link = None;
            self.row.step = Step::Failed {
                cause: failure.cause(),
            };
        }
    }
}
