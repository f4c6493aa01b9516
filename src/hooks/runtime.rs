//! Where scripts run: a pool of engines, and a bound on how many run at once.
use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::available_parallelism,
    time::Instant,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
};

use super::{
    CompileError, Definition, Failure, Keep, Keeper, Keeping, Limits, Page, Reader, Run, Script,
    Variables, definitions, docs,
    keeping::{Remembering, inputs_of},
    run::{Job, Reuse},
    sandbox::Sandbox,
    variables,
};
use crate::{
    clock::{SharedClock, SystemClock},
    model::Object,
};

/// Runs at once: reads wait, and a waiting script must not keep others from running. Each run that
/// takes long holds a thread, of which the runtime has some hundred.
const RUNS: usize = 64;
/// Engines that are kept for the next runs, per processor.
const IDLE_PER_PROCESSOR: usize = 8;

/// Compiles and runs scripts under limits. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Limits,
    clock: SharedClock,
    /// One engine shared by all threads does not scale, and a new one costs more than most runs.
    idle: Mutex<Vec<Sandbox>>,
    permits: Semaphore,
    most_idle: usize,
    /// The names of all functions.
    functions: OnceLock<BTreeSet<String>>,
    keeper: Keeper,
}

impl Runtime {
    /// A runtime with these limits, on the system's clock.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_clock(limits, Arc::new(SystemClock))
    }

    /// A runtime whose scripts take the time and fresh ids from this clock.
    #[must_use]
    pub fn with_clock(limits: Limits, clock: SharedClock) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            inner: Arc::new(Inner {
                limits,
                clock,
                idle: Mutex::default(),
                permits: Semaphore::new(RUNS),
                most_idle: processors * IDLE_PER_PROCESSOR,
                functions: OnceLock::new(),
                keeper: Keeper::default(),
            }),
        }
    }

    /// Compiles a text. The name stands in messages: a file's name, or `MAPPING/HOOK`.
    ///
    /// # Errors
    /// Says where the text is wrong.
    pub fn compile(&self, name: &str, text: &str, globals: Object) -> Result<Script, CompileError> {
        let sandbox = self.inner.take();
        let functions = self.inner.functions.get_or_init(|| sandbox.functions());
        let script = Script::compile(&sandbox.engine, functions, name, text, globals);
        self.inner.give_back(sandbox);
        script
    }

    /// Every function that scripts can call, by name.
    #[must_use]
    pub fn functions(&self) -> Vec<Definition> {
        let sandbox = self.inner.take();
        let functions = definitions::entries(&sandbox.engine);
        self.inner.give_back(sandbox);
        functions
    }

    /// Files as pairs of name and text: `recant.d.rhai` for editors that know Rhai,
    /// `functions.json`, the same list for other programs, and `cases.schema.json`, the JSON Schema of
    /// files of cases.
    #[must_use]
    pub fn definitions(&self) -> Vec<(String, String)> {
        let sandbox = self.inner.take();
        let editors = definitions::file(&sandbox.engine);
        self.inner.give_back(sandbox);
        let list = serde_json::to_string_pretty(&self.functions()).unwrap_or_default();
        let cases = serde_json::to_string_pretty(&super::cases::schema()).unwrap_or_default();
        vec![
            ("recant.d.rhai".to_owned(), editors),
            ("functions.json".to_owned(), list),
            ("cases.schema.json".to_owned(), cases),
        ]
    }

    /// Which runs are kept.
    #[must_use]
    pub fn keeper(&self) -> &Keeper {
        &self.inner.keeper
    }

    /// What one run may use up.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// As [`Runtime::run`], for a hook whose runs may be kept: what is needed to keep this one, if
    /// it is worth it.
    pub async fn run_keeping(
        &self,
        (hook, keep): (&str, Keep),
        script: &Script,
        variables: Variables,
        reader: Option<Arc<dyn Reader>>,
    ) -> (Run, Option<Keeping>) {
        if keep == Keep::Nothing {
            return (self.run(script, variables, reader).await, None);
        }
        let at = self.inner.clock.now();
        let inputs = (keep == Keep::Everything).then(|| inputs_of(&variables));
        let remembering = reader.map(|reader| Arc::new(Remembering::new(reader)));
        let reader = remembering.clone().map(|reader| reader as Arc<dyn Reader>);
        let run = self.run(script, variables, reader).await;
        let is_wanted = inputs.is_some()
            || (run.verdict_word() != "accept" && self.keeper().wants_failure(hook));
        let keeping = is_wanted.then(|| Keeping {
            hook: hook.to_owned(),
            at,
            inputs,
            reads: remembering.map_or_else(Vec::new, |reader| reader.reads()),
        });
        (run, keeping)
    }

    /// The pages of the variables that hooks set.
    #[must_use]
    pub fn variables(&self) -> Vec<Page> {
        variables::pages().collect()
    }

    /// The pages of every variable and function whose name holds `search`, in Markdown.
    #[must_use]
    pub fn docs(&self, search: &str) -> String {
        docs::markdown(&self.variables(), &self.functions(), search)
    }

    /// Runs a script. Nothing it does can escape: every failure is in the answer.
    ///
    /// A script that held a thread for long the last time holds none of the runtime's workers: on a runtime with
    /// several, the worker's other tasks move elsewhere first; on a runtime with one, the script
    /// runs on a thread of its own.
    pub async fn run(
        &self,
        script: &Script,
        variables: Variables,
        reader: Option<Arc<dyn Reader>>,
    ) -> Run {
        let started = Instant::now();
        let wall_time = self.inner.limits.wall_time;
        let handle = Handle::try_current().ok();
        let flavor = handle.as_ref().map(Handle::runtime_flavor);
        let waited = async { tokio::time::timeout(wall_time, self.inner.permits.acquire()).await };
        let permit = match flavor {
            Some(_) => waited.await.ok().and_then(Result::ok),
            None => self.inner.permits.try_acquire().ok(),
        };
        let Some(_permit) = permit else {
            return Run::failed(too_many(script), variables, started);
        };
        let job = Job {
            script: script.clone(),
            variables,
            reader,
            handle,
            started: Instant::now(),
            wall_time,
        };
        match flavor {
            // To hand the worker's other tasks over costs more than a short script.
            Some(RuntimeFlavor::MultiThread) if script.compiled.is_quick() => {
                self.inner.carry_out(job)
            }
            Some(RuntimeFlavor::MultiThread) => {
                tokio::task::block_in_place(|| self.inner.carry_out(job))
            }
            Some(_) => self.on_own_thread(job).await,
            None => self.inner.carry_out(job),
        }
    }

    async fn on_own_thread(&self, job: Job) -> Run {
        let script = job.script.clone();
        let started = job.started;
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.carry_out(job))
            .await
            .unwrap_or_else(|_| Run::failed(shut_down(&script), Vec::new(), started))
    }
}

impl Inner {
    fn carry_out(&self, job: Job) -> Run {
        let mut sandbox = self.take();
        let compiled = Arc::clone(&job.script.compiled);
        let (run, reuse) = job.run(&mut sandbox);
        compiled.took(run.duration);
        if reuse == Reuse::Yes {
            self.give_back(sandbox);
        }
        run
    }

    fn take(&self) -> Sandbox {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.unwrap_or_else(|| Sandbox::new(&self.limits, &self.clock))
    }

    fn give_back(&self, sandbox: Sandbox) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.most_idle {
            idle.push(sandbox);
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Runtime")
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}

fn too_many(script: &Script) -> Failure {
    Failure::Error {
        script: script.name.to_string(),
        line: 0,
        column: 0,
        message: "too many scripts run already".to_owned(),
    }
}

fn shut_down(script: &Script) -> Failure {
    Failure::Error {
        script: script.name.to_string(),
        line: 0,
        column: 0,
        message: "the server is shutting down".to_owned(),
    }
}
