//! `recant recon`: running a reconciliation with its progress, and looking at what it found.
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    arguments::Listing,
    output::{Exit, Failure, Output, Result, Tone},
    service::{Search, Service},
    table::{Table, short, text_at, time},
};

/// How often the progress is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How many entries are asked for at a time.
const PAGE: usize = 500;

/// `recant recon`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_value_name = "list, show, …"
)]
pub struct Recon {
    /// The mapping to reconcile
    #[arg(value_name = "MAPPING", required_unless_present = "reset")]
    mapping: Option<String>,
    /// Forget where partial syncs stand: of a mapping, managed/TYPE, system/CONNECTOR/CLASS or all
    #[arg(long, value_name = "SCOPE", conflicts_with = "mapping")]
    reset: Option<String>,
    /// Go back to this time only, such as 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "reset")]
    since: Option<chrono::DateTime<chrono::Utc>>,
    /// How.
    #[command(flatten)]
    options: Options,
    /// What else.
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// How a mapping is reconciled.
#[derive(Debug, Args)]
struct Options {
    /// Only report: write nothing anywhere
    #[arg(long)]
    dry_run: bool,
    /// Which records to look at
    #[arg(long, value_enum, default_value_t = ModeWord::Full)]
    mode: ModeWord,
    /// Only the source object with this id; may be given more than once
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Look at every record, even where nothing has changed since both sides agreed
    #[arg(long)]
    force: bool,
    /// Look at this source object even so; may be given more than once
    #[arg(long = "force-id", value_name = "ID")]
    force_ids: Vec<String>,
    /// Run the mapping of the other direction that shares this one's links
    #[arg(long)]
    reverse: bool,
    /// Forget where partial syncs stand, and look at everything
    #[arg(long)]
    clear_cache: bool,
    /// Go on although the source is empty
    #[arg(long)]
    allow_empty_source: bool,
    /// Leave out target objects without a source
    #[arg(long)]
    no_target_phase: bool,
    /// How many deletions to carry out without an approval
    #[arg(long, value_name = "N")]
    max_deletions: Option<u64>,
    /// What share of the records, from 0 to 1, to delete without an approval
    #[arg(long, value_name = "SHARE")]
    max_deletion_share: Option<f64>,
    /// Come back at once; only where a server goes on with it (--url)
    #[arg(long)]
    detach: bool,
}

/// Which records a run looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeWord {
    /// All of both sides.
    Full,
    /// Source objects that changed since the last complete sync.
    UpdatedAt,
}

/// What else there is to do with reconciliations.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List reconciliations, newest first
    List,
    /// Show one: what it found by situation, and what became of it
    Show {
        /// The reconciliation's id
        id: Uuid,
    },
    /// List what one found of each record
    Entries {
        /// The reconciliation's id
        id: Uuid,
        /// Only those in this situation, such as UNASSIGNED
        #[arg(long)]
        situation: Option<String>,
        /// Only those with this status: SUCCESS, FAILURE, UNKNOWN or HELD
        #[arg(long)]
        status: Option<String>,
        /// Which entries.
        #[command(flatten)]
        listing: Listing,
    },
    /// Show where the partial syncs of each mapping stand
    Syncs,
    /// Stop one that is under way
    Cancel {
        /// The reconciliation's id
        id: Uuid,
    },
    /// Carry out the deletions that one held back, or that reading an inbound class in full would bring
    Approve {
        /// The reconciliation's id, or system/CONNECTOR/CLASS
        #[arg(value_name = "ID|SCOPE")]
        what: String,
    },
}

/// Does what `recant recon` asks for. A run that fails, or in which a record fails, is exit code 1.
///
/// # Errors
/// The mapping cannot be reconciled, or there is no such reconciliation.
pub async fn run(service: &dyn Service, verb: &Recon, output: &mut Output) -> Result {
    if let Some(scope) = &verb.reset {
        let names = service.reset_syncs(scope, verb.since).await?;
        if output.is_json() {
            output.json(&json!({"reset": names}))?;
        } else {
            output.line(format!("the next sync begins anew: {}", names.join(", ")))?;
        }
        return Ok(Exit::Done);
    }
    match &verb.verb {
        None => start(service, verb, output).await,
        Some(Verb::List) => list(service, output).await,
        Some(Verb::Show { id }) => {
            let run = service.recon(*id).await?;
            print(&run, output)?;
            Ok(Exit::Done)
        }
        Some(Verb::Entries {
            id,
            situation,
            status,
            listing,
        }) => {
            let equal = |name: &str, word: &Option<String>| {
                let word = word.as_ref()?;
                Some(format!("{name} eq \"{}\"", word.to_uppercase()))
            };
            let filters = [
                equal("situation", situation),
                equal("status", status),
                listing.filter.clone(),
            ];
            let filter = filters.into_iter().fold(None, super::ops::both);
            entries(service, *id, filter, listing.limit, output).await
        }
        Some(Verb::Syncs) => syncs(service, output).await,
        Some(Verb::Cancel { id }) => {
            let answer = service.act_on_recon(*id, "cancel").await?;
            if output.is_json() {
                output.json(&answer)?;
            } else {
                output.line("it stops behind the records that it is at")?;
            }
            Ok(Exit::Done)
        }
        Some(Verb::Approve { what }) => approve(service, what, output).await,
    }
}

