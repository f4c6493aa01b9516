//! Integration events in and out, deliveries, and what waits: looking, trying again, giving up.
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::Value;

use super::{
    Pages, address,
    changes::Choice,
    guard::{Visit, redirect},
    layout::{Layout, page as rendered},
    markup::{self, Markup, at, member},
    rights,
    trouble::{Result, Trouble},
};
use crate::{
    app::{App, Count, Found, Search, SortKey},
    model::{
        Filter,
        filter::Operator,
        integration::{State as EventState, rules::Request},
        pointer::Pointer,
    },
};

/// How many events a page has.
const PAGE: usize = 40;

#[derive(Template)]
#[template(path = "queue.html")]
struct Queue {
    layout: Layout,
    stuck: Vec<Stuck>,
    connectors: Vec<(String, String)>,
    subscriptions: Vec<(String, String)>,
    rows: Vec<Row>,
    more: bool,
}

struct Stuck {
    name: String,
    direction: String,
    errored: u64,
    dead: u64,
    address: String,
}

#[derive(Template)]
#[template(path = "queue_list.html")]
struct List {
    layout: Layout,
    title: String,
    home: String,
    states: Vec<Choice>,
    may_act: bool,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    id: String,
    state: Markup,
    direction: String,
    external: String,
    record: Markup,
    kind: String,
    mapping: String,
    attempts: u64,
    at: String,
    next_at: String,
    error: String,
    why: String,
    change: Option<Markup>,
    can_retry: bool,
    can_cancel: bool,
}

/// Shows what is stuck, what waits to go out, and the way to each list.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let app = &pages.app;
    let stuck = app.stuck_events().await?;
    let waiting = app.queue(&search(&visit, "", PAGE)?).await?;
    let link = |way: &str, name: &str| format!("/ui/queue/{way}/{}", address::encoded(name));
    let configuration = app.configuration();
    let subscriptions = configuration.subscriptions.keys();
    rendered(&Queue {
        layout: Layout::new(&visit, "Queue").ticking(),
        stuck: stuck
            .into_iter()
            .map(|one| Stuck {
                address: match one.direction.as_str() {
                    "delivery" => link("deliveries", &one.connector),
                    _ => link("events", &one.connector),
                } + "?state=errored",
                name: one.connector,
                direction: one.direction,
                errored: one.errored,
                dead: one.dead,
            })
            .collect(),
        connectors: app
            .connectors()
            .into_iter()
            .map(|name| (link("events", &name), name))
            .collect(),
        subscriptions: subscriptions
            .map(|name| (link("deliveries", name), name.clone()))
            .collect(),
        rows: rows(&visit, waiting.results),
        more: waiting.cookie.is_some(),
    })
}

/// Shows the events of a connector, or the deliveries to a subscription, newest first.
pub(super) async fn list(
    State(pages): State<Pages>,
    Path((way, name)): Path<(String, String)>,
    visit: Visit,
) -> Result {
    let state = visit.query().shown("state");
    let search = search(&visit, &state, PAGE)?;
    let found = found(&pages.app, &way, &name, &search).await?;
    let home = format!("/ui/queue/{way}/{}", address::encoded(&name));
    let what = if way == "deliveries" {
        "Deliveries to"
    } else {
        "Events of"
    };
    let layout = Layout::new(&visit, format!("{what} {name}"));
    rendered(&List {
        layout: if search.cookie.is_none() {
            layout.ticking()
        } else {
            layout
        },
        title: format!("{what} {name}"),
        states: EventState::ALL
            .into_iter()
            .map(|one| Choice {
                value: one.as_str().to_owned(),
                label: one.as_str().to_owned(),
                is_chosen: one.as_str() == state,
            })
            .collect(),
        may_act: visit.may(rights::HOOKS),
        rows: rows(&visit, found.results),
        next: found
            .cookie
            .map(|cookie| format!("{home}?state={state}&after={}", address::encoded(&cookie))),
        home,
    })
}

