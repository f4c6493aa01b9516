//! The one task that writes: whatever waits shares the next commit.
//!
//! Journal entries are written at once, settlements with the next journal entry or a little later.
//! What was handed over first is written first.
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc::UnboundedReceiver, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    Core, Error, JournalError,
    error::{Refusal, Remedy, is_timeout, remedy},
    round::{self, Doubt, Failure, Work, Written},
    rows::{EntryRows, SettlementRows},
};

/// How long settlements wait for a journal entry to share a commit with.
const HOLD_BACK: Duration = Duration::from_millis(20);
/// How long a journal entry waits for a store that fails.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause before a failing store is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Most journal entries and settlements in one round.
const LARGEST_ROUND: usize = 256;
/// How often a round that others are in the way of is tried as a whole.
const TRIES: u32 = 4;

/// How often work may run out of time before it is tried whether the work or the store is to blame.
const TIMEOUTS: u32 = 3;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Command {
    /// Make an intent durable.
    Journal(Box<Entry>),
    /// Write what ends a change.
    Settle(Box<Waiting>),
    /// Tell when everything before this is on disk.
    Flush(oneshot::Sender<()>),
    /// Do not hold back what waits.
    Hurry,
}

/// A journal entry and who waits for it.
#[derive(Debug)]
pub(super) struct Entry {
    pub rows: EntryRows,
    pub since: Instant,
    pub reply: oneshot::Sender<Result<(), JournalError>>,
}

/// A settlement and who may wait for it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub rows: SettlementRows,
    pub since: Instant,
    pub reply: oneshot::Sender<Result<(), Error>>,
}

/// The writer's state between rounds.
pub(super) struct Writer {
    core: Arc<Core>,
    commands: UnboundedReceiver<Command>,
    /// Set when the last handle on the store is gone: what is not written then is given up, as in
    /// a crash.
    abandoned: CancellationToken,
    queue: VecDeque<Command>,
    failures: u32,
}

impl Writer {
    /// A writer that has nothing to do yet.
    pub(super) fn new(
        core: Arc<Core>,
        commands: UnboundedReceiver<Command>,
        abandoned: CancellationToken,
    ) -> Self {
        Self {
            core,
            commands,
            abandoned,
            queue: VecDeque::new(),
            failures: 0,
        }
    }

    /// Works until the store is closed or abandoned.
    pub(super) async fn run(mut self) {
        let abandoned = self.abandoned.clone();
        abandoned.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        while self.gather().await {
            self.write_next().await;
        }
        while !self.queue.is_empty() {
            self.write_next().await;
        }
    }

