//! Deliveries: events of the change feed as signed webhooks, in order for each object.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use chrono::SecondsFormat;
use reqwest::{Client, header::CONTENT_TYPE, redirect::Policy};
use secrecy::SecretString;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    clock::SharedClock,
    model::{
        Object,
        event::{ChangeEvent, Shown},
        integration::{Direction, IntegrationEvent, Payload, State},
    },
    store::{self, Arrival, EventSearch, Pumped, Store},
};

use super::{retry, signature::sign};

/// How long a subscriber may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many events are taken from the feed at a time.
const PAGE: usize = 200;
/// How often the feed is looked at for events of other nodes.
const LOOK: Duration = Duration::from_millis(500);

/// Who is told of changes.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Where to.
    pub url: Url,
    /// What deliveries are signed with: with each of them, so that a subscriber can change keys.
    pub secrets: Vec<SecretString>,
    /// Types of events (`user.created`); none: all.
    pub types: Vec<String>,
    /// Whether a delivery has effects elsewhere that a replay must not repeat unasked.
    pub side_effects: bool,
    /// How failures are repeated.
    pub retry: retry::Policy,
}

/// Subscriptions in force, by name.
pub type Subscriptions = Arc<ArcSwap<BTreeMap<String, Subscription>>>;

/// Sends deliveries.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    subscriptions: Subscriptions,
}

impl Sender {
    /// A sender for these subscriptions.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(subscriptions: Subscriptions) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            .build()?;
        Ok(Self {
            client,
            subscriptions,
        })
    }

    /// How failures to tell a subscription are repeated.
    pub(super) fn policy(&self, name: &str) -> Option<retry::Policy> {
        let subscriptions = self.subscriptions.load();
        subscriptions.get(name).map(|one| one.retry.clone())
    }

    /// Tells a subscription of an event.
    ///
    /// # Errors
    /// Why it was not told.
    pub(super) async fn send(
        &self,
        event: &IntegrationEvent,
        body: Object,
        clock: &SharedClock,
    ) -> Result<(), String> {
        let subscriptions = self.subscriptions.load_full();
        let Some(subscription) = subscriptions.get(&event.connector) else {
            return Err(format!(
                "there is no subscription `{}` any more",
                event.connector
            ));
        };
        let id = body.get("id").map(Value::to_string).unwrap_or_default();
        let text = Value::Object(body).to_string();
        let now = clock.now();
        let signatures: Vec<String> = subscription
            .secrets
            .iter()
            .filter_map(|secret| sign(secret, &id, now, text.as_bytes()))
            .collect();
        let request = self
            .client
            .post(subscription.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.timestamp().to_string())
            .header("webhook-signature", signatures.join(" "))
            .body(text);
        // The address may hold a secret, so no error names it.
        let answer = request.send().await.map_err(|error| {
            let why = if error.is_timeout() {
                "no answer in time"
            } else {
                "it cannot be reached"
            };
            why.to_owned()
        })?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status => Err(format!("it answered {status}")),
        }
    }
}

/// Makes deliveries of events until told to stop.
pub async fn pump(
    store: Store,
    clock: SharedClock,
    subscriptions: Subscriptions,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let mut more = false;
        for (name, subscription) in subscriptions.load_full().iter() {
            match pump_one(&store, &clock, name, subscription).await {
                Ok(found) => more |= found,
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    subscription = name,
                    "deliveries wait for the store"
                ),
            }
        }
        if more {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = store.fed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Makes deliveries of the next events; tells whether there may be more.
async fn pump_one(
    store: &Store,
    clock: &SharedClock,
    name: &str,
    subscription: &Subscription,
) -> Result<bool, store::Error> {
    let Some(after) = store.subscribed_to(name).await? else {
        // A new subscription is told what happens from now on.
        store.subscribe(name).await?;
        return Ok(true);
    };
    let search = EventSearch {
        after: Some(after),
        types: subscription.types.clone(),
        limit: PAGE,
        ..EventSearch::default()
    };
    let page = match store.events(&search).await {
        Ok(page) => page,
        Err(error) => {
            let Some(store::Refusal::Pruned { oldest, .. }) = error.refusal() else {
                return Err(error);
            };
            tracing::error!(
                subscription = name,
                after,
                oldest,
                "events were pruned before they were delivered; going on behind them"
            );
            store.pump(name, after, *oldest, Vec::new()).await?;
            return Ok(true);
        }
    };
    if page.cursor == after {
        return Ok(false);
    }
    let arrivals = page
        .events
        .iter()
        .map(|event| delivery(clock, name, event, body_of(event, &[])));
    let pumped = store
        .pump(name, after, page.cursor, arrivals.collect())
        .await?;
    Ok(page.more || pumped == Pumped::Overtaken)
}

/// The delivery of an event that was told before; it says so.
#[must_use]
pub fn again(
    clock: &SharedClock,
    subscription: &str,
    event: &ChangeEvent,
    confidential: &BTreeMap<String, Vec<String>>,
) -> Arrival {
    let container = event.event.object.container.to_string();
    let hidden = confidential.get(container.trim_start_matches("managed/"));
    let mut body = body_of(event, hidden.map_or(&[], Vec::as_slice));
    body.insert("replayed".to_owned(), true.into());
    delivery(clock, subscription, event, body)
}

/// What is told of an event: what the feed shows, and its time as the convention names it.
fn body_of(event: &ChangeEvent, confidential: &[String]) -> Object {
    let Value::Object(mut body) = event.to_value(confidential, Shown::Values) else {
        return Object::new();
    };
    let time = event.event.created_at;
    let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    body.insert("timestamp".to_owned(), time.into());
    body
}

fn delivery(clock: &SharedClock, subscription: &str, event: &ChangeEvent, body: Object) -> Arrival {
    let told = &event.event;
    let now = clock.now();
    Arrival {
        event: IntegrationEvent {
            id: clock.fresh_id(),
            direction: Direction::Delivery,
            connector: subscription.to_owned(),
            external_id: told.object.id.clone(),
            updated_at: told.created_at,
            kind: told.kind,
            cached_id: None,
            cached_type: None,
            record_id: Some(told.object.id.clone()),
            record_type: Some(told.object.container.to_string()),
            mapping: None,
            state: State::Queued,
            canceled_by: None,
            duplicate_of: None,
            ignored_for_id: None,
            ignored_for_type: None,
            attempts: 0,
            next_attempt_at: None,
            last_error: None,
            operation: Some(told.operation),
            created_at: now,
            started_at: None,
            ended_at: None,
            replay: None,
        },
        payload: Payload {
            after: Some(body),
            ..Payload::default()
        },
        // Deliveries of one object go out in this order.
        delivery: Some(format!("{:020}", event.id)),
    }
}
