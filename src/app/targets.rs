//! Looking at targets and mappings; nothing here writes to a target.
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    connectors::{self, Health, Query},
    model::{CauseKind, Container, Object, ResourceName},
    store::{Found, Search},
    sync::Target,
};

use super::{App, Error};

/// How many objects of a target one page shows where the caller names no size.
const PAGE: usize = 100;

impl App {
    /// `{name, ok, connectorType, objectTypes[, error][, health]}` for one connector; `health` is
    /// `{circuit, since, failures, inFlight, waiting[, lastFailure: {message, at}]}`.
    ///
    /// # Errors
    /// 404 for an unknown one.
    pub async fn test_connector(&self, name: &str) -> Result<Value, Error> {
        let setup = self.engine().setup();
        let target = setup
            .targets
            .get(name)
            .ok_or_else(|| Error::missing(format!("connector {name}")))?;
        let result = limited(target.calls.timeout, target.connector.test()).await;
        let mut answer = json!({
            "name": name,
            "ok": result.is_ok(),
            "objectTypes": target.connector.classes(),
            "capabilities": target.connector.capabilities(),
        });
        let members = answer.as_object_mut();
        if let (Err(error), Some(members)) = (&result, members) {
            members.insert("error".into(), json!(error.message));
        }
        if let (Some(health), Some(members)) = (target.connector.health(), answer.as_object_mut()) {
            members.insert("health".into(), health_value(&health, self.clock().now()));
        }
        if let (Some(members), Some(settings)) = (
            answer.as_object_mut(),
            self.configuration().connectors.get(name),
        ) {
            members.insert("connectorType".into(), json!(settings.word()));
        }
        Ok(answer)
    }

    /// The names of the connectors.
    #[must_use]
    pub fn connectors(&self) -> Vec<String> {
        self.engine().setup().targets.keys().cloned().collect()
    }

    /// An object as a target holds it now, confidential attributes masked.
    ///
    /// # Errors
    /// 404 where it is not there, 503 where the target cannot be reached.
    pub async fn read_target(&self, name: &ResourceName) -> Result<Object, Error> {
        let setup = self.engine().setup();
        let (target, class) = place(&setup, &name.container)?;
        let found = limited(target.calls.timeout, target.connector.read(class, &name.id))
            .await
            .map_err(|error| unread(&name.container, &error))?
            .ok_or_else(|| Error::missing(name))?;
        Ok(self.hidden(&name.container, found.to_object()))
    }

    /// Objects as a target holds them now, confidential attributes masked.
    ///
    /// # Errors
    /// 400 for a filter or sort key that names a confidential attribute, 404 for an unknown class,
    /// 503 where the target cannot be reached.
    pub async fn query_target(
        &self,
        container: &Container,
        search: &Search,
    ) -> Result<Found<Object>, Error> {
        let setup = self.engine().setup();
        let (target, class) = place(&setup, container)?;
        let sorted = search.sort.iter().map(|key| &key.field);
        let fields = search.filter.fields().into_iter().chain(sorted);
        if let Some(field) = setup.confidential_field(container, fields) {
            let message = format!("`{field}` is confidential: nothing is sought or sorted by it");
            return Err(Error::new(400, message));
        }
        let query = Query {
            filter: search.filter.clone(),
            page_size: search.page_size.unwrap_or(PAGE),
            cursor: search.cookie.clone(),
        };
        let page = limited(target.calls.timeout, target.connector.query(class, &query))
            .await
            .map_err(|error| unread(container, &error))?;
        let results = page
            .objects
            .iter()
            .map(|found| self.hidden(container, found.to_object()))
            .collect();
        Ok(Found {
            results,
            cookie: page.cursor,
            total: None,
        })
    }

    /// `{_id, name, source, target, …}` of each mapping, in order.
    #[must_use]
    pub fn mappings(&self) -> Vec<Value> {
        let setup = self.engine().setup();
        let row = |mapping: &crate::mapping::Mapping| {
            json!({
                "_id": mapping.name,
                "name": mapping.name,
                "source": mapping.source,
                "target": mapping.target,
                "enableSync": mapping.enable_sync,
                "queuedSync": mapping.queued_sync.is_some(),
            })
        };
        setup.mappings.iter().map(|mapping| row(mapping)).collect()
    }

    fn hidden(&self, container: &Container, object: Object) -> Object {
        let setup = self.engine().setup();
        setup
            .mappings
            .iter()
            .filter(|mapping| mapping.target == *container)
            .fold(object, |object, mapping| mapping.masked(object))
    }
}

pub(super) fn health_value(health: &Health, now: DateTime<Utc>) -> Value {
    let ago = |age: Duration| {
        let age = TimeDelta::from_std(age).unwrap_or_default();
        (now - age).to_rfc3339_opts(SecondsFormat::Millis, true)
    };
    let mut value = json!({
        "circuit": health.circuit,
        "since": ago(health.age),
        "failures": health.failures,
        "inFlight": health.in_flight,
        "waiting": health.waiting,
    });
    if let (Some((message, age)), Some(members)) = (&health.last_failure, value.as_object_mut()) {
        let failure = json!({"message": message, "at": ago(*age)});
        members.insert("lastFailure".into(), failure);
    }
    value
}

fn place<'a>(
    setup: &'a crate::sync::Setup,
    container: &'a Container,
) -> Result<(&'a Target, &'a str), Error> {
    let (target, class) = setup
        .target(container)
        .ok_or_else(|| Error::missing(container))?;
    if target
        .connector
        .classes()
        .iter()
        .any(|known| known == class)
    {
        Ok((target, class))
    } else {
        Err(Error::missing(container))
    }
}

async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, connectors::Error>>,
) -> Result<T, connectors::Error> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let waited = limit.as_millis();
        Err(connectors::Error::unavailable(
            504,
            format!("no answer within {waited} ms"),
        ))
    })
}

fn unread(container: &Container, error: &connectors::Error) -> Error {
    let code = match error.kind {
        CauseKind::Refused => 409,
        CauseKind::Unavailable | CauseKind::Unknown => 503,
    };
    let mut told = Error::new(code, format!("{container} cannot be read: {error}"));
    told.detail = Some(json!({"cause": {"code": error.code, "message": error.message}}));
    told.retry_after = error.retry_after;
    told
}
