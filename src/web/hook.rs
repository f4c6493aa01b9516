//! One script: its text with what is wrong in place, editing, checking, trying, saving with a note,
//! and its history.
use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    Pages, address,
    guard::{Visit, redirect},
    layout::{Layout, page_with},
    markup::{self, Markup},
    trouble::{Result, Trouble},
};
use crate::app::{App, HookVersion, ScriptEdit, ScriptFile, TakenUp};

/// On how many kept runs a text is tried.
const BACKTEST: u64 = 200;
/// How many runs that go otherwise are shown.
const DIFFERING: usize = 20;
/// How many lines of a difference are shown.
const DIFFERENCE: usize = 200;

#[derive(Template)]
#[template(path = "hook.html")]
struct Hook {
    layout: Layout,
    name: String,
    address: String,
    uses: Vec<String>,
    in_force: String,
    is_newer: bool,
    read_only: Option<String>,
    message: Option<Message>,
    lines: Vec<Line>,
    text: String,
    base: String,
    note: String,
    globals: String,
    tried: Option<Message>,
    backtest: Option<Backtest>,
    versions: Vec<Version>,
    shown: Option<Difference>,
}

/// What came of the form.
struct Message {
    tone: &'static str,
    text: String,
    value: String,
}

/// What earlier runs would have come to with another text.
struct Backtest {
    tone: &'static str,
    summary: String,
    runs: Vec<Differing>,
}

/// A run that would have gone otherwise, or of which that cannot be told.
struct Differing {
    hook: String,
    object: Markup,
    at: String,
    change: Option<Markup>,
    places: Vec<(String, String, String)>,
    unknown: String,
}

/// One line of the source.
struct Line {
    text: String,
    wrong: Vec<String>,
}

struct Version {
    address: String,
    digest: String,
    at: Markup,
    by: String,
    note: String,
    is_current: bool,
}

/// How an earlier version differs from the file as it is.
struct Difference {
    id: String,
    digest: String,
    lines: Vec<(&'static str, String)>,
    is_cut: bool,
}

/// What the page shows beside the file.
#[derive(Default)]
struct Attempt {
    text: Option<String>,
    message: Option<Message>,
    tried: Option<Message>,
    backtest: Option<Backtest>,
    wrong: Vec<(usize, String)>,
    status: StatusCode,
}

/// Shows it.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let name = file(&visit)?;
    let app = &pages.app;
    let attempt = Attempt {
        wrong: app.problems_of(&format!("hooks/{name}")),
        ..Attempt::default()
    };
    shown(app, &visit, &name, attempt).await
}

/// Checks, tries or saves what the form holds.
pub(super) async fn act(State(pages): State<Pages>, visit: Visit) -> Result<Response> {
    let name = file(&visit)?;
    let app = &pages.app;
    // Browsers send the ends of lines as CRLF, whatever the text had.
    let text = visit
        .form()
        .raw("text")
        .unwrap_or_default()
        .replace("\r\n", "\n");
    match visit.form().get("action") {
        Some("save") => save(app, &visit, &name, text).await,
        Some("backtest") => {
            let attempt = backtested(app, &name, text).await?;
            shown(app, &visit, &name, attempt).await
        }
        Some("try") => {
            let attempt = tried(app, &visit, text).await;
            shown(app, &visit, &name, attempt).await
        }
        _ => {
            let attempt = checked(app, &name, text);
            shown(app, &visit, &name, attempt).await
        }
    }
}

/// Saves an earlier version again.
pub(super) async fn roll_back(State(pages): State<Pages>, visit: Visit) -> Result<Response> {
    let name = file(&visit)?;
    let app = &pages.app;
    let home = home(&name);
    let back = |error: crate::app::Error| Trouble::from(error).back_to(&home);
    let id = visit.form().get("version").unwrap_or_default();
    let id = id
        .parse()
        .map_err(|_| Trouble::new(404, "There is no such version.").back_to(&home))?;
    let version = app.script_version(id).await.map_err(back)?;
    if version.file != name {
        return Err(Trouble::new(404, "That is the version of another script.").back_to(&home));
    }
    let note = format!(
        "back to {} of {}",
        markup::short(&version.digest),
        version.saved_at.format("%Y-%m-%d %H:%M")
    );
    let note = match visit.form().get("note") {
        Some(why) => format!("{note}: {why}"),
        None => note,
    };
    let edit = ScriptEdit {
        name: &name,
        text: &version.text,
        base: visit.form().get("base"),
        note: &note,
        caller: visit.caller(),
        transaction_id: visit.transaction_id(),
    };
    let taken = app.save_script(edit).await.map_err(back)?;
    let done = match taken {
        TakenUp::InForce => "rolled-back",
        TakenUp::Waiting => "saved-waiting",
    };
    Ok(redirect(&format!("{home}&done={done}")))
}

