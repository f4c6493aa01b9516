//! Reconciliations: one at a time for each mapping, on whatever node, and what they found.
use sea_orm::{
    ConnectionTrait as _, DbErr, QueryResult,
    sea_query::{Expr, ExprTrait as _, OnConflict, Order as Direction, Query, SelectStatement},
};

use super::{
    Error, Refusal, Store,
    batch::insert,
    connection::Transaction,
    entity::{link_digest, node, recon_entry, recon_run, recon_spill},
    rows::micros,
};
use crate::model::recon::{Entry, Run, RunState};

/// How many finished runs are listed.
const LISTED: u64 = 100;

/// What a run wants to keep in one transaction.
#[derive(Debug, Default)]
pub struct RunPage {
    /// What it found.
    pub entries: Vec<Entry>,
    /// Pairs that agree: link qualifier, source id and the fingerprint of what both hold.
    pub digests: Vec<(String, String, String)>,
    /// What a target listed: id and fingerprint.
    pub listed: Vec<(String, String)>,
    /// Ids of target objects that sources without a link may belong to; some may be there twice.
    pub met: Vec<String>,
}

/// What a run is told when it keeps a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Go on.
    GoOn,
    /// Somebody wants it to stop.
    Cancel,
    /// Another node has it by now; nothing was kept.
    Lost,
}

impl Store {
    /// Begins a run, unless one of its mapping is under way: then that one's id comes back.
    ///
    /// # Errors
    /// The database fails.
    pub async fn begin_run(&self, run: &Run) -> Result<Option<uuid::Uuid>, Error> {
        loop {
            self.insert_run(run).await?;
            // Whether the row is there tells, not who is active: both may be over by now. Databases
            // count a row that was left out differently.
            if self.run(run.id).await?.is_some() {
                return Ok(None);
            }
            if let Some(other) = self.active_run(&run.mapping).await? {
                return Ok(Some(other.id));
            }
        }
    }

    /// Stores a run that begins, unless one of its mapping is under way.
    async fn insert_run(&self, run: &Run) -> Result<(), Error> {
        let step = "begin a reconciliation";
        let row = recon_run::Model {
            id: run.id.to_string(),
            mapping: run.mapping.clone(),
            active: Some(run.mapping.clone()),
            node: Some(self.identity().to_string()),
            state: run.state.as_str().to_owned(),
            wish: None,
            started_at: micros(run.started),
            ended_at: None,
            body: serde_json::to_string(run).map_err(Error::at(step))?,
        };
        let mut transaction = self
            .core()
            .database
            .begin()
            .await
            .map_err(Error::at(step))?;
        // A second active run of the mapping meets the unique index and is left out.
        let mut statement = Query::insert();
        use recon_run::Column as C;
        statement
            .into_table(recon_run::Entity)
            .columns([
                C::Id,
                C::Mapping,
                C::Active,
                C::Node,
                C::State,
                C::Wish,
                C::StartedAt,
                C::EndedAt,
                C::Body,
            ])
            .values([
                row.id.into(),
                row.mapping.into(),
                row.active.into(),
                row.node.into(),
                row.state.into(),
                row.wish.into(),
                row.started_at.into(),
                row.ended_at.into(),
                row.body.into(),
            ])
            .map_err(Error::at(step))?
            .on_conflict(OnConflict::new().do_nothing_on([C::Id]).to_owned());
        transaction
            .execute(&statement)
            .await
            .map_err(Error::at(step))?;
        let committed = transaction.commit().await;
        committed.map_err(|error| Error::at(step)(error.into_cause()))
    }

    /// The run of a mapping that is under way.
    ///
    /// # Errors
    /// The database fails.
    pub async fn active_run(&self, mapping: &str) -> Result<Option<Run>, Error> {
        let query = runs()
            .and_where(Expr::col(recon_run::Column::Active).eq(mapping))
            .to_owned();
        Ok(self.read_runs(&query).await?.into_iter().next())
    }

