//! What entries are called: where a new one goes, and when an update renames or moves one.
use std::borrow::Cow;

use serde_json::Value;

use super::{
    dn::{Dn, Rdn},
    settings::Class,
    steps::{Request, Step},
    wire::{DN, Modifications, Values, View, nameable},
};
use crate::{
    connectors::{Error, Update},
    model::{Object, TargetObject, TargetWrite, object::Difference},
};

/// The id as the whole name of an entry of the class; none where it is no such name.
pub fn own_dn(class: &Class, id: &str) -> Option<String> {
    let (dn, base) = (Dn::parse(id)?, Dn::parse(&class.base)?);
    (dn.first().is_some() && dn.is_within(&base)).then(|| id.to_owned())
}

/// A planned write as the directory holds it: names and values in its form; a new entry under its
/// whole name; a new id as the new value of what names the entry.
///
/// # Errors
/// Refused where a value or a name cannot be written.
pub fn refined(view: &View<'_>, write: TargetWrite) -> Result<TargetWrite, Error> {
    match write {
        TargetWrite::Create { id, after } => {
            let mut after = view.canonical(&after)?;
            let (dn, naming) = new_name(view, id.as_deref(), &after)?;
            for (name, value) in &naming {
                let is_there = after.keys().any(|own| own.eq_ignore_ascii_case(name));
                if !is_there {
                    after.insert(name.clone(), Value::String(value.clone()));
                }
            }
            let own = &view.class.rdn_attribute;
            let value = naming
                .into_iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(own));
            let name = value.filter(|_| view.class.is_id_the_name());
            Ok(TargetWrite::Create {
                id: Some(name.map_or(dn, |(_, value)| value)),
                after,
            })
        }
        TargetWrite::Update {
            before,
            after,
            rename,
        } => refined_update(view, before, &after, rename),
        TargetWrite::Delete { before } => Ok(TargetWrite::Delete { before }),
    }
}

fn refined_update(
    view: &View<'_>,
    before: TargetObject,
    after: &Object,
    rename: Option<String>,
) -> Result<TargetWrite, Error> {
    nameable(Difference::between(&before.attributes, after).attributes())?;
    let mut after = view.canonical(after)?;
    let update = Update {
        before: &before,
        after: &after,
        rename: rename.as_deref(),
    };
    let dn = before.attributes.get(DN).and_then(Value::as_str);
    let new = match dn {
        Some(dn) => renaming(view, dn, &update)?,
        None => {
            return Ok(TargetWrite::Update {
                before,
                after,
                rename,
            });
        }
    };
    let own = &view.class.rdn_attribute;
    let (Some(new), is_id) = (new, view.class.is_id_the_name()) else {
        return Ok(TargetWrite::Update {
            before,
            after,
            rename: None,
        });
    };
    if is_id {
        let id = new.rdn.value(own).map(str::to_owned);
        let rename = id.filter(|id| *id != before.id);
        return Ok(TargetWrite::Update {
            before,
            after,
            rename,
        });
    }
    if rename.is_some() {
        for (name, taken, given) in &new.named {
            let mut values = match after.get(name) {
                Some(held) => view.values(name, held)?,
                None => Values::new(),
            };
            if let Some(taken) = taken {
                values.remove(taken.as_bytes());
            }
            values.insert(given.clone().into_bytes());
            if let Some(value) = view.value(name, &values, &new.to)? {
                after.insert(name.clone(), value);
            }
        }
    }
    // Of several values none says which one named the entry: only its whole name leads back.
    let names = |name: &String| {
        new.named
            .iter()
            .any(|(own, ..)| own.eq_ignore_ascii_case(name))
    };
    let mut held = before.attributes.iter();
    if held.any(|(name, held)| names(name) && held.as_array().is_some_and(|all| all.len() > 1)) {
        after.insert(DN.to_owned(), Value::String(new.to));
    }
    Ok(TargetWrite::Update {
        before,
        after,
        rename: None,
    })
}

