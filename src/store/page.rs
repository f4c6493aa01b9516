//! Pages of a filtered and sorted list, in bounded memory where a page size is given.
//!
//! Where the order is that of columns, the database gives the rows in it and the page ends as soon
//! as it is full. Any other order is made here: all matching rows are looked at, and only as many
//! are kept as the page needs, so that every database sorts alike, values of mixed kinds too.
use std::cmp::Ordering;

use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait, FromQueryResult, Iterable, QueryResult,
    sea_query::{
        Cond, DynIden, Expr, ExprTrait as _, IntoIden, Order as Direction, Query, SelectStatement,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Core, Count, Error, Found, Refusal, Search,
    cookie::Cookie,
    filter::{self, Bound, Columns, Fact},
};
use crate::model::{
    Object,
    filter::{Texts, Within, folded},
    pointer::Pointer,
};

/// How many rows are read at a time.
const BATCH: u64 = 500;

/// A row's key: unique, and never changing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Key {
    /// A position.
    Number(i64),
    /// An id.
    Text(String),
}

/// A column to order by.
#[derive(Debug, Clone)]
pub(super) struct Order {
    column: DynIden,
    direction: Direction,
}

/// A column to sort by, and how a row's value in it is read.
pub(super) type Sorted<R> = (DynIden, fn(&R) -> i64);

/// A table that can be listed.
pub(super) trait Listed {
    /// Its rows.
    type Row: FromQueryResult;
    /// Its entity.
    type Entity: EntityTrait + Default;
    /// What a reader gets for a row.
    type Word;

    /// What the list is of; cookies belong to it.
    fn scope(&self) -> String;
    /// The columns that make a row.
    fn columns(&self) -> Vec<<Self::Entity as EntityTrait>::Column> {
        <Self::Entity as EntityTrait>::Column::iter().collect()
    }
    /// Columns that a row has, but a list does not show: they are read as null.
    fn unread(&self) -> &'static [&'static str] {
        &[]
    }
    /// Leaves only the rows of this list.
    fn restrict(&self, query: &mut SelectStatement);
    /// The key's column, and the order without sort keys.
    fn key_order(&self) -> Order;
    /// A row's key.
    fn key(&self, row: &Self::Row) -> Key;
    /// Whether the attribute is the key: to sort by it is to read the rows in its order.
    fn is_key(&self, _field: &Pointer) -> bool {
        false
    }
    /// A column of numbers, never null, whose order is that of the attribute.
    fn column(&self, _field: &Pointer) -> Option<Sorted<Self::Row>> {
        None
    }
    /// Whether the attribute may be filtered and sorted by.
    fn check(&self, _field: &Pointer) -> Result<(), Refusal> {
        Ok(())
    }
    /// See [`Columns::bound`].
    fn bound(&self, fact: &Fact<'_>) -> Option<Bound>;
    /// See [`Columns::within`].
    fn within(&self, _within: &Within) -> Option<Bound> {
        None
    }
    /// See [`Columns::body`].
    fn body(&self) -> DynIden;
    /// See [`Columns::in_body`].
    fn in_body(&self, _name: &str) -> bool {
        true
    }
    /// What the filter sees of a row.
    fn view(&self, row: &Self::Row) -> Result<Object, Error>;
    /// What a reader gets for a row.
    fn word(&self, core: &Core, row: Self::Row) -> Result<Self::Word, Error>;
}

struct ColumnsOf<'a, L>(&'a L);

impl<L: Listed> Columns for ColumnsOf<'_, L> {
    fn bound(&self, fact: &Fact<'_>) -> Option<Bound> {
        self.0.bound(fact)
    }
    fn within(&self, within: &Within) -> Option<Bound> {
        self.0.within(within)
    }
    fn body(&self) -> DynIden {
        self.0.body()
    }
    fn in_body(&self, name: &str) -> bool {
        self.0.in_body(name)
    }
}

impl Order {
    /// From the smallest to the largest.
    pub(super) fn ascending(column: impl IntoIden) -> Self {
        Self {
            column: column.into_iden(),
            direction: Direction::Asc,
        }
    }

