//! Where what came of a run differs from what it should have been.
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::Expectation;
use crate::model::{Object, hook_run::Ended};

/// One place where two outcomes differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where: `verdict`, `result`, `changed.object.title`, `asks.0.path`.
    pub place: String,
    /// What was expected, or what came of it before; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// What came of it; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let (expected, found) = (said(&self.expected), said(&self.found));
        write!(
            formatter,
            "{}: expected {expected}, found {found}",
            self.place
        )
    }
}

/// Where two outcomes differ; what was logged does not count.
#[must_use]
pub fn differences(before: &Ended, after: &Ended) -> Vec<Difference> {
    let mut found = Vec::new();
    for (place, one, other) in [
        ("verdict", json!(before.verdict), json!(after.verdict)),
        ("result", before.result.clone(), after.result.clone()),
        ("throws", json!(before.throws), json!(after.throws)),
        ("error", json!(before.error), json!(after.error)),
        ("asks", json!(before.asks), json!(after.asks)),
        ("changed", json!(before.changed), json!(after.changed)),
    ] {
        compare(place, &one, &other, &mut found);
    }
    found
}

impl Expectation {
    /// Where what came of a run is not what was expected.
    #[must_use]
    pub fn differences(&self, ended: &Ended) -> Vec<Difference> {
        let mut found = Vec::new();
        if let Some(verdict) = &self.verdict {
            compare(
                "verdict",
                &json!(verdict),
                &json!(ended.verdict),
                &mut found,
            );
        }
        if let Some(result) = &self.result {
            compare("result", result, &ended.result, &mut found);
        }
        if let Some(wanted) = &self.throws {
            self.throws(wanted, ended, &mut found);
        }
        if let Some(part) = &self.error {
            let is_in = |error: &String| error.contains(part.as_str());
            if !ended.error.as_ref().is_some_and(is_in) {
                found.push(Difference {
                    place: "error".into(),
                    expected: Some(json!(part)),
                    found: ended.error.as_ref().map(|error| json!(error)),
                });
            }
        }
        if let Some(asks) = &self.asks {
            compare("asks", &json!(asks), &json!(ended.asks), &mut found);
        }
        for (name, value) in self.changed.iter().flatten() {
            let left = ended.changed.get(name).unwrap_or(&Value::Null);
            compare(&format!("changed.{name}"), value, left, &mut found);
        }
        if let Some(log) = &self.log {
            compare("log", &json!(log), &json!(ended.log), &mut found);
        }
        // Why it ended otherwise helps more than that it did.
        let said = ended.error.as_ref().filter(|_| self.error.is_none());
        if let (Some(error), false) = (said, found.is_empty()) {
            found.push(Difference {
                place: "error".into(),
                expected: None,
                found: Some(json!(error)),
            });
        }
        found
    }

    /// A text is the message; of an object only the members that it has count.
    fn throws(&self, wanted: &Value, ended: &Ended, found: &mut Vec<Difference>) {
        let thrown = ended.throws.clone().unwrap_or_default();
        let member = |name: &str| thrown.get(name).cloned().unwrap_or_default();
        match wanted {
            Value::Object(members) => {
                for (name, value) in members {
                    compare(&format!("throws.{name}"), value, &member(name), found);
                }
            }
            text => compare("throws.message", text, &member("message"), found),
        }
    }
}

/// Collects the places where two values differ, as deep as they can be told.
fn compare(place: &str, expected: &Value, found: &Value, differences: &mut Vec<Difference>) {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            compare_members(place, one, other, differences);
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{place}.{index}"), one, other, differences);
            }
        }
        (one, other) if is_same(one, other) => {}
        (one, other) => differences.push(Difference {
            place: place.to_owned(),
            expected: Some(one.clone()).filter(|value| !value.is_null()),
            found: Some(other.clone()).filter(|value| !value.is_null()),
        }),
    }
}

fn compare_members(place: &str, one: &Object, other: &Object, differences: &mut Vec<Difference>) {
    let added = other.keys().filter(|name| !one.contains_key(*name));
    for name in one.keys().chain(added) {
        let inner = format!("{place}.{name}");
        match (one.get(name), other.get(name)) {
            (Some(expected), Some(found)) => compare(&inner, expected, found, differences),
            (expected, found) => differences.push(Difference {
                place: inner,
                expected: expected.cloned(),
                found: found.cloned(),
            }),
        }
    }
}

/// `1` and `1.0` are the same number.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(expected: Value, found: Value) -> Vec<String> {
        let mut differences = Vec::new();
        compare("result", &expected, &found, &mut differences);
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn differences_are_told_at_their_deepest_place() {
        assert_eq!(
            found(json!({"a": [1, 2.0]}), json!({"a": [1.0, 2]})),
            [""; 0]
        );
        assert_eq!(
            found(
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"b": 3}, "d": null})
            ),
            [
                "result.a.b: expected 1, found 3",
                "result.a.c: expected 2, found nothing",
                "result.d: expected nothing, found null",
            ]
        );
        assert_eq!(
            found(json!([1]), json!([1, 2])),
            ["result: expected [1], found [1,2]"]
        );
    }

    #[test]
    fn what_is_not_expected_may_be_anything() {
        let ended = Ended {
            verdict: "reject".into(),
            throws: Some(json!({"code": 403, "message": "no", "detail": {"x": 1}})),
            log: vec!["info: x".into()],
            ..Ended::default()
        };
        let expecting = |value: Value| {
            let expectation: Expectation = serde_json::from_value(value).unwrap();
            expectation.differences(&ended).len()
        };
        assert_eq!(expecting(json!({"verdict": "reject"})), 0);
        assert_eq!(expecting(json!({"throws": "no"})), 0);
        assert_eq!(expecting(json!({"throws": {"code": 403}})), 0);
        assert_eq!(
            expecting(json!({"throws": {"code": 404, "message": "other"}})),
            2
        );
        assert_eq!(expecting(json!({"verdict": "accept"})), 1);
        assert_eq!(expecting(json!({"result": 1})), 1);
        assert_eq!(expecting(json!({"result": null})), 0);
        assert_eq!(expecting(json!({"log": []})), 1);
        assert_eq!(expecting(json!({"error": "limit"})), 1);
    }
}
