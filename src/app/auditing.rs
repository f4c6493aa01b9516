//! What is done for the audit trail beside the changes: signing it, pruning it, delivering it.
use std::{collections::BTreeMap, io::Write as _, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::delivery::{Destination, deliver},
    model::signing::{Checkpoint, Signer},
    store::Pruned,
};

use super::{App, Error, background::CONFIGURED};

/// How often it is looked whether entries are old enough to be pruned.
const PRUNING: Duration = Duration::from_secs(600);
/// The pause between two batches: changes come first.
const BREATH: Duration = Duration::from_millis(50);
/// Most checkpoints that are written to the file at a time.
const CHECKPOINTS: u64 = 1_000;

/// A destination that is delivered to.
struct Running {
    destination: Destination,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl App {
    /// Where each destination of the audit trail stands: `{name, kind, state, position, behind,
    /// behindSince, lastError}`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn audit_destinations(&self) -> Result<Vec<Value>, Error> {
        let known = self.parts.destinations.all();
        let stand = self.store().deliveries_of_audit().await?;
        let head = self.store().audit_head().await?;
        let configuration = self.configuration();
        let destinations = configuration.audit.destinations.iter();
        let told = destinations.map(|(name, destination)| {
            let position = stand.iter().find(|(known, _)| known == name);
            let position = position.map_or(0, |(_, position)| *position);
            let behind = head.saturating_sub(position).max(0);
            let Some(status) = known.iter().find(|status| status.name == *name) else {
                let kind = destination.kind();
                return json!({"name": name, "kind": kind, "state": "behind",
                    "position": position, "behind": behind});
            };
            // The store knows more of a destination that another node delivers to.
            let mut status = status.clone();
            (status.position, status.behind) = (position, behind);
            json!(status)
        });
        Ok(told.collect())
    }

    /// Signs the end of the chain where `[audit] checkpoint_key` is set and something was added.
    ///
    /// # Errors
    /// Where the store or the file of checkpoints cannot be written.
    pub async fn sign_audit(&self) -> Result<Option<Checkpoint>, Error> {
        let configuration = self.configuration();
        let Some(signer) = configuration.audit.signer.clone() else {
            return Ok(None);
        };
        let signed = self.store().sign_audit(&signer).await?;
        if let Some(file) = &configuration.audit.checkpoint_file {
            self.write_checkpoints(file).await?;
        }
        Ok(signed)
    }

    /// Signs again and again.
    pub(super) async fn keep_signing(self) {
        loop {
            let every = self.configuration().audit.checkpoint_every;
            if self.stopped_within(every).await {
                return;
            }
            self.sign_end().await;
        }
    }

    /// Signs what is there, and tells where that does not work.
    pub(super) async fn sign_end(&self) {
        if let Err(error) = self.sign_audit().await {
            tracing::error!(error = error.message, "the audit chain cannot be signed");
        }
    }

    /// Appends what the file of checkpoints lacks.
    async fn write_checkpoints(&self, file: &Path) -> Result<(), Error> {
        let unwritable = |error: std::io::Error| {
            Error::new(
                500,
                format!("{} cannot be written: {error}", file.display()),
            )
        };
        loop {
            let last = last_number(file).map_err(unwritable)?;
            let missing = self.store().checkpoints(last, CHECKPOINTS).await?;
            if missing.is_empty() {
                return Ok(());
            }
            let mut text = String::new();
            for checkpoint in &missing {
                text.push_str(&json!(checkpoint).to_string());
                text.push('\n');
            }
            append(file, &text).map_err(unwritable)?;
        }
    }

