//! Reading one resource, and finding many.
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, ETAG},
    },
    response::Response,
};
use serde_json::Value;

use super::{
    Scim,
    address::Address,
    answer::{self, Listed, tag},
    call::Call,
    error::{Failure, Result, ScimType},
    query::Query,
    related::Related,
    search::{Translation, Unknown},
};
use crate::{
    app::{Count, Found, Kept, Search, SortKey},
    model::{
        Filter,
        object::{REV, TIMES},
        scim::{ResourceType, Resources},
    },
};

/// How far into a list that is sorted by an attribute an index may lead: so many are held at once.
const SORTED: usize = 10_000;

/// The kind of resource at an endpoint.
pub(super) fn kind_at<'a>(resources: &'a Resources, endpoint: &str) -> Result<&'a ResourceType> {
    resources
        .at(endpoint)
        .ok_or_else(|| Failure::missing(format!("endpoint `/{endpoint}`")))
}

/// GET of one resource.
pub(super) async fn read(scim: &Scim, call: &Call) -> Result<Response> {
    let resources = call.resources(scim);
    let Address::Resource(endpoint, id) = &call.address else {
        return Err(Failure::fault());
    };
    let kind = kind_at(&resources, endpoint)?;
    let selection = call.parameters.selection()?;
    let name = kind.container.object(id);
    let kept = scim
        .app
        .read_kept(&name, &call.caller)
        .await
        .map_err(|error| missing(error.into(), kind, id))?;
    let revision = kept
        .object
        .get(REV)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut response = if call.holds(revision) {
        let mut response = answer::nothing();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let resource = related(scim, &resources, call)
            .resource(kind, &kept, &selection)
            .await?;
        answer::resource(StatusCode::OK, &resource)
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag(revision)) {
        headers.insert(ETAG, tag);
    }
    // A copy may be kept, but must be checked before each use.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// What completes resources for the caller.
pub(super) fn related<'a>(scim: &'a Scim, resources: &'a Resources, call: &'a Call) -> Related<'a> {
    Related {
        scim,
        resources,
        base: &call.base,
        caller: &call.caller,
    }
}

/// Says which resource is not there, in the words of its kind.
pub(super) fn missing(failure: Failure, kind: &ResourceType, id: &str) -> Failure {
    match failure.status {
        404 if failure.operation.is_none() => Failure::missing(format!("{} `{id}`", kind.name)),
        _ => failure,
    }
}

/// GET of a collection.
pub(super) async fn query(scim: &Scim, call: &Call) -> Result<Response> {
    let query = call.parameters.query()?;
    answered(scim, call, &query).await
}

/// POST of a search.
pub(super) async fn search(scim: &Scim, call: &Call, body: &Value) -> Result<Response> {
    let query = Query::of_search(body)?;
    answered(scim, call, &query).await
}

async fn answered(scim: &Scim, call: &Call, query: &Query) -> Result<Response> {
    let resources = call.resources(scim);
    let listing = Listing {
        scim,
        call,
        query,
        resources: &resources,
    };
    let listed = match &call.address {
        Address::Collection(endpoint) | Address::SearchIn(endpoint) => {
            listing.of_kind(kind_at(&resources, endpoint)?).await?
        }
        _ => listing.of_all().await?,
    };
    Ok(answer::json(StatusCode::OK, &listed.to_value()))
}

struct Listing<'a> {
    scim: &'a Scim,
    call: &'a Call,
    query: &'a Query,
    resources: &'a Resources,
}

impl Listing<'_> {
    fn size(&self) -> usize {
        let most = self.scim.settings.page_size;
        self.query.count.map_or(most, |count| count.min(most))
    }

    async fn of_kind(&self, kind: &ResourceType) -> Result<Listed> {
        let by_cursor = self.query.cursor.is_some();
        let offset = if by_cursor {
            0
        } else {
            self.query.start.saturating_sub(1)
        };
        let found = self
            .page(kind, Unknown::Refused, offset, self.size())
            .await?;
        Ok(Listed {
            total: found.total.unwrap_or_default(),
            start: (!by_cursor).then_some(self.query.start),
            next_cursor: found.cookie.filter(|_| by_cursor),
            resources: self.shown(kind, &found.results).await?,
        })
    }

    /// The kinds one after the other.
    async fn of_all(&self) -> Result<Listed> {
        if self.query.cursor.is_some() {
            let detail = "resources of all kinds at once are listed by index, not by cursor";
            return Err(Failure::bad(ScimType::InvalidCursor, detail));
        }
        if self.query.sort.is_some() && self.resources.types.len() > 1 {
            let detail = "resources of all kinds at once have no common order: search one kind";
            return Err(Failure::bad(ScimType::InvalidPath, detail));
        }
        let (mut skip, mut left) = (self.query.start.saturating_sub(1), self.size());
        let (mut total, mut resources) = (0, Vec::new());
        for kind in &self.resources.types {
            let found = self.page(kind, Unknown::Absent, skip, left).await?;
            let here = found.total.unwrap_or_default();
            total += here;
            skip = skip.saturating_sub(usize::try_from(here).unwrap_or(usize::MAX));
            left -= found.results.len();
            resources.extend(self.shown(kind, &found.results).await?);
        }
        Ok(Listed {
            resources,
            total,
            start: Some(self.query.start),
            next_cursor: None,
        })
    }

    async fn page(
        &self,
        kind: &ResourceType,
        unknown: Unknown,
        offset: usize,
        size: usize,
    ) -> Result<Found<Kept>> {
        let translation = Translation {
            resources: self.resources,
            kind,
            unknown,
        };
        let filter = match &self.query.filter {
            Some(filter) => translation.filter(filter)?,
            None => Filter::Literal(true),
        };
        let sort = match &self.query.sort {
            Some((path, direction)) => vec![translation.sort(path, *direction)?],
            None => Vec::new(),
        };
        check_depth(&sort, offset, size)?;
        let search = Search {
            filter,
            sort,
            page_size: Some(size),
            cookie: self
                .query
                .cursor
                .clone()
                .filter(|cursor| !cursor.is_empty()),
            offset,
            count: Count::Exact,
        };
        let app = &self.scim.app;
        let found = app
            .query_kept(&kind.container, &search, &self.call.caller)
            .await;
        found.map_err(|error| match error.code {
            400 if search.cookie.is_some() => {
                Failure::bad(ScimType::InvalidCursor, "`cursor` belongs to another query")
            }
            _ => error.into(),
        })
    }

    async fn shown(&self, kind: &ResourceType, found: &[Kept]) -> Result<Vec<Value>> {
        related(self.scim, self.resources, self.call)
            .resources(kind, found, &self.query.selection)
            .await
    }
}

/// A list in the order of an attribute is sorted in memory, up to where a page ends.
fn check_depth(sort: &[SortKey], offset: usize, size: usize) -> Result<()> {
    let in_memory = sort.iter().any(|key| key.field.first() != Some(TIMES));
    match in_memory && offset.saturating_add(size) > SORTED {
        true => Err(Failure::bad(
            ScimType::TooMany,
            format!(
                "a sorted list is read by index up to {SORTED}: go on by `cursor`, or narrow it by a filter"
            ),
        )),
        false => Ok(()),
    }
}
