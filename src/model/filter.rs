//! CREST query filters: read from text, evaluated against objects.
use serde_json::Value;

use super::{object::Object, pointer::Pointer};

/// A condition on an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Always holds, or never.
    Literal(bool),
    /// The attribute is present (`pr`).
    Present(Pointer),
    /// The attribute compares to a value.
    Compare {
        /// Which attribute.
        field: Pointer,
        /// How.
        operator: Operator,
        /// To what: text, number, boolean or null.
        value: Value,
    },
    /// All hold.
    And(Vec<Filter>),
    /// At least one holds.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
}

/// How an attribute compares to a value. Comparisons of text ignore no case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `eq`
    Equal,
    /// `co`
    Contains,
    /// `sw`
    StartsWith,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
}

/// Why a text is no filter: where (0-based byte) and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {position}: expected {expected}, found {found}")]
pub struct Error {
    /// 0-based byte.
    pub position: usize,
    /// What would be right.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl Filter {
    /// Reads a filter; strings in single or double quotes.
    ///
    /// # Errors
    /// Says where the text stops being a filter.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let _ = text;
        todo!()
    }

    /// Whether the object meets the condition.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        let _ = object;
        todo!()
    }
}
