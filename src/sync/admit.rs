//! Admission: preconditions, the object's own hooks and its schema turn a request into a change.
use serde_json::{Value, json};

use crate::{
    hooks::{Run, Variable, Variables},
    managed::HookPoint,
    model::{
        ChangeKind, ChangeRequest, Lineage, Link, Object, OperationId, PlannedRow, Precondition,
        Requested, ResourceName,
        object::{ID, REV},
        record::HookRun,
    },
    store::Admission,
};

use super::{
    Engine,
    change::{Change, Context},
    error::Refusal,
    follow::Asked,
    hook::constant,
    queue,
    setup::Setup,
    unique,
};
use std::sync::Arc;

/// A request with an id of its own, before anything is known about its object.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub id: OperationId,
    pub lineage: Lineage,
    pub object: ResourceName,
    pub request: ChangeRequest,
    /// The row of the mapping that asks for the change, where one does.
    pub origin: Option<Box<PlannedRow>>,
    /// When what the change brings was changed in its own system; none: now.
    pub brought_at: Option<chrono::DateTime<chrono::Utc>>,
    pub started_at: chrono::DateTime<chrono::Utc>,
}

/// A change that may be planned.
#[derive(Debug)]
pub(super) struct Admitted {
    pub context: Context,
    pub hook_runs: Vec<HookRun>,
    pub follow_ups: Vec<Asked>,
    /// The object's latest change when it was read.
    pub latest: Option<OperationId>,
    /// The object's links.
    pub links: Vec<Link>,
}

/// Why a change was not admitted, with what had happened by then.
#[derive(Debug)]
pub(super) struct NotAdmitted {
    pub refusal: Refusal,
    pub context: Option<Context>,
    pub hook_runs: Vec<HookRun>,
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            context: None,
            hook_runs: Vec::new(),
        }
    }
}

impl Engine {
    /// Admits an attempt, given what is stored of its object.
    pub(super) async fn admit(
        &self,
        attempt: &Attempt,
        setup: &Arc<Setup>,
        admission: Admission,
    ) -> Result<Admitted, NotAdmitted> {
        let stored = admission.object.map(|stored| stored.object);
        let change = self.draft(attempt, stored, setup)?;
        let mut admitted = Admitted {
            context: Context::new(change, Arc::clone(setup)),
            hook_runs: Vec::new(),
            follow_ups: Vec::new(),
            latest: admission.latest,
            links: admission.links,
        };
        if admitted.context.change.notified {
            return Ok(admitted);
        }
        let ran = match self.own_hooks(&mut admitted).await {
            Ok(()) => self.check_unique(&admitted.context).await,
            refused => refused,
        };
        match ran {
            Ok(()) => {
                admitted.context.origin.clone_from(&attempt.origin);
                Ok(admitted)
            }
            Err(refusal) => Err(NotAdmitted {
                refusal,
                context: Some(admitted.context),
                hook_runs: admitted.hook_runs,
            }),
        }
    }

    /// The change as requested, before any hook.
    fn draft(
        &self,
        attempt: &Attempt,
        stored: Option<Object>,
        setup: &Setup,
    ) -> Result<Change, Refusal> {
        let container = &attempt.object.container;
        let managed = queue::type_of(setup, &attempt.lineage, container)
            .ok_or_else(|| Refusal::new(404, format!("there is no {container}")))?;
        let unseen: Vec<String> = managed
            .confidential
            .iter()
            .chain(&attempt.request.unseen)
            .cloned()
            .collect();
        let (kind, old, new, notified) = match &attempt.request.requested {
            Requested::Notify { kind, old, new, .. } => {
                let (old, new) = notified_values(*kind, old.as_ref(), new.as_ref())?;
                (*kind, old, new, true)
            }
            requested => {
                check_reads(requested, &unseen)?;
                let (kind, new) = requested_values(requested, stored.as_ref(), &attempt.object)?;
                (kind, stored, new, false)
            }
        };
        let mut new = new;
        let replaces = matches!(attempt.request.requested, Requested::Replace { .. });
        if let (Some(new), Some(old), true) = (new.as_mut(), old.as_ref(), replaces) {
            keep_confidential(&unseen, old, new);
        }
        unique::check_blind(&managed, &attempt.request, old.as_ref())?;
        Ok(Change {
            id: attempt.id,
            lineage: attempt.lineage.clone(),
            object: attempt.object.clone(),
            kind,
            notified,
            caller: attempt.request.caller.clone(),
            transaction_id: attempt.request.transaction_id.clone(),
            idempotency: attempt.request.idempotency.clone(),
            request: attempt.request.request.clone(),
            old,
            new: new.map(|object| self.stamped(&attempt.object, object)),
            started_at: attempt.started_at,
            attempt: 1,
        })
    }

