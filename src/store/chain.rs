//! The audit chain: entries get their place and digest in the transaction that appends them.
use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    sea_query::{Alias, Expr, ExprTrait as _, Func, LockType, Query},
};

use super::{
    Core,
    batch::insert,
    connection::Transaction,
    entity::{audit_entry, chain_head, event},
    error::Refusal,
};
use crate::model::audit::chain_digest;

/// The name of the one chain.
pub(super) const CHAIN: &str = "audit";

/// Where the chain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The position of the last entry; 0 before the first.
    pub position: i64,
    /// Its digest.
    pub digest: String,
}

/// Appends entries, and the events whose ids are places in the chain. Only one transaction at a
/// time holds the end of the chain.
pub(super) async fn append(
    transaction: &mut Transaction,
    entries: Vec<audit_entry::Model>,
    events: Vec<(usize, event::Model)>,
) -> Result<(), DbErr> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut query = head_query();
    query
        .column(chain_head::Column::EventAt)
        .lock(LockType::Update);
    let rows = transaction.all(&query).await?;
    let Some(row) = rows.first() else {
        return Err(DbErr::Custom(
            Refusal::Damaged("the end of the audit chain").to_string(),
        ));
    };
    let mut head = Head {
        position: row.try_get_by_index(0)?,
        digest: row.try_get_by_index(1)?,
    };
    let mut latest: Option<i64> = row.try_get_by_index(2)?;
    let events = events
        .into_iter()
        .map(|(count, event)| head.place(count, not_before(&mut latest, event)))
        .collect();
    insert(transaction, events, None).await?;
    let chained = entries
        .into_iter()
        .map(|entry| head.take_in(entry))
        .collect();
    insert(transaction, chained, None).await?;
    let update = Query::update()
        .table(chain_head::Entity)
        .value(chain_head::Column::Position, head.position)
        .value(chain_head::Column::Digest, head.digest)
        .value(chain_head::Column::EventAt, latest)
        .and_where(Expr::col(chain_head::Column::Name).eq(CHAIN))
        .to_owned();
    transaction.execute(&update).await?;
    Ok(())
}

/// The event, at the earliest at the time of the one before it: nodes' clocks differ, and a range of
/// times must be a range of cursors.
fn not_before(latest: &mut Option<i64>, event: event::Model) -> event::Model {
    let created_at = Ord::max(event.created_at, latest.unwrap_or(event.created_at));
    *latest = Some(created_at);
    event::Model {
        created_at,
        ..event
    }
}

impl Head {
    /// The event whose last entry is the one after `count - 1` others behind this end.
    fn place(&self, count: usize, event: event::Model) -> event::Model {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        event::Model {
            id: self.position.saturating_add(count),
            ..event
        }
    }

    fn take_in(&mut self, mut entry: audit_entry::Model) -> audit_entry::Model {
        self.position += 1;
        entry.position = self.position;
        entry.digest = digest_after(&self.digest, self.position, &entry);
        self.digest.clone_from(&entry.digest);
        entry
    }
}

/// The query for position and digest of the last entry.
pub(super) fn head_query() -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .columns([chain_head::Column::Position, chain_head::Column::Digest])
        .from(chain_head::Entity)
        .and_where(Expr::col(chain_head::Column::Name).eq(CHAIN))
        .to_owned()
}

/// Most bytes of entries that are held at a time: one entry may hold a megabyte and more.
const HELD: i64 = 8 * 1024 * 1024;

/// The entries behind a position, in order: at most so many, up to `end`, and not more than fit into
/// memory beside everything else, but always one.
pub(super) async fn span(
    core: &Core,
    after: i64,
    end: i64,
    limit: u64,
) -> Result<Vec<audit_entry::Model>, DbErr> {
    use audit_entry::Column;
    let reader = core.database.reader();
    // Read from the head of each row; the text itself stays where it is.
    let bytes = Func::cust(Alias::new("octet_length")).arg(Expr::col(Column::Body));
    let weights = Query::select()
        .column(Column::Position)
        .expr(bytes)
        .from(audit_entry::Entity)
        .and_where(Expr::col(Column::Position).gt(after))
        .and_where(Expr::col(Column::Position).lte(end))
        .order_by(Column::Position, sea_orm::Order::Asc)
        .limit(limit)
        .to_owned();
    let (mut held, mut last) = (0_i64, None);
    for row in reader.query_all(&weights).await? {
        let position: i64 = row.try_get_by_index(0)?;
        held = held.saturating_add(weight(&row)?);
        if last.is_some() && held > HELD {
            break;
        }
        last = Some(position);
    }
    let Some(last) = last else {
        return Ok(Vec::new());
    };
    audit_entry::Entity::find()
        .filter(Expr::col(Column::Position).gt(after))
        .filter(Expr::col(Column::Position).lte(last))
        .order_by_asc(Column::Position)
        .all(reader)
        .await
}

/// PostgreSQL counts in 32 bits, the others in 64.
fn weight(row: &sea_orm::QueryResult) -> Result<i64, DbErr> {
    row.try_get_by_index::<i64>(1)
        .or_else(|_| row.try_get_by_index::<i32>(1).map(i64::from))
}

/// The digest of an entry at `position` after the entry with the digest `previous`. Every column
/// counts, as it is stored.
pub(super) fn digest_after(previous: &str, position: i64, entry: &audit_entry::Model) -> String {
    let timestamp = entry.timestamp.to_string();
    let operation = entry.operation.as_deref().unwrap_or_default();
    let columns = [
        entry.id.as_str(),
        &entry.topic,
        &timestamp,
        &entry.transaction_id,
        operation,
    ];
    chain_digest(previous, position, &columns, &entry.body)
}
