//! Groups: members in pieces that the service takes, read back afterwards, and taken back where not
//! all of them arrive.
use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::Scim,
    dialect::Way,
    known::Known,
    patch,
    wire::{MEMBERS, Resource, Site, members, service_id},
};
use crate::{
    connectors::{Error, signs},
    model::{CauseKind, Difference, Object, object::same},
};

/// From how many unknown members on their whole class is listed instead of asking for each.
const MANY: usize = 20;

/// The operations of a change, cut into requests.
pub struct Batches(pub Vec<Vec<Value>>);

/// A change of one resource that may take several requests.
#[derive(Debug, Clone, Copy)]
pub struct Steps<'a> {
    /// The service's own id.
    pub own: &'a str,
    /// What it was before, and its key where that changes; none where it is new.
    pub undo: Option<(&'a Object, Option<&'a str>)>,
    /// What it shall be.
    pub after: &'a Object,
}

impl Batches {
    /// What turns `before` into `after`, and gives it another key.
    pub fn between(site: &Site<'_>, before: &Object, after: &Object, key: Option<&str>) -> Self {
        let mut first = patch::operations(site, before, after);
        if let Some(key) = key {
            first.push(patch::set(site, &site.class.key, &json!(key), false));
        }
        let (old, new) = (ids(site, before), ids(site, after));
        let gone: Vec<&str> = old.difference(&new).map(String::as_str).collect();
        let added: Vec<&str> = new.difference(&old).map(String::as_str).collect();
        let limit = site.deviations.members_per_request.max(1);
        let mut batches = vec![first];
        let mut room = limit;
        for (list, adds) in [(gone, false), (added, true)] {
            let mut list = list.as_slice();
            while !list.is_empty() {
                if room == 0 {
                    batches.push(Vec::new());
                    room = limit;
                }
                let (piece, rest) = list.split_at(room.min(list.len()));
                room -= piece.len();
                list = rest;
                let Some(batch) = batches.last_mut() else {
                    break;
                };
                match adds {
                    true => batch.push(patch::add_members(piece)),
                    false => batch.extend(patch::remove_members(site, piece)),
                }
            }
        }
        batches.retain(|batch| !batch.is_empty());
        Self(batches)
    }

    /// What a new resource is created with, and whether members are left for later requests.
    pub fn of_new(site: &Site<'_>, object: &Object) -> (Object, bool) {
        let mut first = object.clone();
        let all: Vec<String> = ids(site, object).into_iter().collect();
        let limit = site.deviations.members_per_request.max(1);
        let rest = all.len() > limit;
        if let Some(piece) = all.get(..limit).filter(|_| rest) {
            first.insert(MEMBERS.to_owned(), json!(piece));
        }
        (first, rest)
    }
}

/// What a group holds with everything back that turned `before` into `after`.
///
/// # Errors
/// Refused where an attribute holds neither, and members that were in neither: somebody else has
/// written there.
fn taken_back(
    site: &Site<'_>,
    before: &Object,
    after: &Object,
    held: &Object,
) -> Result<Object, Error> {
    let mut back = held.clone();
    for name in Difference::between(before, after).attributes() {
        let (old, new, now) = (before.get(name), after.get(name), held.get(name));
        let is = |value: Option<&Value>| match (value, now) {
            (Some(value), Some(now)) => same(value, now),
            (value, now) => value.is_none() && now.is_none(),
        };
        let is_ours = if name == MEMBERS && site.shape.is_group() {
            let (old, new, now) = (ids(site, before), ids(site, after), ids(site, held));
            old.intersection(&new).all(|id| now.contains(id))
                && now.iter().all(|id| old.contains(id) || new.contains(id))
        } else {
            is(old) || is(new)
        };
        if !is_ours {
            let message = format!("somebody else has changed `{name}` meanwhile");
            return Err(Error::refused(409, message));
        }
        match old {
            Some(old) => back.insert(name.to_owned(), old.clone()),
            None => back.shift_remove(name),
        };
    }
    Ok(back)
}

fn unread(error: Error) -> Error {
    let message = format!("the group could not be read back: {}", error.message);
    Error::unknown(error.code, message).after(error.retry_after)
}

fn ids(site: &Site<'_>, object: &Object) -> BTreeSet<String> {
    match object.get(MEMBERS) {
        Some(value) if site.shape.is_group() => members(value).into_iter().collect(),
        _ => BTreeSet::new(),
    }
}