    /// A run.
    ///
    /// # Errors
    /// The database fails.
    pub async fn run(&self, id: uuid::Uuid) -> Result<Option<Run>, Error> {
        let query = runs()
            .and_where(Expr::col(recon_run::Column::Id).eq(id.to_string()))
            .to_owned();
        Ok(self.read_runs(&query).await?.into_iter().next())
    }

    /// The latest runs, newest first; of a mapping where one is named.
    ///
    /// # Errors
    /// The database fails.
    pub async fn runs(&self, mapping: Option<&str>) -> Result<Vec<Run>, Error> {
        let mut query = runs();
        query
            .order_by(recon_run::Column::Id, Direction::Desc)
            .limit(LISTED);
        if let Some(mapping) = mapping {
            query.and_where(Expr::col(recon_run::Column::Mapping).eq(mapping));
        }
        self.read_runs(&query).await
    }

    /// Takes over active runs whose node is gone, or is this one in an earlier life, and those of
    /// this node that it does not work on (`at_work`): a failure of the store left them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn take_runs(&self, at_work: &[uuid::Uuid]) -> Result<Vec<Run>, Error> {
        let step = "take over reconciliations of dead nodes";
        let now = micros(self.core().clock.now());
        let me = self.identity();
        let living = Query::select()
            .column(node::Column::Id)
            .from(node::Entity)
            .and_where(Expr::col(node::Column::LeaseUntil).gte(now))
            .to_owned();
        let at_work: Vec<String> = at_work.iter().map(ToString::to_string).collect();
        let orphaned = || {
            let left = Expr::col(recon_run::Column::Node)
                .eq(&*me)
                .and(Expr::col(recon_run::Column::Id).is_not_in(at_work.clone()));
            Expr::col(recon_run::Column::Node)
                .is_null()
                .or(Expr::col(recon_run::Column::Node).not_in_subquery(living.clone()))
                .or(left)
        };
        let query = runs()
            .and_where(Expr::col(recon_run::Column::Active).is_not_null())
            .and_where(orphaned())
            .to_owned();
        let mut taken = Vec::new();
        for run in self.read_runs(&query).await? {
            let take = Query::update()
                .table(recon_run::Entity)
                .value(recon_run::Column::Node, &*me)
                .and_where(Expr::col(recon_run::Column::Id).eq(run.id.to_string()))
                .and_where(Expr::col(recon_run::Column::Active).is_not_null())
                .and_where(orphaned())
                .to_owned();
            let database = &self.core().database;
            if database.execute(&take).await.map_err(Error::at(step))? == 1 {
                taken.push(run);
            }
        }
        Ok(taken)
    }

    /// Whether no other living node shares the store.
    ///
    /// # Errors
    /// The database fails.
    pub async fn is_alone(&self) -> Result<bool, Error> {
        let now = micros(self.core().clock.now());
        let query = Query::select()
            .column(node::Column::Id)
            .from(node::Entity)
            .and_where(Expr::col(node::Column::LeaseUntil).gte(now))
            .and_where(Expr::col(node::Column::Id).ne(&*self.identity()))
            .limit(1)
            .to_owned();
        let found = self.core().database.fresh().query_all(&query).await;
        Ok(found.map_err(Error::at("look for other nodes"))?.is_empty())
    }

    /// Gives a run free that this node does not go on with, so that any node takes it up.
    ///
    /// # Errors
    /// The database fails.
    pub async fn let_run_go(&self, id: uuid::Uuid, node: &str) -> Result<(), Error> {
        let statement = Query::update()
            .table(recon_run::Entity)
            .value(recon_run::Column::Node, Option::<String>::None)
            .and_where(Expr::col(recon_run::Column::Id).eq(id.to_string()))
            .and_where(Expr::col(recon_run::Column::Node).eq(node))
            .to_owned();
        let database = &self.core().database;
        let done = database.execute(&statement).await;
        done.map(drop)
            .map_err(Error::at("give a reconciliation free"))
    }

    /// Asks a run to stop; false where none of this id is under way.
    ///
    /// # Errors
    /// The database fails.
    pub async fn cancel_run(&self, id: uuid::Uuid) -> Result<bool, Error> {
        let statement = Query::update()
            .table(recon_run::Entity)
            .value(recon_run::Column::Wish, CANCEL)
            .and_where(Expr::col(recon_run::Column::Id).eq(id.to_string()))
            .and_where(Expr::col(recon_run::Column::Active).is_not_null())
            .to_owned();
        let database = &self.core().database;
        let found = database.execute(&statement).await;
        Ok(found.map_err(Error::at("cancel a reconciliation"))? > 0)
    }

    /// Makes a finished run active again, to go on with what it held back; false where a run of its
    /// mapping is under way.
    ///
    /// # Errors
    /// The database fails.
    pub async fn reopen_run(&self, run: &Run) -> Result<bool, Error> {
        let step = "go on with a reconciliation";
        if self.active_run(&run.mapping).await?.is_some() {
            return Ok(false);
        }
        let statement = Query::update()
            .table(recon_run::Entity)
            .value(recon_run::Column::Active, run.mapping.as_str())
            .value(recon_run::Column::Node, &*self.identity())
            .value(recon_run::Column::Wish, Option::<String>::None)
            .value(recon_run::Column::State, run.state.as_str())
            .value(recon_run::Column::EndedAt, Option::<i64>::None)
            .value(recon_run::Column::Body, text(run))
            .and_where(Expr::col(recon_run::Column::Id).eq(run.id.to_string()))
            .and_where(Expr::col(recon_run::Column::Active).is_null())
            .to_owned();
        match self.core().database.execute(&statement).await {
            Ok(changed) => Ok(changed == 1),
            // Another node was faster.
            Err(error) if super::error::remedy(&error) == super::error::Remedy::Retry => Ok(false),
            Err(error) => Err(Error::at(step)(error)),
        }
    }

    /// Keeps where a run stands together with what it found since, in one transaction. Nothing is
    /// kept where `node` no longer has the run.
    ///
    /// # Errors
    /// The database fails.
    pub async fn keep_run(&self, run: &Run, node: &str, page: RunPage) -> Result<Kept, Error> {
        let step = "keep where a reconciliation stands";
        let kept = super::connection::limited(self.keep(run, node, page)).await;
        kept.map_err(Error::at(step))
    }

    async fn keep(&self, run: &Run, node: &str, page: RunPage) -> Result<Kept, DbErr> {
        let mut transaction = self.core().database.begin().await?;
        let over = run.state != RunState::Active;
        let mut update = Query::update();
        update
            .table(recon_run::Entity)
            .value(recon_run::Column::State, run.state.as_str())
            .value(recon_run::Column::Body, text(run))
            .value(recon_run::Column::EndedAt, run.ended.map(micros))
            .and_where(Expr::col(recon_run::Column::Id).eq(run.id.to_string()))
            .and_where(Expr::col(recon_run::Column::Node).eq(node));
        if over {
            update
                .value(recon_run::Column::Active, Option::<String>::None)
                .value(recon_run::Column::Node, Option::<String>::None);
        }
        if transaction.execute(&update).await? == 0 {
            transaction.rollback().await?;
            return Ok(Kept::Lost);
        }
        let wish = wish_of(&mut transaction, run).await?;
        insert(
            &mut transaction,
            entry_rows(&page.entries),
            Some(replace_entry()),
        )
        .await?;
        insert(
            &mut transaction,
            digest_rows(run, page.digests),
            Some(replace_digest()),
        )
        .await?;
        insert(
            &mut transaction,
            spill_rows(run.id, page.listed),
            Some(replace_spill()),
        )
        .await?;
        // A statement must not meet a row of its own.
        let met: std::collections::BTreeSet<String> = page.met.into_iter().collect();
        let met = met.into_iter().map(|id| (id, String::new())).collect();
        insert(
            &mut transaction,
            spill_rows(super::listed::met_by(run.id), met),
            Some(replace_spill()),
        )
        .await?;
        let committed = transaction.commit().await;
        committed.map_err(super::CommitError::into_cause)?;
        Ok(match wish {
            Some(_) => Kept::Cancel,
            None => Kept::GoOn,
        })
    }

    async fn read_runs(&self, query: &SelectStatement) -> Result<Vec<Run>, Error> {
        let step = "read reconciliations";
        let rows = self.core().database.fresh().query_all(query).await;
        rows.map_err(Error::at(step))?
            .iter()
            .map(run_of)
            .collect::<Result<_, _>>()
            .map_err(Error::at(step))
    }
}

