//! Between Recant's words and a REST service's: addresses, bodies, and what a status means.
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use url::Url;

use super::settings::{Class, List, Paging};
use crate::{
    connectors::{
        Error, Update,
        http::{last_segment, segment},
    },
    model::{Difference, Object, TargetObject},
};

/// How many objects Recant asks a list for at once. It does not follow the caller's page size, so
/// that the number of a page means the same in every call.
const LIST_SIZE: usize = 100;

/// After how many pages a list counts as endless.
const MOST_PAGES: u64 = 1_000_000;

/// Where a page of a query begins: a place in a list of the service, and how many of the objects
/// there belong to earlier pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// How many objects to leave out.
    pub skip: usize,
    /// What the paging parameter gets; none asks for the first page.
    pub token: Option<String>,
    /// How many pages came before this one.
    pub number: u64,
    /// The token of an earlier page, or of this one: whoever meets it again goes round in circles.
    pub landmark: Option<String>,
}

/// The ids of the page that was read last.
#[derive(Debug, Default)]
pub struct LatestPage(Vec<String>);

impl LatestPage {
    /// Takes note of the next page.
    ///
    /// # Errors
    /// Refused where it holds the same objects: the service does not heed the paging parameter.
    pub fn turn_to(&mut self, page: &[TargetObject]) -> Result<(), Error> {
        let mut ids: Vec<String> = page.iter().map(|object| object.id.clone()).collect();
        ids.sort_unstable();
        if !ids.is_empty() && ids == self.0 {
            let message = "the list's next page holds the same objects: the service does not heed \
                           the paging parameter (`list`)";
            return Err(Error::refused(502, message));
        }
        self.0 = ids;
        Ok(())
    }
}

/// The address of a collection.
pub fn collection(base: &str, class: &Class) -> String {
    format!("{base}{}", class.path)
}

/// The address of an object.
pub fn address(base: &str, class: &Class, id: &str) -> String {
    format!("{base}{}/{}", class.path, segment(id))
}

/// A whole object as a body, with its id where there is one, written without being copied.
pub struct Body<'a> {
    /// The member for the id.
    pub id_attribute: &'a str,
    /// The id.
    pub id: Option<&'a str>,
    /// The attributes.
    pub object: &'a Object,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = self.id.map(|id| (self.id_attribute, id));
        let mut members = serializer.serialize_map(None)?;
        if let Some((name, id)) = id {
            members.serialize_entry(name, id)?;
        }
        for (name, value) in self.object {
            if id.is_none() || name != self.id_attribute {
                members.serialize_entry(name, value)?;
            }
        }
        members.end()
    }
}

/// What changes, as a JSON Merge Patch (RFC 7396). A changed attribute that holds an object gets
/// null for every member that goes away.
pub fn merge_patch(update: &Update<'_>) -> Value {
    let before = &update.before.attributes;
    let difference = Difference::between(before, update.after);
    let mut patch = Object::new();
    for (name, value) in difference.set {
        let value = match before.get(&name) {
            Some(old) => nested_patch(old, value),
            None => value,
        };
        patch.insert(name, value);
    }
    patch.extend(
        difference
            .removed
            .into_iter()
            .map(|name| (name, Value::Null)),
    );
    Value::Object(patch)
}

fn nested_patch(old: &Value, new: Value) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(mut new)) => {
            for (name, value) in &mut new {
                if let Some(old) = old.get(name) {
                    *value = nested_patch(old, value.take());
                }
            }
            for name in old.keys() {
                new.entry(name.as_str()).or_insert(Value::Null);
            }
            Value::Object(new)
        }
        (_, new) => new,
    }
}

/// The id of the object that a `Location` names, where it is one right below its collection.
pub fn id_below(collection: &str, location: &str) -> Option<String> {
    let here = Url::parse(collection).ok()?;
    let there = here.join(location).ok()?;
    let own = there.path().strip_prefix(here.path())?.strip_prefix('/')?;
    let is_one = there.origin() == here.origin() && !own.trim_end_matches('/').contains('/');
    last_segment(own).filter(|_| is_one)
}

