//! The record of a change in words: how it ended, each write, each hook, and who differs.
use serde_json::Value;

use super::{
    output::{Output, Result, Tone},
    service::Service,
    table::{Table, differences, list_at, short, text_at, time},
};
use crate::model::OperationId;

/// Prints the line that begins every account of a change: its outcome and its object.
///
/// # Errors
/// The writer's.
pub fn print_outcome(word: &str, object: &str, output: &mut Output) -> Result<()> {
    let word = output.tint(Tone::of(word), word);
    output.line(format!("{word}  {object}"))
}

/// Prints the writes of a change and of its nested changes. The change has been told already, so a
/// caller who may not read records loses only this.
///
/// # Errors
/// The writer's.
pub async fn print_writes_of(
    service: &dyn Service,
    id: OperationId,
    output: &mut Output,
) -> Result<()> {
    let Ok(record) = service.operation(id).await else {
        let hint = format!("  recant audit list --operation {id}");
        return output.line(output.tint(Tone::Faint, hint));
    };
    output.line("")?;
    print_writes(&record, output)?;
    for nested in nested(service, &record).await {
        output.line("")?;
        let heading = format!("  {}", nested_heading(&nested));
        output.line(output.tint(Tone::Faint, heading))?;
        print_writes(&nested, output)?;
    }
    print_diverged(&record, output)?;
    output.line("")?;
    let hint = format!("  recant ops show {id}");
    output.line(output.tint(Tone::Faint, hint))
}

/// Prints everything about a change.
///
/// # Errors
/// The writer's.
pub async fn print_all(service: &dyn Service, record: &Value, output: &mut Output) -> Result<()> {
    print_head(record, output)?;
    output.line("")?;
    print_writes(record, output)?;
    print_differences(record, output)?;
    print_hooks(record, output)?;
    for nested in nested(service, record).await {
        output.line("")?;
        let heading = format!("{}  {}", nested_heading(&nested), text_at(&nested, "/_id"));
        output.line(output.tint(Tone::Strong, heading))?;
        print_writes(&nested, output)?;
        print_hooks(&nested, output)?;
    }
    print_diverged(record, output)
}

fn print_head(record: &Value, output: &mut Output) -> Result<()> {
    let word = outcome(record);
    let object = format!(
        "{} ({})",
        text_at(record, "/object"),
        text_at(record, "/kind")
    );
    print_outcome(&word, &object, output)?;
    let mut lines = vec![
        ("operation", text_at(record, "/_id").to_owned()),
        ("transaction", text_at(record, "/transactionId").to_owned()),
        ("caller", text_at(record, "/caller").to_owned()),
        ("began", time(text_at(record, "/startedAt"))),
        ("ended", time(text_at(record, "/endedAt"))),
        ("healed", time(text_at(record, "/healedAt"))),
        ("parent", text_at(record, "/parent").to_owned()),
        ("waits because", text_at(record, "/waitsBecause").to_owned()),
    ];
    if let Some(error) = record.get("error") {
        let text = format!(
            "{} {}",
            short(error.get("code")),
            text_at(error, "/message")
        );
        lines.push(("error", text));
    }
    if let Some(resolution) = record.get("resolution") {
        lines.push(("divergence", resolution_text(resolution)));
    }
    for (name, text) in lines.into_iter().filter(|(_, text)| !text.is_empty()) {
        output.line(format!(
            "  {}{text}",
            output.tint(Tone::Faint, format!("{name:<15}"))
        ))?;
    }
    Ok(())
}

