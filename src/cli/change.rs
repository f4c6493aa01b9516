//! `recant plan` and `recant change`: what a change would do, and doing it.
use std::{io::Read, path::Path};

use serde_json::{Value, json};

use super::{
    arguments::{Input, What},
    output::{Exit, Failure, Output, Result, Tone},
    record,
    service::{Answer, Ask, PatchForm, Service, Wish},
    table::{Table, differences, list_at, text_at},
};

/// Prints what a change would do.
///
/// # Errors
/// The change would be refused.
pub async fn plan(service: &dyn Service, ask: &Ask, output: &mut Output) -> Result {
    let plan = service.plan(ask).await?;
    if output.is_json() {
        output.json(&plan)?;
    } else {
        print_plan(&plan, output)?;
    }
    Ok(Exit::Done)
}

/// Carries a change out and prints how it ended.
///
/// # Errors
/// It could not be tried. A change that was taken back is no error
/// here: it is printed, and the exit code tells.
pub async fn change(service: &dyn Service, ask: &Ask, output: &mut Output) -> Result {
    match service.change(ask).await {
        Ok(answer) => {
            print_answer(service, ask, &answer, output).await?;
            Ok(Exit::Done)
        }
        Err(Failure::Refused {
            body,
            message,
            operation,
            outcome: Some(outcome),
        }) => {
            if output.is_json() {
                output.json(&json!({
                    "operation": operation,
                    "outcome": outcome,
                    "error": body,
                }))?;
            } else {
                record::print_outcome(outcome.as_str(), &place(ask), output)?;
                output.line(format!("  {message}"))?;
                if let Some(id) = operation {
                    record::print_writes_of(service, id, output).await?;
                }
            }
            Ok(Exit::of(outcome))
        }
        Err(failure) => Err(failure),
    }
}

async fn print_answer(
    service: &dyn Service,
    ask: &Ask,
    answer: &Answer,
    output: &mut Output,
) -> Result<()> {
    if output.is_json() {
        return output.json(&json!({
            "operation": answer.operation,
            "outcome": answer.outcome,
            "object": answer.body,
        }));
    }
    let word = answer.outcome.map_or("done", |outcome| outcome.as_str());
    let place = match text_at(&answer.body, "/_id") {
        "" => place(ask),
        id => format!("managed/{}/{id}", ask.managed_type),
    };
    record::print_outcome(word, &place, output)?;
    match answer.operation {
        Some(id) => record::print_writes_of(service, id, output).await,
        None => Ok(()),
    }
}

fn place(ask: &Ask) -> String {
    match &ask.id {
        Some(id) => format!("managed/{}/{id}", ask.managed_type),
        None => format!("managed/{}", ask.managed_type),
    }
}

fn print_plan(plan: &Value, output: &mut Output) -> Result<()> {
    let (writes, skipped) = (list_at(plan, "/writes"), list_at(plan, "/skipped"));
    let heading = match writes.len() {
        0 => "nothing would be written".to_owned(),
        1 => "1 target would be written".to_owned(),
        count => format!("{count} targets would be written, in this order"),
    };
    output.line(output.tint(Tone::Strong, heading))?;
    for write in writes {
        print_write(write, output)?;
    }
    if !skipped.is_empty() {
        output.line("")?;
        let mut table = Table::new(output, &["not written", "situation", "action"]);
        for row in skipped {
            table.row(
                ["mapping", "situation", "action"].map(|key| (Tone::Normal, short_text(row, key))),
            );
        }
        table.print(output, 0)?;
    }
    Ok(())
}

fn print_write(write: &Value, output: &mut Output) -> Result<()> {
    let target = match text_at(write, "/targetId") {
        "" => text_at(write, "/target").to_owned(),
        id => format!("{}/{id}", text_at(write, "/target")),
    };
    let why = format!(
        "{}, {}",
        text_at(write, "/mapping"),
        text_at(write, "/situation")
    );
    output.line("")?;
    output.line(format!(
        "{} {target}  {}",
        text_at(write, "/operation"),
        output.tint(Tone::Faint, why)
    ))?;
    for difference in differences(write.get("before"), write.get("after")) {
        output.line(format!("  {difference}"))?;
    }
    Ok(())
}

fn short_text(row: &Value, key: &str) -> String {
    super::table::short(row.get(key))
}

/// The change that the command line asks for, its content read.
///
/// # Errors
/// The command line is wrong, or the content cannot be read.
pub fn ask(what: &What, if_match: Option<&str>) -> Result<Ask> {
    let (object, wish) = match what {
        What::Create { object, input } => (object, Wish::Create(content(input)?)),
        What::Update { object, input } => (object, Wish::Update(content(input)?)),
        What::Patch { object, input } => {
            let patch = content(input)?;
            (object, Wish::Patch(PatchForm::of(&patch), patch))
        }
        What::Delete { object } => (object, Wish::Delete),
    };
    let (managed_type, id) = split(object)?;
    if id.is_none() && !matches!(wish, Wish::Create(_)) {
        return Err(Failure::Usage(format!(
            "`{object}` names no object: expected TYPE/ID, such as user/bjensen"
        )));
    }
    if if_match.is_some() && matches!(wish, Wish::Create(_)) {
        return Err(Failure::Usage(
            "--if-match has no meaning for a create: there is no revision yet".to_owned(),
        ));
    }
    Ok(Ask {
        managed_type,
        id,
        wish,
        if_match: if_match.map(str::to_owned),
    })
}

/// `TYPE`, `TYPE/ID` or either behind `managed/`; an id may hold slashes.
fn split(object: &str) -> Result<(String, Option<String>)> {
    let inside = object.strip_prefix("managed/").unwrap_or(object);
    let (managed_type, id) = match inside.split_once('/') {
        Some((managed_type, id)) => (managed_type, Some(id)),
        None => (inside, None),
    };
    if managed_type.is_empty() || id == Some("") {
        return Err(Failure::Usage(format!(
            "`{object}` names no object: expected TYPE/ID, such as user/bjensen"
        )));
    }
    Ok((managed_type.to_owned(), id.map(str::to_owned)))
}

fn content(input: &Input) -> Result<Value> {
    let (name, text) = match (&input.data, &input.file) {
        (Some(data), _) if data != "-" => ("--data".to_owned(), data.clone()),
        (None, Some(file)) if file != Path::new("-") => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::Usage(format!("{} cannot be read: {error}", file.display()))
            })?;
            (file.display().to_string(), text)
        }
        _ => ("standard input".to_owned(), standard_input()?),
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("{name} is not JSON: {error}")))
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::Usage(format!("standard input cannot be read: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_with_or_without_managed() {
        for (text, managed_type, id) in [
            ("user", "user", None),
            ("user/a", "user", Some("a")),
            ("managed/user/a/b", "user", Some("a/b")),
        ] {
            let expected = (managed_type.to_owned(), id.map(str::to_owned));
            assert_eq!(split(text).unwrap(), expected);
        }
        for bad in ["", "managed/", "user/", "/a"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_create_may_leave_the_id_out() {
        let input = || Input {
            data: Some("{}".into()),
            file: None,
            dash: None,
        };
        let object = || "user".to_owned();
        let create = What::Create {
            object: object(),
            input: input(),
        };
        assert!(ask(&create, None).is_ok());
        for what in [
            What::Update {
                object: object(),
                input: input(),
            },
            What::Delete { object: object() },
        ] {
            assert_eq!(ask(&what, None).unwrap_err().exit(), Exit::Usage);
        }
    }
}
