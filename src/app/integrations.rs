//! Integration events for every caller: lists, one of them, trying again, canceling.
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::{By, about_moved_event},
    mapping::Mapping,
    model::{
        Container,
        audit::NewEntry,
        integration::{
            IntegrationEvent,
            rules::{Request, requested},
        },
    },
    store::{Found, IntegrationList, Search, Settlement},
};

use super::{App, Error};

impl App {
    /// What waits to go out to mappings with `queuedSync`, or failed to.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn queue(&self, search: &Search) -> Result<Found<Value>, Error> {
        let found = self
            .store()
            .integrations(&IntegrationList::Queue, search)
            .await?;
        Ok(shown(found))
    }

    /// Events of a connector, in and out, oldest first.
    ///
    /// # Errors
    /// 404 for an unknown connector, 503 where the store cannot be read.
    pub async fn integrations(
        &self,
        connector: &str,
        search: &Search,
    ) -> Result<Found<Value>, Error> {
        self.known(connector)?;
        let list = IntegrationList::Of(connector.to_owned());
        Ok(shown(self.store().integrations(&list, search).await?))
    }

    /// One event of a connector.
    ///
    /// # Errors
    /// 404 where there is none, 503 where the store cannot be read.
    pub async fn integration(&self, connector: &str, id: Uuid) -> Result<IntegrationEvent, Error> {
        self.known(connector)?;
        let found = self.store().integration_event(id).await?;
        found
            .map(|(event, _)| event)
            .filter(|event| event.connector == connector)
            .ok_or_else(|| Error::missing(format!("event {id} of connector {connector}")))
    }

    /// Tries an event again, or cancels it, by hand.
    ///
    /// # Errors
    /// 404 where there is none, 409 where its state does not allow it.
    pub async fn move_integration(
        &self,
        connector: &str,
        id: Uuid,
        request: Request,
        by: By<'_>,
    ) -> Result<IntegrationEvent, Error> {
        let event = self.integration(connector, id).await?;
        self.moved(&event, request, by).await?;
        self.integration(connector, id).await
    }

    /// Moves an event, or a delivery, to the state that somebody asks for, and writes that down.
    pub(super) async fn moved(
        &self,
        event: &IntegrationEvent,
        request: Request,
        by: By<'_>,
    ) -> Result<(), Error> {
        let refused = || {
            let message = format!("it is {}: that cannot be done with it", event.state);
            Error::new(409, message)
        };
        let to = requested(event.state, request).ok_or_else(refused)?;
        if !self
            .store()
            .move_integration(event.id, event.state, to)
            .await?
        {
            return Err(refused());
        }
        self.audit_by_hand(about_moved_event(self.clock(), by, event, to));
        Ok(())
    }

    /// Hands over the entry about what somebody did by hand; it is on disk soon.
    pub(super) fn audit_by_hand(&self, entry: NewEntry) {
        let _ = self.store().settle(Settlement {
            audit: vec![entry],
            ..Settlement::default()
        });
    }

    /// Whether events may be listed under this name: that of a connector, or of a managed type that a
    /// queued mapping leads to.
    fn known(&self, name: &str) -> Result<(), Error> {
        let setup = self.engine().setup();
        let leads_there = |mapping: &Arc<Mapping>| {
            mapping.queued_sync.is_some() && mapping.target == Container::managed(name)
        };
        if setup.targets.contains_key(name) || setup.mappings.iter().any(leads_there) {
            return Ok(());
        }
        Err(Error::missing(format!("connector {name}")))
    }
}

fn shown(found: Found<IntegrationEvent>) -> Found<Value> {
    Found {
        results: found
            .results
            .iter()
            .map(IntegrationEvent::to_value)
            .collect(),
        cookie: found.cookie,
        total: found.total,
    }
}
