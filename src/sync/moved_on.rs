//! Whether a system's record has moved on while a reconciliation looked at it: an event may have brought
//! what it is now, and what it was would undo that.
use std::collections::BTreeMap;

use crate::{
    mapping::Mapping,
    model::{Container, Link, Step, TargetWrite, object::REV},
};

use super::{
    Engine, Setup,
    error::Refusal,
    inspect::{Inspection, Looked, Subject, source_print},
    plan::inspect::Examined,
};

impl Engine {
    /// Whether a system's record is another one than when the look at it began, while the managed
    /// object was changed: an event may have brought what the record is now, and what it was would undo
    /// that. An object that is what it was before the record was read is certainly not newer.
    pub(super) async fn has_moved_on(
        &self,
        inspection: &Inspection,
        setup: &Setup,
        mapping: &Mapping,
        looked: &Looked,
    ) -> Result<bool, Refusal> {
        let Subject::Source(id) = &inspection.subject else {
            return Ok(false);
        };
        let is_doubtful = |one: &Examined| match &one.row.step {
            Step::Write {
                write: TargetWrite::Update { before, .. } | TargetWrite::Delete { before },
            } => looked.revisions.get(&before.id) != before.version.as_ref(),
            // A create is refused where the object has come meanwhile.
            Step::Write { .. } | Step::Nothing | Step::Failed { .. } => false,
        };
        if !is_inward(mapping) || !looked.examined.iter().any(is_doubtful) {
            return Ok(false);
        }
        let now = self.system_source(setup, &mapping.source, id).await?;
        let print = now.as_ref().map(|source| source_print(mapping, source));
        Ok(print != looked.source)
    }

    /// The revisions of the managed objects that a system's record is linked to, before the record is
    /// read.
    pub(super) async fn revisions_before(
        &self,
        inspection: &Inspection,
        mapping: &Mapping,
        links: &[Link],
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let mut revisions = BTreeMap::new();
        let is_source = matches!(inspection.subject, Subject::Source(_));
        if !is_source || !is_inward(mapping) {
            return Ok(revisions);
        }
        for link in links {
            let id = if mapping.links_reversed {
                &link.first_id
            } else {
                &link.second_id
            };
            let stored = self.store().object(&mapping.target.object(id)).await?;
            let revision = stored.as_ref().and_then(|stored| stored.object.get(REV));
            if let Some(revision) = revision.and_then(serde_json::Value::as_str) {
                revisions.insert(id.clone(), revision.to_owned());
            }
        }
        Ok(revisions)
    }
}

/// Whether a mapping brings a system's records to managed objects.
fn is_inward(mapping: &Mapping) -> bool {
    matches!(mapping.source, Container::System { .. })
        && matches!(mapping.target, Container::Managed(_))
}
