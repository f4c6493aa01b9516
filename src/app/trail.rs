//! The audit trail: reading it, verifying its chain, telling the story of one change.
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use serde_json::{Value, json};

use crate::{
    audit::{self, Story},
    model::{
        Filter, OperationId,
        audit::{ChainedEntry, Topic},
        filter::Operator,
        pointer::Pointer,
        signing::Checkpoint,
    },
    store::{Count, Found, Proof, Search, Verification},
};

use super::{App, Error, checkpoint_file};

/// What the last walk along the chain found.
#[derive(Debug)]
pub(super) struct Verified {
    at: DateTime<Utc>,
    from: Option<(i64, String)>,
    found: Verification,
}

/// How far a walk along the chain has come that goes on beside everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The position that it has reached.
    pub position: i64,
    /// The position of the last entry.
    pub last: i64,
}

/// The walk that is under way, and why the last one could not end.
#[derive(Debug, Default)]
pub(super) struct Walking {
    progress: Option<Progress>,
    failed: Option<String>,
}

/// Most entries that one story is told from.
const LONGEST_STORY: usize = 20_000;

impl App {
    /// Audit entries of a topic (none: all), oldest first unless sorted otherwise.
    ///
    /// # Errors
    /// 400 for a search that cannot be answered.
    pub async fn audit(
        &self,
        topic: Option<Topic>,
        search: &Search,
    ) -> Result<Found<ChainedEntry>, Error> {
        Ok(self.store().audit(topic, search).await?)
    }

