//! One run of a script on the thread that it was given.
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use rhai::{Dynamic, ImmutableString, Scope};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{
    Failure, Reader, Script, Variable, Variables, Verdict,
    convert::{self, Misfit},
    sandbox::Sandbox,
};
use crate::model::Object;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Run {
    /// The script's value, or why it has none.
    pub result: Result<Value, Failure>,
    /// What it asked for; holds even if it then failed.
    pub verdict: Verdict,
    /// The mutable variables as the script left them, under their first name.
    pub variables: Object,
    /// The lines that it logged, at most 200.
    pub log: Vec<LogLine>,
    /// How long it ran.
    pub duration: Duration,
    /// How many operations it took.
    pub operations: u64,
}

/// A line that a script logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text.
    pub message: String,
}

/// Everything that a run needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) script: Script,
    pub(super) variables: Variables,
    pub(super) reader: Option<Arc<dyn Reader>>,
    pub(super) handle: Option<Handle>,
    pub(super) started: Instant,
    pub(super) wall_time: Duration,
}

impl Run {
    /// A run that never began.
    pub(super) fn failed(failure: Failure, variables: Variables, started: Instant) -> Self {
        let variables = variables.into_iter().filter_map(untouched).collect();
        Self {
            result: Err(failure),
            verdict: Verdict::default(),
            variables,
            log: Vec::new(),
            duration: started.elapsed(),
            operations: 0,
        }
    }
}

impl Job {
    /// Runs the script in a sandbox, and says whether the sandbox may be used again.
    pub(super) fn run(self, sandbox: &mut Sandbox) -> (Run, Reuse) {
        let Self {
            script,
            variables,
            reader,
            handle,
            started,
            wall_time,
        } = self;
        sandbox.session.begin(started + wall_time, reader, handle);
        let mut left = Object::new();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            evaluate(sandbox, &script, variables, &mut left)
        }));
        let (result, reuse) = match ended {
            Ok(result) => (result, Reuse::Yes),
            Err(_) => (Err(crashed(&script)), Reuse::No),
        };
        let harvest = sandbox.session.finish();
        let run = Run {
            result,
            verdict: harvest.verdict,
            variables: left,
            log: harvest.log,
            duration: started.elapsed(),
            operations: harvest.operations,
        };
        (run, reuse)
    }
}

/// Whether a sandbox may serve another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    Yes,
    No,
}

/// Runs the script. Whatever it left in the mutable variables is in `left`, even if it failed.
fn evaluate(
    sandbox: &Sandbox,
    script: &Script,
    variables: Variables,
    left: &mut Object,
) -> Result<Value, Failure> {
    let misfit = |misfit: Misfit| Failure::Error {
        script: script.name.to_string(),
        line: 0,
        column: 0,
        message: misfit.to_string(),
    };
    let visible = Visible::new(script, variables, left).map_err(misfit)?;
    if script.compiled.tree.has_functions() {
        sandbox.session.show(visible.names.clone());
    }
    let mut scope = Scope::new();
    for (name, value) in visible.names {
        scope.push_dynamic(name.as_str(), value);
    }
    let result = sandbox
        .engine
        .eval_ast_with_scope::<Dynamic>(&mut scope, &script.compiled.tree)
        .map_err(|error| Failure::from_rhai(&script.name, &sandbox.session, *error));
    drop(scope);
    sandbox.session.show(Vec::new());
    for (name, value) in visible.mutable {
        let value =
            convert::to_value(&value.flatten()).map_err(|error| misfit(error.inside(name)))?;
        left.insert(name.to_owned(), value);
    }
    let value = result?;
    if let Some(limit) = sandbox.session.exhausted(sandbox.operations) {
        return Err(Failure::Limit {
            script: script.name.to_string(),
            line: 0,
            column: 0,
            limit,
        });
    }
    convert::to_value(&value).map_err(|error| misfit(error.inside("the script's value")))
}

/// The variables that a script mentions, as values of Rhai.
#[derive(Default)]
struct Visible {
    /// Every name; later ones hide earlier ones.
    names: Vec<(ImmutableString, Dynamic)>,
    /// The mutable ones under their first name, sharing their values with `names`.
    mutable: Vec<(&'static str, Dynamic)>,
}

impl Visible {
    fn new(script: &Script, variables: Variables, left: &mut Object) -> Result<Self, Misfit> {
        let mut visible = Self::default();
        for (name, value) in script.globals.iter() {
            visible.add_constant(script, name, || value.clone())?;
        }
        for (name, variable) in variables {
            match variable {
                Variable::Constant(value) => visible.add_constant(script, name, || value)?,
                Variable::Mutable(names, value) => {
                    if script.mentions(name) || names.iter().any(|name| script.mentions(name)) {
                        visible.add_mutable(script, name, &names, value.clone())?;
                    }
                    left.insert(name.to_owned(), value);
                }
            }
        }
        Ok(visible)
    }

    fn add_constant(
        &mut self,
        script: &Script,
        name: &str,
        value: impl FnOnce() -> Value,
    ) -> Result<(), Misfit> {
        if script.mentions(name) {
            let value = convert::to_dynamic(value()).map_err(|misfit| misfit.inside(name))?;
            let value = value.into_read_only().into_shared();
            self.names.push((name.into(), value));
        }
        Ok(())
    }

    /// One cell under every name: what is assigned to one of them is what all of them hold.
    fn add_mutable(
        &mut self,
        script: &Script,
        name: &'static str,
        names: &[&'static str],
        value: Value,
    ) -> Result<(), Misfit> {
        let others = names.iter().copied().filter(|other| *other != name);
        let mentioned: Vec<_> = std::iter::once(name)
            .chain(others)
            .filter(|name| script.mentions(name))
            .collect();
        let value = convert::to_dynamic(value).map_err(|misfit| misfit.inside(name))?;
        let value = value.into_shared();
        for name in mentioned {
            self.names.push((name.into(), value.clone()));
        }
        self.mutable.push((name, value));
        Ok(())
    }
}

fn untouched((name, variable): (&'static str, Variable)) -> Option<(String, Value)> {
    match variable {
        Variable::Constant(_) => None,
        Variable::Mutable(_, value) => Some((name.to_owned(), value)),
    }
}

fn crashed(script: &Script) -> Failure {
    Failure::Error {
        script: script.name.to_string(),
        line: 0,
        column: 0,
        message: "a function of the sandbox crashed; this is a fault in Recant, not in the script"
            .to_owned(),
    }
}