async fn save(app: &App, visit: &Visit, name: &str, text: String) -> Result<Response> {
    let form = visit.form();
    let edit = ScriptEdit {
        name,
        text: &text,
        base: form.get("base"),
        note: form.get("note").unwrap_or_default(),
        caller: visit.caller(),
        transaction_id: visit.transaction_id(),
    };
    match app.save_script(edit).await {
        Ok(TakenUp::InForce) => Ok(redirect(&format!("{}&done=saved", home(name)))),
        Ok(TakenUp::Waiting) => Ok(redirect(&format!("{}&done=saved-waiting", home(name)))),
        Err(error) if error.code < 500 => {
            let mut attempt = checked(app, name, text);
            attempt.status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::BAD_REQUEST);
            attempt.message = Some(Message {
                tone: "bad",
                text: format!("Not saved: {}.", error.message),
                value: String::new(),
            });
            shown(app, visit, name, attempt).await
        }
        Err(error) => Err(Trouble::from(error).back_to(home(name))),
    }
}

fn checked(app: &App, name: &str, text: String) -> Attempt {
    let found = app.check_script(name, &text);
    let message = match found.as_slice() {
        [] => Message {
            tone: "good",
            text: "It compiles, for every use of it. Nothing was saved.".to_owned(),
            value: String::new(),
        },
        [(_, first), ..] => Message {
            tone: "bad",
            text: format!("It does not compile: {first}. Nothing was saved."),
            value: String::new(),
        },
    };
    Attempt {
        status: if found.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::BAD_REQUEST
        },
        message: Some(message),
        wrong: found
            .into_iter()
            .map(|(place, error)| {
                let of = if place.is_empty() {
                    String::new()
                } else {
                    format!(" ({place})")
                };
                (
                    error.line,
                    format!("column {}: {}{of}", error.column, error.message),
                )
            })
            .collect(),
        text: Some(text),
        ..Attempt::default()
    }
}

/// Runs the text with the variables that the form gives; what it asks for is not carried out.
async fn tried(app: &App, visit: &Visit, text: String) -> Attempt {
    let given = visit.form().get("globals").unwrap_or("{}");
    let tried = match serde_json::from_str::<Value>(given) {
        Ok(globals @ Value::Object(_)) => {
            let script = json!({"type": "text/rhai", "source": text, "globals": globals});
            match app.eval_script_for(visit.roles(), &script).await {
                Ok(value) => Message {
                    tone: "good",
                    text: "It ran. Its value:".to_owned(),
                    value: markup::cut(
                        &serde_json::to_string_pretty(&value).unwrap_or_default(),
                        8_000,
                    ),
                },
                Err(error) => Message {
                    tone: "bad",
                    text: error.message,
                    value: String::new(),
                },
            }
        }
        _ => Message {
            tone: "bad",
            text: "The variables must be a JSON object.".to_owned(),
            value: String::new(),
        },
    };
    Attempt {
        text: Some(text),
        tried: Some(tried),
        ..Attempt::default()
    }
}

