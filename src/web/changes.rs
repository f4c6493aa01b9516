//! Changes, newest first, by what people ask about them.
use askama::Template;
use axum::extract::State;

use super::{
    Pages, address,
    form::Fields,
    guard::Visit,
    layout::{Layout, page as rendered},
    markup::{self, Markup},
    searches::{self, Kept},
    trouble::{Result, Trouble},
};
use crate::{
    app::{App, ChangeLook, OutcomeIs},
    model::{Container, OperationRecord, Outcome, change::Purpose},
};

/// How many changes a page has.
const PAGE: usize = 40;

#[derive(Template)]
#[template(path = "changes.html")]
struct Changes {
    layout: Layout,
    kept: Kept,
    outcomes: Vec<Choice>,
    mappings: Vec<Choice>,
    connectors: Vec<String>,
    hooks: Vec<String>,
    fields: Shown,
    is_filtered: bool,
    is_rejected: bool,
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
    broke_off: bool,
}

/// An option of a list.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) is_chosen: bool,
}

/// What stands in the filter's fields.
struct Shown {
    object: String,
    target: String,
    hook: String,
    caller: String,
    from: String,
    until: String,
    nested: bool,
}

/// One change in the list.
pub(super) struct Row {
    pub(super) id: Markup,
    pub(super) outcome: Markup,
    pub(super) object: Markup,
    pub(super) kind: &'static str,
    pub(super) purpose: &'static str,
    pub(super) targets: String,
    pub(super) caller: String,
    pub(super) at: Markup,
    pub(super) took: String,
}

/// Shows them.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let app = &pages.app;
    let query = visit.query();
    let look = look(app, query)?;
    let looked = app.look_for_changes(&look, PAGE).await?;
    let filter = query.query_without(&searches::NO_FILTER);
    let page_at = |before: &str| {
        let glue = if filter.is_empty() { "" } else { "&" };
        format!("/ui/changes?{filter}{glue}before={before}")
    };
    let configuration = app.configuration();
    let layout = Layout::new(&visit, "Changes");
    rendered(&Changes {
        // A page further back does not move under its reader.
        layout: if look.before.is_none() {
            layout.live()
        } else {
            layout
        },
        kept: searches::kept(app, &visit, "changes").await?,
        outcomes: outcome_choices(query.get("outcome")),
        mappings: mapping_choices(app, query.get("mapping")),
        connectors: app
            .connectors()
            .iter()
            .map(|name| format!("system/{name}"))
            .collect(),
        hooks: configuration.scripts.keys().cloned().collect(),
        fields: Shown {
            object: query.shown("object"),
            target: query.shown("target"),
            hook: query.shown("hook"),
            caller: query.shown("caller"),
            from: query.shown("from"),
            until: query.shown("until"),
            nested: query.get("nested").is_some(),
        },
        is_filtered: !filter.is_empty(),
        is_rejected: query.get("outcome") == Some("rejected"),
        rows: looked.results.iter().map(row).collect(),
        next: looked.next.map(|id| page_at(&id.0.to_string())),
        first: look
            .before
            .map(|_| address::with_query("/ui/changes", &filter)),
        broke_off: looked.broke_off,
    })
}

/// The list's row of a change.
pub(super) fn row(record: &OperationRecord) -> Row {
    let mut targets: Vec<&str> = Vec::new();
    for write in record
        .writes
        .iter()
        .filter(|write| write.operation.is_some())
    {
        let name = write
            .target
            .strip_prefix("system/")
            .unwrap_or(&write.target);
        let name = name.split('/').next().unwrap_or(name);
        if !targets.contains(&name) {
            targets.push(name);
        }
    }
    Row {
        id: markup::change(record.id),
        outcome: markup::outcome(record),
        object: markup::object(&record.object.to_string()),
        kind: record.kind.as_str(),
        purpose: purpose(record.purpose),
        targets: targets.join(", "),
        caller: record.caller.clone(),
        at: markup::time(record.started_at),
        took: record.ended_at.map_or_else(String::new, |ended| {
            markup::duration(ended - record.started_at)
        }),
    }
}

/// Why a change exists, for people; nothing for what somebody asked for.
pub(super) fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Request => "",
        Purpose::Compensation => "compensation",
        Purpose::FollowUp => "asked for by a hook",
        Purpose::Queued => "from the queue",
        Purpose::Reconciliation => "reconciliation",
    }
}

/// The mappings as options.
pub(super) fn mapping_choices(app: &App, chosen: Option<&str>) -> Vec<Choice> {
    let setup = app.engine().setup();
    let names = setup.mappings.iter().map(|mapping| mapping.name.clone());
    names
        .map(|name| Choice {
            is_chosen: chosen == Some(&name),
            label: name.clone(),
            value: name,
        })
        .collect()
}

fn outcome_choices(chosen: Option<&str>) -> Vec<Choice> {
    let ended = Outcome::ALL
        .into_iter()
        .map(|one| (one.as_str(), one.as_str()));
    let others = [("open", "diverged, still open"), ("running", "running")];
    ended
        .chain(others)
        .map(|(value, label)| Choice {
            value: value.to_owned(),
            label: label.to_owned(),
            is_chosen: chosen == Some(value),
        })
        .collect()
}

fn look(app: &App, query: &Fields) -> Result<ChangeLook> {
    let wrong = |field: &str, expected: &str| {
        let message = format!("The field `{field}` must hold {expected}.");
        Trouble::new(400, message).back_to("/ui/changes")
    };
    let time = |name: &str| match query.get(name) {
        None => Ok(None),
        text => markup::moment_field(text)
            .map(Some)
            .ok_or_else(|| wrong(name, "a time such as 2026-01-31T12:00")),
    };
    let outcome = match query.get("outcome") {
        None => None,
        Some("open") => Some(OutcomeIs::OpenDivergence),
        Some("running") => Some(OutcomeIs::Running),
        Some(word) => {
            let known = Outcome::ALL.into_iter().find(|one| one.as_str() == word);
            Some(OutcomeIs::Ended(
                known.ok_or_else(|| wrong("outcome", "an outcome"))?,
            ))
        }
    };
    let before = match query.get("before") {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| wrong("before", "the id of a change"))?,
        ),
    };
    Ok(ChangeLook {
        outcome,
        objects: query
            .get("object")
            .map(|text| objects(app, text))
            .unwrap_or_default(),
        mapping: query.text("mapping"),
        target: query
            .get("target")
            .map(|name| match name.strip_prefix("system/") {
                Some(_) => name.trim_end_matches('/').to_owned(),
                None => format!("system/{name}"),
            }),
        hook: query.text("hook"),
        caller: query.text("caller"),
        nested: query.get("nested").is_some(),
        from: time("from")?,
        until: time("until")?,
        before,
    })
}

/// The objects that somebody means: a whole name, or an id that any type may have.
fn objects(app: &App, text: &str) -> Vec<String> {
    if text.starts_with("managed/") || text.starts_with("system/") {
        return vec![text.to_owned()];
    }
    let setup = app.engine().setup();
    let types = setup.types.keys().map(|name| Container::managed(name));
    let mut sources: Vec<Container> = types.collect();
    for mapping in &setup.mappings {
        if !sources.contains(&mapping.source) {
            sources.push(mapping.source.clone());
        }
    }
    sources
        .iter()
        .map(|source| source.object(text).to_string())
        .collect()
}
