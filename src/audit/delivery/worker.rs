//! The work of one destination: from its stored position to the end of the trail, again and again.
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Destination, Sink, Statuses};
use crate::{
    clock::SharedClock,
    store::{self, Store},
};

/// How many entries are delivered at a time.
const BATCH: u64 = 500;
/// How often the end of the trail is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is looked whether another node has given a destination free.
const ELSEWHERE: Duration = Duration::from_secs(5);
/// How long one batch may take before it is tried again.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long a node holds a destination, and when it says again that it does.
const LEASE_MS: i64 = 120_000;
const RENEWAL: Duration = Duration::from_secs(30);
/// The first pause after a failure; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Delivers to one destination until it is told to stop.
pub async fn deliver(
    store: Store,
    clock: SharedClock,
    name: String,
    destination: Destination,
    statuses: Statuses,
    stop: CancellationToken,
) {
    statuses.begin(&name, destination.kind());
    let delivery = Delivery {
        store: store.clone(),
        clock,
        name: name.clone(),
        statuses,
        held: None,
    };
    stop.run_until_cancelled(delivery.run(destination)).await;
    if let Err(error) = store.release_delivery(&name).await {
        tracing::debug!(%error, destination = name, "a destination is not given free");
    }
}

struct Delivery {
    store: Store,
    clock: SharedClock,
    name: String,
    statuses: Statuses,
    /// The position of the last entry that the destination took, and since when this node holds it.
    held: Option<(i64, Instant)>,
}

impl Delivery {
    async fn run(mut self, destination: Destination) {
        let mut pause = PAUSE;
        let mut sink = None;
        loop {
            match self.step(&destination, &mut sink).await {
                Ok(Progress::Some) => pause = PAUSE,
                Ok(Progress::None) => {
                    pause = PAUSE;
                    tokio::time::sleep(LOOK).await;
                }
                Ok(Progress::Elsewhere) => tokio::time::sleep(ELSEWHERE).await,
                Err(error) => {
                    sink = None;
                    self.failed(&error);
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Delivers the next entries, if there are any and this node is the one to do it.
    async fn step(
        &mut self,
        destination: &Destination,
        sink: &mut Option<Sink>,
    ) -> Result<Progress, String> {
        let Some(position) = self.hold().await? else {
            self.statuses.elsewhere(&self.name);
            return Ok(Progress::Elsewhere);
        };
        let entries = self.store.audit_after(position, BATCH).await;
        let entries = entries.map_err(told)?;
        let Some(last) = entries.last().map(|entry| entry.position) else {
            self.note(position).await?;
            return Ok(Progress::None);
        };
        // What the destination lacks is told even while it takes nothing.
        self.note(position).await?;
        let sink = match sink {
            Some(sink) => sink,
            None => sink.insert(Sink::new(destination.clone())?),
        };
        tokio::time::timeout(PATIENCE, sink.take(&entries))
            .await
            .map_err(|_| "it does not take them in time".to_owned())??;
        if self.statuses.succeeded(&self.name) {
            tracing::info!(
                destination = self.name,
                "a destination of the audit trail takes entries again"
            );
        }
        let is_ours = self.store.delivered(&self.name, last, LEASE_MS).await;
        self.held = is_ours.map_err(told)?.then(|| (last, Instant::now()));
        self.note(last).await?;
        Ok(Progress::Some)
    }

    /// The position to go on from; none while another node delivers.
    async fn hold(&mut self) -> Result<Option<i64>, String> {
        if let Some((position, since)) = self.held
            && since.elapsed() < RENEWAL
        {
            return Ok(Some(position));
        }
        let held = self.store.hold_delivery(&self.name, LEASE_MS).await;
        let held = held.map_err(told)?;
        self.held = held.map(|position| (position, Instant::now()));
        Ok(held)
    }

    async fn note(&self, position: i64) -> Result<(), String> {
        let head = self.store.audit_head().await.map_err(told)?;
        let now = self.clock.now();
        self.statuses.at(&self.name, position, head, now);
        Ok(())
    }

    fn failed(&self, error: &str) {
        if self.statuses.failed(&self.name, error) {
            tracing::warn!(
                destination = self.name,
                error,
                "a destination of the audit trail takes nothing; it is behind until it does"
            );
        }
    }
}

enum Progress {
    Some,
    None,
    /// Another node delivers.
    Elsewhere,
}

fn told(error: store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
