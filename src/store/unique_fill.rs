//! Rules that come into force: the values of what is stored already are gone through once.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use sea_orm::{
    ConnectionTrait as _, DbErr, QueryResult,
    sea_query::{Expr, ExprTrait as _, LockType, OnConflict, Order, Query},
};

use super::{
    Error, Store,
    batch::insert,
    connection::{CommitError, Transaction},
    entity::{lane, managed_object, unique_rule, unique_value},
    error::{Remedy, remedy},
    unique::{Held, Rules, UniqueKey, read, row, select},
};
use crate::model::{Container, Object, unique::Unique};

/// How many objects are gone through in one transaction.
const BATCH: u64 = 200;
/// How often one is tried again that others are in the way of.
const TRIES: u32 = 10;
/// How long a database that does not work is left alone.
const PAUSE: Duration = Duration::from_millis(200);
/// How many objects with a value that another has are named in the log.
const NAMED: usize = 20;

const STEP: &str = "go through the values that must be unique";

impl Store {
    /// Says what is unique, by managed type; in force at once for what is written from now on. Objects
    /// that are there already are gone through where a rule is new to the store. Where two have the same
    /// value, the first one by id has it for itself; both stay as they are, and the log names the other.
    ///
    /// # Errors
    /// The database fails; the rules are in force nevertheless, and are gone through when they are
    /// said again.
    pub async fn guard_unique(&self, rules: BTreeMap<String, Vec<Unique>>) -> Result<(), Error> {
        let rules: Rules = rules
            .into_iter()
            .filter(|(_, all)| !all.is_empty())
            .collect();
        self.core().rules.store(Arc::new(rules.clone()));
        self.flush().await?;
        let known = self.known_rules().await.map_err(Error::at(STEP))?;
        let wanted: BTreeSet<UniqueKey> = rules
            .iter()
            .flat_map(|(name, all)| all.iter().map(|rule| (name.clone(), rule.rule())))
            .collect();
        if known.is_empty() && wanted.is_empty() {
            return Ok(());
        }
        for gone in known.difference(&wanted) {
            self.again(|| self.forget_rule(gone).boxed()).await?;
        }
        for (name, all) in &rules {
            let is_new = |rule: &&Unique| !known.contains(&(name.clone(), rule.rule()));
            let new: Vec<Unique> = all.iter().filter(is_new).cloned().collect();
            if !new.is_empty() {
                self.fill(name, &new).await?;
            }
        }
        self.again(|| self.let_strays_go().boxed()).await
    }

    async fn known_rules(&self) -> Result<BTreeSet<UniqueKey>, DbErr> {
        let query = Query::select()
            .columns([unique_rule::Column::Type, unique_rule::Column::Rule])
            .from(unique_rule::Entity)
            .to_owned();
        let rows = self.core().database.reader().query_all(&query).await?;
        let read = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.iter().map(read).collect()
    }

    /// What is held by a rule that is not in force would not be kept up to date.
    async fn forget_rule(&self, (managed_type, rule): &UniqueKey) -> Result<(), DbErr> {
        let mut transaction = self.core().database.begin().await?;
        let marks = Query::delete()
            .from_table(unique_rule::Entity)
            .and_where(Expr::col(unique_rule::Column::Type).eq(managed_type.as_str()))
            .and_where(Expr::col(unique_rule::Column::Rule).eq(rule.as_str()))
            .to_owned();
        transaction.execute(&marks).await?;
        let values = Query::delete()
            .from_table(unique_value::Entity)
            .and_where(Expr::col(unique_value::Column::Type).eq(managed_type.as_str()))
            .and_where(Expr::col(unique_value::Column::Rule).eq(rule.as_str()))
            .to_owned();
        transaction.execute(&values).await?;
        transaction.commit().await.map_err(CommitError::into_cause)
    }

    async fn fill(&self, managed_type: &str, rules: &[Unique]) -> Result<(), Error> {
        let (mut after, mut count, mut doubles) = (String::new(), 0, Vec::new());
        loop {
            let from = after.clone();
            let page = self
                .again(|| self.fill_page(managed_type, rules, &from).boxed())
                .await?;
            doubles.extend(page.doubles);
            count += page.count;
            match page.last {
                Some(last) => after = last,
                None => break,
            }
        }
        if !doubles.is_empty() {
            let named: Vec<&str> = doubles.iter().take(NAMED).map(String::as_str).collect();
            tracing::warn!(
                managed_type,
                objects = doubles.len(),
                first = named.join(" "),
                "objects have a value that must be unique and that another one has: they stay as they are"
            );
        }
        tracing::info!(managed_type, count, "unique values were gone through");
        self.again(|| self.mark(managed_type, rules).boxed()).await
    }

