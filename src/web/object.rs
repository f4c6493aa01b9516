//! One object: what each system holds of it now, its history, and what a change of it would do.
use askama::Template;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{
    Pages, address,
    changes::{self, Row},
    guard::Visit,
    layout::{Layout, page_with},
    markup::{self, Markup, at, member},
    rights,
    sides::Sides,
    trouble::{Result, Trouble},
};
use crate::{
    app::{App, ChangeLook, Standing},
    model::{
        ChangeRequest, Container, Object, Precondition, Requested, ResourceName,
        object::{ID, REV},
        patch::Patch,
    },
};
use axum::http::StatusCode;

/// How many changes of its history are shown.
const HISTORY: usize = 15;
/// How many attributes the form offers as fields.
const FIELDS: usize = 40;

#[derive(Template)]
#[template(path = "object.html")]
struct Page {
    layout: Layout,
    name: String,
    action: String,
    sees_object: bool,
    object: Vec<(String, String)>,
    missing: Option<String>,
    sees_systems: bool,
    systems: Vec<System>,
    unplanned: Option<String>,
    sees_history: bool,
    rows: Vec<Row>,
    history: String,
    may_plan: bool,
    fields: Vec<Field>,
    json: String,
    operation: String,
    planned: Option<Planned>,
}

/// What one system holds.
struct System {
    mapping: String,
    target: String,
    badge: Markup,
    note: String,
    error: Option<String>,
    sides: Option<Markup>,
}

/// One attribute in the form.
struct Field {
    name: String,
    kind: &'static str,
    value: String,
    /// What it held when the page was made: what is left as it was changes nothing.
    was: String,
    step: &'static str,
}

/// What a change would do.
struct Planned {
    error: Option<String>,
    object: Option<Markup>,
    writes: Vec<System>,
    skipped: Vec<String>,
}

/// Shows it.
pub(super) async fn page(
    State(pages): State<Pages>,
    Path((kind, id)): Path<(String, String)>,
    visit: Visit,
) -> Result {
    shown(&pages.app, &visit, &kind, &id, None).await
}

/// Shows it with what a change would do. Nothing is written.
pub(super) async fn plan(
    State(pages): State<Pages>,
    Path((kind, id)): Path<(String, String)>,
    visit: Visit,
) -> Result {
    let app = &pages.app;
    let name = Container::managed(&kind).object(&id);
    let requested = requested(app, &visit, &name).await;
    let requested = requested.and_then(|asked| check_unseen(&visit, &name, asked));
    let planned = match requested {
        Ok(requested) => {
            let before = app.read(&name, visit.caller()).await.ok();
            let plan = app.plan(request(&visit, &name, requested)).await;
            told(&visit, &name, plan, before)
        }
        Err(message) => Planned {
            error: Some(message),
            object: None,
            writes: Vec::new(),
            skipped: Vec::new(),
        },
    };
    shown(app, &visit, &kind, &id, Some(planned)).await
}