/// Where a new entry goes, and the values that name it: `dn`, otherwise what the naming attribute
/// holds, otherwise the id, right below the base.
///
/// # Errors
/// Refused where nothing names it.
pub fn new_name(
    view: &View<'_>,
    id: Option<&str>,
    object: &Object,
) -> Result<(String, Vec<(String, String)>), Error> {
    let class = view.class;
    let whole = match object.get(DN) {
        Some(Value::String(dn)) => Some(dn.clone()),
        _ => id.and_then(|id| own_dn(class, id)),
    };
    if let Some(text) = whole {
        let dn = Dn::parse(&text).filter(|dn| dn.first().is_some());
        let dn = dn.ok_or_else(|| {
            Error::refused(34, format!("`{text}` is no distinguished name (`dn`)"))
        })?;
        let naming = dn.first().map(|rdn| rdn.parts.clone()).unwrap_or_default();
        return Ok((text, naming));
    }
    let name = &class.rdn_attribute;
    let own = object
        .iter()
        .find(|(own, _)| own.eq_ignore_ascii_case(name))
        .and_then(|(_, value)| first_text(value));
    let value = own.or_else(|| id.map(str::to_owned)).ok_or_else(|| {
        Error::refused(
            400,
            format!("a new entry needs `{name}` (`rdnAttribute`) or an id"),
        )
    })?;
    let naming = vec![(name.clone(), value)];
    let rdn = Rdn::new(naming.clone());
    Ok((format!("{},{}", rdn.text(), class.base), naming))
}

fn first_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => items.iter().find_map(first_text),
        _ => None,
    }
}

/// The whole name that an update gives the entry; none where it keeps its own.
///
/// # Errors
/// Refused where a name cannot be written.
pub fn new_dn(view: &View<'_>, dn: &str, update: &Update<'_>) -> Result<Option<String>, Error> {
    Ok(renaming(view, dn, update)?.map(|renaming| renaming.to))
}

/// What is left of an update once the entry has its new name: what that does not change.
///
/// # Errors
/// As [`update_steps`].
pub fn steps_after_renaming(
    view: &View<'_>,
    dn: &str,
    update: &Update<'_>,
) -> Result<Vec<Step>, Error> {
    let (renaming, changes) = changes(view, dn, update)?;
    let place = renaming.map_or_else(|| dn.to_owned(), |renaming| renaming.to);
    if changes.mods.is_empty() {
        return Ok(Vec::new());
    }
    let request = Request::Modify {
        dn: place,
        mods: changes.mods,
    };
    Ok(vec![Step::last(request, changes.conditions)])
}

/// The requests that an update takes, and the name of the entry after them.
///
/// # Errors
/// Refused where a value or a name cannot be written.
pub fn update_steps(
    view: &View<'_>,
    dn: &str,
    update: &Update<'_>,
) -> Result<(String, Vec<Step>), Error> {
    let (renaming, changes) = changes(view, dn, update)?;
    let mut conditions = changes.conditions;
    if changes.whole {
        conditions.extend(view.as_read(update.before));
    }
    let mut steps = Vec::new();
    let mut place = dn.to_owned();
    if let Some(renaming) = renaming {
        place.clone_from(&renaming.to);
        steps.push(renaming.step(dn, std::mem::take(&mut conditions)));
    }
    if !changes.mods.is_empty() {
        let request = Request::Modify {
            dn: place.clone(),
            mods: changes.mods,
        };
        steps.push(Step::last(request, conditions));
    }
    Ok((place, steps))
}

/// How an update renames the entry, and what it changes besides.
fn changes(
    view: &View<'_>,
    dn: &str,
    update: &Update<'_>,
) -> Result<(Option<Renaming>, Modifications), Error> {
    let before = update.before;
    let renaming = renaming(view, dn, update)?;
    let mut named = renaming
        .as_ref()
        .map(|renaming| renaming.named.clone())
        .unwrap_or_default();
    let mut after = Cow::Borrowed(update.after);
    if update.rename.is_some() {
        // The new id says what names the entry; the object may still say what did.
        for (name, ..) in named.drain(..) {
            let old = before.attributes.iter();
            for (name, value) in old.filter(|(own, _)| own.eq_ignore_ascii_case(&name)) {
                after.to_mut().insert(name.clone(), value.clone());
            }
        }
    }
    let changes = view.modifications(&before.attributes, &after, &named)?;
    Ok((renaming, changes))
}

/// Another name or place of an entry.
struct Renaming {
    /// The whole new name.
    to: String,
    rdn: Rdn,
    old_rdn: Rdn,
    parent: Option<(String, String)>,
    forget_old: bool,
    /// Whether the new naming values were held before under another name.
    held_before: bool,
    /// Attribute, value that goes, value that comes.
    named: Vec<(String, Option<String>, String)>,
}

