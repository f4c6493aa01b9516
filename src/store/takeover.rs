//! Taking up changes of dead nodes, and taking an object's lane for work on an ended change.
use std::collections::{BTreeMap, HashSet};

use sea_orm::{
    ConnectionTrait as _, DbErr, QueryResult,
    sea_query::{Expr, ExprTrait as _, LockType, Order, Query, SelectStatement},
};

use super::{
    Core, Error, InFlight, JournalError, Refusal, Store,
    connection::{Transaction, limited},
    entity::{lane, node},
    error::{Remedy, remedy},
    nodes::Sign,
    rows::micros,
};
use crate::model::{OperationId, ResourceName};

/// How often a transaction that others are in the way of is tried.
const TRIES: u32 = 5;

/// A node that is dead, or may be.
struct Suspect {
    id: String,
    lock_file: Option<String>,
    /// None: it has no row any more.
    lease_until: Option<i64>,
}

impl Store {
    /// Takes over in-flight changes of nodes that are certainly dead (lock free) or whose lease
    /// ran out, and tells which; `attempt` is one higher. A node of this machine that holds its
    /// lock lives, however old its lease.
    ///
    /// What was taken is told even where the database fails later.
    ///
    /// # Errors
    /// The database fails and nothing was taken, or this node has no lease itself.
    pub async fn take_over(&self) -> Result<Vec<InFlight>, Error> {
        let step = "take over changes of dead nodes";
        self.flush().await?;
        let core = self.core();
        if core.leases.left().is_zero() {
            return Err(Error::at(step)(JournalError::LeaseLost));
        }
        let suspects = suspects(core).await.map_err(Error::at(step))?;
        let (mut taken, mut failed) = (Vec::new(), None);
        for suspect in suspects.iter().filter(|suspect| is_dead(core, suspect)) {
            match retried(|| take(core, suspect)).await {
                Ok(lanes) => taken.extend(lanes),
                Err(error) => {
                    tracing::warn!(%error, node = suspect.id, "the changes of a dead node wait");
                    failed = Some(error);
                    continue;
                }
            }
            if let Some(file) = &suspect.lock_file
                && core.leases.sign_of(Some(file)) == Sign::Dead
            {
                let _ = std::fs::remove_file(file);
            }
        }
        match failed {
            Some(error) if taken.is_empty() => Err(Error::at(step)(error)),
            _ => Ok(readable(taken)),
        }
    }

    /// What is in flight under this node's present identity, once everything that was handed over
    /// is on disk.
    ///
    /// # Errors
    /// The database fails.
    pub async fn lanes_of_mine(&self) -> Result<Vec<InFlight>, Error> {
        let step = "read the changes of this node";
        self.flush().await?;
        let core = self.core();
        let me = core.leases.node();
        let query = lanes_query(&me);
        let rows = core.database.reader().query_all(&query).await;
        let rows = rows.map_err(Error::at(step))?;
        let lanes: Result<Vec<lane::Model>, DbErr> =
            rows.iter().map(|row| lane_of(row, Some(&me))).collect();
        Ok(readable(lanes.map_err(Error::at(step))?))
    }

    /// The ids of the changes that are in flight now, on whatever node, once everything that was
    /// handed over here is on disk: the links of all others are known.
    ///
    /// # Errors
    /// The database fails.
    pub async fn operations_in_flight(&self) -> Result<HashSet<String>, Error> {
        let step = "read which changes are in flight";
        self.flush().await?;
        let query = Query::select()
            .column(lane::Column::Operation)
            .from(lane::Entity)
            .and_where(Expr::col(lane::Column::Operation).is_not_null())
            .to_owned();
        let rows = self.core().database.fresh().query_all(&query).await;
        rows.and_then(|rows| {
            rows.iter()
                .map(|row| row.try_get_by_index::<String>(0))
                .collect::<Result<_, DbErr>>()
        })
        .map_err(Error::at(step))
    }