async fn shown(app: &App, visit: &Visit, kind: &str, id: &str, planned: Option<Planned>) -> Result {
    let name = Container::managed(kind).object(id);
    let setup = app.engine().setup();
    let managed = setup.types.get(kind);
    let managed =
        managed.ok_or_else(|| Trouble::new(404, format!("There is no type `{kind}`.")))?;
    let sees_object = visit.may(rights::CALLER);
    let (object, missing) = match sees_object {
        false => (None, None),
        true => match app.read(&name, visit.caller()).await {
            Ok(object) => (Some(seen(visit, &name, object)), None),
            Err(error) if error.code == 404 => (None, Some(error.message)),
            Err(error) => {
                let container = name.container.to_string();
                let why = visit.veil().text(Some(&container), &error.message);
                (None, Some(why))
            }
        },
    };
    let sees_systems = visit.may(rights::HOOKS);
    let (systems, unplanned) = match sees_systems {
        true => {
            let standings = app.standings(&name, visit.caller()).await?;
            let veil = visit.veil();
            let container = name.container.to_string();
            let unplanned = standings.unplanned;
            (
                standings
                    .rows
                    .iter()
                    .map(|one| system(visit, one))
                    .collect(),
                unplanned.map(|why| veil.text(Some(&container), &why)),
            )
        }
        false => (Vec::new(), None),
    };
    let sees_history = visit.is_auditor();
    let rows = match sees_history {
        true => history(app, &name).await?,
        false => Vec::new(),
    };
    let form = visit.form();
    let shown = object.as_ref();
    let text = form.raw("json").map(str::to_owned);
    let status = match planned
        .as_ref()
        .is_some_and(|planned| planned.error.is_some())
    {
        true => StatusCode::BAD_REQUEST,
        false => StatusCode::OK,
    };
    let hidden = visit.veil().of_container(&name.container.to_string());
    let closed = [managed.confidential.as_slice(), hidden].concat();
    let page = Page {
        layout: Layout::new(visit, name.to_string()),
        action: format!(
            "/ui/objects/{}/{}",
            address::encoded(kind),
            address::encoded(id)
        ),
        history: format!("/ui/changes?object={}", address::encoded(&name.to_string())),
        fields: fields(&managed.schema, &closed, shown, visit),
        json: text.unwrap_or_else(|| pretty(shown)),
        operation: form.get("operation").unwrap_or("fields").to_owned(),
        object: listed(shown),
        may_plan: visit.may(rights::PLANNER),
        name: name.to_string(),
        sees_object,
        missing,
        sees_systems,
        systems,
        unplanned,
        sees_history,
        rows,
        planned,
    };
    page_with(status, &page)
}

async fn history(app: &App, name: &ResourceName) -> Result<Vec<Row>> {
    let look = ChangeLook {
        objects: vec![name.to_string()],
        nested: true,
        ..ChangeLook::default()
    };
    let looked = app.look_for_changes(&look, HISTORY).await?;
    Ok(looked.results.iter().map(changes::row).collect())
}