    /// The object with its id in front and a fresh revision.
    fn stamped(&self, name: &ResourceName, object: Object) -> Object {
        let mut stamped = Object::with_capacity(object.len() + 2);
        stamped.insert(ID.to_owned(), json!(name.id));
        stamped.insert(
            REV.to_owned(),
            json!(self.clock().fresh_id().simple().to_string()),
        );
        stamped.extend(
            object
                .into_iter()
                .filter(|(key, _)| key != ID && key != REV),
        );
        stamped
    }

    /// Runs `onCreate`, `onUpdate` or `onDelete`, the schema, `onValidate` and `onStore`, in this
    /// order; each may refuse, those before the schema and `onStore` may change the object.
    async fn own_hooks(&self, admitted: &mut Admitted) -> Result<(), Refusal> {
        let first = match admitted.context.change.kind {
            ChangeKind::Create => HookPoint::OnCreate,
            ChangeKind::Update => HookPoint::OnUpdate,
            ChangeKind::Delete => HookPoint::OnDelete,
        };
        self.object_hook(admitted, first).await?;
        if admitted.context.change.kind == ChangeKind::Delete {
            return Ok(());
        }
        validate(&admitted.context)?;
        self.object_hook(admitted, HookPoint::OnValidate).await?;
        self.object_hook(admitted, HookPoint::OnStore).await
    }

    async fn object_hook(&self, admitted: &mut Admitted, point: HookPoint) -> Result<(), Refusal> {
        let context = &admitted.context;
        let Some((run, report)) = self
            .hook(context, point, || variables(context, point))
            .await
        else {
            return Ok(());
        };
        admitted.hook_runs.push(report);
        if let Err(failure) = &run.result {
            return Err(Refusal::of_hook(
                point.key(),
                failure,
                &admitted.context.redactor,
            ));
        }
        admitted
            .follow_ups
            .extend(self.name_follow_ups(run.verdict.follow_ups.clone()));
        if matches!(
            point,
            HookPoint::OnCreate | HookPoint::OnUpdate | HookPoint::OnStore
        ) {
            take_over(&mut admitted.context, run)?;
        }
        Ok(())
    }
}

/// What the object's own hooks see.
fn variables(context: &Context, point: HookPoint) -> Variables {
    let change = &context.change;
    let new = change.new.clone().map_or(Value::Null, Value::Object);
    let object = match point {
        HookPoint::OnDelete => ("object", constant(change.old.as_ref())),
        HookPoint::OnValidate => ("object", Variable::Constant(new)),
        _ => (
            "object",
            Variable::Mutable(vec!["object", "newObject"], new),
        ),
    };
    let mut variables = vec![object, ("oldObject", constant(change.old.as_ref()))];
    match point {
        HookPoint::OnDelete => variables.push(("newObject", Variable::Constant(Value::Null))),
        HookPoint::OnValidate => variables.push(("newObject", constant(change.new.as_ref()))),
        _ => {}
    }
    variables
}

/// Takes the object over as the hook left it; id and revision stay.
fn take_over(context: &mut Context, mut run: Run) -> Result<(), Refusal> {
    let Some(mut new) = context.change.new.take() else {
        return Ok(());
    };
    match run.variables.remove("object") {
        Some(Value::Object(object)) => {
            new.retain(|key, _| key == ID || key == REV);
            new.extend(
                object
                    .into_iter()
                    .filter(|(key, _)| key != ID && key != REV),
            );
        }
        None => {}
        Some(_) => {
            return Err(Refusal::new(
                500,
                "the hook left something that is no object",
            ));
        }
    }
    context.change.new = Some(new);
    // What was typed stays secret where a hook has made something else of it.
    let typed = context.redactor.secrets().iter().cloned();
    let typed: Vec<Value> = typed.map(Value::String).collect();
    *context = Context::new(context.change.clone(), Arc::clone(&context.setup));
    context.redactor = std::mem::take(&mut context.redactor).and(&typed);
    Ok(())
}

