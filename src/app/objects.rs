//! Reading managed objects: what callers see of them, after the hooks of their type.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    hooks::{Failure, Variable},
    managed::{HookPoint, ManagedType},
    model::{Container, Object, ResourceName, scim::Resources, secret::Redactor},
    store::{Found, Search, StoredObject},
    sync::Refusal,
};

use super::{App, Error};

/// A managed object as callers see it, with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// With `_id` and `_rev`, without what is confidential.
    pub object: Object,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

impl App {
    /// A managed object as callers see it: after `onRetrieve` and `onRead`, without what is
    /// confidential.
    ///
    /// # Errors
    /// 404 where it is not there, a hook's own code where one throws.
    pub async fn read(&self, name: &ResourceName, caller: &str) -> Result<Object, Error> {
        Ok(self.read_kept(name, caller).await?.object)
    }

    /// As [`App::read`], with the object's times.
    ///
    /// # Errors
    /// As [`App::read`].
    pub async fn read_kept(&self, name: &ResourceName, caller: &str) -> Result<Kept, Error> {
        let managed = self.managed(&name.container)?;
        let stored = self
            .store()
            .object(name)
            .await?
            .ok_or_else(|| Error::missing(name))?;
        let mut object = stored.object;
        for point in [HookPoint::OnRetrieve, HookPoint::OnRead] {
            object = self.shown_by(&managed, point, object, name, caller).await?;
        }
        Ok(Kept {
            object: managed.visible(&object),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        })
    }

    /// Managed objects of a type. Their hooks run on reads by id only.
    ///
    /// # Errors
    /// 404 for an unknown type, 400 for a search that cannot be answered.
    pub async fn query(
        &self,
        container: &Container,
        search: &Search,
        caller: &str,
    ) -> Result<Found<Object>, Error> {
        let found = self.query_kept(container, search, caller).await?;
        Ok(Found {
            results: found.results.into_iter().map(|kept| kept.object).collect(),
            cookie: found.cookie,
            total: found.total,
        })
    }

    /// As [`App::query`], with the objects' times.
    ///
    /// # Errors
    /// As [`App::query`].
    pub async fn query_kept(
        &self,
        container: &Container,
        search: &Search,
        _caller: &str,
    ) -> Result<Found<Kept>, Error> {
        let managed = self.managed(container)?;
        let found = self.store().objects(&managed.name, search).await?;
        let kept = |stored: &StoredObject| Kept {
            object: managed.visible(&stored.object),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        };
        Ok(Found {
            results: found.results.iter().map(kept).collect(),
            cookie: found.cookie,
            total: found.total,
        })
    }

    /// The managed types as kinds of resources of the SCIM service.
    #[must_use]
    pub fn resources(&self) -> Arc<Resources> {
        Arc::clone(&self.configuration().scim)
    }

    pub(super) fn managed(&self, container: &Container) -> Result<Arc<ManagedType>, Error> {
        let setup = self.engine().setup();
        setup
            .managed(container)
            .cloned()
            .ok_or_else(|| Error::missing(container))
    }

    async fn shown_by(
        &self,
        managed: &ManagedType,
        point: HookPoint,
        object: Object,
        name: &ResourceName,
        caller: &str,
    ) -> Result<Object, Error> {
        let Some(script) = managed.hooks.get(&point) else {
            return Ok(object);
        };
        let redactor = Redactor::new(
            managed
                .confidential
                .iter()
                .filter_map(|name| object.get(name)),
        );
        let variables = vec![
            (
                "object",
                Variable::Mutable(vec!["object"], Value::Object(object)),
            ),
            ("resourceName", Variable::Constant(json!(name.to_string()))),
            (
                "request",
                Variable::Constant(json!({"method": "read", "resourcePath": name})),
            ),
            ("context", Variable::Constant(json!({"caller": caller}))),
        ];
        let scripts = self.engine().setup().scripts.clone();
        let mut run = scripts
            .run(script, variables, Some(self.engine().reader()))
            .await;
        if let Err(failure) = &run.result {
            return Err(refused_by(point.key(), failure, &redactor));
        }
        match run.variables.remove("object") {
            Some(Value::Object(object)) => Ok(object),
            _ => Err(Error::new(
                500,
                format!("the {} hook left no object", point.key()),
            )),
        }
    }
}

fn refused_by(hook: &str, failure: &Failure, redactor: &Redactor) -> Error {
    Refusal::of_hook(hook, failure, redactor).into()
}
