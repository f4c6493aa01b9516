//! One round of the writer: everything that waits, in one transaction of few statements.
use sea_orm::{
    ConnectionTrait as _, DbErr,
    sea_query::{Expr, ExprTrait as _, LockType, Query},
};

use super::{
    Core, JournalError, Refusal,
    connection::{CommitError, LONGEST, Transaction, timed_out},
    entity::node,
    load::load,
    nodes::Term,
    rows::{EntryRows, SettlementRows},
    save::save,
};

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
    let (transaction, written) = tokio::time::timeout(LONGEST, fill(core, work, &mark, term))
        .await
        .map_err(|_| Failure::Database(timed_out()))??;
    let Some(transaction) = transaction else {
        return Ok(written);
    };
    let error = match tokio::time::timeout(LONGEST, transaction.commit()).await {
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

/// Whether the round that left this mark was committed. None: its node is gone. Waits for a
/// transaction that is still in doubt, for it holds the node's row.
pub(super) async fn was_committed(core: &Core, mark: &Mark) -> Result<Option<bool>, DbErr> {
    let query = Query::select()
        .column(node::Column::Round)
        .from(node::Entity)
        .and_where(Expr::col(node::Column::Id).eq(mark.node.as_str()))
        .lock(LockType::Update)
        .to_owned();
    match core.database.fresh().query_one(&query).await? {
        Some(row) => Ok(Some(row.try_get_by_index::<i64>(0)? >= mark.round)),
        None => Ok(None),
    }
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
    save(core, &mut transaction, state).await?;
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