fn validate(context: &Context) -> Result<(), Refusal> {
    let (Some(managed), Some(object)) = (&context.managed, &context.change.new) else {
        return Ok(());
    };
    let failures = managed.violations(object);
    if failures.is_empty() {
        return Ok(());
    }
    let properties: Vec<&str> = failures
        .iter()
        .map(|failure| failure.property.as_str())
        .collect();
    let message = format!("policy validation failed for: {}", properties.join(", "));
    Err(Refusal::new(403, message)
        .with_detail(json!({"result": false, "failedPolicyRequirements": failures})))
}

/// Kind and new content of a change of a stored object.
fn requested_values(
    requested: &Requested,
    stored: Option<&Object>,
    name: &ResourceName,
) -> Result<(ChangeKind, Option<Object>), Refusal> {
    match requested {
        Requested::Create { content, .. } => {
            check(&Precondition::Absent, stored, name)?;
            Ok((ChangeKind::Create, Some(named(content, name)?)))
        }
        Requested::Replace {
            content,
            precondition,
            ..
        } => {
            check(precondition, stored, name)?;
            let kind = if stored.is_some() {
                ChangeKind::Update
            } else {
                ChangeKind::Create
            };
            Ok((kind, Some(named(content, name)?)))
        }
        Requested::Patch {
            patch,
            precondition,
            ..
        } => {
            check(precondition, stored, name)?;
            let old = stored.ok_or_else(|| missing(name))?;
            let new = patch
                .apply(old)
                .map_err(|error| Refusal::new(400, error.to_string()))?;
            Ok((ChangeKind::Update, Some(new)))
        }
        Requested::Delete { precondition, .. } => {
            check(precondition, stored, name)?;
            stored.ok_or_else(|| missing(name))?;
            Ok((ChangeKind::Delete, None))
        }
        Requested::Notify { .. } => Err(Refusal::new(400, "a notification stores nothing")),
    }
}

/// Old and new value of a notification, as its kind needs them.
fn notified_values(
    kind: ChangeKind,
    old: Option<&Object>,
    new: Option<&Object>,
) -> Result<(Option<Object>, Option<Object>), Refusal> {
    let needed = |value: Option<&Object>, name: &str| {
        value
            .cloned()
            .ok_or_else(|| Refusal::new(400, format!("{} needs {name}", kind.sync_action())))
    };
    match kind {
        ChangeKind::Create => Ok((None, Some(needed(new, "newValue")?))),
        ChangeKind::Update => Ok((
            Some(needed(old, "oldValue")?),
            Some(needed(new, "newValue")?),
        )),
        ChangeKind::Delete => Ok((Some(needed(old, "oldValue")?), None)),
    }
}

fn check(
    precondition: &Precondition,
    stored: Option<&Object>,
    name: &ResourceName,
) -> Result<(), Refusal> {
    match (precondition, stored) {
        (Precondition::None, _)
        | (Precondition::Absent, None)
        | (Precondition::Exists, Some(_)) => Ok(()),
        (Precondition::Absent, Some(_)) => Err(Refusal::new(412, format!("{name} exists already"))),
        (Precondition::Exists | Precondition::Revision(_), None) => Err(missing(name)),
        (Precondition::Revision(wanted), Some(object)) => {
            let current = object.get(REV).and_then(Value::as_str).unwrap_or_default();
            if current == wanted {
                return Ok(());
            }
            Err(Refusal::new(
                412,
                format!("{name} has revision {current}, not {wanted}"),
            ))
        }
    }
}

/// The content, if the id in it is the one in the address.
fn named(content: &Object, name: &ResourceName) -> Result<Object, Refusal> {
    match content.get(ID) {
        None | Some(Value::Null) => Ok(content.clone()),
        Some(Value::String(id)) if *id == name.id => Ok(content.clone()),
        Some(other) => Err(Refusal::new(
            400,
            format!(
                "/_id: expected \"{}\" as in the address, found {other}",
                name.id
            ),
        )),
    }
}

