//! One change as a timeline: what was asked, planned, written and decided, its compensation under it,
//! and how it ended; for a diverged one, what to do about it.
use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    Pages, address, changes,
    guard::{Visit, redirect},
    layout::{Layout, page as rendered},
    markup::{self, Markup},
    rights,
    sides::Sides,
    trouble::{Result, Trouble},
};
use crate::{
    app::{App, Error, Veil},
    model::{
        OperationId, OperationRecord,
        record::{Divergence, FollowUpRecord, HookRun, WriteRecord},
    },
};

/// How much of the page attribute tables may fill, in bytes; what is beyond is in the API.
const ROOM: usize = 48_000;
/// How many nested changes are shown whole.
const NESTED: usize = 6;
/// How many nested changes are named.
const NAMED: usize = 40;
/// How many sentences of its story are told.
const SENTENCES: usize = 40;
/// How long it may take to find the story.
const STORY_TIME: Duration = Duration::from_secs(2);
/// How many log lines of a hook are shown.
const LOGGED: usize = 40;

#[derive(Template)]
#[template(path = "change.html")]
struct Change {
    layout: Layout,
    story: Story,
    head: Head,
    divergences: Vec<Differs>,
    /// The story in plain sentences, each with how deep it is nested.
    sentences: Vec<(usize, String)>,
    is_open: bool,
    may_end: bool,
}

/// What stands above the timeline.
struct Head {
    id: String,
    outcome: Markup,
    kind: &'static str,
    object: Markup,
    caller: String,
    began: Markup,
    took: String,
    transaction: String,
    transaction_address: String,
    entries_address: String,
    parent: Option<Markup>,
}

/// A target that does not hold what it should.
struct Differs {
    mapping: String,
    target: String,
    message: String,
    sides: Markup,
}

/// One change from its request to its end; escaped already.
#[derive(Template)]
#[template(path = "story.html")]
struct Story {
    request: String,
    revision: Option<String>,
    began: Markup,
    before: Vec<Hook>,
    writes: Vec<Write>,
    planned: usize,
    attempt: u32,
    after: Vec<Hook>,
    /// Those that ran once the compensation had failed.
    last: Vec<Hook>,
    nested: Vec<Nested>,
    others: Vec<Markup>,
    follow_ups: Vec<FollowUp>,
    end: End,
}

impl askama::filters::HtmlSafe for Story {}

struct Write {
    mapping: String,
    target: String,
    situation: String,
    action: String,
    operation: String,
    result: Markup,
    attempts: u32,
    took: String,
    cause: Option<String>,
    sides: Option<Markup>,
}

struct Hook {
    hook: String,
    script: String,
    address: Option<String>,
    digest: String,
    verdict: Markup,
    error: Option<String>,
    log: Vec<String>,
    took: String,
    compensating: bool,
}

struct Nested {
    title: String,
    outcome: Markup,
    id: Markup,
    story: Box<Story>,
}

struct FollowUp {
    what: String,
    id: Markup,
    outcome: String,
    error: Option<String>,
}

struct End {
    outcome: Markup,
    at: Option<Markup>,
    error: Option<String>,
    notes: Vec<String>,
}

