//! Walking along the audit chain, in one pass and bounded memory.
use std::collections::VecDeque;

use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, Query},
};

use super::{
    Core, Error, Store,
    chain::{Head, digest_after, head_query},
    checkpoints::{anchor, checkpoints},
    entity::audit_entry,
};
use crate::model::{
    audit::GENESIS,
    signing::{Anchor, Checkpoint, Verifier},
};

/// How many entries are held at a time; while they are checked the next ones are read.
const BATCH: u64 = 1_000;

/// What a walk along the audit chain found.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// How many entries were read.
    pub entries: u64,
    /// The first place where the chain does not hold.
    pub broken: Option<Break>,
    /// The position of the last entry that holds.
    pub position: i64,
    /// Its digest.
    pub digest: String,
    /// Where the chain begins, if its beginning was pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Begun>,
    /// What is signed, if anything is, or ought to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// Where a chain begins whose beginning was pruned.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// How many entries were pruned: the position of the last one.
    pub position: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Whether a signature was verified that says so.
    pub signed: bool,
}

/// What is known of signed places of the chain.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// How many checkpoints agree with the chain.
    pub checkpoints: u64,
    /// The position up to which the chain is signed.
    pub position: i64,
    /// Whether their signatures were verified with a key.
    pub verified: bool,
}

/// What the chain must agree with beside itself.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// Whose signatures count; none: signatures are not looked at.
    pub verifier: Option<Verifier>,
    /// Checkpoints that were kept elsewhere.
    pub outside: Vec<Checkpoint>,
    /// Where an earlier walk ended well, to go on from there: position and digest.
    pub from: Option<(i64, String)>,
}

/// A place where the audit chain does not hold.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Break {
    /// The entry's id, where there is an entry.
    pub id: Option<String>,
    /// Its position in the chain.
    pub position: i64,
    /// What is wrong: edited, missing, reordered, or removed at the end.
    pub reason: String,
}

/// Why the chain does not hold.
const EDITED: &str = "edited: the digest is not that of the entry";
const REORDERED: &str = "reordered: another entry belongs here";
const MISSING: &str = "missing: there is no entry at this position";
const REMOVED: &str = "removed at the end: the chain ends before its recorded head";
const HEAD: &str = "edited: the recorded head has another digest than the last entry";
const BEYOND: &str = "added: the entry stands beyond the recorded head";
const NO_HEAD: &str = "missing: the head of the chain is not recorded";
const SIGNED_OTHERWISE: &str =
    "rewritten: a checkpoint was signed over another digest at this position";
const SIGNED_BEYOND: &str =
    "removed at the end: a checkpoint was signed over an entry that is not there";
const FORGED: &str = "forged: the signature of a checkpoint is not by this key";
const NO_CHECKPOINT: &str = "missing: a checkpoint was removed, or none was ever signed";
const UNSIGNED_ANCHOR: &str = "forged: the beginning is pruned, and this key did not sign that";
const CHANGED_BEFORE: &str = "rewritten: an entry that was verified before is another one now";

impl Store {
    /// Walks the chain from its first entry to its head, beside running writers.
    ///
    /// # Errors
    /// The database fails.
    pub async fn verify_audit(&self) -> Result<Verification, Error> {
        self.verify_audit_against(&Proof::default()).await
    }

    /// As [`Store::verify_audit`], with what the chain must agree with beside itself.
    ///
    /// # Errors
    /// The database fails.
    pub async fn verify_audit_against(&self, proof: &Proof) -> Result<Verification, Error> {
        self.verify_audit_watched(proof, &|_, _| {}).await
    }

    /// As [`Store::verify_audit_against`], telling again and again how far the walk has come: the
    /// position, and that of the head.
    ///
    /// # Errors
    /// The database fails.
    pub async fn verify_audit_watched(
        &self,
        proof: &Proof,
        progress: &(dyn Fn(i64, i64) + Sync),
    ) -> Result<Verification, Error> {
        self.flush().await?;
        let walk = Walk {
            core: self.core(),
            proof,
            progress,
            position: 0,
            digest: GENESIS.to_owned(),
            entries: 0,
            anchor: None,
            witnesses: Witnesses::new(proof),
        };
        walk.run()
            .await
            .map_err(Error::at("verify the audit chain"))
    }
}

