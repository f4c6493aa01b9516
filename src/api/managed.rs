//! `/managed/TYPE[/ID]`: managed objects.
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, address, answer,
    body::{JsonBody, kind},
    call::Call,
    change::{self, Asked},
    error::{Failure, Result},
    openapi::{
        self, ActionParameters, ChangeHeaders, ConditionHeaders, FieldParameters, ObjectPath,
        PlanParameters, QueryParameters, TypePath,
    },
    page,
    parameters::wrong,
};
use crate::model::{
    Container, Object, Precondition, Requested,
    object::{ID, REV},
};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(query, act))
        .routes(routes!(read, put, patch, delete, act_on_one))
}

/// Query managed objects
///
/// Finds the objects of a type that a filter describes, in pages. Confidential attributes are not
/// shown.
#[utoipa::path(get, path = "/managed/{type}", tag = "managed", operation_id = "queryManaged",
    params(TypePath, QueryParameters),
    responses((status = 200, description = "One page of what was found", body = openapi::QueryResult)))]
async fn query(State(api): State<Api>, call: Call) -> Result<Response> {
    let query = call.parameters().query()?;
    let container = container(&call)?;
    let found = api
        .app
        .query(&container, &query.search, &call.caller().name)
        .await?;
    Ok(page::answered(&call, &query, page::objects(found)))
}

/// Create a managed object, or plan its creation
///
/// `_action=create` creates an object; without an `_id` in it, it gets a fresh one. `_action=plan`
/// with `operation=create` shows what that would write, and writes nothing.
#[utoipa::path(post, path = "/managed/{type}", tag = "managed", operation_id = "createManaged",
    params(TypePath, ActionParameters, PlanParameters, FieldParameters, ChangeHeaders),
    request_body(content = openapi::ManagedObject, content_type = "application/json"),
    responses(
        (status = 200, description = "The plan (`_action=plan`)", body = openapi::Plan),
        (status = 201, description = "The new object", body = openapi::ManagedObject),
        (status = 202, description = "Admitted (`Prefer: respond-async`)", body = openapi::Admitted)))]
async fn act(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    if call.action() == "plan" {
        let operation = call.parameters().need("operation")?;
        if operation != "create" {
            return Err(wrong(
                "operation",
                "create where the address names no object",
                operation,
            ));
        }
        let asked = creation(&api, &call, body).await?;
        return change::plan(&api, &call, asked).await;
    }
    let asked = creation(&api, &call, body).await?;
    change::carry_out(&api, &call, asked).await
}

/// Read a managed object
///
/// Confidential attributes are not shown. `If-None-Match` with the revision that the caller holds
/// is answered with 304.
#[utoipa::path(get, path = "/managed/{type}/{id}", tag = "managed", operation_id = "readManaged",
    params(ObjectPath, FieldParameters,
        ("If-None-Match" = Option<String>, Header, description = "The revision that the caller holds")),
    responses(
        (status = 200, description = "The object", body = openapi::ManagedObject,
            headers(("ETag" = String, description = "The revision, quoted"))),
        (status = 304, description = "The object still has the revision that the caller holds")))]
async fn read(State(api): State<Api>, call: Call) -> Result<Response> {
    let fields = call.parameters().fields()?;
    let name = container(&call)?.object(id(&call)?);
    let object = api.app.read(&name, &call.caller().name).await?;
    let revision = object.get(REV).and_then(Value::as_str).map(str::to_owned);
    let mut response = match &revision {
        Some(revision) if call.holds(revision) => StatusCode::NOT_MODIFIED.into_response(),
        _ => call.ok(&Value::Object(answer::select(object, &fields))),
    };
    if let Some(revision) = &revision {
        answer::tag(&mut response, revision);
        // A copy may be kept, but must be checked before each use.
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    Ok(response)
}

/// Create or replace a managed object
///
/// Without a precondition the object is created or replaced. Confidential attributes that are left
/// out keep their values.
#[utoipa::path(put, path = "/managed/{type}/{id}", tag = "managed", operation_id = "putManaged",
    params(ObjectPath, FieldParameters, ConditionHeaders, ChangeHeaders),
    request_body(content = openapi::ManagedObject, content_type = "application/json"),
    responses(
        (status = 200, description = "The object as it is now", body = openapi::ManagedObject),
        (status = 201, description = "The new object", body = openapi::ManagedObject),
        (status = 202, description = "Admitted (`Prefer: respond-async`)", body = openapi::Admitted)))]
async fn put(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let asked = replacement(&api, &call, body).await?;
    change::carry_out(&api, &call, asked).await
}

/// Change parts of a managed object
///
/// The content type chooses the form of the patch: CREST operations, JSON Patch or Merge Patch.
#[utoipa::path(patch, path = "/managed/{type}/{id}", tag = "managed", operation_id = "patchManaged",
    params(ObjectPath, FieldParameters, ConditionHeaders, ChangeHeaders),
    request_body(content(
        (Vec<openapi::CrestOperation> = "application/json"),
        (Vec<openapi::JsonPatchOperation> = "application/json-patch+json"),
        (openapi::ManagedObject = "application/merge-patch+json"))),
    responses(
        (status = 200, description = "The object as it is now", body = openapi::ManagedObject),
        (status = 202, description = "Admitted (`Prefer: respond-async`)", body = openapi::Admitted)))]
