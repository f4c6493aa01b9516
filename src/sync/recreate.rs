//! What is still to be done where a deleted object was created again: its rest, and its link.
use crate::model::{CauseKind, Difference, LinkChange, RowResult, TargetObject, TargetWrite};

use super::{apply::Recreates, calls::own_cause, change::RowEnd, compare::Special};

/// What a target made of a recreated object by itself, put right: a column that held nothing may
/// have got its default again.
pub(super) fn left_over(
    inverse: &TargetWrite,
    special: Special<'_>,
    end: &RowEnd,
) -> Option<TargetWrite> {
    let TargetWrite::Create { after, .. } = inverse else {
        return None;
    };
    let written = end.written.as_ref()?;
    let attributes = written.attributes.clone()?;
    let mut after = after.clone();
    after.retain(|name, _| !special.hidden.contains(name));
    let after = &after;
    let difference = Difference::between(&attributes, after);
    let is_there = |name: &str| special.equal(name, attributes.get(name), after.get(name));
    if end.result != RowResult::Successful || difference.attributes().all(is_there) {
        return None;
    }
    let before = TargetObject {
        id: written.id.clone(),
        attributes,
        version: None,
    };
    Some(TargetWrite::Update {
        before,
        after: after.clone(),
        rename: None,
    })
}

/// Where a recreated object got another id than it had, the link follows it. The target still does
/// not hold exactly what it held, unless the object is found under its own name all the same.
pub(super) fn relink(
    planned: Option<&LinkChange>,
    inverse: &TargetWrite,
    end: &mut RowEnd,
    recreates: Recreates,
) -> Option<LinkChange> {
    let TargetWrite::Create {
        id: Some(wanted), ..
    } = inverse
    else {
        return None;
    };
    let given = end.written.as_ref().map(|written| written.id.clone())?;
    if end.result != RowResult::Successful || given == *wanted {
        return None;
    }
    if recreates == Recreates::UnderAnotherId {
        let message = format!("the target gave the recreated object the id {given}, not {wanted}");
        end.result = RowResult::Failed;
        end.cause = Some(own_cause(CauseKind::Refused, 409, message));
    }
    match planned? {
        LinkChange::Remove(link) => Some(LinkChange::Set {
            link_type: link.link_type.clone(),
            link_qualifier: link.link_qualifier.clone(),
            first_id: link.first_id.clone(),
            second_id: Some(given),
        }),
        LinkChange::Set { .. } => None,
    }
}
