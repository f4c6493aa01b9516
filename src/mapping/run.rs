//! Running a mapping's scripts: which variables they see, and that they only compute.
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Case, Effects, Failure, Mapping, ScriptRun, Scripts};
use crate::{
    hooks::{Keep, Run, Script, Variable, Variables},
    model::Object,
};

/// The variables of one run. A value is only made where the script's text holds its name.
pub(super) struct Bindings<'s> {
    script: &'s Script,
    variables: Variables,
    keep: Keep,
}

impl<'s> Bindings<'s> {
    /// No variables yet.
    pub(super) fn of(script: &'s Script) -> Self {
        Self {
            script,
            variables: Variables::new(),
            keep: Keep::Nothing,
        }
    }

    /// Adds a constant.
    pub(super) fn with(mut self, name: &'static str, value: impl FnOnce() -> Value) -> Self {
        // A run that is kept may be repeated with another text, which may name what this one does not.
        if self.keep == Keep::Everything || self.script.text.contains(name) {
            self.variables.push((name, Variable::Constant(value())));
        }
        self
    }

    /// Adds a constant that is an object, or `()`.
    pub(super) fn with_object(self, name: &'static str, object: Option<&Object>) -> Self {
        self.with(name, || object.cloned().map_or(Value::Null, Value::Object))
    }

    /// Adds an object that the script may change; it comes back in [`Run::variables`].
    pub(super) fn with_mutable(mut self, name: &'static str, object: Object) -> Self {
        let value = Value::Object(object);
        self.variables
            .push((name, Variable::Mutable(vec![name], value)));
        self
    }

    /// Adds what every script of a mapping may ask for.
    pub(super) fn with_case(self, case: &Case<'_>) -> Self {
        let mapping = case.mapping;
        self.with("oldSource", || object_or_null(case.source.old))
            .with("sourceId", || json!(case.source.id))
            .with("linkQualifier", || json!(case.qualifier))
            .with("context", || case.scripts.context.clone())
            .with("mappingConfig", || {
                json!({
                    "name": mapping.name,
                    "source": mapping.source.to_string(),
                    "target": mapping.target.to_string(),
                })
            })
    }
}

fn object_or_null(object: Option<&Object>) -> Value {
    object.cloned().map_or(Value::Null, Value::Object)
}

impl Scripts<'_> {
    /// Whether a hook is left out because of its effects elsewhere.
    pub(super) fn leaves_out(&self, hook: &Script) -> bool {
        hook.side_effects && self.effects == Effects::Unwanted
    }

    /// No variables yet, for a hook whose runs may be kept.
    pub(super) fn bindings<'s>(
        &self,
        mapping: &Mapping,
        hook: &str,
        script: &'s Script,
    ) -> Bindings<'s> {
        let keeper = self.runtime.keeper();
        Bindings {
            keep: match keeper.most() {
                0 => Keep::Nothing,
                _ => keeper.begin(&format!("{}/{hook}", mapping.name)),
            },
            ..Bindings::of(script)
        }
    }

    /// The value of a script that is no hook.
    pub(super) async fn value(
        &self,
        mapping: &Mapping,
        hook: &str,
        bindings: Bindings<'_>,
    ) -> Result<Value, Failure> {
        let run = self.run(bindings).await;
        outcome(mapping, hook, run).map(|(value, _)| value)
    }

    /// The answer of a script that must say yes or no.
    pub(super) async fn verdict(
        &self,
        mapping: &Mapping,
        hook: &str,
        bindings: Bindings<'_>,
    ) -> Result<bool, Failure> {
        match self.value(mapping, hook, bindings).await? {
            Value::Bool(holds) => Ok(holds),
            _ => Err(unusable(mapping, hook, "true or false")),
        }
    }

    /// Runs a hook, notes the run, and gives the variables that it may have changed.
    pub(super) async fn hook(
        &self,
        mapping: &Mapping,
        hook: &str,
        bindings: Bindings<'_>,
        runs: &mut Vec<ScriptRun>,
    ) -> Result<Object, Failure> {
        let script = bindings.script.clone();
        let name = format!("{}/{hook}", mapping.name);
        let reader = self.reader.map(Arc::clone);
        let (run, keeping) = self
            .runtime
            .run_keeping((&name, bindings.keep), &script, bindings.variables, reader)
            .await;
        let kept = keeping.and_then(|keeping| keeping.kept(&script, &run, None));
        let (log, duration, operations) = (run.log.clone(), run.duration, run.operations);
        let failed = run.result.as_ref().err().cloned();
        let outcome = outcome(mapping, hook, run);
        runs.push(ScriptRun {
            hook: name,
            script,
            failure: failed,
            log,
            duration,
            operations,
            kept: kept.map(Box::new),
        });
        outcome.map(|(_, variables)| variables)
    }

    async fn run(&self, bindings: Bindings<'_>) -> Run {
        let reader = self.reader.map(Arc::clone);
        self.runtime
            .run(bindings.script, bindings.variables, reader)
            .await
    }
}

/// What a run gave; an error where it failed, or asked for what a mapping cannot have done.
fn outcome(mapping: &Mapping, hook: &str, run: Run) -> Result<(Value, Object), Failure> {
    let value = run.result.map_err(|source| Failure::Script {
        mapping: mapping.name.clone(),
        hook: hook.to_owned(),
        source: Box::new(source),
    })?;
    if run.verdict.revert || !run.verdict.follow_ups.is_empty() {
        return Err(Failure::Asked {
            mapping: mapping.name.clone(),
            hook: hook.to_owned(),
        });
    }
    Ok((value, run.variables))
}

/// The failure of a script whose value has the wrong form.
pub(super) fn unusable(mapping: &Mapping, hook: &str, expected: &'static str) -> Failure {
    Failure::Unusable {
        mapping: mapping.name.clone(),
        hook: hook.to_owned(),
        expected,
    }
}