    /// Takes the in-flight row of an object for work on an ended change (`heal`); false where
    /// another change has it. Plans that were made before are stale from then on.
    ///
    /// # Errors
    /// The database fails, or this node's lease is lost.
    pub async fn claim(
        &self,
        object: &ResourceName,
        operation: OperationId,
    ) -> Result<bool, Error> {
        let step = "take the lane of an object";
        self.flush().await?;
        let core = self.core();
        if core.leases.left().is_zero() {
            return Err(Error::at(step)(JournalError::LeaseLost));
        }
        retried(|| claim(core, object, operation))
            .await
            .map_err(Error::at(step))
    }
}

/// Runs a transaction again where others were in its way.
pub(super) async fn retried<T, F: Future<Output = Result<T, DbErr>>>(
    attempt: impl Fn() -> F,
) -> Result<T, DbErr> {
    let mut tries = 0;
    loop {
        tries += 1;
        match limited(attempt()).await {
            Err(error) if tries < TRIES && remedy(&error) == Remedy::Retry => {}
            result => return result,
        }
    }
}

/// Other nodes that have a row or a lane.
async fn suspects(core: &Core) -> Result<Vec<Suspect>, DbErr> {
    let me = core.leases.node();
    let nodes = Query::select()
        .columns([
            node::Column::Id,
            node::Column::LockFile,
            node::Column::LeaseUntil,
        ])
        .from(node::Entity)
        .to_owned();
    let lanes = Query::select()
        .distinct()
        .column(lane::Column::Node)
        .from(lane::Entity)
        .and_where(Expr::col(lane::Column::Node).is_not_null())
        .to_owned();
    // Lanes first: a node that registers in between is not taken for one without a row.
    let mut found = BTreeMap::new();
    for row in core.database.fresh().query_all(&lanes).await? {
        let id: String = row.try_get_by_index(0)?;
        let suspect = Suspect {
            id: id.clone(),
            lock_file: None,
            lease_until: None,
        };
        found.insert(id, suspect);
    }
    for row in core.database.fresh().query_all(&nodes).await? {
        let id: String = row.try_get_by_index(0)?;
        let suspect = Suspect {
            id: id.clone(),
            lock_file: row.try_get_by_index(1)?,
            lease_until: Some(row.try_get_by_index(2)?),
        };
        found.insert(id, suspect);
    }
    found.remove(&*me);
    Ok(found.into_values().collect())
}

fn is_dead(core: &Core, suspect: &Suspect) -> bool {
    let Some(lease_until) = suspect.lease_until else {
        return true;
    };
    match core.leases.sign_of(suspect.lock_file.as_deref()) {
        Sign::Alive => false,
        Sign::Dead => true,
        Sign::None => lease_until < micros(core.clock.now()),
    }
}

/// Ends a node and takes its lanes; one that renewed its lease meanwhile keeps them.
async fn take(core: &Core, suspect: &Suspect) -> Result<Vec<lane::Model>, DbErr> {
    let mut transaction = core.database.begin().await?;
    if let Some(lease_until) = suspect.lease_until {
        let end = Query::delete()
            .from_table(node::Entity)
            .and_where(Expr::col(node::Column::Id).eq(suspect.id.as_str()))
            .and_where(Expr::col(node::Column::LeaseUntil).eq(lease_until))
            .to_owned();
        if transaction.execute(&end).await? == 0 {
            transaction.rollback().await?;
            return Ok(Vec::new());
        }
    }
    let mut taken = Vec::new();
    for mut row in lanes_of(&mut transaction, suspect).await? {
        let Some(operation) = row.operation.clone() else {
            continue;
        };
        let me = core.leases.node().to_string();
        let take = Query::update()
            .table(lane::Entity)
            .value(lane::Column::Node, me.as_str())
            .value(
                lane::Column::Attempt,
                Expr::col(lane::Column::Attempt).add(1),
            )
            .value(lane::Column::ClaimedAt, micros(core.clock.now()))
            .and_where(Expr::col(lane::Column::Object).eq(row.object.as_str()))
            .and_where(Expr::col(lane::Column::Operation).eq(operation))
            .and_where(Expr::col(lane::Column::Node).eq(suspect.id.as_str()))
            .to_owned();
        if transaction.execute(&take).await? == 1 {
            row.attempt += 1;
            row.node = Some(me);
            taken.push(row);
        }
    }
    let committed = transaction.commit().await;
    committed.map_err(super::CommitError::into_cause)?;
    Ok(taken)
}