/// An object out of a body: the attributes without the id.
pub fn object(class: &Class, value: Value) -> Option<(Option<String>, Object)> {
    match value {
        Value::Object(object) => Some(split(class, object)),
        _ => None,
    }
}

fn split(class: &Class, mut object: Object) -> (Option<String>, Object) {
    let id = object
        .shift_remove(&class.id_attribute)
        .and_then(|id| match id {
            Value::String(id) => Some(id),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        });
    (id, object)
}

/// The attributes in the answer to a write, where it holds the whole object: every attribute that
/// was sent, that is.
pub fn attributes(sent: &Object, answered: Option<Object>) -> Option<Object> {
    answered.filter(|answered| {
        sent.iter()
            .all(|(name, value)| value.is_null() || answered.contains_key(name))
    })
}

/// The objects in the answer to a list.
///
/// # Errors
/// Refused where there is no array.
pub fn items<'a>(class: &Class, answer: &'a Value) -> Result<&'a [Value], Error> {
    let pointer = &class.list.items_pointer;
    answer
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| Error::refused(502, no_array(pointer)))
}

fn no_array(pointer: &str) -> String {
    if pointer.is_empty() {
        "the list is no JSON array: say where the objects are with `list.itemsPointer`".to_owned()
    } else {
        format!("the list has no array at `{pointer}` (`list.itemsPointer`)")
    }
}

/// One object of a list.
///
/// # Errors
/// Refused where it has no id.
pub fn listed(class: &Class, item: Value) -> Result<TargetObject, Error> {
    match object(class, item) {
        Some((Some(id), attributes)) => Ok(TargetObject {
            id,
            attributes,
            version: None,
        }),
        _ => Err(Error::refused(
            502,
            format!(
                "an object in the list has no id in `{}` (`idAttribute`)",
                class.id_attribute
            ),
        )),
    }
}

/// The query parameters that ask for the page that begins at a place.
pub fn parameters(list: &List, place: &Place) -> Vec<(String, String)> {
    let size = list
        .size_parameter
        .iter()
        .map(|name| (name.clone(), LIST_SIZE.to_string()));
    let page = match (&list.paging, &place.token) {
        (Paging::None | Paging::Link { .. }, _) | (Paging::Cursor { .. }, None) => None,
        (Paging::Page { parameter, first }, token) => Some((
            parameter.clone(),
            token.clone().unwrap_or_else(|| first.to_string()),
        )),
        (Paging::Offset { parameter }, token) => Some((
            parameter.clone(),
            token.clone().unwrap_or_else(|| "0".to_owned()),
        )),
        (Paging::Cursor { parameter, .. }, Some(token)) => Some((parameter.clone(), token.clone())),
    };
    size.chain(page).collect()
}

/// Where the list goes on after a page with `count` objects; none after the last. A page of a
/// service may be shorter than what was asked for, so only an empty one ends a numbered list.
/// `header` is the `Link` header.
pub fn next_token(
    list: &List,
    token: Option<&str>,
    count: usize,
    answer: &Value,
    header: Option<&str>,
) -> Option<String> {
    let number = |default: u64| token.map_or(Some(default), |token| token.parse().ok());
    match &list.paging {
        Paging::None => None,
        Paging::Page { first, .. } if count > 0 => Some((number(*first)? + 1).to_string()),
        Paging::Offset { .. } if count > 0 => {
            Some((number(0)? + u64::try_from(count).ok()?).to_string())
        }
        Paging::Page { .. } | Paging::Offset { .. } => None,
        Paging::Cursor { pointer, .. } => word_at(answer, pointer),
        Paging::Link {
            pointer: Some(pointer),
        } => word_at(answer, pointer),
        Paging::Link { pointer: None } => next_link(header?),
    }
}

/// A text or a number in an answer; none where it is absent, null or empty.
pub fn word_at(answer: &Value, pointer: &str) -> Option<String> {
    match answer.pointer(pointer)? {
        Value::String(next) if !next.is_empty() => Some(next.clone()),
        Value::Number(next) => Some(next.to_string()),
        _ => None,
    }
}