    /// Waits until there is something to write; false when nobody can hand over anything any more.
    async fn gather(&mut self) -> bool {
        loop {
            while let Ok(command) = self.commands.try_recv() {
                self.queue.push_back(command);
            }
            let Some(at) = self.due() else {
                match self.commands.recv().await {
                    Some(command) => self.queue.push_back(command),
                    None => return false,
                }
                continue;
            };
            if at <= Instant::now() {
                return true;
            }
            match tokio::time::timeout_at(at.into(), self.commands.recv()).await {
                Ok(Some(command)) => self.queue.push_back(command),
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// When the queue is to be written: at once where anybody waits, else when its oldest
    /// settlement has waited long enough. None while it is empty.
    fn due(&self) -> Option<Instant> {
        let urgent = |command: &Command| !matches!(command, Command::Settle(_));
        if self.queue.iter().any(urgent) {
            return Some(Instant::now());
        }
        self.queue.front().map(|first| match first {
            Command::Settle(waiting) => waiting
                .since
                .checked_add(HOLD_BACK)
                .unwrap_or(waiting.since),
            _ => Instant::now(),
        })
    }

    async fn write_next(&mut self) {
        let many = self.queue.len().min(LARGEST_ROUND);
        let mut commands: Vec<Command> = self.queue.drain(..many).collect();
        commands.retain(|command| !matches!(command, Command::Hurry));
        let mut timeouts = 0;
        for tries in 1.. {
            let failure = match self.attempt(&mut commands).await {
                Ok(()) => return,
                Err(failure) => failure,
            };
            self.core.counters.retried();
            if self.is_its_own_fault(&failure, &mut timeouts).await {
                return self.write_apart(commands).await;
            }
            match self.remedy_for(failure, &mut commands).await {
                Remedy::Retry if tries < TRIES => {}
                Remedy::Wait => {
                    self.pause().await;
                    give_up_old_entries(&mut commands);
                }
                Remedy::Retry | Remedy::None => return self.write_apart(commands).await,
            }
        }
    }

    /// Writes the commands in one round and answers them all, or none.
    async fn attempt(&mut self, commands: &mut Vec<Command>) -> Result<(), Failure> {
        let work = work_of(commands);
        if work.entries.is_empty() && work.settlements.is_empty() {
            answer_flushes(commands);
            return Ok(());
        }
        if self.core.leases.left().is_zero() {
            return Err(Failure::LeaseLost);
        }
        let written = match round::write(&self.core, &work).await {
            Ok(written) => written,
            // Nobody is answered before it is known.
            Err(Failure::Unknown(doubt)) => match self.was_committed(&doubt).await {
                Some(true) => doubt.written,
                Some(false) => return Err(Failure::Unknown(doubt)),
                // The mark went with the node's row; a settlement sees on its next try what is left.
                None => {
                    fail_entries(commands, || JournalError::Unknown);
                    return Err(Failure::Unknown(doubt));
                }
            },
            Err(failure) => return Err(failure),
        };
        self.failures = 0;
        if written.committed {
            self.core.counters.committed(
                written.entries.iter().filter(|one| one.is_ok()).count(),
                written.settlements.iter().filter(|one| one.is_ok()).count(),
            );
        }
        answer(&self.core, std::mem::take(commands), written);
        Ok(())
    }

    /// Looks whether a round whose commit failed was committed nevertheless, as long as it takes.
    /// None: nothing tells any more.
    async fn was_committed(&mut self, doubt: &Doubt) -> Option<bool> {
        tracing::warn!(error = %doubt.error, "a commit has an unknown outcome; looking for it");
        loop {
            match round::was_committed(&self.core, &doubt.mark).await {
                Ok(found) => return found,
                Err(error) => {
                    tracing::warn!(%error, "the store cannot be asked for the outcome of a commit");
                    self.pause().await;
                }
            }
        }
    }

    async fn remedy_for(&mut self, failure: Failure, commands: &mut Vec<Command>) -> Remedy {
        match failure {
            Failure::LeaseLost => {
                fail_entries(commands, || JournalError::LeaseLost);
                self.core.leases.lose();
                match self.core.leases.register(&self.core.database).await {
                    Ok(()) => Remedy::Retry,
                    Err(error) => {
                        tracing::warn!(%error, "this node has no lease and gets none");
                        Remedy::Wait
                    }
                }
            }
            Failure::Unknown(doubt) => {
                tracing::warn!(error = %doubt.error, "a commit failed");
                Remedy::Wait
            }
            Failure::Database(error) => {
                let remedy = remedy(&error);
                tracing::warn!(%error, ?remedy, "the store could not write a round");
                if remedy == Remedy::None && commands.len() == 1 {
                    fail_for_good(&self.core, commands, &error.to_string());
                }
                remedy
            }
        }
    }

    /// One transaction each, so that what the database refuses does not fail the rest.
    async fn write_apart(&mut self, commands: Vec<Command>) {
        self.core.counters.split();
        for command in commands {
            let mut alone = vec![command];
            let (mut tries, mut timeouts) = (0, 0);
            while let Err(failure) = self.attempt(&mut alone).await {
                let error = failure.to_string();
                if self.is_its_own_fault(&failure, &mut timeouts).await {
                    fail_for_good(&self.core, &mut alone, &error);
                    break;
                }
                if self.remedy_for(failure, &mut alone).await == Remedy::Retry {
                    tries += 1;
                }
                if tries > TRIES {
                    fail_for_good(&self.core, &mut alone, &error);
                }
                self.pause().await;
                give_up_old_entries(&mut alone);
            }
        }
    }

    /// Whether work runs out of time again and again although the database does other things.
    async fn is_its_own_fault(&self, failure: &Failure, timeouts: &mut u32) -> bool {
        let Failure::Database(error) = failure else {
            return false;
        };
        *timeouts += u32::from(is_timeout(error));
        *timeouts >= TIMEOUTS && self.core.leases.renew(&self.core.database).await.is_ok()
    }

    async fn pause(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = Duration::from_millis(10)
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST_PAUSE);
        tokio::time::sleep(pause).await;
    }
}

fn work_of(commands: &[Command]) -> Work<'_> {
    let mut work = Work::default();
    for command in commands {
        match command {
            Command::Journal(entry) => work.entries.push(&entry.rows),
            Command::Settle(waiting) => work.settlements.push(&waiting.rows),
            Command::Flush(_) | Command::Hurry => {}
        }
    }
    work
}

fn answer(core: &Core, commands: Vec<Command>, written: Written) {
    let mut entries = written.entries.into_iter();
    let mut settlements = written.settlements.into_iter();
    for command in commands {
        match command {
            Command::Journal(entry) => {
                let _ = entry.reply.send(entries.next().unwrap_or(Ok(())));
            }
            Command::Settle(waiting) => {
                let result = settlements.next().unwrap_or(Ok(()));
                if let Err(refusal) = &result {
                    tracing::warn!(object = waiting.rows.release.as_ref().map(|held| held.object.as_str()), %refusal, "a settlement is void");
                }
                core.pending.remove(&waiting.rows);
                if waiting.rows.event.is_some() {
                    core.fed.notify_waiters();
                }
                if !waiting.rows.outbound.is_empty() {
                    core.queued.notify_one();
                }
                let _ = waiting
                    .reply
                    .send(result.map_err(Error::at("settle a change")));
            }
            Command::Flush(reply) => {
                let _ = reply.send(());
            }
            Command::Hurry => {}
        }
    }
}

fn answer_flushes(commands: &mut Vec<Command>) {
    for command in commands.drain(..) {
        if let Command::Flush(reply) = command {
            let _ = reply.send(());
        }
    }
}

/// Takes the journal entries out of `commands` and answers them with an error.
fn fail_entries(commands: &mut Vec<Command>, why: impl Fn() -> JournalError) {
    fail_entries_where(commands, |_| true, why);
}

fn fail_entries_where(
    commands: &mut Vec<Command>,
    which: impl Fn(&Entry) -> bool,
    why: impl Fn() -> JournalError,
) {
    let all = std::mem::take(commands);
    for command in all {
        match command {
            Command::Journal(entry) if which(&entry) => {
                let _ = entry.reply.send(Err(why()));
            }
            other => commands.push(other),
        }
    }
}

/// Journal entries wait only so long for a failing store; settlements wait for ever.
fn give_up_old_entries(commands: &mut Vec<Command>) {
    fail_entries_where(
        commands,
        |entry| entry.since.elapsed() > JOURNAL_PATIENCE,
        || {
            let seconds = JOURNAL_PATIENCE.as_secs();
            Error::at("journal a change")(Refusal::TimedOut(seconds)).into()
        },
    );
}

/// The database refuses this command for a reason that time does not change.
fn fail_for_good(core: &Core, commands: &mut Vec<Command>, error: &str) {
    for command in commands.drain(..) {
        match command {
            Command::Journal(entry) => {
                let error = Error::at("journal a change")(error);
                let _ = entry.reply.send(Err(error.into()));
            }
            Command::Settle(waiting) => {
                tracing::error!(%error, "a settlement cannot be stored; recovery has to make it anew");
                core.pending.remove(&waiting.rows);
                let error = Error::at("settle a change")(error);
                let _ = waiting.reply.send(Err(error));
            }
            Command::Flush(reply) => {
                let _ = reply.send(());
            }
            Command::Hurry => {}
        }
    }
}