/// Where the walk stands: at the last entry that holds.
struct Walk<'a> {
    core: &'a Core,
    proof: &'a Proof,
    progress: &'a (dyn Fn(i64, i64) + Sync),
    position: i64,
    digest: String,
    entries: u64,
    anchor: Option<Anchor>,
    witnesses: Witnesses<'a>,
}

impl Walk<'_> {
    async fn run(mut self) -> Result<Verification, DbErr> {
        let broken = self.walk().await?;
        let by_key = |anchor: &Anchor| {
            let verifier = self.proof.verifier.as_ref();
            verifier.is_some_and(|verifier| anchor.is_by(verifier))
        };
        Ok(Verification {
            entries: self.entries,
            broken,
            position: self.position,
            digest: self.digest,
            anchor: self.anchor.as_ref().map(|anchor| Begun {
                position: anchor.position,
                at: anchor.at,
                signed: by_key(anchor),
            }),
            signed: self.witnesses.told(),
        })
    }

    async fn walk(&mut self) -> Result<Option<Break>, DbErr> {
        // Entries up to this head were committed with it or before it.
        let Some(head) = self.head().await? else {
            return Ok(Some(self.without_head().await?));
        };
        if let Some(broken) = self.begin().await? {
            return Ok(Some(broken));
        }
        let core = self.core;
        let mut rows = read(core, self.position, head.position).await?;
        while self.position < head.position {
            (self.progress)(self.position, head.position);
            let last = rows.back().map_or(self.position, |row| row.position);
            let next = read(core, last, head.position);
            let (next, found) = futures::join!(next, self.check(rows, head.position));
            if let Some(broken) = found? {
                return Ok(Some(broken));
            }
            rows = next?;
            let expected = self.position + 1;
            if rows.front().is_none_or(|row| row.position != expected) {
                // The beginning was pruned meanwhile; or an entry is missing, which shows next.
                rows = read(core, self.position, head.position).await?;
            }
        }
        if self.digest != head.digest {
            let id = self.id_at(self.position).await?;
            return Ok(Some(broken(id, self.position, HEAD)));
        }
        if let Some(broken) = self.beyond().await? {
            return Ok(Some(broken));
        }
        self.witnesses.end(self.core, self.position).await
    }

    /// Where the walk begins: behind what was pruned, or where an earlier walk ended.
    async fn begin(&mut self) -> Result<Option<Break>, DbErr> {
        self.anchor = anchor(self.core).await?;
        if let Some(anchor) = &self.anchor {
            let verifier = self.proof.verifier.as_ref();
            if verifier.is_some_and(|verifier| !anchor.is_by(verifier)) {
                return Ok(Some(broken(None, anchor.position, UNSIGNED_ANCHOR)));
            }
            (self.position, self.digest) = (anchor.position, anchor.digest.clone());
        }
        if let Some((position, digest)) = &self.proof.from
            && *position > self.position
        {
            let found = self.digest_at(*position).await?;
            if found.as_ref() != Some(digest) {
                let id = self.id_at(*position).await?;
                return Ok(Some(broken(id, *position, CHANGED_BEFORE)));
            }
            (self.position, self.digest) = (*position, digest.clone());
        }
        self.witnesses.begin(self.position);
        Ok(None)
    }

    async fn head(&self) -> Result<Option<Head>, DbErr> {
        let reader = self.core.database.reader();
        let Some(row) = reader.query_one(&head_query()).await? else {
            return Ok(None);
        };
        Ok(Some(Head {
            position: row.try_get_by_index(0)?,
            digest: row.try_get_by_index(1)?,
        }))
    }

    /// Takes these entries; gives the first place that does not hold.
    async fn check(
        &mut self,
        mut rows: VecDeque<audit_entry::Model>,
        end: i64,
    ) -> Result<Option<Break>, DbErr> {
        let Some(first) = rows.front() else {
            return self.gap(end).await;
        };
        if first.position != self.position + 1 {
            return self.gap(end).await;
        }
        while let Some(row) = rows.pop_front() {
            let place = self.position + 1;
            if row.position != place {
                return Ok(Some(broken(None, place, MISSING)));
            }
            if digest_after(&self.digest, place, &row) != row.digest {
                let belongs = |other: &audit_entry::Model| {
                    digest_after(&self.digest, place, other) == other.digest
                };
                let reason = if rows.iter().any(belongs) {
                    REORDERED
                } else {
                    EDITED
                };
                return Ok(Some(broken(Some(row.id), place, reason)));
            }
            let found = self.witnesses.meet(self.core, place, &row.digest).await?;
            if let Some(reason) = found {
                return Ok(Some(broken(Some(row.id), place, reason)));
            }
            self.position = place;
            self.entries += 1;
            self.digest = row.digest;
        }
        Ok(None)
    }

    /// The next entry is not there: somebody took it, or the beginning was pruned meanwhile.
    async fn gap(&mut self, end: i64) -> Result<Option<Break>, DbErr> {
        if let Some(anchor) = anchor(self.core).await?
            && anchor.position > self.position
        {
            let verifier = self.proof.verifier.as_ref();
            if verifier.is_none_or(|verifier| anchor.is_by(verifier)) {
                (self.position, self.digest) = (anchor.position, anchor.digest.clone());
                self.witnesses.begin(self.position);
                self.anchor = Some(anchor);
                return Ok(None);
            }
        }
        let is_last = self.position + 1 == end;
        let reason = if is_last || !self.any_after().await? {
            REMOVED
        } else {
            MISSING
        };
        Ok(Some(broken(None, self.position + 1, reason)))
    }

    async fn any_after(&self) -> Result<bool, DbErr> {
        Ok(self
            .last_position()
            .await?
            .is_some_and(|last| last > self.position))
    }

    /// An entry beyond the head that is recorded by the time it is seen.
    async fn beyond(&self) -> Result<Option<Break>, DbErr> {
        let last = self.last_position().await?.unwrap_or_default();
        let head = self.head().await?.map_or(0, |head| head.position);
        if last <= head {
            return Ok(None);
        }
        let id = self.id_at(head + 1).await?;
        Ok(Some(broken(id, head + 1, BEYOND)))
    }

    async fn without_head(&self) -> Result<Break, DbErr> {
        let last = self.last_position().await?.unwrap_or_default();
        let id = self.id_at(last).await?;
        Ok(broken(id, last, NO_HEAD))
    }

    async fn last_position(&self) -> Result<Option<i64>, DbErr> {
        let query = Query::select()
            .expr(Expr::col(audit_entry::Column::Position).max())
            .from(audit_entry::Entity)
            .to_owned();
        match self.core.database.reader().query_one(&query).await? {
            Some(row) => row.try_get_by_index(0),
            None => Ok(None),
        }
    }

    async fn id_at(&self, position: i64) -> Result<Option<String>, DbErr> {
        self.column_at(audit_entry::Column::Id, position).await
    }

    async fn digest_at(&self, position: i64) -> Result<Option<String>, DbErr> {
        self.column_at(audit_entry::Column::Digest, position).await
    }

    async fn column_at(
        &self,
        column: audit_entry::Column,
        position: i64,
    ) -> Result<Option<String>, DbErr> {
        let query = Query::select()
            .column(column)
            .from(audit_entry::Entity)
            .and_where(Expr::col(audit_entry::Column::Position).eq(position))
            .to_owned();
        match self.core.database.reader().query_one(&query).await? {
            Some(row) => row.try_get_by_index(0),
            None => Ok(None),
        }
    }
}

