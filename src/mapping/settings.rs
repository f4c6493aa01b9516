//! A mapping as it is used: what sync.json says, compiled.
use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    hooks::Script,
    model::{Action, Container, Filter, Object, Situation, pointer::Pointer},
};

/// One mapping. Order among mappings is that of sync.json.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Its name.
    pub name: String,
    /// Where the source objects are.
    pub source: Container,
    /// Where the target objects are.
    pub target: Container,
    /// Whether a change of the source runs it.
    pub enable_sync: bool,
    /// Set where changes are queued: the mapping is carried out after the change, on its own.
    pub queued_sync: Option<QueuedSync>,
    /// The link type: its own name, or that of the mapping named in `links`.
    pub link_type: String,
    /// Set where the first id of a link is this mapping's target: it shares its links with a
    /// mapping of the other direction (`links`).
    pub links_reversed: bool,
    /// Which link qualifiers there are.
    pub link_qualifiers: LinkQualifiers,
    /// The properties, in order.
    pub properties: Vec<Property>,
    /// Which source objects qualify, beside `source_condition`.
    pub valid_source: Option<Script>,
    /// Which target objects qualify.
    pub valid_target: Option<Script>,
    /// Which source objects qualify.
    pub source_condition: Option<Condition>,
    /// How a target without a link is found.
    pub correlation: Option<Correlation>,
    /// What is done in which situation; the first one whose condition holds counts.
    pub policies: Vec<Policy>,
    /// `onCreate`, `onUpdate`, `onDelete`, `onLink`, `onUnlink`, `result`.
    pub hooks: BTreeMap<MappingHook, Script>,
    /// Which source objects reconciliation looks at.
    pub source_query: Option<Filter>,
    /// Which target objects reconciliation looks at.
    pub target_query: Option<Filter>,
    /// Whether reconciliation may go on where the source is empty.
    pub allow_empty_source_set: bool,
    /// Whether reconciliation looks at targets without a source.
    pub run_target_phase: bool,
    /// Target attributes whose values come from confidential source attributes.
    pub confidential: Vec<String>,
    /// How it is reconciled.
    pub reconciliation: Reconciliation,
}

/// How a mapping is reconciled.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconciliation {
    /// When it runs by itself.
    pub schedule: Option<crate::model::recon::Schedule>,
    /// What a run by schedule looks at.
    pub mode: crate::model::recon::Mode,
    /// How many deletions a run may carry out by itself; none: any number.
    pub max_deletions: Option<u64>,
    /// What share of the records, from 0 to 1, a run may delete by itself.
    pub max_deletion_share: f64,
    /// Which target objects are disabled: to disable one counts as a deletion.
    pub disabled_when: Option<Filter>,
    /// What share of the records may fail, from 0 to 1, before a run is stopped and the mapping
    /// quarantined.
    pub max_failure_share: f64,
    /// The mapping's version, in place of the digest of it and its scripts.
    pub sync_version: Option<String>,
    /// From which end partial syncs work.
    pub direction: SyncDirection,
}

/// From which end a partial sync works through its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncDirection {
    /// From the window's begin; what is done when it stops is done.
    #[default]
    Forward,
    /// From now back to the window's begin; nothing counts before all is done.
    Backward,
}

impl Default for Reconciliation {
    fn default() -> Self {
        Self {
            schedule: None,
            mode: crate::model::recon::Mode::Full,
            max_deletions: None,
            max_deletion_share: 0.2,
            disabled_when: None,
            max_failure_share: 0.5,
            sync_version: None,
            direction: SyncDirection::Forward,
        }
    }
}

/// One mapped property.
#[derive(Debug, Clone)]
pub struct Property {
    /// Where the value goes: an attribute, or a place inside one.
    pub target: Pointer,
    /// Where the value comes from; none takes the whole object to the transform.
    pub source: Option<Pointer>,
    /// What makes the value.
    pub transform: Option<Script>,
    /// Whether the property applies.
    pub condition: Option<Condition>,
    /// The value where the result is null.
    pub default: Option<Value>,
}

/// A condition.
#[derive(Debug, Clone)]
pub enum Condition {
    /// A query filter over `/object` and `/target` (a pointer without either means the object).
    Filter(Filter),
    /// A script that returns a boolean.
    Script(Script),
}

/// How a target without a link is found.
#[derive(Debug, Clone)]
pub enum Correlation {
    /// `correlationQuery`: a script per link qualifier (or one for all, under `default`) that
    /// returns `#{_queryFilter: "…"}` or a filter's text.
    Query(BTreeMap<String, Script>),
    /// `correlationScript`: returns an array of target ids, or of objects with `_id`.
    Script(Script),
}

/// Which link qualifiers there are.
#[derive(Debug, Clone)]
pub enum LinkQualifiers {
    /// These, in order.
    Static(Vec<String>),
    /// Those that the script returns for an object.
    Script(Script),
}

/// What is done in a situation.
#[derive(Debug, Clone)]
pub struct Policy {
    /// In which.
    pub situation: Situation,
    /// Only where this holds.
    pub condition: Option<Condition>,
    /// What.
    pub action: PolicyAction,
    /// What runs afterwards.
    pub post_action: Option<Script>,
}

/// The action of a policy.
#[derive(Debug, Clone)]
pub enum PolicyAction {
    /// This one.
    Fixed(Action),
    /// The one whose name the script returns.
    Script(Script),
}

/// Hooks of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MappingHook {
    /// May change the new target object.
    OnCreate,
    /// May change the target object.
    OnUpdate,
    /// Before a target object is deleted.
    OnDelete,
    /// Before a link is set.
    OnLink,
    /// Before a link is removed.
    OnUnlink,
    /// After a reconciliation.
    Result,
}

/// How queued changes are carried out (keys of IDM's `queuedSync`).
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedSync {
    /// How many are taken at a time.
    pub page_size: usize,
    /// How long to wait when there is none.
    pub polling_interval: Duration,
    /// Retries before a change becomes a dead letter; none: what holds where nobody says otherwise.
    pub max_retries: Option<u32>,
    /// How long to wait before a retry.
    pub retry_delay: Duration,
}

impl MappingHook {
    /// Every hook with its key in sync.json.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::OnCreate, "onCreate"),
        (Self::OnUpdate, "onUpdate"),
        (Self::OnDelete, "onDelete"),
        (Self::OnLink, "onLink"),
        (Self::OnUnlink, "onUnlink"),
        (Self::Result, "result"),
    ];

    /// Its key in sync.json.
    #[must_use]
    pub fn key(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(hook, _)| *hook == self)
            .map_or("", |(_, key)| key)
    }
}

impl Mapping {
    /// Whether a change of an object in `container` runs this mapping at once.
    #[must_use]
    pub fn is_immediate_for(&self, container: &Container) -> bool {
        self.enable_sync && self.queued_sync.is_none() && self.source == *container
    }

    /// Whether a change of an object in `container` is queued for this mapping.
    #[must_use]
    pub fn is_queued_for(&self, container: &Container) -> bool {
        self.enable_sync && self.queued_sync.is_some() && self.source == *container
    }

    /// A copy of a target object with what is confidential masked.
    #[must_use]
    pub fn masked(&self, object: Object) -> Object {
        crate::model::secret::masked(object, self.confidential.iter().map(String::as_str))
    }
}
