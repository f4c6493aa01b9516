//! The audit trail: searched newest first, taken away whole, and verified.
use askama::Template;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderValue,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::Response,
};
use futures::stream;
use serde_json::Value;

use super::{
    Pages, address,
    changes::Choice,
    form::Fields,
    guard::{Visit, redirect},
    layout::{Layout, page as rendered},
    markup::{self, Markup, at},
    searches::{self, Kept},
    sides::Sides,
    trouble::{Result, Trouble},
};
use crate::{
    app::{
        App, AuditLook, Count, Error, Search,
        export::{AUDIT_COLUMNS, csv, csv_head, json_lines},
    },
    model::{
        Filter, Object, Outcome,
        audit::{ChainedEntry, Topic},
        filter::Operator,
        pointer::Pointer,
    },
};

/// How many entries a page has.
const PAGE: usize = 40;
/// How many entries of an export are held at once.
const PART: usize = 500;
/// How much of the page the entries' details may fill, in bytes.
const ROOM: usize = 52_000;
/// What stands in the entry's own line or beside it.
const TOLD: [&str; 3] = ["eventName", "before", "after"];

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    layout: Layout,
    kept: Kept,
    topics: Vec<Choice>,
    outcomes: Vec<Choice>,
    fields: Shown,
    is_filtered: bool,
    walk: Option<Walk>,
    failed: Option<String>,
    verified: Option<Verified>,
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
    broke_off: bool,
    export: String,
}

struct Shown {
    event: String,
    user: String,
    text: String,
    operation: String,
    transaction: String,
    from: String,
    until: String,
}

/// A walk along the chain that is under way.
struct Walk {
    position: i64,
    last: i64,
    told: String,
}

/// What the last walk along the chain found.
struct Verified {
    at: String,
    entries: String,
    broken: Option<String>,
    unproven: Vec<String>,
}

struct Row {
    position: i64,
    at: Markup,
    topic: &'static str,
    event: String,
    user: String,
    what: Markup,
    status: Markup,
    facts: Vec<(String, String)>,
    sides: Option<Markup>,
    change: Option<Markup>,
}

/// Begins to walk along the chain, beside everything else; the page tells how that stands.
pub(super) async fn verify(State(pages): State<Pages>, _visit: Visit) -> Result {
    pages.app.begin_verification();
    Ok(redirect("/ui/audit?done=verify"))
}

fn walk(app: &App) -> Option<Walk> {
    let progress = app.verification_progress()?;
    let count = |position: i64| markup::count(position.unsigned_abs());
    Some(Walk {
        position: progress.position,
        last: progress.last,
        told: format!("{} of {}", count(progress.position), count(progress.last)),
    })
}

fn verified(app: &App) -> Option<Verified> {
    let told = app.last_verification()?;
    let broken = told.get("broken").filter(|broken| !broken.is_null());
    let when = at(&told, "/at").as_str().unwrap_or_default();
    Some(Verified {
        at: when.get(..19).unwrap_or(when).replace('T', " "),
        entries: markup::count(at(&told, "/entries").as_u64().unwrap_or_default()),
        broken: broken.map(|broken| {
            let members = broken.as_object().into_iter().flatten();
            let words =
                members.map(|(name, value)| format!("{name} {}", markup::value(value, 200)));
            words.collect::<Vec<_>>().join(", ")
        }),
        unproven: told
            .get("unproven")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    })
}

/// Shows the trail.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let visit = &visit;
    let app = &pages.app;
    let query = visit.query();
    let look = look(query)?;
    let looked = app
        .look_for_entries_behind(visit.veil(), &look, PAGE)
        .await?;
    let filter = query.query_without(&searches::NO_FILTER);
    let glue = if filter.is_empty() { "" } else { "&" };
    let mut room = ROOM;
    let rows = looked.results.iter().map(|entry| row(entry, &mut room));
    let layout = Layout::new(visit, "Audit");
    let walk = walk(app);
    let page = Audit {
        rows: rows.collect(),
        layout: match (&walk, &look.before) {
            (Some(_), _) => layout.ticking(),
            (None, None) => layout.live(),
            (None, Some(_)) => layout,
        },
        walk,
        failed: app.verification_failure(),
        verified: verified(app),
        kept: searches::kept(app, visit, "audit").await?,
        topics: topics(look.topic),
        outcomes: outcomes(look.outcome),
        fields: Shown {
            event: query.shown("event"),
            user: query.shown("user"),
            text: query.shown("text"),
            operation: query.shown("operation"),
            transaction: query.shown("transaction"),
            from: query.shown("from"),
            until: query.shown("until"),
        },
        is_filtered: !filter.is_empty(),
        next: looked
            .next
            .map(|at| format!("/ui/audit?{filter}{glue}before={at}")),
        first: look
            .before
            .map(|_| address::with_query("/ui/audit", &filter)),
        broke_off: looked.broke_off,
        export: format!("/ui/audit/export?{filter}{glue}format="),
    };
    rendered(&page)
}

