//! Integration events for every caller: lists, one of them, trying again, canceling.
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    audit::{By, about_moved_event},
    model::{
        Filter,
        audit::NewEntry,
        integration::{
            IntegrationEvent, State,
            rules::{Request, requested},
        },
    },
    store::{Count, Found, IntegrationList, Search, Settlement},
};

use super::{App, Error};

/// How many events are looked for at a time.
const PAGE: usize = 200;

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
        self.moved(event, request, by).await
    }

    /// Tries every event of a connector again, or cancels it, that a filter finds; gives `{moved,
    /// refused}`: how many there were, and how many are in a state that does not allow it.
    ///
    /// # Errors
    /// 404 for an unknown connector, 503 where the store does not work: what was moved until then stays
    /// so.
    pub async fn move_integrations(
        &self,
        connector: &str,
        filter: Filter,
        request: Request,
        by: By<'_>,
    ) -> Result<Value, Error> {
        self.known(connector)?;
        let list = IntegrationList::Of(connector.to_owned());
        let mut search = Search {
            filter,
            sort: Vec::new(),
            page_size: Some(PAGE),
            cookie: None,
            offset: 0,
            count: Count::None,
        };
        let (mut moved, mut refused) = (0, 0);
        loop {
            let page = self.store().integrations(&list, &search).await?;
            for event in page.results {
                match self.moved(event, request, by).await {
                    Ok(_) => moved += 1,
                    Err(error) if error.code == 409 => refused += 1,
                    Err(error) => return Err(error),
                }
            }
            search.cookie = page.cookie;
            if search.cookie.is_none() {
                return Ok(json!({"moved": moved, "refused": refused}));
            }
        }
    }

    /// Moves an event, or a delivery, to the state that somebody asks for, and writes that down; gives
    /// it as it was then, for its turn may come at once.
    pub(super) async fn moved(
        &self,
        event: IntegrationEvent,
        request: Request,
        by: By<'_>,
    ) -> Result<IntegrationEvent, Error> {
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
        self.audit_by_hand(about_moved_event(self.clock(), by, &event, to));
        Ok(IntegrationEvent {
            state: to,
            next_attempt_at: None,
            ended_at: (to == State::Canceled).then(|| self.clock().now()),
            ..event
        })
    }

    /// Hands over the entry about what somebody did by hand; it is on disk soon.
    pub(super) fn audit_by_hand(&self, entry: NewEntry) {
        let _ = self.store().settle(Settlement {
            audit: vec![entry],
            ..Settlement::default()
        });
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