/// Shows it.
pub(super) async fn page(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result {
    let app = &pages.app;
    let record = match app.operation(known(&id)?).await {
        // What was rejected before anything was stored has no record, but entries.
        Err(error) if error.code == 404 && visit.is_auditor() => {
            return Ok(redirect(&format!(
                "/ui/audit?operation={}",
                address::encoded(&id)
            )));
        }
        found => found?,
    };
    if !visit.is_auditor() && record.caller != visit.caller() {
        let message = format!(
            "`{}` may only see changes that it asked for.",
            visit.caller()
        );
        return Err(Trouble::denied(403, message));
    }
    let mut room = ROOM;
    let seen = Seen::of(visit.veil(), record);
    let record = &seen.record;
    let divergences = record
        .diverged
        .iter()
        .map(|one| differs(one, &mut room))
        .collect();
    let story = story(app, visit.veil(), &seen, 0, &mut room).await;
    let sentences = sentences(app, &visit, record.id).await;
    let layout = Layout::new(&visit, format!("{} {}", record.kind, record.object));
    rendered(&Change {
        layout: layout.live(),
        head: head(record),
        is_open: record.is_open_divergence(),
        may_end: visit.may(rights::ADMIN),
        divergences,
        sentences,
        story,
    })
}

/// Retries the missing undo writes.
pub(super) async fn heal(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response> {
    let id = known(&id)?;
    let (app, caller) = (pages.app.clone(), visit.caller().to_owned());
    // In a task of its own: a browser that goes away does not stop it half way.
    let healed = tokio::spawn(async move { app.heal(id, &caller).await }).await;
    end_of(id, healed, "healed")
}

/// Ends a divergence as it is.
pub(super) async fn resolve(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response> {
    let id = known(&id)?;
    let reason = visit.form().text("reason").ok_or_else(|| {
        Trouble::new(400, "Say why the divergence may stay.").back_to(address::change(id))
    })?;
    let (app, caller) = (pages.app.clone(), visit.caller().to_owned());
    let resolved = tokio::spawn(async move { app.resolve(id, &reason, &caller).await }).await;
    end_of(id, resolved, "resolved")
}

fn end_of<T>(
    id: OperationId,
    ended: std::result::Result<std::result::Result<T, crate::app::Error>, tokio::task::JoinError>,
    done: &str,
) -> Result<Response> {
    let broke_off = |_| Trouble::new(500, "This broke off by a fault; Recant's log says more.");
    let ended = ended.map_err(broke_off)?;
    ended.map_err(|error| Trouble::from(error).back_to(address::change(id)))?;
    Ok(redirect(&format!("{}?done={done}", address::change(id))))
}

/// What the audit tells of a change, to who may read it.
async fn sentences(app: &App, visit: &Visit, id: OperationId) -> Vec<(usize, String)> {
    if !visit.is_auditor() {
        return Vec::new();
    }
    let told = tokio::time::timeout(STORY_TIME, app.explain_behind(visit.veil(), id)).await;
    let story = match told.unwrap_or_else(|_| Err(Error::new(413, "it takes too long"))) {
        Ok(story) => story,
        Err(error) if error.code == 413 => {
            let hint = "It is too long to be told here: read its entries in the audit.";
            return vec![(0, hint.to_owned())];
        }
        // A change that has just begun has no entry yet.
        Err(_) => return Vec::new(),
    };
    let told = story.sentences.into_iter().take(SENTENCES);
    told.map(|one| (one.depth, markup::cut(&one.text, 600)))
        .collect()
}

fn known(id: &str) -> Result<OperationId> {
    id.parse()
        .map_err(|_| Trouble::new(404, format!("There is no change `{id}`.")))
}

fn head(record: &OperationRecord) -> Head {
    let transaction = &record.transaction_id;
    Head {
        id: record.id.0.to_string(),
        outcome: markup::outcome(record),
        kind: record.kind.as_str(),
        object: markup::object(&record.object.to_string()),
        caller: record.caller.clone(),
        began: markup::time(record.started_at),
        took: took(record),
        transaction: transaction.clone(),
        transaction_address: format!("/ui/audit?transaction={}", address::encoded(transaction)),
        entries_address: format!("/ui/audit?operation={}", record.id.0),
        parent: record.parent.map(markup::change),
    }
}

fn took(record: &OperationRecord) -> String {
    let ended = record.ended_at.map(|ended| ended - record.started_at);
    ended.map_or_else(|| "not ended".to_owned(), markup::duration)
}

fn differs(one: &Divergence, room: &mut usize) -> Differs {
    let sides = Sides::named(
        &format!("What {} should hold and holds", one.target),
        ("Should hold", one.expected.as_ref()),
        ("Held when it was last read", one.actual.as_ref()),
    );
    Differs {
        mapping: one.mapping.clone(),
        target: target(&one.target, one.target_id.as_deref()),
        message: one.cause.message.clone(),
        sides: fitted(&sides, room).unwrap_or_default(),
    }
}

/// A record as its reader sees it.
struct Seen {
    record: OperationRecord,
    /// Of each write the attributes that changed, though the reader sees no value of them.
    unseen: Vec<Vec<String>>,
}

impl Seen {
    fn of(veil: &Veil, record: OperationRecord) -> Self {
        let unseen = record.writes.iter().map(|write| {
            let (before, after) = (write.before.as_ref(), write.after.as_ref());
            veil.changed_unseen(&write.target, before, after)
        });
        Self {
            unseen: unseen.collect(),
            record: veil.record(record),
        }
    }
}

/// The story of a change, those of its nested changes under it.
async fn story(app: &App, veil: &Veil, seen: &Seen, depth: usize, room: &mut usize) -> Story {
    let record = &seen.record;
    let late = |run: &&HookRun| run.hook == "onSync" || run.hook.starts_with("post");
    let mut nested = Vec::new();
    let mut others = Vec::new();
    let asked_for: Vec<OperationId> = record.follow_ups.iter().map(|one| one.id).collect();
    let own = record.nested.iter().filter(|id| !asked_for.contains(id));
    let pairs = record.writes.iter().zip(&seen.unseen);
    let writes: Vec<Write> = pairs
        .map(|(one, changed)| write(one, changed, room))
        .collect();
    for id in own.take(NAMED) {
        let shown = depth < 2 && nested.len() < NESTED;
        let found = match shown {
            true => app.operation(*id).await.ok(),
            false => None,
        };
        match found.map(|found| Seen::of(veil, found)) {
            Some(found) => nested.push(Nested {
                title: title(&found.record),
                outcome: markup::outcome(&found.record),
                id: markup::change(found.record.id),
                story: Box::new(Box::pin(story(app, veil, &found, depth + 1, room)).await),
            }),
            None => others.push(markup::change(*id)),
        }
    }
    let (late, before): (Vec<_>, Vec<_>) = record.hook_runs.iter().partition(late);
    let (last, after): (Vec<_>, Vec<_>) = late.into_iter().partition(|run| run.compensating);
    let purpose = changes::purpose(record.purpose);
    Story {
        request: match purpose {
            "" => format!(
                "{} asked to {} {}",
                record.caller, record.kind, record.object
            ),
            purpose => format!("{} {} ({purpose})", record.kind, record.object),
        },
        revision: record.revision_before.clone(),
        began: markup::time(record.started_at),
        before: before.into_iter().map(hook).collect(),
        planned: record
            .writes
            .iter()
            .filter(|write| write.operation.is_some())
            .count(),
        writes,
        attempt: record.attempt,
        after: after.into_iter().map(hook).collect(),
        last: last.into_iter().map(hook).collect(),
        nested,
        others,
        follow_ups: record
            .follow_ups
            .iter()
            .take(NAMED)
            .map(follow_up)
            .collect(),
        end: end(record),
    }
}

fn title(record: &OperationRecord) -> String {
    match changes::purpose(record.purpose) {
        "compensation" => "Compensation: everything back to what it was".to_owned(),
        _ => format!("{} {}", record.kind, record.object),
    }
}

fn write(record: &WriteRecord, changed: &[String], room: &mut usize) -> Write {
    let sides = record.operation.is_some().then(|| {
        let caption = format!("{} before and after", record.target);
        Sides::new(&caption, record.before.as_ref(), record.after.as_ref()).with_changed(changed)
    });
    Write {
        mapping: match record.link_qualifier.as_str() {
            "default" => record.mapping.clone(),
            qualifier => format!("{} ({qualifier})", record.mapping),
        },
        target: target(&record.target, record.target_id.as_deref()),
        situation: record.situation.map(markup::word).unwrap_or_default(),
        action: record.action.map(markup::word).unwrap_or_default(),
        operation: record
            .operation
            .clone()
            .unwrap_or_else(|| "nothing to write".to_owned()),
        result: markup::result(record.result),
        attempts: record.attempts,
        took: markup::milliseconds(i64::try_from(record.duration_ms).unwrap_or(i64::MAX)),
        cause: record.cause.as_ref().map(|cause| {
            let code = markup::value(&cause.code, 40);
            format!(
                "{} {}: {}",
                code,
                cause.reason,
                markup::cut(&cause.message, 600)
            )
        }),
        sides: sides.and_then(|sides| fitted(&sides, room)),
    }
}

fn target(container: &str, id: Option<&str>) -> String {
    id.map_or_else(|| container.to_owned(), |id| format!("{container}/{id}"))
}

/// A table as long as there is room for it.
fn fitted(sides: &Sides, room: &mut usize) -> Option<Markup> {
    let text = sides.to_string();
    *room = room.checked_sub(text.len())?;
    Some(Markup::trusted(text))
}

fn hook(run: &HookRun) -> Hook {
    let tone = match run.verdict.as_str() {
        "accept" => "good",
        "error" => "bad",
        _ => "warn",
    };
    Hook {
        hook: run.hook.clone(),
        script: run.name.clone(),
        address: run
            .name
            .ends_with(".rhai")
            .then(|| format!("/ui/hooks/edit?file={}", address::encoded(&run.name))),
        digest: markup::short(&run.digest).to_owned(),
        verdict: markup::badge(tone, &run.verdict),
        error: run.error.as_deref().map(|text| markup::cut(text, 1_000)),
        log: run
            .log
            .iter()
            .take(LOGGED)
            .map(|line| markup::cut(line, 300))
            .collect(),
        took: match run.duration_micros {
            // Older records tell milliseconds alone.
            0 => markup::microseconds(run.duration_ms.saturating_mul(1_000)),
            micros => markup::microseconds(micros),
        },
        compensating: run.compensating,
    }
}

fn follow_up(record: &FollowUpRecord) -> FollowUp {
    FollowUp {
        what: format!("{} {}", record.method, record.path),
        id: markup::change(record.id),
        outcome: record
            .outcome
            .map_or("not yet", |outcome| outcome.as_str())
            .to_owned(),
        error: record
            .error
            .as_ref()
            .map(|error| markup::cut(&error.message, 600)),
    }
}

fn end(record: &OperationRecord) -> End {
    let mut notes = Vec::new();
    if let Some(because) = &record.waits_because {
        notes.push(format!("Waits: {because}"));
    }
    if let Some(at) = record.healed_at {
        notes.push(format!("Healed at {}", at.format("%Y-%m-%d %H:%M:%S")));
    }
    if let Some(one) = &record.resolution {
        let by = one
            .by
            .as_deref()
            .map_or_else(String::new, |by| format!(" by {by}"));
        let why = one
            .reason
            .as_deref()
            .map_or_else(String::new, |why| format!(": {why}"));
        let at = one.at.format("%Y-%m-%d %H:%M:%S");
        notes.push(format!("Divergence {}{by} at {at}{why}", one.kind));
    }
    End {
        outcome: markup::outcome(record),
        at: record.ended_at.map(markup::time),
        error: record
            .error
            .as_ref()
            .map(|error| format!("{}: {}", error.code, markup::cut(&error.message, 1_000))),
        notes,
    }
}