async fn approve(service: &dyn Service, what: &str, output: &mut Output) -> Result {
    if let Ok(id) = what.parse() {
        let run = service.act_on_recon(id, "approve").await?;
        return watch(service, run, output).await;
    }
    let stands = service.approve_sync(what).await?;
    if output.is_json() {
        output.json(&stands)?;
    } else {
        output.line(format!("{what} is read in full soon"))?;
    }
    Ok(Exit::Done)
}

async fn start(service: &dyn Service, verb: &Recon, output: &mut Output) -> Result {
    let mapping = verb.mapping.as_deref().unwrap_or_default();
    let wanted = verb.options.wanted(mapping);
    let run = service.start_recon(&wanted).await?;
    if verb.options.detach {
        print(&run, output)?;
        return Ok(Exit::Done);
    }
    watch(service, run, output).await
}

impl Options {
    /// As the HTTP API wants it.
    fn wanted(&self, mapping: &str) -> Value {
        let mut wanted = json!({
            "mapping": mapping,
            "mode": match self.mode {
                ModeWord::Full => "full",
                ModeWord::UpdatedAt => "updatedAt",
            },
            "dryRun": self.dry_run,
            "force": self.force,
            "forceIds": self.force_ids,
            "ids": self.ids,
            "reverse": self.reverse,
            "clearCache": self.clear_cache,
            "maxDeletions": self.max_deletions,
            "maxDeletionShare": self.max_deletion_share,
        });
        if let Some(members) = wanted.as_object_mut() {
            members.retain(|_, member| !member.is_null());
            if self.allow_empty_source {
                members.insert("allowEmptySourceSet".into(), json!(true));
            }
            if self.no_target_phase {
                members.insert("runTargetPhase".into(), json!(false));
            }
        }
        wanted
    }
}

/// Shows the progress of a run until it is over, then what it came to.
async fn watch(service: &dyn Service, run: Value, output: &mut Output) -> Result {
    let id: Uuid = text_at(&run, "/_id")
        .parse()
        .map_err(|_| Failure::Other("the server gave no reconciliation".to_owned()))?;
    let bar = ProgressBar::new_spinner();
    let template = "{spinner} {msg} {human_pos}/{human_len} ({per_sec}, {eta} left)";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let mut run = run;
    while text_at(&run, "/state") == "ACTIVE" {
        let number = |pointer: &str| text_at(&run, pointer).parse::<u64>().ok();
        if let Some(total) = number("/progress/source/existing/total") {
            bar.set_length(total);
        }
        bar.set_position(number("/progress/source/existing/processed").unwrap_or_default());
        bar.set_message(text_at(&run, "/stageDescription").to_owned());
        tokio::time::sleep(LOOK).await;
        run = service.recon(id).await?;
    }
    bar.finish_and_clear();
    print(&run, output)?;
    let failures = run
        .pointer("/statusSummary/FAILURE")
        .and_then(Value::as_u64);
    let well = text_at(&run, "/state") == "SUCCESS" && failures == Some(0);
    Ok(if well { Exit::Done } else { Exit::Failed })
}

fn print(run: &Value, output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.json(run);
    }
    let dry = run.pointer("/parameters/dryRun") == Some(&json!(true));
    let kind = if dry { "dry run" } else { "reconciliation" };
    let state = text_at(run, "/state");
    output.line(format!(
        "{kind} of {} {}: {}",
        text_at(run, "/mapping"),
        output.tint(Tone::Faint, text_at(run, "/_id")),
        output.tint(Tone::of(state), state),
    ))?;
    let mut table = Table::new(output, &["situation", "records"]);
    let situations = run.pointer("/situationSummary").and_then(Value::as_object);
    for (situation, count) in situations.into_iter().flatten() {
        table.row([
            (Tone::Normal, situation.clone()),
            (Tone::Normal, short(Some(count))),
        ]);
    }
    table.print(output, 0)?;
    let count = |pointer: &str| {
        run.pointer(pointer)
            .map_or_else(String::new, |value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
    };
    output.line(format!(
        "target: {} created, {} updated, {} deleted, {} unchanged; {} failed, {} held back",
        count("/progress/target/created"),
        count("/progress/target/updated"),
        count("/progress/target/deleted"),
        count("/progress/target/unchanged"),
        count("/statusSummary/FAILURE"),
        count("/held"),
    ))?;
    let message = text_at(run, "/message");
    if !message.is_empty() {
        output.line(output.tint(Tone::Bad, message))?;
    }
    Ok(())
}

