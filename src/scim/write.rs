//! Creating, replacing, changing and deleting: each becomes one change for the engine.
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{ETAG, LOCATION},
    },
    response::Response,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    Scim,
    address::Address,
    answer,
    call::Call,
    error::{Failure, Result, ScimType, name_change},
    kept,
    list::{kind_at, missing, related},
    normal::{self, get, put},
    patch::{Patch, Patched},
    selection::Selection,
    turns::Turn,
};
use crate::{
    app::{Changed, Kept},
    model::{
        ChangeRequest, Container, Object, OperationId, Outcome, Precondition, Requested,
        ResourceName,
        change::IdempotencyKey,
        object::{ID, REV, same},
        pointer::Pointer,
        scim::{Mutability, ResourceType, Resources},
    },
};

/// How often a change is tried again that others overtook.
const ATTEMPTS: usize = 10;

/// A change that was carried out.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) status: StatusCode,
    pub(super) operation: OperationId,
    pub(super) outcome: Outcome,
    pub(super) location: String,
    /// The version as an entity tag.
    pub(super) version: Option<String>,
    /// The resource; none for a delete.
    pub(super) resource: Option<Value>,
}

impl Written {
    /// The answer.
    pub(super) fn answer(self) -> Response {
        let mut response = match &self.resource {
            Some(resource) => answer::json(self.status, resource),
            None => answer::nothing(),
        };
        let headers = response.headers_mut();
        if self.resource.is_some()
            && let Ok(location) = HeaderValue::from_str(&self.location)
        {
            headers.insert(LOCATION, location);
        }
        if let Some(Ok(tag)) = self.version.as_deref().map(HeaderValue::from_str) {
            headers.insert(ETAG, tag);
        }
        name_change(headers, self.operation, Some(self.outcome));
        response
    }
}

/// POST of a new resource, PUT and PATCH of one.
pub(super) async fn write(scim: &Scim, call: &Call, body: &Value) -> Result<Written> {
    let resources = call.resources(scim);
    let work = |endpoint: &str| -> Result<Work<'_>> {
        let kind = kind_at(&resources, endpoint)?;
        let selection = call.parameters.selection()?;
        Ok(Work {
            scim,
            call,
            resources: &resources,
            kind,
            selection,
            body,
        })
    };
    match (&call.address, call.method.as_str()) {
        (Address::Collection(endpoint), _) => work(endpoint)?.create().await,
        (Address::Resource(endpoint, id), "PUT") => {
            let work = work(endpoint)?;
            let sent = normal::resource(work.kind, work.object()?)?;
            normal::check_required(work.kind, &sent)?;
            work.modify(id, &Intent::Replace(sent)).await
        }
        (Address::Resource(endpoint, id), "PATCH") => {
            let patch = Patch::parse(body)?;
            work(endpoint)?.modify(id, &Intent::Patch(patch)).await
        }
        _ => Err(Failure::fault()),
    }
}

/// DELETE of a resource.
pub(super) async fn remove(scim: &Scim, call: &Call) -> Result<Written> {
    let Address::Resource(endpoint, id) = &call.address else {
        return Err(Failure::fault());
    };
    let resources = call.resources(scim);
    let work = Work {
        scim,
        call,
        resources: &resources,
        kind: kind_at(&resources, endpoint)?,
        selection: Selection::default(),
        body: &Value::Null,
    };
    let precondition = match &call.expected {
        super::call::Expected::Revisions(revisions) if revisions.len() > 1 => {
            let name = work.kind.container.object(id);
            let kept = work.read(&name).await?;
            call.expected.precondition(revision(&kept.object))
        }
        super::call::Expected::Revisions(revisions) => {
            Precondition::Revision(revisions.first().cloned().unwrap_or_default())
        }
        _ => Precondition::Exists,
    };
    let requested = Requested::Delete {
        id: id.clone(),
        precondition,
    };
    let key = call.attempt_key(0, &Value::Null);
    let request = work.request(requested, "delete", Value::Null, key);
    let changed = run(scim, call, request, None).await;
    let changed = changed.map_err(|failure| gone(failure, work.kind, id))?;
    Ok(Written {
        status: StatusCode::NO_CONTENT,
        operation: changed.operation,
        outcome: changed.outcome,
        location: related(scim, &resources, call).location(work.kind, id),
        version: None,
        resource: None,
    })
}

/// The words of a resource that is not there, for a change too.
fn gone(mut failure: Failure, kind: &ResourceType, id: &str) -> Failure {
    if failure.status == 404 {
        failure.detail = format!("there is no {} `{id}`", kind.name);
    }
    failure
}

