//! `recant connectors`: looking at target systems.
use serde_json::{Value, json};

use super::{
    output::{Exit, Output, Result, Tone},
    service::Service,
    table::{Table, list_at, text_at},
};

/// Tests connectors, all where none is named, and prints what came of it.
///
/// # Errors
/// There is no such connector. A target that does not answer is no error here: it is printed, and
/// the exit code tells.
pub async fn test(service: &dyn Service, names: &[String], output: &mut Output) -> Result {
    let results = if names.is_empty() {
        service.test_connectors().await?
    } else {
        let mut results = Vec::new();
        for name in names {
            results.push(service.test_connector(name).await?);
        }
        results
    };
    let good = results.iter().all(is_ok);
    if output.is_json() {
        output.json(&json!({"result": results}))?;
    } else if results.is_empty() {
        output.line("no connectors")?;
    } else {
        print(&results, output)?;
    }
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn is_ok(result: &Value) -> bool {
    result.get("ok").and_then(Value::as_bool) == Some(true)
}

fn print(results: &[Value], output: &mut Output) -> Result<()> {
    let mut table = Table::new(output, &["connector", "type", "answers", "object classes"]);
    for result in results {
        let answers = if is_ok(result) { "ok" } else { "failed" };
        let classes: Vec<&str> = list_at(result, "/objectTypes")
            .iter()
            .map(|class| class.as_str().unwrap_or_else(|| text_at(class, "/id")))
            .collect();
        let last = match result.get("error") {
            Some(Value::String(error)) => error.clone(),
            Some(error) if !error.is_null() => text_at(error, "/message").to_owned(),
            _ => classes.join(", "),
        };
        let last = match held_off(result) {
            Some(circuit) => format!("{last} ({circuit})"),
            None => last,
        };
        table.row([
            (Tone::Normal, text_at(result, "/name").to_owned()),
            (Tone::Normal, text_at(result, "/connectorType").to_owned()),
            (Tone::of(answers), answers.to_owned()),
            (Tone::Normal, last),
        ]);
    }
    table.print(output, 0)
}

/// What is said about a circuit that is not closed: since when, and what the target said last.
fn held_off(result: &Value) -> Option<String> {
    let state = match text_at(result, "/health/circuit") {
        "open" => "changes are held off",
        "halfOpen" => "the next change tries it again",
        _ => return None,
    };
    let since = text_at(result, "/health/since");
    let said = text_at(result, "/health/lastFailure/message");
    Some(format!("down since {since}, {state}; last: {said}"))
}
