//! Reads a JSON file: syntax errors and repeated keys with their line.
use std::{cell::RefCell, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::document::{Document, item, step};
use crate::config::problem::Problems;

/// The document in a JSON text, or none after its error was reported.
pub(crate) fn parse(file: &str, text: &str, problems: &mut Problems) -> Option<Document> {
    let repeated = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Node {
        pointer: String::new(),
        repeated: &repeated,
    };
    let value = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(value) => {
            let document = Document::new(file, value, None);
            for pointer in repeated.into_inner() {
                let message = "this key stands here twice: keep one of them";
                document.error(problems, &pointer, message);
            }
            Some(document)
        }
        Err(error) => {
            let message = error.to_string();
            let message = message
                .rsplit_once(" at line ")
                .map_or(message.as_str(), |(message, _)| message);
            let column = error.column();
            problems.error_at_line(
                file,
                error.line(),
                format!("is not JSON: {message} (column {column})"),
            );
            None
        }
    }
}

/// Builds a value and notes the pointers of keys that an object holds twice.
struct Node<'a> {
    pointer: String,
    repeated: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(Node {
            pointer: item(&self.pointer, list.len()),
            repeated: self.repeated,
        })? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut seen = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            let pointer = step(&self.pointer, &key);
            // Keys that begin with `//` are comments; there may be many.
            if !seen.insert(key.clone()) && !key.starts_with("//") {
                self.repeated.borrow_mut().push(pointer.clone());
            }
            let value = members.next_value_seed(Node {
                pointer,
                repeated: self.repeated,
            })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
