//! `recant audit`: reading, exporting and verifying what happened.
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    arguments::{Audit, Entries, ExportForm},
    chain,
    ops::both,
    output::{Exit, Failure, Output, Result, Tone},
    service::{Search, Service},
    table::{Table, short, text_at, time},
};
use crate::app::export::cell;

/// How many entries are asked for at a time.
const PAGE: usize = 500;

/// Columns of an export as CSV; what is not in them stands in `detail`, as JSON.
const COLUMNS: [&str; 12] = [
    "_id",
    "position",
    "timestamp",
    "topic",
    "transactionId",
    "operation",
    "eventName",
    "userId",
    "objectId",
    "outcome",
    "status",
    "message",
];

/// Does what `recant audit` asks for.
///
/// # Errors
/// The log cannot be read, or a file cannot be written. A broken chain is no error here: it is
/// printed, and the exit code tells.
pub async fn run(service: &dyn Service, verb: &Audit, output: &mut Output) -> Result {
    match verb {
        Audit::List { entries, limit } => list(service, entries, *limit, output).await,
        Audit::Export {
            entries,
            format,
            output: file,
        } => export(service, entries, *format, file.as_deref(), output).await,
        Audit::Explain { id } => explain(service, *id, output).await,
        Audit::Verify {
            public_key,
            handover,
            checkpoints,
        } => {
            let proof = chain::proof(public_key, handover, checkpoints.as_deref())?;
            verify(service, proof.as_ref(), output).await
        }
        Audit::Destinations => chain::destinations(service, output).await,
        Audit::Resend {
            destination,
            position,
            give_up,
        } => {
            let action = if *give_up { "giveUp" } else { "resend" };
            chain::resend(service, destination, (action, *position), output).await
        }
        Audit::Keygen { file, after } => chain::keygen(file, after.as_deref(), output),
    }
}

async fn list(
    service: &dyn Service,
    entries: &Entries,
    limit: usize,
    output: &mut Output,
) -> Result {
    let mut found = Vec::new();
    let mut cursor = None;
    while found.len() < limit {
        let search = Search {
            filter: filter(entries),
            sort: Some("-position"),
            size: PAGE.min(limit - found.len()),
            cursor,
        };
        let page = service.audit(entries.topic, &search).await?;
        found.extend(page.results);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    found.reverse();
    if output.is_json() {
        output.json(&json!({"result": found, "more": cursor.is_some()}))?;
    } else if found.is_empty() {
        output.line("no entries")?;
    } else {
        print(&found, output)?;
    }
    Ok(Exit::Done)
}

/// Prints entries as a table.
///
/// # Errors
/// The writer's.
pub fn print(entries: &[Value], output: &mut Output) -> Result<()> {
    let mut table = Table::new(
        output,
        &["#", "time (UTC)", "topic", "what", "object", "how"],
    );
    for entry in entries {
        table.row([
            (Tone::Faint, short(entry.get("position"))),
            (Tone::Normal, time(text_at(entry, "/timestamp"))),
            (Tone::Normal, text_at(entry, "/topic").to_owned()),
            (Tone::Normal, what(entry)),
            (Tone::Normal, object(entry)),
            (Tone::of(how(entry)), how_and_why(entry)),
        ]);
    }
    table.print(output, 0)
}

/// A row about an entry without its place in the log: topic, what, object, how.
#[must_use]
pub fn story_row(entry: &Value) -> Vec<(Tone, String)> {
    vec![
        (Tone::Normal, text_at(entry, "/topic").to_owned()),
        (Tone::Normal, what(entry)),
        (Tone::Normal, object(entry)),
        (Tone::of(how(entry)), how(entry).to_lowercase()),
    ]
}

/// The first of these members that is a text.
fn first<'a>(entry: &'a Value, names: &[&str]) -> &'a str {
    names
        .iter()
        .filter_map(|name| entry.get(*name).and_then(Value::as_str))
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// What the entry is about, in few words.
fn what(entry: &Value) -> String {
    let member = |name: &str| text_at(entry, &format!("/{name}")).to_owned();
    match text_at(entry, "/eventName") {
        "change" | "compensation" => format!("{} {}", member("eventName"), member("action")),
        "hook" => format!("{} {}", member("action"), text_at(entry, "/script/name")),
        "sync" => format!("write {}", member("mapping")),
        "undo" | "divergence" => format!("{} {}", member("eventName"), member("mapping")),
        "divergenceEnd" => format!("divergence {}", member("action")),
        other => format!("{other} {}", first(entry, &["request", "action"])),
    }
}