async fn list(service: &dyn Service, output: &mut Output) -> Result {
    let runs = service.recons().await?;
    if output.is_json() {
        output.json(&json!({"reconciliations": runs}))?;
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        output.line("no reconciliations")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(
        output,
        &[
            "began", "state", "mapping", "records", "failed", "held", "id",
        ],
    );
    table.at_least(6, 38);
    for run in &runs {
        let state = text_at(run, "/state");
        table.row([
            (Tone::Normal, time(text_at(run, "/started"))),
            (Tone::of(state), state.to_owned()),
            (Tone::Normal, text_at(run, "/mapping").to_owned()),
            (Tone::Normal, short(run.get("processed"))),
            (Tone::Normal, short(run.pointer("/statusSummary/FAILURE"))),
            (Tone::Normal, short(run.get("held"))),
            (Tone::Faint, text_at(run, "/_id").to_owned()),
        ]);
    }
    table.print(output, 0)?;
    Ok(Exit::Done)
}

async fn syncs(service: &dyn Service, output: &mut Output) -> Result {
    let syncs = service.syncs().await?;
    if output.is_json() {
        output.json(&json!({"syncs": syncs}))?;
        return Ok(Exit::Done);
    }
    if syncs.is_empty() {
        output.line("no mapping was reconciled yet")?;
        return Ok(Exit::Done);
    }
    let headings = [
        "mapping",
        "synced through",
        "schedule",
        "next",
        "pauses until",
    ];
    let mut table = Table::new(output, &headings);
    for sync in &syncs {
        let at = |name: &str| time(text_at(sync, name));
        table.row([
            (Tone::Normal, text_at(sync, "/name").to_owned()),
            (Tone::Normal, at("/dataSyncedThrough")),
            (Tone::Normal, text_at(sync, "/schedule").to_owned()),
            (Tone::Normal, at("/nextAt")),
            (Tone::Bad, at("/quarantinedUntil")),
        ]);
    }
    table.print(output, 0)?;
    for sync in &syncs {
        let name = text_at(sync, "/name");
        if let Some(held) = sync.get("heldBack").filter(|held| held.is_object()) {
            let (gone, because) = (short(held.get("gone")), text_at(held, "/because"));
            let told = match text_at(held, "/approvedBy") {
                "" => format!("{name} holds back {gone} records that are gone: {because}"),
                by => format!("{name} lets {gone} records go soon, approved by {by}"),
            };
            output.line(output.tint(Tone::Bad, told))?;
        }
        let failing = sync.get("failing").and_then(Value::as_array);
        if let Some(failing) = failing.filter(|failing| !failing.is_empty()) {
            let some = failing.iter().take(10).filter_map(Value::as_str);
            let some = some.collect::<Vec<_>>().join(", ");
            let told = format!("{name} fails at {} records: {some}", failing.len());
            output.line(output.tint(Tone::Bad, told))?;
        }
    }
    Ok(Exit::Done)
}

async fn entries(
    service: &dyn Service,
    id: Uuid,
    filter: Option<String>,
    limit: usize,
    output: &mut Output,
) -> Result {
    let mut found = Vec::new();
    let mut cursor = None;
    while found.len() < limit {
        let search = Search {
            filter: filter.clone(),
            sort: None,
            size: PAGE.min(limit - found.len()),
            cursor,
        };
        let page = service.recon_entries(id, &search).await?;
        found.extend(page.results);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    if output.is_json() {
        output.json(&json!({"result": found, "more": cursor.is_some()}))?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        output.line("no entries")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(
        output,
        &["situation", "action", "done", "source", "target", "status"],
    );
    for entry in &found {
        let member = |name: &str| short(entry.get(name));
        let status = text_at(entry, "/status");
        let message = text_at(entry, "/message");
        let told = if message.is_empty() {
            status.to_lowercase()
        } else {
            format!("{}: {message}", status.to_lowercase())
        };
        table.row([
            (Tone::Normal, member("situation")),
            (Tone::Normal, member("action")),
            (Tone::Normal, member("operation")),
            (Tone::Normal, member("sourceObjectId")),
            (Tone::Normal, member("targetObjectId")),
            (Tone::of(status), told),
        ]);
    }
    table.print(output, 0)?;
    if cursor.is_some() {
        let hint = format!("the first {limit}; --limit N shows more");
        output.line(output.tint(Tone::Faint, hint))?;
    }
    Ok(Exit::Done)
}
