//! Scripts in Rhai, shut in: they see variables, may read, and leave a verdict; they hold no handle
//! on the engine.
use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use crate::model::{Filter, Object, patch::Patch};

/// Compiles and runs scripts under limits. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    _limits: Arc<Limits>,
}

/// What a script may use up.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Operations per run.
    pub operations: u64,
    /// Wall-clock time per run, reads included.
    pub wall_time: Duration,
    /// Bytes of one text.
    pub string_bytes: usize,
    /// Members of one array or map.
    pub collection_members: usize,
    /// Nested calls.
    pub call_depth: usize,
}

/// A compiled script. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Script {
    /// The file's name, or `MAPPING/HOOK` for a script that stands in the configuration.
    pub name: Arc<str>,
    /// Hexadecimal SHA-256 of its text.
    pub digest: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
    /// Variables that the configuration gives it.
    pub globals: Arc<Object>,
}

/// Why a text is no script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct CompileError {
    /// 1-based.
    pub line: usize,
    /// 1-based.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// A variable that a script sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Variable {
    /// It can be read.
    Constant(Value),
    /// It can be changed in place, and comes back in [`Run::variables`]. Several names may stand
    /// for the same value: `object` and `newObject`.
    Mutable(Vec<&'static str>, Value),
}

/// What a script sees: names in order with their values (the name of a mutable one is its first).
pub type Variables = Vec<(&'static str, Variable)>;

/// How scripts read objects while they run.
#[async_trait]
pub trait Reader: Send + Sync + Debug {
    /// The object at a path such as `managed/user/ID` or `system/crm/account/ID`, or none.
    ///
    /// # Errors
    /// A text that the script gets as an error.
    async fn read(&self, path: &str) -> Result<Option<Object>, String>;

    /// The objects in a container that meet a filter.
    ///
    /// # Errors
    /// A text that the script gets as an error.
    async fn query(&self, container: &str, filter: &Filter) -> Result<Vec<Object>, String>;
}

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

/// What a script asked the engine to do after it returns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Take the change back everywhere.
    pub revert: bool,
    /// Change other objects, in this order.
    pub follow_ups: Vec<FollowUp>,
}

/// A change that a script asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum FollowUp {
    /// `create(path, object)`: the path is a container, or a container and an id.
    Create {
        /// `managed/TYPE` or `managed/TYPE/ID`.
        path: String,
        /// The new object.
        object: Object,
    },
    /// `update(path, object)`
    Update {
        /// `managed/TYPE/ID`
        path: String,
        /// The new content.
        object: Object,
    },
    /// `patch(path, operations)`
    Patch {
        /// `managed/TYPE/ID`
        path: String,
        /// CREST patch operations, as written.
        patch: Patch,
        /// The same as JSON, for the journal.
        operations: Value,
    },
    /// `delete(path)`
    Delete {
        /// `managed/TYPE/ID`
        path: String,
    },
}

/// A line that a script logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text.
    pub message: String,
}

/// Why a script has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// It threw on purpose: a text, or `#{code, message, detail}`.
    #[error("{message}")]
    Thrown {
        /// The code that it threw, where it is an integer.
        code: Option<i64>,
        /// The text.
        message: String,
        /// The detail.
        detail: Option<Value>,
    },
    /// It broke a limit.
    #[error("{script}, line {line}: stopped by the limit on {limit}")]
    Limit {
        /// The script's name.
        script: String,
        /// 1-based; 0 where it is not known.
        line: usize,
        /// Which: `operations`, `wall time`, `string size`, `array size`, `map size` or `call depth`.
        limit: &'static str,
    },
    /// It is wrong: an unknown variable, a wrong type, a failed read.
    #[error("{script}, line {line}: {message}")]
    Error {
        /// The script's name.
        script: String,
        /// 1-based; 0 where it is not known.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

impl Runtime {
    /// A runtime with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            _limits: Arc::new(limits),
        }
    }

    /// Compiles a text.
    ///
    /// # Errors
    /// Says where the text is wrong.
    pub fn compile(&self, name: &str, text: &str, globals: Object) -> Result<Script, CompileError> {
        let _ = (name, text, globals);
        todo!()
    }

    /// Runs a script. Nothing it does can escape: every failure is in the answer.
    pub async fn run(
        &self,
        script: &Script,
        variables: Variables,
        reader: Option<Arc<dyn Reader>>,
    ) -> Run {
        let _ = (script, variables, reader);
        todo!()
    }
}
