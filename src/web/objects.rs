//! Managed objects: the way to one of them, and lists for who may read them.
use askama::Template;
use axum::extract::State;
use serde_json::Value;

use super::{
    Pages, address,
    changes::Choice,
    guard::{Visit, redirect},
    layout::{Layout, page as rendered},
    markup, rights,
    trouble::{Result, Trouble},
};
use crate::{
    app::{App, Count, Search},
    model::{Container, Filter, Object, object::ID},
};

/// How many objects a page has.
const PAGE: usize = 40;
/// How many attributes of each are shown.
const SHOWN: usize = 4;

#[derive(Template)]
#[template(path = "objects.html")]
struct Objects {
    layout: Layout,
    types: Vec<Choice>,
    kind: String,
    id: String,
    filter: String,
    may_read: bool,
    names: Vec<String>,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    id: String,
    address: String,
    values: Vec<String>,
}

/// Shows the form and, to who may read objects, a list.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let app = &pages.app;
    let query = visit.query();
    let setup = app.engine().setup();
    let known: Vec<String> = setup.types.keys().cloned().collect();
    let first = known.first().cloned().unwrap_or_default();
    let kind = query.text("type").unwrap_or(first);
    if let Some(id) = query.get("id") {
        let id = id.strip_prefix(&format!("managed/{kind}/")).unwrap_or(id);
        let page = format!(
            "/ui/objects/{}/{}",
            address::encoded(&kind),
            address::encoded(id)
        );
        return Ok(redirect(&page));
    }
    let filter = query.shown("filter");
    let may_read = visit.may(rights::CALLER);
    let (names, rows, next) = match may_read && known.contains(&kind) {
        true => found(app, &visit, &kind, &filter).await?,
        false => Default::default(),
    };
    rendered(&Objects {
        layout: Layout::new(&visit, "Objects"),
        types: known
            .into_iter()
            .map(|name| Choice {
                is_chosen: name == kind,
                label: name.clone(),
                value: name,
            })
            .collect(),
        id: String::new(),
        kind,
        filter,
        may_read,
        names,
        rows,
        next,
    })
}

type Listed = (Vec<String>, Vec<Row>, Option<String>);

async fn found(app: &App, visit: &Visit, kind: &str, filter: &str) -> Result<Listed> {
    let wrong = |error: &dyn std::fmt::Display| {
        let message = format!("The filter cannot be read: {error}");
        Trouble::new(400, message).back_to("/ui/objects")
    };
    let sought = match filter {
        "" => Filter::Literal(true),
        text => Filter::parse(text).map_err(|error| wrong(&error))?,
    };
    let container = Container::managed(kind);
    let named = container.to_string();
    let checked = visit.veil().check_fields(&named, sought.fields());
    checked.map_err(|error| wrong(&error))?;
    let search = Search {
        filter: sought,
        sort: Vec::new(),
        page_size: Some(PAGE),
        cookie: visit.query().text("after"),
        offset: 0,
        count: Count::None,
    };
    let found = app.query(&container, &search, visit.caller()).await?;
    let mut names = columns(app, kind);
    names.retain(|name| !visit.veil().of_container(&named).contains(name));
    let rows = found.results.iter().map(|object| row(kind, &names, object));
    let next = found.cookie.map(|cookie| {
        let filter = address::encoded(filter);
        let kind = address::encoded(kind);
        format!(
            "/ui/objects?type={kind}&filter={filter}&after={}",
            address::encoded(&cookie)
        )
    });
    Ok((names.clone(), rows.collect(), next))
}

/// The first attributes of the type that are not confidential.
fn columns(app: &App, kind: &str) -> Vec<String> {
    let setup = app.engine().setup();
    let Some(managed) = setup.types.get(kind) else {
        return Vec::new();
    };
    let properties = managed.schema.get("properties").and_then(Value::as_object);
    let names = properties.into_iter().flat_map(serde_json::Map::keys);
    let open = names.filter(|name| !managed.confidential.contains(name) && *name != ID);
    open.take(SHOWN).cloned().collect()
}

fn row(kind: &str, names: &[String], object: &Object) -> Row {
    let id = object.get(ID).and_then(Value::as_str).unwrap_or_default();
    let values = names.iter().map(|name| {
        let value = object.get(name).filter(|value| !value.is_null());
        value.map_or_else(String::new, |value| markup::value(value, 60))
    });
    Row {
        address: format!(
            "/ui/objects/{}/{}",
            address::encoded(kind),
            address::encoded(id)
        ),
        id: id.to_owned(),
        values: values.collect(),
    }
}