/// Runs the text on the last kept runs of the script; nothing is carried out.
async fn backtested(app: &App, name: &str, text: String) -> Result<Attempt> {
    let asked = json!({"file": name, "source": text, "against": BACKTEST});
    let found = match app.backtest(&asked).await {
        Ok(found) => found,
        // It says where the text is wrong, as a check does.
        Err(error) if error.code == 400 => return Ok(checked(app, name, text)),
        Err(error) => return Err(Trouble::from(error).back_to(home(name))),
    };
    let count = |name: &str| markup::member(&found, name).as_u64().unwrap_or_default();
    let (runs, different, unknown) = (count("runs"), count("different"), count("unknown"));
    let stopped = markup::at(&found, "/stopped") == true;
    let results = markup::at(&found, "/results").as_array();
    let backtest = Backtest {
        tone: if different + unknown > 0 {
            "warn"
        } else {
            "good"
        },
        summary: format!(
            "Of the last {runs} kept runs {different} would have gone otherwise, {} alike, and of {unknown} it cannot be told.{}",
            count("same"),
            if stopped {
                " There was no time for more."
            } else {
                ""
            }
        ),
        runs: results
            .into_iter()
            .flatten()
            .take(DIFFERING)
            .map(differing)
            .collect(),
    };
    Ok(Attempt {
        text: Some(text),
        backtest: Some(backtest),
        ..Attempt::default()
    })
}

fn differing(run: &Value) -> Differing {
    let text = |name: &str| {
        markup::member(run, name)
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let places = markup::at(run, "/differences").as_array();
    let value = |one: &Value, name: &str| match markup::member(one, name) {
        Value::Null => "–".to_owned(),
        value => markup::cut(&markup::value(value, 300), 300),
    };
    Differing {
        hook: text("hook"),
        object: markup::object(&text("object")),
        at: text("at").get(..19).unwrap_or_default().replace('T', " "),
        change: text("operation").parse().ok().map(markup::change),
        places: places
            .into_iter()
            .flatten()
            .take(8)
            .map(|one| {
                (
                    value(one, "place"),
                    value(one, "before"),
                    value(one, "after"),
                )
            })
            .collect(),
        unknown: text("unknown"),
    }
}

async fn shown(app: &App, visit: &Visit, name: &str, attempt: Attempt) -> Result {
    let script = app.script_file(name).await?;
    let versions = app.script_versions(name).await?;
    let wanted = visit.query().get("version");
    let earlier = versions
        .iter()
        .find(|version| Some(version.id.to_string().as_str()) == wanted);
    let shown = earlier.map(|version| difference(version, &script));
    let text = attempt.text.unwrap_or_else(|| script.text.clone());
    let form = visit.form();
    let page = Hook {
        layout: Layout::new(visit, name.to_owned()),
        address: home(name),
        uses: script.uses.iter().map(|one| one.place.clone()).collect(),
        in_force: script.in_force.as_deref().map_or_else(
            || "nothing".to_owned(),
            |digest| markup::short(digest).to_owned(),
        ),
        is_newer: script.in_force.as_deref() != Some(script.digest.as_str()),
        lines: lines(&text, &attempt.wrong),
        base: form.get("base").unwrap_or(&script.digest).to_owned(),
        note: form.shown("note"),
        globals: form.raw("globals").unwrap_or("{\n}").to_owned(),
        versions: versions
            .iter()
            .map(|version| listed(version, &script))
            .collect(),
        read_only: script.read_only,
        message: attempt.message,
        tried: attempt.tried,
        backtest: attempt.backtest,
        name: name.to_owned(),
        shown,
        text,
    };
    page_with(attempt.status, &page)
}

fn lines(text: &str, wrong: &[(usize, String)]) -> Vec<Line> {
    let last = text.lines().count().max(1);
    let texts = text
        .lines()
        .chain(if text.is_empty() { Some("") } else { None });
    let line = |(at, text): (usize, &str)| Line {
        text: text.to_owned(),
        wrong: wrong
            .iter()
            .filter(|(line, _)| (*line).clamp(1, last) == at)
            .map(|(_, message)| message.clone())
            .collect(),
    };
    (1..).zip(texts).map(line).collect()
}

fn listed(version: &HookVersion, script: &ScriptFile) -> Version {
    Version {
        address: format!("{}&version={}#difference", home(&version.file), version.id),
        digest: markup::short(&version.digest).to_owned(),
        at: markup::time(version.saved_at),
        by: version.saved_by.clone().unwrap_or_else(|| "–".to_owned()),
        note: version.note.clone(),
        is_current: version.digest == script.digest,
    }
}

/// Line by line, from the version to the file as it is.
fn difference(version: &HookVersion, script: &ScriptFile) -> Difference {
    let before: Vec<&str> = version.text.lines().collect();
    let after: Vec<&str> = script.text.lines().collect();
    let mut lines: Vec<(&'static str, String)> = changed(&before, &after);
    let is_cut = lines.len() > DIFFERENCE;
    lines.truncate(DIFFERENCE);
    Difference {
        id: version.id.to_string(),
        digest: markup::short(&version.digest).to_owned(),
        lines,
        is_cut,
    }
}

/// The difference as lines: kept, `minus`, `plus`. Equal beginnings and ends are cut off first; what
/// is left is compared by its longest common part, or taken whole where it is very long.
fn changed(before: &[&str], after: &[&str]) -> Vec<(&'static str, String)> {
    let same = before
        .iter()
        .zip(after)
        .take_while(|(one, other)| one == other)
        .count();
    let rest = before.len().min(after.len()) - same;
    let ends = before.iter().rev().zip(after.iter().rev());
    let end = ends
        .take(rest)
        .take_while(|(one, other)| one == other)
        .count();
    let old = before.get(same..before.len() - end).unwrap_or_default();
    let new = after.get(same..after.len() - end).unwrap_or_default();
    let keep = |line: &&str| ("", (*line).to_owned());
    let head = before.iter().take(same).map(keep);
    let tail = before.iter().skip(before.len() - end).map(keep);
    head.chain(middle(old, new)).chain(tail).collect()
}

fn middle(old: &[&str], new: &[&str]) -> Vec<(&'static str, String)> {
    const LONGEST: usize = 800;
    let minus = |line: &&str| ("minus", (*line).to_owned());
    let plus = |line: &&str| ("plus", (*line).to_owned());
    if old.len() > LONGEST || new.len() > LONGEST {
        return old.iter().map(minus).chain(new.iter().map(plus)).collect();
    }
    // lengths[i][j]: the longest common part of old[i..] and new[j..].
    let width = new.len() + 1;
    let mut lengths = vec![0_usize; (old.len() + 1) * width];
    let at = |lengths: &[usize], i: usize, j: usize| {
        lengths.get(i * width + j).copied().unwrap_or_default()
    };
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            let longest = match one == other {
                true => at(&lengths, i + 1, j + 1) + 1,
                false => at(&lengths, i + 1, j).max(at(&lengths, i, j + 1)),
            };
            if let Some(place) = lengths.get_mut(i * width + j) {
                *place = longest;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(one), Some(other)) if one == other => {
                lines.push(("", (*one).to_owned()));
                (i, j) = (i + 1, j + 1);
            }
            (Some(one), Some(_)) if at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) => {
                lines.push(minus(one));
                i += 1;
            }
            (_, Some(other)) => {
                lines.push(plus(other));
                j += 1;
            }
            (Some(one), None) => {
                lines.push(minus(one));
                i += 1;
            }
            (None, None) => return lines,
        }
    }
}

