//! What has been told of the changes of objects that carry the time, or the number, of their last
//! change.
//!
//! A value may be given before it can be seen: the clock is read, or the number drawn, before the
//! transaction is committed, and several changes may share one. So each pass begins some way before
//! the latest value, and what was told already is known by its digest. This tells every change once
//! that is to be seen within that overlap after its value was given. Where more than [`MOST`]
//! objects changed within it, the overlap shrinks to the latest of them.
use std::{cmp::Ordering, collections::HashMap, fmt::Write};

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Error;
use crate::model::{Object, TargetObject};

/// How many objects a token remembers at most.
const MOST: usize = 2_000;

/// How far the changes of one object class have been told; a token holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Watermark {
    class: String,
    /// The attribute that tells when an object changed.
    by: String,
    /// The latest value that was seen; null: none yet.
    high: Value,
    /// Where a pass goes on that has not come to its end: the value, and the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<(Value, String)>,
    /// Behind which value and id a pass begins, where the overlap has shrunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<(Value, String)>,
    /// What was told within the overlap: value, id and digest, the oldest first.
    told: Vec<(Value, String, String)>,
    /// Where each id is in `told`; empty where that has changed since.
    #[serde(skip)]
    places: HashMap<String, usize>,
}

impl Watermark {
    /// Nothing has been told yet.
    pub(super) fn new(class: &str, by: &str) -> Self {
        Self {
            class: class.to_owned(),
            by: by.to_owned(),
            high: Value::Null,
            page: None,
            floor: None,
            told: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Out of a token.
    ///
    /// # Errors
    /// Refused where it is none of this class, or was made before its settings changed.
    pub(super) fn from_token(class: &str, by: &str, token: &str) -> Result<Self, Error> {
        serde_json::from_str(token)
            .ok()
            .filter(|mark: &Self| mark.class == class && mark.by == by)
            .ok_or_else(|| unknown_token(class))
    }

    /// As a token.
    pub(super) fn to_token(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From which value on a pass looks; none: from the beginning. `overlap` is in seconds for times, and a
    /// difference for numbers.
    pub(super) fn from(&self, overlap: f64) -> Option<Value> {
        (!self.high.is_null()).then(|| earlier(&self.high, overlap))
    }

    /// Behind which value and id the next objects are.
    pub(super) fn behind(&self) -> Option<&(Value, String)> {
        self.page.as_ref().or(self.floor.as_ref())
    }

    /// Whether an object lies where this pass does not look any more: behind what it has told
    /// already, or where the overlap has shrunk.
    pub(super) fn is_past(&self, object: &TargetObject) -> bool {
        self.behind().is_some_and(|(at, id)| {
            let by_time = order(&self.value_of(&object.attributes), at);
            by_time.then_with(|| object.id.cmp(id)) != Ordering::Greater
        })
    }

    /// Whether an object lies before the time from which on a pass looks.
    pub(super) fn is_before(&self, object: &TargetObject, overlap: f64) -> bool {
        let from = self.from(overlap);
        from.is_some_and(|from| order(&self.value_of(&object.attributes), &from) == Ordering::Less)
    }

    /// Takes note of an object; whether that is news.
    pub(super) fn note(&mut self, object: &TargetObject) -> bool {
        let at = self.value_of(&object.attributes);
        let digest = digest(&object.attributes);
        if self.high.is_null() || order(&at, &self.high) == Ordering::Greater {
            self.high = at.clone();
        }
        let told = (at, object.id.clone(), digest);
        let place = self.place_of(&object.id);
        match place.and_then(|place| self.told.get_mut(place)) {
            Some(known) => {
                let is_news = known.2 != told.2;
                *known = told;
                is_news
            }
            None => {
                self.places.insert(object.id.clone(), self.told.len());
                self.told.push(told);
                true
            }
        }
    }

    /// Where an id is in what was told.
    fn place_of(&mut self, id: &str) -> Option<usize> {
        if self.places.is_empty() {
            let ids = self.told.iter().map(|(_, id, _)| id.clone());
            self.places = ids.zip(0..).collect();
        }
        self.places.get(id).copied()
    }

    /// The pass has come as far as this object and will go on.
    pub(super) fn stop_at(&mut self, object: &TargetObject) {
        self.page = Some((self.value_of(&object.attributes), object.id.clone()));
        self.shrink();
    }

    /// The pass has come to its end: what the next one will not look at is forgotten.
    pub(super) fn end(&mut self, overlap: f64) {
        self.page = None;
        if let Some(from) = self.from(overlap) {
            let is_in = |at: &Value| order(at, &from) != Ordering::Less;
            self.told.retain(|(at, _, _)| is_in(at));
            self.places.clear();
            self.floor = self.floor.take().filter(|(at, _)| is_in(at));
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        let surplus = self.told.len().saturating_sub(MOST);
        if surplus == 0 {
            return;
        }
        self.places.clear();
        self.told
            .sort_by(|one, other| order(&one.0, &other.0).then_with(|| one.1.cmp(&other.1)));
        let dropped = self.told.drain(..surplus).next_back();
        self.floor = dropped.map(|(at, id, _)| (at, id)).or(self.floor.take());
    }

    fn value_of(&self, attributes: &Object) -> Value {
        attributes.get(&self.by).cloned().unwrap_or(Value::Null)
    }
}

/// The refusal of a token that is not known, or not any more.
pub(super) fn unknown_token(class: &str) -> Error {
    let message = format!(
        "this is no token for the changes of `{class}`, or it is not known any more: begin anew \
         without one"
    );
    Error::refused(400, message)
}

/// Whether an attribute says that its object is gone: it is there and is not false, 0 or empty.
pub(super) fn says_gone(attributes: &Object, name: &str) -> bool {
    match attributes.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

/// What an object holds, in few characters.
pub(super) fn digest(attributes: &Object) -> String {
    let text = serde_json::to_string(attributes).unwrap_or_default();
    let mut short = String::with_capacity(16);
    for byte in Sha256::digest(text.as_bytes()).iter().take(8) {
        let _ = write!(short, "{byte:02x}");
    }
    short
}

/// A value that lies `overlap` before another, in the same form; what is neither a time nor a number
/// stays as it is.
fn earlier(value: &Value, overlap: f64) -> Value {
    let back = TimeDelta::microseconds(micros(overlap));
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.saturating_sub(micros(overlap) / 1_000_000).into(),
            (None, Some(number)) => (number - overlap).into(),
            _ => value.clone(),
        },
        Value::String(text) => {
            if let Ok(time) = DateTime::parse_from_rfc3339(text) {
                let earlier = time.checked_sub_signed(back).unwrap_or(time);
                return earlier.to_rfc3339_opts(SecondsFormat::Micros, true).into();
            }
            for form in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
                if let Ok(time) = NaiveDateTime::parse_from_str(text, form) {
                    let earlier = time.checked_sub_signed(back).unwrap_or(time);
                    return earlier
                        .format(&form.replace("%.f", "%.6f"))
                        .to_string()
                        .into();
                }
            }
            value.clone()
        }
        other => other.clone(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "settings bound it")]
fn micros(seconds: f64) -> i64 {
    (seconds * 1e6) as i64
}

fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => one
            .as_f64()
            .partial_cmp(&other.as_f64())
            .unwrap_or(Ordering::Equal),
        (Value::String(one), Value::String(other)) => {
            let time = |text: &str| DateTime::parse_from_rfc3339(text).ok();
            match (time(one), time(other)) {
                (Some(one), Some(other)) => one.cmp(&other),
                _ => one.cmp(other),
            }
        }
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(id: &str, at: &str, name: &str) -> TargetObject {
        TargetObject {
            id: id.to_owned(),
            attributes: json!({"at": at, "name": name})
                .as_object()
                .cloned()
                .unwrap(),
            version: None,
        }
    }

    #[test]
    fn what_comes_late_within_the_overlap_is_news_once() {
        let mut mark = Watermark::new("a", "at");
        assert_eq!(mark.from(60.0), None);
        assert!(mark.note(&object("1", "2026-01-01T10:00:00Z", "x")));
        mark.end(60.0);
        assert_eq!(mark.from(60.0), Some(json!("2026-01-01T09:59:00.000000Z")));
        let mut mark = Watermark::from_token("a", "at", &mark.to_token()).unwrap();
        // Committed later, with an earlier time; and another one at the very same time.
        assert!(!mark.note(&object("1", "2026-01-01T10:00:00Z", "x")));
        assert!(mark.note(&object("2", "2026-01-01T09:59:30Z", "y")));
        assert!(mark.note(&object("3", "2026-01-01T10:00:00Z", "z")));
        mark.end(60.0);
        for known in [
            object("2", "2026-01-01T09:59:30Z", "y"),
            object("3", "2026-01-01T10:00:00Z", "z"),
        ] {
            assert!(!mark.note(&known));
        }
        // The same object at the same time holds something else.
        assert!(mark.note(&object("3", "2026-01-01T10:00:00Z", "zz")));
    }

    #[test]
    fn what_lies_behind_the_overlap_is_forgotten_and_a_token_stays_small() {
        let mut mark = Watermark::new("a", "at");
        for number in 0..3_000 {
            mark.note(&object(
                &format!("{number:04}"),
                "2026-01-01T10:00:00Z",
                "x",
            ));
        }
        mark.end(60.0);
        assert_eq!(mark.told.len(), MOST);
        // What is not remembered is not looked at again, though it has the latest time.
        let behind = (json!("2026-01-01T10:00:00Z"), "0999".to_owned());
        assert_eq!(mark.behind(), Some(&behind));
        let at_ten = |id: &str| object(id, "2026-01-01T10:00:00Z", "x");
        assert!(mark.is_past(&at_ten("0999")) && !mark.is_past(&at_ten("1000")));
        assert!(mark.is_past(&object("2", "2026-01-01T09:59:59Z", "x")));
        let mut again = Watermark::from_token("a", "at", &mark.to_token()).unwrap();
        for mark in [&mut mark, &mut again] {
            assert!((1_000..3_000).all(|it| !mark.note(&at_ten(&format!("{it:04}")))));
        }
        mark.note(&object("x", "2026-01-01T11:00:00Z", "x"));
        mark.end(60.0);
        assert_eq!((mark.told.len(), mark.behind()), (1, None));
    }

    #[test]
    fn a_token_of_another_class_or_column_is_refused() {
        let token = Watermark::new("a", "at").to_token();
        for (class, by, token) in [
            ("b", "at", token.as_str()),
            ("a", "changed", &token),
            ("a", "at", "nonsense"),
            ("a", "at", ""),
        ] {
            let refused = Watermark::from_token(class, by, token).unwrap_err();
            assert_eq!(refused.code, 400);
        }
    }

    #[test]
    fn values_keep_their_form() {
        for (value, before) in [
            (json!(100), json!(40)),
            (
                json!("2026-01-01T10:00:00.5Z"),
                json!("2026-01-01T09:59:00.500000Z"),
            ),
            (
                json!("2026-01-01 10:00:00"),
                json!("2026-01-01 09:59:00.000000"),
            ),
            (
                json!("2026-01-01T10:00:00"),
                json!("2026-01-01T09:59:00.000000"),
            ),
            (json!("v7"), json!("v7")),
        ] {
            assert_eq!(earlier(&value, 60.0), before);
        }
    }
}