fn topics(chosen: Option<Topic>) -> Vec<Choice> {
    let one = |topic: Topic| Choice {
        value: topic.as_str().to_owned(),
        label: topic.as_str().to_owned(),
        is_chosen: chosen == Some(topic),
    };
    Topic::ALL.into_iter().map(one).collect()
}

fn outcomes(chosen: Option<Outcome>) -> Vec<Choice> {
    let one = |outcome: Outcome| Choice {
        value: outcome.as_str().to_owned(),
        label: outcome.as_str().to_owned(),
        is_chosen: chosen == Some(outcome),
    };
    Outcome::ALL.into_iter().map(one).collect()
}

fn look(query: &Fields) -> Result<AuditLook> {
    let wrong = |field: &str| {
        let message = format!("The field `{field}` cannot be read.");
        Trouble::new(400, message).back_to("/ui/audit")
    };
    let time = |name: &str| match query.get(name) {
        None => Ok(None),
        text => markup::moment_field(text)
            .map(Some)
            .ok_or_else(|| wrong(name)),
    };
    let topic = match query.get("topic") {
        None => None,
        Some(word) => Some(Topic::parse(word).ok_or_else(|| wrong("topic"))?),
    };
    let outcome = match query.get("outcome") {
        None => None,
        Some(word) => {
            let known = Outcome::ALL.into_iter().find(|one| one.as_str() == word);
            Some(known.ok_or_else(|| wrong("outcome"))?)
        }
    };
    let before = match query.get("before") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| wrong("before"))?),
    };
    Ok(AuditLook {
        topic,
        event: query.text("event"),
        outcome,
        user: query.text("user"),
        text: query.text("text"),
        operation: query.text("operation"),
        transaction: query.text("transaction"),
        from: time("from")?,
        until: time("until")?,
        before,
    })
}

fn row(entry: &ChainedEntry, room: &mut usize) -> Row {
    let body = &entry.entry.body;
    let text = |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default();
    let object = |member: &str| body.get(member).and_then(Value::as_object);
    let named = [
        "objectId",
        "targetObjectId",
        "sourceObjectId",
        "mapping",
        "request",
    ];
    let what = named.into_iter().map(text).find(|text| !text.is_empty());
    let sides = (object("before").is_some() || object("after").is_some()).then(|| {
        Sides::new("Before and after", object("before"), object("after"))
            .with_changed(&changed_fields(body))
            .to_string()
    });
    let facts = facts(body);
    let size = facts
        .iter()
        .map(|(name, value)| name.len() + value.len() + 40)
        .sum::<usize>()
        + sides.as_ref().map_or(0, String::len);
    let fits = room.checked_sub(size);
    *room = fits.unwrap_or(*room);
    Row {
        position: entry.position,
        at: markup::time(entry.entry.timestamp),
        topic: entry.entry.topic.as_str(),
        event: text("eventName").to_owned(),
        user: text("userId").to_owned(),
        what: what.map(markup::object).unwrap_or_default(),
        status: status(body),
        facts: if fits.is_some() { facts } else { Vec::new() },
        sides: sides.filter(|_| fits.is_some()).map(Markup::trusted),
        change: entry
            .entry
            .operation
            .filter(|_| entry.entry.topic != Topic::Access)
            .map(|id| markup::change(crate::model::OperationId(id))),
    }
}

fn status(body: &Object) -> Markup {
    let text = |member: &str| body.get(member).and_then(Value::as_str);
    match (text("outcome"), text("status")) {
        (Some("synced"), _) => markup::badge("good", "synced"),
        (Some("diverged"), _) => markup::badge("bad", "diverged"),
        (Some(outcome), _) => markup::badge("warn", outcome),
        (None, Some("SUCCESS" | "SUCCESSFUL")) => markup::badge("good", "success"),
        (None, Some("FAILURE" | "FAILED")) => markup::badge("bad", "failure"),
        (None, Some(word)) => markup::badge("mild", word),
        (None, None) => Markup::default(),
    }
}

