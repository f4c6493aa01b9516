//! Running scripts on what is written down: variables, answers of reads, and a time that stands still.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    clock::Clock,
    hooks::{
        CompileError, Limits, Reader, Run, Runtime, Script, Variable, Variables, variables::known,
    },
    model::{
        Filter, Object,
        hook_run::{Inputs, Read},
    },
};

/// The beginning of 2024: the time of a case that names none.
const STANDING: i64 = 1_704_067_200;

/// Where scripts run on what is written down; nothing they do leaves it.
#[derive(Debug)]
pub struct Bench {
    runtime: Runtime,
    clock: Arc<Standing>,
}

impl Bench {
    /// A bench under these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let clock = Arc::new(Standing::default());
        Self {
            runtime: Runtime::with_clock(limits, clock.clone()),
            clock,
        }
    }

    /// Compiles a script to be run here.
    ///
    /// # Errors
    /// Where the text is wrong.
    pub fn compile(&self, name: &str, text: &str, globals: Object) -> Result<Script, CompileError> {
        self.runtime.compile(name, text, globals)
    }

    /// Runs a script on inputs at a time, one run after another.
    ///
    /// # Errors
    /// A variable that no hook provides.
    pub async fn run(
        &self,
        script: &Script,
        inputs: &Inputs,
        now: Option<DateTime<Utc>>,
    ) -> Result<(Run, Arc<Answers>), String> {
        let variables = variables_of(inputs)?;
        self.clock.set(now);
        let answers = Arc::new(Answers::new(inputs.reads.clone()));
        let reader: Arc<dyn Reader> = answers.clone();
        let run = self.runtime.run(script, variables, Some(reader)).await;
        Ok((run, answers))
    }
}

fn variables_of(inputs: &Inputs) -> Result<Variables, String> {
    let mutable: Vec<&'static str> = inputs
        .mutable
        .iter()
        .map(|name| known(name).ok_or_else(|| unknown(name)))
        .collect::<Result<_, _>>()?;
    let mut variables = Variables::new();
    for (name, value) in &inputs.variables {
        let name = known(name).ok_or_else(|| unknown(name))?;
        let variable = match mutable.first() {
            Some(first) if *first == name => Variable::Mutable(mutable.clone(), value.clone()),
            // The same value under another name comes with the first.
            Some(_) if mutable.contains(&name) => continue,
            _ => Variable::Constant(value.clone()),
        };
        variables.push((name, variable));
    }
    Ok(variables)
}

fn unknown(name: &str) -> String {
    format!("there is no variable `{name}` that hooks get; `globals` takes any name")
}

/// A path, and the filter of a query.
type Question = (String, Option<String>);

/// What reads answer.
#[derive(Debug)]
pub struct Answers {
    reads: Mutex<HashMap<Question, Vec<Read>>>,
    missing: Mutex<Vec<String>>,
}

impl Answers {
    fn new(reads: Vec<Read>) -> Self {
        let mut by_question: HashMap<Question, Vec<Read>> = HashMap::new();
        for read in reads.into_iter().rev() {
            let filter = read.filter.as_deref().map(normal);
            let key = (read.path.clone(), filter);
            by_question.entry(key).or_default().push(read);
        }
        Self {
            reads: Mutex::new(by_question),
            missing: Mutex::default(),
        }
    }

    /// What was asked and is not written down.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.missing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The next answer to a question; the last one again where all were given.
    fn answer(&self, path: &str, filter: Option<String>) -> Result<Value, String> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = match &filter {
            Some(filter) => format!("query({path:?}, {filter:?})"),
            None => format!("read({path:?})"),
        };
        let Some(list) = reads.get_mut(&(path.to_owned(), filter)) else {
            let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
            missing.push(asked.clone());
            return Err(format!("nothing says what {asked} answers"));
        };
        let next = match list.len() {
            0 | 1 => list.first().cloned(),
            _ => list.pop(),
        };
        match next {
            Some(Read {
                error: Some(error), ..
            }) => Err(error),
            Some(read) => Ok(read.answer),
            None => Err(format!("nothing says what {asked} answers")),
        }
    }
}

/// A filter as it is compared: written in one way.
fn normal(filter: &str) -> String {
    Filter::parse(filter).map_or_else(|_| filter.to_owned(), |filter| filter.to_string())
}

#[async_trait]
impl Reader for Answers {
    async fn read(&self, path: &str) -> Result<Option<Object>, String> {
        match self.answer(path, None)? {
            Value::Object(object) => Ok(Some(object)),
            _ => Ok(None),
        }
    }

    async fn query(&self, container: &str, filter: &Filter) -> Result<Vec<Object>, String> {
        let Value::Array(items) = self.answer(container, Some(filter.to_string()))? else {
            return Ok(Vec::new());
        };
        let objects = items.into_iter().filter_map(|item| match item {
            Value::Object(object) => Some(object),
            _ => None,
        });
        Ok(objects.collect())
    }
}

/// A clock that stands where it was set, and counts ids up from 1.
#[derive(Debug, Default)]
struct Standing {
    now: Mutex<Option<DateTime<Utc>>>,
    ids: AtomicU64,
}

impl Standing {
    fn set(&self, now: Option<DateTime<Utc>>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.ids.store(0, Ordering::Relaxed);
    }
}

impl Clock for Standing {
    fn now(&self) -> DateTime<Utc> {
        let now = *self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.or_else(|| DateTime::from_timestamp(STANDING, 0))
            .unwrap_or_default()
    }

    fn fresh_id(&self) -> Uuid {
        let number = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        // The version and variant of a UUIDv7.
        Uuid::from_u128((7_u128 << 76) | (2_u128 << 62) | u128::from(number))
    }
}
