//! One script: its text with what is wrong in place, editing, checking, trying, saving with a note,
//! and its history.
use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    Pages, address,
    difference::Difference,
    guard::{Visit, redirect},
    layout::{Layout, page_with},
    markup::{self, Markup},
    trouble::{Result, Trouble},
};
use crate::app::{App, ListedVersion, RunSearch, ScriptEdit, ScriptFile, TakenUp};

/// On how many kept runs a text is tried.
const BACKTEST: u64 = 200;
/// How many runs that go otherwise are shown.
const DIFFERING: usize = 20;
/// How many kept runs are listed.
const RUNS: u64 = 20;

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
    conflict: Option<Difference>,
    versions: Vec<Version>,
    shown: Option<Difference>,
    sees_runs: bool,
    runs: Vec<Run>,
}

/// A run that was kept.
struct Run {
    hook: String,
    object: Markup,
    at: String,
    verdict: Markup,
    took: String,
    change: Option<Markup>,
    case: String,
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

/// What the page shows beside the file.
#[derive(Default)]
struct Attempt {
    text: Option<String>,
    message: Option<Message>,
    tried: Option<Message>,
    backtest: Option<Backtest>,
    wrong: Vec<(usize, String)>,
    status: StatusCode,
    /// Somebody else has changed the file since the edit began.
    is_late: bool,
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
            let attempt = backtested(app, &visit, &name, text).await?;
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
            attempt.is_late = error.code == 409;
            attempt.message = Some(Message {
                tone: "bad",
                text: match attempt.is_late {
                    false => format!("Not saved: {}.", error.message),
                    true => format!(
                        "Not saved: {}. Below is how your text differs from the file as it is now; \
                         to save again replaces that.",
                        error.message
                    ),
                },
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
async fn backtested(app: &App, visit: &Visit, name: &str, text: String) -> Result<Attempt> {
    if !visit.veil().is_thin() {
        let message = "Runs of scripts hold attributes that are not shown to your roles.";
        return Err(Trouble::denied(403, message).back_to(home(name)));
    }
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
            .map(|run| differing(visit, run))
            .collect(),
    };
    Ok(Attempt {
        text: Some(text),
        backtest: Some(backtest),
        ..Attempt::default()
    })
}

fn differing(visit: &Visit, run: &Value) -> Differing {
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
        change: change_of(visit, &text("operation")),
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

/// The way to a change, for who may see it.
fn change_of(visit: &Visit, id: &str) -> Option<Markup> {
    let id = id.parse().ok().filter(|_| visit.is_auditor());
    id.map(markup::change)
}

/// The last kept runs of a script, for who sees every attribute.
async fn runs(app: &App, visit: &Visit, name: &str) -> Result<Vec<Run>> {
    if !visit.veil().is_thin() {
        return Ok(Vec::new());
    }
    let search = RunSearch {
        script: Some(name.to_owned()),
        limit: RUNS,
        ..RunSearch::default()
    };
    let runs = app.hook_runs(&search).await?;
    Ok(runs.iter().map(|run| kept(visit, name, run)).collect())
}

fn kept(visit: &Visit, name: &str, run: &Value) -> Run {
    let text = |member: &str| {
        let value = markup::member(run, member);
        value.as_str().unwrap_or_default().to_owned()
    };
    let verdict = text("verdict");
    let tone = match verdict.as_str() {
        "accept" => "good",
        "error" => "bad",
        _ => "warn",
    };
    let micros = markup::member(run, "durationMicros").as_u64();
    let part = |member: &str| address::encoded(&text(member));
    Run {
        hook: text("hook"),
        object: markup::object(&text("object")),
        at: text("at").get(..19).unwrap_or_default().replace('T', " "),
        verdict: markup::badge(tone, &verdict),
        took: markup::microseconds(micros.unwrap_or_default()),
        change: change_of(visit, &text("operation")),
        case: format!(
            "/ui/hooks/case?file={}&operation={}&run={}",
            address::encoded(name),
            part("operation"),
            part("_id")
        ),
    }
}

async fn shown(app: &App, visit: &Visit, name: &str, attempt: Attempt) -> Result {
    let script = app.script_file(name).await?;
    let versions = app.script_versions(name).await?;
    let wanted = visit.query().get("version");
    let earlier = versions
        .iter()
        .find(|version| Some(version.id.to_string().as_str()) == wanted);
    let shown = match earlier {
        Some(earlier) => {
            let version = app.script_version(earlier.id).await?;
            Some(Difference::of(Some(&version), &version.text, &script.text))
        }
        None => None,
    };
    let text = attempt.text.unwrap_or_else(|| script.text.clone());
    let conflict = attempt
        .is_late
        .then(|| Difference::of(None, &script.text, &text));
    let form = visit.form();
    let base = form.get("base").filter(|_| !attempt.is_late);
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
        base: base.unwrap_or(&script.digest).to_owned(),
        note: form.shown("note"),
        globals: form.raw("globals").unwrap_or("{\n}").to_owned(),
        versions: versions
            .iter()
            .map(|version| listed(name, version, &script))
            .collect(),
        sees_runs: visit.veil().is_thin(),
        runs: runs(app, visit, name).await?,
        conflict,
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

fn listed(name: &str, version: &ListedVersion, script: &ScriptFile) -> Version {
    Version {
        address: format!("{}&version={}#difference", home(name), version.id),
        digest: markup::short(&version.digest).to_owned(),
        at: markup::time(version.saved_at),
        by: version.saved_by.clone().unwrap_or_else(|| "–".to_owned()),
        note: version.note.clone(),
        is_current: version.digest == script.digest,
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
