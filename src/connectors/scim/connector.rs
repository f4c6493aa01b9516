//! What Recant asks of every target, asked of a SCIM service.
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::Scim,
    delete::End,
    dialect::{Removal, Way},
    groups::{Batches, Steps},
    known::Known,
    patch,
    settings::Class,
    wire::{ACTIVE, MEMBERS, Resource, Site, service_id},
};
use crate::{
    connectors::{
        Capabilities, Changes, Connector, Error, Page, Particulars, Query, Update, Written,
        http::{Answer, last_segment},
        signs,
    },
    model::{Object, TargetObject, TargetWrite},
};

/// The attribute that a client gives, by which it finds what it created (RFC 7643, section 3.1).
const EXTERNAL_ID: &str = "externalId";

impl Scim {
    /// A resource as Recant sees it, where it is in use.
    pub(super) async fn seen(
        &self,
        known: &Known,
        site: &Site<'_>,
        resource: Resource,
    ) -> Result<Option<TargetObject>, Error> {
        if site.deactivates() && !resource.is_active {
            return Ok(None);
        }
        let mut object = resource.into_object();
        self.show_members(known, site, &mut object.attributes)
            .await?;
        Ok(Some(object))
    }

    async fn written(
        &self,
        known: &Known,
        site: &Site<'_>,
        id: &str,
        resource: Option<Resource>,
    ) -> Result<Written, Error> {
        let Some(resource) = resource else {
            return Ok(Written {
                id: id.to_owned(),
                version: None,
                attributes: None,
            });
        };
        let id = resource.known_as();
        let version = resource.version.clone();
        let mut attributes = resource.attributes;
        // The write is done: what cannot be shown now is read another time.
        let shown = self.show_members(known, site, &mut attributes).await;
        Ok(Written {
            id,
            version,
            attributes: shown.is_ok().then_some(attributes),
        })
    }

    /// The resource after a write: out of the answer, or read back where that holds none.
    pub(super) async fn after_write(
        &self,
        known: &Known,
        site: &Site<'_>,
        id: &str,
        answer: &Answer,
    ) -> Option<Resource> {
        let told = self.read_answer(known, site, answer).ok();
        let is_whole = |it: &Resource| {
            it.id == id && (it.version.is_some() || !known.has_versions(&self.settings))
        };
        match told.filter(is_whole) {
            Some(told) => Some(told),
            None => self.get(known, site, id).await.ok().flatten(),
        }
    }

    /// The object with its members as the service knows them.
    ///
    /// # Errors
    /// Refused where one of them is not there.
    async fn members_to_write(
        &self,
        known: &Known,
        site: &Site<'_>,
        object: &Object,
    ) -> Result<Object, Error> {
        match self.own_members(known, site, object).await? {
            (object, None) => Ok(object),
            (_, Some(missing)) => {
                let of = site.class.members_of.as_deref().unwrap_or_default();
                let message = format!("there is no `{missing}` in `{of}` that could be a member");
                Err(Error::refused(400, message))
            }
        }
    }

    // ---- create

    async fn create_in(
        &self,
        known: &Known,
        site: &Site<'_>,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        let object = self.members_to_write(known, site, object).await?;
        let object = site.normal(&object);
        let key = self.key_for(site, id)?;
        if let Some(twin) = self.twin(known, site, key, &object).await? {
            if twin.is_active || !site.deactivates() {
                return Err(Error::refused(
                    409,
                    format!("`{}` is taken", twin.known_as()),
                ));
            }
            return self.activate(known, site, twin, key, &object).await;
        }
        let (first, rest) = Batches::of_new(site, &object);
        let body = site.body(None, key, &first);
        let answer = self
            .write(Method::POST, &site.shape.path, Some(&body), None)
            .await?;
        let made = self.made(known, site, &answer).await?;
        let own = made.id.clone();
        let mut resource = Some(made);
        if rest || site.shape.is_group() {
            let steps = Steps {
                own: &own,
                undo: None,
                after: &object,
            };
            signs::further();
            resource = self.fill(known, site, steps, resource, &object).await?;
        }
        let known_as = key.unwrap_or(&own);
        self.written(known, site, known_as, resource).await
    }

