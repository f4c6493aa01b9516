//! `/events`: the change feed by cursor, and live as server-sent events.
use std::{collections::VecDeque, convert::Infallible, str::FromStr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header::ACCEPT},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use chrono::{DateTime, Utc};
use futures::stream;
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    access::{self, Rule},
    call::{Call, has_word},
    error::{Failure, Result},
    openapi::{
        self, ActionParameters, DeliveryPath, EventHeaders, EventParameters, QueryParameters,
        SubscriptionPath,
    },
    page,
    parameters::wrong,
};
use crate::{
    app::{Arrival, Audience, ClientCertificate, Error, EventSearch, Events, SideEffects, Veil},
    model::{event::Shown, integration::rules::Request},
};

/// How many events one answer holds where the caller does not say.
const LIMIT: usize = 100;
/// The most that it may hold.
const LARGEST: usize = 1_000;
/// How often a silent stream says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(read, replay))
        .routes(routes!(deliveries))
        .routes(routes!(act))
}

/// Read the change feed
///
/// Oldest first. `cursor` of the answer is the `after` of the next request; it never skips an event
/// that is stored later. 410 where events behind the cursor are kept no more. With
/// `Accept: text/event-stream` the answer goes on with every new event: from the cursor that `after`
/// or `Last-Event-ID` names, else from now on.
#[utoipa::path(get, path = "/events", tag = "events", operation_id = "readEvents",
    params(EventParameters, EventHeaders),
    responses((status = 200, description = "A part of the feed", content(
        (openapi::EventPage = "application/json"),
        (String = "text/event-stream")))))]
async fn read(State(api): State<Api>, call: Call) -> Result<Response> {
    let mut search = search(&call)?;
    let shown = call.caller().sees_values();
    if !has_word(call.headers.get_all(ACCEPT), "text/event-stream") {
        let page = api.app.events(&search, shown).await?;
        return Ok(call.ok(&json!({
            "result": page.events,
            "resultCount": page.events.len(),
            "cursor": page.cursor,
            "more": page.more,
        })));
    }
    if let Some(last) = call.header("last-event-id")? {
        search.after = Some(number("Last-Event-ID", last)?);
    }
    if search.after.is_none() && search.from.is_none() {
        search.after = Some(newest(&api).await?);
    }
    // Here `limit` says how many are read at a time.
    search.limit = match call.parameters().get("limit") {
        Some(_) => search.limit.max(1),
        None => LARGEST,
    };
    // What is wrong with the cursor is a proper error; only what comes later is told in the stream.
    let first = api.app.events(&search, shown).await?;
    let reader = Reader {
        veil: Arc::clone(call.veil()),
        certificate: call.certificate(),
        rule: Rule::find(&call.method, "/events", None)?,
        headers: call.headers,
        shown,
    };
    Ok(live(api, search, reader, first).into_response())
}

/// Tell events again
///
/// `_action=replay` tells recorded events again: `to` a subscription, where each says that it is
/// replayed, or through a `mapping`, whose target gets the objects of these events as they are now.
/// What has side effects is left out unless `sideEffects` is true.
#[utoipa::path(post, path = "/events", tag = "events", operation_id = "replayEvents",
    params(ActionParameters),
    request_body(content = openapi::Replay, content_type = "application/json"),
    responses((status = 200, description = "How many events there were, and what was queued for them",
        body = openapi::Replayed)))]
async fn replay(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let body = call.json(body, &api.settings.limits).await?.object()?;
    let text = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Failure::bad(format!("`{name}` must be a text"))),
    };
    let audience = match (text("to")?, text("mapping")?) {
        (Some(name), None) => Audience::Subscription(name.to_owned()),
        (None, Some(name)) => Audience::Mapping(name.to_owned()),
        _ => return Err(Failure::bad("expected either `to` or `mapping`")),
    };
    let types = body.get("types").and_then(Value::as_array);
    let types = types.into_iter().flatten().filter_map(Value::as_str);
    let search = EventSearch {
        after: body.get("from").and_then(Value::as_i64),
        from: text("rangeStart")?
            .map(|at| time("rangeStart", at))
            .transpose()?,
        until: text("rangeEnd")?
            .map(|at| time("rangeEnd", at))
            .transpose()?,
        types: types.map(str::to_owned).collect(),
        ..EventSearch::default()
    };
    if search.after.is_none() && search.from.is_none() {
        return Err(Failure::bad(
            "expected `from`, a cursor, or `rangeStart`, a time",
        ));
    }
    let effects = match body.get("sideEffects") {
        Some(Value::Bool(true)) => SideEffects::Repeat,
        _ => SideEffects::Skip,
    };
    let told = api
        .app
        .replay(&search, &audience, effects, call.by())
        .await?;
    Ok(call.ok(&told))
}

/// Query deliveries to a subscription
///
/// Oldest first unless sorted otherwise; `deadLetter` tells those that are not tried again.
#[utoipa::path(get, path = "/events/deliveries/{subscription}", tag = "events",
    operation_id = "queryDeliveries",
    params(SubscriptionPath, QueryParameters),
    responses((status = 200, description = "One page of deliveries", body = openapi::QueryResult)))]
