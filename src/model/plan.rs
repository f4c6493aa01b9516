//! What will be written where: rows of a plan, the writes in them, and how each write is undone.
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    link::LinkChange,
    object::{Difference, ID, Object},
    path::Container,
    secret::EVERY_ATTRIBUTE,
    situation::{Action, Situation},
};

/// An object as a target holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetObject {
    /// The target's id.
    pub id: String,
    /// Its attributes, without `_id`.
    pub attributes: Object,
    /// What the target gives for optimistic preconditions, an ETag for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// One write to one target, with what it takes to undo it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "lowercase")]
pub enum TargetWrite {
    /// Bring an object into being; the pre-image is that there was none.
    Create {
        /// The id to give it; none where the target assigns one.
        id: Option<String>,
        /// Its attributes, without `_id`.
        after: Object,
    },
    /// Change an object.
    Update {
        /// The pre-image: the whole object as it was read.
        before: TargetObject,
        /// The whole object's attributes as they will be, without `_id`.
        after: Object,
        /// The new id, where the id changes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rename: Option<String>,
    },
    /// Remove an object.
    Delete {
        /// The pre-image: the whole object as it was read.
        before: TargetObject,
    },
}

/// Why a row failed: what the target (or planning) said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The target's own code: an HTTP status as a number, an SQLSTATE as text.
    pub code: Value,
    /// One or two words for the code.
    pub reason: String,
    /// What the target said; secrets are masked.
    pub message: String,
    /// What is known about the write.
    pub kind: CauseKind,
}

/// What a failure says about the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CauseKind {
    /// The target said no; nothing happened there.
    Refused,
    /// The target could not be reached or was busy; nothing happened there.
    Unavailable,
    /// It cannot be known whether the write took effect.
    Unknown,
}

/// What a row wants done at its turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum Step {
    /// Write to the target.
    Write {
        /// The write.
        write: TargetWrite,
    },
    /// Nothing to write.
    Nothing,
    /// Planning failed for this row, and the failure counts now.
    Failed {
        /// Why.
        cause: Cause,
    },
}

/// What one mapping (under one link qualifier) means for one change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRow {
    /// The mapping's name.
    pub mapping: String,
    /// The link qualifier, `default` where the mapping names none.
    pub link_qualifier: String,
    /// The source object's id.
    pub source_id: String,
    /// Where the target object is.
    pub target: Container,
    /// The target object's id, where it is known.
    pub target_id: Option<String>,
    /// How source and target stand to each other; none where that could not be assessed.
    pub situation: Option<Situation>,
    /// What is done about it.
    pub action: Option<Action>,
    /// What happens at this row's turn.
    #[serde(flatten)]
    pub step: Step,
    /// What happens to the link once the row has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkChange>,
    /// Target attributes that come from confidential ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confidential: Vec<String>,
    /// Target attributes that this write sets or puts back and that the target never shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub write_only: Vec<String>,
    /// Target attributes of this write whose values are a set, which may be written half.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<String>,
    /// What this write has to write anew because it gives the object another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
    /// What an object held that counted as deleted and that this create brings back into use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dormant: Option<Object>,
    /// The query filter (CREST text) of the mapping's correlation: how a create whose id the
    /// target assigns finds its earlier self again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<String>,
}

/// What goes by an object's name elsewhere in the target, such as the groups that name their members:
/// it is written anew, value by value, once the object has another name, and does not show under that
/// name before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Follows {
    /// The attribute that shows the object's name.
    pub by: String,
    /// The name that the object gets.
    pub to: String,
    /// The attributes whose values follow the name; each is a set.
    pub attributes: Vec<String>,
}

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RowResult {
    /// Done, or nothing was to be done.
    Successful,
    /// It certainly did not happen.
    Failed,
    /// An earlier row failed, so this one was not tried.
    Skipped,
    /// It may have happened; it counts as touched.
    Unknown,
}

impl TargetWrite {
    /// `create`, `update` or `delete`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Delete { .. } => "delete",
        }
    }

    /// The whole object before, with its `_id`; none for a create.
    #[must_use]
    pub fn before(&self) -> Option<Object> {
        match self {
            Self::Create { .. } => None,
            Self::Update { before, .. } | Self::Delete { before } => Some(before.to_object()),
        }
    }

    /// The whole object after, with its `_id` where that is known; none for a delete.
    #[must_use]
    pub fn after(&self) -> Option<Object> {
        match self {
            Self::Create { id, after } => Some(with_id(id.as_deref(), after)),
            Self::Update {
                before,
                after,
                rename,
            } => Some(with_id(Some(rename.as_ref().unwrap_or(&before.id)), after)),
            Self::Delete { .. } => None,
        }
    }

    /// The whole objects before and after, as [`TargetWrite::before`] and [`TargetWrite::after`]
    /// give them.
    #[must_use]
    pub fn into_images(self) -> (Option<Object>, Option<Object>) {
        match self {
            Self::Create { id, after } => (None, Some(under(id, after))),
            Self::Update {
                before,
                after,
                rename,
            } => {
                let id = rename.unwrap_or_else(|| before.id.clone());
                let before = under(Some(before.id), before.attributes);
                (Some(before), Some(under(Some(id), after)))
            }
            Self::Delete { before } => (Some(under(Some(before.id), before.attributes)), None),
        }
    }

    /// The attributes before and after, without `_id`.
    fn attributes(&self) -> [Option<&Object>; 2] {
        match self {
            Self::Create { after, .. } => [None, Some(after)],
            Self::Update { before, after, .. } => [Some(&before.attributes), Some(after)],
            Self::Delete { before } => [Some(&before.attributes), None],
        }
    }

    /// The attributes that this write changes; empty for create and delete.
    #[must_use]
    pub fn difference(&self) -> Difference {
        match self {
            Self::Update { before, after, .. } => Difference::between(&before.attributes, after),
            Self::Create { .. } | Self::Delete { .. } => Difference::default(),
        }
    }
}

impl PlannedRow {
    /// The confidential values that the row's write carries.
    pub fn confidential_values(&self) -> impl Iterator<Item = &Value> {
        let objects = match &self.step {
            Step::Write { write } if !self.confidential.is_empty() => write.attributes(),
            _ => [None, None],
        };
        let every = self.confidential.iter().any(|name| name == EVERY_ATTRIBUTE);
        objects.into_iter().flatten().flat_map(move |object| {
            let members = object.iter();
            members
                .filter(move |(name, _)| every || self.confidential.contains(name))
                .map(|(_, value)| value)
        })
    }
}

impl TargetObject {
    /// The attributes with `_id` in front.
    #[must_use]
    pub fn to_object(&self) -> Object {
        with_id(Some(&self.id), &self.attributes)
    }
}

fn with_id(id: Option<&str>, attributes: &Object) -> Object {
    under(id.map(str::to_owned), attributes.clone())
}

/// The attributes with `_id` in front, where it is known.
fn under(id: Option<String>, mut attributes: Object) -> Object {
    if let Some(id) = id {
        attributes.shift_insert(0, ID.to_owned(), Value::String(id));
    }
    attributes
}