fn facts(body: &Object) -> Vec<(String, String)> {
    let others = body
        .iter()
        .filter(|(name, value)| !TOLD.contains(&name.as_str()) && !value.is_null());
    others
        .map(|(name, value)| (name.clone(), markup::value(value, 400)))
        .collect()
}

/// The attributes that the entry says changed, be their values shown or not.
fn changed_fields(body: &Object) -> Vec<String> {
    let listed = body.get("changedFields").and_then(Value::as_array);
    let names = listed.into_iter().flatten().filter_map(Value::as_str);
    names
        .map(|name| name.trim_start_matches('/').to_owned())
        .collect()
}

/// Where an export stands.
struct Export {
    app: App,
    visit: Visit,
    topic: Option<Topic>,
    text: Option<String>,
    search: Search,
    is_csv: bool,
    begun: bool,
    over: bool,
}

/// Sends every entry that the filter finds, oldest first, part by part.
pub(super) async fn export(State(pages): State<Pages>, visit: Visit) -> Result {
    let query = visit.query();
    let look = look(query)?;
    let is_csv = match query.get("format") {
        Some("csv") => true,
        None | Some("jsonl") => false,
        Some(_) => {
            return Err(Trouble::new(400, "The format must be csv or jsonl.").back_to("/ui/audit"));
        }
    };
    let export = Export {
        app: pages.app.clone(),
        visit: visit.clone(),
        topic: look.topic,
        text: look.text.clone(),
        search: Search {
            filter: filter(&look),
            sort: Vec::new(),
            page_size: Some(PART),
            cookie: None,
            offset: 0,
            count: Count::None,
        },
        is_csv,
        begun: false,
        over: false,
    };
    let parts = stream::try_unfold(export, |mut export| async move {
        let part = export.part().await?;
        Ok::<_, Error>(part.map(|part| (part, export)))
    });
    let (kind, name) = match is_csv {
        true => (
            "text/csv; charset=utf-8",
            "attachment; filename=\"audit.csv\"",
        ),
        false => (
            "application/x-ndjson",
            "attachment; filename=\"audit.jsonl\"",
        ),
    };
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    Ok(response)
}

impl Export {
    async fn part(&mut self) -> std::result::Result<Option<Bytes>, Error> {
        if self.over {
            return Ok(None);
        }
        let found = self.app.audit(self.topic, &self.search).await?;
        self.over = found.cookie.is_none();
        self.search.cookie = found.cookie;
        let holds = |value: &Value| {
            let text = self.text.as_deref();
            text.is_none_or(|text| value.to_string().contains(text))
        };
        let entries = found
            .results
            .iter()
            .map(|entry| self.visit.veil().document(None, entry.to_value()))
            .filter(holds);
        let head = match self.is_csv && !std::mem::replace(&mut self.begun, true) {
            true => csv_head(&AUDIT_COLUMNS),
            false => Vec::new(),
        };
        let lines = match self.is_csv {
            true => csv(&AUDIT_COLUMNS, entries),
            false => json_lines(entries),
        };
        Ok(Some([head, lines].concat().into()))
    }
}

/// The look as a filter of the API; a text that may stand anywhere is looked for afterwards.
fn filter(look: &AuditLook) -> Filter {
    let compare = |name: &str, operator: Operator, value: String| Filter::Compare {
        field: Pointer::attribute(name),
        operator,
        value: value.into(),
    };
    let equal = |name: &str, value: &Option<String>| {
        value
            .clone()
            .map(|value| compare(name, Operator::Equal, value))
    };
    let time =
        |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let parts = [
        equal("eventName", &look.event),
        equal(
            "outcome",
            &look.outcome.map(|outcome| outcome.as_str().to_owned()),
        ),
        equal("userId", &look.user),
        equal("operation", &look.operation),
        equal("transactionId", &look.transaction),
        look.from
            .map(|at| compare("timestamp", Operator::GreaterOrEqual, time(at))),
        look.until
            .map(|at| compare("timestamp", Operator::LessOrEqual, time(at))),
    ];
    Filter::And(parts.into_iter().flatten().collect())
}
