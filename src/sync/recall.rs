//! What a reconciliation has done to a record already: a run that was cut off looks at its last
//! page again, and must tell of it what it would have told.
use crate::{
    mapping::Mapping,
    model::{
        ChangeKind, Container, Object, OperationId, Outcome, PlannedRow, Purpose, ResourceName,
        RowResult,
        object::{ID, REV},
        record::{OperationRecord, WriteRecord},
        secret::masked,
    },
    store::StoredOperation,
};

use super::{
    Engine,
    change::{Change, Context},
    error::Refusal,
    finding::{Finding, Standing, finding},
    inspect::{Deeds, Inspection, Subject, mapping_of},
    queue,
    recover::intent_of,
};

/// How many of an object's latest changes are looked at.
const LATEST: u64 = 50;

/// Something that was done, and the change that did it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// What was found, and done.
    pub finding: Finding,
    /// The change.
    pub operation: OperationId,
}

impl Engine {
    /// What a reconciliation that began after `since` has done about a record, the newest first.
    /// `target_id` names the target object that it is now known to have.
    ///
    /// # Errors
    /// 404 for an unknown mapping, 503 where the store cannot be read.
    pub async fn recall(
        &self,
        inspection: &Inspection,
        since: OperationId,
        target_id: Option<&str>,
    ) -> Result<Vec<Recalled>, Refusal> {
        let setup = self.setup();
        let mapping = mapping_of(&setup, &inspection.mapping)?;
        let mut recalled = Vec::new();
        for object in places(&mapping, &inspection.subject, target_id) {
            let changes = self.store().changes_after(&object, since, LATEST).await?;
            for change in changes {
                recalled.extend(self.told_by(&change, inspection, &mapping));
            }
        }
        Ok(recalled)
    }

    fn told_by(
        &self,
        stored: &StoredOperation,
        inspection: &Inspection,
        mapping: &Mapping,
    ) -> Vec<Recalled> {
        let Ok(intent) = intent_of(stored.payload.as_deref()) else {
            return Vec::new();
        };
        let parameter = |name: &str| {
            let place = format!("/additionalParameters/{name}");
            intent.change.request.pointer(&place)?.as_str()
        };
        let is_own = parameter("reconId") == Some(&*inspection.run)
            && parameter("mapping") == Some(&*mapping.name);
        if !is_own || stored.record.outcome.is_none() {
            return Vec::new();
        }
        let operation = stored.record.id;
        let findings = if intent.change.lineage.purpose == Purpose::Reconciliation {
            let context = Context::new(intent.change, self.setup());
            let rows = intent.rows.iter().zip(&stored.record.writes);
            rows.filter_map(|(row, write)| done(&context, mapping, row, write))
                .collect()
        } else {
            let origin = intent.rows.iter().find(|row| row.mapping == mapping.name);
            let setup = self.setup();
            let hidden = setup.managed(&mapping.target);
            let hidden = hidden.map_or(&[][..], |managed| &managed.confidential);
            let of_row = |row| changed(&stored.record, &intent.change, row, hidden);
            origin.and_then(of_row).into_iter().collect::<Vec<_>>()
        };
        let told = findings.into_iter();
        told.map(|finding| Recalled { finding, operation })
            .collect()
    }
}

/// The objects whose changes may tell of a record.
fn places(mapping: &Mapping, subject: &Subject, target_id: Option<&str>) -> Vec<ResourceName> {
    let inward = matches!(mapping.target, Container::Managed(_));
    match subject {
        Subject::Target { id, .. } => vec![mapping.target.object(id)],
        Subject::Source(id) => {
            let own = [mapping.source.object(id), queue::place(&mapping.name, id)];
            let target = target_id.filter(|_| inward);
            let target = target.map(|id| mapping.target.object(id));
            own.into_iter().chain(target).collect()
        }
    }
}

/// A row that was carried out.
fn done(
    context: &Context,
    mapping: &Mapping,
    row: &PlannedRow,
    write: &WriteRecord,
) -> Option<Finding> {
    if write.result != Some(RowResult::Successful) {
        return None;
    }
    let mut finding = finding(context, mapping, row, Deeds::Everything);
    if finding.standing != Standing::Done {
        return None;
    }
    finding.target_id = write.target_id.clone().or(finding.target_id);
    Some(finding)
}

/// A change of a managed object that a mapping from a system asked for.
fn changed(
    record: &OperationRecord,
    change: &Change,
    origin: &PlannedRow,
    hidden: &[String],
) -> Option<Finding> {
    if !matches!(record.outcome, Some(Outcome::Synced | Outcome::Partial)) {
        return None;
    }
    let shown = |object: &Option<Object>| {
        let mut object = object.clone()?;
        object.retain(|name, _| name != ID && name != REV);
        let names = origin.confidential.iter().chain(hidden);
        Some(masked(object, names.map(String::as_str)))
    };
    let operation = match change.kind {
        ChangeKind::Create => "create",
        ChangeKind::Update => "update",
        ChangeKind::Delete => "delete",
    };
    Some(Finding {
        link_qualifier: origin.link_qualifier.clone(),
        source_id: Some(origin.source_id.clone()).filter(|id| !id.is_empty()),
        target_id: Some(change.object.id.clone()),
        situation: origin.situation,
        action: origin.action,
        operation: Some(operation),
        removes: change.kind == ChangeKind::Delete,
        before: shown(&change.old),
        after: shown(&change.new),
        standing: Standing::Done,
        cause: None,
        agreement: None,
        met: Vec::new(),
    })
}
