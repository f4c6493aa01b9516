//! Why a script has no value: what Rhai reports, in words of its author.
use rhai::{Dynamic, EvalAltResult, Map, Position};
use serde_json::Value;

use super::{convert, session::Session};

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
    #[error("{script}, line {line}{}: stopped by the limit on {limit}", at_column(*column))]
    Limit {
        /// The script's name.
        script: String,
        /// 1-based; 0 where it is not known.
        line: usize,
        /// 1-based; 0 where it is not known.
        column: usize,
        /// Which: `operations`, `wall time`, `string size`, `array size`, `map size`, `call depth`,
        /// `nesting`, `memory`, `variables` or `requested changes`.
        limit: &'static str,
    },
    /// It is wrong: an unknown variable, a wrong type, a failed read.
    #[error("{script}, line {line}{}: {message}", at_column(*column))]
    Error {
        /// The script's name.
        script: String,
        /// 1-based; 0 where it is not known.
        line: usize,
        /// 1-based; 0 where it is not known.
        column: usize,
        /// What is wrong there.
        message: String,
    },
}

/// The limits as they are named in a [`Failure::Limit`].
pub(super) mod limit {
    pub(in crate::hooks) const OPERATIONS: &str = "operations";
    pub(in crate::hooks) const WALL_TIME: &str = "wall time";
    pub(in crate::hooks) const STRING: &str = "string size";
    pub(in crate::hooks) const ARRAY: &str = "array size";
    pub(in crate::hooks) const MAP: &str = "map size";
    pub(in crate::hooks) const CALL_DEPTH: &str = "call depth";
    pub(in crate::hooks) const NESTING: &str = "nesting";
    pub(in crate::hooks) const MEMORY: &str = "memory";
    pub(in crate::hooks) const VARIABLES: &str = "variables";
    pub(in crate::hooks) const REQUESTS: &str = "requested changes";

    /// Those that native functions raise as a termination, whose token is the name.
    pub(super) const RAISED: [&str; 8] = [
        OPERATIONS, WALL_TIME, STRING, ARRAY, MAP, NESTING, MEMORY, REQUESTS,
    ];
}

/// An error that stops the script at once and cannot be caught.
pub(super) fn broken(limit: &'static str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorTerminated(limit.into(), Position::NONE).into()
}

impl Failure {
    /// What an error of Rhai means for the author of the script.
    pub(super) fn from_rhai(script: &str, session: &Session, error: EvalAltResult) -> Self {
        let (line, column) = innermost_place(&error);
        let error = unwrap(error);
        let place = |message| Self::Error {
            script: script.to_owned(),
            line,
            column,
            message,
        };
        if let Some(limit) = broken_limit(&error) {
            return Self::Limit {
                script: script.to_owned(),
                line,
                column,
                limit,
            };
        }
        match error {
            EvalAltResult::ErrorRuntime(value, _) => {
                let caught = caught_message(&value).or_else(|| session.raised(&value));
                caught.map_or_else(|| thrown(value, &place), &place)
            }
            other => place(explain(other)),
        }
    }
}

/// The limit that an error says was broken.
fn broken_limit(error: &EvalAltResult) -> Option<&'static str> {
    match error {
        EvalAltResult::ErrorStackOverflow(..) => Some(limit::CALL_DEPTH),
        EvalAltResult::ErrorTooManyVariables(..) => Some(limit::VARIABLES),
        EvalAltResult::ErrorDataTooLarge(what, ..) if what.contains("string") => {
            Some(limit::STRING)
        }
        EvalAltResult::ErrorDataTooLarge(what, ..) if what.contains("map") => Some(limit::MAP),
        EvalAltResult::ErrorDataTooLarge(..) => Some(limit::ARRAY),
        EvalAltResult::ErrorTerminated(token, ..) => {
            let token = token.as_immutable_string_ref().ok()?;
            limit::RAISED.into_iter().find(|name| *name == &**token)
        }
        _ => None,
    }
}