/// What is to become of a resource.
enum Intent {
    /// This.
    Replace(Object),
    /// What the patch makes of it.
    Patch(Patch),
}

struct Work<'a> {
    scim: &'a Scim,
    call: &'a Call,
    resources: &'a Resources,
    kind: &'a ResourceType,
    selection: Selection,
    body: &'a Value,
}

impl Work<'_> {
    fn object(&self) -> Result<&Object> {
        self.body
            .as_object()
            .ok_or_else(|| Failure::bad(ScimType::InvalidSyntax, "the body must be a JSON object"))
    }

    async fn create(&self) -> Result<Written> {
        let sent = normal::resource(self.kind, self.object()?)?;
        normal::check_required(self.kind, &sent)?;
        let key = self.call.attempt_key(0, self.body);
        if let Some(changed) = self.answered(key.as_ref()).await? {
            return self.written(changed).await;
        }
        let (nothing, mut sent) = (Object::new(), sent);
        self.resolve(&nothing, &mut sent).await?;
        let changes = kept::changes(self.resources, self.kind, &nothing, &nothing, &sent)?;
        let mut content = Object::new();
        for (place, value) in changes {
            if let Some(value) = value {
                set(&place, value, &mut content)?;
            }
        }
        let told = Value::Object(content.clone());
        let requested = Requested::Create { id: None, content };
        let request = self.request(requested, "create", told, key);
        let changed = run(self.scim, self.call, request, None).await?;
        self.written(changed).await
    }

    /// Reads the resource, makes the change of it, and asks for that on condition that nothing else
    /// changed it meanwhile. Where something did, it begins anew, unless the caller named a version.
    async fn modify(&self, id: &str, intent: &Intent) -> Result<Written> {
        let name = self.kind.container.object(id);
        let retries = match self.call.expected.names_revisions() {
            true => 0,
            false => ATTEMPTS,
        };
        let mut attempt = 0;
        loop {
            match self.try_modify(&name, intent, attempt).await {
                Err(failure) if failure.status == 412 && attempt < retries => attempt += 1,
                Err(failure) => return Err(gone(failure, self.kind, id)),
                Ok(changed) => return self.written(changed).await,
            }
        }
    }

    async fn try_modify(
        &self,
        name: &ResourceName,
        intent: &Intent,
        attempt: usize,
    ) -> Result<Changed> {
        let key = self.call.attempt_key(attempt, self.body);
        if let Some(changed) = self.answered(key.as_ref()).await? {
            return Ok(changed);
        }
        let turn = self.scim.turns.of_object(&name.to_string()).await?;
        let kept = self.read(name).await?;
        let before = kept::shown(self.resources, self.kind, &kept.object);
        let Patched {
            resource: mut after,
            added,
        } = match intent {
            Intent::Replace(sent) => Patched {
                resource: replaced(self.kind, &before, sent)?,
                added: Vec::new(),
            },
            Intent::Patch(patch) => patch.apply(self.kind, &before)?,
        };
        self.resolve(&before, &mut after).await?;
        let changes = kept::changes(self.resources, self.kind, &kept.object, &before, &after)?;
        let patch = kept::patch(changes, &added);
        let told = patch.to_value();
        let requested = Requested::Patch {
            id: name.id.clone(),
            patch,
            precondition: self.call.expected.precondition(revision(&kept.object)),
        };
        let request = self.request(requested, "patch", told, key);
        run(self.scim, self.call, request, Some(turn)).await
    }

    async fn resolve(&self, before: &Object, after: &mut Object) -> Result<()> {
        let related = related(self.scim, self.resources, self.call);
        related.resolve(self.kind, before, after).await
    }

    async fn read(&self, name: &ResourceName) -> Result<Kept> {
        let read = self.scim.app.read_kept(name, &self.call.caller).await;
        read.map_err(|error| missing(error.into(), self.kind, &name.id))
    }

    /// What was answered under the caller's key before.
    async fn answered(&self, key: Option<&IdempotencyKey>) -> Result<Option<Changed>> {
        match key {
            Some(key) => Ok(self.scim.app.answered(&self.call.caller, key).await?),
            None => Ok(None),
        }
    }

    fn request(
        &self,
        requested: Requested,
        method: &str,
        content: Value,
        idempotency: Option<IdempotencyKey>,
    ) -> ChangeRequest {
        let container: &Container = &self.kind.container;
        let mut request = ChangeRequest {
            container: container.clone(),
            requested,
            caller: self.call.caller.clone(),
            transaction_id: self.call.transaction_id.clone(),
            idempotency,
            unseen: self.call.veil.of_container(&container.to_string()).to_vec(),
            request: Value::Null,
        };
        let path = request
            .object()
            .map_or_else(|| container.to_string(), |name| name.to_string());
        request.request = json!({
            "method": method,
            "resourcePath": path,
            "content": content,
            "additionalParameters": self.call.additional(),
        });
        request
    }

    /// The resource after the change. The times are those of the store, unless somebody has changed
    /// the resource again since.
    async fn written(&self, changed: Changed) -> Result<Written> {
        let object = changed.body.as_object().cloned().unwrap_or_default();
        let id = object.get(ID).and_then(Value::as_str).unwrap_or_default();
        let name = self.kind.container.object(id);
        let related = related(self.scim, self.resources, self.call);
        let location = related.location(self.kind, id);
        let now = self.scim.clock.now();
        let kept = match self.scim.app.read_kept(&name, &self.call.caller).await {
            Ok(kept) if revision(&kept.object) == revision(&object) => kept,
            Ok(kept) => of_change(object, kept.created_at, now),
            Err(_) => of_change(object, now, now),
        };
        // The change has ended well, whatever else can be found out.
        let whole = related.resource(self.kind, &kept, &self.selection).await;
        let resource = whole.unwrap_or_else(|failure| {
            tracing::warn!(operation = %changed.operation, "names of other resources cannot be looked up: {}", failure.detail);
            related.plain(self.kind, &kept, &self.selection)
        });
        Ok(Written {
            status: StatusCode::from_u16(changed.status).unwrap_or(StatusCode::OK),
            operation: changed.operation,
            outcome: changed.outcome,
            location,
            version: Some(answer::tag(revision(&kept.object))),
            resource: Some(resource),
        })
    }
}