fn home(name: &str) -> String {
    format!("/ui/hooks/edit?file={}", address::encoded(name))
}

fn file(visit: &Visit) -> Result<String> {
    let name = visit
        .query()
        .text("file")
        .or_else(|| visit.form().text("file"));
    name.ok_or_else(|| Trouble::new(404, "There is no such script.").back_to("/ui/hooks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_keeps_what_both_have() {
        let lines = changed(&["a", "b", "c", "d"], &["a", "c", "x", "d"]);
        let told: Vec<String> = lines
            .iter()
            .map(|(kind, text)| format!("{kind}{text}"))
            .collect();
        assert_eq!(told, ["a", "minusb", "c", "plusx", "d"]);
        assert!(
            changed(&["a"], &["a"])
                .iter()
                .all(|(kind, _)| kind.is_empty())
        );
        assert_eq!(changed(&[], &["a"]), [("plus", "a".to_owned())]);
        assert_eq!(changed(&["a", "a"], &["a"]).len(), 2);
    }

    #[test]
    fn what_is_wrong_stands_at_its_line_and_never_outside() {
        let wrong = [(2, "x".to_owned()), (99, "y".to_owned())];
        let told: Vec<usize> = lines("a\nb\nc", &wrong)
            .iter()
            .map(|line| line.wrong.len())
            .collect();
        assert_eq!(told, [0, 1, 1]);
        assert_eq!(lines("", &wrong).len(), 1);
    }
}
