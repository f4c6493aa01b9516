//! JSON pointers as CREST writes them: RFC 6901 with an optional leading slash.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object::Object;

/// A parsed pointer to a place inside an object. `name` and `/name` are the same pointer; an empty
/// text and `/` name the whole object, as in CREST.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(Vec<String>);

/// Why a text is no pointer, or why nothing can be put at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A tilde stands alone.
    #[error("`{0}` is no JSON pointer: `~` must be followed by 0 or 1")]
    Escape(String),
    /// There is something at this place that can hold no members.
    #[error("`{0}` cannot be set: what it lies in is neither an object nor a list")]
    NoContainer(String),
    /// The list has no element there.
    #[error("`{0}` cannot be set: the list has no such element")]
    NoElement(String),
    /// The pointer names the whole object.
    #[error("the pointer names the whole object, not an attribute of it")]
    Whole,
}

impl Pointer {
    /// Reads a pointer; the leading slash may be left out.
    ///
    /// # Errors
    /// Where a `~` is followed by neither 0 nor 1.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let rest = text.strip_prefix('/').unwrap_or(text);
        if rest.is_empty() {
            return Ok(Self(Vec::new()));
        }
        rest.split('/')
            .map(|token| unescape(token).ok_or_else(|| Error::Escape(text.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The pointer to a top-level attribute, taken as it is.
    #[must_use]
    pub fn attribute(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// A pointer with these tokens, taken as they are.
    #[must_use]
    pub fn from_tokens(tokens: Vec<String>) -> Self {
        Self(tokens)
    }

    /// The tokens from the outside in.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.0
    }

    /// The top-level attribute that the pointer names or leads into; none for the whole object.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// Whether the pointer names the whole object.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The value at this place; none where there is nothing, and for the whole object.
    #[must_use]
    pub fn get<'a>(&self, object: &'a Object) -> Option<&'a Value> {
        self.get_below(0, object)
    }

    /// The value at the place that the pointer names once its first `skipped` tokens are left out.
    #[must_use]
    pub fn get_below<'a>(&self, skipped: usize, object: &'a Object) -> Option<&'a Value> {
        let (first, rest) = self.0.get(skipped..)?.split_first()?;
        rest.iter().try_fold(object.get(first)?, child)
    }

    /// Puts a value at this place. Missing (and null) parents come into being: as a list where the
    /// next token is `0` or `-`, otherwise as an object. In a list an index replaces its element,
    /// and `-` or the list's length appends.
    ///
    /// # Errors
    /// Where a parent is neither object nor list, a list has no such element, or the pointer names
    /// the whole object. The object is then as it was, but for parents that were made.
    pub fn set(&self, object: &mut Object, value: Value) -> Result<(), Error> {
        match self.place(object)? {
            Place::Member(members, name) => {
                members.insert(name.to_owned(), value);
            }
            Place::Element(items, index) => match items.get_mut(index) {
                Some(item) => *item = value,
                None => items.push(value),
            },
        }
        Ok(())
    }

    /// As [`Pointer::set`], but an index of a list makes room before its element.
    ///
    /// # Errors
    /// As [`Pointer::set`].
    pub fn insert(&self, object: &mut Object, value: Value) -> Result<(), Error> {
        match self.place(object)? {
            Place::Member(members, name) => {
                members.insert(name.to_owned(), value);
            }
            Place::Element(items, index) => items.insert(index.min(items.len()), value),
        }
        Ok(())
    }

    /// Takes the value at this place out; none where there is nothing.
    pub fn remove(&self, object: &mut Object) -> Option<Value> {
        let (last, parents) = self.0.split_last()?;
        let Some((first, rest)) = parents.split_first() else {
            return object.shift_remove(last);
        };
        let parent = rest.iter().try_fold(object.get_mut(first)?, child_mut)?;
        match parent {
            Value::Object(members) => members.shift_remove(last),
            Value::Array(items) => {
                let index = index(last).filter(|index| *index < items.len())?;
                Some(items.remove(index))
            }
            _ => None,
        }
    }

    /// The value at this place, to be changed.
    pub fn get_mut<'a>(&self, object: &'a mut Object) -> Option<&'a mut Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(object.get_mut(first)?, child_mut)
    }

    fn place<'a>(&'a self, object: &'a mut Object) -> Result<Place<'a>, Error> {
        let (last, parents) = self.0.split_last().ok_or(Error::Whole)?;
        let Some((first, rest)) = parents.split_first() else {
            return Ok(Place::Member(object, last));
        };
        let mut parent = object.entry(first.clone()).or_insert(Value::Null);
        for token in rest {
            parent = match self.place_in(parent, token)? {
                Place::Member(members, name) => {
                    members.entry(name.to_owned()).or_insert(Value::Null)
                }
                Place::Element(items, index) => {
                    if index == items.len() {
                        items.push(Value::Null);
                    }
                    items.get_mut(index).ok_or_else(|| self.no_element())?
                }
            };
        }
        self.place_in(parent, last)
    }

    fn place_in<'a>(&self, parent: &'a mut Value, token: &'a str) -> Result<Place<'a>, Error> {
        if parent.is_null() {
            *parent = match token {
                "0" | "-" => Value::Array(Vec::new()),
                _ => Value::Object(Object::new()),
            };
        }
        match parent {
            Value::Object(members) => Ok(Place::Member(members, token)),
            Value::Array(items) => match (token, index(token)) {
                ("-", _) => {
                    let end = items.len();
                    Ok(Place::Element(items, end))
                }
                (_, Some(index)) if index <= items.len() => Ok(Place::Element(items, index)),
                _ => Err(self.no_element()),
            },
            _ => Err(Error::NoContainer(self.to_string())),
        }
    }

    fn no_element(&self) -> Error {
        Error::NoElement(self.to_string())
    }
}

