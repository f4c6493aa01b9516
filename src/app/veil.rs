//! Who may see which attributes (`viewableBy` in managed.json): what is left of an answer for somebody
//! with certain roles.
//!
//! It is laid over finished JSON, where answers leave the house, so that no use-case can forget it.
//! What cannot be told apart is hidden.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use serde_json::{Value, json};

use super::{App, Error};
use crate::{
    config::Configuration,
    mapping::confidential_targets,
    model::{
        Container, Object, ResourceName, Roles,
        object::{ID, REV},
        pointer::Pointer,
        secret::{EVERY_ATTRIBUTE, MASK, Redactor},
    },
    sync::Setup,
};

/// Members that hold an object, or what is left of one.
const OBJECTS: [&str; 10] = [
    "before",
    "after",
    "expected",
    "actual",
    "oldTargetValue",
    "newTargetValue",
    "oldValue",
    "newValue",
    "oldObject",
    "newObject",
];
/// Members that name the object, or its container, that the members beside them are about.
const NAMES: [&str; 4] = ["target", "targetObjectSet", "targetObjectId", "object"];
/// Members that name it where none of those does.
const SOURCES: [&str; 3] = ["objectId", "resource", "sourceObjectId"];
/// Members that hold rows with such objects.
const ROWS: [&str; 3] = ["writes", "diverged", "hookRuns"];
/// Members of those rows that tell nothing of values.
const PLAIN: [&str; 10] = [
    "mapping",
    "linkQualifier",
    "target",
    "targetId",
    "situation",
    "action",
    "operation",
    "result",
    "hook",
    "verdict",
];
/// Members that people wrote, or scripts and targets said: values may stand in them.
const TEXTS: [&str; 6] = ["message", "log", "error", "reason", "cause", "lastError"];

/// What somebody does not see.
#[derive(Debug, Default, PartialEq)]
pub struct Veil {
    /// Names of attributes by container, be it `managed/TYPE` or `system/NAME/CLASS`.
    hidden: BTreeMap<String, Vec<String>>,
    /// All those names.
    anywhere: BTreeSet<String>,
    /// The containers that the configuration knows; of others nothing can be told.
    known: BTreeSet<String>,
}

/// The veils of one configuration, one for each set of roles, made when they are needed.
#[derive(Debug, Default)]
pub(super) struct Veils([OnceLock<Arc<Veil>>; 16]);

impl App {
    /// What somebody with these roles does not see.
    #[must_use]
    pub fn veil(&self, roles: Roles) -> Arc<Veil> {
        let veils = self.parts.veils.load();
        let make = || Arc::new(Veil::of(&self.configuration(), roles));
        match veils.0.get(usize::from(roles.bits())) {
            Some(veil) => Arc::clone(veil.get_or_init(make)),
            None => make(),
        }
    }

    /// The engine's setup as somebody with these roles may look at it: what they do not see counts
    /// as confidential.
    pub(super) fn setup_behind(&self, veil: &Veil) -> Arc<Setup> {
        let setup = self.engine().setup();
        if veil.is_thin() {
            return setup;
        }
        let mut veiled = Setup {
            types: setup.types.clone(),
            mappings: setup.mappings.clone(),
            targets: setup.targets.clone(),
            scripts: setup.scripts.clone(),
        };
        for (name, managed) in &mut veiled.types {
            let hidden = veil.of_container(&format!("managed/{name}"));
            Arc::make_mut(managed).confidential.extend(hidden.to_vec());
        }
        for mapping in &mut veiled.mappings {
            let hidden = veil.of_container(&mapping.target.to_string()).to_vec();
            Arc::make_mut(mapping).confidential.extend(hidden);
        }
        Arc::new(veiled)
    }
}

impl Veil {
    fn of(configuration: &Configuration, roles: Roles) -> Self {
        let mut veil = Self::default();
        for (name, managed) in &configuration.types {
            let unseen = managed.unseen_by(roles);
            let container = Container::managed(name).to_string();
            veil.known.insert(container.clone());
            veil.hide(container, unseen);
        }
        // What goes on from one target to another is hidden there too, whatever their order.
        for _ in &configuration.mappings {
            for mapping in &configuration.mappings {
                let source = mapping.source.to_string();
                let unseen = veil.of_container(&source).to_vec();
                let unseen = confidential_targets(mapping, &unseen);
                veil.known.insert(source);
                veil.known.insert(mapping.target.to_string());
                veil.hide(mapping.target.to_string(), unseen);
            }
        }
        veil
    }

    fn hide(&mut self, container: String, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        self.anywhere.extend(names.iter().cloned());
        let hidden = self.hidden.entry(container).or_default();
        for name in names {
            if !hidden.contains(&name) {
                hidden.push(name);
            }
        }
    }

