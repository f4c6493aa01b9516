//! conf/sync.json as it is written.
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::script::{Script, TextOrScript};
use crate::mapping::MappingHook;

/// conf/sync.json: the mappings, in the order in which a change runs them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "sync.json")]
pub(crate) struct Sync {
    /// The mappings, in order.
    #[serde(default)]
    #[schemars(required, with = "Option<Vec<Mapping>>")]
    pub(crate) mappings: Option<Vec<Option<Mapping>>>,
}

/// From the objects of one place to those of another.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mapping {
    /// Its name, unique in this file.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// Where the source objects are: `managed/TYPE` or `system/CONNECTOR/CLASS`.
    #[schemars(required)]
    pub(crate) source: Option<String>,
    /// Where the target objects are: `system/CONNECTOR/CLASS` or `managed/TYPE`.
    #[schemars(required)]
    pub(crate) target: Option<String>,
    /// Whether a change of the source runs this mapping; true if left out.
    pub(crate) enable_sync: Option<bool>,
    /// The name of a mapping whose links this one uses too.
    pub(crate) links: Option<String>,
    /// The qualifiers under which one source may have several targets: a list, or a script that
    /// returns one.
    pub(crate) link_qualifiers: Option<LinkQualifiers>,
    /// What the target's attributes are made of, in order.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Property>>")]
    pub(crate) properties: Option<Vec<Option<Property>>>,
    /// A script: whether a source object takes part.
    pub(crate) valid_source: Option<Script>,
    /// A script: whether a target object takes part.
    pub(crate) valid_target: Option<Script>,
    /// A query filter or a script: whether a source object takes part.
    pub(crate) source_condition: Option<TextOrScript>,
    /// A script that returns a query filter which finds the target of a source without a link; or
    /// a list of them, one for each link qualifier.
    pub(crate) correlation_query: Option<CorrelationQuery>,
    /// A script that returns the ids of the targets of a source without a link.
    pub(crate) correlation_script: Option<Script>,
    /// What is done in which situation; the first one whose condition holds counts.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Policy>>")]
    pub(crate) policies: Option<Vec<Option<Policy>>>,
    /// May change a target object before it is created.
    pub(crate) on_create: Option<Script>,
    /// May change a target object before it is updated.
    pub(crate) on_update: Option<Script>,
    /// Runs before a target object is deleted.
    pub(crate) on_delete: Option<Script>,
    /// Runs before a link is set.
    pub(crate) on_link: Option<Script>,
    /// Runs before a link is removed.
    pub(crate) on_unlink: Option<Script>,
    /// Runs after a reconciliation.
    pub(crate) result: Option<Script>,
    /// Queues changes of this mapping instead of making them part of all or nothing.
    pub(crate) queued_sync: Option<QueuedSync>,
    /// Which source objects a reconciliation looks at.
    pub(crate) source_query: Option<Query>,
    /// Which target objects a reconciliation looks at.
    pub(crate) target_query: Option<Query>,
    /// Whether a reconciliation goes on where the source is empty; false if left out.
    pub(crate) allow_empty_source_set: Option<bool>,
    /// Whether a reconciliation looks at targets without a source; true if left out.
    pub(crate) run_target_phase: Option<bool>,
    /// When and within which bounds this mapping is reconciled.
    pub(crate) reconciliation: Option<Reconciliation>,
}

/// When and within which bounds a mapping is reconciled.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reconciliation {
    /// When it runs by itself: a cron expression of five fields (or six, with seconds in front), in
    /// UTC.
    pub(crate) schedule: Option<String>,
    /// What a run by schedule looks at; `full` if left out.
    pub(crate) mode: Option<ModeName>,
    /// How many deletions a run carries out without an approval; any number if left out.
    pub(crate) max_deletions: Option<u64>,
    /// What share of at least 100 records a run deletes without an approval; 0.2 if left out.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) max_deletion_share: Option<f64>,
    /// A query filter over the target object, such as `/active eq false`: an update that brings an
    /// object to meet it counts as a deletion.
    pub(crate) disabled_when: Option<String>,
    /// What share of at least 20 records may fail before a run is stopped and its schedule pauses;
    /// 0.5 if left out.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) max_failure_share: Option<f64>,
    /// The mapping's version. If left out, it is a digest of the mapping and its scripts. A new
    /// version looks at everything again, once.
    pub(crate) sync_version: Option<String>,
    /// From which end a partial sync works; `forward` if left out.
    pub(crate) direction: Option<DirectionName>,
}

/// Which records a run looks at.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ModeName {
    /// All of both sides.
    Full,
    /// Source objects that changed since the last complete sync.
    UpdatedAt,
}