/// An object without what the visitor does not see.
fn seen(visit: &Visit, name: &ResourceName, object: Object) -> Object {
    let container = name.container.to_string();
    match visit.veil().objects(&container, Value::Object(object)) {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// Refuses to plan what touches an attribute that the visitor does not see: whether the plan writes
/// anything would tell what it holds.
fn check_unseen(
    visit: &Visit,
    name: &ResourceName,
    requested: Requested,
) -> std::result::Result<Requested, String> {
    let container = name.container.to_string();
    let hidden = visit.veil().of_container(&container);
    let touched = match &requested {
        Requested::Replace { content, .. } => Some(content),
        Requested::Patch {
            patch: Patch::Merge(members),
            ..
        } => Some(members),
        _ => None,
    };
    let touches =
        |attribute: &&String| touched.is_some_and(|members| members.contains_key(*attribute));
    match hidden.iter().find(touches) {
        None => Ok(requested),
        Some(attribute) => Err(format!(
            "`{attribute}` is not shown to you, and a plan would tell what it holds. Leave it out."
        )),
    }
}

/// Whether the visitor may see what a container holds: managed objects are for callers alone.
fn sees(visit: &Visit, container: &str) -> bool {
    visit.may(rights::CALLER) || !container.starts_with("managed/")
}

fn system(visit: &Visit, one: &Standing) -> System {
    let (badge, note) = match (&one.now, one.operation.as_deref()) {
        (Err(_), _) => (markup::badge("bad", "cannot be read"), String::new()),
        (Ok(None), None) => (markup::badge("mild", "holds nothing"), one.note.clone()),
        (Ok(None), Some(_)) => (markup::badge("bad", "missing"), one.note.clone()),
        (Ok(Some(_)), None) => (markup::badge("good", "agrees"), one.note.clone()),
        (Ok(Some(_)), Some("delete")) => (
            markup::badge("bad", "should not be there"),
            one.note.clone(),
        ),
        (Ok(Some(_)), Some(_)) => (markup::badge("warn", "differs"), one.note.clone()),
    };
    let now = one.now.as_ref().ok().and_then(Option::as_ref);
    let wanted = match &one.operation {
        Some(_) => one.wanted.as_ref(),
        None => now,
    };
    let veil = visit.veil();
    let shown = |object: &Object| veil.masked_object(&one.target, object.clone());
    let caption = format!("What {} holds and should hold", one.target);
    let any = now.or(wanted).filter(|_| sees(visit, &one.target));
    let sides = any.map(|_| {
        let changed = veil.changed_unseen(&one.target, now, wanted);
        let (now, wanted) = (now.map(shown), wanted.map(shown));
        let both = ("Holds now", now.as_ref());
        let sides = Sides::named(&caption, both, ("Should hold", wanted.as_ref()));
        Markup::trusted(sides.with_changed(&changed).to_string())
    });
    System {
        mapping: one.mapping.clone(),
        target: one
            .target_id
            .as_deref()
            .map_or_else(|| one.target.clone(), |id| format!("{}/{id}", one.target)),
        badge,
        note,
        error: one
            .now
            .as_ref()
            .err()
            .map(|why| veil.text(Some(&one.target), why)),
        sides,
    }
}

/// What a plan says, or why there is none, as the visitor sees it.
fn told(
    visit: &Visit,
    name: &ResourceName,
    plan: std::result::Result<Value, crate::app::Error>,
    before: Option<Object>,
) -> Planned {
    let container = name.container.to_string();
    let veil = visit.veil();
    let plan = match plan {
        Ok(plan) => veil.document(Some(&container), plan),
        Err(error) => {
            let message = veil.text(Some(&container), &error.message);
            return Planned {
                error: Some(format!("{}: {message}", error.code)),
                object: None,
                writes: Vec::new(),
                skipped: Vec::new(),
            };
        }
    };
    let rows = |list: &str| member(&plan, list).as_array().cloned().unwrap_or_default();
    let before = before.filter(|_| sees(visit, &container));
    let object = before.map(|before| {
        let before = veil.masked_object(&container, before);
        let after = at(&plan, "/object").as_object();
        let sides = Sides::new("The object before and after", Some(&before), after);
        Markup::trusted(sides.to_string())
    });
    Planned {
        error: None,
        object,
        writes: rows("writes").iter().map(|row| write(visit, row)).collect(),
        skipped: rows("skipped").iter().map(skipped).collect(),
    }
}

fn write(visit: &Visit, row: &Value) -> System {
    let text = |name: &str| member(row, name).as_str().unwrap_or_default().to_owned();
    let target = match at(row, "/targetId").as_str() {
        Some(id) => format!("{}/{id}", text("target")),
        None => text("target"),
    };
    let caption = format!("{target} before and after");
    let sides = sees(visit, &text("target")).then(|| {
        let (before, after) = (at(row, "/before"), at(row, "/after"));
        Sides::new(&caption, before.as_object(), after.as_object()).to_string()
    });
    System {
        mapping: text("mapping"),
        badge: markup::badge("run", &text("operation")),
        note: text("situation"),
        error: None,
        sides: sides.map(Markup::trusted),
        target,
    }
}

fn skipped(row: &Value) -> String {
    let text = |name: &str| member(row, name).as_str().unwrap_or_default();
    let reason = match text("reason") {
        "" => at(row, "/cause/message").as_str().unwrap_or_default(),
        reason => reason,
    };
    format!(
        "{} → {}: {} ({reason})",
        text("mapping"),
        text("target"),
        text("situation")
    )
}

fn request(visit: &Visit, name: &ResourceName, requested: Requested) -> ChangeRequest {
    let (method, content) = match &requested {
        Requested::Patch { .. } => ("patch", Value::Null),
        Requested::Delete { .. } => ("delete", Value::Null),
        Requested::Replace { content, .. } => ("update", Value::Object(content.clone())),
        Requested::Create { .. } | Requested::Notify { .. } => ("create", Value::Null),
    };
    ChangeRequest {
        container: name.container.clone(),
        caller: visit.caller().to_owned(),
        transaction_id: visit.transaction_id().to_owned(),
        idempotency: None,
        unseen: visit
            .veil()
            .of_container(&name.container.to_string())
            .to_vec(),
        request: json!({
            "method": method,
            "resourcePath": name,
            "content": content,
            "revision": null,
            "additionalParameters": {},
        }),
        requested,
    }
}

/// The change that the form describes, or what is wrong with it.
async fn requested(
    app: &App,
    visit: &Visit,
    name: &ResourceName,
) -> std::result::Result<Requested, String> {
    let form = visit.form();
    let (id, precondition) = (name.id.clone(), Precondition::None);
    match form.get("operation") {
        Some("delete") => Ok(Requested::Delete { id, precondition }),
        Some("patch") => Ok(Requested::Patch {
            id,
            patch: Patch::Merge(parsed(form.raw("json").unwrap_or_default())?),
            precondition,
        }),
        Some("update") => {
            let mut content = parsed(form.raw("json").unwrap_or_default())?;
            for member in [ID, REV] {
                content.shift_remove(member);
            }
            Ok(Requested::Replace {
                id,
                content,
                precondition,
            })
        }
        _ => {
            let setup = app.engine().setup();
            let managed = setup.managed(&name.container);
            let schema = managed
                .map(|managed| &managed.schema)
                .unwrap_or(&Value::Null);
            Ok(Requested::Patch {
                id,
                patch: Patch::Merge(edited(schema, visit)?),
                precondition,
            })
        }
    }
}

fn parsed(text: &str) -> std::result::Result<Object, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("The JSON must be an object.".to_owned()),
        Err(error) => Err(format!("This is no JSON: {error}.")),
    }
}