    /// Goes through one page. The objects are locked meanwhile, so that none changes beneath.
    async fn fill_page(
        &self,
        managed_type: &str,
        rules: &[Unique],
        after: &str,
    ) -> Result<Page, DbErr> {
        use managed_object::Column;
        let mut transaction = self.core().database.begin().await?;
        let query = Query::select()
            .columns([Column::Id, Column::Body])
            .from(managed_object::Entity)
            .and_where(Expr::col(Column::Type).eq(managed_type))
            .and_where(Expr::col(Column::Id).gt(after))
            .order_by(Column::Id, Order::Asc)
            .limit(BATCH)
            .lock(LockType::Update)
            .to_owned();
        let mut values: Vec<(String, String, String)> = Vec::new();
        let mut page = Page::default();
        for row in transaction.all(&query).await? {
            let id: String = row.try_get_by_index(0)?;
            let body: String = row.try_get_by_index(1)?;
            let object: Object = serde_json::from_str(&body).unwrap_or_default();
            let has = rules
                .iter()
                .filter_map(|rule| Some((id.clone(), rule.rule(), rule.digest(&object)?)));
            values.extend(has);
            page.count += 1;
            page.last = Some(id);
        }
        page.doubles = take(&mut transaction, managed_type, values).await?;
        transaction
            .commit()
            .await
            .map_err(CommitError::into_cause)?;
        Ok(page)
    }

    async fn mark(&self, managed_type: &str, rules: &[Unique]) -> Result<(), DbErr> {
        use unique_rule::Column;
        let conflict = OnConflict::new()
            .do_nothing_on([Column::Type, Column::Rule])
            .to_owned();
        for rule in rules {
            let mut statement = Query::insert();
            statement
                .into_table(unique_rule::Entity)
                .columns([Column::Type, Column::Rule])
                .values([managed_type.into(), rule.rule().into()])
                .map_err(|error| DbErr::Custom(error.to_string()))?
                .on_conflict(conflict.clone());
            self.core().database.execute(&statement).await?;
        }
        Ok(())
    }

    /// Values that leave objects without a change under way: a node without this rule ended the change.
    async fn let_strays_go(&self) -> Result<(), DbErr> {
        use unique_value::Column;
        let mut transaction = self.core().database.begin().await?;
        let query = Query::select()
            .columns([Column::Type, Column::Id])
            .distinct()
            .from(unique_value::Entity)
            .and_where(Expr::col(Column::Leaving).eq(1))
            .to_owned();
        for row in transaction.all(&query).await? {
            let (managed_type, id): (String, String) =
                (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let object = Container::managed(&managed_type).object(&id).to_string();
            let lane = Query::select()
                .column(lane::Column::Operation)
                .from(lane::Entity)
                .and_where(Expr::col(lane::Column::Object).eq(object))
                .lock(LockType::Update)
                .to_owned();
            let lanes = transaction.all(&lane).await?;
            let operation = |row: &QueryResult| row.try_get_by_index::<Option<String>>(0);
            let under_way: Vec<Option<String>> =
                lanes.iter().map(operation).collect::<Result<_, _>>()?;
            if under_way.iter().any(Option::is_some) {
                continue;
            }
            let stray = Query::delete()
                .from_table(unique_value::Entity)
                .and_where(Expr::col(Column::Type).eq(managed_type))
                .and_where(Expr::col(Column::Id).eq(id))
                .and_where(Expr::col(Column::Leaving).eq(1))
                .to_owned();
            transaction.execute(&stray).await?;
        }
        transaction.commit().await.map_err(CommitError::into_cause)
    }

    /// Tries again where others are in the way, or the database does not work for a moment.
    async fn again<'a, T>(
        &'a self,
        work: impl Fn() -> BoxFuture<'a, Result<T, DbErr>> + Send + Sync,
    ) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match remedy(&error) {
                Remedy::Retry if tries < TRIES => {}
                Remedy::Wait if tries < TRIES => tokio::time::sleep(PAUSE).await,
                _ => return Err(Error::at(STEP)(error)),
            }
            tries += 1;
        }
    }
}

/// What was found on a page of objects.
#[derive(Debug, Default)]
struct Page {
    count: u64,
    /// Where the next one begins; none: this was beyond the last object.
    last: Option<String>,
    /// Objects with a value that another has.
    doubles: Vec<String>,
}

/// Gives each object its values, as far as they are free; tells the ids of those that miss one.
async fn take(
    transaction: &mut Transaction,
    managed_type: &str,
    values: Vec<(String, String, String)>,
) -> Result<Vec<String>, DbErr> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let digests: BTreeSet<&str> = values.iter().map(|(.., digest)| digest.as_str()).collect();
    let mut held = BTreeMap::new();
    for row in transaction
        .all(&select(managed_type, BTreeSet::new(), digests))
        .await?
    {
        let (digest, one) = read(&row)?;
        held.insert(digest, one.id);
    }
    let (mut rows, mut doubles) = (Vec::new(), Vec::new());
    for (id, rule, digest) in values {
        match held.get(&digest) {
            Some(other) if *other != id => doubles.push(id),
            Some(_) => {}
            None => {
                held.insert(digest.clone(), id.clone());
                let one = Held {
                    rule,
                    id,
                    leaving: false,
                };
                rows.push(row((managed_type.to_owned(), digest), one));
            }
        }
    }
    insert(transaction, rows, None).await?;
    Ok(doubles)
}