enum Place<'a> {
    Member(&'a mut Object, &'a str),
    Element(&'a mut Vec<Value>, usize),
}

fn child<'a>(value: &'a Value, token: &String) -> Option<&'a Value> {
    match value {
        Value::Object(members) => members.get(token),
        Value::Array(items) => items.get(index(token)?),
        _ => None,
    }
}

fn child_mut<'a>(value: &'a mut Value, token: &String) -> Option<&'a mut Value> {
    match value {
        Value::Object(members) => members.get_mut(token),
        Value::Array(items) => items.get_mut(index(token)?),
        _ => None,
    }
}

/// An index of a list: digits without leading zeros (RFC 6901, section 4).
fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    let plain = token == "0" || !token.starts_with('0');
    (digits && plain).then(|| token.parse().ok()).flatten()
}

fn unescape(token: &str) -> Option<String> {
    if !token.contains('~') {
        return Some(token.to_owned());
    }
    let mut parts = token.split('~');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(1)?;
        plain.push(match code {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

impl fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| {
            write!(
                formatter,
                "/{}",
                token.replace('~', "~0").replace('/', "~1")
            )
        })
    }
}

impl FromStr for Pointer {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Pointer {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().expect("an object")
    }

    fn at(text: &str) -> Pointer {
        Pointer::parse(text).expect("a pointer")
    }

    #[test]
    fn reads_with_and_without_leading_slash() {
        assert_eq!(at("a/b"), at("/a/b"));
        assert_eq!(at("/a~1b/~0"), Pointer(vec!["a/b".into(), "~".into()]));
        assert_eq!(at("/a~1b/~0").to_string(), "/a~1b/~0");
        assert!(at("").is_whole() && at("/").is_whole());
        assert_eq!(at("a/"), Pointer(vec!["a".into(), String::new()]));
        for wrong in ["~", "a~2", "/a/~", "~ä"] {
            assert!(matches!(Pointer::parse(wrong), Err(Error::Escape(_))));
        }
    }

    #[test]
    fn gets_members_and_elements() {
        let record = object(json!({"a": {"b": [10, {"c": 1}]}}));
        assert_eq!(at("a/b/0").get(&record), Some(&json!(10)));
        assert_eq!(at("a/b/1/c").get(&record), Some(&json!(1)));
        for missing in [
            "a/x", "a/b/2", "a/b/00", "a/b/-", "a/b/+1", "a/b/0/x", "", "b",
        ] {
            assert_eq!(at(missing).get(&record), None, "{missing}");
        }
    }

    #[test]
    fn sets_and_makes_parents() {
        let mut record = Object::new();
        at("a/b/c").set(&mut record, json!(1)).expect("new parents");
        at("list/-/x").set(&mut record, json!(2)).expect("new list");
        at("list/0/x").set(&mut record, json!(3)).expect("replaced");
        at("list/1").set(&mut record, json!(4)).expect("appended");
        at("list/0")
            .insert(&mut record, json!(0))
            .expect("inserted");
        assert_eq!(
            Value::Object(record.clone()),
            json!({"a": {"b": {"c": 1}}, "list": [0, {"x": 3}, 4]})
        );
        let refused = |text: &str, record: &mut Object| at(text).set(record, json!(0)).is_err();
        assert!(refused("list/7", &mut record) && refused("list/x", &mut record));
        assert!(refused("a/b/c/d", &mut record) && refused("", &mut record));
    }

    #[test]
    fn removes_and_keeps_the_order_of_the_others() {
        let mut record = object(json!({"a": 1, "b": {"c": [1, 2, 3]}, "d": 2, "e": 3}));
        assert_eq!(at("b/c/1").remove(&mut record), Some(json!(2)));
        assert_eq!(at("a").remove(&mut record), Some(json!(1)));
        assert_eq!(at("b/c/5").remove(&mut record), None);
        assert_eq!(at("x/y").remove(&mut record), None);
        assert_eq!(at("").remove(&mut record), None);
        assert_eq!(record.keys().collect::<Vec<_>>(), ["b", "d", "e"]);
        assert_eq!(record["b"], json!({"c": [1, 3]}));
    }

    proptest::proptest! {
        #[test]
        fn printing_and_reading_agree(tokens in proptest::collection::vec(".{1,6}", 0..5)) {
            let pointer = Pointer(tokens);
            proptest::prop_assert_eq!(Pointer::parse(&pointer.to_string()), Ok(pointer));
        }

        #[test]
        fn what_was_set_is_there(tokens in proptest::collection::vec("[a-z0-]{1,3}", 1..5)) {
            let pointer = Pointer(tokens);
            let mut record = Object::new();
            if pointer.set(&mut record, json!("x")).is_ok() && !pointer.0.contains(&"-".to_owned()) {
                proptest::prop_assert_eq!(pointer.get(&record), Some(&json!("x")));
                proptest::prop_assert_eq!(pointer.remove(&mut record), Some(json!("x")));
            }
        }
    }
}
