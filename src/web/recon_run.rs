//! One reconciliation: its situations, and the records behind each.
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    Pages, address,
    guard::{Visit, redirect},
    layout::{Layout, page as rendered},
    markup::{self, Markup},
    recon, rights,
    sides::Sides,
    trouble::{Result, Trouble},
};
use crate::{
    app::{Count, Search},
    model::{
        Filter,
        filter::Operator,
        pointer::Pointer,
        recon::{Entry, Run, RunState, Status},
    },
};

/// How many records a page has.
const PAGE: usize = 30;
/// How much of the page attribute tables may fill, in bytes.
const ROOM: usize = 48_000;

#[derive(Template)]
#[template(path = "recon_run.html")]
struct Page {
    layout: Layout,
    id: String,
    mapping: String,
    state: Markup,
    what: String,
    stage: &'static str,
    caller: String,
    began: Markup,
    took: String,
    progress: Option<(u64, u64)>,
    remaining: String,
    message: Option<String>,
    held: u64,
    may_act: bool,
    is_active: bool,
    waits: bool,
    situations: Vec<Situation>,
    counts: Vec<(&'static str, String)>,
    chosen: String,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Situation {
    name: String,
    count: String,
    address: String,
    is_here: bool,
}

struct Row {
    source: String,
    source_address: Option<String>,
    target: String,
    situation: String,
    action: String,
    status: Markup,
    change: Option<Markup>,
    message: Option<String>,
    sides: Option<Markup>,
}

/// Shows it.
pub(super) async fn page(State(pages): State<Pages>, id: Path<String>, visit: Visit) -> Result {
    let app = &pages.app;
    let id = recon::known(&id)?;
    let run = app.recon(id).await?;
    let chosen = visit.query().shown("situation");
    let search = Search {
        filter: match chosen.as_str() {
            "" => Filter::Literal(true),
            situation => Filter::Compare {
                field: Pointer::attribute("situation"),
                operator: Operator::Equal,
                value: situation.into(),
            },
        },
        sort: Vec::new(),
        page_size: Some(PAGE),
        cookie: visit.query().text("after"),
        offset: 0,
        count: Count::None,
    };
    let found = app.recon_entries(id, &search).await?;
    let setup = app.engine().setup();
    let mapping = setup
        .mappings
        .iter()
        .find(|mapping| mapping.name == run.mapping);
    let source = mapping.map(|mapping| mapping.source.to_string());
    let target = mapping.map(|mapping| mapping.target.to_string());
    let veil = visit.veil();
    let mut room = ROOM;
    let rows = found.results.into_iter().map(|entry| {
        let (before, after) = (entry.before.as_ref(), entry.after.as_ref());
        let changed = target.as_deref().map_or_else(Vec::new, |target| {
            veil.changed_unseen(target, before, after)
        });
        let entry = veil.finding(target.as_deref(), entry);
        row(&entry, &changed, source.as_deref(), &mut room)
    });
    let rows = rows.collect();
    let next = found.cookie.map(|cookie| {
        let (situation, cookie) = (address::encoded(&chosen), address::encoded(&cookie));
        format!("/ui/recon/{id}?situation={situation}&after={cookie}")
    });
    let page = Page {
        rows,
        next,
        ..of_run(&run, &visit, chosen)
    };
    rendered(&page)
}

/// Stops it behind the records that it is at.
pub(super) async fn cancel(
    State(pages): State<Pages>,
    id: Path<String>,
    visit: Visit,
) -> Result<Response> {
    let id = recon::known(&id)?;
    let address = format!("/ui/recon/{id}");
    let canceled = pages.app.cancel_recon(id, visit.by()).await;
    canceled.map_err(|error| Trouble::from(error).back_to(&address))?;
    Ok(redirect(&format!("{address}?done=cancel")))
}

/// Carries out the deletions that it held back.
pub(super) async fn approve(
    State(pages): State<Pages>,
    id: Path<String>,
    visit: Visit,
) -> Result<Response> {
    let id = recon::known(&id)?;
    let approved = pages.app.approve_recon(id, visit.caller()).await;
    let run = approved.map_err(|error| Trouble::from(error).back_to(format!("/ui/recon/{id}")))?;
    Ok(redirect(&format!("/ui/recon/{}?done=approved", run.id)))
}

/// The page without the records.
fn of_run(run: &Run, visit: &Visit, chosen: String) -> Page {
    let counts = &run.counts;
    let layout = Layout::new(visit, format!("Reconciliation of {}", run.mapping));
    let is_active = run.state == RunState::Active;
    let known = counts.sources.map(|sources| {
        let all = sources + counts.targets.unwrap_or_default();
        (counts.sources_processed + counts.targets_processed, all)
    });
    let named = [
        ("created", counts.created),
        ("updated", counts.updated),
        ("deleted", counts.deleted),
        ("held back", counts.held),
        ("failed", counts.failures),
        ("unchanged", counts.unchanged),
        ("links set", counts.links_created),
    ];
    Page {
        layout: if is_active { layout.ticking() } else { layout },
        id: run.id.to_string(),
        mapping: run.mapping.clone(),
        state: recon::state(run),
        what: recon::what(run),
        stage: run.stage.description(),
        caller: run.caller.clone(),
        began: markup::time(run.started),
        took: markup::milliseconds(i64::try_from(run.worked_ms).unwrap_or(i64::MAX)),
        progress: known.filter(|(_, all)| *all > 0 && is_active),
        remaining: run.remaining_seconds().map_or_else(String::new, |seconds| {
            let left = i64::try_from(seconds).unwrap_or(i64::MAX / 1_000);
            format!(
                "about {} left",
                markup::milliseconds(left.saturating_mul(1_000))
            )
        }),
        message: run
            .message
            .as_deref()
            .map(|text| visit.veil().text(None, text)),
        held: counts.held,
        may_act: visit.may(rights::ADMIN),
        is_active,
        waits: counts.held > 0
            && run.approved_by.is_none()
            && run.ended.is_some()
            && !run.wanted.dry_run,
        situations: situations(run, &chosen),
        counts: named
            .map(|(name, count)| (name, markup::count(count)))
            .into(),
        chosen,
        rows: Vec::new(),
        next: None,
    }
}

fn situations(run: &Run, chosen: &str) -> Vec<Situation> {
    let found = run.counts.situations.iter();
    found
        .map(|(situation, count)| {
            let name = markup::word(situation);
            Situation {
                count: markup::count(*count),
                address: format!("/ui/recon/{}?situation={name}", run.id),
                is_here: name == chosen,
                name,
            }
        })
        .collect()
}

fn row(entry: &Entry, changed: &[String], source: Option<&str>, room: &mut usize) -> Row {
    let sides = (entry.before.is_some() || entry.after.is_some()).then(|| {
        Sides::new(
            "The target before and after",
            entry.before.as_ref(),
            entry.after.as_ref(),
        )
        .with_changed(changed)
        .to_string()
    });
    let sides = sides.filter(|text| match room.checked_sub(text.len()) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    });
    let id = entry.source_object_id.as_deref();
    Row {
        source: id.unwrap_or("–").to_owned(),
        source_address: source
            .zip(id)
            .and_then(|(source, id)| address::object(&format!("{source}/{id}"))),
        target: entry
            .target_object_id
            .clone()
            .unwrap_or_else(|| "–".to_owned()),
        situation: entry.situation.map(markup::word).unwrap_or_default(),
        action: entry.action.map(markup::word).unwrap_or_default(),
        status: match entry.status {
            Status::Success => markup::badge("good", "done"),
            Status::Failure => markup::badge("bad", "failed"),
            Status::Unknown => markup::badge("bad", "unknown"),
            Status::Held => markup::badge("warn", "held back"),
        },
        change: entry.change.map(markup::change),
        message: entry.message.as_deref().map(|text| markup::cut(text, 400)),
        sides: sides.map(Markup::trusted),
    }
}
