//! The groups that an account is in, as an attribute of the account: it is read from the groups,
//! and written to them.
use std::collections::HashSet;
use std::sync::Arc;

use ldap3::{Mod, Scope};
use serde_json::Value;

use super::{
    dn::Dn,
    filter::escaped,
    session::{Lease, Pool},
    settings::Memberships,
    steps::{Request, Step},
    wire::{DN, View},
};
use crate::{
    connectors::Error,
    model::{Object, TargetObject, TargetWrite},
};

/// The steps at the groups of an account that is changed.
#[derive(Debug, Default)]
pub struct Around {
    /// Before the account's own name changes.
    pub before: Vec<Step>,
    /// After that.
    pub after: Vec<Step>,
}

impl Around {
    /// Whether no group changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// Shows the groups that an account is in.
///
/// # Errors
/// As [`Lease::search`].
pub async fn show(
    lease: &mut Lease,
    view: &View<'_>,
    object: &mut TargetObject,
) -> Result<(), Error> {
    let Some(memberships) = &view.class.memberships else {
        return Ok(());
    };
    let Some(Value::String(dn)) = object.attributes.get(DN) else {
        return Ok(());
    };
    let filter = format!("(&{}{})", memberships.filter, holds(memberships, dn));
    let found = lease
        .search(&memberships.base, Scope::Subtree, &filter, &["1.1"])
        .await?;
    let mut groups: Vec<String> = found.into_iter().map(|entry| entry.dn).collect();
    groups.sort_unstable();
    if !groups.is_empty() {
        let name = memberships.name.clone();
        object.attributes.insert(name, groups.into());
    }
    Ok(())
}

/// The same on a connection of the pool.
///
/// # Errors
/// As [`Lease::search`].
pub async fn show_all(
    pool: &Arc<Pool>,
    view: &View<'_>,
    objects: &mut [TargetObject],
) -> Result<(), Error> {
    if view.class.memberships.is_none() || objects.is_empty() {
        return Ok(());
    }
    let mut lease = pool.lease().await?;
    for object in objects {
        show(&mut lease, view, object).await?;
    }
    lease.give_back();
    Ok(())
}

/// A planned write with every group under the name that the directory gives it.
///
/// # Errors
/// Refused where there is no such group.
pub async fn known(
    pool: &Arc<Pool>,
    view: &View<'_>,
    mut write: TargetWrite,
) -> Result<TargetWrite, Error> {
    let Some(memberships) = &view.class.memberships else {
        return Ok(write);
    };
    let (before, after) = match &mut write {
        TargetWrite::Create { after, .. } => (Vec::new(), after),
        TargetWrite::Update { before, after, .. } => {
            (groups(memberships, &before.attributes), after)
        }
        TargetWrite::Delete { .. } => return Ok(write),
    };
    let mut named = Vec::new();
    for group in groups(memberships, after) {
        let same = before.iter().find(|held| is_same(held, &group));
        named.push(match same {
            Some(held) => held.clone(),
            None => look_up(pool, memberships, &group).await?,
        });
    }
    named.sort_unstable();
    named.dedup();
    after.retain(|name, _| !name.eq_ignore_ascii_case(&memberships.name));
    if !named.is_empty() {
        after.insert(memberships.name.clone(), named.into());
    }
    Ok(write)
}

async fn look_up(
    pool: &Arc<Pool>,
    memberships: &Memberships,
    group: &str,
) -> Result<String, Error> {
    let is_below = Dn::parse(group)
        .zip(Dn::parse(&memberships.base))
        .is_some_and(|(group, base)| group.is_within(&base));
    let found = match is_below {
        true => {
            let filter = &memberships.filter;
            pool.search(group, Scope::Base, filter, &["1.1"]).await?
        }
        false => Vec::new(),
    };
    let found = found.into_iter().next().map(|entry| entry.dn);
    found.ok_or_else(|| {
        let base = &memberships.base;
        Error::refused(
            32,
            format!("there is no group `{group}` below {base} (`memberships`)"),
        )
    })
}

/// Whether an update is carried out for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// As far as one knows.
    No,
    /// The account has its new name already, and the groups may know that or not.
    Renamed,
}

/// What an account's change means for the groups; `old` and `new` are its names.
#[must_use]
pub fn around(
    view: &View<'_>,
    (old, new): (&str, &str),
    (before, after): (&Object, &Object),
) -> Around {
    around_again(view, (old, new), (before, after), Begun::No)
}

