//! A test of the values that a field leads to, through lists and without regard to case where that is
//! wanted: what SCIM's filters need beyond CREST's.
use std::cmp::Ordering;

use chrono::{DateTime, FixedOffset};
use serde_json::Value;

use super::{Filter, order};
use crate::model::{
    object::{Object, same},
    pointer::Pointer,
};

/// That a value which the field leads to passes a test. Where the field meets a list it goes on in
/// each of its elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    /// Which values.
    pub field: Pointer,
    /// What one of them must pass.
    pub test: Test,
}

/// What a value must pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It says something: it is not null, and no empty text, list or object.
    Present,
    /// It compares to a value.
    Compare {
        /// How.
        relation: Relation,
        /// To what.
        value: Value,
        /// What a text stands for.
        texts: Texts,
    },
    /// It is an object that meets a condition.
    Element(Box<Filter>),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// They are the same.
    Equal,
    /// The first one holds the second.
    Contains,
    /// The first one begins with the second.
    StartsWith,
    /// The first one ends with the second.
    EndsWith,
    /// The first one is less.
    Less,
    /// The first one is less, or they are the same.
    LessOrEqual,
    /// The first one is greater.
    Greater,
    /// The first one is greater, or they are the same.
    GreaterOrEqual,
}

/// What texts stand for where they are compared or sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Texts {
    /// Themselves.
    #[default]
    Exact,
    /// Themselves, whatever their case ([`folded`]).
    Folded,
    /// Moments (RFC 3339); those that are none are texts.
    Moments,
}

impl Within {
    /// Whether the condition holds where `read` gives the value of each top-level attribute.
    pub(super) fn holds<'a>(&self, read: &impl Fn(&Pointer) -> Option<&'a Value>) -> bool {
        let Some((first, rest)) = self.field.tokens().split_first() else {
            return false;
        };
        read(&Pointer::attribute(first)).is_some_and(|value| self.test.passes_below(value, rest))
    }

    /// Whether the condition holds for an object.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        self.holds(&|field| field.get(object))
    }
}

impl Test {
    /// Whether the value, or (where it is a list) one of its elements, passes.
    #[must_use]
    pub fn passes(&self, value: &Value) -> bool {
        self.passes_below(value, &[])
    }

    fn passes_below(&self, value: &Value, tokens: &[String]) -> bool {
        match (value, tokens.split_first()) {
            (Value::Array(items), _) => items.iter().any(|item| self.passes_below(item, tokens)),
            (Value::Object(members), Some((first, rest))) => members
                .get(first)
                .is_some_and(|member| self.passes_below(member, rest)),
            (_, Some(_)) => false,
            (one, None) => self.passes_one(one),
        }
    }

    fn passes_one(&self, found: &Value) -> bool {
        match self {
            Self::Present => says_something(found),
            Self::Compare {
                relation,
                value,
                texts,
            } => relation.holds(found, value, *texts),
            Self::Element(filter) => found
                .as_object()
                .is_some_and(|element| filter.matches(element)),
        }
    }
}

impl Relation {
    /// Whether `found` compares so to `wanted`. A truth value equals its word, since identity
    /// providers write `"True"`.
    #[must_use]
    pub fn holds(self, found: &Value, wanted: &Value, texts: Texts) -> bool {
        if let (Value::Bool(found), Value::String(word)) = (found, wanted) {
            let said = found.to_string();
            return self == Self::Equal && word.eq_ignore_ascii_case(&said);
        }
        let (Value::String(found), Value::String(wanted)) = (found, wanted) else {
            return match self {
                Self::Equal => same(found, wanted),
                Self::Contains | Self::StartsWith | Self::EndsWith => false,
                _ => order(found, wanted).is_some_and(|order| self.accepts(order)),
            };
        };
        match texts {
            Texts::Exact => self.holds_for_texts(found, wanted),
            Texts::Folded => self.holds_for_texts(&folded(found), &folded(wanted)),
            Texts::Moments => match moment(found).zip(moment(wanted)) {
                Some((found, wanted)) if !self.looks_inside() => self.accepts(found.cmp(&wanted)),
                _ => self.holds_for_texts(found, wanted),
            },
        }
    }

    fn looks_inside(self) -> bool {
        matches!(self, Self::Contains | Self::StartsWith | Self::EndsWith)
    }

