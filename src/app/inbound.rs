//! What comes in from external systems: signed webhooks, records that a program brings, live sync.
use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::{By, about_run_by_hand},
    config::{Configuration, Integration},
    connectors::MakeImporter,
    feed::{
        Force, Import, Known, Received, Scheme, Source, Watched, import, lister, live::watch,
        receive, retry::Policy, verify,
    },
    hooks::Variable,
    model::{
        Container, Object,
        integration::{IntegrationEvent, State, rules::Switch},
        recon::Syncable,
    },
    store::{Arrived, Sequence},
};

use super::{App, Error, background::CONFIGURED};

/// A webhook as it arrived.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Header names in small letters, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as it was sent.
    pub text: Vec<u8>,
    /// What it holds.
    pub body: Value,
    /// What ties audit entries together.
    pub transaction_id: String,
}

impl App {
    /// Takes a webhook in: checks its signature, makes events of it, stores them. They are carried
    /// out soon. Gives `{received, events: [{_id, state}]}`; nothing is stored of a delivery that
    /// arrived before.
    ///
    /// # Errors
    /// 404 where the connector has no webhook, 401 for a wrong signature, 400 for a body that is no
    /// event, 503 where the store does not work.
    pub async fn webhook(&self, connector: &str, posted: Posted) -> Result<Value, Error> {
        let configuration = self.configuration();
        let integration = configuration.integrations.get(connector);
        let webhook = integration.and_then(|integration| integration.webhook.as_ref());
        let (Some(integration), Some(webhook)) = (integration, webhook) else {
            return Err(Error::missing(format!("webhook of connector {connector}")));
        };
        let scheme = match &webhook.header {
            Some(name) => Scheme::Header {
                name: name.clone(),
                prefix: webhook.prefix.clone(),
            },
            None => Scheme::Standard,
        };
        let header = |name: &str| {
            let found = posted.headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        let now = self.clock().now();
        let delivery = verify(&scheme, &webhook.secrets, header, &posted.text, now)
            .map_err(|error| Error::new(401, error.to_string()))?
            .map(str::to_owned);
        let told = match &webhook.map {
            None => posted.body.clone(),
            Some(script) => self.mapped(script, &posted).await?,
        };
        let told = match told {
            Value::Array(list) => list,
            Value::Null => Vec::new(),
            one => vec![one],
        };
        let received = told
            .into_iter()
            .enumerate()
            .map(|(index, one)| received(one, (delivery.as_deref(), index), now))
            .collect::<Result<Vec<_>, _>>()?;
        let count = received.len();
        let stored = self
            .take_in(
                connector,
                switch(integration),
                received,
                &posted.transaction_id,
            )
            .await?;
        Ok(json!({"received": count, "events": stored}))
    }

    /// Takes records in that a program brings, as a webhook's; gives the events `{_id, state}`.
    ///
    /// # Errors
    /// 400 for an id that is too long, 503 where the store does not work.
    pub async fn receive(
        &self,
        connector: &str,
        received: Vec<Received>,
    ) -> Result<Vec<Value>, Error> {
        let configuration = self.configuration();
        let switch = configuration
            .integrations
            .get(connector)
            .map_or(Switch::On, switch);
        let transaction_id = self.clock().fresh_id().to_string();
        self.take_in(connector, switch, received, &transaction_id)
            .await
    }

    /// Imports an object class with an importer that the program brings; what is known already is not
    /// fetched again unless it is forced.
    ///
    /// # Errors
    /// 503 where the system or the store fails; what was taken in until then stays.
    pub async fn import(
        &self,
        connector: &str,
        class: &str,
        make: &MakeImporter,
        force: Force,
    ) -> Result<Import, Error> {
        let configuration = self.configuration();
        let switch = configuration
            .integrations
            .get(connector)
            .map_or(Switch::On, switch);
        let (place, asked) = ((connector, class), (switch, force));
        import(self.engine(), &self.parts.clock, place, make, asked)
            .await
            .map_err(|error| Error::new(503, error.to_string()))
    }

    /// Imports an object class as its connector lists it: what is known is left out unless it is
    /// forced. Goes on though nobody waits for its end.
    ///
    /// # Errors
    /// 404 for an unknown connector or class, 409 where no mapping brings such records in, 503 where
    /// the system or the store fails; what was taken in until then stays.
    pub async fn import_listed(
        &self,
        connector: &str,
        class: &str,
        force: Force,
        by: By<'_>,
    ) -> Result<Value, Error> {
        let setup = self.engine().setup();
        let target = setup.targets.get(connector);
        let target = target.ok_or_else(|| Error::missing(format!("connector {connector}")))?;
        if !target
            .connector
            .classes()
            .iter()
            .any(|known| known == class)
        {
            return Err(Error::missing(format!(
                "object class {class} of {connector}"
            )));
        }
        let watched = self.watched(connector, class);
        if self
            .engine()
            .brings_in(&Container::system(connector, class))
            .is_none()
        {
            let message = format!("no mapping brings records of system/{connector}/{class} in");
            return Err(Error::new(409, message));
        }
        let make = lister(self.engine(), watched);
        let (app, own) = (self.clone(), connector.to_owned());
        let of_class = class.to_owned();
        let task = tokio::spawn(async move { app.import(&own, &of_class, &make, force).await });
        let ended = task.await;
        let done = ended.map_err(|_| Error::new(500, "the import was interrupted"))??;
        let mut told = json!(done);
        if let Some(members) = told.as_object_mut() {
            members.insert(
                "class".to_owned(),
                json!(format!("system/{connector}/{class}")),
            );
        }
        let entry = about_run_by_hand(self.clock(), by, "import", told.clone());
        self.audit_by_hand(entry);
        Ok(told)
    }

    /// An object class as its connector's integration says that it is asked for.
    fn watched(&self, connector: &str, class: &str) -> Watched {
        let configuration = self.configuration();
        let integration = configuration.integrations.get(connector);
        let poll = integration.and_then(|integration| integration.poll.get(class));
        Watched {
            connector: connector.to_owned(),
            class: class.to_owned(),
            interval: poll.map(|poll| poll.interval).unwrap_or_default(),
            updated_at: poll.and_then(|poll| poll.updated_at.clone()),
        }
    }

    async fn take_in(
        &self,
        connector: &str,
        switch: Switch,
        received: Vec<Received>,
        transaction_id: &str,
    ) -> Result<Vec<Value>, Error> {
        let source = Source {
            connector,
            switch,
            transaction_id,
            known: Known::Duplicate,
            sequence: Sequence::ByTime,
        };
        let arrived = receive(self.engine(), self.clock(), source, received, None).await?;
        let Arrived::Stored(events) = arrived else {
            return Ok(Vec::new());
        };
        self.reach_back(connector, &events).await?;
        let shown = events
            .iter()
            .map(|event| json!({"_id": event.id, "state": event.state}));
        Ok(shown.collect())
    }

    /// Moves back up to where a class is in agreement, where what was accepted reaches further into the
    /// past: the next sync of a program that brings records in begins there.
    async fn reach_back(&self, connector: &str, events: &[IntegrationEvent]) -> Result<(), Error> {
        let mut earliest = BTreeMap::<&str, DateTime<Utc>>::new();
        for event in events.iter().filter(|event| event.state == State::Queued) {
            let class = event.cached_type.as_deref().unwrap_or_default();
            let first = earliest.entry(class).or_insert(event.updated_at);
            *first = Ord::min(*first, event.updated_at);
        }
        if earliest.is_empty() {
            return Ok(());
        }
        let known = self.store().syncables().await?;
        for (class, first) in earliest {
            let name = Container::system(connector, class).to_string();
            let is_behind = |one: &Syncable| one.data_synced_through.is_some_and(|at| first < at);
            if known.iter().any(|one| one.name == name && is_behind(one)) {
                let moved = self.store().change_syncable(&name, |syncable| {
                    if is_behind(syncable) {
                        syncable.data_synced_through = Some(first);
                    }
                });
                moved.await?;
            }
        }
        Ok(())
    }

    async fn mapped(&self, script: &crate::hooks::Script, posted: &Posted) -> Result<Value, Error> {
        let headers: Object = posted
            .headers
            .iter()
            .filter(|(name, _)| !name.contains("signature") && name != "authorization")
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let request = json!({"body": posted.body, "headers": headers});
        let variables = vec![("request", Variable::Constant(request))];
        let setup = self.engine().setup();
        let run = setup
            .scripts
            .run(script, variables, Some(self.engine().reader()));
        run.await.result.map_err(|failure| {
            Error::new(
                400,
                format!("the hook `map` makes no event of this: {failure}"),
            )
        })
    }

    /// Keeps live sync going for what the configuration in force says.
    pub(super) async fn keep_live(self) {
        let stop = self.parts.stop.clone();
        while !stop.is_cancelled() {
            let configuration = self.configuration();
            let round = stop.child_token();
            let tasks = self.live_tasks(&round);
            loop {
                let wait = tokio::time::timeout(CONFIGURED, stop.cancelled()).await;
                if wait.is_ok() || !Arc::ptr_eq(&self.configuration(), &configuration) {
                    break;
                }
            }
            round.cancel();
            tasks.close();
            tasks.wait().await;
        }
    }

    fn live_tasks(&self, stop: &CancellationToken) -> TaskTracker {
        let tasks = TaskTracker::new();
        for (connector, integration) in &self.configuration().integrations {
            for class in integration.poll.keys() {
                let watched = self.watched(connector, class);
                let (engine, clock) = (self.engine().clone(), Arc::clone(&self.parts.clock));
                tasks.spawn(watch(
                    engine,
                    clock,
                    watched,
                    switch(integration),
                    stop.clone(),
                ));
            }
        }
        tasks
    }
}

/// How failures of events that come in are repeated, by connector.
pub(super) fn policies(configuration: &Configuration) -> Arc<BTreeMap<String, Policy>> {
    let named = configuration.integrations.iter().map(|(name, one)| {
        let policy = Policy {
            retries: Some(one.retries),
            base: one.retry_delay,
            ..Policy::default()
        };
        (name.clone(), policy)
    });
    Arc::new(named.collect())
}

fn switch(integration: &Integration) -> Switch {
    if integration.enabled {
        Switch::On
    } else {
        Switch::Off
    }
}

/// An event as a sender or a hook tells it: `{class, externalId, updatedAt, record}`; the one at this
/// place of a delivery.
fn received(
    told: Value,
    (delivery, index): (Option<&str>, usize),
    now: DateTime<Utc>,
) -> Result<Received, Error> {
    let wrong = |what: &str| Error::new(400, format!("an event needs {what}"));
    let Value::Object(mut told) = told else {
        return Err(wrong("class, externalId, updatedAt and record"));
    };
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let class = text(told.shift_remove("class")).ok_or_else(|| wrong("`class` as a text"))?;
    let external_id =
        text(told.shift_remove("externalId")).ok_or_else(|| wrong("`externalId` as a text"))?;
    let updated_at = match text(told.shift_remove("updatedAt")) {
        // Of several that say no time, each is later than the one before.
        None => now + TimeDelta::microseconds(i64::try_from(index).unwrap_or_default()),
        Some(text) => DateTime::parse_from_rfc3339(&text)
            .map(|time| time.with_timezone(&Utc))
            .map_err(|_| wrong("`updatedAt` as a time such as 2026-01-31T12:00:00Z"))?,
    };
    let record = match told.shift_remove("record") {
        None | Some(Value::Null) => None,
        Some(Value::Object(record)) => Some(record),
        Some(_) => return Err(wrong("`record` as an object, or none where it is gone")),
    };
    Ok(Received {
        delivery: delivery.map(|id| shortened(format!("{id}/{index}"))),
        class,
        external_id,
        updated_at,
        record,
    })
}

/// At most as long as the store keeps it; the end of an id tells deliveries apart.
fn shortened(delivery: String) -> String {
    let surplus = delivery.chars().count().saturating_sub(190);
    delivery.chars().skip(surplus).collect()
}
