//! Reconciliations: how they went, where partial syncs stand, and starting one.
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    Pages,
    changes::{Choice, mapping_choices},
    guard::{Visit, redirect},
    layout::{Layout, page as rendered},
    markup::{self, Markup},
    rights,
    trouble::{Result, Trouble},
};
use crate::{
    app::App,
    model::recon::{Mode, Run, RunState, Syncable, Wanted},
};

/// How many runs are listed.
const LISTED: usize = 40;

#[derive(Template)]
#[template(path = "recon.html")]
struct Recons {
    layout: Layout,
    mappings: Vec<Choice>,
    chosen: String,
    may_start: bool,
    runs: Vec<Row>,
    syncs: Vec<Sync>,
}

struct Row {
    id: String,
    mapping: String,
    state: Markup,
    what: String,
    counts: String,
    processed: String,
    caller: String,
    began: Markup,
    took: String,
}

struct Sync {
    name: String,
    through: String,
    next: String,
    quarantine: Option<String>,
}

/// Shows them.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let app = &pages.app;
    let mapping = visit.query().get("mapping");
    let runs = app.recons(mapping).await?;
    rendered(&Recons {
        layout: Layout::new(&visit, "Reconciliation").ticking(),
        mappings: mapping_choices(app, mapping),
        chosen: visit.query().shown("mapping"),
        may_start: visit.may(rights::ADMIN),
        runs: runs.iter().take(LISTED).map(row).collect(),
        syncs: syncs(app, &visit).await?,
    })
}

/// Starts one.
pub(super) async fn start(State(pages): State<Pages>, visit: Visit) -> Result<Response> {
    let form = visit.form();
    let mapping = form.text("mapping");
    let mapping =
        mapping.ok_or_else(|| Trouble::new(400, "Choose a mapping.").back_to("/ui/recon"))?;
    let mut wanted = Wanted::full(&mapping);
    wanted.dry_run = form.get("dryRun").is_some();
    wanted.force = form.get("force").is_some();
    if form.get("mode") == Some("updatedAt") {
        wanted.mode = Mode::UpdatedAt;
    }
    let ids = form.get("ids").unwrap_or_default().split_whitespace();
    wanted.ids = ids.map(str::to_owned).collect();
    let started = pages
        .app
        .start_recon(wanted, visit.caller(), visit.transaction_id())
        .await;
    let run = started.map_err(|error| Trouble::from(error).back_to("/ui/recon"))?;
    Ok(redirect(&format!("/ui/recon/{}?done=started", run.id)))
}

fn row(run: &Run) -> Row {
    Row {
        id: run.id.to_string(),
        mapping: run.mapping.clone(),
        state: state(run),
        what: what(run),
        counts: counts(run),
        processed: markup::count(run.processed()),
        caller: run.caller.clone(),
        began: markup::time(run.started),
        took: markup::milliseconds(i64::try_from(run.worked_ms).unwrap_or(i64::MAX)),
    }
}

/// How a run stands.
pub(super) fn state(run: &Run) -> Markup {
    match run.state {
        RunState::Active => markup::badge("run", "under way"),
        RunState::Success if run.counts.failures > 0 => {
            markup::badge("warn", "done, with failures")
        }
        RunState::Success => markup::badge("good", "done"),
        RunState::Failed => markup::badge("bad", "failed"),
        RunState::Canceled => markup::badge("mild", "canceled"),
    }
}

/// What a run was asked to do.
pub(super) fn what(run: &Run) -> String {
    let wanted = &run.wanted;
    let mut words = Vec::new();
    match (&wanted.mode, wanted.ids.len()) {
        (_, 1..) => words.push("single records"),
        (Mode::UpdatedAt, _) => words.push("what changed"),
        (Mode::Full, _) => words.push("everything"),
    }
    if wanted.dry_run {
        words.push("dry run");
    }
    if wanted.force {
        words.push("forced");
    }
    words.join(", ")
}

fn counts(run: &Run) -> String {
    let counts = &run.counts;
    let named = [
        (counts.created, "created"),
        (counts.updated, "updated"),
        (counts.deleted, "deleted"),
        (counts.held, "held back"),
        (counts.failures, "failed"),
        (counts.unchanged, "unchanged"),
    ];
    let some = named.into_iter().filter(|(count, _)| *count > 0);
    let texts = some.map(|(count, name)| format!("{} {name}", markup::count(count)));
    texts.collect::<Vec<_>>().join(", ")
}

async fn syncs(app: &App, visit: &Visit) -> Result<Vec<Sync>> {
    let syncables = app.syncables().await?;
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(
            || "–".to_owned(),
            |at| at.format("%Y-%m-%d %H:%M:%S").to_string(),
        )
    };
    let one = |one: Syncable| Sync {
        through: time(one.data_synced_through),
        next: time(one.next_at),
        quarantine: one.quarantined_until.map(|until| {
            let why = one.quarantined_because.unwrap_or_default();
            let why = visit.veil().text(None, &why);
            format!("until {}: {why}", until.format("%Y-%m-%d %H:%M"))
        }),
        name: one.name,
    };
    Ok(syncables.into_iter().map(one).collect())
}

/// The id in an address.
pub(super) fn known(Path(id): &Path<String>) -> Result<uuid::Uuid> {
    id.parse()
        .map_err(|_| Trouble::new(404, format!("There is no reconciliation `{id}`.")))
}