fn of_change(object: Object, created_at: DateTime<Utc>, updated_at: DateTime<Utc>) -> Kept {
    Kept {
        object,
        created_at,
        updated_at,
    }
}

fn revision(object: &Object) -> &str {
    object.get(REV).and_then(Value::as_str).unwrap_or_default()
}

fn set(place: &Pointer, value: Value, content: &mut Object) -> Result<()> {
    place.set(content, value).map_err(|error| {
        let detail = format!("the property `{place}` cannot be set: {error}");
        Failure::bad(ScimType::InvalidValue, detail)
    })
}

/// What was sent, with what clients cannot change as it was.
fn replaced(kind: &ResourceType, before: &Object, sent: &Object) -> Result<Object> {
    let mut after = sent.clone();
    for (schema, bound) in kind.attributes() {
        let attribute = &bound.attribute;
        let name = &attribute.name;
        let old = get(kind, schema, name, before);
        let new = get(kind, schema, name, sent);
        match (attribute.mutability, old, new) {
            // Whether it is the same is not told to whoever does not see it.
            (Mutability::Immutable, _, Some(_)) if !attribute.is_readable() => {
                let detail = format!("`{name}` cannot be changed, and is not shown");
                return Err(Failure::bad(ScimType::Mutability, detail));
            }
            (Mutability::Immutable, Some(old), Some(new)) if !same(old, new) => {
                let detail = format!("`{name}` cannot be changed");
                return Err(Failure::bad(ScimType::Mutability, detail));
            }
            (Mutability::Immutable | Mutability::ReadOnly, Some(old), _) => {
                put(kind, schema, name, Some(old.clone()), &mut after);
            }
            _ => {}
        }
    }
    Ok(after)
}

/// Carries a change out in a task of its own: a caller that goes away does not stop it half way.
async fn run(
    scim: &Scim,
    call: &Call,
    request: ChangeRequest,
    turn: Option<Turn>,
) -> Result<Changed> {
    let app = scim.app.clone();
    let id = app.fresh_operation();
    // Under a key it may be an earlier change that is waited for.
    let named = request.idempotency.is_none().then_some(id);
    let running = tokio::spawn(async move {
        let changed = app.change_as(id, request).await;
        drop(turn);
        changed
    });
    match tokio::time::timeout(scim.settings.request_time, running).await {
        Ok(Ok(result)) => Ok(result?),
        Err(_) => Err(Failure::late(&call.transaction_id).about(named)),
        Ok(Err(error)) => {
            tracing::error!(%error, "a change broke off by a fault; recovery will take it up");
            Err(Failure::fault().about(named))
        }
    }
}
