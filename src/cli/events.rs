//! `recant events`: the change feed, as it is or as it comes.
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    arguments::{EventArguments, Events, Replay},
    output::{Exit, Output, Result, Tone},
    service::{EventAsk, Service},
    table::{Table, list_at, short, text_at, time},
};

/// How many events are asked for at a time.
const PAGE: usize = 500;
/// How long to wait before the feed is asked again.
const LOOK: Duration = Duration::from_secs(1);

/// Does what `recant events` asks for.
///
/// # Errors
/// The feed cannot be read, or the cursor is too old.
pub async fn run(service: &dyn Service, verb: &Events, output: &mut Output) -> Result {
    match verb {
        Events::List { which, limit } => list(service, which, *limit, output).await,
        Events::Follow { which } => follow(service, which, output).await,
    }
}

/// Does what `recant replay` asks for.
///
/// # Errors
/// There is no such subscription or mapping, it has side effects that were not asked for, or the
/// cursor is too old.
pub async fn replay(service: &dyn Service, verb: &Replay, output: &mut Output) -> Result {
    let told = service
        .replay(&json!({
            "from": verb.from,
            "rangeStart": verb.range_start,
            "rangeEnd": verb.range_end,
            "types": verb.types,
            "to": verb.to,
            "mapping": verb.mapping,
            "sideEffects": verb.side_effects,
        }))
        .await?;
    if output.is_json() {
        output.json(&told)?;
    } else {
        let count = |name: &str| short(told.get(name));
        output.line(format!(
            "{} events, {} queued",
            count("events"),
            count("told")
        ))?;
    }
    Ok(Exit::Done)
}

async fn list(
    service: &dyn Service,
    which: &EventArguments,
    limit: usize,
    output: &mut Output,
) -> Result {
    let mut ask = ask(which);
    let (mut found, mut more) = (Vec::new(), true);
    while more && found.len() < limit {
        ask.limit = PAGE.min(limit - found.len());
        let page = service.events(&ask).await?;
        found.extend(list_at(&page, "/result").iter().cloned());
        more = more_of(&page);
        ask.after = cursor(&page);
    }
    if output.is_json() {
        output.json(&json!({"result": found, "cursor": ask.after, "more": more}))?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        output.line("no events")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(output, &["cursor", "time", "event", "object", "operation"]);
    for event in &found {
        table.row([
            (Tone::Faint, short(event.get("id"))),
            (Tone::Normal, time(text_at(event, "/createdAt"))),
            (Tone::Normal, text_at(event, "/type").to_owned()),
            (Tone::Normal, text_at(event, "/object").to_owned()),
            (Tone::Faint, text_at(event, "/operation").to_owned()),
        ]);
    }
    table.print(output, 0)?;
    if more {
        let hint = format!("the first {limit}; --limit N shows more");
        output.line(output.tint(Tone::Faint, hint))?;
    }
    Ok(Exit::Done)
}

/// Prints every event as one line of JSON, or of text, until the program is stopped.
async fn follow(service: &dyn Service, which: &EventArguments, output: &mut Output) -> Result {
    let mut ask = ask(which);
    if ask.after.is_none() && ask.range_start.is_none() {
        let end = EventAsk {
            range_end: None,
            ..ask.clone()
        };
        ask.after = cursor(&service.events(&end).await?);
    }
    ask.limit = PAGE;
    loop {
        let page = service.events(&ask).await?;
        for event in list_at(&page, "/result") {
            output.line(line(event, output))?;
        }
        output.flush()?;
        ask.after = cursor(&page);
        if ask.range_end.is_none() {
            ask.range_start = None;
        }
        if !more_of(&page) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn line(event: &Value, output: &Output) -> String {
    if output.is_json() {
        return event.to_string();
    }
    let text = |place: &str| text_at(event, place).to_owned();
    format!(
        "{}  {}  {}  {}",
        short(event.get("id")),
        time(&text("/createdAt")),
        text("/type"),
        text("/object"),
    )
}

fn ask(which: &EventArguments) -> EventAsk {
    EventAsk {
        after: which.after,
        range_start: which.range_start,
        range_end: which.range_end,
        types: which.types.clone(),
        limit: 0,
    }
}

fn cursor(page: &Value) -> Option<i64> {
    page.get("cursor").and_then(Value::as_i64)
}

fn more_of(page: &Value) -> bool {
    page.get("more") == Some(&Value::Bool(true))
}
