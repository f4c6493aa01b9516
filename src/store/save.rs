//! What a round leaves behind, written in as few statements as there are tables.
use std::collections::BTreeMap;

use sea_orm::{
    DbErr,
    sea_query::{Expr, ExprTrait as _, OnConflict, Query},
};

use super::{
    Core,
    batch::{insert, padded},
    chain,
    connection::Transaction,
    entity::{idempotency, intent, lane, link_digest, managed_object, operation},
    links, outbound,
    state::{LaneState, ObjectKey, State},
    unique,
};

/// Writes what a round leaves behind.
pub(super) async fn save(
    core: &Core,
    transaction: &mut Transaction,
    state: State,
) -> Result<(), DbErr> {
    store_objects(transaction, state.objects).await?;
    unique::save(transaction, state.held_before, state.held).await?;
    store_operations(transaction, state.operations).await?;
    store_intents(transaction, state.intents).await?;
    store_lanes(core, transaction, state.lanes).await?;
    // What the two ends of a link that is removed held says nothing any more.
    let removed = state.links.iter().filter(|(_, second)| second.is_none());
    let removed: Vec<_> = removed.map(|(key, _)| key.clone()).collect();
    links::store(transaction, state.links).await?;
    forget_digests(transaction, removed.into_iter().chain(state.disagreeing)).await?;
    insert(transaction, state.new_keys, None).await?;
    store_answers(transaction, state.answers).await?;
    // Another node may have taken such a key meanwhile: then this fails, and is judged anew.
    let fresh = state.new_answers.into_values().collect();
    insert(transaction, fresh, None).await?;
    insert(transaction, state.hook_runs, None).await?;
    outbound::enqueue(transaction, state.outbound, state.now).await?;
    // The end of the chain is the one row that all nodes share: it is locked last and shortest.
    chain::append(transaction, state.audit, state.events).await
}

async fn store_objects(
    transaction: &mut Transaction,
    objects: BTreeMap<ObjectKey, Option<managed_object::Model>>,
) -> Result<(), DbErr> {
    use managed_object::Column;
    let mut put = Vec::new();
    let mut removed = BTreeMap::<String, Vec<String>>::new();
    for ((managed_type, id), row) in objects {
        match row {
            Some(row) => put.push(row),
            None => removed.entry(managed_type).or_default().push(id),
        }
    }
    for (managed_type, ids) in removed {
        let statement = Query::delete()
            .from_table(managed_object::Entity)
            .and_where(Expr::col(Column::Type).eq(managed_type))
            .and_where(Expr::col(Column::Id).is_in(padded(ids)))
            .to_owned();
        transaction.execute(&statement).await?;
    }
    let replace = OnConflict::columns([Column::Type, Column::Id])
        .update_columns([
            Column::Rev,
            Column::UpdatedAt,
            Column::SealedKey,
            Column::Body,
            Column::Sealed,
        ])
        .to_owned();
    insert(transaction, put, Some(replace)).await
}

async fn store_operations(
    transaction: &mut Transaction,
    operations: BTreeMap<String, operation::Model>,
) -> Result<(), DbErr> {
    use operation::Column;
    let replace = OnConflict::column(Column::Id)
        .update_columns([
            Column::Kind,
            Column::Outcome,
            Column::Phase,
            Column::OpenDivergence,
            Column::EndedAt,
            Column::Record,
        ])
        .to_owned();
    let rows = operations.into_values().collect();
    insert(transaction, rows, Some(replace)).await
}

async fn store_intents(
    transaction: &mut Transaction,
    intents: BTreeMap<String, intent::Model>,
) -> Result<(), DbErr> {
    use intent::Column;
    let replace = OnConflict::column(Column::Operation)
        .update_columns([Column::Key, Column::Body])
        .to_owned();
    insert(transaction, intents.into_values().collect(), Some(replace)).await
}

/// Lanes that were found are locked by now. One that was not found may have been made by another
/// node since: that insert must fail, not overwrite.
async fn store_lanes(
    core: &Core,
    transaction: &mut Transaction,
    lanes: BTreeMap<String, LaneState>,
) -> Result<(), DbErr> {
    use lane::Column;
    let changed = lanes.into_values().filter(|lane| lane.changed);
    let (passed, changed): (Vec<LaneState>, Vec<LaneState>) =
        changed.partition(LaneState::has_passed);
    if !passed.is_empty() {
        let objects = passed.into_iter().map(|lane| lane.row.object);
        let statement = Query::delete()
            .from_table(lane::Entity)
            .and_where(Expr::col(Column::Object).is_in(padded(objects)))
            .to_owned();
        transaction.execute(&statement).await?;
    }
    let (found, new): (Vec<LaneState>, Vec<LaneState>) = changed
        .into_iter()
        .partition(|lane| lane.stored || !core.database.locks_rows());
    let replace = OnConflict::column(Column::Object)
        .update_columns([
            Column::Latest,
            Column::Operation,
            Column::Node,
            Column::Attempt,
            Column::ClaimedAt,
            Column::OpenDivergence,
        ])
        .to_owned();
    let rows = |lanes: Vec<LaneState>| lanes.into_iter().map(|lane| lane.row).collect();
    insert(transaction, rows(found), Some(replace)).await?;
    insert(transaction, rows(new), None).await
}

/// Drops what pairs held when they agreed: a run that is cut off behind a write and goes on would take what
/// it has put right for what had never gone wrong.
async fn forget_digests(
    transaction: &mut Transaction,
    pairs: impl Iterator<Item = (String, String, String)>,
) -> Result<(), DbErr> {
    use link_digest::Column;
    let mut by_place = BTreeMap::<(String, String), Vec<String>>::new();
    for (mapping, qualifier, id) in pairs {
        by_place.entry((mapping, qualifier)).or_default().push(id);
    }
    for ((mapping, qualifier), ids) in by_place {
        let statement = Query::delete()
            .from_table(link_digest::Entity)
            .and_where(Expr::col(Column::Mapping).eq(mapping))
            .and_where(Expr::col(Column::Qualifier).eq(qualifier))
            .and_where(Expr::col(Column::FirstId).is_in(padded(ids)))
            .to_owned();
        transaction.execute(&statement).await?;
    }
    Ok(())
}

async fn store_answers(
    transaction: &mut Transaction,
    answers: BTreeMap<(String, String), idempotency::Model>,
) -> Result<(), DbErr> {
    use idempotency::Column;
    let replace = OnConflict::columns([Column::Caller, Column::Key])
        .update_columns([Column::Answer])
        .to_owned();
    insert(transaction, answers.into_values().collect(), Some(replace)).await
}