    /// Whether nothing is hidden.
    #[must_use]
    pub fn is_thin(&self) -> bool {
        self.hidden.is_empty()
    }

    /// The names of the attributes of a container that are hidden.
    #[must_use]
    pub fn of_container(&self, container: &str) -> &[String] {
        self.hidden.get(container).map_or(&[], Vec::as_slice)
    }

    /// Whether a place in objects of a container is hidden.
    #[must_use]
    pub fn hides(&self, container: &str, place: &Pointer) -> bool {
        let hidden = self.of_container(container);
        match place.first() {
            Some(ID | REV) => false,
            Some(name) => hidden.iter().any(|one| is_named(one, name)),
            None => !hidden.is_empty(),
        }
    }

    /// Objects of a container, one or a page of them: of managed ones what is hidden is left out, of
    /// others it is masked.
    #[must_use]
    pub fn objects(&self, container: &str, mut body: Value) -> Value {
        let hidden = self.of_container(container);
        if hidden.is_empty() {
            return body;
        }
        let hide = |value: Value| match value {
            Value::Object(object) if container.starts_with("managed/") => {
                Value::Object(left_out(object, hidden))
            }
            Value::Object(object) => Value::Object(self.masked(object, hidden, &mut Vec::new())),
            other => other,
        };
        match body.get_mut("result") {
            Some(Value::Array(results)) => {
                results
                    .iter_mut()
                    .for_each(|result| *result = hide(result.take()));
                body
            }
            _ => hide(body),
        }
    }

    /// A document about objects: a record of a change, a plan, an audit entry, an event, an error.
    /// `container` is what it is about where it does not say so itself.
    #[must_use]
    pub fn document(&self, container: Option<&str>, document: Value) -> Value {
        if self.is_thin() {
            return document;
        }
        let mut found = Vec::new();
        let document = self.walk(document, container, &mut found);
        let redactor = Redactor::new(&found);
        let cleaned = clean(document, &redactor);
        if found.is_empty() {
            // Nothing here tells which values must not stand in what scripts and targets said.
            return self.silenced(cleaned, container);
        }
        cleaned
    }

    /// Refuses to seek or sort objects of a container by what is hidden of them: whoever may ask
    /// which objects hold a value learns it.
    ///
    /// # Errors
    /// 400.
    pub fn check_fields<'a>(
        &self,
        container: &str,
        fields: impl IntoIterator<Item = &'a Pointer>,
    ) -> Result<(), Error> {
        let sought = fields
            .into_iter()
            .find(|field| self.hides(container, field));
        sought.map_or(Ok(()), |field| Err(refused(field)))
    }

    /// As [`Veil::check_fields`], for documents about objects.
    ///
    /// # Errors
    /// 400.
    pub fn check_document_fields<'a>(
        &self,
        fields: impl IntoIterator<Item = &'a Pointer>,
    ) -> Result<(), Error> {
        if self.is_thin() {
            return Ok(());
        }
        let sought = fields.into_iter().find(|field| self.shows(field.tokens()));
        sought.map_or(Ok(()), |field| Err(refused(field)))
    }

    /// Whether a path in a document leads to what may be hidden, or to something that holds it.
    fn shows(&self, path: &[String]) -> bool {
        let named = |name: &str| self.anywhere.iter().any(|one| is_named(one, name));
        let mut steps = path.iter().map(String::as_str);
        let Some(last) = path.last().map(String::as_str) else {
            return true;
        };
        if steps.any(|step| TEXTS.contains(&step)) {
            return true;
        }
        let inside = path
            .iter()
            .position(|step| OBJECTS.contains(&step.as_str()));
        match inside.and_then(|at| path.get(at + 1)) {
            Some(name) => named(name),
            None => {
                let inside_rows = path.iter().any(|step| ROWS.contains(&step.as_str()));
                OBJECTS.contains(&last) || (inside_rows && !PLAIN.contains(&last))
            }
        }
    }

    fn walk(&self, value: Value, container: Option<&str>, found: &mut Vec<Value>) -> Value {
        match value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| self.walk(item, container, found))
                .collect(),
            Value::Object(members) => {
                let own = own_container(&members);
                let container = own.as_deref().or(container);
                let walked = members.into_iter().map(|(name, value)| {
                    let value = match value {
                        Value::Object(object) if holds_object(&name) => {
                            Value::Object(self.hide_in(object, container, found))
                        }
                        other => self.walk(other, container, found),
                    };
                    (name, value)
                });
                Value::Object(walked.collect())
            }
            other => other,
        }
    }

    /// An object with what is hidden in it masked; under an unknown container everything that is
    /// hidden anywhere.
    fn hide_in(&self, object: Object, container: Option<&str>, found: &mut Vec<Value>) -> Object {
        let everywhere: Vec<String>;
        let names = match container {
            Some(container) if self.known.contains(container) => self.of_container(container),
            _ => {
                everywhere = self.anywhere.iter().cloned().collect();
                &everywhere
            }
        };
        self.masked(object, names, found)
    }

    /// A document without what scripts logged or said, and targets answered.
    fn silenced(&self, document: Value, container: Option<&str>) -> Value {
        let members = match document {
            Value::Array(items) => {
                let items = items.into_iter();
                return items.map(|item| self.silenced(item, container)).collect();
            }
            Value::Object(members) => members,
            other => return other,
        };
        let own = own_container(&members);
        let container = own.as_deref().or(container);
        let speaks = may_speak_of_values(&members, self.may_hide_in(container));
        let silent = members.into_iter().map(|(name, value)| {
            let value = match (name.as_str(), value) {
                ("log", Value::Array(lines)) => lines.iter().map(|_| json!(MASK)).collect(),
                ("message" | "lastError", Value::String(_)) if speaks => json!(MASK),
                ("cause", Value::Object(mut cause)) => {
                    if let Some(message) = cause.get_mut("message") {
                        *message = json!(MASK);
                    }
                    Value::Object(cause)
                }
                (_, value) => self.silenced(value, container),
            };
            (name, value)
        });
        Value::Object(silent.collect())
    }

    /// Whether something of a container's objects may be hidden; of an unknown one it may.
    pub(super) fn may_hide_in(&self, container: Option<&str>) -> bool {
        match container {
            Some(container) if self.known.contains(container) => {
                !self.of_container(container).is_empty()
            }
            _ => !self.is_thin(),
        }
    }

    /// The object with these attributes masked, however their names are written.
    fn masked(&self, mut object: Object, names: &[String], found: &mut Vec<Value>) -> Object {
        for (name, value) in &mut object {
            let hidden = names.iter().any(|one| is_named(one, name));
            if hidden && !value.is_null() && *value != json!(MASK) && name != ID {
                found.push(std::mem::replace(value, json!(MASK)));
            }
        }
        object
    }
}

