//! What one run of a script has done and may still do; shared with the native functions.
use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rhai::{Dynamic, EvalAltResult, ImmutableString, Scope};
use tokio::runtime::Handle;

use super::{
    FollowUp, LogLine, Reader, Verdict,
    failure::{broken, limit},
    limits::{FOLLOW_UPS, LOG_LINE_BYTES, LOG_LINES},
    weight::Weights,
};

/// An error as native functions raise it.
pub(super) type Raised = Box<EvalAltResult>;

/// How many texts of errors are remembered, to know one again that is thrown anew.
const REMEMBERED_ERRORS: usize = 16;

/// Operations between two looks at the clock, where operations are quick.
const OPERATIONS_PER_LOOK: u64 = 32;
/// Nanoseconds between two looks from which operations are slow.
const SLOW: u64 = 500_000;
/// Accesses to variables between two weighings. In one access a value may get deeper by as much as
/// an expression can be nested; sixteen times that still fits on a thread's stack.
const ACCESSES_PER_WEIGHING: u64 = 16;

/// The state of one run. An engine keeps the same session for all its runs.
#[derive(Debug)]
pub(super) struct Session {
    epoch: Instant,
    /// Nanoseconds after `epoch`.
    deadline: AtomicU64,
    operations: AtomicU64,
    /// The number of operations at which to look at the clock next, and when that last was.
    next_look: AtomicU64,
    last_look: AtomicU64,
    accesses: AtomicU64,
    weights: Mutex<Weights>,
    state: Mutex<State>,
    /// The variables that functions and closures see too: Rhai gives them none.
    visible: RwLock<Vec<(ImmutableString, Dynamic)>>,
}

#[derive(Debug, Default)]
struct State {
    verdict: Verdict,
    log: Vec<LogLine>,
    raised: Vec<String>,
    reader: Option<Arc<dyn Reader>>,
    handle: Option<Handle>,
}