    /// From the largest to the smallest.
    pub(super) fn descending(column: impl IntoIden) -> Self {
        Self {
            column: column.into_iden(),
            direction: Direction::Desc,
        }
    }

    fn is_descending(&self) -> bool {
        matches!(self.direction, Direction::Desc)
    }

    fn beyond(&self, value: impl Into<Operand>) -> Expr {
        let column = Expr::col(self.column.clone());
        let value: sea_orm::Value = value.into().0;
        if self.is_descending() {
            column.lt(value)
        } else {
            column.gt(value)
        }
    }
}

/// A value in SQL.
struct Operand(sea_orm::Value);

impl From<&Key> for Operand {
    fn from(key: &Key) -> Self {
        Self(match key {
            Key::Number(number) => (*number).into(),
            Key::Text(text) => text.as_str().into(),
        })
    }
}

impl From<i64> for Operand {
    fn from(number: i64) -> Self {
        Self(number.into())
    }
}

type SortOrder<R> = (Order, fn(&R) -> i64);

/// One query in the making.
struct Run<'a, L: Listed> {
    core: &'a Core,
    listed: &'a L,
    search: &'a Search,
    bound: Bound,
    /// The sort column, where the order is that of one.
    sorted: Option<SortOrder<L::Row>>,
    /// Whether the order is that of the key.
    by_key: bool,
    key: Order,
}

/// A row that matches, with what it is sorted by.
struct Match<R> {
    values: Vec<Value>,
    key: Key,
    row: R,
}

/// Finds a page.
pub(super) async fn page<L: Listed>(
    core: &Core,
    listed: &L,
    search: &Search,
) -> Result<Found<L::Word>, Error> {
    let step = "run a query";
    let fields = search.filter.fields().into_iter();
    for field in fields.chain(search.sort.iter().map(|sort| &sort.field)) {
        listed.check(field).map_err(Error::at(step))?;
    }
    let scope = listed.scope();
    let cookie = Cookie::of(&scope, search).map_err(Error::at(step))?;
    let run = Run::new(core, listed, search);
    let offset = if cookie.is_some() { 0 } else { search.offset };
    // Where the order is that of columns, what is skipped is not kept.
    let in_order = run.in_column_order();
    let skip = if in_order { 0 } else { offset };
    let wanted = search.page_size.map(|size| size.saturating_add(skip));
    let mut matches = match (in_order, search.page_size) {
        (_, Some(0)) => Vec::new(),
        (true, _) => run.in_order(cookie.as_ref(), offset, wanted).await?,
        (false, _) => run.sorted_here(cookie.as_ref(), wanted).await?,
    };
    let more = wanted.is_some_and(|wanted| matches.len() > wanted);
    if let Some(wanted) = wanted {
        matches.truncate(wanted);
    }
    let cookie = matches
        .last()
        .filter(|_| more)
        .map(|last| Cookie::after(&scope, search, last.values.clone(), last.key.clone()).write());
    let total = match search.count {
        Count::None => None,
        Count::Exact => Some(run.count().await?),
    };
    let results = matches
        .into_iter()
        .skip(skip)
        .map(|found| listed.word(core, found.row))
        .collect::<Result<_, _>>()?;
    Ok(Found {
        results,
        cookie,
        total,
    })
}

impl<'a, L: Listed> Run<'a, L> {
    fn new(core: &'a Core, listed: &'a L, search: &'a Search) -> Self {
        let mut key = listed.key_order();
        let sorted = match search.sort.as_slice() {
            [sort] => listed.column(&sort.field).map(|(column, read)| {
                let order = match sort.descending {
                    true => Order::descending(column),
                    false => Order::ascending(column),
                };
                (order, read)
            }),
            _ => None,
        };
        let by_key = match search.sort.as_slice() {
            [] => true,
            [sort] if listed.is_key(&sort.field) => {
                key.direction = match sort.descending {
                    true => Direction::Desc,
                    false => Direction::Asc,
                };
                true
            }
            _ => {
                key.direction = Direction::Asc;
                false
            }
        };
        Self {
            core,
            listed,
            search,
            bound: filter::bound(&search.filter, &ColumnsOf(listed), core.database.backend()),
            sorted,
            by_key,
            key,
        }
    }

