//! The first page: what needs somebody now, how changes went, and how long they took.
use askama::Template;
use axum::extract::State;
use chrono::TimeDelta;
use serde_json::Value;

use super::{
    Pages, address, chart,
    guard::Visit,
    layout::{Layout, page as rendered},
    markup::{self, Markup, at},
    rights,
    trouble::Result,
};
use crate::{
    app::{App, Trend},
    model::Outcome,
};

/// How many things of one kind are listed.
const LISTED: u64 = 8;
/// The times that can be looked at: word, name, length in hours, width of a bar in minutes.
const TIMES: [(&str, &str, i64, i64); 3] = [
    ("hour", "Last hour", 1, 2),
    ("day", "Last 24 hours", 24, 30),
    ("week", "Last 7 days", 168, 180),
];

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    layout: Layout,
    concerns: Vec<Concern>,
    shows_trend: bool,
    times: Vec<Time>,
    figures: Vec<Figure>,
    outcomes: Markup,
    latency: Markup,
    rows: Vec<Row>,
    total: String,
    rejections_since: Option<Markup>,
}

/// One thing that needs somebody.
struct Concern {
    tone: &'static str,
    kind: &'static str,
    what: Markup,
    why: String,
    link: String,
    action: &'static str,
}

struct Time {
    name: &'static str,
    address: String,
    is_here: bool,
}

/// A number in large letters.
struct Figure {
    name: String,
    value: String,
    tone: &'static str,
    address: String,
}

/// One span in the table behind the charts.
struct Row {
    at: Markup,
    counts: Vec<u64>,
    median: String,
    slow: String,
}

/// Shows it.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let app = &pages.app;
    let chosen = visit.query().get("time").unwrap_or("day");
    let time = TIMES.into_iter().find(|(word, ..)| *word == chosen);
    let (word, _, hours, minutes) = time.unwrap_or(("day", "", 24, 30));
    let shows_trend = visit.is_auditor();
    let trend = match shows_trend {
        true => Some(
            app.trend(TimeDelta::hours(hours), TimeDelta::minutes(minutes))
                .await?,
        ),
        false => None,
    };
    let mut concerns = Vec::new();
    if visit.is_auditor() {
        concerns.extend(divergences(app).await?);
        concerns.extend(reconciliations(app, &visit).await?);
    }
    if visit.may(rights::HOOKS) {
        concerns.extend(problems(app));
        concerns.extend(circuits(app, &visit));
        concerns.extend(scripts(app, &visit).await?);
    }
    if visit.may(rights::EVENTS) {
        concerns.extend(events(app).await?);
    }
    rendered(&Overview {
        layout: Layout::new(&visit, "Overview").ticking(),
        concerns,
        shows_trend,
        times: times(word),
        figures: trend.as_deref().map(figures).unwrap_or_default(),
        outcomes: trend.as_deref().map(chart::outcomes).unwrap_or_default(),
        latency: trend.as_deref().map(chart::latency).unwrap_or_default(),
        rows: trend.as_deref().map(rows).unwrap_or_default(),
        rejections_since: trend
            .as_deref()
            .and_then(|trend| trend.rejections_since)
            .map(markup::time),
        total: trend.map_or_else(String::new, |trend| markup::count(trend.whole.total())),
    })
}

fn times(chosen: &str) -> Vec<Time> {
    let time = |(word, name, ..): (&str, &'static str, i64, i64)| Time {
        name,
        address: format!("/ui?time={word}"),
        is_here: word == chosen,
    };
    TIMES.into_iter().map(time).collect()
}

fn figures(trend: &Trend) -> Vec<Figure> {
    let outcome = |outcome: Outcome| Figure {
        name: outcome.as_str().to_owned(),
        value: markup::count(trend.whole.ended(outcome)),
        tone: markup::tone(outcome),
        // Most rejections leave no record of a change.
        address: match outcome {
            Outcome::Rejected => "/ui/audit?topic=activity&outcome=rejected".to_owned(),
            _ => format!("/ui/changes?outcome={}", outcome.as_str()),
        },
    };
    let mut figures: Vec<Figure> = Outcome::ALL.into_iter().map(outcome).collect();
    figures.push(Figure {
        name: "running".to_owned(),
        value: markup::count(trend.whole.running),
        tone: "run",
        address: "/ui/changes?outcome=running".to_owned(),
    });
    let latency = |name: &str, value: Option<i64>| Figure {
        name: name.to_owned(),
        value: value.map_or_else(
            || "–".to_owned(),
            |ms| format!("≤ {}", markup::milliseconds(ms)),
        ),
        tone: "plain",
        address: String::new(),
    };
    figures.push(latency("median time", trend.whole.median_ms));
    figures.push(latency("95 % within", trend.whole.slow_ms));
    figures
}

fn rows(trend: &Trend) -> Vec<Row> {
    let told = |value: Option<i64>| value.map_or_else(|| "–".to_owned(), markup::milliseconds);
    let spans = trend.spans.iter().rev().filter(|span| span.total() > 0);
    spans
        .map(|span| Row {
            at: markup::time(span.at),
            counts: span.outcomes.into_iter().chain([span.running]).collect(),
            median: told(span.median_ms),
            slow: told(span.slow_ms),
        })
        .collect()
}

