//! Which runs of hooks are kept, and what a kept run saw.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Failure, FollowUp, Reader, Run, Script, Variable, Variables};
use crate::model::{
    Filter, Object,
    hook_run::{Ended, Inputs, Kept, Read},
};

/// Most runs of one hook that are kept in a second; beyond that every so many is left out.
const PER_SECOND: u32 = 10;
/// Most reads that are kept of one run.
const READS: usize = 200;
/// Hooks that are counted; a configuration has far fewer.
const HOOKS: usize = 10_000;

/// How much of a run is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// It, unless it accepts.
    Failures,
    /// It, whatever comes of it.
    Everything,
}

/// Decides which runs are kept. Keeping is off until [`Keeper::keep`] says how many.
#[derive(Debug, Default)]
pub struct Keeper {
    most: AtomicUsize,
    counts: Mutex<HashMap<String, (Instant, u32)>>,
}

impl Keeper {
    /// From now on about this many runs of each hook are worth keeping; 0: none.
    pub fn keep(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How many runs of each hook are kept.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// How much of a run of this hook that begins now is to be kept.
    pub fn begin(&self, hook: &str) -> Keep {
        match self.most() {
            0 => Keep::Nothing,
            _ if self.wants(hook) => Keep::Everything,
            _ => Keep::Failures,
        }
    }

    /// What went wrong is worth more than what went well: it has its own share.
    pub(super) fn wants_failure(&self, hook: &str) -> bool {
        self.wants(&format!("{hook}!"))
    }

    fn wants(&self, hook: &str) -> bool {
        let now = Instant::now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, count)) = counts.get_mut(hook) {
            if now.duration_since(*since) >= Duration::from_secs(1) {
                (*since, *count) = (now, 0);
            }
            *count = count.saturating_add(1);
            return *count <= PER_SECOND;
        }
        if counts.len() < HOOKS {
            counts.insert(hook.to_owned(), (now, 1));
        }
        true
    }
}

/// What a run is given, copied before it begins.
pub(super) fn inputs_of(variables: &Variables) -> Inputs {
    let mut inputs = Inputs::default();
    for (name, variable) in variables {
        let value = match variable {
            Variable::Constant(value) => value,
            Variable::Mutable(names, value) => {
                inputs.mutable = std::iter::once(name)
                    .chain(names.iter().filter(|other| *other != name))
                    .map(|name| (*name).to_owned())
                    .collect();
                value
            }
        };
        inputs.variables.insert((*name).to_owned(), value.clone());
    }
    inputs
}

/// A reader that remembers what it gave.
#[derive(Debug)]
pub(super) struct Remembering {
    inner: Arc<dyn Reader>,
    reads: Mutex<Vec<Read>>,
}

impl Remembering {
    pub(super) fn new(inner: Arc<dyn Reader>) -> Self {
        Self {
            inner,
            reads: Mutex::default(),
        }
    }

    pub(super) fn reads(&self) -> Vec<Read> {
        std::mem::take(&mut self.reads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remember(&self, path: &str, filter: Option<String>, answer: Result<Value, &str>) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if reads.len() < READS {
            reads.push(Read {
                path: path.to_owned(),
                filter,
                answer: answer.clone().unwrap_or_default(),
                error: answer.err().map(str::to_owned),
            });
        }
    }
}

#[async_trait]
impl Reader for Remembering {
    async fn read(&self, path: &str) -> Result<Option<Object>, String> {
        let answer = self.inner.read(path).await;
        let told = answer.as_ref().map(|found| json!(found));
        self.remember(path, None, told.map_err(String::as_str));
        answer
    }

    async fn query(&self, container: &str, filter: &Filter) -> Result<Vec<Object>, String> {
        let answer = self.inner.query(container, filter).await;
        let told = answer.as_ref().map(|found| json!(found));
        let filter = Some(filter.to_string());
        self.remember(container, filter, told.map_err(String::as_str));
        answer
    }

    fn varies(&self) {
        self.inner.varies();
    }
}

impl Run {
    /// `accept`, `reject`, `revert` or `error`.
    #[must_use]
    pub fn verdict_word(&self) -> &'static str {
        match (&self.result, self.verdict.revert) {
            (Err(Failure::Limit { .. } | Failure::Error { .. }), _) => "error",
            (_, true) => "revert",
            (Err(Failure::Thrown { .. }), false) => "reject",
            (Ok(_), false) => "accept",
        }
    }

    /// What came of the run, as data.
    #[must_use]
    pub fn ended(&self) -> Ended {
        let (result, throws, error) = match &self.result {
            Ok(value) => (value.clone(), None, None),
            Err(Failure::Thrown {
                code,
                message,
                detail,
            }) => {
                let thrown = json!({"code": code, "message": message, "detail": detail});
                (Value::Null, Some(without_nulls(thrown)), None)
            }
            Err(failure) => (Value::Null, None, Some(failure.to_string())),
        };
        Ended {
            verdict: self.verdict_word().to_owned(),
            result,
            throws,
            error,
            asks: self.verdict.follow_ups.iter().map(asked).collect(),
            changed: self.variables.clone(),
            log: self.log_lines(),
        }
    }

    /// What it logged, each line behind its level.
    #[must_use]
    pub fn log_lines(&self) -> Vec<String> {
        let lines = self.log.iter();
        lines
            .map(|line| format!("{}: {}", line.level, line.message))
            .collect()
    }
}

/// A run that is worth keeping.
#[derive(Debug)]
pub struct Keeping {
    pub(super) hook: String,
    pub(super) at: DateTime<Utc>,
    pub(super) inputs: Option<Inputs>,
    pub(super) reads: Vec<Read>,
}

impl Keeping {
    /// Whether its variables must be made again: it was only worth keeping once it had ended.
    #[must_use]
    pub fn lacks_variables(&self) -> bool {
        self.inputs.is_none()
    }

    /// The run as it is kept, `again` being its variables where they were lacking; none without.
    #[must_use]
    pub fn kept(self, script: &Script, run: &Run, again: Option<&Variables>) -> Option<Kept> {
        let inputs = self.inputs.or_else(|| again.map(inputs_of))?;
        Some(Kept {
            hook: self.hook,
            script: script.name.to_string(),
            digest: script.digest.to_string(),
            at: self.at,
            micros: micros(run.duration),
            operations: run.operations,
            inputs: Inputs {
                reads: self.reads,
                ..inputs
            },
            ended: run.ended(),
            secrets: Vec::new(),
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn asked(follow_up: &FollowUp) -> Value {
    let (method, path, content) = match follow_up {
        FollowUp::Create { path, object } => ("create", path, json!(object)),
        FollowUp::Update { path, object } => ("update", path, json!(object)),
        FollowUp::Patch {
            path, operations, ..
        } => ("patch", path, operations.clone()),
        FollowUp::Delete { path } => ("delete", path, Value::Null),
    };
    without_nulls(json!({"method": method, "path": path, "content": content}))
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}