impl Renaming {
    fn step(self, dn: &str, conditions: Vec<String>) -> Step {
        let (old_parent, parent) = self.parent.unzip();
        Step {
            request: Request::Rename {
                dn: dn.to_owned(),
                rdn: self.rdn.text().to_owned(),
                parent,
                forget_old: self.forget_old,
            },
            undo: Some(Request::Rename {
                dn: self.to,
                rdn: self.old_rdn.text().to_owned(),
                parent: old_parent,
                forget_old: !self.held_before,
            }),
            conditions,
            otherwise: None,
            done: None,
        }
    }
}

/// How the entry is to be called from now on: as `dn` says where that changes, otherwise as the
/// attributes say that name it; none where its name stays.
fn renaming(view: &View<'_>, dn: &str, update: &Update<'_>) -> Result<Option<Renaming>, Error> {
    let no_name =
        |text: &str| Error::refused(34, format!("`{text}` is no distinguished name (`dn`)"));
    let old = Dn::parse(dn).ok_or_else(|| no_name(dn))?;
    let old_rdn = old.first().ok_or_else(|| no_name(dn))?.clone();
    let (before, after) = (&update.before.attributes, update.after);
    let difference = Difference::between(before, after);
    // A new id says it all.
    let new_dn = difference.set.get(DN).filter(|_| update.rename.is_none());
    let wanted = match new_dn {
        Some(Value::String(text)) => {
            let wanted = Dn::parse(text).ok_or_else(|| no_name(text))?;
            let rdn = wanted.first().ok_or_else(|| no_name(text))?.clone();
            Some((rdn, wanted.parent()))
        }
        _ => renamed(view, &old_rdn, update)?.map(|rdn| (rdn, old.parent())),
    };
    let Some((rdn, parent)) = wanted else {
        return Ok(None);
    };
    let moves = Dn::parse(&parent).zip(Dn::parse(&old.parent()));
    let moves = moves.is_some_and(|(to, from)| !to.is_same(&from));
    if rdn.parts == old_rdn.parts && !moves {
        return Ok(None);
    }
    let holds = |object: &Object, name: &str, value: &str| {
        let held = object
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name));
        held.and_then(|(name, held)| view.values(name, held).ok())
            .is_some_and(|held| held.contains(value.as_bytes()))
    };
    let changes = |name: &str| {
        difference
            .attributes()
            .any(|own| own.eq_ignore_ascii_case(name))
    };
    // A value that named the entry stays only where the new object asks for it by itself: where it
    // is said anew, or where another attribute names the entry from now on.
    let keeps_old = old_rdn.parts.iter().any(|(name, value)| {
        let is_asked_for = changes(name) || rdn.value(name).is_none();
        rdn.value(name) != Some(value) && is_asked_for && holds(after, name, value)
    });
    let held_before = rdn
        .parts
        .iter()
        .any(|(name, value)| old_rdn.value(name) != Some(value) && holds(before, name, value));
    let named = rdn
        .parts
        .iter()
        .map(|(name, value)| {
            let taken = old_rdn.value(name).filter(|old| !keeps_old && old != value);
            (name.clone(), taken.map(str::to_owned), value.clone())
        })
        .collect();
    let to = match parent.as_str() {
        "" => rdn.text().to_owned(),
        parent => format!("{},{parent}", rdn.text()),
    };
    Ok(Some(Renaming {
        to,
        rdn,
        old_rdn,
        parent: moves.then(|| (old.parent(), parent)),
        forget_old: !keeps_old,
        held_before,
        named,
    }))
}

/// The component with the new values of the attributes that name the entry; none where those that
/// do are still among them.
fn renamed(view: &View<'_>, old: &Rdn, update: &Update<'_>) -> Result<Option<Rdn>, Error> {
    let mut parts = old.parts.clone();
    for (name, value) in &mut parts {
        if let Some(id) = update
            .rename
            .filter(|_| name.eq_ignore_ascii_case(&view.class.rdn_attribute))
        {
            id.clone_into(value);
            continue;
        }
        let find = |object: &Object| {
            let held = object
                .iter()
                .find(|(own, _)| own.eq_ignore_ascii_case(name));
            held.map(|(_, held)| held.clone())
        };
        let (was, wanted) = (find(&update.before.attributes), find(update.after));
        if was == wanted {
            continue;
        }
        let wanted = wanted.unwrap_or_default();
        if view.values(name, &wanted)?.contains(value.as_bytes()) {
            continue;
        }
        let first = first_text(&wanted).ok_or_else(|| {
            let message = format!("`{name}` names the entry and cannot be empty");
            Error::refused(422, message)
        })?;
        *value = first;
    }
    Ok((parts != old.parts).then(|| Rdn::new(parts)))
}