    /// Prunes what is older than `[audit] keep_days` and has been delivered; tells how many entries.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub async fn prune_audit(&self) -> Result<u64, Error> {
        let configuration = self.configuration();
        let kept = configuration.audit.keep;
        let kept = kept.and_then(|kept| chrono::Duration::from_std(kept).ok());
        let before = kept.and_then(|kept| self.clock().now().checked_sub_signed(kept));
        let Some(before) = before else { return Ok(0) };
        let signer: Option<Arc<Signer>> = configuration.audit.signer.clone();
        let mut pruned = 0;
        loop {
            let end = self.delivered_everywhere().await?;
            let batch = self.store().prune_audit(before, end, signer.as_deref());
            match batch.await? {
                Pruned::Some(count) => pruned += count,
                Pruned::Done => return Ok(pruned),
                Pruned::Broken(position) => {
                    tracing::error!(
                        position,
                        "the audit chain does not hold here: nothing from there on is pruned"
                    );
                    return Ok(pruned);
                }
            }
            if self.stopped_within(BREATH).await {
                return Ok(pruned);
            }
        }
    }

    /// The position up to which every destination has taken the trail.
    async fn delivered_everywhere(&self) -> Result<i64, Error> {
        let configuration = self.configuration();
        let names = &configuration.audit.destinations;
        if names.is_empty() {
            return Ok(i64::MAX);
        }
        let stand: BTreeMap<String, i64> = self
            .store()
            .deliveries_of_audit()
            .await?
            .into_iter()
            .collect();
        let positions = names.keys().map(|name| stand.get(name).copied());
        Ok(positions
            .map(Option::unwrap_or_default)
            .min()
            .unwrap_or(i64::MAX))
    }

    pub(super) async fn keep_pruning(self) {
        loop {
            match self.prune_audit().await {
                Ok(0) => {}
                Ok(pruned) => tracing::info!(pruned, "pruned old entries of the audit trail"),
                Err(error) => {
                    tracing::error!(error = error.message, "the audit trail cannot be pruned");
                }
            }
            if self.stopped_within(PRUNING).await {
                return;
            }
        }
    }

    /// Delivers to the destinations that are configured, as they are configured.
    pub(super) async fn keep_delivering(self) {
        let mut running: BTreeMap<String, Running> = BTreeMap::new();
        loop {
            let configuration = self.configuration();
            let wanted = &configuration.audit.destinations;
            let ended: Vec<String> = running
                .iter()
                .filter(|(name, one)| wanted.get(*name) != Some(&one.destination))
                .map(|(name, _)| name.clone())
                .collect();
            for name in ended {
                if let Some(one) = running.remove(&name) {
                    one.end().await;
                    self.parts.destinations.forget(&name);
                }
            }
            for (name, destination) in wanted {
                if !running.contains_key(name) {
                    running.insert(name.clone(), self.deliver_to(name, destination));
                }
            }
            drop(configuration);
            if self.stopped_within(CONFIGURED).await {
                for one in running.into_values() {
                    one.end().await;
                }
                return;
            }
        }
    }

    fn deliver_to(&self, name: &str, destination: &Destination) -> Running {
        let stop = CancellationToken::new();
        let work = deliver(
            self.store().clone(),
            Arc::clone(&self.parts.clock),
            name.to_owned(),
            destination.clone(),
            self.parts.destinations.clone(),
            stop.clone(),
        );
        Running {
            destination: destination.clone(),
            stop,
            task: tokio::spawn(work),
        }
    }
}

impl Running {
    async fn end(self) {
        /// How long a destination may take to let go.
        const PATIENCE: Duration = Duration::from_secs(3);
        self.stop.cancel();
        let mut task = self.task;
        let until = Instant::now() + PATIENCE;
        if tokio::time::timeout_at(until, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// The number of the last checkpoint in a file; 0 where there is none.
fn last_number(file: &Path) -> std::io::Result<i64> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    /// More than one line takes.
    const TAIL: u64 = 4_096;
    let mut open = match std::fs::File::open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let length = open.metadata()?.len();
    open.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = String::new();
    open.read_to_string(&mut tail)?;
    let last = tail
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Checkpoint>(line).ok());
    Ok(last.map_or(0, |last| last.number))
}

fn append(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut open = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)?;
    open.write_all(text.as_bytes())?;
    open.sync_data()
}