/// What the `wish` column holds where somebody wants a run to stop.
const CANCEL: &str = "cancel";

fn runs() -> SelectStatement {
    Query::select()
        .column(recon_run::Column::Body)
        .from(recon_run::Entity)
        .to_owned()
}

fn run_of(row: &QueryResult) -> Result<Run, Refusal> {
    let damaged = Refusal::Damaged("a reconciliation");
    let body: String = row.try_get_by_index(0).map_err(|_| damaged.clone())?;
    serde_json::from_str(&body).map_err(|_| damaged)
}

fn text(run: &Run) -> String {
    serde_json::to_string(run).unwrap_or_default()
}

async fn wish_of(transaction: &mut Transaction, run: &Run) -> Result<Option<String>, DbErr> {
    let query = Query::select()
        .column(recon_run::Column::Wish)
        .from(recon_run::Entity)
        .and_where(Expr::col(recon_run::Column::Id).eq(run.id.to_string()))
        .to_owned();
    match transaction.all(&query).await?.first() {
        Some(row) => row.try_get_by_index(0),
        None => Ok(None),
    }
}

fn entry_rows(entries: &[Entry]) -> Vec<recon_entry::Model> {
    let row = |entry: &Entry| recon_entry::Model {
        run: entry.recon_id.to_string(),
        number: i64::try_from(entry.number).unwrap_or(i64::MAX),
        situation: entry.situation.map(|situation| situation.to_string()),
        action: entry.action.map(|action| action.to_string()),
        status: entry.status.as_str().to_owned(),
        source_id: entry.source_object_id.clone(),
        target_id: entry.target_object_id.clone(),
        body: serde_json::to_string(entry).unwrap_or_default(),
    };
    entries.iter().map(row).collect()
}