/// From which end a partial sync works.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum DirectionName {
    /// From the oldest change; what is done when it stops is done.
    Forward,
    /// From the newest change; nothing counts before all is done.
    Backward,
}

/// One attribute of the target.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Property {
    /// The source's attribute; the empty text, or none, gives the whole object to the transform.
    pub(crate) source: Option<String>,
    /// The target's attribute.
    #[schemars(required)]
    pub(crate) target: Option<String>,
    /// A script that makes the value from `source`.
    pub(crate) transform: Option<Script>,
    /// A query filter or a script: whether this property applies.
    pub(crate) condition: Option<TextOrScript>,
    /// The value where the result is null.
    #[serde(default)]
    pub(crate) default: Option<Value>,
}

/// The qualifiers of links.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum LinkQualifiers {
    /// These.
    Static(#[schemars(with = "Vec<String>")] Vec<Option<String>>),
    /// Those that a script returns.
    Script(Script),
}

/// How the target of a source without a link is found.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum CorrelationQuery {
    /// One script for each link qualifier.
    Qualified(#[schemars(with = "Vec<QualifiedScript>")] Vec<Option<QualifiedScript>>),
    /// One for all.
    One(QualifiedScript),
}

/// A script for one link qualifier.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QualifiedScript {
    /// The link qualifier; `default` if left out.
    pub(crate) link_qualifier: Option<String>,
    /// The script.
    #[serde(flatten)]
    pub(crate) script: Script,
}

/// What is done in a situation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Policy {
    /// In which.
    #[schemars(required)]
    pub(crate) situation: Option<SituationName>,
    /// The name of an action, or a script that returns one.
    #[schemars(required)]
    pub(crate) action: Option<ActionOrScript>,
    /// A query filter or a script: whether this policy applies.
    pub(crate) condition: Option<TextOrScript>,
    /// A script that runs afterwards.
    pub(crate) post_action: Option<Script>,
}

/// The name of an action, or a script that returns one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ActionOrScript {
    /// An action.
    Name(ActionName),
    /// A script.
    Script(Script),
}

/// How a source object and its target stand to each other.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(crate) struct SituationName(pub(crate) crate::model::Situation);

/// What is done about a situation.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(crate) struct ActionName(pub(crate) crate::model::Action);

/// How queued changes are carried out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueuedSync {
    /// Whether changes are queued; false if left out.
    pub(crate) enabled: Option<bool>,
    /// How many changes are taken at a time; 100 if left out.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) page_size: Option<usize>,
    /// Milliseconds between looks at an empty queue; 1000 if left out.
    #[schemars(range(min = 10, max = 3_600_000))]
    pub(crate) polling_interval: Option<u64>,
    /// Has no effect: the queue is on disk and has no bound in memory.
    #[serde(rename = "maxQueueSize")]
    #[schemars(range(min = 1))]
    pub(crate) _max_queue_size: Option<u64>,
    /// Retries before `postRetryAction`; 100 if left out, which takes about a day, for ever where it
    /// is negative.
    pub(crate) max_retries: Option<i64>,
    /// Milliseconds before a retry; 1000 if left out.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub(crate) retry_delay: Option<u64>,
    /// What happens to a change that failed for good: `dead-letter-queue`.
    pub(crate) post_retry_action: Option<TextOrScript>,
}

/// Which objects a reconciliation looks at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Query {
    /// A query filter.
    Text(String),
    /// A query filter as IDM writes it.
    Object(QueryObject),
}

/// A query filter as IDM writes it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueryObject {
    /// The query filter.
    #[serde(rename = "_queryFilter")]
    #[schemars(required)]
    pub(crate) query_filter: Option<String>,
    /// The place to query; the mapping's own.
    pub(crate) resource_name: Option<String>,
}

impl Mapping {
    /// The script of a hook, with its key.
    pub(crate) fn hooks(&self) -> impl Iterator<Item = (MappingHook, &'static str, &Script)> {
        MappingHook::ALL.into_iter().filter_map(|(hook, key)| {
            let script = match hook {
                MappingHook::OnCreate => &self.on_create,
                MappingHook::OnUpdate => &self.on_update,
                MappingHook::OnDelete => &self.on_delete,
                MappingHook::OnLink => &self.on_link,
                MappingHook::OnUnlink => &self.on_unlink,
                MappingHook::Result => &self.result,
            };
            Some((hook, key, script.as_ref()?))
        })
    }
}

/// The schema of a text that is one of some words.
macro_rules! schema_of_words {
    ($($name:ident: $words:expr, $description:literal;)*) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $description,
                    "enum": $words,
                })
            }
        }
    )*};
}
schema_of_words! {
    SituationName: crate::model::Situation::ALL, "How a source object and its target stand to each other.";
    ActionName: crate::model::Action::ALL, "What is done about a situation.";
}
