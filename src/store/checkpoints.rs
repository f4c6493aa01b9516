//! Signed places of the audit chain, and the anchor that stands for its pruned beginning.
use std::collections::HashMap;

use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, OnConflict, Query},
};

use super::{
    Core, Error, Refusal, Store,
    batch::insert,
    chain::{CHAIN, digest_after, head_query, span},
    connection::CommitError,
    entity::{audit_anchor, audit_checkpoint, audit_entry},
    rows::micros,
};
use crate::model::{
    audit::GENESIS,
    signing::{Anchor, Checkpoint, Signer},
};

/// Most entries that are pruned in one transaction: others wait for it no longer than for a change.
const BATCH: u64 = 200;

/// What pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// Nothing is old enough, or there is no more.
    Done,
    /// So many entries went; there may be more.
    Some(u64),
    /// The entry at this position does not hold: nothing from there on is pruned, so that it can be
    /// looked at.
    Broken(i64),
}

impl Store {
    /// Signs the end of the chain, unless it is signed already. None where nothing was added.
    ///
    /// `known` is the last checkpoint that the caller knows of from elsewhere: nothing is signed where
    /// the store does not hold it any more, or where the chain is another one at its place. A
    /// signature over a chain that somebody wrote anew would make it look sound.
    ///
    /// # Errors
    /// The database fails, or the chain does not agree with what was signed before.
    pub async fn sign_audit(
        &self,
        signer: &Signer,
        known: Option<&Checkpoint>,
    ) -> Result<Option<Checkpoint>, Error> {
        let step = "sign the audit chain";
        self.flush().await?;
        let core = self.core();
        let last = last_checkpoint(core).await.map_err(Error::at(step))?;
        if let Some(known) = known {
            let stored = checkpoint(core, known.number).await;
            if stored.map_err(Error::at(step))?.as_ref() != Some(known) {
                return Err(Error::at(step)(Refusal::SignedElse(known.number)));
            }
        }
        if let Some(last) = &last
            && !agrees(core, last).await.map_err(Error::at(step))?
        {
            return Err(Error::at(step)(Refusal::SignedElse(last.number)));
        }
        let reader = core.database.reader();
        let head = reader.query_one(&head_query()).await;
        let head = head.map_err(Error::at(step))?;
        let Some(head) = head else { return Ok(None) };
        let read = |error| Error::at(step)(error);
        let position: i64 = head.try_get_by_index(0).map_err(read)?;
        if position == 0 || last.as_ref().is_some_and(|last| last.position >= position) {
            return Ok(None);
        }
        let signed = signer.checkpoint(Checkpoint {
            number: last.as_ref().map_or(0, |last| last.number) + 1,
            position,
            digest: head.try_get_by_index(1).map_err(read)?,
            at: micros(core.clock.now()),
            previous: last.map_or_else(String::new, |last| last.signature),
            key: String::new(),
            signature: String::new(),
        });
        // Another node may have signed the same number: one of the two is enough.
        let ignore = OnConflict::column(audit_checkpoint::Column::Number)
            .do_nothing_on([audit_checkpoint::Column::Number])
            .to_owned();
        let mut transaction = core.database.begin().await.map_err(Error::at(step))?;
        let rows = vec![row(&signed)];
        let inserted = insert(&mut transaction, rows, Some(ignore)).await;
        inserted.map_err(Error::at(step))?;
        let committed = transaction.commit().await;
        committed.map_err(|error| Error::at(step)(CommitError::into_cause(error)))?;
        let stored = checkpoint(core, signed.number).await;
        stored.map_err(Error::at(step))
    }

    /// Signed places behind this number, in order.
    ///
    /// # Errors
    /// The database fails.
    pub async fn checkpoints(&self, after: i64, limit: u64) -> Result<Vec<Checkpoint>, Error> {
        checkpoints(self.core(), after, limit)
            .await
            .map_err(Error::at("read the checkpoints of the audit chain"))
    }

    /// Where the chain begins; none while nothing was pruned.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_anchor(&self) -> Result<Option<Anchor>, Error> {
        anchor(self.core())
            .await
            .map_err(Error::at("read where the audit chain begins"))
    }

    /// Prunes the oldest entries, as far as they are older than `before` and at most up to `end`: a
    /// few, in one transaction that leaves an anchor in their place.
    ///
    /// # Errors
    /// The database fails; nothing is pruned then.
    pub async fn prune_audit(
        &self,
        before: chrono::DateTime<chrono::Utc>,
        end: i64,
        signer: Option<&Signer>,
    ) -> Result<Pruned, Error> {
        let step = "prune the audit trail";
        let core = self.core();
        let from = anchor(core).await.map_err(Error::at(step))?;
        let (mut position, mut digest) =
            from.map_or_else(|| (0, GENESIS.to_owned()), |it| (it.position, it.digest));
        let first = position;
        let rows = span(core, position, end, BATCH)
            .await
            .map_err(Error::at(step))?;
        let (before, now) = (micros(before), micros(core.clock.now()));
        // What speaks against the chain must not be pruned away and replaced by a fresh signature.
        let until = rows.last().map_or(position, |row| row.position);
        let signed = signed_between(core, position, until).await;
        let signed = signed.map_err(Error::at(step))?;
        // Where the walk stands; the entries from the anchor to there are pruned only with an old one
        // behind them.
        let (mut place, mut last) = (position, digest.clone());
        for row in rows {
            // A clock that ran ahead must not keep what it stamped, and all behind that, for ever:
            // such an entry is as old as the next one.
            let is_ahead = row.timestamp > now;
            if row.timestamp >= before && !is_ahead {
                break;
            }
            let next = place + 1;
            let is_other = signed
                .get(&next)
                .is_some_and(|digest| *digest != row.digest);
            if is_other || row.position != next || digest_after(&last, next, &row) != row.digest {
                if place == first {
                    return Ok(Pruned::Broken(next));
                }
                break;
            }
            (place, last) = (next, row.digest);
            if !is_ahead {
                (position, digest) = (place, last.clone());
            }
        }
        if position == first {
            return Ok(Pruned::Done);
        }
        let anchor = Anchor {
            position,
            digest,
            at: micros(core.clock.now()),
            key: None,
            signature: None,
        };
        let anchor = match signer {
            Some(signer) => signer.anchor(anchor),
            None => anchor,
        };
        prune_to(core, first, anchor)
            .await
            .map_err(Error::at(step))?;
        Ok(Pruned::Some((position - first).unsigned_abs()))
    }
}

