//! Walking along the audit chain, in one pass and bounded memory.
use std::collections::VecDeque;

use sea_orm::{
    ConnectionTrait as _, DbErr,
    sea_query::{Expr, ExprTrait as _, Query},
};

use super::{
    Core, Error, Store,
    chain::{Head, digest_after, head_query, span},
    checkpoints::anchor,
    entity::audit_entry,
    witnesses::Witnesses,
};
use crate::model::{
    audit::GENESIS,
    signing::{Anchor, Checkpoint},
    trust::Trust,
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
    /// What the walk could not prove, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<String>,
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
    /// Whose signatures count; nobody's: signatures are not looked at.
    pub trust: Trust,
    /// Checkpoints that were kept elsewhere, in any order.
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
        let unproven = match broken {
            None => self.unproven(),
            Some(_) => Vec::new(),
        };
        Ok(Verification {
            entries: self.entries,
            broken,
            position: self.position,
            digest: self.digest,
            anchor: self.anchor.as_ref().map(|anchor| Begun {
                position: anchor.position,
                at: anchor.at,
                signed: self.proof.trust.has_signed(anchor),
            }),
            signed: self.witnesses.told(),
            unproven,
        })
    }

    async fn walk(&mut self) -> Result<Option<Break>, DbErr> {
        if let Some(broken) = self.begin().await? {
            return Ok(Some(broken));
        }
        // Entries up to this head were committed with it or before it.
        let Some(mut head) = self.head().await? else {
            return Ok(Some(self.without_head().await?));
        };
        loop {
            if let Some(broken) = self.walk_to(&head).await? {
                return Ok(Some(broken));
            }
            if self.position == head.position {
                break;
            }
            // What was still to be read was pruned meanwhile, and more that came since.
            head = match self.head().await? {
                Some(later) if later.position > head.position => later,
                Some(later) => {
                    let id = self.id_at(later.position).await?;
                    return Ok(Some(broken(id, later.position, HEAD)));
                }
                None => return Ok(Some(self.without_head().await?)),
            };
        }
        if self.digest != head.digest {
            let id = self.id_at(self.position).await?;
            return Ok(Some(broken(id, self.position, HEAD)));
        }
        if let Some(broken) = self.beyond().await? {
            return Ok(Some(broken));
        }
        let found = self.witnesses.end(self.core, self.position).await?;
        Ok(found.map(|(position, reason)| broken(None, position, reason)))
    }

    async fn walk_to(&mut self, head: &Head) -> Result<Option<Break>, DbErr> {
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
        Ok(None)
    }

    /// Where the walk begins: behind what was pruned, or where an earlier walk ended.
    async fn begin(&mut self) -> Result<Option<Break>, DbErr> {
        if let Some(anchor) = anchor(self.core).await?
            && let Some(broken) = self.begin_behind(anchor).await?
        {
            return Ok(Some(broken));
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
            self.witnesses.skip_to(self.position);
        }
        Ok(None)
    }

    /// Goes on behind what was pruned, unless something speaks against that.
    async fn begin_behind(&mut self, anchor: Anchor) -> Result<Option<Break>, DbErr> {
        let trust = &self.proof.trust;
        if !trust.is_empty() && !trust.has_signed(&anchor) {
            return Ok(Some(broken(None, anchor.position, UNSIGNED_ANCHOR)));
        }
        (self.position, self.digest) = (anchor.position, anchor.digest.clone());
        self.anchor = Some(anchor);
        // Who signed the very entry that the chain begins behind speaks for or against it.
        self.witnesses.skip_to(self.position);
        let met = self
            .witnesses
            .meet(self.core, self.position, &self.digest)
            .await?;
        Ok(met.map(|reason| broken(None, self.position, reason)))
    }

    /// What this walk, with what it was given, could not show.
    fn unproven(&self) -> Vec<String> {
        let mut unproven = Vec::new();
        if let Some((position, _)) = &self.proof.from {
            unproven.push(format!(
                "entries up to position {position} were verified before and not read again"
            ));
        }
        if let Some(anchor) = &self.anchor
            && self.proof.trust.is_empty()
        {
            unproven.push(format!(
                "that the first {} entries were pruned by Recant, and not removed or replaced by \
                 somebody: no public key was given to verify the anchor with",
                anchor.position
            ));
        }
        unproven.extend(self.witnesses.unproven(self.position));
        unproven
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
            return self.begin_behind(anchor).await;
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
    Ok(span(core, after, end, BATCH).await?.into())
}

fn broken(id: Option<String>, position: i64, reason: impl Into<String>) -> Break {
    Break {
        id,
        position,
        reason: reason.into(),
    }
}