/// The next entries behind a position.
async fn read(core: &Core, after: i64, end: i64) -> Result<VecDeque<audit_entry::Model>, DbErr> {
    let rows = audit_entry::Entity::find()
        .filter(Expr::col(audit_entry::Column::Position).gt(after))
        .filter(Expr::col(audit_entry::Column::Position).lte(end))
        .order_by_asc(audit_entry::Column::Position)
        .limit(BATCH)
        .all(core.database.reader())
        .await?;
    Ok(rows.into())
}

/// The checkpoints that the walk comes by: those of the store, and those that were kept elsewhere.
struct Witnesses<'a> {
    verifier: Option<&'a Verifier>,
    stored: VecDeque<Checkpoint>,
    /// The last stored one that was read, and whether there are more.
    last: Option<Checkpoint>,
    is_read: bool,
    outside: VecDeque<&'a Checkpoint>,
    agreed: u64,
    signed_to: i64,
}

impl<'a> Witnesses<'a> {
    fn new(proof: &'a Proof) -> Self {
        let mut outside: Vec<&Checkpoint> = proof.outside.iter().collect();
        outside.sort_by_key(|checkpoint| checkpoint.position);
        Self {
            verifier: proof.verifier.as_ref(),
            stored: VecDeque::new(),
            last: None,
            is_read: false,
            outside: outside.into(),
            agreed: 0,
            signed_to: 0,
        }
    }