    fn in_column_order(&self) -> bool {
        self.by_key || self.sorted.is_some()
    }

    /// The first matching rows after the cookie and those to skip, one more than wanted; the database
    /// sorts.
    async fn in_order(
        &self,
        cookie: Option<&Cookie>,
        mut skip: usize,
        wanted: Option<usize>,
    ) -> Result<Vec<Match<L::Row>>, Error> {
        let limit = wanted.map(|wanted| wanted.saturating_add(1));
        let mut found = Vec::new();
        let mut after = cookie.map(|cookie| (cookie.values.clone(), cookie.key.clone()));
        // A filter that the database decides needs no more rows than the page has.
        let batch = match limit {
            Some(limit) if self.bound.is_exact() => Ord::min(BATCH, limit as u64),
            _ => BATCH,
        };
        // And it can skip them itself.
        let mut skipped_there = 0;
        if self.bound.is_exact() {
            skipped_there = std::mem::take(&mut skip) as u64;
        }
        loop {
            let skipped = std::mem::take(&mut skipped_there);
            let rows = self.batch(after.as_ref(), skipped, batch).await?;
            let last = (rows.len() as u64) < batch;
            for row in rows {
                let one = self.sorted_match(row);
                after = Some((one.values.clone(), one.key.clone()));
                if self.matches(&one.row)? {
                    match skip.checked_sub(1) {
                        Some(left) => skip = left,
                        None => found.push(one),
                    }
                }
                if limit.is_some_and(|limit| found.len() >= limit) {
                    return Ok(found);
                }
            }
            if last {
                return Ok(found);
            }
        }
    }

    /// The first matching rows after the cookie, one more than wanted; sorted here.
    async fn sorted_here(
        &self,
        cookie: Option<&Cookie>,
        wanted: Option<usize>,
    ) -> Result<Vec<Match<L::Row>>, Error> {
        let limit = wanted.map(|wanted| wanted.saturating_add(1));
        let mut kept: Vec<Match<L::Row>> = Vec::new();
        let mut after = None;
        loop {
            let rows = self.batch(after.as_ref(), 0, BATCH).await?;
            let last = (rows.len() as u64) < BATCH;
            for row in rows {
                let key = self.listed.key(&row);
                after = Some((Vec::new(), key.clone()));
                let view = self.listed.view(&row)?;
                if !self.search.filter.matches(&view) {
                    continue;
                }
                let values = self.values(&view);
                let beyond = cookie.is_none_or(|cookie| {
                    self.compare((&values, &key), (&cookie.values, &cookie.key))
                        .is_gt()
                });
                if beyond {
                    kept.push(Match { values, key, row });
                }
            }
            // Sorted and cut now and then, so that no more than a few pages are held.
            if last || limit.is_some_and(|limit| kept.len() > limit.saturating_mul(2) + 1000) {
                kept.sort_by(|left, right| {
                    self.compare((&left.values, &left.key), (&right.values, &right.key))
                });
                kept.truncate(limit.unwrap_or(usize::MAX));
            }
            if last {
                return Ok(kept);
            }
        }
    }

    /// How many rows match, on whatever page.
    async fn count(&self) -> Result<u64, Error> {
        if self.bound.is_exact() {
            return self.count_in_database().await.map_err(Error::at("count"));
        }
        let (mut count, mut after) = (0, None);
        loop {
            let rows = self.batch(after.as_ref(), 0, BATCH).await?;
            let last = (rows.len() as u64) < BATCH;
            for row in rows {
                count += u64::from(self.matches(&row)?);
                after = Some((self.sorted_values(&row), self.listed.key(&row)));
            }
            if last {
                return Ok(count);
            }
        }
    }

    async fn count_in_database(&self) -> Result<u64, DbErr> {
        let mut query = Query::select();
        query
            .expr(Expr::col(sea_orm::sea_query::Asterisk).count())
            .from(L::Entity::default());
        self.narrow(&mut query);
        let row = self.core.database.reader().query_one(&query).await?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        Ok(count.unsigned_abs())
    }

