//! Every situation, action and rule of a mapping, by table.
mod actions;
mod confidential;
mod correlation;
mod hooks;
mod properties;
mod situations;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::*;
use crate::{
    hooks::{Limits, Runtime, Script},
    model::{
        Action, Container, Filter, Link, LinkChange, Object, Situation, Step, TargetObject,
        TargetWrite, pointer::Pointer,
    },
};

/// A runtime, and a mapping to be changed by a test.
struct Bench {
    runtime: Runtime,
    mapping: Mapping,
    context: Value,
    old: Option<Object>,
    new: Option<Object>,
    link: Option<Link>,
}

fn object(value: Value) -> Object {
    value.as_object().cloned().expect("an object")
}

fn target(id: &str, attributes: Value) -> TargetObject {
    TargetObject {
        id: id.to_owned(),
        attributes: object(attributes),
        version: None,
    }
}

fn link(first: &str, second: &str) -> Link {
    Link {
        link_type: "crm".to_owned(),
        link_qualifier: "default".to_owned(),
        first_id: first.to_owned(),
        second_id: second.to_owned(),
    }
}

fn filter(text: &str) -> Condition {
    Condition::Filter(Filter::parse(text).expect("a filter"))
}

/// A property: `SOURCE -> TARGET`.
fn property(text: &str) -> Property {
    let (source, target) = text.split_once(" -> ").expect("an arrow");
    Property {
        target: Pointer::parse(target).expect("a pointer"),
        source: Some(Pointer::parse(source).expect("a pointer")),
        transform: None,
        condition: None,
        default: None,
    }
}

impl Bench {
    /// A mapping `crm` of `mail` to `email`; the source object 7 is updated and has no link.
    fn new() -> Self {
        let source = object(json!({"_id": "7", "mail": "ann@example.org", "active": true}));
        Self {
            runtime: Runtime::new(Limits::default()),
            mapping: Mapping {
                name: "crm".to_owned(),
                source: Container::managed("user"),
                target: Container::system("crm", "account"),
                enable_sync: true,
                queued_sync: None,
                link_type: "crm".to_owned(),
                links_reversed: false,
                link_qualifiers: LinkQualifiers::Static(vec!["default".to_owned()]),
                properties: vec![property("mail -> email")],
                valid_source: None,
                valid_target: None,
                source_condition: None,
                correlation: None,
                policies: Vec::new(),
                hooks: BTreeMap::new(),
                source_query: None,
                target_query: None,
                allow_empty_source_set: false,
                run_target_phase: true,
                confidential: Vec::new(),
                reconciliation: Reconciliation::default(),
            },
            context: json!({}),
            old: Some(source.clone()),
            new: Some(source),
            link: None,
        }
    }

    fn script(&self, text: &str) -> Script {
        self.runtime
            .compile("test", text, Object::new())
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn deleted(mut self) -> Self {
        self.new = None;
        self
    }

    fn linked(mut self, second: &str) -> Self {
        self.link = Some(link("7", second));
        self
    }

    fn correlated(mut self) -> Self {
        let script = self.script("`mail eq \"${source.mail}\"`");
        let scripts = BTreeMap::from([("default".to_owned(), script)]);
        self.mapping.correlation = Some(Correlation::Query(scripts));
        self
    }

    fn with_policy(mut self, situation: Situation, action: Action) -> Self {
        self.mapping.policies.push(Policy {
            situation,
            condition: None,
            action: PolicyAction::Fixed(action),
            post_action: None,
        });
        self
    }

    fn with_properties(mut self, properties: Vec<Property>) -> Self {
        self.mapping.properties = properties;
        self
    }

    fn with_hook(mut self, hook: MappingHook, text: &str) -> Self {
        let script = self.script(text);
        self.mapping.hooks.insert(hook, script);
        self
    }

    fn case(&self) -> Case<'_> {
        Case {
            mapping: &self.mapping,
            qualifier: "default",
            source: Source {
                id: "7",
                old: self.old.as_ref(),
                new: self.new.as_ref(),
            },
            link: self.link.as_ref(),
            scripts: self.scripts(),
        }
    }

    fn scripts(&self) -> Scripts<'_> {
        Scripts {
            effects: crate::mapping::Effects::Wanted,
            runtime: &self.runtime,
            reader: None,
            context: &self.context,
        }
    }

    async fn lookup(&self) -> Lookup {
        let prepared = self.case().prepare().await.expect("prepares");
        prepared.lookup().clone()
    }

    /// Decides with the object at the looked-up id, and the hits of correlation.
    async fn decide(&self, object: Option<TargetObject>, hits: Vec<Hit>) -> Decision {
        match self.case().prepare().await {
            Ok(prepared) => prepared.decide(Found { object, hits }).await,
            Err(decision) => *decision,
        }
    }
}

fn hit(id: &str, link: Option<Link>) -> Hit {
    Hit {
        object: target(id, json!({"email": "old"})),
        link,
    }
}

fn message(decision: &Decision) -> String {
    match &decision.row.step {
        Step::Failed { cause } => format!("{} {}", cause.code, cause.message),
        other => panic!("did not fail: {other:?}"),
    }
}

fn write(decision: &Decision) -> &TargetWrite {
    match &decision.row.step {
        Step::Write { write } => write,
        other => panic!("writes nothing: {other:?}"),
    }
}

#[test]
fn a_case_can_be_decided_on_any_thread() {
    fn is_send<T: Send>(_: T) {}
    let bench = Bench::new();
    is_send(bench.case().prepare());
    is_send(bench.decide(None, Vec::new()));
    let _ = Arc::new(bench);
}
