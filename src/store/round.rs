//! One round of the writer: everything that waits, in one transaction of few statements.
use std::{collections::BTreeSet, time::Duration};

use sea_orm::{
    ConnAcquireErr, ConnectionTrait as _, DbErr,
    sea_query::{Cond, Expr, ExprTrait as _, LockType, OnConflict, Order, Query},
};

use super::{
    Core, JournalError,
    batch::{insert, padded},
    chain,
    connection::{CommitError, Transaction},
    entity::{idempotency, lane, managed_object, node, operation},
    error::Refusal,
    nodes::Term,
    rows::{EntryRows, SettlementRows, record},
    state::{LaneState, State},
};

/// How long a transaction or its commit may take before its outcome is looked for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a round is about.
#[derive(Debug, Default)]
pub(super) struct Work<'a> {
    /// In the order in which they were handed over.
    pub settlements: Vec<&'a SettlementRows>,
    /// In the order in which they were handed over.
    pub entries: Vec<&'a EntryRows>,
}

/// What became of each part of the work; all of it is on disk, or was refused.
#[derive(Debug)]
pub(super) struct Written {
    /// For each settlement.
    pub settlements: Vec<Result<(), Refusal>>,
    /// For each journal entry.
    pub entries: Vec<Result<(), JournalError>>,
    /// Whether there was anything to commit.
    pub committed: bool,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Another node took this one's changes over.
    #[error("the lease of this node has ended")]
    LeaseLost,
    /// The database failed, and certainly stored nothing.
    #[error("{0}")]
    Database(DbErr),
    /// The database may have stored everything: the mark tells.
    #[error("{}", .0.error)]
    Unknown(Box<Doubt>),
}

/// A round whose commit has an unknown outcome.
#[derive(Debug)]
pub(super) struct Doubt {
    /// Why it is unknown.
    pub error: DbErr,
    /// What the round has left, if it was committed.
    pub mark: Mark,
    /// What is to be answered in that case.
    pub written: Written,
}

/// What a committed round leaves in the node's row.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    node: String,
    round: i64,
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// Writes the work in one transaction.
pub(super) async fn write(core: &Core, work: &Work<'_>) -> Result<Written, Failure> {
    let mark = Mark {
        node: core.leases.node().to_string(),
        round: core.leases.next_round(),
    };
    let term = core.leases.term();
    let (transaction, written) = tokio::time::timeout(PATIENCE, fill(core, work, &mark, term))
        .await
        .map_err(|_| Failure::Database(timed_out()))??;
    let Some(transaction) = transaction else {
        return Ok(written);
    };
    let error = match tokio::time::timeout(PATIENCE, transaction.commit()).await {
        Ok(Ok(())) => {
            core.leases.extend(term);
            return Ok(written);
        }
        Ok(Err(CommitError::Failed(error))) => return Err(Failure::Database(error)),
        Ok(Err(CommitError::Unknown(error))) => error,
        Err(_) => timed_out(),
    };
    Err(Failure::Unknown(Box::new(Doubt {
        error,
        mark,
        written,
    })))
}

/// Whether the round that left this mark was committed. None: its node is gone.
pub(super) async fn was_committed(core: &Core, mark: &Mark) -> Result<Option<bool>, DbErr> {
    let query = Query::select()
        .column(node::Column::Round)
        .from(node::Entity)
        .and_where(Expr::col(node::Column::Id).eq(mark.node.as_str()))
        .to_owned();
    match core.database.writer().query_one(&query).await? {
        Some(row) => Ok(Some(row.try_get_by_index::<i64>(0)? >= mark.round)),
        None => Ok(None),
    }
}

/// Treated like a database that gives no connection: it is waited for.
fn timed_out() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}

async fn fill(
    core: &Core,
    work: &Work<'_>,
    mark: &Mark,
    term: Term,
) -> Result<(Option<Transaction>, Written), Failure> {
    let mut transaction = core.database.begin().await?;
    fence(&mut transaction, mark, term).await?;
    let mut state = load(core, &mut transaction, work, &mark.node).await?;
    let settlements = work
        .settlements
        .iter()
        .map(|settlement| {
            state.settle(settlement)?;
            state.supersede(settlement, core.clock.now(), || core.clock.fresh_id());
            Ok(())
        })
        .collect();
    let entries = work
        .entries
        .iter()
        .map(|entry| state.journal(entry))
        .collect();
    let committed = !state.is_empty();
    let written = Written {
        settlements,
        entries,
        committed,
    };
    if !committed {
        transaction.rollback().await?;
        return Ok((None, written));
    }
    store(core, &mut transaction, state).await?;
    Ok((Some(transaction), written))
}