async fn patch(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let asked = partial(&api, &call, body).await?;
    change::carry_out(&api, &call, asked).await
}

/// Delete a managed object
///
/// Its targets go first; the answer holds the deleted object.
#[utoipa::path(delete, path = "/managed/{type}/{id}", tag = "managed", operation_id = "deleteManaged",
    params(ObjectPath, FieldParameters, ConditionHeaders, ChangeHeaders),
    responses(
        (status = 200, description = "The object that was deleted", body = openapi::ManagedObject),
        (status = 202, description = "Admitted (`Prefer: respond-async`)", body = openapi::Admitted)))]
async fn delete(State(api): State<Api>, call: Call) -> Result<Response> {
    let asked = removal(&call)?;
    change::carry_out(&api, &call, asked).await
}

/// Plan a change of a managed object
///
/// `_action=plan` with `operation` shows what the change would write, and writes nothing. The body
/// and the headers are those of the change.
#[utoipa::path(post, path = "/managed/{type}/{id}", tag = "managed", operation_id = "planManaged",
    params(ObjectPath, ActionParameters, PlanParameters, ConditionHeaders),
    request_body(content(
        (openapi::ManagedObject = "application/json"),
        (Vec<openapi::JsonPatchOperation> = "application/json-patch+json"),
        (openapi::ManagedObject = "application/merge-patch+json"))),
    responses((status = 200, description = "The plan", body = openapi::Plan)))]
async fn act_on_one(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let asked = match call.parameters().need("operation")?.to_owned().as_str() {
        "create" => {
            let mut asked = replacement(&api, &call, body).await?;
            if let Requested::Replace { precondition, .. } = &mut asked.requested {
                *precondition = Precondition::Absent;
            }
            asked.method = "create";
            asked
        }
        "update" => replacement(&api, &call, body).await?,
        "patch" => partial(&api, &call, body).await?,
        "delete" => removal(&call)?,
        other => return Err(wrong("operation", "create, update, patch or delete", other)),
    };
    change::plan(&api, &call, asked).await
}

async fn creation(api: &Api, call: &Call, body: Body) -> Result<Asked> {
    let (text, mut object) = sent_object(api, call, body).await?;
    let content = Value::Object(object.clone());
    let id = taken_id(&mut object)?;
    Ok(Asked {
        container: container(call)?,
        requested: Requested::Create {
            id,
            content: object,
        },
        method: "create",
        content,
        text,
    })
}

async fn replacement(api: &Api, call: &Call, body: Body) -> Result<Asked> {
    let precondition = call.precondition()?;
    let id = id(call)?.to_owned();
    let (text, mut object) = sent_object(api, call, body).await?;
    let content = Value::Object(object.clone());
    if let Some(other) = taken_id(&mut object)?.filter(|other| *other != id) {
        return Err(Failure::bad(format!(
            "the body's `_id` is `{other}`, the address names `{id}`"
        )));
    }
    let method = match precondition {
        Precondition::Absent => "create",
        Precondition::None | Precondition::Exists | Precondition::Revision(_) => "update",
    };
    Ok(Asked {
        container: container(call)?,
        requested: Requested::Replace {
            id,
            content: object,
            precondition,
        },
        method,
        content,
        text,
    })
}

async fn partial(api: &Api, call: &Call, body: Body) -> Result<Asked> {
    let precondition = existing(call)?;
    let id = id(call)?.to_owned();
    let body = call.json(body, &api.settings.limits).await?;
    let (text, content) = (body.text.clone(), body.value.clone());
    Ok(Asked {
        container: container(call)?,
        requested: Requested::Patch {
            id,
            patch: body.patch()?,
            precondition,
        },
        method: "patch",
        content,
        text,
    })
}

fn removal(call: &Call) -> Result<Asked> {
    Ok(Asked {
        container: container(call)?,
        requested: Requested::Delete {
            id: id(call)?.to_owned(),
            precondition: existing(call)?,
        },
        method: "delete",
        content: Value::Null,
        text: Bytes::new(),
    })
}

/// The precondition of a change that only an existing object can have.
fn existing(call: &Call) -> Result<Precondition> {
    match call.precondition()? {
        Precondition::Absent => Err(Failure::bad(
            "`If-None-Match: *` asks for an object that does not exist, there is nothing to change then",
        )),
        other => Ok(other),
    }
}

async fn sent_object(api: &Api, call: &Call, body: Body) -> Result<(Bytes, Object)> {
    let body: JsonBody = call.json(body, &api.settings.limits).await?;
    let text = body.text.clone();
    Ok((text, body.object()?))
}

/// Takes `_id` and `_rev` out of an object as it was sent, and gives the id.
fn taken_id(object: &mut Object) -> Result<Option<String>> {
    object.shift_remove(REV);
    match object.shift_remove(ID) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) => address::checked_id(&id).map(|id| Some(id.to_owned())),
        Some(other) => Err(Failure::bad(format!(
            "`_id` must be a text, found {}",
            kind(&other)
        ))),
    }
}

fn container(call: &Call) -> Result<Container> {
    Ok(Container::managed(call.segment(1)?))
}

fn id(call: &Call) -> Result<&str> {
    address::checked_id(call.segment(2)?)
}