/// What a run leaves behind.
#[derive(Debug)]
pub(super) struct Harvest {
    pub(super) verdict: Verdict,
    pub(super) log: Vec<LogLine>,
    pub(super) operations: u64,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            deadline: AtomicU64::new(u64::MAX),
            operations: AtomicU64::new(0),
            next_look: AtomicU64::new(0),
            last_look: AtomicU64::new(0),
            accesses: AtomicU64::new(0),
            weights: Mutex::default(),
            state: Mutex::default(),
            visible: RwLock::default(),
        }
    }

    /// Starts a run: forgets the one before it.
    pub(super) fn begin(
        &self,
        deadline: Instant,
        reader: Option<Arc<dyn Reader>>,
        handle: Option<Handle>,
    ) {
        self.deadline.store(
            nanos(deadline.duration_since(self.epoch)),
            Ordering::Relaxed,
        );
        for counter in [&self.operations, &self.next_look, &self.accesses] {
            counter.store(0, Ordering::Relaxed);
        }
        *self.state() = State {
            reader,
            handle,
            ..State::default()
        };
    }

    /// Ends a run and takes what it left.
    pub(super) fn finish(&self) -> Harvest {
        self.show(Vec::new());
        let state = std::mem::take(&mut *self.state());
        Harvest {
            verdict: state.verdict,
            log: state.log,
            operations: self.operations.load(Ordering::Relaxed),
        }
    }

    /// Lets functions and closures see these (shared) values.
    pub(super) fn show(&self, variables: Vec<(ImmutableString, Dynamic)>) {
        *self.visible.write().unwrap_or_else(PoisonError::into_inner) = variables;
    }

    /// A variable that functions and closures see.
    pub(super) fn visible(&self, name: &str) -> Option<Dynamic> {
        let visible = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        let found = visible.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    /// Tells the run's reader that the script depends on more than its variables.
    pub(super) fn varies(&self) {
        if let Some(reader) = &self.state().reader {
            reader.varies();
        }
    }

    /// Counts an operation; the limit that it breaks, if any. Rhai counts as well, but starts again
    /// in every function that a native one calls. Looks at the clock once in a while, and at each
    /// operation where operations take long.
    pub(super) fn count(&self, most: u64) -> Option<&'static str> {
        let operations = self.operations.load(Ordering::Relaxed) + 1;
        self.operations.store(operations, Ordering::Relaxed);
        if operations > most {
            return Some(limit::OPERATIONS);
        }
        let overdue = operations >= self.next_look.load(Ordering::Relaxed) && self.look(operations);
        overdue.then_some(limit::WALL_TIME)
    }

    /// The limit that the whole run broke. Some functions of the language (`sort_by`) keep errors
    /// of the functions that they call to themselves.
    pub(super) fn exhausted(&self, most: u64) -> Option<&'static str> {
        if self.operations.load(Ordering::Relaxed) > most {
            return Some(limit::OPERATIONS);
        }
        self.remaining().is_zero().then_some(limit::WALL_TIME)
    }

    fn look(&self, operations: u64) -> bool {
        let now = nanos(self.epoch.elapsed());
        let since = now.saturating_sub(self.last_look.swap(now, Ordering::Relaxed));
        let pause = if since > SLOW { 1 } else { OPERATIONS_PER_LOOK };
        self.next_look.store(operations + pause, Ordering::Relaxed);
        now >= self.deadline.load(Ordering::Relaxed)
    }

    /// Weighs the variables of the function that runs, at every few accesses to a variable.
    pub(super) fn weigh(&self, level: usize, scope: &Scope<'_>) -> Result<(), Raised> {
        let accesses = self.accesses.load(Ordering::Relaxed);
        self.accesses.store(accesses + 1, Ordering::Relaxed);
        if !accesses.is_multiple_of(ACCESSES_PER_WEIGHING) {
            return Ok(());
        }
        let mut weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        weights.weigh(level, scope).map_err(broken)
    }

    /// How much of the wall time is left.
    pub(super) fn remaining(&self) -> Duration {
        let deadline = self.deadline.load(Ordering::Relaxed);
        Duration::from_nanos(deadline.saturating_sub(nanos(self.epoch.elapsed())))
    }

    /// Asks for the change to be taken back.
    pub(super) fn revert(&self) {
        self.state().verdict.revert = true;
    }

    /// Asks for a change of another object.
    pub(super) fn ask(&self, follow_up: FollowUp) -> Result<(), Raised> {
        let mut state = self.state();
        if state.verdict.follow_ups.len() >= FOLLOW_UPS {
            return Err(broken(limit::REQUESTS));
        }
        state.verdict.follow_ups.push(follow_up);
        Ok(())
    }

    /// Keeps a line for the log, cut to a bounded length; drops it where there are too many.
    pub(super) fn log(&self, level: &'static str, message: &str) {
        let mut state = self.state();
        if state.log.len() < LOG_LINES {
            let end = message.floor_char_boundary(LOG_LINE_BYTES);
            let message = message.get(..end).unwrap_or_default().to_owned();
            state.log.push(LogLine { level, message });
        }
    }

    /// An error that the script may catch, and that is told apart from what it throws itself.
    pub(super) fn raise(&self, message: impl Into<String>) -> Raised {
        let message = message.into();
        let mut state = self.state();
        if state.raised.len() < REMEMBERED_ERRORS && !state.raised.contains(&message) {
            state.raised.push(message.clone());
        }
        message.into()
    }

    /// The text, where this value is that of an error which a native function raised.
    pub(super) fn raised(&self, value: &Dynamic) -> Option<String> {
        let text = value.as_immutable_string_ref().ok()?;
        let state = self.state();
        state.raised.iter().find(|known| **known == **text).cloned()
    }

    /// What an asynchronous read answers, within what is left of the wall time.
    pub(super) fn wait<T, F, R>(&self, read: F) -> Result<T, Raised>
    where
        F: FnOnce(Arc<dyn Reader>) -> R,
        R: Future<Output = Result<T, String>>,
    {
        let (reader, handle) = {
            let state = self.state();
            (state.reader.clone(), state.handle.clone())
        };
        let (Some(reader), Some(handle)) = (reader, handle) else {
            return Err(self.raise("nothing can be read here"));
        };
        let remaining = self.remaining();
        let answer = handle.block_on(async { tokio::time::timeout(remaining, read(reader)).await });
        match answer {
            Ok(answer) => answer.map_err(|message| self.raise(message)),
            Err(_) => Err(broken(limit::WALL_TIME)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