/// Confidential attributes are never returned, so content that leaves one out is no wish to remove
/// it. A patch says what it removes.
fn keep_confidential(confidential: &[String], old: &Object, new: &mut Object) {
    for name in confidential {
        if let (false, Some(value)) = (new.contains_key(name), old.get(name)) {
            new.insert(name.clone(), value.clone());
        }
    }
}

/// A patch that makes something of a confidential value, or whose success tells it, would show it.
fn check_reads(requested: &Requested, confidential: &[String]) -> Result<(), Refusal> {
    let Requested::Patch { patch, .. } = requested else {
        return Ok(());
    };
    if confidential.is_empty() {
        return Ok(());
    }
    let shown = patch
        .reads()
        .into_iter()
        .find(|place| match place.tokens().first() {
            Some(attribute) => confidential.contains(attribute),
            None => true,
        });
    match shown {
        None => Ok(()),
        Some(place) => Err(Refusal::new(
            400,
            format!(
                "{place} is confidential, or not shown to you: it can be set and removed, but not copied, moved, compared or counted up"
            ),
        )),
    }
}

fn missing(name: &ResourceName) -> Refusal {
    Refusal::new(404, format!("there is no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Container;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    fn name() -> ResourceName {
        Container::managed("user").object("1")
    }

    #[test]
    fn preconditions_say_404_and_412() {
        let stored = object(json!({"_id": "1", "_rev": "a"}));
        let code =
            |precondition, stored| check(&precondition, stored, &name()).err().map(|e| e.code);
        assert_eq!(code(Precondition::Absent, Some(&stored)), Some(412));
        assert_eq!(code(Precondition::Exists, None), Some(404));
        assert_eq!(
            code(Precondition::Revision("b".into()), Some(&stored)),
            Some(412)
        );
        assert_eq!(
            code(Precondition::Revision("a".into()), Some(&stored)),
            None
        );
        assert_eq!(code(Precondition::None, None), None);
    }

    #[test]
    fn a_put_that_leaves_a_confidential_attribute_out_keeps_it() {
        let old = object(json!({"password": "s", "phone": "1"}));
        let mut new = object(json!({"mail": "m"}));
        keep_confidential(&["password".into()], &old, &mut new);
        assert_eq!(new, object(json!({"mail": "m", "password": "s"})));
        let mut removed = object(json!({"password": null}));
        keep_confidential(&["password".into()], &old, &mut removed);
        assert_eq!(removed, object(json!({"password": null})));
    }

    #[test]
    fn a_patch_does_not_show_what_is_confidential() {
        let refused = |patch: Result<crate::model::patch::Patch, _>| {
            let requested = Requested::Patch {
                id: "1".into(),
                patch: patch.unwrap(),
                precondition: Precondition::None,
            };
            check_reads(&requested, &["password".into()]).is_err()
        };
        use crate::model::patch::Patch;
        let crest = |operations| refused(Patch::parse_crest(&operations));
        let json = |operations| refused(Patch::parse_json_patch(&operations));
        assert!(crest(
            json!([{"operation": "copy", "from": "/password", "field": "/sn"}])
        ));
        assert!(crest(
            json!([{"operation": "remove", "field": "password", "value": "guess"}])
        ));
        assert!(!crest(
            json!([{"operation": "remove", "field": "/password"}])
        ));
        assert!(!crest(
            json!([{"operation": "replace", "field": "/password", "value": "new"}])
        ));
        assert!(json(
            json!([{"op": "copy", "from": "/password", "path": "/title"}])
        ));
        assert!(json(
            json!([{"op": "move", "from": "/password/0", "path": "/title"}])
        ));
        assert!(json(
            json!([{"op": "test", "path": "/password", "value": "guess"}])
        ));
        assert!(json(json!([{"op": "copy", "from": "", "path": "/all"}])));
        assert!(!json(
            json!([{"op": "copy", "from": "/sn", "path": "/title"}])
        ));
    }

    #[test]
    fn the_id_in_the_body_is_that_of_the_address() {
        assert!(named(&object(json!({"_id": "1"})), &name()).is_ok());
        assert_eq!(
            named(&object(json!({"_id": "2"})), &name())
                .unwrap_err()
                .code,
            400
        );
        assert_eq!(
            named(&object(json!({"_id": 1})), &name()).unwrap_err().code,
            400
        );
    }
}