/// Tries an event again, or gives it up.
pub(super) async fn act(
    State(pages): State<Pages>,
    Path((way, name, id)): Path<(String, String, String)>,
    visit: Visit,
) -> Result<Response> {
    let home = format!("/ui/queue/{way}/{}", address::encoded(&name));
    let id = id
        .parse()
        .map_err(|_| Trouble::new(404, format!("There is no event `{id}`.")))?;
    let (request, done) = match visit.form().get("action") {
        Some("cancel") => (Request::Cancel, "canceled"),
        _ => (Request::Retry, "retry"),
    };
    let app = &pages.app;
    let by = visit.by();
    let moved = match way.as_str() {
        "deliveries" => app.move_delivery(&name, id, request, by).await.map(|_| ()),
        _ => app
            .move_integration(&name, id, request, by)
            .await
            .map(|_| ()),
    };
    moved.map_err(|error| Trouble::from(error).back_to(&home))?;
    let state = address::encoded(visit.form().get("state").unwrap_or_default());
    Ok(redirect(&format!("{home}?state={state}&done={done}")))
}

async fn found(app: &App, way: &str, name: &str, search: &Search) -> Result<Found<Value>> {
    match way {
        "events" => Ok(app.integrations(name, search).await?),
        "deliveries" => Ok(app.deliveries(name, search).await?),
        _ => Err(Trouble::new(404, "There is no such page.")),
    }
}

fn search(visit: &Visit, state: &str, size: usize) -> Result<Search> {
    let known = state.is_empty() || EventState::ALL.iter().any(|one| one.as_str() == state);
    if !known {
        return Err(Trouble::new(400, "There is no such state.").back_to("/ui/queue"));
    }
    Ok(Search {
        filter: match state {
            "" => Filter::Literal(true),
            state => Filter::Compare {
                field: Pointer::attribute("state"),
                operator: Operator::Equal,
                value: state.into(),
            },
        },
        sort: vec![SortKey {
            field: Pointer::attribute("_id"),
            descending: true,
            texts: crate::model::filter::Texts::Exact,
        }],
        page_size: Some(size),
        cookie: visit.query().text("after"),
        offset: 0,
        count: Count::None,
    })
}

/// The events as the visitor sees them.
fn rows(visit: &Visit, events: Vec<Value>) -> Vec<Row> {
    let seen = events
        .into_iter()
        .map(|event| visit.veil().document(None, event));
    seen.map(|event| row(&event)).collect()
}

fn row(event: &Value) -> Row {
    let text = |name: &str| member(event, name).as_str().unwrap_or_default().to_owned();
    let state = text("state");
    let dead = state == "errored" && at(event, "/nextAttemptAt").is_null();
    let (tone, word) = match state.as_str() {
        "errored" if dead => ("bad", "dead letter"),
        "errored" => ("warn", "failed"),
        "completed" => ("good", "completed"),
        "queued" | "processing" => ("run", state.as_str()),
        other => ("mild", other),
    };
    let record = match (
        at(event, "/recordType").as_str(),
        at(event, "/recordId").as_str(),
    ) {
        (Some(kind), Some(id)) => {
            let kind = kind.trim_start_matches("managed/");
            markup::object(&format!("managed/{kind}/{id}"))
        }
        _ => Markup::default(),
    };
    let why = ["canceledBy", "duplicateOf", "ignoredForId"]
        .iter()
        .find_map(|name| Some(format!("{name} {}", member(event, name).as_str()?)));
    Row {
        id: text("_id"),
        state: markup::badge(tone, word),
        direction: text("direction"),
        external: markup::cut(&text("integrationExternalId"), 120),
        record,
        kind: text("kind"),
        mapping: text("mapping"),
        attempts: at(event, "/attempts").as_u64().unwrap_or_default(),
        at: seconds(&text("createdAt")),
        next_at: seconds(&text("nextAttemptAt")),
        error: markup::cut(&text("lastError"), 300),
        why: why.unwrap_or_default(),
        change: at(event, "/operation")
            .as_str()
            .and_then(|id| id.parse().ok())
            .map(markup::change),
        can_retry: ["errored", "canceled", "disabled"].contains(&state.as_str()),
        can_cancel: ["errored", "queued"].contains(&state.as_str()),
    }
}

/// A time to the second.
fn seconds(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}