impl Scim {
    /// Sends the requests of a change one after the other. Where a later one fails for certain, what
    /// the earlier ones did is taken back, so that the failure may say that nothing happened.
    pub(super) async fn patch_all(
        &self,
        known: &Known,
        site: &Site<'_>,
        steps: Steps<'_>,
        batches: Batches,
        version: Option<&str>,
    ) -> Result<Option<Resource>, Error> {
        let mut version = version.map(str::to_owned);
        let mut resource = None;
        for (index, batch) in batches.0.iter().enumerate() {
            let sent = self
                .patch(known, site, steps.own, batch, version.as_deref())
                .await;
            match sent {
                Ok(now) => {
                    signs::further();
                    if index + 1 < batches.0.len() {
                        version = self
                            .next_version(known, site, steps.own, now.as_ref())
                            .await?;
                    }
                    resource = now;
                }
                Err(error) if index > 0 || steps.undo.is_none() => {
                    return Err(self.take_back(known, site, steps, error).await);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(resource)
    }

    /// The version that the next piece of a change holds for. Where the resource could not be read
    /// back after the piece before, it is read once more: a piece without a precondition would meet
    /// whatever somebody else made of it meanwhile.
    ///
    /// # Errors
    /// *Unknown*: what was written so far stands.
    async fn next_version(
        &self,
        known: &Known,
        site: &Site<'_>,
        own: &str,
        now: Option<&Resource>,
    ) -> Result<Option<String>, Error> {
        if let Some(now) = now.filter(|now| now.version.is_some()) {
            return Ok(now.version.clone());
        }
        if now.is_some() || !known.has_versions(&self.settings) {
            return Ok(None);
        }
        match self.get(known, site, own).await {
            Ok(Some(now)) => Ok(now.version),
            Ok(None) => Err(Error::unknown(404, "the group was gone between two pieces")),
            Err(error) => Err(unread(error)),
        }
    }

    /// Brings the members of a new group in that its creation left out, and sees that all are there.
    pub(super) async fn fill(
        &self,
        known: &Known,
        site: &Site<'_>,
        steps: Steps<'_>,
        made: Option<Resource>,
        wanted: &Object,
    ) -> Result<Option<Resource>, Error> {
        let limit = site.deviations.members_per_request.max(1);
        let mut first = wanted.clone();
        let all: Vec<String> = ids(site, wanted).into_iter().collect();
        let Some(piece) = all.get(..limit).filter(|_| all.len() > limit) else {
            return self.verify(known, site, steps, made, wanted).await;
        };
        first.insert(MEMBERS.to_owned(), json!(piece));
        let made = made.filter(|made| made.version.is_some());
        let version = self
            .next_version(known, site, steps.own, made.as_ref())
            .await?;
        let batches = Batches::between(site, &first, wanted, None);
        let resource = self
            .patch_all(known, site, steps, batches, version.as_deref())
            .await?;
        self.verify(known, site, steps, resource, wanted).await
    }

    /// Reads a group back and sees that its members are those that were written: services leave out
    /// silently whom they do not know.
    pub(super) async fn verify(
        &self,
        known: &Known,
        site: &Site<'_>,
        steps: Steps<'_>,
        resource: Option<Resource>,
        wanted: &Object,
    ) -> Result<Option<Resource>, Error> {
        let is_told = |it: &Resource| ids(site, &it.attributes) == ids(site, wanted);
        if !site.shape.is_group() || !site.deviations.members_shown {
            return Ok(resource);
        }
        let resource = match resource.filter(is_told) {
            Some(resource) => return Ok(Some(resource)),
            None => self.get(known, site, steps.own).await,
        };
        match resource {
            Ok(Some(found)) if is_told(&found) => Ok(Some(found)),
            Ok(Some(found)) => {
                let (has, wants) = (ids(site, &found.attributes), ids(site, wanted));
                let missing: Vec<&str> = wants.difference(&has).map(String::as_str).collect();
                let message = match missing.first() {
                    Some(first) => format!(
                        "the service did not take {} of the members, `{first}` for one",
                        missing.len()
                    ),
                    None => "the service kept members that were to go".to_owned(),
                };
                let error = Error::refused(422, message);
                Err(self.take_back(known, site, steps, error).await)
            }
            Ok(None) => Err(Error::unknown(
                404,
                "the group was gone when it was read back",
            )),
            Err(error) => Err(unread(error)),
        }
    }

    /// Takes back what a failed change of several requests did, and says what is true then. Where
    /// nobody knows what the failed request did, or will still do, nothing is taken back here, and
    /// neither where the service has no time: that it would have for an undo no more than for the
    /// rest. Whoever asked looks at the group, when the service wants to be asked, and goes on from
    /// what it holds.
    async fn take_back(
        &self,
        known: &Known,
        site: &Site<'_>,
        steps: Steps<'_>,
        error: Error,
    ) -> Error {
        match error.kind {
            CauseKind::Unknown => return error,
            CauseKind::Unavailable => {
                let message = format!("{}; some members were written already", error.message);
                return Error::unknown(error.code, message).after(error.retry_after);
            }
            CauseKind::Refused => {}
        }
        let taken = match steps.undo {
            Some((before, key)) => self.restore(known, site, steps, before, key).await,
            None => self.remove_made(known, site, steps).await,
        };
        match taken {
            Ok(()) => error,
            Err(undo) => {
                let message = format!(
                    "{}; some members were written, and could not be taken back: {}",
                    error.message, undo.message
                );
                Error::unknown(error.code, message).after(undo.retry_after.or(error.retry_after))
            }
        }
    }

    /// Puts back what the change wrote, and nothing where somebody else has written there since.
    async fn restore(
        &self,
        known: &Known,
        site: &Site<'_>,
        steps: Steps<'_>,
        before: &Object,
        key: Option<&str>,
    ) -> Result<(), Error> {
        let own = steps.own;
        let gone = || Error::unknown(404, "it is gone");
        let now = self.get(known, site, own).await?.ok_or_else(gone)?;
        let held = site.normal(&now.attributes);
        let back = taken_back(site, before, steps.after, &held)?;
        let mut version = now.version.clone();
        if known.way(site) == Way::Put {
            let key = key.or(now.key.as_deref());
            let body = site.body(Some(own), key, &back);
            return self
                .put(known, site, own, &body, version.as_deref())
                .await
                .map(drop);
        }
        let key = key.filter(|key| now.key.as_deref() != Some(*key));
        let batches = Batches::between(site, &held, &back, key);
        for (index, batch) in batches.0.iter().enumerate() {
            let sent = self.patch(known, site, own, batch, version.as_deref());
            let now = sent.await?;
            signs::further();
            if index + 1 < batches.0.len() {
                version = self.next_version(known, site, own, now.as_ref()).await?;
            }
        }
        Ok(())
    }

    /// Removes a group that a create made, unless somebody else has written to it since.
    async fn remove_made(
        &self,
        known: &Known,
        site: &Site<'_>,
        steps: Steps<'_>,
    ) -> Result<(), Error> {
        let Some(now) = self.get(known, site, steps.own).await? else {
            return Ok(());
        };
        taken_back(
            site,
            &Object::new(),
            steps.after,
            &site.normal(&now.attributes),
        )?;
        let path = Self::path_of(site, steps.own)?;
        let version = now.version.as_deref();
        let deleted = self.write(Method::DELETE, &path, None, version).await;
        deleted.map(drop)
    }

    // ---- members by their ids in Recant

    /// The object with its members as a list of the service would name them, where the case of their
    /// key does not count. Whom it does not have is left to the write, which says so.
    pub(super) async fn cased_members(
        &self,
        known: &Known,
        site: &Site<'_>,
        object: Object,
    ) -> Result<Object, Error> {
        let of = site.class.members_of.as_deref();
        let Some(of) = of.filter(|_| object.contains_key(MEMBERS)) else {
            return Ok(object);
        };
        if !self.site(known, self.class(of)?)?.shape.key_ignores_case {
            return Ok(object);
        }
        let (mut own, missing) = self.own_members(known, site, &object).await?;
        if missing.is_some() {
            return Ok(object);
        }
        self.show_members(known, site, &mut own).await?;
        Ok(own)
    }

    /// Members as Recant knows them: by the `_id`s of the class that `membersOf` names.
    pub(super) async fn show_members(
        &self,
        known: &Known,
        site: &Site<'_>,
        attributes: &mut Object,
    ) -> Result<(), Error> {
        let (Some(of), true) = (&site.class.members_of, site.shape.is_group()) else {
            return Ok(());
        };
        let Some(value) = attributes.get(MEMBERS) else {
            return Ok(());
        };
        let people = self.site(known, self.class(of)?)?;
        if people.class.uses_service_ids() {
            return Ok(());
        }
        let own = members(value);
        let unknown = |id: &&String| self.noted_key(&people, id).is_none();
        let unknown: Vec<&String> = own.iter().filter(unknown).collect();
        if unknown.len() > MANY {
            self.collect(known, &people, None, |_| None::<()>).await?;
        } else {
            for id in unknown {
                self.get(known, &people, id).await?;
            }
        }
        let mut shown: Vec<String> = own
            .iter()
            .map(|id| {
                let key = self.noted_key(&people, id);
                key.unwrap_or_else(|| format!("id:{id}"))
            })
            .collect();
        shown.sort_unstable();
        attributes.insert(MEMBERS.to_owned(), json!(shown));
        Ok(())
    }

    /// The object with its members as the service knows them, and the first that it does not have.
    pub(super) async fn own_members(
        &self,
        known: &Known,
        site: &Site<'_>,
        object: &Object,
    ) -> Result<(Object, Option<String>), Error> {
        let mut object = object.clone();
        let (Some(of), true) = (&site.class.members_of, site.shape.is_group()) else {
            return Ok((object, None));
        };
        let Some(value) = object.get(MEMBERS) else {
            return Ok((object, None));
        };
        let people = self.site(known, self.class(of)?)?;
        let wanted = members(value);
        let unknown = |id: &&String| service_id(id).is_none() && self.noted(&people, id).is_none();
        if !people.class.uses_service_ids() && wanted.iter().filter(unknown).count() > MANY {
            self.collect(known, &people, None, |_| None::<()>).await?;
        }
        let mut own = Vec::with_capacity(wanted.len());
        let mut missing = None;
        for id in wanted {
            match self.own_id(known, &people, &id).await {
                Ok(id) => own.push(id),
                Err(error) if error.code == 404 => missing = missing.or(Some(id)),
                Err(error) => return Err(error),
            }
        }
        object.insert(MEMBERS.to_owned(), json!(own));
        Ok((object, missing))
    }
}
