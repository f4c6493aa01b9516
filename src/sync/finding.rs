//! What was found of one record in a reconciliation, and how it ended.
use crate::{
    mapping::Mapping,
    model::{
        Action, Cause, CauseKind, LinkChange, Object, OperationId, PlannedRow, RowResult,
        Situation, Step, TargetWrite, secret::masked,
    },
};

use super::{
    calls::own_cause,
    change::{Context, RowEnd},
    compare::{Naming, Special, is_recognizable},
    fingerprint::{Fingerprint, fingerprint},
    inspect::Deeds,
    plan::inspect::Examined,
};

/// What was found, and done about it.
#[derive(Debug, Clone, Default)]
pub struct Inspected {
    /// One for each link qualifier; none where there is nothing (any more) to look at.
    pub findings: Vec<Finding>,
    /// The change that was carried out, if one was.
    pub operation: Option<OperationId>,
}

/// How a source and a target stand to each other, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The link qualifier.
    pub link_qualifier: String,
    /// The source object's id.
    pub source_id: Option<String>,
    /// The target object's id.
    pub target_id: Option<String>,
    /// None where it could not be assessed.
    pub situation: Option<Situation>,
    /// What was chosen to be done.
    pub action: Option<Action>,
    /// `create`, `update`, `delete`, `link` or `unlink`; none where nothing is to be done.
    pub operation: Option<&'static str>,
    /// Whether it deletes the target object, or disables it (`disabledWhen`).
    pub removes: bool,
    /// The target object before, masked.
    pub before: Option<Object>,
    /// The target object after, masked.
    pub after: Option<Object>,
    /// What became of it.
    pub standing: Standing,
    /// Why it failed.
    pub cause: Option<Cause>,
    /// What both sides hold, where nothing is left to be done.
    pub agreement: Option<Agreement>,
    /// The target objects that a source without a link may belong to, however many.
    pub met: Vec<String>,
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was to be done.
    Agreed,
    /// Something is to be done, and was not tried: a dry run.
    Planned,
    /// It is done.
    Done,
    /// A deletion that is held back.
    Held,
    /// The policy says EXCEPTION: somebody must decide. Nothing failed (idm-reference 4.2).
    Excepted,
    /// It certainly was not done.
    Failed,
    /// It may have been done.
    Unknown,
}

/// What both sides of a pair hold, as fingerprints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The target object's id.
    pub target_id: String,
    /// The source's attributes, or its revision where it is one of ours.
    pub source: Fingerprint,
    /// The same of the target.
    pub target: Fingerprint,
}

pub(super) fn agreement(source: Option<&Fingerprint>, one: &Examined) -> Option<Agreement> {
    if one.varies {
        return None;
    }
    Some(Agreement {
        target_id: one.row.target_id.clone()?,
        source: source?.clone(),
        target: one.agrees.clone()?,
    })
}

/// What a row means before anything is done. What is about to be done counts as done until it is
/// known better.
pub(super) fn finding(
    context: &Context,
    mapping: &Mapping,
    row: &PlannedRow,
    deeds: Deeds,
) -> Finding {
    let hidden = context.setup.managed(&mapping.target);
    let hide = |object: Object| {
        let own = row.confidential.iter();
        let types = hidden.iter().flat_map(|managed| &managed.confidential);
        masked(object, own.chain(types).map(String::as_str))
    };
    let (operation, before, after, mut cause) = match &row.step {
        Step::Write { write } => (
            Some(write.operation()),
            write.before().map(hide),
            write.after().map(hide),
            None,
        ),
        Step::Nothing => (row.link.as_ref().map(link_word), None, None, None),
        Step::Failed { cause } => (None, None, None, Some(cause.clone())),
    };
    let removes = operation == Some("delete") || disables(mapping, row);
    let standing = match (&cause, operation, deeds) {
        (Some(_), ..) if row.action == Some(Action::Exception) => Standing::Excepted,
        (Some(_), ..) => Standing::Failed,
        (None, None, _) => Standing::Agreed,
        (None, Some(_), Deeds::Nothing) => Standing::Planned,
        (None, Some(_), Deeds::AllButDeletions) if removes => Standing::Held,
        (None, Some(_), _) => Standing::Done,
    };
    if let Some(cause) = &mut cause {
        cause.message = context.redactor.text(&cause.message);
    }
    Finding {
        link_qualifier: row.link_qualifier.clone(),
        source_id: Some(row.source_id.clone()).filter(|id| !id.is_empty()),
        target_id: row.target_id.clone(),
        situation: row.situation,
        action: row.action,
        operation,
        removes,
        before,
        after,
        standing,
        cause,
        agreement: None,
        met: Vec::new(),
    }
}

fn link_word(change: &LinkChange) -> &'static str {
    match change {
        LinkChange::Set { .. } => "link",
        LinkChange::Remove(_) => "unlink",
    }
}

/// How a row ended that was carried out.
pub(super) fn end_of(
    finding: &mut Finding,
    row: &PlannedRow,
    end: &RowEnd,
    source: Option<&Fingerprint>,
) {
    if let Some(written) = &end.written {
        finding.target_id = Some(written.id.clone());
    }
    match end.result {
        RowResult::Successful => finding.agreement = agreed_by(row, end, source),
        RowResult::Failed | RowResult::Skipped => finding.standing = Standing::Failed,
        RowResult::Unknown => finding.standing = Standing::Unknown,
    }
    finding.cause.clone_from(&end.cause);
    if end.result == RowResult::Skipped {
        let message = "an earlier write of the same record failed";
        finding.cause = Some(own_cause(CauseKind::Refused, 409, message));
    }
}

/// What both sides hold after a write that the target took exactly as it was sent.
fn agreed_by(row: &PlannedRow, end: &RowEnd, source: Option<&Fingerprint>) -> Option<Agreement> {
    let Step::Write { write } = &row.step else {
        return None;
    };
    let is_pair = matches!(
        write,
        TargetWrite::Create { .. } | TargetWrite::Update { .. }
    );
    let written = end.written.as_ref().filter(|_| is_pair)?;
    let attributes = written.attributes.as_ref()?;
    let find = row.find.as_deref();
    let find = find.and_then(|text| crate::model::Filter::parse(text).ok());
    let (special, find) = (Special::of(row), find.as_ref());
    is_recognizable(write, special, Some(written), find, Naming::Both).then(|| Agreement {
        target_id: written.id.clone(),
        source: source.cloned().unwrap_or_default(),
        target: fingerprint(attributes),
    })
}

pub(super) fn fail(finding: &mut Finding, cause: Cause) {
    finding.standing = Standing::Failed;
    finding.cause = Some(cause);
}

/// Whether a row's write disables an object that was not disabled before.
fn disables(mapping: &Mapping, row: &PlannedRow) -> bool {
    let (Some(filter), Step::Write { write }) = (&mapping.reconciliation.disabled_when, &row.step)
    else {
        return false;
    };
    let meets = |object: Option<Object>| object.is_some_and(|object| filter.matches(&object));
    meets(write.after()) && !meets(write.before())
}
