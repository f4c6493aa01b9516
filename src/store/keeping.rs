//! Keeping runs of hooks beside the changes: they are made into rows and encrypted after the answer, by
//! a task of their own, and written with whatever is written next.
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tokio::sync::{
    mpsc::{self, Receiver, Sender, WeakUnboundedSender},
    oneshot,
};
use tokio_util::sync::CancellationToken;

use super::{
    Core, Store,
    entity::hook_run,
    rows::{Encoder, SettlementRows},
    writer::{Command, Waiting},
};
use crate::model::hook_run::KeptRun;

/// How many changes' runs may wait; beyond that they are not kept.
const WAITING: usize = 256;

/// What the task is told.
pub(super) enum Keep {
    /// Runs of one change.
    Runs(Vec<KeptRun>),
    /// Tell when everything before is on its way to the disk.
    Flush(oneshot::Sender<()>),
}

/// Starts the task; it ends with its sender, or when the store is given up.
pub(super) fn start(
    core: Arc<Core>,
    commands: WeakUnboundedSender<Command>,
    abandoned: CancellationToken,
) -> Sender<Keep> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        abandoned
            .run_until_cancelled(work(core, receiver, commands))
            .await;
    });
    sender
}

async fn work(
    core: Arc<Core>,
    mut receiver: Receiver<Keep>,
    commands: WeakUnboundedSender<Command>,
) {
    while let Some(next) = receiver.recv().await {
        match next {
            Keep::Flush(reply) => {
                let _ = reply.send(());
            }
            Keep::Runs(runs) => {
                let rows = rows(&core, &runs);
                let Some(commands) = commands.upgrade() else {
                    return;
                };
                if rows.hook_runs.is_empty() {
                    continue;
                }
                core.pending.add(&rows);
                let waiting = Waiting {
                    rows,
                    since: Instant::now(),
                    reply: oneshot::channel().0,
                };
                let _ = commands.send(Command::Settle(Box::new(waiting)));
            }
        }
    }
}

fn rows(core: &Core, runs: &[KeptRun]) -> SettlementRows {
    let (confidential, rules) = (core.confidential.load(), core.rules.load());
    let encoder = Encoder {
        keys: &core.keys,
        confidential: &confidential,
        rules: &rules,
        now: core.clock.now(),
    };
    let rows = runs.iter().filter_map(|run| match encoder.hook_run(run) {
        Ok(row) => row.or_else(|| not_kept(core, run, "it is larger than 256 KiB")),
        Err(refusal) => not_kept(core, run, &refusal.to_string()),
    });
    SettlementRows {
        hook_runs: rows.collect(),
        ..SettlementRows::default()
    }
}

/// Says that a run is not kept: not of each one, there may be many.
fn not_kept(core: &Core, run: &KeptRun, why: &str) -> Option<hook_run::Model> {
    let before = core.counters.runs_not_kept.fetch_add(1, Ordering::Relaxed);
    let not_kept = before + 1;
    metrics::counter!("recant_hook_runs_not_kept_total").increment(1);
    if not_kept.is_power_of_two() {
        tracing::info!(
            hook = run.run.hook,
            operation = %run.operation,
            not_kept,
            why,
            "a run of a hook is not kept"
        );
    }
    None
}

impl Store {
    /// Hands runs over to be kept; nobody waits for it, and where too many wait they are not kept.
    pub(super) fn keep_runs(&self, runs: Vec<KeptRun>) {
        if runs.is_empty() {
            return;
        }
        if let Err(error) = self.handle.keeping.try_send(Keep::Runs(runs))
            && let Keep::Runs(runs) = error.into_inner()
        {
            for run in &runs {
                let _ = not_kept(self.core(), run, "too many wait to be kept");
            }
        }
    }

    /// Waits until what is to be kept so far is on its way to the disk.
    pub(super) async fn keep_what_waits(&self) {
        let (reply, answer) = oneshot::channel();
        if self.handle.keeping.send(Keep::Flush(reply)).await.is_ok() {
            let _ = answer.await;
        }
    }
}