/// The fields that somebody changed, as a merge patch. An emptied field removes its attribute.
fn edited(schema: &Value, visit: &Visit) -> std::result::Result<Object, String> {
    let form = visit.form();
    let mut patch = Object::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let (Some(now), Some(before)) = (
            form.raw(&format!("now.{name}")),
            form.raw(&format!("was.{name}")),
        ) else {
            continue;
        };
        if now == before {
            continue;
        }
        patch.insert(name.clone(), value_of(name, kind(property), now)?);
    }
    match patch.is_empty() {
        true => Err("No field was changed.".to_owned()),
        false => Ok(patch),
    }
}

fn value_of(name: &str, kind: &str, text: &str) -> std::result::Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let wrong = || format!("`{name}` must be a {kind}.");
    match kind {
        "number" => serde_json::from_str(text).map_err(|_| wrong()),
        "boolean" => text.parse().map(Value::Bool).map_err(|_| wrong()),
        _ => Ok(json!(text)),
    }
}

/// What a field of the form holds; nothing for what only JSON can write.
fn kind(property: &Value) -> &'static str {
    match property.get("type").and_then(Value::as_str) {
        Some("string") => "text",
        Some("integer" | "number") => "number",
        Some("boolean") => "boolean",
        _ => "",
    }
}

fn fields(schema: &Value, closed: &[String], object: Option<&Object>, visit: &Visit) -> Vec<Field> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let open = properties.into_iter().flatten().filter(|(name, property)| {
        !kind(property).is_empty() && !closed.contains(name) && *name != ID && *name != REV
    });
    open.take(FIELDS)
        .map(|(name, property)| {
            let held = object.and_then(|object| object.get(name));
            let held = held.filter(|value| !value.is_null());
            let held = held.map_or_else(String::new, |value| markup::value(value, 2_000));
            let sent = visit.form().raw(&format!("now.{name}"));
            Field {
                name: name.clone(),
                kind: kind(property),
                value: sent.map_or_else(|| held.clone(), str::to_owned),
                was: held,
                step: match at(property, "/type").as_str() {
                    Some("integer") => "1",
                    _ => "any",
                },
            }
        })
        .collect()
}

fn listed(object: Option<&Object>) -> Vec<(String, String)> {
    let members = object.into_iter().flatten();
    members
        .map(|(name, value)| (name.clone(), markup::value(value, 2_000)))
        .collect()
}

fn pretty(object: Option<&Object>) -> String {
    let mut object = object.cloned().unwrap_or_default();
    object.shift_remove(REV);
    serde_json::to_string_pretty(&object).unwrap_or_default()
}
