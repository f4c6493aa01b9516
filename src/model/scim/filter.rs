//! SCIM filters (RFC 7644, section 3.4.2.2).
use std::fmt;

use serde_json::Value;

use super::path::Path;
use crate::model::filter::{Error, Relation, Test, Texts};

/// A condition on a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The attribute has a value (`pr`).
    Present(Path),
    /// The attribute compares to a value.
    Compare {
        /// Which attribute.
        path: Path,
        /// How.
        relation: Relation,
        /// To what: text, number, boolean or null.
        value: Value,
    },
    /// One value of the attribute meets a condition (`emails[type eq "work"]`).
    Element {
        /// Which attribute.
        path: Path,
        /// The condition, whose paths begin in the value.
        filter: Box<Filter>,
    },
    /// All hold.
    And(Vec<Filter>),
    /// At least one holds.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
}

/// The words of the operators.
pub(super) const RELATIONS: [(&str, Relation); 8] = [
    ("eq", Relation::Equal),
    ("co", Relation::Contains),
    ("sw", Relation::StartsWith),
    ("ew", Relation::EndsWith),
    ("lt", Relation::Less),
    ("le", Relation::LessOrEqual),
    ("gt", Relation::Greater),
    ("ge", Relation::GreaterOrEqual),
];

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Says where the text stops being a filter; parentheses, brackets and `not` nest at most 50
    /// deep.
    pub fn parse(text: &str) -> Result<Self, Error> {
        super::read::filter(text)
    }

    /// Whether one value of a complex attribute meets the condition; a plain value stands for its
    /// own `value`.
    #[must_use]
    pub fn meets(&self, element: &Value, texts: Texts) -> bool {
        let at = |path: &Path| value_in(element, path);
        match self {
            Self::Present(path) => at(path).is_some_and(|value| Test::Present.passes(value)),
            Self::Compare {
                path,
                relation,
                value,
            } => {
                let test = Test::Compare {
                    relation: *relation,
                    value: value.clone(),
                    texts,
                };
                match at(path) {
                    Some(found) => test.passes(found),
                    None => value.is_null() && *relation == Relation::Equal,
                }
            }
            Self::Element { .. } => false,
            Self::And(parts) => parts.iter().all(|part| part.meets(element, texts)),
            Self::Or(parts) => parts.iter().any(|part| part.meets(element, texts)),
            Self::Not(part) => !part.meets(element, texts),
        }
    }

    /// What the filter says that values are equal to, where it says nothing else: `type eq "work"
    /// and primary eq true`.
    #[must_use]
    pub fn equalities(&self) -> Option<Vec<(String, Value)>> {
        match self {
            Self::Compare {
                path,
                relation: Relation::Equal,
                value,
            } if path.schema.is_none() && path.sub.is_none() && !value.is_null() => {
                Some(vec![(path.name.clone(), value.clone())])
            }
            Self::And(parts) => {
                let all: Option<Vec<_>> = parts.iter().map(Self::equalities).collect();
                all.map(|all| all.into_iter().flatten().collect())
            }
            _ => None,
        }
    }
}

fn value_in<'a>(element: &'a Value, path: &Path) -> Option<&'a Value> {
    match element {
        Value::Object(members) => {
            let found = members
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&path.name))
                .map(|(_, value)| value)?;
            match &path.sub {
                Some(sub) => value_in(found, &Path::of(sub)),
                None => Some(found),
            }
        }
        plain => (path.name.eq_ignore_ascii_case("value") && path.sub.is_none()).then_some(plain),
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |formatter: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    formatter.write_str(word)?;
                }
                match part {
                    Self::And(_) | Self::Or(_) => write!(formatter, "({part})")?,
                    _ => write!(formatter, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::Present(path) => write!(formatter, "{path} pr"),
            Self::Compare {
                path,
                relation,
                value,
            } => {
                let mut words = RELATIONS.iter();
                let word = words.find(|(_, known)| known == relation);
                let word = word.map_or("eq", |(word, _)| word);
                write!(formatter, "{path} {word} {value}")
            }
            Self::Element { path, filter } => write!(formatter, "{path}[{filter}]"),
            Self::And(parts) => joined(formatter, parts, " and "),
            Self::Or(parts) => joined(formatter, parts, " or "),
            Self::Not(part) => write!(formatter, "not ({part})"),
        }
    }
}
