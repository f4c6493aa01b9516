//! Query parameters as CREST knows them.
use serde_json::{Map, Value};

use super::{
    address,
    answer::Pretty,
    error::{Failure, Result},
};
use crate::{
    app::{Count, Search, SortKey},
    model::{Filter, filter::Texts, pointer::Pointer},
};

/// Parameters that mean something somewhere. Each may be given once; whatever else is given reaches
/// nothing but the `request` variable of hooks.
pub(super) const KNOWN: [&str; 26] = [
    "_action",
    "_fields",
    "_format",
    "_pageSize",
    "_pagedResultsCookie",
    "_pagedResultsOffset",
    "_prettyPrint",
    "_queryExpression",
    "_queryFilter",
    "_queryId",
    "_sortKeys",
    "_totalPagedResultsPolicy",
    "after",
    "dryRun",
    "hook",
    "ids",
    "limit",
    "mapping",
    "operation",
    "rangeEnd",
    "rangeStart",
    "resourceContainer",
    "resourceId",
    "script",
    "types",
    "waitForCompletion",
];

/// The parameters of one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
}

/// What a query answers with about the number of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TotalPolicy {
    None,
    Estimate,
    Exact,
}

/// A query as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    /// What to look for.
    pub(super) search: Search,
    /// Which parts of each result to show.
    pub(super) fields: Vec<Pointer>,
    /// What was asked about the total.
    pub(super) policy: TotalPolicy,
}

impl Parameters {
    /// Reads the query part of an address.
    pub(super) fn parse(query: Option<&str>) -> Result<Self> {
        let pairs = match query {
            Some(query) => address::pairs(query)?,
            None => Vec::new(),
        };
        for (at, (name, _)) in pairs.iter().enumerate() {
            let again = pairs.iter().skip(at + 1).any(|(other, _)| other == name);
            if again && KNOWN.contains(&name.as_str()) {
                return Err(Failure::bad(format!("parameter `{name}` is given twice")));
            }
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that must be there.
    pub(super) fn need(&self, name: &str) -> Result<&str> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Failure::bad(format!("parameter `{name}` is missing")))
    }

    /// All of them but those that only shape the answer, sorted: what an idempotency key covers.
    pub(super) fn meaning(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> = self
            .pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !["_fields", "_prettyPrint"].contains(name))
            .collect();
        pairs.sort_unstable();
        pairs
    }

    /// Those that Recant does not know, for hooks.
    pub(super) fn additional(&self) -> Map<String, Value> {
        self.pairs
            .iter()
            .filter(|(name, _)| !KNOWN.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect()
    }

    /// Whether the answer is to be indented.
    pub(super) fn pretty(&self) -> Result<Option<Pretty>> {
        match self.get("_prettyPrint") {
            None | Some("false") => Ok(None),
            Some("true") => Ok(Some(Pretty)),
            Some(other) => Err(wrong("_prettyPrint", "true or false", other)),
        }
    }

    /// Which parts of objects to show; none: all.
    pub(super) fn fields(&self) -> Result<Vec<Pointer>> {
        let Some(list) = self.get("_fields") else {
            return Ok(Vec::new());
        };
        list.split(',')
            .map(str::trim)
            .filter(|field| !field.is_empty())
            .map(|field| {
                let field = if field == "*" { "" } else { field };
                Pointer::parse(field)
                    .map_err(|error| Failure::bad(format!("parameter `_fields`: {error}")))
            })
            .collect()
    }

    /// A query that must say what it looks for.
    pub(super) fn query(&self) -> Result<Query> {
        let filter = self.filter()?.ok_or_else(|| {
            Failure::bad(
                "parameter `_queryFilter` is missing: a collection can only be queried; `true` finds everything",
            )
        })?;
        self.query_for(filter)
    }

    /// A query that finds everything where it does not say what it looks for.
    pub(super) fn query_or_all(&self) -> Result<Query> {
        let filter = self.filter()?.unwrap_or(Filter::Literal(true));
        self.query_for(filter)
    }

    fn query_for(&self, filter: Filter) -> Result<Query> {
        let policy = self.policy()?;
        let cookie = self
            .get("_pagedResultsCookie")
            .filter(|text| !text.is_empty());
        let offset = self.number("_pagedResultsOffset")?.unwrap_or(0);
        if cookie.is_some() && offset > 0 {
            return Err(Failure::bad(
                "`_pagedResultsCookie` and `_pagedResultsOffset` exclude each other",
            ));
        }
        let mut fields = self.fields()?;
        if self.get("_queryId") == Some("query-all-ids") {
            fields = vec![Pointer::attribute(crate::model::object::ID)];
        }
        Ok(Query {
            search: Search {
                filter,
                sort: self.sort_keys()?,
                page_size: self.number("_pageSize")?.filter(|size| *size > 0),
                cookie: cookie.map(str::to_owned),
                offset,
                count: match policy {
                    TotalPolicy::None => Count::None,
                    TotalPolicy::Estimate | TotalPolicy::Exact => Count::Exact,
                },
            },
            fields,
            policy,
        })
    }

    fn filter(&self) -> Result<Option<Filter>> {
        let given = ["_queryFilter", "_queryId", "_queryExpression"]
            .map(|name| self.get(name).map(|value| (name, value)));
        let mut given = given.into_iter().flatten();
        let filter = match given.next() {
            None => None,
            Some(("_queryFilter", text)) => Some(Filter::parse(text).map_err(|error| {
                Failure::bad(format!("parameter `_queryFilter`: {error}")).detail(
                    serde_json::json!({"parameter": "_queryFilter", "position": error.position}),
                )
            })?),
            Some((_, "query-all" | "query-all-ids")) => Some(Filter::Literal(true)),
            Some(("_queryId", other)) => {
                return Err(wrong("_queryId", "query-all or query-all-ids", other));
            }
            Some((name, _)) => {
                return Err(Failure::bad(format!(
                    "parameter `{name}`: queries in a store's own language are not offered, use `_queryFilter`"
                )));
            }
        };
        match given.next() {
            None => Ok(filter),
            Some((name, _)) => Err(Failure::bad(format!(
                "`{name}` cannot stand beside another query parameter"
            ))),
        }
    }

    fn sort_keys(&self) -> Result<Vec<SortKey>> {
        let Some(list) = self.get("_sortKeys") else {
            return Ok(Vec::new());
        };
        list.split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(|key| {
                let (name, descending) = match key.strip_prefix('-') {
                    Some(name) => (name, true),
                    None => (key.strip_prefix('+').unwrap_or(key), false),
                };
                let field = Pointer::parse(name)
                    .map_err(|error| Failure::bad(format!("parameter `_sortKeys`: {error}")))?;
                if field.is_whole() {
                    return Err(wrong("_sortKeys", "attributes, each after + or -", key));
                }
                Ok(SortKey {
                    field,
                    descending,
                    texts: Texts::Exact,
                })
            })
            .collect()
    }

    fn policy(&self) -> Result<TotalPolicy> {
        match self.get("_totalPagedResultsPolicy") {
            None => Ok(TotalPolicy::None),
            Some(word) => TotalPolicy::parse(word)
                .ok_or_else(|| wrong("_totalPagedResultsPolicy", "NONE, ESTIMATE or EXACT", word)),
        }
    }

    fn number(&self, name: &str) -> Result<Option<usize>> {
        self.get(name)
            .map(|text| {
                text.parse::<u32>()
                    .ok()
                    .and_then(|number| usize::try_from(number).ok())
                    .ok_or_else(|| wrong(name, "a whole number from 0", text))
            })
            .transpose()
    }
}

