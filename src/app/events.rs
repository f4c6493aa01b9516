//! The change feed for every caller: parts of it, its newest cursor, and waiting for what comes.
use std::time::Duration;

use serde_json::Value;

use crate::{model::event::Shown, store::EventSearch};

use super::{App, Error};

/// The longest wait for an event of this node before other nodes' are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// A part of the change feed, as its readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// `{id, type, createdAt, operation, object, data: {before, after}}` each, oldest first.
    pub events: Vec<Value>,
    /// The cursor behind all that was looked at.
    pub cursor: i64,
    /// Whether there may be more already.
    pub more: bool,
}

impl App {
    /// Events in their order; what is confidential is masked. With limit 0 only the newest cursor.
    ///
    /// # Errors
    /// 410 for a cursor behind which events were pruned, 503 where the store cannot be read, 400 for
    /// limit 0 together with a cursor or a time: what lies behind them would be skipped.
    pub async fn events(&self, search: &EventSearch, shown: Shown) -> Result<Events, Error> {
        if search.limit == 0 {
            return self.end_of_events(search).await;
        }
        let page = self.store().events(search).await?;
        let confidential = self.configuration().confidential();
        let nothing = Vec::new();
        let hidden = |name: &str| confidential.get(name).unwrap_or(&nothing);
        let events = page.events.iter().map(|event| {
            let container = &event.event.object.container;
            let name = container.to_string();
            event.to_value(hidden(name.trim_start_matches("managed/")), shown)
        });
        Ok(Events {
            events: events.collect(),
            cursor: page.cursor,
            more: page.more,
        })
    }

    async fn end_of_events(&self, search: &EventSearch) -> Result<Events, Error> {
        if search.after.is_some() || search.from.is_some() || search.until.is_some() {
            let message = "parameter `limit`: expected 1 or more together with `after`, \
                           `rangeStart` or `rangeEnd`, found `0`";
            return Err(Error::new(400, message));
        }
        Ok(Events {
            events: Vec::new(),
            cursor: self.store().newest_event().await?,
            more: false,
        })
    }

    /// Waits until there may be a new event: until this node stored one, or for half a second.
    pub async fn event_may_have_come(&self) {
        let _ = tokio::time::timeout(LOOK, self.store().fed()).await;
    }

    /// Drops events that the folder's settings keep no longer; tells how many.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn forget_events(&self) -> Result<u64, Error> {
        let kept = self.configuration().events.clone();
        let age = chrono::Duration::from_std(kept.keep).unwrap_or(chrono::Duration::MAX);
        let before = self.clock().now().checked_sub_signed(age);
        let before = before.unwrap_or(chrono::DateTime::<chrono::Utc>::MIN_UTC);
        let subscriptions: Vec<String> = self.parts.subscriptions.load().keys().cloned().collect();
        let forgotten = self
            .store()
            .forget_events(before, kept.count, &subscriptions);
        Ok(forgotten.await?)
    }
}