    /// The next rows in column order, whether they match or not.
    async fn batch(
        &self,
        after: Option<&(Vec<Value>, Key)>,
        skipped: u64,
        limit: u64,
    ) -> Result<Vec<L::Row>, Error> {
        let mut query = Query::select();
        query
            .columns(self.listed.columns())
            .from(L::Entity::default())
            .limit(limit);
        for column in self.listed.unread() {
            query.expr_as(Expr::cust("NULL"), *column);
        }
        if skipped > 0 {
            query.offset(skipped);
        }
        self.narrow(&mut query);
        if let Some((values, key)) = after {
            query.cond_where(self.beyond(values, key)?);
        }
        if let Some((order, _)) = &self.sorted {
            query.order_by(order.column.clone(), order.direction.clone());
        }
        query.order_by(self.key.column.clone(), self.key.direction.clone());
        let rows = self.core.database.reader().query_all(&query).await;
        rows.and_then(|rows| rows.iter().map(row_of).collect())
            .map_err(Error::at("read a page"))
    }

    fn narrow(&self, query: &mut SelectStatement) {
        self.listed.restrict(query);
        if let Some(condition) = self.bound.condition() {
            query.and_where(condition.clone());
        }
    }

    fn beyond(&self, values: &[Value], key: &Key) -> Result<Cond, Error> {
        let by_key = self.key.beyond(key);
        let Some((order, _)) = &self.sorted else {
            return Ok(Cond::all().add(by_key));
        };
        let value = values
            .first()
            .and_then(Value::as_i64)
            .ok_or_else(|| Error::at("run a query")(Refusal::ForeignCookie))?;
        let same = Expr::col(order.column.clone()).eq(value);
        Ok(Cond::any().add(order.beyond(value)).add(same.and(by_key)))
    }

    fn matches(&self, row: &L::Row) -> Result<bool, Error> {
        Ok(self.bound.is_exact() || self.search.filter.matches(&self.listed.view(row)?))
    }

    fn sorted_match(&self, row: L::Row) -> Match<L::Row> {
        Match {
            values: self.sorted_values(&row),
            key: self.listed.key(&row),
            row,
        }
    }

    fn sorted_values(&self, row: &L::Row) -> Vec<Value> {
        let values = self.sorted.iter().map(|(_, read)| Value::from(read(row)));
        values.collect()
    }

    fn values(&self, view: &Object) -> Vec<Value> {
        let sort = self.search.sort.iter();
        sort.map(|sort| {
            let value = sort.field.get(view).cloned().unwrap_or_default();
            match (sort.texts, value) {
                (Texts::Folded, Value::String(text)) => Value::String(folded(&text)),
                (_, value) => value,
            }
        })
        .collect()
    }

    fn compare(&self, left: (&[Value], &Key), right: (&[Value], &Key)) -> Ordering {
        let pairs = self.search.sort.iter().zip(left.0.iter().zip(right.0));
        for (sort, (left, right)) in pairs {
            let order = compare(left, right);
            let order = if sort.descending {
                order.reverse()
            } else {
                order
            };
            if order.is_ne() {
                return order;
            }
        }
        left.1.cmp(right.1)
    }
}

fn row_of<R: FromQueryResult>(row: &QueryResult) -> Result<R, DbErr> {
    R::from_query_result(row, "")
}

/// One order for values of all kinds: null and missing, false, true, numbers, texts by their
/// bytes, lists, objects.
fn compare(left: &Value, right: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    };
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => left
            .iter()
            .zip(right)
            .map(|(left, right)| compare(left, right))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| left.len().cmp(&right.len())),
        (Value::Object(_), Value::Object(_)) => left.to_string().cmp(&right.to_string()),
        _ => rank(left).cmp(&rank(right)),
    }
}

fn compare_numbers(left: &serde_json::Number, right: &serde_json::Number) -> Ordering {
    let whole = |number: &serde_json::Number| number.as_i128();
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left
            .as_f64()
            .unwrap_or_default()
            .total_cmp(&right.as_f64().unwrap_or_default()),
    }
}
