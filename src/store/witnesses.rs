//! The signed places that a walk along the audit chain comes by, and what they say against it.
use std::collections::VecDeque;

use sea_orm::{ConnectionTrait as _, DbErr};

use super::{
    Core,
    chain::head_query,
    checkpoints::checkpoints,
    verify::{Proof, Signed},
};
use crate::model::{signing::Checkpoint, trust::Trust};

/// How many checkpoints are read at a time.
const BATCH: u64 = 1_000;

const SIGNED_OTHERWISE: &str =
    "rewritten: a checkpoint was signed over another digest at this position";
const SIGNED_BEYOND: &str =
    "removed at the end: a checkpoint was signed over an entry that is not there";
const NO_CHECKPOINT: &str = "missing: a checkpoint was removed, or none was ever signed (where the key is new, the \
     next change or the server signs the first)";
const NOT_STORED: &str =
    "missing: a checkpoint that was kept elsewhere is not in the store any more";

/// The checkpoints that the walk comes by: those of the store, and those that were kept elsewhere.
pub(super) struct Witnesses<'a> {
    trust: &'a Trust,
    stored: VecDeque<Checkpoint>,
    /// The last stored one that was read, and whether there are more.
    last: Option<Checkpoint>,
    is_read: bool,
    outside: VecDeque<&'a Checkpoint>,
    /// The last one that was kept elsewhere.
    farthest: Option<&'a Checkpoint>,
    /// The place of the key that signed the last stored one.
    newest_key: usize,
    agreed: u64,
    signed_to: i64,
}

impl<'a> Witnesses<'a> {
    pub(super) fn new(proof: &'a Proof) -> Self {
        let mut outside: Vec<&Checkpoint> = proof.outside.iter().collect();
        outside.sort_by_key(|checkpoint| (checkpoint.position, checkpoint.number));
        Self {
            trust: &proof.trust,
            stored: VecDeque::new(),
            last: None,
            is_read: false,
            farthest: outside.last().copied(),
            outside: outside.into(),
            newest_key: 0,
            agreed: 0,
            signed_to: 0,
        }
    }

    /// The walk begins behind this position: what was signed before it is only known to be signed.
    pub(super) fn skip_to(&mut self, position: i64) {
        while self
            .outside
            .front()
            .is_some_and(|one| one.position < position)
        {
            self.outside.pop_front();
        }
    }

    /// What the checkpoints at this position say against it.
    pub(super) async fn meet(
        &mut self,
        core: &Core,
        position: i64,
        digest: &str,
    ) -> Result<Option<String>, DbErr> {
        while let Some(one) = self.outside.front().filter(|one| one.position <= position) {
            let found = self.judge(one, position, digest);
            self.outside.pop_front();
            if found.is_some() {
                return Ok(found);
            }
        }
        loop {
            if let Some(found) = self.next_stored(core).await? {
                return Ok(Some(found.to_owned()));
            }
            let Some(one) = self.stored.front().filter(|one| one.position <= position) else {
                return Ok(None);
            };
            let found = self
                .judge(one, position, digest)
                .or_else(|| self.retired(one));
            if found.is_some() {
                return Ok(found);
            }
            self.newest_key = self.trust.signer_of(one).unwrap_or_default();
            self.agreed += u64::from(one.position == position);
            self.signed_to = one.position;
            self.stored.pop_front();
        }
    }

    fn judge(&self, one: &Checkpoint, position: i64, digest: &str) -> Option<String> {
        if !self.trust.is_empty() && self.trust.signer_of(one).is_none() {
            return Some(if self.trust.knows(&one.key) {
                format!(
                    "forged: the signature of checkpoint {} is not by its key",
                    one.number
                )
            } else {
                let key: String = one.key.chars().take(32).collect();
                format!(
                    "forged, or signed with a key that was not given: checkpoint {} names the key \
                     `{key}`; if it was used before, give its public key too",
                    one.number
                )
            });
        }
        (one.position == position && one.digest != digest).then(|| SIGNED_OTHERWISE.to_owned())
    }