fn resolution_text(resolution: &Value) -> String {
    let parts = [
        text_at(resolution, "/kind").to_owned(),
        time(text_at(resolution, "/at")),
        text_at(resolution, "/by").to_owned(),
        text_at(resolution, "/reason").to_owned(),
        text_at(resolution, "/operation").to_owned(),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

/// The outcome's word, or that there is none yet.
#[must_use]
pub fn outcome(record: &Value) -> String {
    match text_at(record, "/outcome") {
        "" => "unfinished".to_owned(),
        word => word.to_owned(),
    }
}

fn nested_heading(nested: &Value) -> String {
    let what = match text_at(nested, "/purpose") {
        "compensation" => "compensation".to_owned(),
        _ => format!(
            "follow-up: {} {}",
            text_at(nested, "/kind"),
            text_at(nested, "/object")
        ),
    };
    format!("{what}, {}", outcome(nested))
}

async fn nested(service: &dyn Service, record: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    for id in list_at(record, "/nested") {
        if let Some(id) = id.as_str().and_then(|id| id.parse().ok())
            && let Ok(nested) = service.operation(id).await
        {
            found.push(nested);
        }
    }
    found
}

fn print_writes(record: &Value, output: &mut Output) -> Result<()> {
    let writes = list_at(record, "/writes");
    if writes.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(output, &["mapping", "target", "write", "result", "cause"]);
    for write in writes {
        let result = text_at(write, "/result");
        table.row([
            (Tone::Normal, text_at(write, "/mapping").to_owned()),
            (Tone::Normal, target(write)),
            (Tone::Normal, short(write.get("operation"))),
            (Tone::of(result), result.to_lowercase()),
            (Tone::Normal, cause(write)),
        ]);
    }
    table.print(output, 2)
}

/// `system/NAME/CLASS/ID`, shortened by the word that all have.
fn target(row: &Value) -> String {
    let target = text_at(row, "/target");
    let target = target.strip_prefix("system/").unwrap_or(target);
    match text_at(row, "/targetId") {
        "" => target.to_owned(),
        id => format!("{target}/{id}"),
    }
}

fn cause(row: &Value) -> String {
    match row.get("cause").filter(|cause| !cause.is_null()) {
        Some(cause) => format!(
            "{}: {}",
            short(cause.get("code")),
            text_at(cause, "/message")
        ),
        None => String::new(),
    }
}

fn print_differences(record: &Value, output: &mut Output) -> Result<()> {
    for write in list_at(record, "/writes") {
        let changes = differences(write.get("before"), write.get("after"));
        if changes.is_empty() {
            continue;
        }
        output.line("")?;
        let heading = format!("  {} {}", short(write.get("operation")), target(write));
        output.line(output.tint(Tone::Faint, heading))?;
        for change in changes {
            output.line(format!("    {change}"))?;
        }
    }
    Ok(())
}

fn print_hooks(record: &Value, output: &mut Output) -> Result<()> {
    let runs = list_at(record, "/hookRuns");
    if runs.is_empty() {
        return Ok(());
    }
    output.line("")?;
    let mut table = Table::new(output, &["hook", "script", "verdict", "ms", "said"]);
    for run in runs {
        let verdict = text_at(run, "/verdict");
        table.row([
            (Tone::Normal, text_at(run, "/hook").to_owned()),
            (Tone::Normal, text_at(run, "/name").to_owned()),
            (Tone::of(verdict), verdict.to_owned()),
            (Tone::Normal, short(run.get("durationMs"))),
            (Tone::Normal, said(run)),
        ]);
    }
    table.print(output, 2)
}

fn said(run: &Value) -> String {
    let lines = list_at(run, "/log").iter().filter_map(Value::as_str);
    let error = Some(text_at(run, "/error")).filter(|text| !text.is_empty());
    lines.chain(error).collect::<Vec<_>>().join("\n")
}

/// Prints which targets do not hold what they should, attribute by attribute.
///
/// # Errors
/// The writer's.
pub fn print_diverged(record: &Value, output: &mut Output) -> Result<()> {
    let diverged = list_at(record, "/diverged");
    if diverged.is_empty() {
        return Ok(());
    }
    output.line("")?;
    output.line(output.tint(Tone::Bad, "  these targets differ"))?;
    for row in diverged {
        output.line(format!("  {}: {}", target(row), cause(row)))?;
        for difference in differences(row.get("actual"), row.get("expected")) {
            let faint = output.tint(Tone::Faint, "(is → should be)");
            output.line(format!("    {difference}  {faint}"))?;
        }
    }
    Ok(())
}
