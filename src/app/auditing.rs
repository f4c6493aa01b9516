//! What is done for the audit trail beside the changes: signing it, pruning it, delivering it.
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{
        By, about_audit_by_hand,
        delivery::{Destination, deliver},
    },
    model::{
        audit::NotTakenHow,
        signing::{Checkpoint, Signer},
    },
    store::{Pruned, Settlement},
};

use super::{App, Error, background::CONFIGURED, checkpoint_file};

/// How often it is looked whether entries are old enough to be pruned.
const PRUNING: Duration = Duration::from_secs(600);
/// The pause between two batches: changes come first.
const BREATH: Duration = Duration::from_millis(50);
/// Most checkpoints that are written to the file at a time.
const CHECKPOINTS: u64 = 1_000;
/// Most notes about entries that were not taken, in one answer.
const NOTES: u64 = 20;

/// A destination that is delivered to.
struct Running {
    destination: Destination,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// How far is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upto {
    /// What every destination has taken.
    Delivered,
    /// Whatever is old enough.
    Any,
}

impl App {
    /// Where each destination of the audit trail stands: `{name, kind, state, position, behind,
    /// behindSince, lastError, notTaken}`, `notTaken` being `{refused, shortened, pruned, entries}`
    /// where there is any: numbers of entries, and the first of them with the reasons.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn audit_destinations(&self) -> Result<Vec<Value>, Error> {
        let known = self.parts.destinations.all();
        let stand = self.store().deliveries_of_audit().await?;
        let head = self.store().audit_head().await?;
        let not_taken = self.store().not_taken_by_all().await?;
        let configuration = self.configuration();
        let mut all = Vec::new();
        for (name, destination) in &configuration.audit.destinations {
            let position = stand.iter().find(|(known, _)| known == name);
            let position = position.map_or(0, |(_, position)| *position);
            let behind = head.saturating_sub(position).max(0);
            let mut told = match known.iter().find(|status| status.name == *name) {
                None => json!({"name": name, "kind": destination.kind(), "state": "behind",
                    "position": position, "behind": behind}),
                Some(status) => {
                    // The store knows more of a destination that another node delivers to.
                    let mut status = status.clone();
                    (status.position, status.behind) = (position, behind);
                    json!(status)
                }
            };
            if let Some(counts) = not_taken.get(name)
                && let Some(told) = told.as_object_mut()
            {
                let count = |how| counts.get(&how).copied().unwrap_or_default();
                let entries = self.store().not_taken(name, NOTES).await?;
                let noted = json!({
                    "refused": count(NotTakenHow::Refused),
                    "shortened": count(NotTakenHow::Shortened),
                    "pruned": count(NotTakenHow::Pruned),
                    "entries": entries,
                });
                told.insert("notTaken".to_owned(), noted);
            }
            all.push(told);
        }
        Ok(all)
    }

    /// Sends again what a destination refused, or took shortened: all of it, or one entry. Gives
    /// `{asked}`: how many entries will be sent.
    ///
    /// # Errors
    /// 404 for an unknown destination, or where nothing of it was set aside.
    pub async fn resend_audit(
        &self,
        name: &str,
        position: Option<i64>,
        by: By<'_>,
    ) -> Result<Value, Error> {
        self.check_destination(name)?;
        let asked = self.store().ask_again(name, position).await?;
        if asked == 0 {
            return Err(nothing_set_aside(name, position));
        }
        self.note_by_hand("resend", name, position, asked, by)
            .await?;
        Ok(json!({"asked": asked}))
    }

    /// Gives up what a destination did not take: all of it, or what begins at one entry. Gives
    /// `{givenUp}`: how many notes went. The entries themselves stay.
    ///
    /// # Errors
    /// 404 for an unknown destination, or where nothing of it was set aside.
    pub async fn give_up_audit(
        &self,
        name: &str,
        position: Option<i64>,
        by: By<'_>,
    ) -> Result<Value, Error> {
        self.check_destination(name)?;
        let gone = self.store().give_up_not_taken(name, position).await?;
        if gone == 0 {
            return Err(nothing_set_aside(name, position));
        }
        self.note_by_hand("giveUp", name, position, gone, by)
            .await?;
        Ok(json!({"givenUp": gone}))
    }

    fn check_destination(&self, name: &str) -> Result<(), Error> {
        let configuration = self.configuration();
        match configuration.audit.destinations.contains_key(name) {
            true => Ok(()),
            false => Err(Error::missing(format!("destination {name}"))),
        }
    }

    async fn note_by_hand(
        &self,
        action: &str,
        name: &str,
        position: Option<i64>,
        count: u64,
        by: By<'_>,
    ) -> Result<(), Error> {
        let detail = json!({"position": position, "count": count});
        let entry = about_audit_by_hand(self.clock(), by, action, name, detail);
        let settlement = Settlement {
            audit: vec![entry],
            ..Settlement::default()
        };
        Ok(self.store().settle(settlement).wait().await?)
    }

    /// Signs the end of the chain where `[audit] checkpoint_key` is set and something was added.
    ///
    /// # Errors
    /// Where the store or the file of checkpoints cannot be written; and where the chain does not
    /// agree any more with what this process or the file knows to be signed.
    pub async fn sign_audit(&self) -> Result<Option<Checkpoint>, Error> {
        let configuration = self.configuration();
        let Some(signer) = configuration.audit.signer.clone() else {
            return Ok(None);
        };
        let file = configuration.audit.checkpoint_file.as_deref();
        let in_file = match file {
            Some(file) => checkpoint_file::last(file).map_err(|error| unreadable(file, &error))?,
            None => None,
        };
        let in_memory = self.signed().clone();
        let known = [in_file, in_memory].into_iter().flatten();
        let known = known.max_by_key(|known| known.number);
        let signed = self.store().sign_audit(&signer, known.as_ref()).await?;
        if let Some(signed) = &signed {
            *self.signed() = Some(signed.clone());
        }
        if let Some(file) = file {
            self.write_checkpoints(file).await?;
        }
        Ok(signed)
    }

    /// The last checkpoint that this process knows of.
    fn signed(&self) -> std::sync::MutexGuard<'_, Option<Checkpoint>> {
        let signed = self.parts.signed.lock();
        signed.unwrap_or_else(std::sync::PoisonError::into_inner)
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

    /// Signs what is there, and tells where that does not work. What this process found to be broken
    /// it does not sign when it ends: whoever only verifies must not make it look better.
    pub(super) async fn sign_last(&self) {
        let is_broken = self.last_verification().is_some_and(|last| {
            let broken = last.get("broken");
            broken.is_some_and(|broken| !broken.is_null())
        });
        if !is_broken {
            self.sign_end().await;
        }
    }

    /// Signs what is there, and tells where that does not work.
    async fn sign_end(&self) {
        if let Err(error) = self.sign_audit().await {
            tracing::error!(error = error.message, "the audit chain cannot be signed");
        }
    }

    /// Appends what the file of checkpoints lacks.
    async fn write_checkpoints(&self, file: &Path) -> Result<(), Error> {
        loop {
            let last = checkpoint_file::last(file).map_err(|error| unreadable(file, &error))?;
            let last = last.map_or(0, |last| last.number);
            let missing = self.store().checkpoints(last, CHECKPOINTS).await?;
            if missing.is_empty() {
                return Ok(());
            }
            checkpoint_file::append(file, &missing).map_err(|error| {
                Error::new(
                    500,
                    format!("{} cannot be written: {error}", file.display()),
                )
            })?;
        }
    }

    /// Prunes what is older than `[audit] keep_days` and has been delivered; what a destination did
    /// not take waits for `undelivered_days` more. Tells how many entries.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub async fn prune_audit(&self) -> Result<u64, Error> {
        let configuration = self.configuration();
        let audit = &configuration.audit;
        let Some(keep) = audit.keep else { return Ok(0) };
        let mut pruned = 0;
        if let Some(before) = self.ago(keep) {
            pruned += self.prune_before(before, Upto::Delivered).await?;
        }
        let is_waiting = !audit.destinations.is_empty();
        if is_waiting && let Some(before) = self.ago(keep.saturating_add(audit.undelivered)) {
            let undelivered = self.prune_before(before, Upto::Any).await?;
            if undelivered > 0 {
                tracing::warn!(
                    undelivered,
                    "pruned audit entries that a destination had not taken within [audit] \
                     undelivered_days; `recant audit destinations` tells which"
                );
            }
            pruned += undelivered;
        }
        Ok(pruned)
    }

    fn ago(&self, age: Duration) -> Option<chrono::DateTime<chrono::Utc>> {
        let age = chrono::Duration::from_std(age).ok()?;
        self.clock().now().checked_sub_signed(age)
    }

    async fn prune_before(
        &self,
        before: chrono::DateTime<chrono::Utc>,
        upto: Upto,
    ) -> Result<u64, Error> {
        let configuration = self.configuration();
        let signer: Option<Arc<Signer>> = configuration.audit.signer.clone();
        let mut pruned = 0;
        loop {
            let end = match upto {
                Upto::Delivered => self.delivered_everywhere().await?,
                Upto::Any => i64::MAX,
            };
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
        let mut end = i64::MAX;
        for name in names.keys() {
            let refused = self.store().first_refused(name).await?;
            let position = stand.get(name).copied().unwrap_or_default();
            // What was refused may still be sent again.
            end = refused
                .map_or(end, |first| end.min(first - 1))
                .min(position);
        }
        Ok(end)
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

fn unreadable(file: &Path, error: &std::io::Error) -> Error {
    Error::new(500, format!("{} cannot be read: {error}", file.display()))
}

fn nothing_set_aside(name: &str, position: Option<i64>) -> Error {
    let which = position.map_or_else(String::new, |position| format!(" {position}"));
    Error::missing(format!("entry{which} that destination {name} did not take"))
}