/// The same for an update that may have begun before.
#[must_use]
pub fn around_again(
    view: &View<'_>,
    (old, new): (&str, &str),
    (before, after): (&Object, &Object),
    begun: Begun,
) -> Around {
    let Some(memberships) = &view.class.memberships else {
        return Around::default();
    };
    let (held, wanted) = (groups(memberships, before), groups(memberships, after));
    let is_in = |list: &[String], group: &String| list.iter().any(|one| is_same(one, group));
    let mut around = Around::default();
    for group in &held {
        if !is_in(&wanted, group) {
            let left = format!("(!{})", holds(memberships, old));
            around.before.push(Step {
                done: Some(left).filter(|_| begun == Begun::Renamed),
                ..leave(memberships, group, old)
            });
        } else if !is_same(old, new) {
            around.after.push(follow(memberships, group, (old, new)));
        }
    }
    for group in wanted.iter().filter(|group| !is_in(&held, group)) {
        // Who goes back to a former name may be in a group under it still.
        let joined = holds(memberships, new);
        around.after.push(Step {
            done: Some(joined).filter(|_| !is_same(old, new)),
            ..join(memberships, group, new)
        });
    }
    around
}

/// What an account's deletion means for its groups: it leaves them first.
#[must_use]
pub fn all_left(view: &View<'_>, dn: &str, held: &Object) -> Vec<Step> {
    around(view, (dn, dn), (held, &Object::new())).before
}

fn join(memberships: &Memberships, group: &str, dn: &str) -> Step {
    let plain = ([add(memberships, dn)], [delete(memberships, dn)]);
    let Some(empty) = &memberships.empty else {
        return step(group, plain.0, plain.1);
    };
    // The stand-in goes where it is there.
    Step {
        otherwise: Some((modify(group, plain.0), modify(group, plain.1))),
        ..step(
            group,
            [delete(memberships, empty), add(memberships, dn)],
            [delete(memberships, dn), add(memberships, empty)],
        )
    }
}

fn leave(memberships: &Memberships, group: &str, dn: &str) -> Step {
    let otherwise = memberships.empty.as_ref().map(|empty| {
        (
            modify(group, [add(memberships, empty), delete(memberships, dn)]),
            modify(group, [add(memberships, dn), delete(memberships, empty)]),
        )
    });
    Step {
        otherwise,
        ..step(group, [delete(memberships, dn)], [add(memberships, dn)])
    }
}

/// A group that goes on to hold an account under its new name, unless the server sees to that.
fn follow(memberships: &Memberships, group: &str, (old, new): (&str, &str)) -> Step {
    Step {
        done: Some(holds(memberships, new)),
        ..step(
            group,
            [delete(memberships, old), add(memberships, new)],
            [delete(memberships, new), add(memberships, old)],
        )
    }
}

fn step<const N: usize>(group: &str, mods: [Mod<Vec<u8>>; N], undo: [Mod<Vec<u8>>; N]) -> Step {
    Step {
        undo: Some(modify(group, undo)),
        ..Step::last(modify(group, mods), Vec::new())
    }
}

fn modify<const N: usize>(group: &str, mods: [Mod<Vec<u8>>; N]) -> Request {
    Request::Modify {
        dn: group.to_owned(),
        mods: mods.into(),
    }
}

fn add(memberships: &Memberships, dn: &str) -> Mod<Vec<u8>> {
    Mod::Add(memberships.attribute.clone().into_bytes(), value(dn))
}

fn delete(memberships: &Memberships, dn: &str) -> Mod<Vec<u8>> {
    Mod::Delete(memberships.attribute.clone().into_bytes(), value(dn))
}

fn value(dn: &str) -> HashSet<Vec<u8>> {
    HashSet::from([dn.as_bytes().to_vec()])
}

/// That a group holds an account, as a filter.
fn holds(memberships: &Memberships, dn: &str) -> String {
    format!("({}={})", memberships.attribute, escaped(dn.as_bytes()))
}

/// The groups that an object names.
#[must_use]
pub fn groups(memberships: &Memberships, object: &Object) -> Vec<String> {
    let mut all = object.iter();
    let found = all.find(|(name, _)| name.eq_ignore_ascii_case(&memberships.name));
    let texts = |items: &[Value]| -> Vec<String> {
        let texts = items.iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    match found {
        Some((_, Value::Array(items))) => texts(items),
        Some((_, one)) => texts(std::slice::from_ref(one)),
        None => Vec::new(),
    }
}

fn is_same(one: &str, other: &str) -> bool {
    let same = Dn::parse(one).zip(Dn::parse(other));
    same.map_or_else(
        || one.eq_ignore_ascii_case(other),
        |(one, other)| one.is_same(&other),
    )
}