fn object(entry: &Value) -> String {
    let object = first(entry, &["targetObjectId", "objectId", "sourceObjectId"]);
    let (first, rest) = object.split_once('/').unwrap_or_default();
    match first {
        "system" | "managed" => rest.to_owned(),
        _ => object.to_owned(),
    }
}

fn how(entry: &Value) -> &str {
    first(entry, &["outcome", "verdict", "status"])
}

/// How it ended, and what was said where it went wrong.
fn how_and_why(entry: &Value) -> String {
    let how = how(entry).to_lowercase();
    match text_at(entry, "/message") {
        "" => how,
        message => format!("{how}: {message}"),
    }
}

async fn export(
    service: &dyn Service,
    entries: &Entries,
    form: ExportForm,
    file: Option<&Path>,
    output: &mut Output,
) -> Result {
    // It stands under its name when it is whole.
    let part = file.map(|path| (path, beside(path)));
    let writer: Box<dyn Write + Send> = match &part {
        Some((path, part)) => Box::new(begun(part).map_err(|error| unwritable(path, &error))?),
        None => Box::new(io::stdout()),
    };
    let mut sheet = Sheet::new(BufWriter::new(writer), form);
    let bar = progress("exported {human_pos} entries");
    let mut cursor = None;
    let is_all = entries.topic.is_none() && filter(entries).is_none();
    let mut last: Option<i64> = None;
    let mut gone = 0;
    loop {
        let search = Search {
            filter: filter(entries),
            sort: None,
            size: PAGE,
            cursor,
        };
        let page = service.audit(entries.topic, &search).await?;
        for entry in &page.results {
            sheet.write(entry)?;
            let position = entry.get("position").and_then(Value::as_i64);
            if let (Some(last), Some(position)) = (last, position) {
                gone += (position - last - 1).max(0);
            }
            last = position.or(last);
        }
        bar.inc(page.results.len() as u64);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    sheet.finish()?;
    bar.finish_and_clear();
    if let Some((path, part)) = &part {
        std::fs::rename(part, path).map_err(|error| unwritable(path, &error))?;
        if output.is_json() {
            output.json(&json!({"entries": bar.position(), "file": path}))?;
        } else {
            output.line(format!("{} entries in {}", bar.position(), path.display()))?;
        }
    }
    if is_all && gone > 0 {
        super::say(&format!(
            "warning: {gone} entries between the first and the last of these are not there: they were \
             pruned meanwhile, or somebody removed them (recant audit verify)"
        ));
    }
    Ok(Exit::Done)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Other(format!("{} cannot be written: {error}", path.display()))
}

/// The name of a file that is not whole yet.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// A file for its owner only: the audit tells about people.
fn begun(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A bar for work whose end is not known; hidden where the standard error is no terminal.
fn progress(template: &str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template(&format!("{{spinner}} {template}")) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}

/// Where exported entries go.
enum Sheet {
    Lines(BufWriter<Box<dyn Write + Send>>),
    Table(Box<csv::Writer<BufWriter<Box<dyn Write + Send>>>>, bool),
}

impl Sheet {
    fn new(writer: BufWriter<Box<dyn Write + Send>>, form: ExportForm) -> Self {
        match form {
            ExportForm::Jsonl => Self::Lines(writer),
            ExportForm::Csv => Self::Table(Box::new(csv::Writer::from_writer(writer)), false),
        }
    }

    fn write(&mut self, entry: &Value) -> Result<()> {
        match self {
            Self::Lines(writer) => writeln!(writer, "{entry}")?,
            Self::Table(writer, headed) => {
                if !std::mem::replace(headed, true) {
                    let heading = COLUMNS.into_iter().chain(["detail"]);
                    writer.write_record(heading).map_err(csv_failure)?;
                }
                writer.write_record(cells(entry)).map_err(csv_failure)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Lines(mut writer) => writer.flush()?,
            Self::Table(mut writer, _) => writer.flush()?,
        }
        Ok(())
    }
}

fn csv_failure(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Failure::Output(error),
        other => Failure::Other(format!("cannot write CSV: {other:?}")),
    }
}

fn cells(entry: &Value) -> Vec<String> {
    let mut detail = entry.clone();
    let mut cells: Vec<String> = COLUMNS
        .into_iter()
        .map(|name| {
            let taken = detail
                .as_object_mut()
                .and_then(|detail| detail.shift_remove(name));
            taken.map_or_else(String::new, cell)
        })
        .collect();
    cells.push(detail.to_string());
    cells
}

fn filter(entries: &Entries) -> Option<String> {
    let equals = |name: &str, value: &Option<String>| {
        let value = value.as_ref()?;
        Some(format!("{name} eq {}", Value::from(value.as_str())))
    };
    let operation = equals("operation", &entries.operation);
    let transaction = equals("transactionId", &entries.transaction);
    both(both(operation, transaction), entries.filter.clone())
}

async fn explain(
    service: &dyn Service,
    id: crate::model::OperationId,
    output: &mut Output,
) -> Result {
    let story = service.explain(id).await?;
    if output.is_json() {
        output.json(&story)?;
        return Ok(Exit::Done);
    }
    let sentences = story.get("sentences").and_then(Value::as_array);
    for sentence in sentences.into_iter().flatten() {
        let depth = sentence.get("depth").and_then(Value::as_u64);
        let depth = usize::try_from(depth.unwrap_or_default()).unwrap_or_default();
        let tone = match text_at(sentence, "/kind") {
            "failure" | "divergence" => Tone::Bad,
            "end" => Tone::Strong,
            "note" => Tone::Faint,
            _ => Tone::Normal,
        };
        let text = output.tint(tone, text_at(sentence, "/text"));
        output.line(format!("{}{text}", "  ".repeat(depth)))?;
    }
    Ok(Exit::Done)
}

async fn verify(service: &dyn Service, proof: Option<&Value>, output: &mut Output) -> Result {
    let bar = progress("verifying the chain");
    let verification = service.verify(proof).await;
    bar.finish_and_clear();
    let verification = verification?;
    let broken = verification.get("broken").filter(|value| !value.is_null());
    if output.is_json() {
        output.json(&verification)?;
    } else {
        chain::print(&verification, broken, output)?;
    }
    Ok(if broken.is_some() {
        Exit::Failed
    } else {
        Exit::Done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_everything() {
        let entry = json!({"_id": "1", "position": 2, "topic": "sync", "before": {"a": 1}});
        let cells = cells(&entry);
        assert_eq!(cells.len(), COLUMNS.len() + 1);
        assert_eq!(cells[1], "2");
        assert_eq!(cells[12], r#"{"before":{"a":1}}"#);
    }

    #[test]
    fn no_cell_is_a_formula() {
        let entry = json!({"_id": "1", "userId": "=cmd|' /C calc'!A0", "message": "-1"});
        let cells = cells(&entry);
        assert_eq!(
            (cells[7].as_str(), cells[11].as_str()),
            ("'=cmd|' /C calc'!A0", "'-1")
        );
    }

    #[test]
    fn values_in_filters_are_quoted() {
        let entries = Entries {
            topic: None,
            operation: Some("a\" or true".into()),
            transaction: None,
            filter: None,
        };
        assert_eq!(filter(&entries).unwrap(), r#"operation eq "a\" or true""#);
    }
}