/// The address with the relation `next` in a `Link` header (RFC 8288, section 3).
pub fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (address, parameters) = after.split_once('>')?;
        let end = end_of_link(parameters);
        let (own, others) = parameters.split_at_checked(end)?;
        if own.split(';').any(is_next) {
            return Some(address.trim().to_owned());
        }
        rest = others;
    }
}

/// Where the parameters of a link end: at a comma outside quotes, in bytes.
fn end_of_link(parameters: &str) -> usize {
    let mut quoted = false;
    for (index, byte) in parameters.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return index,
            _ => {}
        }
    }
    parameters.len()
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel") && relations.any(|it| it.eq_ignore_ascii_case("next"))
}

/// The address of the next page as the page before gives it, which may be a relative one.
///
/// # Errors
/// Refused where it leads away from the service: our credentials are for that one.
pub fn next_address(base: &str, current: &str, next: &str) -> Result<String, Error> {
    let elsewhere = || Error::refused(502, "the list's next page is at another service");
    let here = Url::parse(current).map_err(|_| elsewhere())?;
    let there = here.join(next).map_err(|_| elsewhere())?;
    let service = Url::parse(base).map_err(|_| elsewhere())?;
    if there.origin() == service.origin() {
        Ok(there.into())
    } else {
        Err(elsewhere())
    }
}

impl Place {
    /// Where the first page begins.
    pub const START: Self = Self {
        skip: 0,
        token: None,
        number: 0,
        landmark: None,
    };

    /// Where the page behind this one begins. Circles are found by Brent's algorithm: the landmark
    /// moves to every page whose number is a power of two, so it comes to stand within any circle,
    /// and stays for a whole round of it.
    ///
    /// # Errors
    /// Refused where the list goes round in circles or has no end.
    pub fn onward(self, token: String) -> Result<Self, Error> {
        let number = self.number.saturating_add(1);
        if self.landmark.as_ref() == Some(&token) {
            let message = "the list's next page is one that was read before";
            return Err(Error::refused(502, message));
        }
        if number > MOST_PAGES {
            let message = format!("the list has no end after {MOST_PAGES} pages");
            return Err(Error::refused(502, message));
        }
        let landmark = match number.is_power_of_two() {
            true => Some(token.clone()),
            false => self.landmark,
        };
        Ok(Self {
            skip: 0,
            token: Some(token),
            number,
            landmark,
        })
    }

    /// As a query's cursor: `SKIP`, or `SKIP.NUMBER.LENGTH:` with the landmark, that many bytes long,
    /// and the token behind it.
    pub fn to_cursor(&self) -> String {
        let Self { skip, number, .. } = self;
        let landmark = self.landmark.as_deref().unwrap_or_default();
        match &self.token {
            Some(token) => format!("{skip}.{number}.{}:{landmark}{token}", landmark.len()),
            None => skip.to_string(),
        }
    }

    /// Out of a query's cursor.
    ///
    /// # Errors
    /// Refused where no connector of this kind made it.
    pub fn from_cursor(cursor: &str) -> Result<Self, Error> {
        Self::parsed(cursor).ok_or_else(|| Error::refused(400, "this is no cursor of this query"))
    }

    fn parsed(cursor: &str) -> Option<Self> {
        let Some((numbers, texts)) = cursor.split_once(':') else {
            let skip = cursor.parse().ok()?;
            return Some(Self {
                skip,
                ..Self::START
            });
        };
        let (skip, numbers) = numbers.split_once('.')?;
        let (number, length) = numbers.split_once('.')?;
        let (landmark, token) = texts.split_at_checked(length.parse().ok()?)?;
        Some(Self {
            skip: skip.parse().ok()?,
            token: Some(token.to_owned()),
            number: number.parse().ok()?,
            landmark: (!landmark.is_empty()).then(|| landmark.to_owned()),
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
