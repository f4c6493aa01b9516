//! Walking along the audit chain.
use std::collections::VecDeque;

use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, Query},
};

use super::{
    Core, Error, Store,
    chain::{Head, digest_after, head_query},
    entity::audit_entry,
};
use crate::model::audit::GENESIS;

/// How many entries are held at a time.
const BATCH: u64 = 500;

/// What a walk along the audit chain found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// How many entries were read.
    pub entries: u64,
    /// The first place where the chain does not hold.
    pub broken: Option<Break>,
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

impl Store {
    /// Walks the chain from its first entry to its head, in one pass and bounded memory, beside
    /// running writers.
    ///
    /// # Errors
    /// The database fails.
    pub async fn verify_audit(&self) -> Result<Verification, Error> {
        self.flush().await?;
        let walk = Walk {
            core: self.core(),
            position: 0,
            digest: GENESIS.to_owned(),
        };
        walk.run()
            .await
            .map_err(Error::at("verify the audit chain"))
    }
}

/// Where the walk stands: at the last entry that holds.
struct Walk<'a> {
    core: &'a Core,
    position: i64,
    digest: String,
}

impl Walk<'_> {
    async fn run(mut self) -> Result<Verification, DbErr> {
        // Entries up to this head were committed with it or before it.
        let Some(head) = self.head().await? else {
            let broken = self.without_head().await?;
            return Ok(self.result(broken));
        };
        while self.position < head.position {
            let broken = self.step(head.position).await?;
            if broken.is_some() {
                return Ok(self.result(broken));
            }
        }
        if self.digest != head.digest {
            let id = self.id_at(self.position).await?;
            let broken = broken(id, self.position, HEAD);
            return Ok(self.result(Some(broken)));
        }
        let beyond = self.beyond().await?;
        Ok(self.result(beyond))
    }

    fn result(&self, broken: Option<Break>) -> Verification {
        Verification {
            entries: self.position.unsigned_abs(),
            broken,
        }
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

    /// Takes the next entries; gives the first place that does not hold.
    async fn step(&mut self, end: i64) -> Result<Option<Break>, DbErr> {
        let mut rows: VecDeque<audit_entry::Model> = audit_entry::Entity::find()
            .filter(Expr::col(audit_entry::Column::Position).gt(self.position))
            .filter(Expr::col(audit_entry::Column::Position).lte(end))
            .order_by_asc(audit_entry::Column::Position)
            .limit(BATCH)
            .all(self.core.database.reader())
            .await?
            .into();
        if rows.is_empty() {
            let reason = if self.position + 1 == end {
                REMOVED
            } else {
                MISSING
            };
            let reason = if self.any_after().await? {
                reason
            } else {
                REMOVED
            };
            return Ok(Some(broken(None, self.position + 1, reason)));
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
            self.position = place;
            self.digest = row.digest;
        }
        Ok(None)
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

    async fn without_head(&self) -> Result<Option<Break>, DbErr> {
        let last = self.last_position().await?.unwrap_or_default();
        let id = self.id_at(last).await?;
        Ok(Some(broken(id, last, NO_HEAD)))
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
        let query = Query::select()
            .column(audit_entry::Column::Id)
            .from(audit_entry::Entity)
            .and_where(Expr::col(audit_entry::Column::Position).eq(position))
            .to_owned();
        match self.core.database.reader().query_one(&query).await? {
            Some(row) => row.try_get_by_index(0),
            None => Ok(None),
        }
    }
}

fn broken(id: Option<String>, position: i64, reason: &str) -> Break {
    Break {
        id,
        position,
        reason: reason.to_owned(),
    }
}
