//! Handing over to the writer: intents, settlements, and waiting for them.
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::{
    Error, JournalEntry, JournalError, Refusal, Settlement, Store, Ticket,
    rows::{Encoder, from_micros, micros},
    writer::{Command, Entry, Waiting},
};

/// How long a reader waits for what was handed over before it.
const PATIENCE: Duration = Duration::from_secs(15);

impl Store {
    /// Makes an intent durable; shares its commit with what else is waiting.
    ///
    /// # Errors
    /// It conflicts with what is stored, this node's lease is lost, or the store does not work for
    /// about ten seconds: nothing was stored then. [`JournalError::Unknown`] where the store was
    /// closed meanwhile.
    pub async fn journal(&self, entry: JournalEntry) -> Result<(), JournalError> {
        let rows = self.encoded(|encoder| encoder.entry(entry))?;
        let (reply, answer) = oneshot::channel();
        let entry = Entry {
            rows,
            since: Instant::now(),
            reply,
        };
        let sent = self.handle.commands.send(Command::Journal(Box::new(entry)));
        if sent.is_err() {
            return Err(Error::at("journal a change")(Refusal::Closed).into());
        }
        // A writer that ends in the middle of a round drops the reply.
        answer.await.unwrap_or(Err(JournalError::Unknown))
    }

    /// Hands over what ends a change. It is written soon, in order, before any later journal entry;
    /// runs of hooks that are kept come when there is time.
    #[must_use = "a ticket tells whether it was written; drop it where nobody needs to know"]
    pub fn settle(&self, mut settlement: Settlement) -> Ticket {
        let kept = std::mem::take(&mut settlement.hook_runs);
        let (reply, answer) = oneshot::channel();
        match self.encoded(|encoder| encoder.settlement(settlement)) {
            Ok(rows) => {
                self.core().pending.add(&rows);
                let waiting = Waiting {
                    rows,
                    since: Instant::now(),
                    reply,
                };
                self.send(Command::Settle(Box::new(waiting)));
            }
            Err(error) => {
                tracing::error!(error = %error.source, "a settlement cannot be stored");
                let _ = reply.send(Err(error));
            }
        }
        self.keep_runs(kept);
        Ticket::new(answer, self.handle.commands.clone())
    }

    /// Waits until everything handed over so far is on disk. Readers of records, audit and links
    /// call it first; it costs nothing when nothing is on its way.
    ///
    /// # Errors
    /// The store is closed, or does not work for about fifteen seconds.
    pub async fn flush(&self) -> Result<(), Error> {
        if !self.core().pending.any() {
            return Ok(());
        }
        let step = "write what was handed over";
        let (reply, answer) = oneshot::channel();
        self.send(Command::Flush(reply));
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::at(step)(Refusal::Closed)),
            Err(_) => Err(Error::at(step)(Refusal::TimedOut(PATIENCE.as_secs()))),
        }
    }

    fn encoded<T>(&self, encode: impl FnOnce(Encoder<'_>) -> T) -> T {
        let core = self.core();
        let confidential = core.confidential.load();
        let rules = core.rules.load();
        encode(Encoder {
            keys: &core.keys,
            confidential: &confidential,
            rules: &rules,
            now: self.stamp(),
        })
    }

    /// Now, and never before what was stamped last: where the clock is set back, a partial sync would
    /// take what changes then for older than what it has done.
    fn stamp(&self) -> DateTime<Utc> {
        let core = self.core();
        let now = micros(core.clock.now());
        from_micros(core.stamped.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// A writer that is gone drops the reply, which its receiver notices.
    fn send(&self, command: Command) {
        let _ = self.handle.commands.send(command);
    }
}
