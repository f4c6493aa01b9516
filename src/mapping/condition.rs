//! Conditions: query filters and scripts over the source, the target and what they were before.
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{Case, Condition, Failure, run::Bindings};
use crate::model::{Filter, Object, TargetObject, pointer::Pointer};

/// What conditions of one case look at.
pub(super) struct View<'a> {
    case: Case<'a>,
    /// The target object as it was read.
    target: Option<&'a TargetObject>,
    /// The target object with its `_id`, made when somebody looks at it.
    with_id: OnceLock<Object>,
    qualifier: OnceLock<Value>,
}

impl<'a> View<'a> {
    /// A view of a case and its target object.
    pub(super) fn new(case: Case<'a>, target: Option<&'a TargetObject>) -> Self {
        Self {
            case,
            target,
            with_id: OnceLock::new(),
            qualifier: OnceLock::new(),
        }
    }

    /// The target object with its `_id`.
    pub(super) fn target(&self) -> Option<&Object> {
        let target = self.target?;
        Some(self.with_id.get_or_init(|| target.to_object()))
    }

    /// Whether a condition holds; no condition always does.
    pub(super) async fn meets(
        &self,
        condition: Option<&Condition>,
        name: &str,
    ) -> Result<bool, Failure> {
        match condition {
            None => Ok(true),
            Some(Condition::Filter(filter)) => Ok(self.matches(filter)),
            Some(Condition::Script(script)) => {
                let source = self.case.source.object();
                let bindings = Bindings::of(script)
                    .with_object("object", source)
                    .with_object("source", source)
                    .with_object("target", self.target())
                    .with_object("oldTarget", self.target())
                    .with_case(&self.case);
                let scripts = &self.case.scripts;
                scripts.verdict(self.case.mapping, name, bindings).await
            }
        }
    }

    /// Whether a filter holds. `/object/NAME` (or `/source/NAME`, or just `NAME`) is the source's
    /// attribute, `/target/NAME` the target's; `/oldSource/NAME`, `/oldTarget/NAME` and
    /// `/linkQualifier` are known too.
    fn matches(&self, filter: &Filter) -> bool {
        filter.holds(&|field| self.read(field))
    }

    fn read(&self, field: &Pointer) -> Option<&Value> {
        let source = self.case.source;
        match (field.first()?, field.tokens().len()) {
            ("linkQualifier", 1) => {
                let make = || json!(self.case.qualifier);
                Some(self.qualifier.get_or_init(make))
            }
            (_, 1) => field.get(source.object()?),
            ("object" | "source", _) => field.get_below(1, source.object()?),
            ("oldSource", _) => field.get_below(1, source.old?),
            ("target" | "oldTarget", _) => field.get_below(1, self.target()?),
            _ => field.get(source.object()?),
        }
    }
}
