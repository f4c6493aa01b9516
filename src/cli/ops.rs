//! `recant ops`: looking at changes, healing and resolving diverged ones.
use serde_json::{Value, json};

use super::{
    arguments::Ops,
    output::{Exit, Output, Result, Tone},
    record,
    service::{Search, Service},
    table::{Table, text_at, time},
};
/// How many records are asked for at a time.
const PAGE: usize = 100;

/// Does what `recant ops` asks for.
///
/// # Errors
/// There is no such change, it cannot be healed or resolved, or it still diverges.
pub async fn run(service: &dyn Service, verb: &Ops, output: &mut Output) -> Result {
    match verb {
        Ops::List { outcome, listing } => {
            let outcome = outcome.map(super::arguments::OutcomeWord::filter);
            let filter = both(outcome, listing.filter.clone());
            list(service, filter, listing.limit, output).await
        }
        Ops::Show { id } => {
            let record = service.operation(*id).await?;
            print(service, &record, output).await
        }
        Ops::Heal { id } => {
            let record = service.heal(*id).await?;
            print(service, &record, output).await
        }
        Ops::Resolve { id, reason } => {
            let record = service.resolve(*id, reason).await?;
            print(service, &record, output).await
        }
    }
}

/// Both filters, where there are both.
#[must_use]
pub fn both(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("({first}) and ({second})")),
        (first, second) => first.or(second),
    }
}

async fn print(service: &dyn Service, record: &Value, output: &mut Output) -> Result {
    if output.is_json() {
        output.json(record)?;
    } else {
        record::print_all(service, record, output).await?;
    }
    Ok(Exit::Done)
}

async fn list(
    service: &dyn Service,
    filter: Option<String>,
    limit: usize,
    output: &mut Output,
) -> Result {
    let (records, more) = fetch(service, filter, limit).await?;
    if output.is_json() {
        output.json(&json!({"result": records, "more": more}))?;
        return Ok(Exit::Done);
    }
    if records.is_empty() {
        output.line("no changes")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(
        output,
        &["began", "outcome", "change", "object", "operation"],
    );
    table.at_least(4, 38);
    for record in &records {
        let outcome = record::outcome(record);
        table.row([
            (Tone::Normal, time(text_at(record, "/startedAt"))),
            (Tone::of(&outcome), outcome_text(record, &outcome)),
            (Tone::Normal, kind(record)),
            (Tone::Normal, text_at(record, "/object").to_owned()),
            (Tone::Faint, text_at(record, "/_id").to_owned()),
        ]);
    }
    table.print(output, 0)?;
    if more {
        let hint = format!("the latest {limit}; --limit N shows more");
        output.line(output.tint(Tone::Faint, hint))?;
    }
    Ok(Exit::Done)
}

/// What was done, and why where nobody outside asked for it.
fn kind(record: &Value) -> String {
    let kind = text_at(record, "/kind");
    match text_at(record, "/purpose") {
        "compensation" => format!("{kind}, taking back"),
        "followUp" => format!("{kind}, for a hook"),
        "reconciliation" => "reconcile".to_owned(),
        _ => kind.to_owned(),
    }
}

/// The outcome, and what became of a divergence.
fn outcome_text(record: &Value, outcome: &str) -> String {
    match text_at(record, "/resolution/kind") {
        "" if !text_at(record, "/healedAt").is_empty() => format!("{outcome}, healed"),
        "" => outcome.to_owned(),
        kind => format!("{outcome}, {kind}"),
    }
}

async fn fetch(
    service: &dyn Service,
    filter: Option<String>,
    limit: usize,
) -> Result<(Vec<Value>, bool)> {
    let mut records = Vec::new();
    let mut cursor = None;
    while records.len() < limit {
        let page = service
            .operations(&Search {
                filter: filter.clone(),
                sort: None,
                size: PAGE.min(limit - records.len()),
                cursor,
            })
            .await?;
        records.extend(page.results);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok((records, cursor.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_joined_safely() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(both(None, None), None);
        assert_eq!(both(text("a"), None), text("a"));
        assert_eq!(both(text("a"), text("b or c")), text("(a) and (b or c)"));
    }
}