/// A member that is an object of some container. `object` is one in plans; elsewhere it is a name.
fn holds_object(name: &str) -> bool {
    OBJECTS.contains(&name) || name == "object"
}

/// The container that a document says it is about.
fn own_container(members: &Object) -> Option<String> {
    let text = |name: &&str| members.get(*name).and_then(Value::as_str);
    let named = NAMES.iter().chain(&SOURCES).find_map(text)?;
    if let Ok(name) = named.parse::<ResourceName>() {
        let whole = named.parse::<Container>();
        return Some(whole.map_or_else(|_| name.container.to_string(), |whole| whole.to_string()));
    }
    named
        .parse::<Container>()
        .ok()
        .map(|whole| whole.to_string())
}

/// Takes values out of what people, scripts and targets said.
fn clean(document: Value, redactor: &Redactor) -> Value {
    match document {
        Value::Array(items) => items
            .into_iter()
            .map(|item| clean(item, redactor))
            .collect(),
        Value::Object(members) => {
            let cleaned = members.into_iter().map(|(name, value)| {
                let value = if TEXTS.contains(&name.as_str()) {
                    redactor.value(&value)
                } else {
                    clean(value, redactor)
                };
                (name, value)
            });
            Value::Object(cleaned.collect())
        }
        other => other,
    }
}

