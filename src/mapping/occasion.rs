//! What a mapping is run for: a change of its source, or a reconciliation, which also meets targets
//! that no source is known of.
use serde_json::Value;

use super::{
    Case, Decision, Failure, Found, Lookup, Mapping, MappingHook, ScriptRun, Scripts, Source,
    act::Reserved,
    run::Bindings,
    situation::{Assessed, Qualified},
};
use crate::model::{Action, Situation, Step, TargetObject, link::DEFAULT_QUALIFIER};

/// What a case is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion<'a> {
    /// Its source object changes.
    Change,
    /// The reconciliation with this id.
    Reconciliation(&'a str),
}

impl Occasion<'_> {
    /// What is done where no policy says otherwise.
    pub(super) fn default_for(self, situation: Situation) -> Action {
        match self {
            Self::Change => situation.implicit_default(),
            Self::Reconciliation(_) => situation.reconciliation_default(),
        }
    }

    /// The id of the reconciliation, if it is one.
    pub(super) fn reconciliation(self) -> Option<String> {
        match self {
            Self::Change => None,
            Self::Reconciliation(id) => Some(id.to_owned()),
        }
    }
}

/// Runs a mapping's `result` hook after a reconciliation: it sees what was counted and changes
/// nothing. None where there is no such hook.
pub async fn after_reconciliation(
    mapping: &Mapping,
    scripts: Scripts<'_>,
    run: &str,
    statistics: &Value,
) -> Option<ScriptRun> {
    let script = mapping.hooks.get(&MappingHook::Result)?;
    let of = |name: &'static str| statistics.get(name).cloned().unwrap_or_default();
    let case = Case {
        mapping,
        qualifier: DEFAULT_QUALIFIER,
        source: Source::NONE,
        link: None,
        scripts,
    };
    let bindings = Bindings::of(script)
        .with("source", || of("source"))
        .with("target", || of("target"))
        .with("global", || of("global"))
        .with("reconId", || run.into())
        .with_case(&case);
    let mut runs = Vec::new();
    // What it throws is in the run.
    let _ = scripts
        .hook(mapping, MappingHook::Result.key(), bindings, &mut runs)
        .await;
    runs.pop()
}

impl Source<'_> {
    /// No source object is known: a target without a link.
    pub const NONE: Source<'static> = Source {
        id: "",
        old: None,
        new: None,
    };
}

impl Case<'_> {
    /// Whether a source object is known, be it a deleted one.
    pub(super) fn has_source(&self) -> bool {
        !self.source.id.is_empty()
    }

    /// Decides about a target object without a link, for a case whose source is [`Source::NONE`]:
    /// `UNASSIGNED`, or `TARGET_IGNORED` where `validTarget` does not accept it.
    pub async fn decide_unlinked(self, target: TargetObject, occasion: Occasion<'_>) -> Decision {
        let mut decision = self.decision(Step::Nothing);
        decision.row.target_id = Some(target.id.clone());
        if let Err(failure) = self.fill_unlinked(target, occasion, &mut decision).await {
            decision.row.step = Step::Failed {
                cause: failure.cause(),
            };
        }
        decision
    }

    async fn fill_unlinked(
        self,
        target: TargetObject,
        occasion: Occasion<'_>,
        decision: &mut Decision,
    ) -> Result<(), Failure> {
        let qualified = if self.has_valid_target(&target.to_object()).await? {
            Qualified::Yes
        } else {
            Qualified::No
        };
        let assessed = Assessed {
            situation: match qualified {
                Qualified::Yes => Situation::Unassigned,
                Qualified::No => Situation::TargetIgnored,
            },
            target: Some(target),
            foreign: None,
        };
        let reserved = Reserved::new(&self, &Lookup::default(), &Found::default());
        self.settle_on(assessed, &reserved, occasion, decision)
            .await
    }
}
