//! Two states of one object side by side, with what differs marked.
use askama::Template;

use super::markup;
use crate::model::{Object, secret::MASK};

/// How many attributes that agree are shown.
const AGREEING: usize = 40;
/// How many attributes that differ are shown.
const DIFFERING: usize = 120;
/// How much of a value is shown.
const LONGEST: usize = 600;

/// The name of the left side where something happened between the two.
const BEFORE: &str = "Before";

/// A table of two states; escaped already.
#[derive(Debug, Clone, Template)]
#[template(path = "sides.html")]
pub(super) struct Sides {
    caption: String,
    left: &'static str,
    right: &'static str,
    differing: Vec<Row>,
    agreeing: Vec<Row>,
    left_out: usize,
}

impl askama::filters::HtmlSafe for Sides {}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    before: Option<String>,
    after: Option<String>,
    /// It differs, though both sides are masked.
    changed: bool,
}

impl Row {
    /// What happened to the attribute: a word for everybody, and a class for its colour.
    fn word(&self) -> &'static str {
        match (&self.before, &self.after) {
            _ if self.changed => "changed",
            (None, Some(_)) => "added",
            (Some(_), None) => "removed",
            (before, after) if before != after => "changed",
            _ => "same",
        }
    }
}

impl Sides {
    /// What is said of an attribute that is not the same on both sides: it changed, or the two states
    /// are those of now.
    fn told(&self, row: &Row) -> &'static str {
        match self.left {
            BEFORE => row.word(),
            _ => "differs",
        }
    }

    /// The same, with what is known to differ though its values are masked on both sides.
    pub(super) fn with_changed(mut self, names: &[String]) -> Self {
        let masked = |row: &Row| row.before.as_deref() == Some(MASK) && names.contains(&row.name);
        let (changed, agreeing) = self.agreeing.into_iter().partition(masked);
        self.agreeing = agreeing;
        let changed: Vec<Row> = changed;
        self.differing.extend(changed.into_iter().map(|row| Row {
            changed: true,
            ..row
        }));
        self
    }

    /// What an object was and is to be.
    pub(super) fn new(caption: &str, before: Option<&Object>, after: Option<&Object>) -> Self {
        Self::named(caption, (BEFORE, before), ("After", after))
    }

    /// Two states under names of their own.
    pub(super) fn named(
        caption: &str,
        (left, before): (&'static str, Option<&Object>),
        (right, after): (&'static str, Option<&Object>),
    ) -> Self {
        let rows = rows(before, after);
        let (mut agreeing, mut differing): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.before == row.after);
        let count = agreeing.len() + differing.len();
        agreeing.truncate(AGREEING);
        differing.truncate(DIFFERING);
        Self {
            caption: caption.to_owned(),
            left,
            right,
            left_out: count - agreeing.len() - differing.len(),
            differing,
            agreeing,
        }
    }
}

fn rows(before: Option<&Object>, after: Option<&Object>) -> Vec<Row> {
    let text = |object: Option<&Object>, name: &str| {
        object
            .and_then(|object| object.get(name))
            .map(|value| markup::value(value, LONGEST))
    };
    let mut names: Vec<&str> = Vec::new();
    for object in [before, after].into_iter().flatten() {
        for name in object.keys().map(String::as_str) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let row = |name: &str| Row {
        name: name.to_owned(),
        before: text(before, name),
        after: text(after, name),
        changed: false,
    };
    names.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_stands_apart_from_what_agrees() {
        let before = json!({"_id": "1", "name": "<Ann>", "gone": 1});
        let after = json!({"_id": "1", "name": "Bob", "new": [1]});
        let sides = Sides::new("x", before.as_object(), after.as_object());
        let words: Vec<_> = sides
            .differing
            .iter()
            .map(|row| (row.name.as_str(), row.word()))
            .collect();
        assert_eq!(
            words,
            [("name", "changed"), ("gone", "removed"), ("new", "added")]
        );
        assert_eq!(sides.agreeing.len(), 1);
        assert_eq!(sides.told(&sides.differing[1]), "removed");
        let now = Sides::named("x", ("Holds now", before.as_object()), ("Should", None));
        assert_eq!(now.told(&now.differing[0]), "differs");
        let html = sides.to_string();
        assert!(html.contains("Ann") && !html.contains("<Ann>"), "{html}");
        let masked = json!({"pin": "***", "name": "***"});
        let masked = masked.as_object();
        let sides = Sides::new("x", masked, masked).with_changed(&["pin".to_owned()]);
        assert_eq!(sides.differing.len(), 1, "{sides:?}");
        assert_eq!(sides.differing[0].word(), "changed");
        assert_eq!(sides.agreeing.len(), 1);
        let same = Sides::new("x", before.as_object(), before.as_object());
        assert!(same.differing.is_empty());
    }
}