    fn holds_for_texts(self, found: &str, wanted: &str) -> bool {
        match self {
            Self::Contains => found.contains(wanted),
            Self::StartsWith => found.starts_with(wanted),
            Self::EndsWith => found.ends_with(wanted),
            _ => self.accepts(found.cmp(wanted)),
        }
    }

    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Contains | Self::StartsWith | Self::EndsWith => false,
        }
    }
}

/// A moment that a text stands for.
#[must_use]
pub fn moment(text: &str) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text).ok()
}

/// A text without regard to case. A plain letter (ASCII) only stands for itself and its other case,
/// and so do those that are none, so that databases find what folds to plain letters by these.
#[must_use]
pub fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            folded.push(character.to_ascii_lowercase());
        } else if character.to_lowercase().any(|lower| lower.is_ascii()) {
            folded.push(character);
        } else {
            folded.extend(character.to_lowercase());
        }
    }
    folded
}

/// Whether a value says something.
#[must_use]
pub fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn within(field: &str, relation: Relation, value: Value, texts: Texts) -> Filter {
        Filter::Within(Within {
            field: Pointer::parse(field).unwrap(),
            test: Test::Compare {
                relation,
                value,
                texts,
            },
        })
    }

    fn record() -> Object {
        json!({
            "userName": "Ada", "active": true, "born": "1815-12-10T00:00:00Z", "size": 3,
            "emails": [{"type": "work", "value": "A@X"}, {"type": "home", "value": "b@y"}],
            "members": ["u1", "u2"], "note": "", "name": {"familyName": "Ärger"}
        })
        .as_object()
        .cloned()
        .unwrap()
    }

    #[test]
    fn values_are_tested_through_lists() {
        use Relation::{Contains, EndsWith, Equal, Greater, StartsWith};
        let record = record();
        for (field, relation, value, expected) in [
            ("userName", Equal, json!("ADA"), true),
            ("userName", StartsWith, json!("aD"), true),
            ("userName", EndsWith, json!("DA"), true),
            ("emails/value", Equal, json!("a@x"), true),
            ("emails/value", Contains, json!("@Y"), true),
            ("emails/value", Equal, json!("c@x"), false),
            ("members", Equal, json!("u2"), true),
            ("members/value", Equal, json!("u2"), false),
            ("name/familyName", Equal, json!("äRGER"), true),
            ("active", Equal, json!("True"), true),
            ("active", Equal, json!("False"), false),
            ("active", Contains, json!("tru"), false),
            ("size", Greater, json!(2.5), true),
            ("missing", Equal, json!(null), false),
        ] {
            let filter = within(field, relation, value.clone(), Texts::Folded);
            assert_eq!(
                filter.matches(&record),
                expected,
                "{field} {relation:?} {value}"
            );
        }
    }

    #[test]
    fn moments_compare_whatever_their_zone() {
        let filter = |relation, text: &str| within("born", relation, json!(text), Texts::Moments);
        let record = record();
        assert!(filter(Relation::Equal, "1815-12-10T01:00:00+01:00").matches(&record));
        assert!(filter(Relation::Less, "1815-12-10T00:30:00Z").matches(&record));
        assert!(!filter(Relation::Less, "1815-12-10T00:30:00+01:00").matches(&record));
        assert!(filter(Relation::StartsWith, "1815").matches(&record));
    }

    #[test]
    fn one_element_must_meet_all_of_a_condition() {
        let element = |kind: &str, value: &str| {
            let part = |name: &str, value: &str| {
                within(name, Relation::Equal, json!(value), Texts::Folded)
            };
            Filter::Within(Within {
                field: Pointer::attribute("emails"),
                test: Test::Element(Box::new(Filter::And(vec![
                    part("type", kind),
                    part("value", value),
                ]))),
            })
        };
        assert!(element("work", "a@x").matches(&record()));
        assert!(!element("home", "a@x").matches(&record()));
    }

    #[test]
    fn what_is_empty_is_not_present() {
        let present = |field: &str| {
            Filter::Within(Within {
                field: Pointer::parse(field).unwrap(),
                test: Test::Present,
            })
            .matches(&record())
        };
        assert!(present("emails") && present("emails/value") && present("active"));
        assert!(!present("note") && !present("nothing") && !present("emails/display"));
    }

    #[test]
    fn nothing_else_folds_to_a_plain_letter() {
        assert_eq!(folded("K\u{212A}İ"), "k\u{212A}İ");
        assert_eq!(folded("ÄÖ"), "äö");
    }
}