/// Whether the text beside these members tells of an object: what a script threw may hold any value,
/// what else was said one of this object, of which something is hidden or not.
fn may_speak_of_values(members: &Object, hides: bool) -> bool {
    let event = members.get("eventName").and_then(Value::as_str);
    match event {
        Some("hook") => true,
        Some("change" | "sync" | "undo" | "divergence" | "recon") => hides,
        // Why a plan was refused is what the change would have been told.
        Some("access") => {
            let text = |name: &str| {
                members
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            text("request").starts_with("plan ") && text("status") == "FAILURE"
        }
        Some(_) => false,
        None => {
            hides
                && ["lastError", "reconId", "reconciling"]
                    .iter()
                    .any(|name| members.contains_key(*name))
        }
    }
}

fn left_out(mut object: Object, hidden: &[String]) -> Object {
    object.retain(|name, _| {
        name == ID || name == REV || !hidden.iter().any(|one| is_named(one, name))
    });
    object
}

/// Targets may know no case, and options behind a `;`.
fn is_named(hidden: &str, name: &str) -> bool {
    let base = |name: &str| name.split(';').next().unwrap_or_default().to_lowercase();
    hidden == EVERY_ATTRIBUTE || base(hidden) == base(name)
}

fn refused(field: &Pointer) -> Error {
    let message =
        format!("`{field}` may hold what is not shown to you: nothing is sought or sorted by it");
    Error::new(400, message)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::app) fn veil() -> Veil {
        let mut veil = Veil::default();
        veil.hide("managed/user".into(), vec!["salary".into()]);
        veil.hide("system/payroll/employee".into(), vec!["pay".into()]);
        for known in [
            "managed/user",
            "system/payroll/employee",
            "system/badges/badge",
        ] {
            veil.known.insert(known.into());
        }
        veil
    }

    #[test]
    fn what_a_target_answered_to_a_delivery_is_not_shown() {
        let event = json!({"_id": "1", "connector": "payroll", "kind": "update", "recordId": "ann",
            "state": "failed", "lastError": "value 5000 is out of range"});
        let shown = veil().document(None, event.clone());
        assert_eq!(shown["lastError"], MASK);
        assert_eq!(
            (&shown["state"], &shown["recordId"]),
            (&event["state"], &event["recordId"])
        );
        let page = veil().document(None, json!({"result": [event]}));
        assert!(!page.to_string().contains("5000"), "{page}");
    }

    #[test]
    fn objects_lose_what_is_hidden_and_targets_show_that_it_is_there() {
        let user = json!({"_id": "a", "name": "Ann", "salary": 5000});
        let left = json!({"_id": "a", "name": "Ann"});
        assert_eq!(veil().objects("managed/user", user.clone()), left);
        let page = json!({"result": [user], "resultCount": 1});
        assert_eq!(veil().objects("managed/user", page)["result"][0], left);
        let row = json!({"_id": "a", "pay": 5000});
        let masked = json!({"_id": "a", "pay": "***"});
        assert_eq!(
            veil().objects("system/payroll/employee", row.clone()),
            masked
        );
        assert_eq!(veil().objects("system/badges/badge", row.clone()), row);
    }

    #[test]
    fn documents_are_masked_by_what_they_are_about_and_their_texts_by_value() {
        let record = json!({
            "object": "managed/user/a",
            "before": {"salary": 4000},
            "after": {"salary": 5000, "pay": 1},
            "writes": [
                {"target": "system/payroll/employee", "before": null, "after": {"pay": 5000, "salary": 1},
                 "cause": {"code": 400, "message": "5000 is too much"}},
                {"target": "system/badges/badge", "after": {"salary": 2}},
            ],
            "hookRuns": [{"log": ["was 4000"]}],
        });
        let shown = veil().document(None, record);
        assert_eq!(shown["before"], json!({"salary": "***"}));
        assert_eq!(shown["after"], json!({"salary": "***", "pay": 1}));
        assert_eq!(
            shown["writes"][0]["after"],
            json!({"pay": "***", "salary": 1})
        );
        assert_eq!(shown["writes"][0]["cause"]["message"], "*** is too much");
        assert_eq!(shown["writes"][1]["after"], json!({"salary": 2}));
        assert_eq!(shown["hookRuns"][0]["log"][0], "was ***");
        let entry = json!({"objectId": "managed/user/a", "after": {"salary": 1}});
        assert_eq!(veil().document(None, entry)["after"]["salary"], "***");
        let unknown = json!({"detail": {"after": {"salary": 1, "pay": 2, "name": "n"}}});
        let shown = veil().document(None, unknown);
        assert_eq!(
            shown["detail"]["after"],
            json!({"salary": "***", "pay": "***", "name": "n"})
        );
        let plan = json!({"object": {"salary": 1}, "writes": []});
        let shown = veil().document(Some("managed/user"), plan);
        assert_eq!(shown["object"]["salary"], "***");
    }

    #[test]
    fn nothing_hidden_can_be_asked_for() {
        let pointers = |texts: &[&str]| -> Vec<Pointer> {
            texts
                .iter()
                .map(|text| Pointer::parse(text).unwrap())
                .collect()
        };
        let veil = veil();
        let good =
            |container: &str, text: &str| veil.check_fields(container, &pointers(&[text])).is_ok();
        assert!(good("managed/user", "name"));
        assert!(!good("managed/user", "salary"));
        assert!(!good("managed/user", "salary/x"));
        assert!(!good("system/payroll/employee", "PAY"));
        assert!(good("managed/other", "salary"));
        let document = |text: &str| veil.check_document_fields(&pointers(&[text])).is_ok();
        for text in ["outcome", "after/name", "writes/0/target", "object"] {
            assert!(document(text), "{text}");
        }
        for text in [
            "after",
            "after/salary",
            "writes/0/before/pay",
            "writes",
            "message",
            "hookRuns/0/log",
        ] {
            assert!(!document(text), "{text}");
        }
        assert!(
            Veil::default()
                .check_document_fields(&pointers(&["after"]))
                .is_ok()
        );
    }
}
