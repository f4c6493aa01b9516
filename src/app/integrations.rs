//! Integration events for every caller: lists, one of them, trying again, canceling.
use serde_json::Value;
use uuid::Uuid;

use crate::{
    model::integration::{
        IntegrationEvent,
        rules::{Request, requested},
    },
    store::{Found, IntegrationList, Search},
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
    ) -> Result<IntegrationEvent, Error> {
        let event = self.integration(connector, id).await?;
        let state = requested(event.state, request);
        let moved = match state {
            Some(state) => {
                self.store()
                    .move_integration(id, event.state, state)
                    .await?
            }
            None => false,
        };
        if !moved {
            let message = format!("the event is {}: that cannot be done with it", event.state);
            return Err(Error::new(409, message));
        }
        self.integration(connector, id).await
    }

    fn known(&self, connector: &str) -> Result<(), Error> {
        let setup = self.engine().setup();
        if setup.targets.contains_key(connector) {
            return Ok(());
        }
        Err(Error::missing(format!("connector {connector}")))
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
