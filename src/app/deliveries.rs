//! Deliveries of the change feed, and events told again: to a subscription or through a mapping.
use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    audit::{By, about_run_by_hand},
    config::Configuration,
    feed::{Subscription, again},
    model::{
        event::ChangeEvent,
        integration::{IntegrationEvent, Replay, rules::Request},
    },
    store::{Arrival, Confidential, EventSearch, Found, IntegrationList, Search, Settlement},
};

use super::{App, Error};

/// How many events are told again at a time.
const PAGE: usize = 500;

/// Who is told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// A subscription.
    Subscription(String),
    /// The target of a mapping: the objects of these events are written there as they are now.
    Mapping(String),
}

/// Whether what has effects elsewhere is told again, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideEffects {
    /// No.
    Skip,
    /// Yes.
    Repeat,
}

impl From<SideEffects> for Replay {
    fn from(effects: SideEffects) -> Self {
        match effects {
            SideEffects::Skip => Self::WithoutEffects,
            SideEffects::Repeat => Self::WithEffects,
        }
    }
}

impl Audience {
    fn name(&self) -> &str {
        match self {
            Self::Subscription(name) | Self::Mapping(name) => name,
        }
    }
}

impl App {
    /// Deliveries to a subscription, oldest first.
    ///
    /// # Errors
    /// 404 for an unknown subscription, 503 where the store cannot be read.
    pub async fn deliveries(&self, name: &str, search: &Search) -> Result<Found<Value>, Error> {
        self.subscription(name)?;
        let list = IntegrationList::To(name.to_owned());
        let found = self.store().integrations(&list, search).await?;
        Ok(Found {
            results: found
                .results
                .iter()
                .map(IntegrationEvent::to_value)
                .collect(),
            cookie: found.cookie,
            total: found.total,
        })
    }

    /// Sends a delivery again, or gives it up, by hand.
    ///
    /// # Errors
    /// 404 where there is none, 409 where its state does not allow it.
    pub async fn move_delivery(
        &self,
        name: &str,
        id: Uuid,
        request: Request,
        by: By<'_>,
    ) -> Result<Value, Error> {
        self.subscription(name)?;
        let missing = || Error::missing(format!("delivery {id} to subscription {name}"));
        let found = self.store().integration_event(id).await?;
        let (event, _) = found
            .filter(|(event, _)| event.connector == name)
            .ok_or_else(missing)?;
        Ok(self.moved(event, request, by).await?.to_value())
    }

    /// Tells recorded events again; gives `{events, told}`: how many there were, and how many
    /// deliveries or writes were queued for them. Object hooks do not run, and hooks of mappings with
    /// side effects only where these are asked for.
    ///
    /// # Errors
    /// 404 for an unknown subscription or mapping, 409 for one that has side effects where they were
    /// not asked for, 410 for a cursor that is too old.
    pub async fn replay(
        &self,
        search: &EventSearch,
        audience: &Audience,
        effects: SideEffects,
        by: By<'_>,
    ) -> Result<Value, Error> {
        if let Audience::Subscription(name) = audience {
            let has_effects = self.subscription(name)?.side_effects;
            if has_effects && effects == SideEffects::Skip {
                let message = format!(
                    "deliveries to `{name}` have side effects: they are repeated only where asked for"
                );
                return Err(Error::new(409, message));
            }
        }
        let mut search = EventSearch {
            limit: PAGE,
            confidential: Confidential::Clear,
            ..search.clone()
        };
        let newest = self.store().newest_event().await?;
        let (mut events, mut told) = (0, 0);
        loop {
            let mut page = self.store().events(&search).await?;
            page.events.retain(|event| event.id <= newest);
            events += page.events.len();
            told += match audience {
                Audience::Subscription(name) => {
                    self.deliver_again(name, &page.events, effects.into())
                        .await?
                }
                Audience::Mapping(name) => {
                    self.write_again(name, page.events, effects.into()).await?
                }
            };
            if !page.more || page.cursor >= newest {
                let entry = json!({"to": audience.name(), "events": events, "told": told});
                self.audit_by_hand(about_run_by_hand(self.clock(), by, "replay", entry));
                return Ok(json!({"events": events, "told": told}));
            }
            search.after = Some(page.cursor);
            search.from = None;
        }
    }

    async fn deliver_again(
        &self,
        name: &str,
        events: &[ChangeEvent],
        replay: Replay,
    ) -> Result<usize, Error> {
        let confidential = self.configuration().confidential();
        let deliveries = events.iter().map(|event| {
            let mut delivery = again(&self.parts.clock, name, event, &confidential);
            delivery.event.replay = Some(replay);
            delivery
        });
        let deliveries: Vec<_> = deliveries.collect();
        let count = deliveries.len();
        self.store().deliver_again(deliveries).await?;
        Ok(count)
    }

    /// Queues one write for each object, from what it is now; none where a live one waits, which brings
    /// that and whatever else it is to bring.
    async fn write_again(
        &self,
        name: &str,
        events: Vec<ChangeEvent>,
        replay: Replay,
    ) -> Result<usize, Error> {
        let newest: BTreeMap<String, ChangeEvent> = events
            .into_iter()
            .map(|event| (event.event.object.to_string(), event))
            .collect();
        let mut outbound: Vec<Arrival> = Vec::new();
        for (_, event) in newest {
            let told = event.event;
            let now = self
                .store()
                .object(&told.object)
                .await?
                .map(|stored| stored.object);
            let before = told.before.or(told.after);
            let engine = self.engine();
            let arrival = engine.queued_again(name, &told.object, before, now, replay);
            outbound.extend(arrival?);
        }
        let lanes: Vec<String> = outbound.iter().map(|one| one.event.lane()).collect();
        let waiting = self.store().lanes_with_live_events(&lanes).await?;
        outbound.retain(|one| !waiting.contains(&one.event.lane()));
        let count = outbound.len();
        let settlement = Settlement {
            outbound,
            ..Settlement::default()
        };
        self.store().settle(settlement).wait().await?;
        Ok(count)
    }

    fn subscription(&self, name: &str) -> Result<Subscription, Error> {
        let subscriptions = self.parts.subscriptions.load();
        let found = subscriptions.get(name).cloned();
        found.ok_or_else(|| Error::missing(format!("subscription {name}")))
    }
}

/// The subscriptions of a configuration.
pub(super) fn subscriptions(configuration: &Configuration) -> Arc<BTreeMap<String, Subscription>> {
    let named = configuration.subscriptions.iter().map(|(name, one)| {
        let subscription = Subscription {
            url: one.url.clone(),
            secrets: one.secrets.clone(),
            types: one.types.clone(),
            side_effects: one.side_effects,
            retry: crate::feed::retry::Policy {
                retries: Some(one.retries),
                base: one.retry_delay,
                longest: std::time::Duration::from_secs(3_600),
            },
        };
        (name.clone(), subscription)
    });
    Arc::new(named.collect())
}