async fn divergences(app: &App) -> Result<Vec<Concern>> {
    let found = app.open_divergences(LISTED + 1).await?;
    let mut concerns: Vec<Concern> = found
        .iter()
        .take(LISTED as usize)
        .map(|record| {
            let targets: Vec<&str> = record
                .diverged
                .iter()
                .map(|one| one.target.as_str())
                .collect();
            Concern {
                tone: "bad",
                kind: "Diverged change",
                what: markup::object(&record.object.to_string()),
                why: format!("Differs in {}", targets.join(", ")),
                link: address::change(record.id),
                action: "Look and heal",
            }
        })
        .collect();
    if found.len() > concerns.len() {
        concerns.push(Concern {
            tone: "bad",
            kind: "Diverged changes",
            what: Markup::trusted("And more".to_owned()),
            why: "More divergences wait than are listed here".to_owned(),
            link: "/ui/changes?outcome=open".to_owned(),
            action: "Show all",
        });
    }
    Ok(concerns)
}

async fn reconciliations(app: &App, visit: &Visit) -> Result<Vec<Concern>> {
    let mut concerns = Vec::new();
    for one in app.quarantined().await? {
        let until = one
            .quarantined_until
            .map(|at| at.format("%Y-%m-%d %H:%M").to_string());
        concerns.push(Concern {
            tone: "bad",
            kind: "Quarantined mapping",
            what: plain(&one.name),
            why: format!(
                "Paused until {}: {}",
                until.unwrap_or_default(),
                visit
                    .veil()
                    .text(None, &one.quarantined_because.unwrap_or_default())
            ),
            link: format!("/ui/recon?mapping={}", address::encoded(&one.name)),
            action: "Show runs",
        });
    }
    for one in app.syncables().await? {
        let held = one.held_back.filter(|held| held.approved_by.is_none());
        if let Some(held) = held {
            concerns.push(Concern {
                tone: "warn",
                kind: "Deletions held back",
                what: plain(&one.name),
                why: format!("{} records are gone: {}", held.gone, held.because),
                link: "/ui/recon".to_owned(),
                action: "Look",
            });
        }
    }
    let mut seen: Vec<String> = Vec::new();
    for run in app.recons(None).await? {
        // Only the latest run of a mapping waits for somebody.
        if seen.contains(&run.mapping) || run.wanted.dry_run {
            continue;
        }
        seen.push(run.mapping.clone());
        if run.counts.held > 0 && run.approved_by.is_none() && run.ended.is_some() {
            concerns.push(Concern {
                tone: "warn",
                kind: "Deletions held back",
                what: plain(&run.mapping),
                why: format!("{} deletions wait for somebody's word", run.counts.held),
                link: format!("/ui/recon/{}", run.id),
                action: "Look and approve",
            });
        }
    }
    Ok(concerns)
}

fn problems(app: &App) -> Vec<Concern> {
    let problems = app.problems();
    let list = problems.get("problems").and_then(Value::as_array);
    let errors = list
        .into_iter()
        .flatten()
        .filter(|one| at(one, "/severity") == "error");
    errors
        .take(LISTED as usize)
        .map(|problem| Concern {
            tone: "bad",
            kind: "Edit not in force",
            what: plain(at(problem, "/file").as_str().unwrap_or_default()),
            why: match at(problem, "/place") {
                Value::Number(line) => format!("line {line}: {}", text(at(problem, "/message"))),
                _ => text(at(problem, "/message")),
            },
            link: at(problem, "/file")
                .as_str()
                .and_then(|file| file.strip_prefix("hooks/"))
                .map_or_else(
                    || "/ui/hooks#problems".to_owned(),
                    |file| format!("/ui/hooks/edit?file={}", address::encoded(file)),
                ),
            action: "Show",
        })
        .collect()
}

fn circuits(app: &App, visit: &Visit) -> Vec<Concern> {
    let open = app.connector_health().into_iter().filter(|connector| {
        let circuit = at(connector, "/health/circuit").as_str();
        circuit.is_some_and(|state| state != "closed")
    });
    open.map(|connector| Concern {
        tone: "bad",
        kind: "Target held off",
        what: plain(at(&connector, "/name").as_str().unwrap_or_default()),
        why: format!(
            "Changes are refused until it answers again: {}",
            visit
                .veil()
                .text(None, &text(at(&connector, "/health/lastFailure/message")))
        ),
        link: "/ui/connectors".to_owned(),
        action: "Test it",
    })
    .collect()
}

async fn scripts(app: &App, visit: &Visit) -> Result<Vec<Concern>> {
    let runs = app.script_runs().await?;
    let failing = runs.iter().filter(|(_, runs)| runs.errors > 0);
    Ok(failing
        .take(LISTED as usize)
        .map(|(name, runs)| Concern {
            tone: "warn",
            kind: "Hook that fails",
            what: plain(name),
            why: format!(
                "{} of {} runs lately: {}",
                runs.errors,
                runs.runs,
                markup::cut(
                    &visit
                        .veil()
                        .text(None, runs.last_error.as_deref().unwrap_or_default()),
                    160
                )
            ),
            link: format!("/ui/hooks/edit?file={}", address::encoded(name)),
            action: "Open",
        })
        .collect())
}

async fn events(app: &App) -> Result<Vec<Concern>> {
    let stuck = app.stuck_events().await?;
    Ok(stuck
        .into_iter()
        .take(LISTED as usize)
        .map(|one| {
            let way = if one.direction == "delivery" {
                "deliveries"
            } else {
                "events"
            };
            let name = address::encoded(&one.connector);
            Concern {
                tone: if one.dead > 0 { "bad" } else { "warn" },
                kind: if one.dead > 0 {
                    "Dead letters"
                } else {
                    "Events that fail"
                },
                what: plain(&one.connector),
                why: format!(
                    "{} {} failed, {} of them are not tried again by themselves",
                    one.errored, one.direction, one.dead
                ),
                link: format!("/ui/queue/{way}/{name}?state=errored"),
                action: "Look and retry",
            }
        })
        .collect())
}

fn plain(text: &str) -> Markup {
    Markup::trusted(markup::escaped(text))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