    /// The value of the key that an object is created with.
    pub(super) fn key_for<'a>(
        &self,
        site: &Site<'_>,
        id: Option<&'a str>,
    ) -> Result<Option<&'a str>, Error> {
        match id {
            _ if site.class.uses_service_ids() => Ok(None),
            Some(id) if service_id(id).is_some() => Ok(None),
            Some(id) => Ok(Some(id)),
            None => {
                let key = &site.class.key;
                let message =
                    format!("the mapping has to give an `_id`: it becomes `{key}` (`key`)");
                Err(Error::refused(400, message))
            }
        }
    }

    /// The resource that is there already. Services keep no two apart by `externalId`, so that a
    /// create that is repeated looks for what it made before.
    pub(super) async fn twin(
        &self,
        known: &Known,
        site: &Site<'_>,
        key: Option<&str>,
        object: &Object,
    ) -> Result<Option<Resource>, Error> {
        if let Some(key) = key {
            if site.shape.has_unique_key && !site.deactivates() {
                return Ok(None);
            }
            return self.search(known, site, &site.class.key, key).await;
        }
        match object.get(EXTERNAL_ID).and_then(Value::as_str) {
            Some(value) => self.search(known, site, EXTERNAL_ID, value).await,
            None => Ok(None),
        }
    }

    /// Puts a resource that was deactivated back into use.
    async fn activate(
        &self,
        known: &Known,
        site: &Site<'_>,
        twin: Resource,
        key: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        let resource = match known.way(site) {
            Way::Put => {
                let body = site.body(Some(&twin.id), key, object);
                self.put(known, site, &twin.id, &body, twin.version.as_deref())
                    .await?
            }
            _ => {
                let mut operations = patch::operations(site, &twin.attributes, object);
                operations.push(patch::set(site, ACTIVE, &json!(true), false));
                let version = twin.version.as_deref();
                self.patch(known, site, &twin.id, &operations, version)
                    .await?
            }
        };
        let id = twin.known_as();
        self.written(known, site, &id, resource).await
    }

    /// The resource that a POST made.
    async fn made(
        &self,
        known: &Known,
        site: &Site<'_>,
        answer: &Answer,
    ) -> Result<Resource, Error> {
        if let Ok(made) = self.read_answer(known, site, answer) {
            if made.version.is_some() || !known.has_versions(&self.settings) {
                return Ok(made);
            }
            let read = self.get(known, site, &made.id).await.ok().flatten();
            return Ok(read.unwrap_or(made));
        }
        let located = answer.location.as_deref().and_then(last_segment);
        if let Some(own) = located
            && let Ok(Some(made)) = self.get(known, site, &own).await
        {
            return Ok(made);
        }
        let message = "it was created, but neither the answer nor its `Location` leads to it";
        Err(Error::unknown(answer.status, message))
    }

    // ---- update

    async fn update_in(
        &self,
        known: &Known,
        site: &Site<'_>,
        update: &Update<'_>,
    ) -> Result<Written, Error> {
        let id = update.before.id.as_str();
        let rename = update.rename.filter(|rename| !site.is_same_key(rename, id));
        self.check_rename(known, site, rename).await?;
        let read = &update.before.attributes;
        let (before, _) = self.own_members(known, site, read).await?;
        let after = self.members_to_write(known, site, update.after).await?;
        let (before, after) = (site.normal(&before), site.normal(&after));
        if rename.is_none() && before == after {
            return Ok(Written {
                id: id.to_owned(),
                version: update.before.version.clone(),
                attributes: Some(update.before.attributes.clone()),
            });
        }
        let own = self.own_id(known, site, id).await?;
        let version = update.before.version.as_deref();
        let key = rename.or_else(|| service_id(id).is_none().then_some(id));
        let resource = match known.way(site) {
            Way::Put => {
                let body = site.body(Some(&own), key, &after);
                self.put(known, site, &own, &body, version).await
            }
            _ => {
                let batches = Batches::between(site, &before, &after, rename);
                let steps = Steps {
                    own: &own,
                    undo: Some((&before, rename.map(|_| id))),
                    after: &after,
                };
                self.patch_all(known, site, steps, batches, version).await
            }
        };
        let resource = resource.inspect_err(|error| {
            if error.code == 404 {
                self.forget(site, id);
            }
        })?;
        if rename.is_some() {
            self.forget(site, id);
        }
        let steps = Steps {
            own: &own,
            undo: Some((&before, rename.map(|_| id))),
            after: &after,
        };
        let resource = self.verify(known, site, steps, resource, &after).await?;
        self.written(known, site, rename.unwrap_or(id), resource)
            .await
    }

    async fn check_rename(
        &self,
        known: &Known,
        site: &Site<'_>,
        rename: Option<&str>,
    ) -> Result<(), Error> {
        let Some(rename) = rename else { return Ok(()) };
        if site.class.uses_service_ids() || service_id(rename).is_some() {
            let message = "the service assigns the ids of its resources";
            return Err(Error::refused(400, message));
        }
        if site.shape.has_unique_key {
            return Ok(());
        }
        match self.search(known, site, &site.class.key, rename).await? {
            Some(_) => Err(Error::refused(409, format!("`{rename}` is taken"))),
            None => Ok(()),
        }
    }

    pub(super) async fn put(
        &self,
        known: &Known,
        site: &Site<'_>,
        own: &str,
        body: &Value,
        version: Option<&str>,
    ) -> Result<Option<Resource>, Error> {
        let path = Self::path_of(site, own)?;
        let answer = self.write(Method::PUT, &path, Some(body), version).await?;
        Ok(self.after_write(known, site, own, &answer).await)
    }

    /// One PATCH, which the service carries out as a whole or not at all (RFC 7644, section 3.5.2).
    pub(super) async fn patch(
        &self,
        known: &Known,
        site: &Site<'_>,
        own: &str,
        operations: &[Value],
        version: Option<&str>,
    ) -> Result<Option<Resource>, Error> {
        let path = Self::path_of(site, own)?;
        let body = patch::body(operations);
        let answer = self
            .write(Method::PATCH, &path, Some(&body), version)
            .await?;
        Ok(self.after_write(known, site, own, &answer).await)
    }

    // ---- test

    async fn test_class(&self, known: &Known, class: &Class) -> Result<(), Error> {
        let name = &class.name;
        let wanted = &class.resource_type;
        if !known.types.is_empty() && !known.types.contains(wanted) && class.path.is_none() {
            let types = known.types.join("`, `");
            let message = format!(
                "object class `{name}`: the service has no resource type `{wanted}` \
                 (`resourceType`), only `{types}`"
            );
            return Err(Error::refused(404, message));
        }
        let site = self.site(known, class)?;
        if site.shape.lacks(&class.key) {
            let key = &class.key;
            let message =
                format!("object class `{name}`: a `{wanted}` has no attribute `{key}` (`key`)");
            return Err(Error::refused(400, message));
        }
        let page = self.page(known, &site, None, None).await;
        page.map(drop).map_err(|error| explained(error, Some(name)))
    }
}