    /// Whether a key signed after the one that came after it had.
    fn retired(&self, one: &Checkpoint) -> Option<String> {
        let key = self.trust.signer_of(one)?;
        (key < self.newest_key).then(|| {
            format!(
                "forged: checkpoint {} is signed with a key that another had taken over from",
                one.number
            )
        })
    }

    /// Reads more stored checkpoints where none is left; they must be a chain of their own.
    async fn next_stored(&mut self, core: &Core) -> Result<Option<&'static str>, DbErr> {
        if !self.stored.is_empty() || self.is_read {
            return Ok(None);
        }
        let after = self.last.as_ref().map_or(0, |last| last.number);
        let more = checkpoints(core, after, BATCH).await?;
        self.is_read = (more.len() as u64) < BATCH;
        for one in &more {
            let follows = match &self.last {
                None => one.number == 1 && one.previous.is_empty(),
                Some(last) => {
                    one.number == last.number + 1
                        && one.previous == last.signature
                        && one.position > last.position
                }
            };
            if !follows {
                return Ok(Some(NO_CHECKPOINT));
            }
            self.last = Some(one.clone());
        }
        self.stored = more.into();
        Ok(None)
    }

    /// What is left when the walk is at its end was signed over entries that are not there any more;
    /// or a checkpoint is gone.
    pub(super) async fn end(
        &mut self,
        core: &Core,
        position: i64,
    ) -> Result<Option<(i64, &'static str)>, DbErr> {
        if let Some(reason) = self.next_stored(core).await? {
            return Ok(Some((position, reason)));
        }
        // A checkpoint that was signed since this walk began is no sign of anything.
        let row = core.database.reader().query_one(&head_query()).await?;
        let now: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        let outside = self.outside.iter().copied();
        let beyond = self.stored.iter().chain(outside);
        let beyond = beyond
            .map(|one| one.position)
            .filter(|signed| *signed > now);
        if let Some(signed) = beyond.min() {
            return Ok(Some((signed, SIGNED_BEYOND)));
        }
        let last = self.last.as_ref().map_or(0, |last| last.number);
        if let Some(farthest) = self.farthest.filter(|one| one.number > last) {
            // It may have been stored since the last ones were read.
            let since = checkpoints(core, farthest.number - 1, 1).await?;
            if since
                .first()
                .is_none_or(|one| one.number != farthest.number)
            {
                return Ok(Some((farthest.position, NOT_STORED)));
            }
        }
        let unsigned = !self.trust.is_empty() && self.last.is_none() && position > 0;
        Ok(unsigned.then_some((position, NO_CHECKPOINT)))
    }

    pub(super) fn told(&self) -> Option<Signed> {
        let any = !self.trust.is_empty() || self.last.is_some();
        any.then(|| Signed {
            checkpoints: self.agreed,
            position: self.signed_to,
            verified: !self.trust.is_empty(),
        })
    }

    /// What signatures and checkpoints could not show of a chain that ends at this position.
    pub(super) fn unproven(&self, position: i64) -> Vec<String> {
        if position == 0 && self.farthest.is_none() {
            return vec![
                "that there never were any entries: there is nothing to compare with".to_owned(),
            ];
        }
        if self.last.is_none() && self.farthest.is_none() && self.trust.is_empty() {
            return vec![
                "that nobody rewrote the whole chain or cut off its end: nothing is signed \
                 ([audit] checkpoint_key in recant.toml)"
                    .to_owned(),
            ];
        }
        let mut unproven = Vec::new();
        if self.trust.is_empty() {
            unproven.push(
                "that the checkpoints were signed by Recant: no public key was given (--public-key)"
                    .to_owned(),
            );
        }
        match self.farthest {
            None => unproven.push(
                "that no end was cut off together with its checkpoints: none that was kept \
                 outside the database was compared ([audit] checkpoint_file, or --checkpoints)"
                    .to_owned(),
            ),
            Some(farthest) if farthest.position < position => unproven.push(format!(
                "that no end was cut off behind position {}: no checkpoint that was kept outside \
                 the database is newer",
                farthest.position
            )),
            Some(_) => {}
        }
        let unsigned = position - self.signed_to;
        if unsigned > 0 {
            unproven.push(format!(
                "that nobody rewrote the last {unsigned} entries: they are not signed yet"
            ));
        }
        unproven
    }
}