async fn lanes_of(
    transaction: &mut Transaction,
    suspect: &Suspect,
) -> Result<Vec<lane::Model>, DbErr> {
    let query = lanes_query(&suspect.id).lock(LockType::Update).to_owned();
    let rows = transaction.all(&query).await?;
    rows.iter().map(|row| lane_of(row, None)).collect()
}

fn lanes_query(node: &str) -> SelectStatement {
    Query::select()
        .columns([
            lane::Column::Object,
            lane::Column::Operation,
            lane::Column::Attempt,
        ])
        .from(lane::Entity)
        .and_where(Expr::col(lane::Column::Node).eq(node))
        .order_by(lane::Column::Object, Order::Asc)
        .to_owned()
}

/// What [`lanes_query`] reads.
fn lane_of(row: &QueryResult, node: Option<&str>) -> Result<lane::Model, DbErr> {
    Ok(lane::Model {
        object: row.try_get_by_index(0)?,
        latest: String::new(),
        operation: row.try_get_by_index(1)?,
        node: node.map(str::to_owned),
        attempt: row.try_get_by_index(2)?,
        claimed_at: 0,
        open_divergence: 0,
    })
}

/// One damaged row does not keep the others from being taken up.
fn readable(lanes: Vec<lane::Model>) -> Vec<InFlight> {
    let read = |row: lane::Model| {
        let object = row.object.clone();
        in_flight(row)
            .inspect_err(|error| tracing::error!(%error, object, "it stays in flight"))
            .ok()
    };
    lanes.into_iter().filter_map(read).collect()
}

fn in_flight(row: lane::Model) -> Result<InFlight, Refusal> {
    let damaged = || Refusal::Damaged("a change in flight");
    Ok(InFlight {
        object: row.object.parse().map_err(|_| damaged())?,
        operation: row
            .operation
            .and_then(|operation| operation.parse().ok())
            .ok_or_else(damaged)?,
        node: row.node.unwrap_or_default(),
        attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
    })
}

async fn claim(core: &Core, object: &ResourceName, operation: OperationId) -> Result<bool, DbErr> {
    let object = object.to_string();
    let mut transaction = core.database.begin().await?;
    let found = Query::select()
        .column(lane::Column::Operation)
        .from(lane::Entity)
        .and_where(Expr::col(lane::Column::Object).eq(object.as_str()))
        .lock(LockType::Update)
        .to_owned();
    let rows = transaction.all(&found).await?;
    let taken = match rows.first() {
        Some(row) => row.try_get_by_index::<Option<String>>(0)?.is_some(),
        None => false,
    };
    if taken {
        transaction.rollback().await?;
        return Ok(false);
    }
    let values = lane_values(core, operation);
    if rows.is_empty() {
        let (mut columns, mut row) = (vec![lane::Column::Object], vec![object.into()]);
        columns.push(lane::Column::OpenDivergence);
        row.push(0.into());
        for (column, value) in values {
            columns.push(column);
            row.push(value);
        }
        let insert = Query::insert()
            .into_table(lane::Entity)
            .columns(columns)
            .values(row)
            .map_err(|error| DbErr::Custom(error.to_string()))?
            .to_owned();
        transaction.execute(&insert).await?;
    } else {
        let update = Query::update()
            .table(lane::Entity)
            .values(values)
            .and_where(Expr::col(lane::Column::Object).eq(object))
            .to_owned();
        transaction.execute(&update).await?;
    }
    let committed = transaction.commit().await;
    committed.map_err(super::CommitError::into_cause)?;
    Ok(true)
}

/// A fresh id in place of the latest change: whoever planned before this claim sees that
/// something has happened since.
fn lane_values(core: &Core, operation: OperationId) -> Vec<(lane::Column, Expr)> {
    vec![
        (
            lane::Column::Latest,
            core.clock.fresh_id().to_string().into(),
        ),
        (lane::Column::Operation, operation.to_string().into()),
        (lane::Column::Node, core.leases.node().to_string().into()),
        (lane::Column::Attempt, 1.into()),
        (lane::Column::ClaimedAt, micros(core.clock.now()).into()),
    ]
}
