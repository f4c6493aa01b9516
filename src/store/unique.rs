//! Values that no two objects of a type may have: held by digest in a table of their own, written in
//! the transaction of the change that takes them, and so unique across all nodes of the store.
//!
//! A value that a change takes from its object stays held until that change has ended, for it may be
//! taken back; it is *leaving* until then. Types without such values never come here.
use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    ConnectionTrait as _, DbErr, QueryResult,
    sea_query::{Cond, Expr, ExprTrait as _, Query, SelectStatement},
};

use super::{
    Error, Store,
    batch::{insert, padded},
    connection::Transaction,
    entity::unique_value::{self, Column, Model},
    round::Work,
    state::{ObjectKey, State},
};
use crate::model::unique::{Claim, Unique};

/// What is unique, by managed type.
pub(super) type Rules = BTreeMap<String, Vec<Unique>>;

/// Nothing is.
pub(super) static NO_RULES: Rules = Rules::new();

/// A type, and the digest of a rule and a value.
pub(super) type UniqueKey = (String, String);

/// Who has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub rule: String,
    pub id: String,
    /// A change under way takes it from its object, which may get it back.
    pub leaving: bool,
}

/// A value that somebody else has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("another object has this `{name}`")]
pub struct Taken {
    /// What the property is called.
    pub name: String,
    /// Whether a change under way may give it free.
    pub leaving: bool,
}

impl Store {
    /// The first of these values that another object than `id` has. Where that object is just giving it
    /// up, what was handed over is written first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn taken(
        &self,
        managed_type: &str,
        id: &str,
        claims: &[Claim],
    ) -> Result<Option<Taken>, Error> {
        if claims.is_empty() {
            return Ok(None);
        }
        let found = self.others(managed_type, id, claims).await?;
        match found {
            Some(Taken { leaving: true, .. }) if self.core().pending.any() => {
                self.flush().await?;
                self.others(managed_type, id, claims).await
            }
            found => Ok(found),
        }
    }

    async fn others(
        &self,
        managed_type: &str,
        id: &str,
        claims: &[Claim],
    ) -> Result<Option<Taken>, Error> {
        let digests = claims.iter().map(|claim| claim.digest.as_str());
        let query = select(managed_type, BTreeSet::new(), digests.collect());
        let rows = self.core().database.reader().query_all(&query).await;
        let rows = rows.map_err(Error::at("look for unique values"))?;
        let mut held = BTreeMap::new();
        for row in rows {
            let (digest, one) = read(&row).map_err(Error::at("look for unique values"))?;
            held.insert(digest, one);
        }
        let other = |claim: &Claim| {
            let one = held.get(&claim.digest).filter(|one| one.id != id)?;
            Some(Taken {
                name: claim.name.clone(),
                leaving: one.leaving,
            })
        };
        Ok(claims.iter().find_map(other))
    }
}

impl State {
    /// Whether another object has a value that is claimed.
    pub(super) fn check_claims(
        &self,
        managed_type: &str,
        id: &str,
        claims: &[Claim],
    ) -> Result<(), Taken> {
        for claim in claims {
            let key = (managed_type.to_owned(), claim.digest.clone());
            if let Some(held) = self.held.get(&key).filter(|held| held.id != id) {
                return Err(Taken {
                    name: claim.name.clone(),
                    leaving: held.leaving,
                });
            }
        }
        Ok(())
    }

    /// An object has these values now; those that it had besides are leaving. What another object has
    /// stays with that one: so it was before they were unique.
    pub(super) fn hold(&mut self, object: &ObjectKey, holds: &[(String, String)]) {
        let (managed_type, id) = object;
        let of_object = |key: &UniqueKey, held: &Held| key.0 == *managed_type && held.id == *id;
        for (key, held) in &mut self.held {
            if of_object(key, held) {
                held.leaving = !holds.iter().any(|(_, digest)| *digest == key.1);
            }
        }
        for (rule, digest) in holds {
            let key = (managed_type.clone(), digest.clone());
            self.held.entry(key).or_insert_with(|| Held {
                rule: rule.clone(),
                id: id.clone(),
                leaving: false,
            });
        }
    }

    /// The change has ended: what is leaving is gone.
    pub(super) fn let_go(&mut self, object: &ObjectKey) {
        self.held
            .retain(|key, held| !(held.leaving && key.0 == object.0 && held.id == object.1));
    }
}