    /// The walk begins behind this position: what was signed up to there is only known to be signed.
    fn begin(&mut self, position: i64) {
        while self
            .outside
            .front()
            .is_some_and(|one| one.position < position)
        {
            self.outside.pop_front();
        }
    }

    /// What the checkpoints at this position say against it.
    async fn meet(
        &mut self,
        core: &Core,
        position: i64,
        digest: &str,
    ) -> Result<Option<&'static str>, DbErr> {
        while let Some(one) = self.outside.front().filter(|one| one.position <= position) {
            let found = self.judge(one, position, digest);
            self.outside.pop_front();
            if found.is_some() {
                return Ok(found);
            }
        }
        loop {
            if let Some(found) = self.next_stored(core).await? {
                return Ok(Some(found));
            }
            let Some(one) = self.stored.front().filter(|one| one.position <= position) else {
                return Ok(None);
            };
            let found = self.judge(one, position, digest);
            if found.is_none() {
                self.agreed += u64::from(one.position == position);
                self.signed_to = one.position;
            }
            self.stored.pop_front();
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn judge(&self, one: &Checkpoint, position: i64, digest: &str) -> Option<&'static str> {
        if self.verifier.is_some_and(|verifier| !one.is_by(verifier)) {
            return Some(FORGED);
        }
        (one.position == position && one.digest != digest).then_some(SIGNED_OTHERWISE)
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
                Some(last) => one.number == last.number + 1 && one.previous == last.signature,
            };
            if !follows {
                return Ok(Some(NO_CHECKPOINT));
            }
            self.last = Some(one.clone());
        }
        self.stored = more.into();
        Ok(None)
    }

    /// What is left when the walk is at its end was signed over entries that are not there any more.
    async fn end(&mut self, core: &Core, position: i64) -> Result<Option<Break>, DbErr> {
        if let Some(reason) = self.next_stored(core).await? {
            return Ok(Some(broken(None, position, reason)));
        }
        let outside = self.outside.front().map(|one| (*one).clone());
        // A checkpoint that was signed since this walk began is no sign of anything.
        let head = super::chain::head_query();
        let row = core.database.reader().query_one(&head).await?;
        let now: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        let left = self.stored.front().cloned().into_iter().chain(outside);
        let beyond = left.map(|one| one.position).find(|signed| *signed > now);
        if let Some(signed) = beyond {
            return Ok(Some(broken(None, signed, SIGNED_BEYOND)));
        }
        let unsigned = self.verifier.is_some() && self.last.is_none() && position > 0;
        Ok(unsigned.then(|| broken(None, position, NO_CHECKPOINT)))
    }

    fn told(&self) -> Option<Signed> {
        let any = self.verifier.is_some() || self.last.is_some();
        any.then(|| Signed {
            checkpoints: self.agreed,
            position: self.signed_to,
            verified: self.verifier.is_some(),
        })
    }
}

fn broken(id: Option<String>, position: i64, reason: &str) -> Break {
    Break {
        id,
        position,
        reason: reason.to_owned(),
    }
}