impl TotalPolicy {
    fn parse(word: &str) -> Option<Self> {
        [Self::None, Self::Estimate, Self::Exact]
            .into_iter()
            .find(|policy| policy.as_str().eq_ignore_ascii_case(word))
    }

    /// The word in parameters and answers.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Estimate => "ESTIMATE",
            Self::Exact => "EXACT",
        }
    }
}

/// 400 for a parameter that holds something else than it should.
pub(super) fn wrong(name: &str, expected: &str, found: &str) -> Failure {
    Failure::bad(format!(
        "parameter `{name}`: expected {expected}, found `{found}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Parameters {
        Parameters::parse(Some(query)).unwrap()
    }

    #[test]
    fn a_query_is_read_whole() {
        let query = parse(
            "_queryFilter=age+gt+3&_sortKeys=%2Bname/last,-age&_pageSize=7&_pagedResultsOffset=2\
             &_totalPagedResultsPolicy=exact&_fields=name,/age&other=1",
        )
        .query()
        .unwrap();
        assert_eq!(query.search.page_size, Some(7));
        assert_eq!(query.search.offset, 2);
        assert_eq!(query.search.count, Count::Exact);
        assert_eq!(query.policy.as_str(), "EXACT");
        assert_eq!(query.fields.len(), 2);
        let keys: Vec<_> = query
            .search
            .sort
            .iter()
            .map(|key| (key.field.to_string(), key.descending))
            .collect();
        assert_eq!(keys, [("/name/last".into(), false), ("/age".into(), true)]);
    }

    #[test]
    fn wrong_parameters_are_told_by_name() {
        for (query, told) in [
            ("", "_queryFilter"),
            ("_queryFilter=", "_queryFilter"),
            ("_queryFilter=name+eq", "_queryFilter"),
            ("_queryFilter=true&_queryId=query-all", "_queryId"),
            ("_queryId=nobody", "_queryId"),
            ("_queryExpression=select", "_queryExpression"),
            ("_queryFilter=true&_pageSize=-1", "_pageSize"),
            ("_queryFilter=true&_pageSize=x", "_pageSize"),
            (
                "_queryFilter=true&_pagedResultsOffset=1.5",
                "_pagedResultsOffset",
            ),
            (
                "_queryFilter=true&_pagedResultsOffset=1&_pagedResultsCookie=a",
                "exclude",
            ),
            (
                "_queryFilter=true&_totalPagedResultsPolicy=ALL",
                "_totalPagedResultsPolicy",
            ),
            ("_queryFilter=true&_sortKeys=a~2", "_sortKeys"),
            ("_queryFilter=true&_sortKeys=-", "_sortKeys"),
            ("_queryFilter=true&_fields=~", "_fields"),
        ] {
            let failure = parse(query).query().unwrap_err();
            assert_eq!(failure.code(), 400, "{query}");
            assert!(
                failure.message().contains(told),
                "{query}: {}",
                failure.message()
            );
        }
        let twice = Parameters::parse(Some("_pageSize=1&_pageSize=1")).unwrap_err();
        assert!(twice.message().contains("_pageSize"));
        assert!(Parameters::parse(Some("unknown=1&unknown=2")).is_ok());
        assert!(parse("_prettyPrint=maybe").pretty().is_err());
    }

    #[test]
    fn hooks_see_only_what_recant_does_not_know() {
        let parameters = parse("_fields=a&compensating=true&operation=create");
        assert_eq!(
            Value::Object(parameters.additional()),
            serde_json::json!({"compensating": "true"})
        );
    }
}
