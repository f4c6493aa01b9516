//! A compiled script.
use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rhai::{AST, Engine, ParseErrorType, Scope};
use sha2::{Digest, Sha256};

use super::{failure, limits::SCRIPT_BYTES, names, sandbox::FORBIDDEN, variables};
use crate::model::Object;

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
    /// Whether it does something elsewhere that a replay must not repeat unasked.
    pub side_effects: bool,
    pub(super) compiled: Arc<Compiled>,
}

/// What compiling made of a text.
pub(super) struct Compiled {
    pub(super) tree: AST,
    words: HashSet<Box<str>>,
    /// Whether the last run was over within [`QUICK`].
    quick: AtomicBool,
}

/// A run that takes no longer does not keep a worker's other tasks waiting.
const QUICK: Duration = Duration::from_millis(1);

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

impl Script {
    /// Compiles a text with an engine that knows every function.
    pub(super) fn compile(
        engine: &Engine,
        functions: &BTreeSet<String>,
        name: &str,
        text: &str,
        globals: Object,
    ) -> Result<Self, CompileError> {
        if text.len() > SCRIPT_BYTES {
            return Err(CompileError {
                line: 1,
                column: 1,
                message: format!("the text is longer than {SCRIPT_BYTES} bytes"),
            });
        }
        let mut known = Scope::new();
        for name in variables::names() {
            known.push(name, ());
        }
        for name in globals.keys() {
            known.push(name.as_str(), ());
        }
        let mut tree = engine
            .compile_with_scope(&known, text)
            .map_err(|error| CompileError::from_rhai(&error))?;
        if let Some(unknown) = names::first_unknown(text, functions) {
            return Err(CompileError::unknown(unknown, functions));
        }
        tree.set_source(name);
        Ok(Self {
            name: name.into(),
            digest: digest(text).into(),
            text: text.into(),
            globals: Arc::new(globals),
            side_effects: false,
            compiled: Arc::new(Compiled {
                tree,
                words: words(text),
                quick: AtomicBool::new(false),
            }),
        })
    }

    /// Whether the text holds this word; where it does not, the variable need not be made.
    pub(super) fn mentions(&self, word: &str) -> bool {
        self.compiled.words.contains(word)
    }
}

impl Compiled {
    /// Whether the script may run where it is asked for: its last run was over in no time, and it
    /// reads nothing, which would wait.
    pub(super) fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed)
    }

    /// Keeps how long a run took.
    pub(super) fn took(&self, time: Duration) {
        let reads = self.words.contains("read") || self.words.contains("query");
        self.quick.store(!reads && time <= QUICK, Ordering::Relaxed);
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Compiled").finish_non_exhaustive()
    }
}

impl CompileError {
    fn unknown(unknown: names::Unknown, functions: &BTreeSet<String>) -> Self {
        let near = names::nearest(&unknown.name, functions.iter().map(String::as_str));
        let advice = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Self {
            line: unknown.line,
            column: unknown.column,
            message: format!("there is no function `{}`{advice}", unknown.name),
        }
    }

    fn from_rhai(error: &rhai::ParseError) -> Self {
        let position = error.position();
        Self {
            line: position.line().unwrap_or(1),
            column: position.position().unwrap_or(1).max(1),
            message: explain(error.err_type()),
        }
    }
}

fn explain(error: &ParseErrorType) -> String {
    match error {
        ParseErrorType::VariableUndefined(name) => {
            let advice = names::nearest(name, variables::names()).map_or_else(
                || "declare it with `let`, or name one that hooks get".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            format!("there is no variable `{name}`: {advice}")
        }
        ParseErrorType::Reserved(word) if FORBIDDEN.contains(&word.as_str()) => {
            format!("`{word}` is not available in hooks")
        }
        ParseErrorType::BadInput(rhai::LexError::ImproperSymbol(word, _))
            if FORBIDDEN.contains(&word.as_str()) =>
        {
            format!("`{word}` is not available in hooks")
        }
        ParseErrorType::ExprTooDeep => "expressions are nested too deeply here".to_owned(),
        other => failure::lower_first(&other.to_string()),
    }
}

/// Every word in a text, those in comments and strings too: more than it names, never less.
fn words(text: &str) -> HashSet<Box<str>> {
    text.split(|character: char| !(character.is_alphanumeric() || character == '_'))
        .filter(|word| !word.is_empty())
        .map(Box::from)
        .collect()
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