    /// Verifies the audit chain with the keys and the file of checkpoints that `[audit]` names.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn verify_audit(&self) -> Result<Verification, Error> {
        self.verify_audit_against(Proof::default()).await
    }

    /// Verifies the audit chain against what its reader brings: public keys, which count in place of
    /// the configured ones, and checkpoints that were kept elsewhere, beside the configured file.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn verify_audit_against(&self, brought: Proof) -> Result<Verification, Error> {
        let (proof, doubts) = self.whole_proof(brought);
        let found = self.store().verify_audit_against(&proof).await?;
        Ok(self.keep_verification(found, doubts))
    }

    /// Verifies what was added since this process verified the chain last, or all of it: cheap enough
    /// for a page. An edit of what was verified before shows only in [`App::verify_audit`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn verify_audit_onward(&self) -> Result<Verification, Error> {
        let from = self.verified().as_ref().and_then(|last| last.from.clone());
        if from.is_none() {
            return self.verify_audit().await;
        }
        let configuration = self.configuration();
        let file = configuration.audit.checkpoint_file.as_deref();
        let last = file.and_then(|file| checkpoint_file::last(file).ok()?);
        let proof = Proof {
            trust: configuration.audit.trust(),
            outside: last.into_iter().collect(),
            from,
        };
        let found = self.store().verify_audit_against(&proof).await?;
        Ok(self.keep_verification(found, Vec::new()))
    }

    /// What a reader brought, with what this server itself can tell about its chain, and what is
    /// doubtful about that.
    fn whole_proof(&self, mut proof: Proof) -> (Proof, Vec<String>) {
        if proof.trust.is_empty() {
            proof.trust = self.configuration().audit.trust();
        }
        let (in_file, doubts) = self.kept_outside();
        proof.outside.extend(in_file);
        (proof, doubts)
    }

    /// The checkpoints of the configured file, and what is doubtful about it.
    fn kept_outside(&self) -> (Vec<Checkpoint>, Vec<String>) {
        let configuration = self.configuration();
        let Some(file) = &configuration.audit.checkpoint_file else {
            return (Vec::new(), Vec::new());
        };
        let place = file.display();
        match checkpoint_file::read(file) {
            Ok(Some(held)) if held.unreadable == 0 => (held.checkpoints, Vec::new()),
            Ok(Some(held)) => {
                let doubt = format!(
                    "what {} lines of {place} say: they are no checkpoints (a crash may leave half a \
                     line)",
                    held.unreadable
                );
                (held.checkpoints, vec![doubt])
            }
            Ok(None) if configuration.audit.signer.is_none() => (Vec::new(), Vec::new()),
            Ok(None) => {
                let doubt = format!("what {place} held: there is no such file");
                (Vec::new(), vec![doubt])
            }
            Err(error) => {
                let doubt = format!("what {place} says: it cannot be read ({error})");
                (Vec::new(), vec![doubt])
            }
        }
    }

    /// What the last walk along the chain found in this process, and when: `{at, entries, broken,
    /// position, anchor, signed}`; none before the first.
    #[must_use]
    pub fn last_verification(&self) -> Option<Value> {
        let last = self.verified();
        let last = last.as_ref()?;
        let mut told = json!(last.found);
        told.as_object_mut()?.insert("at".into(), json!(last.at));
        Some(told)
    }

    /// Begins to verify the whole chain beside everything else; nothing where that is under way.
    pub fn begin_verification(&self) {
        {
            let mut walking = self.walking();
            if walking.progress.is_some() {
                return;
            }
            let begun = Progress {
                position: 0,
                last: 0,
            };
            (walking.progress, walking.failed) = (Some(begun), None);
        }
        let app = self.clone();
        tokio::spawn(async move {
            let walk = std::panic::AssertUnwindSafe(app.walk_along());
            let failed = tokio::select! {
                walked = walk.catch_unwind() => match walked {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.message),
                    Err(_) => Some("it broke off by a fault; the log says more".to_owned()),
                },
                () = app.parts.stop.cancelled() => Some("the server stops".to_owned()),
            };
            let mut walking = app.walking();
            (walking.progress, walking.failed) = (None, failed);
        });
    }

    /// How far the verification has come that is under way; none: there is none.
    #[must_use]
    pub fn verification_progress(&self) -> Option<Progress> {
        self.walking().progress
    }

    /// Why the last verification that was begun could not end.
    #[must_use]
    pub fn verification_failure(&self) -> Option<String> {
        self.walking().failed.clone()
    }

    async fn walk_along(&self) -> Result<(), Error> {
        let (proof, doubts) = self.whole_proof(Proof::default());
        let watch = |position, last| self.walking().progress = Some(Progress { position, last });
        let found = self.store().verify_audit_watched(&proof, &watch).await?;
        self.keep_verification(found, doubts);
        Ok(())
    }

    fn walking(&self) -> std::sync::MutexGuard<'_, Walking> {
        let walking = self.parts.walking.lock();
        walking.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Notes what a walk found, with what is doubtful about what it was compared with.
    fn keep_verification(&self, mut found: Verification, doubts: Vec<String>) -> Verification {
        let whole = found.broken.is_none();
        if whole {
            found.unproven.extend(doubts);
        }
        *self.verified() = Some(Verified {
            at: self.clock().now(),
            from: whole.then(|| (found.position, found.digest.clone())),
            found: found.clone(),
        });
        found
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, Option<Verified>> {
        let verified = self.parts.verified.lock();
        verified.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The story of one change in plain sentences, from its audit entries alone: it can be told when
    /// the journal has forgotten the change. A nested change is told of with its root.
    ///
    /// # Errors
    /// 404 where no entry is about such a change.
    pub async fn explain(&self, id: OperationId) -> Result<Story, Error> {
        let family = self.entries_of_family(id, LONGEST_STORY).await?;
        audit::explain(&id.to_string(), &family)
            .ok_or_else(|| Error::missing(format!("audit entry about operation {id}")))
    }

    /// The entries about a change and all that belong to the same root, in their order, of at most so
    /// many that are looked at.
    ///
    /// # Errors
    /// 404 where no entry is about such a change.
    pub(super) async fn entries_of_family(
        &self,
        id: OperationId,
        most: usize,
    ) -> Result<Vec<ChainedEntry>, Error> {
        let missing = || Error::missing(format!("audit entry about operation {id}"));
        let of_it = self
            .entries_where(&[("operation", &id.to_string())], most)
            .await?;
        let first = of_it.first().ok_or_else(missing)?;
        let root = of_it.iter().find_map(audit::root_of);
        let Some(root) = root else {
            return Ok(of_it);
        };
        let transaction = first.entry.transaction_id.as_str();
        let mut family = self
            .entries_where(&[("transactionId", transaction), ("root", root)], most)
            .await?;
        let known: std::collections::HashSet<i64> =
            family.iter().map(|entry| entry.position).collect();
        let alone = of_it
            .iter()
            .filter(|entry| !known.contains(&entry.position));
        family.extend(alone.cloned());
        family.sort_by_key(|entry| entry.position);
        Ok(family)
    }

    /// The first entries whose fields are exactly these, oldest first.
    async fn entries_where(
        &self,
        fields: &[(&str, &str)],
        most: usize,
    ) -> Result<Vec<ChainedEntry>, Error> {
        let equal = |(name, value): &(&str, &str)| Filter::Compare {
            field: Pointer::attribute(name),
            operator: Operator::Equal,
            value: (*value).into(),
        };
        let search = Search {
            filter: Filter::And(fields.iter().map(equal).collect()),
            sort: Vec::new(),
            page_size: Some(most),
            cookie: None,
            offset: 0,
            count: Count::None,
        };
        Ok(self.store().audit(None, &search).await?.results)
    }
}
