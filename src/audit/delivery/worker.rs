//! The work of one destination: from its stored position to the end of the trail, again and again.
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Destination, Sink, Statuses, Trouble};
use crate::{
    clock::SharedClock,
    model::audit::{ChainedEntry, NotTaken, NotTakenHow},
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
        batch: BATCH,
        set_aside: 0,
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
    /// How many entries are sent at a time: fewer where the destination refuses or is slow.
    batch: u64,
    /// How many entries this task has set aside.
    set_aside: u64,
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
            self.elsewhere().await?;
            return Ok(Progress::Elsewhere);
        };
        let entries = self.store.audit_after(position, self.batch).await;
        let entries = entries.map_err(told)?;
        // What the destination lacks is told even while it takes nothing.
        self.note(position).await?;
        if entries
            .first()
            .is_none_or(|first| first.position > position + 1)
            && let Some(pruned) = self.pruned_behind(position).await?
        {
            return self.lost(position, pruned).await;
        }
        let sink = match sink {
            Some(sink) => sink,
            None => sink.insert(Sink::new(destination.clone())?),
        };
        let Some(last) = entries.last().map(|entry| entry.position) else {
            return self.send_again(sink).await;
        };
        let Some(shortened) = self.send(sink, &entries).await? else {
            return Ok(Progress::Some);
        };
        for (position, reason) in shortened {
            let one = self.not_taken((position, position), NotTakenHow::Shortened, reason);
            self.store.set_aside(&self.name, &one).await.map_err(told)?;
        }
        if self.statuses.succeeded(&self.name) {
            tracing::info!(
                destination = self.name,
                "a destination of the audit trail takes entries again"
            );
        }
        self.move_to(last).await?;
        Ok(Progress::Some)
    }

    /// Sends entries and gives those that arrived shortened; none where they were refused, and fewer
    /// are sent next time or the only one was set aside.
    async fn send(
        &mut self,
        sink: &mut Sink,
        entries: &[ChainedEntry],
    ) -> Result<Option<Vec<(i64, String)>>, String> {
        let half = (entries.len() as u64 / 2).max(1);
        match tokio::time::timeout(PATIENCE, sink.take(entries)).await {
            Ok(Ok(shortened)) => {
                self.batch = self.batch.saturating_mul(2).min(BATCH);
                Ok(Some(shortened))
            }
            Ok(Err(Trouble::Later(why))) => Err(why),
            Ok(Err(Trouble::Never(why))) => {
                self.batch = half;
                if let [only] = entries {
                    self.refused(only.position, why).await?;
                    self.move_to(only.position).await?;
                }
                Ok(None)
            }
            Err(_) => {
                self.batch = half;
                Err("it does not take them in time".to_owned())
            }
        }
    }

    /// Sets an entry aside that the destination will not have: the others must not wait for it.
    async fn refused(&mut self, position: i64, why: String) -> Result<(), String> {
        self.set_aside += 1;
        if self.set_aside.is_power_of_two() {
            tracing::warn!(
                destination = self.name,
                position,
                set_aside = self.set_aside,
                why,
                "a destination of the audit trail refuses an entry for good: it is set aside"
            );
        }
        metrics::counter!("recant_audit_delivery_refused_total", "destination" => self.name.clone())
            .increment(1);
        let one = self.not_taken((position, position), NotTakenHow::Refused, why);
        self.store.set_aside(&self.name, &one).await.map_err(told)
    }

    /// Sends an entry again that was set aside, where somebody asked for that.
    async fn send_again(&mut self, sink: &mut Sink) -> Result<Progress, String> {
        let asked = self.store.asked_again(&self.name).await.map_err(told)?;
        let Some(position) = asked else {
            return Ok(Progress::None);
        };
        let found = self.store.audit_after(position - 1, 1).await;
        let found = found.map_err(told)?;
        let entry = found.first().filter(|entry| entry.position == position);
        let still = match entry {
            None => {
                let gone = "it was pruned before it could be sent again";
                Some((NotTakenHow::Pruned, gone.to_owned()))
            }
            Some(entry) => {
                let sent = sink.take(std::slice::from_ref(entry));
                match tokio::time::timeout(PATIENCE, sent).await {
                    Err(_) => return Err("it does not take them in time".to_owned()),
                    Ok(Err(Trouble::Later(why))) => return Err(why),
                    Ok(Err(Trouble::Never(why))) => Some((NotTakenHow::Refused, why)),
                    Ok(Ok(shortened)) => shortened
                        .into_iter()
                        .next()
                        .map(|(_, why)| (NotTakenHow::Shortened, why)),
                }
            }
        };
        let still = still.as_ref().map(|(how, why)| (*how, why.as_str()));
        let noted = self.store.sent_again(&self.name, position, still).await;
        noted.map_err(told)?;
        self.statuses.succeeded(&self.name);
        Ok(Progress::Some)
    }

    /// The last entry that was pruned, where that is behind this position.
    async fn pruned_behind(&self, position: i64) -> Result<Option<i64>, String> {
        let anchor = self.store.audit_anchor().await.map_err(told)?;
        Ok(anchor
            .map(|anchor| anchor.position)
            .filter(|pruned| *pruned > position))
    }

    /// Goes on behind entries that were pruned before the destination took them, and keeps a note.
    async fn lost(&mut self, position: i64, pruned: i64) -> Result<Progress, String> {
        tracing::warn!(
            destination = self.name,
            first = position + 1,
            last = pruned,
            "entries were pruned before a destination of the audit trail took them"
        );
        let why = "they were pruned before this destination took them".to_owned();
        let lost = self.not_taken((position + 1, pruned), NotTakenHow::Pruned, why);
        let noted = self.store.set_aside(&self.name, &lost).await;
        noted.map_err(told)?;
        self.move_to(pruned).await?;
        Ok(Progress::Some)
    }

    fn not_taken(&self, (position, last): (i64, i64), how: NotTakenHow, why: String) -> NotTaken {
        NotTaken {
            position,
            last,
            how,
            reason: why,
            at: self.clock.now(),
            again: false,
        }
    }

    /// Notes how far the destination is; another node may have taken it over meanwhile.
    async fn move_to(&mut self, position: i64) -> Result<(), String> {
        let is_ours = self.store.delivered(&self.name, position, LEASE_MS).await;
        self.held = is_ours.map_err(told)?.then(|| (position, Instant::now()));
        self.note(position).await
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

    /// Another node delivers: what this one says of it follows what that one has noted.
    async fn elsewhere(&mut self) -> Result<(), String> {
        let all = self.store.deliveries_of_audit().await.map_err(told)?;
        let position = all.into_iter().find(|(name, _)| *name == self.name);
        self.note(position.map_or(0, |(_, position)| position))
            .await?;
        self.statuses.elsewhere(&self.name);
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