/// What an administrator can do about a failed test.
fn explained(mut error: Error, class: Option<&str>) -> Error {
    let said = std::mem::take(&mut error.message);
    error.message = match (error.code.as_u64(), class) {
        (Some(401 | 403), _) => {
            format!("the service does not accept the credentials (`auth`): {said}")
        }
        (_, Some(class)) => format!("object class `{class}`: {said}"),
        (_, None) => said,
    };
    error
}

#[async_trait]
impl Connector for Scim {
    fn capabilities(&self) -> Capabilities {
        let mut classes = self.settings.classes.values();
        Capabilities {
            precondition: self.has_versions.load(Ordering::Relaxed),
            recreate_with_id: !classes.any(Class::uses_service_ids),
            changes: true,
        }
    }

    fn classes(&self) -> Vec<String> {
        self.settings.classes.keys().cloned().collect()
    }

    fn particulars(&self, class: &str) -> Particulars {
        let class = self.settings.classes.get(class);
        class.map_or_else(Particulars::default, |class| Particulars {
            write_only: class.write_only.clone(),
            sets: vec![MEMBERS.to_owned()],
            revives: class.delete == Removal::Deactivate,
            ..Particulars::default()
        })
    }

    async fn refine(&self, class: &str, write: TargetWrite) -> Result<TargetWrite, Error> {
        let (class, known) = (self.class(class)?, self.known().await?);
        let site = self.site(&known, class)?;
        Ok(match write {
            TargetWrite::Create { id, after } => {
                site.check(&after)?;
                let after = self
                    .cased_members(&known, &site, site.refined(&after))
                    .await?;
                TargetWrite::Create { id, after }
            }
            TargetWrite::Update {
                before,
                after,
                rename,
            } => {
                site.check(&after)?;
                let after = self
                    .cased_members(&known, &site, site.refined(&after))
                    .await?;
                // A service that knows no case keeps the key as it has it.
                let rename = rename.filter(|rename| !site.is_same_key(rename, &before.id));
                TargetWrite::Update {
                    before,
                    after,
                    rename,
                }
            }
            delete @ TargetWrite::Delete { .. } => delete,
        })
    }

