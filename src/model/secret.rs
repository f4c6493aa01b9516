//! Keeping confidential values out of everything that is shown.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::object::{ID, Object};

/// What stands where a confidential value would.
pub const MASK: &str = "***";

/// Stands for every attribute, where it cannot be told which ones are confidential.
pub const EVERY_ATTRIBUTE: &str = "*";

/// The object with every non-null value of the named attributes masked; under
/// [`EVERY_ATTRIBUTE`] all but its `_id`.
#[must_use]
pub fn masked<'a>(mut object: Object, confidential: impl IntoIterator<Item = &'a str>) -> Object {
    for name in confidential {
        if name == EVERY_ATTRIBUTE {
            let shown = |(name, value): &(&String, &mut Value)| *name == ID || value.is_null();
            let all = object.iter_mut().filter(|member| !shown(member));
            all.for_each(|(_, value)| *value = json!(MASK));
        }
        if let Some(value) = object.get_mut(name)
            && !value.is_null()
        {
            *value = json!(MASK);
        }
    }
    object
}

/// Takes the confidential values of one change out of texts: messages of targets, thrown texts,
/// logged lines.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret that contains another is masked whole.
    secrets: Vec<String>,
}

impl Redactor {
    /// A redactor of every text and number inside the given values.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut found = BTreeSet::new();
        for value in values {
            collect(value, &mut found);
        }
        Self::of(found)
    }

    /// A redactor that knows every text and number inside these values, too.
    #[must_use]
    pub fn and<'a>(self, values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut found: BTreeSet<String> = self.secrets.into_iter().collect();
        for value in values {
            collect(value, &mut found);
        }
        Self::of(found)
    }

    fn of(found: BTreeSet<String>) -> Self {
        let mut secrets: Vec<String> = found.into_iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// A redactor of exactly these texts.
    #[must_use]
    pub fn of_texts(secrets: impl IntoIterator<Item = String>) -> Self {
        Self::of(
            secrets
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect(),
        )
    }

    /// The texts that it masks: only for where they are kept encrypted.
    #[must_use]
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// The text without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) {
                text.replace(secret.as_str(), MASK)
            } else {
                text
            }
        })
    }

    /// The value with secrets masked in every text inside it.
    #[must_use]
    pub fn value(&self, value: &Value) -> Value {
        if self.secrets.is_empty() {
            return value.clone();
        }
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Number(number) if self.secrets.contains(&number.to_string()) => json!(MASK),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, member)| (name.clone(), self.value(member)))
                .collect::<Object>()
                .into(),
            other => other.clone(),
        }
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Redactor({} secrets)", self.secrets.len())
    }
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if !text.is_empty() => {
            found.insert(text.clone());
        }
        Value::Number(number) => {
            found.insert(number.to_string());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => members.values().for_each(|member| collect(member, found)),
        _ => {}
    }
}