fn digest_rows(run: &Run, digests: Vec<(String, String, String)>) -> Vec<link_digest::Model> {
    let row = |(qualifier, first_id, digest)| link_digest::Model {
        mapping: run.mapping.clone(),
        qualifier,
        first_id,
        digest,
    };
    digests.into_iter().map(row).collect()
}

fn spill_rows(list: uuid::Uuid, listed: Vec<(String, String)>) -> Vec<recon_spill::Model> {
    let row = |(id, digest)| recon_spill::Model {
        run: list.to_string(),
        id,
        digest,
    };
    listed.into_iter().map(row).collect()
}

fn replace_entry() -> OnConflict {
    use recon_entry::Column as C;
    OnConflict::columns([C::Run, C::Number])
        .update_columns([
            C::Situation,
            C::Action,
            C::Status,
            C::SourceId,
            C::TargetId,
            C::Body,
        ])
        .to_owned()
}

fn replace_digest() -> OnConflict {
    use link_digest::Column as C;
    OnConflict::columns([C::Mapping, C::Qualifier, C::FirstId])
        .update_column(C::Digest)
        .to_owned()
}

fn replace_spill() -> OnConflict {
    use recon_spill::Column as C;
    OnConflict::columns([C::Run, C::Id])
        .update_column(C::Digest)
        .to_owned()
}
