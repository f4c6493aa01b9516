//! Resources that go: by DELETE, out of use by `active`, or back to what a create found.
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::Scim,
    dialect::Way,
    known::Known,
    patch,
    wire::{ACTIVE, Site},
};
use crate::{
    connectors::Error,
    model::{Object, TargetObject},
};

/// How a resource ends.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// There is none any more.
    Remove,
    /// It is out of use, and holds this.
    Deactivate(&'a Object),
}

impl Scim {
    /// Lets a resource go. One that is gone already is a success.
    pub(super) async fn end(
        &self,
        known: &Known,
        site: &Site<'_>,
        before: &TargetObject,
        end: End<'_>,
    ) -> Result<(), Error> {
        let own = match self.own_id(known, site, &before.id).await {
            Err(error) if error.code == 404 => return Ok(()),
            own => own?,
        };
        let version = before.version.as_deref();
        let result = match end {
            End::Remove => {
                let path = Self::path_of(site, &own)?;
                let answer = self.write(Method::DELETE, &path, None, version).await;
                answer.map(drop)
            }
            End::Deactivate(after) => self.deactivate(known, site, (&own, before), after).await,
        };
        let Err(error) = result else { return Ok(()) };
        if !matches!(error.code.as_u64(), Some(404 | 410 | 412)) {
            return Err(error);
        }
        // What is gone is deleted, whatever its version was. Another resource with its id is not.
        self.forget(site, &before.id);
        match self.locate(known, site, &before.id).await {
            Ok(None) => Ok(()),
            Ok(Some(found)) if site.deactivates() && !found.is_active => Ok(()),
            _ if error.code == 412 => Err(error),
            _ => Err(Error::refused(412, "another resource has this id by now")),
        }
    }

    async fn deactivate(
        &self,
        known: &Known,
        site: &Site<'_>,
        (own, before): (&str, &TargetObject),
        after: &Object,
    ) -> Result<(), Error> {
        let version = before.version.as_deref();
        if known.way(site) == Way::Put {
            let mut body = site.body(Some(own), Some(&before.id), after);
            if let Value::Object(body) = &mut body {
                body.insert(ACTIVE.to_owned(), site.sent(&json!(false)));
            }
            return self.put(known, site, own, &body, version).await.map(drop);
        }
        let (held, after) = (site.normal(&before.attributes), site.normal(after));
        let mut operations = patch::operations(site, &held, &after);
        operations.push(patch::set(site, ACTIVE, &json!(false), false));
        let patched = self.patch(known, site, own, &operations, version).await;
        patched.map(drop)
    }

    /// Takes a create back: what it made is removed, where the service can, whatever a deletion is
    /// otherwise; what it brought back into use goes out of use again, with what it held.
    pub(super) async fn uncreate_in(
        &self,
        known: &Known,
        site: &Site<'_>,
        made: &TargetObject,
        dormant: Option<&Object>,
    ) -> Result<(), Error> {
        if let Some(dormant) = dormant.filter(|_| site.deactivates()) {
            return self.end(known, site, made, End::Deactivate(dormant)).await;
        }
        match self.end(known, site, made, End::Remove).await {
            Err(error) if site.deactivates() && is_without_delete(&error) => {
                let held = &made.attributes;
                self.end(known, site, made, End::Deactivate(held)).await
            }
            result => result,
        }
    }

    /// What a resource holds that is out of use and that this create would bring back.
    pub(super) async fn dormant_in(
        &self,
        known: &Known,
        site: &Site<'_>,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Option<Object>, Error> {
        if !site.deactivates() {
            return Ok(None);
        }
        let key = self.key_for(site, id)?;
        let twin = self.twin(known, site, key, object).await?;
        let twin = twin.filter(|twin| !twin.is_active);
        Ok(twin.map(|twin| twin.attributes))
    }
}

/// Whether a service says that it knows no DELETE.
fn is_without_delete(error: &Error) -> bool {
    matches!(error.code.as_u64(), Some(405 | 501))
}
