//! A planned write as its target would carry it out, before anything is written.
use crate::{
    connectors::{Error, Particulars},
    mapping::{Case, Decision, Failure},
    model::{Cause, Link, LinkChange, Object, Step, TargetWrite, object::same, secret::Redactor},
};

use super::{
    calls::{cause, retried},
    compare::Special,
    details::failure_status,
    setup::Target,
};

/// Why a write could not be refined.
pub(super) enum Failed {
    /// The target says so.
    Target(Error),
    /// A script of the mapping failed.
    Mapping(Failure),
}

impl Failed {
    /// The failure as the row tells it, with the HTTP status that it means while nothing is
    /// written.
    pub(super) fn told(self, redactor: &Redactor) -> (Cause, u16) {
        let (mut told, status) = match self {
            Self::Target(error) => (cause(&error, redactor), failure_status(error.kind)),
            Self::Mapping(failure) => (failure.cause(), failure.code()),
        };
        told.message = redactor.text(&told.message);
        (told, status)
    }
}

/// Whether the id that a create asks for says nothing about what is there already, because objects
/// of the class go by ids that the target assigns.
pub(super) fn is_only_asked_for(case: &Case<'_>, target: &Target, class: &str) -> bool {
    case.link.is_none() && target.connector.particulars(class).assigns_ids
}

/// Lets the target say in which form it would carry a planned write out, and leaves out of it what
/// is never read and does not change.
pub(super) async fn refine(
    case: &Case<'_>,
    (target, class): (&Target, &str),
    decision: &mut Decision,
) -> Result<(), Failed> {
    let Step::Write { write } = &mut decision.row.step else {
        return Ok(());
    };
    let asked = write.clone();
    let refine = || target.connector.refine(class, asked.clone());
    let refined = retried(&target.calls, refine).await;
    *write = refined.map_err(Failed::Target)?;
    let particulars = target.connector.particulars(class);
    decision.row.sets = sets(write, &particulars);
    decision.row.follows = target.connector.follows(class, write);
    if let TargetWrite::Create { id, after } = &*write
        && particulars.revives
    {
        let dormant = || target.connector.dormant(class, id.as_deref(), after);
        let dormant = retried(&target.calls, dormant).await;
        decision.row.dormant = dormant.map_err(Failed::Target)?;
    }
    if !particulars.write_only.is_empty() {
        let former = case.former(&particulars.write_only).await;
        let former = former.map_err(Failed::Mapping)?;
        let names = hide(write, &particulars, former);
        decision.row.confidential.extend(names.iter().cloned());
        decision.row.write_only = names;
    }
    if let (TargetWrite::Create { id: wanted, .. }, TargetWrite::Create { id, .. }) =
        (&asked, &*write)
        && wanted != id
    {
        decision.unread.clone_from(id);
        decision.row.target_id.clone_from(id);
    }
    let (Some(old), new) = (renamed(&asked), renamed(write)) else {
        leave_out_nothing(&mut decision.row.step);
        return Ok(());
    };
    if new.is_none() {
        // It is called so already, or an attribute says it: the object keeps its id.
        decision.unread = None;
        if let TargetWrite::Update { before, .. } = &asked {
            keep_link(&mut decision.row.link, old, &before.id);
            let is_known = case
                .link
                .is_some_and(|link| is_set(link, decision.row.link.as_ref()));
            if is_known {
                decision.row.link = None;
            }
        }
    }
    leave_out_nothing(&mut decision.row.step);
    Ok(())
}

fn renamed(write: &TargetWrite) -> Option<&str> {
    match write {
        TargetWrite::Update { rename, .. } => rename.as_deref(),
        TargetWrite::Create { .. } | TargetWrite::Delete { .. } => None,
    }
}

/// An update that changes nothing is none.
fn leave_out_nothing(step: &mut Step) {
    if let Step::Write { write } = step
        && matches!(write, TargetWrite::Update { rename: None, .. })
        && write.difference().is_empty()
    {
        *step = Step::Nothing;
    }
}

/// Whether a link says already what a change of it would set.
fn is_set(link: &Link, change: Option<&LinkChange>) -> bool {
    matches!(change, Some(LinkChange::Set { first_id, second_id, .. })
        if *first_id == link.first_id && second_id.as_ref() == Some(&link.second_id))
}

/// The link goes on to name the id that the object keeps.
fn keep_link(link: &mut Option<LinkChange>, called: &str, id: &str) {
    if let Some(LinkChange::Set {
        first_id,
        second_id,
        ..
    }) = link
    {
        if second_id.as_deref() == Some(called) {
            *second_id = Some(id.to_owned());
        } else if first_id == called {
            id.clone_into(first_id);
        }
    }
}

/// Takes what is never read out of a write where it does not change, and puts what the mapping gave
/// before where the pre-image would be; gives the names that stay.
fn hide(write: &mut TargetWrite, particulars: &Particulars, former: Object) -> Vec<String> {
    match write {
        TargetWrite::Create { after, .. } => named(after, particulars),
        TargetWrite::Delete { before } => {
            let is_known = |own: &String| former.keys().any(|name| name.eq_ignore_ascii_case(own));
            before.attributes.retain(|own, _| !is_known(own));
            before.attributes.extend(former);
            named(&before.attributes, particulars)
        }
        TargetWrite::Update { before, after, .. } => {
            for (name, old) in former {
                let own = after.keys().find(|own| own.eq_ignore_ascii_case(&name));
                let name = own.cloned().unwrap_or(name);
                if after.get(&name).is_some_and(|new| same(&old, new)) {
                    after.shift_remove(&name);
                } else {
                    before.attributes.insert(name, old);
                }
            }
            let mut names = named(&before.attributes, particulars);
            let more = named(after, particulars).into_iter();
            names.extend(more.filter(|name| !before.attributes.contains_key(name)));
            names
        }
    }
}

/// Takes the order out of the attributes whose values are a set: where they hold the same, nothing
/// changes. Gives their names.
fn sets(write: &mut TargetWrite, particulars: &Particulars) -> Vec<String> {
    if particulars.sets.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    let (before, after) = match write {
        TargetWrite::Create { after, .. } => (None, Some(after)),
        TargetWrite::Update { before, after, .. } => (Some(&before.attributes), Some(after)),
        TargetWrite::Delete { before } => (Some(&before.attributes), None),
    };
    names.extend(before.into_iter().flat_map(Object::keys).cloned());
    names.extend(after.iter().flat_map(|after| after.keys()).cloned());
    names.retain(|name| particulars.is_set(name));
    names.sort_unstable();
    names.dedup();
    if let (Some(before), Some(after)) = (before, after) {
        let special = Special {
            sets: &names,
            ..Special::default()
        };
        for (name, old) in before.iter().filter(|(name, _)| names.contains(name)) {
            if let Some(new) = after.get_mut(name)
                && special.equal(name, Some(old), Some(new))
            {
                new.clone_from(old);
            }
        }
    }
    names
}

fn named(object: &Object, particulars: &Particulars) -> Vec<String> {
    let names = object.keys();
    names
        .filter(|name| particulars.is_write_only(name))
        .cloned()
        .collect()
}
