//! What a round is judged by, read and locked in as few statements as there are tables.
use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    DbErr,
    sea_query::{Cond, Expr, ExprTrait as _, LockType, Order, Query},
};

use super::{
    Core,
    batch::padded,
    connection::Transaction,
    decode::record,
    entity::{idempotency, lane, managed_object, operation},
    round::Work,
    rows::{HolderRow, micros},
    state::{KnownKey, LaneState, State},
    unique,
};

/// Reads, and locks, what the work is judged by.
pub(super) async fn load(
    core: &Core,
    transaction: &mut Transaction,
    work: &Work<'_>,
    node: &str,
) -> Result<State, DbErr> {
    let mut state = State {
        node: node.to_owned(),
        now: micros(core.clock.now()),
        ..State::default()
    };
    load_lanes(transaction, work, &mut state).await?;
    load_revisions(transaction, work, &mut state).await?;
    load_keys(transaction, work, &mut state).await?;
    unique::load(transaction, work, &mut state).await?;
    load_ended(transaction, work, &mut state).await?;
    load_divergences(transaction, work, &mut state).await?;
    Ok(state)
}

async fn load_lanes(
    transaction: &mut Transaction,
    work: &Work<'_>,
    state: &mut State,
) -> Result<(), DbErr> {
    let mut objects = BTreeSet::new();
    for entry in &work.entries {
        objects.insert(entry.operation.object.as_str());
    }
    for settlement in &work.settlements {
        objects.extend(settlement.release.as_ref().map(|held| held.object.as_str()));
        objects.extend(settlement.claim.as_ref().map(|(object, _)| object.as_str()));
        objects.extend(
            settlement
                .supersedes
                .as_ref()
                .map(|(object, _)| object.as_str()),
        );
        let open = |row: &&operation::Model| row.open_divergence == 1;
        let open = settlement.operations.iter().filter(open);
        objects.extend(open.map(|row| row.object.as_str()));
    }
    if objects.is_empty() {
        return Ok(());
    }
    let query = Query::select()
        .columns([
            lane::Column::Object,
            lane::Column::Latest,
            lane::Column::Operation,
            lane::Column::Node,
            lane::Column::Attempt,
            lane::Column::ClaimedAt,
            lane::Column::OpenDivergence,
        ])
        .from(lane::Entity)
        .and_where(Expr::col(lane::Column::Object).is_in(padded(objects)))
        // Locked in one order by every node, so that they do not wait for each other in a circle.
        .order_by(lane::Column::Object, Order::Asc)
        .lock(LockType::Update)
        .to_owned();
    for row in transaction.all(&query).await? {
        let row = lane::Model {
            object: row.try_get_by_index(0)?,
            latest: row.try_get_by_index(1)?,
            operation: row.try_get_by_index(2)?,
            node: row.try_get_by_index(3)?,
            attempt: row.try_get_by_index(4)?,
            claimed_at: row.try_get_by_index(5)?,
            open_divergence: row.try_get_by_index(6)?,
        };
        let lane = LaneState {
            row,
            stored: true,
            changed: false,
        };
        state.lanes.insert(lane.row.object.clone(), lane);
    }
    Ok(())
}

/// Only who holds an object's lane writes the object, so its row needs no lock of its own.
async fn load_revisions(
    transaction: &mut Transaction,
    work: &Work<'_>,
    state: &mut State,
) -> Result<(), DbErr> {
    let writes = work
        .settlements
        .iter()
        .filter_map(|settlement| settlement.write.as_ref())
        .chain(work.entries.iter().filter_map(|entry| entry.write.as_ref()));
    let mut by_type = BTreeMap::<&str, BTreeSet<&str>>::new();
    for write in writes {
        let ids = by_type.entry(&write.managed_type).or_default();
        ids.insert(&write.id);
    }
    for (managed_type, ids) in by_type {
        let query = Query::select()
            .columns([managed_object::Column::Id, managed_object::Column::Rev])
            .from(managed_object::Entity)
            .and_where(Expr::col(managed_object::Column::Type).eq(managed_type))
            .and_where(Expr::col(managed_object::Column::Id).is_in(padded(ids)))
            .to_owned();
        for row in transaction.all(&query).await? {
            let key = (managed_type.to_owned(), row.try_get_by_index(0)?);
            state.revisions.insert(key, row.try_get_by_index(1)?);
        }
    }
    Ok(())
}

