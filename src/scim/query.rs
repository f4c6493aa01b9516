//! What a query asks for, by the parameters of an address or the body of a search.
use serde_json::Value;

use super::{
    error::{Failure, Result, ScimType},
    selection::Selection,
};
use crate::model::{
    Object,
    scim::{Filter, Path},
};

/// The URN of searches.
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
/// The longest filter, in bytes.
const LONGEST_FILTER: usize = 64 << 10;

/// A query.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Query {
    pub(super) filter: Option<Filter>,
    pub(super) sort: Option<(Path, Direction)>,
    /// The first one, counted from 1.
    pub(super) start: usize,
    /// How many; none: as many as there may be.
    pub(super) count: Option<usize>,
    /// Where the page before ended; empty for the first page.
    pub(super) cursor: Option<String>,
    pub(super) selection: Selection,
}

/// The way of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Direction {
    #[default]
    Ascending,
    Descending,
}

/// Query parameters as they were sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query part of an address.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(
            pairs
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let found = pairs.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn list(&self, name: &str) -> Vec<String> {
        let list = self.get(name).unwrap_or_default().split(',');
        list.map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Which attributes to show.
    pub(super) fn selection(&self) -> Result<Selection> {
        Selection::read(&self.list("attributes"), &self.list("excludedAttributes"))
    }

    /// Whether a filter is given.
    pub(super) fn has_filter(&self) -> bool {
        self.get("filter").is_some()
    }

    /// All that a query asks for.
    pub(super) fn query(&self) -> Result<Query> {
        let number = |name: &str| {
            self.get(name)
                .map(|text| text.trim().parse().map_err(|_| no_number(name, text)))
                .transpose()
        };
        Query::read(Raw {
            filter: self.get("filter"),
            sort_by: self.get("sortBy"),
            sort_order: self.get("sortOrder"),
            start: number("startIndex")?,
            count: number("count")?,
            cursor: self.get("cursor"),
            selection: self.selection()?,
        })
    }

    /// All of them, for hooks and idempotency keys.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

struct Raw<'a> {
    filter: Option<&'a str>,
    sort_by: Option<&'a str>,
    sort_order: Option<&'a str>,
    start: Option<i64>,
    count: Option<i64>,
    cursor: Option<&'a str>,
    selection: Selection,
}

impl Query {
    /// Reads the body of a search (RFC 7644, section 3.4.3).
    pub(super) fn of_search(body: &Value) -> Result<Self> {
        let syntax = |detail: String| Failure::bad(ScimType::InvalidSyntax, detail);
        let body = body
            .as_object()
            .ok_or_else(|| syntax("the body must be an object".into()))?;
        let urns = body.get("schemas").and_then(Value::as_array);
        let is_search = |urn: &Value| {
            urn.as_str()
                .is_some_and(|urn| urn.eq_ignore_ascii_case(SEARCH))
        };
        if !urns.is_some_and(|urns| urns.iter().any(is_search)) {
            return Err(syntax(format!("`schemas` must be [\"{SEARCH}\"]")));
        }
        let text = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(syntax(format!("`{name}` must be a text"))),
        };
        let number = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| no_number(name, &value.to_string())),
        };
        Self::read(Raw {
            filter: text("filter")?,
            sort_by: text("sortBy")?,
            sort_order: text("sortOrder")?,
            start: number("startIndex")?,
            count: number("count")?,
            cursor: text("cursor")?,
            selection: Selection::read(
                &names(body, "attributes")?,
                &names(body, "excludedAttributes")?,
            )?,
        })
    }

    fn read(raw: Raw<'_>) -> Result<Self> {
        // A parameter that says nothing asks for nothing.
        let filter = raw.filter.filter(|text| !text.trim().is_empty());
        let filter = filter.map(read_filter).transpose()?;
        let direction = match raw.sort_order.map(str::to_ascii_lowercase).as_deref() {
            None | Some("ascending" | "") => Direction::Ascending,
            Some("descending") => Direction::Descending,
            Some(other) => {
                let detail =
                    format!("`sortOrder`: expected ascending or descending, found `{other}`");
                return Err(Failure::bad(ScimType::InvalidValue, detail));
            }
        };
        let sort = raw.sort_by.filter(|path| !path.is_empty()).map(|path| {
            Path::parse(path)
                .map(|path| (path, direction))
                .map_err(|error| Failure::bad(ScimType::InvalidPath, format!("`sortBy`: {error}")))
        });
        // What is less than the least means the least (RFC 7644, table 6).
        let at_least = |number: i64, least: i64| usize::try_from(number.max(least)).ok();
        Ok(Self {
            filter,
            sort: sort.transpose()?,
            start: raw.start.and_then(|start| at_least(start, 1)).unwrap_or(1),
            count: raw.count.and_then(|count| at_least(count, 0)),
            cursor: raw.cursor.map(str::to_owned),
            selection: raw.selection,
        })
    }
}

fn read_filter(text: &str) -> Result<Filter> {
    if text.len() > LONGEST_FILTER {
        let detail = format!("a filter may have at most {LONGEST_FILTER} bytes");
        return Err(Failure::bad(ScimType::InvalidFilter, detail));
    }
    Filter::parse(text)
        .map_err(|error| Failure::bad(ScimType::InvalidFilter, format!("`filter`: {error}")))
}

fn names(body: &Object, name: &str) -> Result<Vec<String>> {
    let wrong = || {
        let detail = format!("`{name}` must be a list of texts");
        Failure::bad(ScimType::InvalidSyntax, detail)
    };
    let items = match body.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong()),
    };
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
        .collect()
}

fn no_number(name: &str, found: &str) -> Failure {
    let detail = format!("`{name}`: expected a whole number, found `{found}`");
    let scim_type = match name {
        "count" => ScimType::InvalidCount,
        _ => ScimType::InvalidValue,
    };
    Failure::bad(scim_type, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_bodies_say_the_same() {
        let address = Parameters::parse(Some(
            "filter=userName+eq+%22a%22&sortBy=name.familyName&sortOrder=Descending&startIndex=-3\
             &count=5&attributes=userName,%20emails.value",
        ));
        let body = serde_json::json!({
            "schemas": [SEARCH], "filter": "userName eq \"a\"", "sortBy": "name.familyName",
            "sortOrder": "descending", "startIndex": 0, "count": 5,
            "attributes": ["userName", "emails.value"]
        });
        let query = address.query().unwrap();
        assert_eq!(query, Query::of_search(&body).unwrap());
        assert_eq!((query.start, query.count), (1, Some(5)));
        assert_eq!(query.sort.unwrap().1, Direction::Descending);
    }

    #[test]
    fn wrong_queries_are_told() {
        for (query, scim_type) in [
            ("filter=userName", ScimType::InvalidFilter),
            ("count=many", ScimType::InvalidCount),
            ("startIndex=x", ScimType::InvalidValue),
            ("sortOrder=up", ScimType::InvalidValue),
            ("sortBy=a%20b", ScimType::InvalidPath),
            ("attributes=a&excludedAttributes=b", ScimType::InvalidValue),
        ] {
            let failure = Parameters::parse(Some(query)).query().unwrap_err();
            assert_eq!(failure.scim_type, Some(scim_type), "{query}");
        }
    }
}