/// Renews the lease and leaves the mark; where the node's row is gone, its changes are others' now.
async fn fence(transaction: &mut Transaction, mark: &Mark, term: Term) -> Result<(), Failure> {
    let statement = Query::update()
        .table(node::Entity)
        .value(node::Column::Round, mark.round)
        .value(node::Column::LeaseUntil, term.until_by_wall())
        .and_where(Expr::col(node::Column::Id).eq(mark.node.as_str()))
        .to_owned();
    match transaction.execute(&statement).await? {
        0 => Err(Failure::LeaseLost),
        _ => Ok(()),
    }
}

/// Reads, and locks, what the work is judged by.
async fn load(
    core: &Core,
    transaction: &mut Transaction,
    work: &Work<'_>,
    node: &str,
) -> Result<State, DbErr> {
    let mut state = State {
        node: node.to_owned(),
        now: super::rows::micros(core.clock.now()),
        ..State::default()
    };
    load_lanes(transaction, work, &mut state).await?;
    load_revisions(transaction, work, &mut state).await?;
    load_keys(transaction, work, &mut state).await?;
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
        objects.extend(settlement.release.as_deref());
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
    let mut by_type = std::collections::BTreeMap::<&str, BTreeSet<&str>>::new();
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
        .columns([idempotency::Column::Caller, idempotency::Column::Key])
        .from(idempotency::Entity)
        .cond_where(any)
        .to_owned();
    for row in transaction.all(&query).await? {
        state
            .keys
            .insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
    }
    Ok(())
}

/// A lane that is free already was either never taken, or somebody else finished the change.
async fn load_ended(
    transaction: &mut Transaction,
    work: &Work<'_>,
    state: &mut State,
) -> Result<(), DbErr> {
    let free = |object: &String| {
        let lane = state.lanes.get(object);
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

async fn store(core: &Core, transaction: &mut Transaction, state: State) -> Result<(), DbErr> {
    store_objects(transaction, state.objects).await?;
    store_operations(transaction, state.operations, state.payloads).await?;
    store_lanes(core, transaction, state.lanes).await?;
    super::links::store(transaction, state.links).await?;
    insert(transaction, state.new_keys, None).await?;
    store_answers(transaction, state.answers).await?;
    // The end of the chain is the one row that all nodes share: it is locked last and shortest.
    chain::append(transaction, state.audit).await
}

async fn store_objects(
    transaction: &mut Transaction,
    objects: std::collections::BTreeMap<super::state::ObjectKey, Option<managed_object::Model>>,
) -> Result<(), DbErr> {
    use managed_object::Column;
    let mut put = Vec::new();
    let mut removed = std::collections::BTreeMap::<String, Vec<String>>::new();
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

/// A record that exists keeps its intent.
async fn store_operations(
    transaction: &mut Transaction,
    operations: std::collections::BTreeMap<String, operation::Model>,
    payloads: Vec<super::rows::PayloadRow>,
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
    insert(
        transaction,
        operations.into_values().collect(),
        Some(replace),
    )
    .await?;
    for row in payloads {
        let statement = Query::update()
            .table(operation::Entity)
            .value(Column::PayloadKey, row.key)
            .value(Column::Payload, row.payload)
            .and_where(Expr::col(Column::Id).eq(row.operation))
            .to_owned();
        transaction.execute(&statement).await?;
    }
    Ok(())
}

/// Lanes that were found are locked by now. One that was not found may have been made by another
/// node since: that insert must fail, not overwrite.
async fn store_lanes(
    core: &Core,
    transaction: &mut Transaction,
    lanes: std::collections::BTreeMap<String, LaneState>,
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

async fn store_answers(
    transaction: &mut Transaction,
    answers: std::collections::BTreeMap<(String, String), idempotency::Model>,
) -> Result<(), DbErr> {
    use idempotency::Column;
    let replace = OnConflict::columns([Column::Caller, Column::Key])
        .update_columns([Column::Answer])
        .to_owned();
    insert(transaction, answers.into_values().collect(), Some(replace)).await
}