    async fn test(&self) -> Result<(), Error> {
        self.ask_again().await;
        let known = self.known().await.map_err(|error| explained(error, None))?;
        for class in self.settings.classes.values() {
            self.test_class(&known, class).await?;
        }
        Ok(())
    }

    async fn read(&self, class: &str, id: &str) -> Result<Option<TargetObject>, Error> {
        let (class, known) = (self.class(class)?, self.known().await?);
        let site = self.site(&known, class)?;
        match self.locate(&known, &site, id).await? {
            Some(found) => {
                let object = self.seen(&known, &site, found).await?;
                Ok(object.map(|object| match site.is_same_key(&object.id, id) {
                    // As the service writes it, which is how its lists give it.
                    true => object,
                    // One that has got a key since is still known by the id that was asked for.
                    false => TargetObject {
                        id: id.to_owned(),
                        ..object
                    },
                }))
            }
            None => Ok(None),
        }
    }

    async fn query(&self, class: &str, query: &Query) -> Result<Page, Error> {
        let (class, known) = (self.class(class)?, self.known().await?);
        let site = self.site(&known, class)?;
        self.query_in(&known, &site, query).await
    }

    async fn create(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        signs::unsent();
        let (class, known) = (self.class(class)?, self.known().await?);
        let site = self.site(&known, class)?;
        site.check(object)?;
        self.create_in(&known, &site, id, object).await
    }

    async fn update(&self, class: &str, update: &Update<'_>) -> Result<Written, Error> {
        signs::unsent();
        let (class, known) = (self.class(class)?, self.known().await?);
        let site = self.site(&known, class)?;
        site.check(update.after)?;
        self.update_in(&known, &site, update).await
    }

    async fn delete(&self, class: &str, before: &TargetObject) -> Result<(), Error> {
        signs::unsent();
        let (class, known) = (self.class(class)?, self.known().await?);
        let site = self.site(&known, class)?;
        let end = match site.deactivates() {
            true => End::Deactivate(&before.attributes),
            false => End::Remove,
        };
        self.end(&known, &site, before, end).await
    }

    async fn uncreate(
        &self,
        class: &str,
        made: &TargetObject,
        dormant: Option<&Object>,
    ) -> Result<(), Error> {
        signs::unsent();
        let (class, known) = (self.class(class)?, self.known().await?);
        let site = self.site(&known, class)?;
        self.uncreate_in(&known, &site, made, dormant).await
    }

    async fn dormant(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Option<Object>, Error> {
        let (class, known) = (self.class(class)?, self.known().await?);
        let site = self.site(&known, class)?;
        self.dormant_in(&known, &site, id, object).await
    }

    fn tells_answers(&self) -> bool {
        true
    }

    async fn changes(&self, class: &str, since: Option<&str>) -> Result<Changes, Error> {
        let (class, known) = (self.class(class)?, self.known().await?);
        let site = self.site(&known, class)?;
        self.changes_in(&known, &site, since).await
    }
}
