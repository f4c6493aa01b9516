//! The script files: where each is used, which version is in force, how its runs went.
use askama::Template;
use axum::extract::State;
use serde_json::Value;

use super::{
    Pages, address,
    guard::Visit,
    layout::{Layout, page as rendered},
    markup::{self, Markup, at},
    trouble::Result,
};
use crate::{
    app::{App, HOOK_SAMPLE, ScriptRuns},
    model::OperationId,
};

/// How many uses of a script are named.
const USES: usize = 4;

#[derive(Template)]
#[template(path = "hooks.html")]
struct Hooks {
    layout: Layout,
    rows: Vec<Row>,
    problems: Vec<Problem>,
    sample: u64,
}

struct Row {
    name: String,
    address: String,
    digest: String,
    uses: Vec<String>,
    more_uses: usize,
    runs: String,
    errors: Markup,
    mean: String,
    longest: String,
    failed_in: Option<Markup>,
    has_problems: bool,
}

struct Problem {
    tone: &'static str,
    severity: String,
    place: String,
    message: String,
}

/// Shows them.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let app = &pages.app;
    let runs = app.script_runs().await?;
    let uses = app.script_uses();
    let configuration = app.configuration();
    let mut names = app.script_files();
    names.extend(broken_files(app));
    names.sort();
    names.dedup();
    let nothing = ScriptRuns::default();
    let rows = names.into_iter().map(|name| {
        let own: Vec<String> = uses
            .get(&name)
            .into_iter()
            .flatten()
            .map(|one| one.place.clone())
            .collect();
        let runs = runs.get(&name).unwrap_or(&nothing);
        let script = configuration.scripts.get(&name);
        Row {
            address: format!("/ui/hooks/edit?file={}", address::encoded(&name)),
            digest: script.map_or_else(String::new, |script| {
                markup::short(&script.digest).to_owned()
            }),
            more_uses: own.len().saturating_sub(USES),
            uses: own.into_iter().take(USES).collect(),
            has_problems: !app.problems_of(&format!("hooks/{name}")).is_empty(),
            runs: markup::count(runs.runs),
            errors: errors(runs),
            mean: runs
                .total_ms
                .checked_div(runs.runs)
                .map_or_else(String::new, milliseconds),
            longest: if runs.runs > 0 {
                milliseconds(runs.longest_ms)
            } else {
                String::new()
            },
            failed_in: runs
                .failed_in
                .filter(|_| visit.is_auditor())
                .map(|id: OperationId| markup::change(id)),
            name,
        }
    });
    rendered(&Hooks {
        layout: Layout::new(&visit, "Hooks").ticking(),
        rows: rows.collect(),
        problems: problems(app),
        sample: HOOK_SAMPLE,
    })
}

fn errors(runs: &ScriptRuns) -> Markup {
    match runs.errors {
        0 if runs.runs == 0 => Markup::default(),
        0 => markup::badge("good", "none"),
        errors => {
            let share = errors * 100 / runs.runs.max(1);
            markup::badge("bad", &format!("{errors} ({share} %)"))
        }
    }
}

fn milliseconds(count: u64) -> String {
    markup::milliseconds(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Scripts that are on disk and in no configuration, because they are new and broken.
fn broken_files(app: &App) -> Vec<String> {
    let problems = app.problems();
    let list = at(&problems, "/problems").as_array().into_iter().flatten();
    let files = list.filter_map(|one| at(one, "/file").as_str()?.strip_prefix("hooks/"));
    files
        .filter(|name| name.ends_with(".rhai"))
        .map(str::to_owned)
        .collect()
}

fn problems(app: &App) -> Vec<Problem> {
    let problems = app.problems();
    let list = at(&problems, "/problems").as_array().into_iter().flatten();
    list.map(|one| {
        let file = at(one, "/file").as_str().unwrap_or_default();
        let severity = at(one, "/severity").as_str().unwrap_or_default();
        Problem {
            tone: if severity == "error" { "bad" } else { "warn" },
            severity: severity.to_owned(),
            place: match at(one, "/place") {
                Value::Number(line) => format!("{file}:{line}"),
                place => format!("{file}#{}", place.as_str().unwrap_or_default()),
            },
            message: at(one, "/message").as_str().unwrap_or_default().to_owned(),
        }
    })
    .take(100)
    .collect()
}
