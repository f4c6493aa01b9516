//! Answers to queries.
use axum::response::Response;
use serde_json::{Value, json};

use super::{
    answer,
    call::Call,
    parameters::{Query, TotalPolicy},
};
use crate::{app::Found, model::Object};

/// The CREST answer to a query.
pub(super) fn answered(call: &Call, query: &Query, found: Found<Value>) -> Response {
    let total = found.total.filter(|_| query.policy != TotalPolicy::None);
    let remaining = remaining(query, found.results.len(), found.cookie.as_deref(), total);
    let results: Vec<Value> = found
        .results
        .into_iter()
        // Before parts of it are chosen: the rest tells what is hidden in them.
        .map(|value| match call.seen(value) {
            Value::Object(object) => Value::Object(answer::select(object, &query.fields)),
            other => other,
        })
        .collect();
    call.ok(&json!({
        "result": results,
        "resultCount": results.len(),
        "pagedResultsCookie": found.cookie,
        "totalPagedResultsPolicy": query.policy.as_str(),
        "totalPagedResults": total.map_or(-1, signed),
        "remainingPagedResults": remaining,
    }))
}

/// Found objects as JSON values.
pub(super) fn objects(found: Found<Object>) -> Found<Value> {
    values(found, Value::Object)
}

/// Found things as JSON values.
pub(super) fn values<T>(found: Found<T>, to_value: impl Fn(T) -> Value) -> Found<Value> {
    Found {
        results: found.results.into_iter().map(to_value).collect(),
        cookie: found.cookie,
        total: found.total,
    }
}

/// What fits a page of a list that is held in memory whole: mappings, problems.
pub(super) fn of_list(list: Vec<Value>, query: &Query) -> Found<Value> {
    let matching: Vec<Value> = list
        .into_iter()
        .filter(|value| {
            value
                .as_object()
                .is_some_and(|object| query.search.filter.matches(object))
        })
        .collect();
    let total = u64::try_from(matching.len()).ok();
    let begin = query
        .search
        .cookie
        .as_deref()
        .and_then(|cookie| cookie.parse().ok())
        .unwrap_or(query.search.offset);
    let size = query.search.page_size.unwrap_or(usize::MAX);
    let end = begin.saturating_add(size);
    let cookie = (end < matching.len()).then(|| end.to_string());
    Found {
        results: matching.into_iter().skip(begin).take(size).collect(),
        cookie,
        total,
    }
}

/// How many results follow this page; -1 where that is not known.
fn remaining(query: &Query, shown: usize, cookie: Option<&str>, total: Option<u64>) -> i64 {
    let paged = query.search.page_size.is_some();
    match total {
        _ if paged && cookie.is_none() => 0,
        Some(total) if query.search.cookie.is_none() => {
            let seen = query.search.offset.saturating_add(shown);
            signed(total.saturating_sub(u64::try_from(seen).unwrap_or(u64::MAX)))
        }
        _ => -1,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