async fn load_keys(
    transaction: &mut Transaction,
    work: &Work<'_>,
    state: &mut State,
) -> Result<(), DbErr> {
    let asked: BTreeSet<(&str, &str)> = work
        .entries
        .iter()
        .filter_map(|entry| entry.key.as_ref())
        .chain(
            work.settlements
                .iter()
                .filter_map(|one| one.answer.as_ref()),
        )
        .map(|key| (key.caller.as_str(), key.key.as_str()))
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut any = Cond::any();
    for (caller, key) in padded(asked) {
        any = any.add(
            Expr::col(idempotency::Column::Caller)
                .eq(caller)
                .and(Expr::col(idempotency::Column::Key).eq(key)),
        );
    }
    let query = Query::select()
        .columns([
            idempotency::Column::Caller,
            idempotency::Column::Key,
            idempotency::Column::Operation,
        ])
        .from(idempotency::Entity)
        .cond_where(any)
        .to_owned();
    for row in transaction.all(&query).await? {
        let known = KnownKey {
            operation: row.try_get_by_index(2)?,
            stored: true,
        };
        let key = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        state.keys.insert(key, known);
    }
    Ok(())
}

/// A lane that is free already was either never taken, or somebody else finished the change.
async fn load_ended(
    transaction: &mut Transaction,
    work: &Work<'_>,
    state: &mut State,
) -> Result<(), DbErr> {
    let free = |held: &HolderRow| {
        let lane = state.lanes.get(&held.object);
        lane.is_none_or(|lane| lane.row.node.is_none())
    };
    let doubtful: BTreeSet<&str> = work
        .settlements
        .iter()
        .filter(|settlement| settlement.release.as_ref().is_some_and(free))
        .flat_map(|settlement| settlement.operations.iter().map(|row| row.id.as_str()))
        .collect();
    if doubtful.is_empty() {
        return Ok(());
    }
    let query = Query::select()
        .column(operation::Column::Id)
        .from(operation::Entity)
        .and_where(Expr::col(operation::Column::Id).is_in(padded(doubtful)))
        .and_where(Expr::col(operation::Column::Outcome).is_not_null())
        .to_owned();
    for row in transaction.all(&query).await? {
        state.ended.insert(row.try_get_by_index(0)?);
    }
    Ok(())
}

async fn load_divergences(
    transaction: &mut Transaction,
    work: &Work<'_>,
    state: &mut State,
) -> Result<(), DbErr> {
    let diverged: BTreeSet<&str> = work
        .settlements
        .iter()
        .filter_map(|settlement| settlement.supersedes.as_ref())
        .map(|(object, _)| object.as_str())
        .filter(|object| {
            let lane = state.lanes.get(*object);
            lane.is_some_and(|lane| lane.row.open_divergence == 1)
        })
        .collect();
    if diverged.is_empty() {
        return Ok(());
    }
    let query = Query::select()
        .column(operation::Column::Record)
        .from(operation::Entity)
        .and_where(Expr::col(operation::Column::Object).is_in(padded(diverged)))
        .and_where(Expr::col(operation::Column::OpenDivergence).eq(1))
        .order_by(operation::Column::Id, Order::Asc)
        .to_owned();
    for row in transaction.all(&query).await? {
        match record(&row.try_get_by_index::<String>(0)?) {
            Ok(record) => state.open.push(record),
            Err(error) => tracing::error!(%error, "an open divergence cannot be closed"),
        }
    }
    Ok(())
}