async fn deliveries(State(api): State<Api>, call: Call) -> Result<Response> {
    let query = call.parameters().query_or_all()?;
    let found = api.app.deliveries(call.segment(2)?, &query.search).await?;
    Ok(page::answered(&call, &query, found))
}

/// Send a delivery again, or give it up
#[utoipa::path(post, path = "/events/deliveries/{subscription}/{id}", tag = "events",
    operation_id = "actOnDelivery",
    params(DeliveryPath, ActionParameters),
    responses((status = 200, description = "The delivery as it is now", body = openapi::IntegrationEvent)))]
async fn act(State(api): State<Api>, call: Call) -> Result<Response> {
    let request = match call.action() {
        "cancel" => Request::Cancel,
        _ => Request::Retry,
    };
    let text = call.segment(3)?;
    let id = text
        .parse()
        .map_err(|_| Failure::new(404, format!("there is no delivery `{text}`")))?;
    let name = call.segment(2)?;
    let moved = api.app.move_delivery(name, id, request, call.by()).await?;
    Ok(call.ok(&moved))
}

async fn newest(api: &Api) -> Result<i64> {
    let nothing = EventSearch {
        limit: 0,
        ..EventSearch::default()
    };
    Ok(api.app.events(&nothing, Shown::Names).await?.cursor)
}

/// Where a live stream stands.
struct Live {
    api: Api,
    search: EventSearch,
    reader: Reader,
    waiting: VecDeque<Value>,
    /// Whether there may be more already.
    more: bool,
    ended: bool,
}

/// Who reads a stream, and what it may see.
struct Reader {
    rule: &'static Rule,
    headers: HeaderMap,
    shown: Shown,
    veil: Arc<Veil>,
    certificate: Option<Arc<ClientCertificate>>,
}

fn live(api: Api, search: EventSearch, reader: Reader, first: Events) -> impl IntoResponse {
    let mut live = Live {
        api,
        search,
        reader,
        waiting: VecDeque::new(),
        more: false,
        ended: false,
    };
    live.take(first);
    let events = stream::unfold(live, |mut live| async move {
        let event = live.next().await?;
        Some((Ok::<_, Infallible>(event), live))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE))
}

impl Live {
    fn take(&mut self, page: Events) {
        self.search.after = Some(page.cursor);
        self.more = page.more;
        if self.search.until.is_none() {
            // All up to the cursor was looked at; what comes counts, whatever its node's clock says.
            self.search.from = None;
        }
        let veil = Arc::clone(&self.reader.veil);
        let seen = page.events.into_iter();
        self.waiting
            .extend(seen.map(|event| veil.document(None, event)));
    }

    /// The next event; none once the server stops, or the stream has told why it cannot go on.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.ended || self.api.is_draining() {
                return None;
            }
            if !self.may_read().await {
                let why = "the bearer token is not valid any more";
                return self.end_with(&Error::new(401, why));
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(told(&event));
            }
            if !self.more {
                self.api.app.event_may_have_come().await;
            }
            match self.api.app.events(&self.search, self.reader.shown).await {
                Ok(page) => self.take(page),
                Err(error) if error.code == 503 => self.more = false,
                Err(error) => return self.end_with(&error),
            }
        }
    }

    /// A stream may last longer than its reader's right to it.
    async fn may_read(&self) -> bool {
        let arrival = Arrival {
            reach: self.api.settings.reach,
            certificate: self.reader.certificate.as_deref(),
            ..Arrival::default()
        };
        let reader = &self.reader;
        access::still_admits(&self.api.app, &arrival, &reader.headers, reader.rule).await
    }

    fn end_with(&mut self, error: &Error) -> Option<Event> {
        self.ended = true;
        let event = Event::default().event("error");
        Some(event.data(error.body().to_string()))
    }
}

fn told(event: &Value) -> Event {
    let kind = event.get("type").and_then(Value::as_str);
    Event::default()
        .id(event.get("id").map(Value::to_string).unwrap_or_default())
        .event(kind.unwrap_or("message"))
        .data(event.to_string())
}

fn search(call: &Call) -> Result<EventSearch> {
    let parameters = call.parameters();
    let time = |name: &str| {
        let text = parameters.get(name);
        text.map(|text| self::time(name, text)).transpose()
    };
    let types = parameters.get("types").unwrap_or_default().split(',');
    let types = types.map(str::trim).filter(|word| !word.is_empty());
    Ok(EventSearch {
        after: parameters
            .get("after")
            .filter(|text| !text.is_empty())
            .map(|text| number("after", text))
            .transpose()?,
        from: time("rangeStart")?,
        until: time("rangeEnd")?,
        types: types.map(str::to_owned).collect(),
        limit: match parameters.get("limit") {
            Some(text) => number::<usize>("limit", text)?.min(LARGEST),
            None => LIMIT,
        },
        ..EventSearch::default()
    })
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| wrong(name, "a whole number from 0", text))
}

fn time(name: &str, text: &str) -> Result<DateTime<Utc>> {
    // A `+` of an offset arrives as a space where the caller did not encode it.
    DateTime::parse_from_rfc3339(&text.replace(' ', "+"))
        .map(|time| time.with_timezone(&Utc))
        .map_err(|_| -> Failure { wrong(name, "a time such as 2026-01-31T12:00:00Z", text) })
}
