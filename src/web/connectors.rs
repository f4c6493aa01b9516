//! Target systems: their health as calls have shown it, and a test of each.
use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::Value;

use super::{
    Pages, address,
    guard::Visit,
    layout::{Layout, page_with},
    markup::{self, Markup, at, member},
    trouble::Result,
};

#[derive(Template)]
#[template(path = "connectors.html")]
struct Connectors {
    layout: Layout,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    test: String,
    kind: String,
    classes: String,
    health: Markup,
    since: String,
    figures: String,
    failure: String,
    tested: Option<Tested>,
}

/// What a test found.
struct Tested {
    ok: bool,
    message: String,
    capabilities: String,
}

/// Shows them.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    shown(&pages, &visit, None)
}

/// Tests one, and shows what that found.
pub(super) async fn test(
    State(pages): State<Pages>,
    Path(name): Path<String>,
    visit: Visit,
) -> Result {
    let tested = pages.app.test_connector(&name).await?;
    shown(&pages, &visit, Some((&name, tested)))
}

fn shown(pages: &Pages, visit: &Visit, tested: Option<(&str, Value)>) -> Result {
    let rows = pages.app.connector_health();
    let rows = rows
        .iter()
        .map(|one| row(visit, one, tested.as_ref()))
        .collect();
    let layout = Layout::new(visit, "Connectors");
    let layout = if tested.is_none() {
        layout.ticking()
    } else {
        layout
    };
    page_with(StatusCode::OK, &Connectors { layout, rows })
}

fn row(visit: &Visit, connector: &Value, tested: Option<&(&str, Value)>) -> Row {
    let name = at(connector, "/name").as_str().unwrap_or_default();
    let health = at(connector, "/health");
    let circuit = at(health, "/circuit").as_str();
    let number = |name: &str| member(health, name).as_u64().unwrap_or_default();
    let last = at(health, "/lastFailure");
    let failed_at = at(last, "/at").as_str().unwrap_or_default();
    Row {
        name: name.to_owned(),
        test: format!("/ui/connectors/{}/test", address::encoded(name)),
        kind: at(connector, "/connectorType")
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        classes: list(at(connector, "/objectTypes")),
        health: match circuit {
            Some("closed") => markup::badge("good", "takes changes"),
            Some("halfOpen") => markup::badge("warn", "on trial"),
            Some(_) => markup::badge("bad", "held off"),
            None => markup::badge("mild", "unknown"),
        },
        since: at(health, "/since")
            .as_str()
            .map(seconds)
            .unwrap_or_default(),
        figures: format!(
            "{} under way, {} waiting",
            number("inFlight"),
            number("waiting")
        ),
        failure: match at(last, "/message").as_str() {
            Some(message) => {
                let message = visit.veil().text(None, message);
                format!("{message} ({})", seconds(failed_at))
            }
            None => String::new(),
        },
        tested: tested
            .filter(|(tested, _)| *tested == name)
            .map(|(_, found)| Tested {
                ok: at(found, "/ok") == true,
                message: at(found, "/error").as_str().unwrap_or_default().to_owned(),
                capabilities: capabilities(at(found, "/capabilities")),
            }),
    }
}

fn list(value: &Value) -> String {
    let items = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    items.collect::<Vec<_>>().join(", ")
}

/// What the connector can promise, in words.
fn capabilities(value: &Value) -> String {
    let members = value.as_object().into_iter().flatten();
    let words = members.map(|(name, can)| match can {
        Value::Bool(true) => name.clone(),
        Value::Bool(false) => format!("no {name}"),
        other => format!("{name}: {other}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn seconds(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}