/// Line and column where an error arose, inside of the functions that it went through.
fn innermost_place(error: &EvalAltResult) -> (usize, usize) {
    let inner = match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => innermost_place(inner),
        _ => (0, 0),
    };
    if inner.0 > 0 {
        return inner;
    }
    let position = error.position();
    let line = position.line().unwrap_or(0);
    (line, position.position().unwrap_or(0))
}

fn at_column(column: usize) -> String {
    match column {
        0 => String::new(),
        column => format!(", column {column}"),
    }
}

fn unwrap(error: EvalAltResult) -> EvalAltResult {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => unwrap(*inner),
        other => other,
    }
}

/// A runtime error that a script caught and threw again is still an error: Rhai hands it out as a
/// map with these members.
fn caught_message(value: &Dynamic) -> Option<String> {
    let map = value.read_lock::<Map>()?;
    if !(map.contains_key("error") && map.contains_key("line") && map.contains_key("position")) {
        return None;
    }
    let message = map.get("message")?.as_immutable_string_ref().ok()?;
    Some(message.to_string())
}

/// A thrown value: a text, or a map with `code`, `message` and `detail`.
fn thrown(value: Dynamic, place: &impl Fn(String) -> Failure) -> Failure {
    let value = match convert::to_value(&value) {
        Ok(value) => value,
        Err(error) => return place(format!("what it throws does not fit: {error}")),
    };
    match value {
        Value::Object(mut map) => Failure::Thrown {
            code: map.get("code").and_then(Value::as_i64),
            message: match map.remove("message") {
                Some(Value::String(text)) => text,
                Some(Value::Null) | None => "the script threw without a message".to_owned(),
                Some(other) => other.to_string(),
            },
            detail: map.remove("detail").filter(|detail| !detail.is_null()),
        },
        other => Failure::Thrown {
            code: None,
            message: match other {
                Value::String(text) => text,
                Value::Null => "the script threw without a message".to_owned(),
                other => other.to_string(),
            },
            detail: None,
        },
    }
}

/// The text of an error, without its position and without Rust's names of types.
fn explain(mut error: EvalAltResult) -> String {
    let _ = error.take_position();
    match error {
        EvalAltResult::ErrorVariableNotFound(name, _) => {
            format!("the variable `{name}` is not set here")
        }
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            let (name, types) = signature.split_once(' ').unwrap_or((&signature, "()"));
            format!("no function `{name}` takes {}", plain_types(types))
        }
        EvalAltResult::ErrorAssignmentToConstant(name, _) => {
            format!("`{name}` cannot be changed: it is constant here")
        }
        EvalAltResult::ErrorNonPureMethodCallOnConstant(name, _) => {
            format!("`{name}` would change a value that is constant here")
        }
        EvalAltResult::ErrorModuleNotFound(name, _) => {
            format!("there is no module `{name}`: scripts stand alone")
        }
        EvalAltResult::ErrorMismatchDataType(wanted, found, _) => {
            let (wanted, found) = (plain_types(&wanted), plain_types(&found));
            format!("expected {wanted}, found {found}")
        }
        EvalAltResult::ErrorDotExpr(text, _) if text.contains("'()'") => {
            let member = text.split('\'').nth(1).unwrap_or("a member");
            format!("`{member}` of a value that is missing: write `?.{member}` where it may be")
        }
        EvalAltResult::ErrorDataRace(..) => {
            "a function that is handed to a method must not use the value that the method is \
             called on: copy it with `let` first"
                .to_owned()
        }
        EvalAltResult::ErrorIndexingType(name, _) => {
            format!("there is no such member: {}", plain_types(&name))
        }
        other => lower_first(&plain_types(&other.to_string())),
    }
}

/// Names of types as authors of scripts know them.
pub(super) fn plain_types(text: &str) -> String {
    const NAMES: [(&str, &str); 10] = [
        ("&str | ImmutableString | String", "text"),
        ("&mut ", ""),
        ("ImmutableString", "text"),
        ("string", "text"),
        ("i64", "integer"),
        ("f64", "number"),
        ("FnPtr", "function"),
        ("Fn", "function"),
        ("alloc::vec::Vec<u8>", "bytes"),
        ("?, ?", "…"),
    ];
    NAMES
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

pub(super) fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}