/// Reads who has the values that the work is about, and which values its objects have. Only who holds
/// an object's lane changes its rows, so they need no lock of their own.
pub(super) async fn load(
    transaction: &mut Transaction,
    work: &Work<'_>,
    state: &mut State,
) -> Result<(), DbErr> {
    let mut asked = BTreeMap::<&str, (BTreeSet<&str>, BTreeSet<&str>)>::new();
    let entries = work.entries.iter().filter_map(|entry| entry.write.as_ref());
    let settlements = work.settlements.iter();
    let settled = settlements.clone().filter_map(|one| one.write.as_ref());
    for write in entries.chain(settled) {
        let Some(holds) = &write.holds else { continue };
        let (ids, digests) = asked.entry(&write.managed_type).or_default();
        ids.insert(&write.id);
        digests.extend(holds.iter().map(|(_, digest)| digest.as_str()));
    }
    for entry in &work.entries {
        let Some(write) = &entry.write else { continue };
        let claimed = entry.claims.iter().map(|claim| claim.digest.as_str());
        if !entry.claims.is_empty() {
            asked
                .entry(&write.managed_type)
                .or_default()
                .1
                .extend(claimed);
        }
    }
    for (managed_type, id) in settlements.filter_map(|one| one.freed.as_ref()) {
        asked.entry(managed_type).or_default().0.insert(id);
    }
    for (managed_type, (ids, digests)) in asked {
        for row in transaction.all(&select(managed_type, ids, digests)).await? {
            let (digest, held) = read(&row)?;
            state.held.insert((managed_type.to_owned(), digest), held);
        }
    }
    state.held_before = state.held.clone();
    Ok(())
}

/// Writes what has changed. A value that another node took meanwhile makes this fail, and the round is
/// judged anew.
pub(super) async fn save(
    transaction: &mut Transaction,
    before: BTreeMap<UniqueKey, Held>,
    after: BTreeMap<UniqueKey, Held>,
) -> Result<(), DbErr> {
    if before == after {
        return Ok(());
    }
    let mut gone = BTreeMap::<&str, Vec<&str>>::new();
    for (key, held) in &before {
        if after.get(key) != Some(held) {
            gone.entry(&key.0).or_default().push(&key.1);
        }
    }
    for (managed_type, digests) in gone {
        let statement = Query::delete()
            .from_table(unique_value::Entity)
            .and_where(Expr::col(Column::Type).eq(managed_type))
            .and_where(Expr::col(Column::Digest).is_in(padded(digests)))
            .to_owned();
        transaction.execute(&statement).await?;
    }
    let changed = after
        .into_iter()
        .filter(|(key, held)| before.get(key) != Some(held));
    let rows = changed.map(|(key, held)| row(key, held)).collect();
    insert(transaction, rows, None).await
}

/// The row of a value.
pub(super) fn row((managed_type, digest): UniqueKey, held: Held) -> Model {
    Model {
        r#type: managed_type,
        digest,
        rule: held.rule,
        id: held.id,
        leaving: i64::from(held.leaving),
    }
}

/// The values of these objects, and who has these values.
pub(super) fn select(
    managed_type: &str,
    ids: BTreeSet<&str>,
    digests: BTreeSet<&str>,
) -> SelectStatement {
    let mut any = Cond::any();
    if !ids.is_empty() {
        any = any.add(Expr::col(Column::Id).is_in(padded(ids)));
    }
    if !digests.is_empty() {
        any = any.add(Expr::col(Column::Digest).is_in(padded(digests)));
    }
    Query::select()
        .columns([Column::Digest, Column::Rule, Column::Id, Column::Leaving])
        .from(unique_value::Entity)
        .and_where(Expr::col(Column::Type).eq(managed_type))
        .cond_where(any)
        .to_owned()
}

/// A digest and who has it.
pub(super) fn read(row: &QueryResult) -> Result<(String, Held), DbErr> {
    let held = Held {
        rule: row.try_get_by_index(1)?,
        id: row.try_get_by_index(2)?,
        leaving: row.try_get_by_index::<i64>(3)? != 0,
    };
    Ok((row.try_get_by_index(0)?, held))
}