/// Removes the entries up to the anchor and sets it, if the chain still begins behind `first`.
async fn prune_to(core: &Core, first: i64, anchor: Anchor) -> Result<(), DbErr> {
    use audit_anchor::Column;
    let mut transaction = core.database.begin().await?;
    let end = anchor.position;
    let row = audit_anchor::Model {
        name: CHAIN.to_owned(),
        position: end,
        digest: anchor.digest,
        at: anchor.at,
        key: anchor.key,
        signature: anchor.signature,
    };
    if first == 0 {
        // Of two nodes that prune for the first time at once, one fails here.
        insert(&mut transaction, vec![row], None).await?;
    } else {
        let update = Query::update()
            .table(audit_anchor::Entity)
            .value(Column::Position, row.position)
            .value(Column::Digest, row.digest)
            .value(Column::At, row.at)
            .value(Column::Key, row.key)
            .value(Column::Signature, row.signature)
            .and_where(Expr::col(Column::Name).eq(CHAIN))
            .and_where(Expr::col(Column::Position).eq(first))
            .to_owned();
        if transaction.execute(&update).await? == 0 {
            // Another node prunes as well, and was faster.
            return transaction.rollback().await;
        }
    }
    let delete = Query::delete()
        .from_table(audit_entry::Entity)
        .and_where(Expr::col(audit_entry::Column::Position).gt(first))
        .and_where(Expr::col(audit_entry::Column::Position).lte(end))
        .to_owned();
    transaction.execute(&delete).await?;
    transaction.commit().await.map_err(CommitError::into_cause)
}

pub(super) async fn anchor(core: &Core) -> Result<Option<Anchor>, DbErr> {
    let row = audit_anchor::Entity::find_by_id(CHAIN.to_owned())
        .one(core.database.reader())
        .await?;
    Ok(row.map(|row| Anchor {
        position: row.position,
        digest: row.digest,
        at: row.at,
        key: row.key,
        signature: row.signature,
    }))
}

pub(super) async fn checkpoints(
    core: &Core,
    after: i64,
    limit: u64,
) -> Result<Vec<Checkpoint>, DbErr> {
    let rows = audit_checkpoint::Entity::find()
        .filter(Expr::col(audit_checkpoint::Column::Number).gt(after))
        .order_by_asc(audit_checkpoint::Column::Number)
        .limit(limit)
        .all(core.database.reader())
        .await?;
    Ok(rows.into_iter().map(word).collect())
}

/// The checkpoint of this number, as the writers see it.
async fn checkpoint(core: &Core, number: i64) -> Result<Option<Checkpoint>, DbErr> {
    let row = audit_checkpoint::Entity::find_by_id(number)
        .one(core.database.fresh())
        .await?;
    Ok(row.map(word))
}

/// The digests over which checkpoints were signed, by position.
async fn signed_between(
    core: &Core,
    after: i64,
    until: i64,
) -> Result<HashMap<i64, String>, DbErr> {
    use audit_checkpoint::Column;
    let rows: Vec<(i64, String)> = audit_checkpoint::Entity::find()
        .select_only()
        .column(Column::Position)
        .column(Column::Digest)
        .filter(Expr::col(Column::Position).gt(after))
        .filter(Expr::col(Column::Position).lte(until))
        .into_tuple()
        .all(core.database.reader())
        .await?;
    Ok(rows.into_iter().collect())
}

/// Whether the entry over which a checkpoint was signed is there, and still the same. One that was
/// pruned since says nothing.
async fn agrees(core: &Core, last: &Checkpoint) -> Result<bool, DbErr> {
    let row = audit_entry::Entity::find()
        .filter(Expr::col(audit_entry::Column::Position).eq(last.position))
        .one(core.database.fresh())
        .await?;
    match row {
        Some(row) => Ok(row.digest == last.digest),
        None => Ok(anchor(core)
            .await?
            .is_some_and(|anchor| anchor.position >= last.position)),
    }
}

async fn last_checkpoint(core: &Core) -> Result<Option<Checkpoint>, DbErr> {
    let row = audit_checkpoint::Entity::find()
        .order_by_desc(audit_checkpoint::Column::Number)
        .limit(1)
        .one(core.database.reader())
        .await?;
    Ok(row.map(word))
}

fn word(row: audit_checkpoint::Model) -> Checkpoint {
    Checkpoint {
        number: row.number,
        position: row.position,
        digest: row.digest,
        at: row.at,
        previous: row.previous,
        key: row.key,
        signature: row.signature,
    }
}

fn row(checkpoint: &Checkpoint) -> audit_checkpoint::Model {
    let Checkpoint {
        number,
        position,
        digest,
        at,
        previous,
        key,
        signature,
    } = checkpoint.clone();
    audit_checkpoint::Model {
        number,
        position,
        digest,
        at,
        previous,
        key,
        signature,
    }
}
