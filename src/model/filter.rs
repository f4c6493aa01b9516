//! CREST query filters: read from text, evaluated against objects.
mod parse;
#[cfg(test)]
mod tests;
mod within;

use std::{cmp::Ordering, fmt, str::FromStr};

use serde_json::{Number, Value};

use super::{
    object::{ID, Object, same},
    pointer::Pointer,
};
pub use within::{Relation, Test, Texts, Within, folded, moment, says_something};

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
    /// A value that a field leads to passes a test, by the rules of SCIM. The reader of query filters
    /// knows no such condition.
    Within(Within),
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
    /// Reads a filter: `FIELD eq|co|sw|lt|le|gt|ge VALUE`, `FIELD pr`, `true`, `false`, joined by
    /// `and`, `or`, `!` and parentheses (`and` binds closer than `or`, `!` closest). A field is a
    /// JSON pointer whose leading slash may be left out and whose special characters may be
    /// percent-encoded; a value is a JSON number, boolean or null, or a text in single or double
    /// quotes with the escapes of JSON.
    ///
    /// # Errors
    /// Says where the text stops being a filter; parentheses and `!` nest at most 100 deep.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::filter(text)
    }

    /// Whether the object meets the condition. An attribute that is missing meets no comparison;
    /// one that is null is not present and equals only null. A list meets a comparison when one of
    /// its elements does. Text compares by its characters, case included; numbers by their value;
    /// values of different kinds meet no comparison.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        self.holds(&|field| field.get(object))
    }

    /// Whether the condition holds where `read` gives the value of each field; none for a missing
    /// one. The rules are those of [`Filter::matches`].
    pub fn holds<'a>(&self, read: &impl Fn(&Pointer) -> Option<&'a Value>) -> bool {
        match self {
            Self::Literal(holds) => *holds,
            Self::Present(field) => read(field).is_some_and(|value| !value.is_null()),
            Self::Compare {
                field,
                operator,
                value,
            } => read(field).is_some_and(|found| operator.holds_for(found, value)),
            Self::And(parts) => parts.iter().all(|part| part.holds(read)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(read)),
            Self::Not(part) => !part.holds(read),
            Self::Within(within) => within.holds(read),
        }
    }

    /// The id that the filter asks for, where no object with another one can meet it.
    #[must_use]
    pub fn wanted_id(&self) -> Option<&str> {
        match self {
            Self::Compare {
                field,
                operator: Operator::Equal,
                value: Value::String(id),
            } if matches!(field.tokens(), [name] if name == ID) => Some(id),
            Self::And(all) => all.iter().find_map(Self::wanted_id),
            _ => None,
        }
    }

    /// Every field that the filter looks at, in order of appearance.
    #[must_use]
    pub fn fields(&self) -> Vec<&Pointer> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Present(field) | Self::Compare { field, .. } => vec![field],
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::fields).collect(),
            Self::Not(part) => part.fields(),
            Self::Within(within) => vec![&within.field],
        }
    }
}

impl Operator {
    /// Every operator.
    pub const ALL: [Self; 7] = [
        Self::Equal,
        Self::Contains,
        Self::StartsWith,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    /// The word in a filter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "eq",
            Self::Contains => "co",
            Self::StartsWith => "sw",
            Self::Less => "lt",
            Self::LessOrEqual => "le",
            Self::Greater => "gt",
            Self::GreaterOrEqual => "ge",
        }
    }

    /// Whether `found` (or, where it is a list, one of its elements) compares so to `wanted`.
    #[must_use]
    pub fn holds_for(self, found: &Value, wanted: &Value) -> bool {
        match found {
            Value::Array(items) => items.iter().any(|item| self.holds_for_one(item, wanted)),
            one => self.holds_for_one(one, wanted),
        }
    }

    fn holds_for_one(self, found: &Value, wanted: &Value) -> bool {
        let ordered = |accepts: fn(Ordering) -> bool| order(found, wanted).is_some_and(accepts);
        let texts = || found.as_str().zip(wanted.as_str());
        match self {
            Self::Equal => same(found, wanted),
            Self::Contains => texts().is_some_and(|(found, wanted)| found.contains(wanted)),
            Self::StartsWith => texts().is_some_and(|(found, wanted)| found.starts_with(wanted)),
            Self::Less => ordered(Ordering::is_lt),
            Self::LessOrEqual => ordered(Ordering::is_le),
            Self::Greater => ordered(Ordering::is_gt),
            Self::GreaterOrEqual => ordered(Ordering::is_ge),
        }
    }
}

/// How two texts or two numbers stand to each other; none for anything else.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (whole(left), whole(right)) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        _ => None,
    }
}

fn whole(number: &Number) -> Option<i128> {
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(holds) => write!(formatter, "{holds}"),
            Self::Present(field) => write!(formatter, "{} pr", Field(field)),
            Self::Compare {
                field,
                operator,
                value,
            } => write!(formatter, "{} {} {value}", Field(field), operator.as_str()),
            Self::And(parts) => joined(formatter, parts, " and ", true),
            Self::Or(parts) => joined(formatter, parts, " or ", false),
            Self::Not(part) => write!(formatter, "!({part})"),
            Self::Within(within) => write!(formatter, "{} {:?}", Field(&within.field), within.test),
        }
    }
}

/// Writes the parts with `word` between them; none at all mean what they mean to `matches`.
fn joined(
    formatter: &mut fmt::Formatter<'_>,
    parts: &[Filter],
    word: &str,
    none: bool,
) -> fmt::Result {
    if parts.is_empty() {
        return write!(formatter, "{none}");
    }
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            formatter.write_str(word)?;
        }
        match part {
            Filter::And(_) | Filter::Or(_) => write!(formatter, "({part})")?,
            _ => write!(formatter, "{part}")?,
        }
    }
    Ok(())
}

/// A field as a filter writes it: what would end the pointer is percent-encoded.
struct Field<'a>(&'a Pointer);

impl fmt::Display for Field<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_whole() {
            return formatter.write_str("/");
        }
        for character in self.0.to_string().chars() {
            if character == '%' || character.is_control() || parse::ends_word(character) {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    write!(formatter, "%{byte:02X}")?;
                }
            } else {
                write!(formatter, "{character}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Filter {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}
