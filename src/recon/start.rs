//! Starting, stopping, taking up and approving runs.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::json;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    audit,
    clock::SharedClock,
    mapping::Mapping,
    model::{
        Filter, metrics,
        recon::{Counts, Mode, Run, RunState, Stage, Wanted, Window},
    },
    store,
    sync::{Engine, Refusal, Setup, sync_version},
};

use super::{
    run::{Stop, Task},
    sides::asks_for_many,
};

/// Reconciliations of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reconciler {
    pub(super) parts: Arc<Parts>,
}

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) clock: SharedClock,
    tasks: TaskTracker,
    stop: CancellationToken,
    running: Mutex<HashMap<Uuid, Arc<CancellationToken>>>,
}

/// A run's place among those that this node works on; given back when dropped, however the work
/// ended, so that the run is taken up where it is not over.
struct Place {
    parts: Arc<Parts>,
    id: Uuid,
    cancel: Arc<CancellationToken>,
}

impl Parts {
    fn running(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<CancellationToken>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.parts.running();
        // An approval may have taken the place of a run that has just ended.
        let is_own = |token: &Arc<CancellationToken>| Arc::ptr_eq(token, &self.cancel);
        if running.get(&self.id).is_some_and(is_own) {
            running.remove(&self.id);
        }
    }
}

impl Reconciler {
    /// Whether this node has not done with a run yet, be it ended or not.
    #[must_use]
    pub fn is_at_work(&self, id: Uuid) -> bool {
        self.parts.running().contains_key(&id)
    }

    /// Reconciliations by this engine.
    #[must_use]
    pub fn new(engine: Engine, clock: SharedClock) -> Self {
        Self {
            parts: Arc::new(Parts {
                engine,
                clock,
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
                running: Mutex::default(),
            }),
        }
    }

    /// Begins a run; it goes on by itself.
    ///
    /// # Errors
    /// 404 for an unknown mapping, 400 for what cannot be asked of it, 409 where a run of it is
    /// under way.
    pub async fn start(
        &self,
        wanted: Wanted,
        caller: &str,
        transaction_id: &str,
    ) -> Result<Run, Refusal> {
        let (run, mapping) = self.draft(wanted, caller, transaction_id).await?;
        // Everything that can be wrong is found out before the run exists.
        let task = self.task(&run, mapping).await?;
        let place = self.place(&task, run.id);
        if let Some(other) = self.store().begin_run(&run).await? {
            let message = format!("reconciliation {other} of {} is under way", run.mapping);
            let detail = json!({"reconId": other, "mapping": run.mapping});
            return Err(Refusal::new(409, message).with_detail(detail));
        }
        let started = audit::about_recon(self.parts.clock.as_ref(), "start", &run);
        task.audit(vec![started]);
        self.spawn(task, run.clone(), place);
        Ok(run)
    }

    /// Asks a run to stop; on this node it does so at once.
    ///
    /// # Errors
    /// 404 for an unknown run, 409 where it is over.
    pub async fn cancel(&self, id: Uuid) -> Result<Run, Refusal> {
        let run = self.run(id).await?;
        if !self.store().cancel_run(id).await? {
            return Err(Refusal::new(409, format!("reconciliation {id} is over")));
        }
        if let Some(token) = self.parts.running().get(&id) {
            token.cancel();
        }
        Ok(run)
    }

    /// Carries out the deletions that a run held back, whatever their number.
    ///
    /// # Errors
    /// 404 for an unknown run; 409 where it is under way, was a dry run, or held nothing back.
    pub async fn approve(&self, id: Uuid, caller: &str) -> Result<Run, Refusal> {
        let mut run = self.run(id).await?;
        let refused = |message: String| Err(Refusal::new(409, message));
        if run.state == RunState::Active {
            return refused(format!("reconciliation {id} is under way"));
        }
        // Approved before, it had looked at everything and stopped while it deleted.
        if run.state != RunState::Success && run.approved_by.is_none() {
            let how = match run.state {
                RunState::Canceled => "was canceled",
                _ => "stopped",
            };
            return refused(format!(
                "reconciliation {id} {how} before it had looked at everything: what it held back \
                 cannot be approved, start a new one"
            ));
        }
        if run.wanted.dry_run || run.counts.held == 0 {
            return refused(format!("reconciliation {id} holds nothing back"));
        }
        run.state = RunState::Active;
        run.stage = Stage::ActiveProcessingResults;
        run.position = None;
        run.ended = None;
        run.message = None;
        run.approved_by = Some(caller.to_owned());
        let mapping = mapping_of(&self.parts.engine.setup(), &run.mapping)?;
        let task = self.task(&run, mapping).await?;
        let place = self.place(&task, id);
        if !self.store().reopen_run(&run).await? {
            return refused(format!(
                "another reconciliation of {} is under way",
                run.mapping
            ));
        }
        task.audit(vec![audit::about_recon(
            self.parts.clock.as_ref(),
            "approve",
            &run,
        )]);
        self.spawn(task, run.clone(), place);
        Ok(run)
    }

    /// A run.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn run(&self, id: Uuid) -> Result<Run, Refusal> {
        let found = self.store().run(id).await?;
        found.ok_or_else(|| Refusal::new(404, format!("there is no reconciliation {id}")))
    }

    /// Goes on with runs that dead nodes left, or this one where its store failed.
    ///
    /// # Errors
    /// The store cannot tell which these are.
    pub async fn take_up(&self) -> Result<usize, store::Error> {
        if self.parts.stop.is_cancelled() {
            return Ok(0);
        }
        let at_work: Vec<Uuid> = self.parts.running().keys().copied().collect();
        let taken = self.store().take_runs(&at_work).await?;
        let mut count = 0;
        for mut run in taken {
            // It began, or was given free, after `at_work` was looked up.
            if self.parts.running().contains_key(&run.id) {
                continue;
            }
            count += 1;
            run.attempt += 1;
            let mapping = mapping_of(&self.parts.engine.setup(), &run.mapping);
            let task = match mapping {
                Ok(mapping) => self.task(&run, mapping).await,
                Err(refusal) => Err(refusal),
            };
            match task {
                Ok(task) => {
                    let place = self.place(&task, run.id);
                    self.spawn(task, run, place);
                }
                Err(refusal) => {
                    tracing::warn!(run = %run.id, reason = refusal.message, "a reconciliation waits");
                    let node = self.store().identity();
                    self.store().let_run_go(run.id, &node).await?;
                }
            }
        }
        Ok(count)
    }

    /// Waits until no run is at work on this node: each stops behind the page it is at, and the
    /// next start goes on with it.
    pub async fn close(&self) {
        self.parts.stop.cancel();
        self.parts.tasks.close();
        self.parts.tasks.wait().await;
    }

    pub(super) fn store(&self) -> &store::Store {
        self.parts.engine.store()
    }

    /// Takes a run's place before the store tells anybody that this node has it.
    fn place(&self, task: &Task, id: Uuid) -> Place {
        let cancel = Arc::new(task.cancel.clone());
        self.parts.running().insert(id, Arc::clone(&cancel));
        Place {
            parts: Arc::clone(&self.parts),
            id,
            cancel,
        }
    }

    async fn draft(
        &self,
        wanted: Wanted,
        caller: &str,
        transaction_id: &str,
    ) -> Result<(Run, Arc<Mapping>), Refusal> {
        let setup = self.parts.engine.setup();
        let mapping = chosen(&setup, &wanted)?;
        if let Some(share) = wanted.max_deletion_share
            && !(0.0..=1.0).contains(&share)
        {
            let message = format!("`maxDeletionShare` must be from 0 to 1, found {share}");
            return Err(Refusal::new(400, message));
        }
        let now = self.parts.clock.now();
        let syncable = self.store().syncable(&mapping.name).await?;
        let version = sync_version(&mapping);
        let known = syncable
            .data_synced_through
            .filter(|_| syncable.sync_version == version && !wanted.clear_cache)
            // A clock that was set back: nobody knows what changed since.
            .filter(|through| *through <= now);
        let is_stored = matches!(mapping.source, crate::model::Container::Managed(_));
        let since_token = syncable.token.filter(|_| known.is_some() && !is_stored);
        let tells_changes = is_stored || since_token.is_some();
        let left_behind = syncable.left_behind;
        let failing = syncable.failing;
        let partial = wanted.mode == Mode::UpdatedAt && wanted.ids.is_empty() && tells_changes;
        let run = Run {
            id: self.parts.clock.fresh_id(),
            mapping: mapping.name.clone(),
            state: RunState::Active,
            stage: Stage::ActiveInitialized,
            position: None,
            whole: !(partial && known.is_some()),
            again: if left_behind && partial && known.is_some() {
                failing
            } else {
                Vec::new()
            },
            failed: Some(std::collections::BTreeSet::new()),
            window: Some(Window {
                start: known.filter(|_| partial),
                end: now,
            }),
            wanted,
            caller: caller.to_owned(),
            transaction_id: transaction_id.to_owned(),
            sync_version: version,
            counts: Counts::default(),
            started: now,
            ended: None,
            worked_ms: 0,
            attempt: 1,
            synced_through: None,
            resets: syncable.resets,
            pending: None,
            since_token,
            token: None,
            message: None,
            approved_by: None,
        };
        Ok((run, mapping))
    }

    async fn task(&self, run: &Run, mapping: Arc<Mapping>) -> Result<Task, Refusal> {
        let engine = self.parts.engine.clone();
        let qualifiers = engine.qualifiers(&mapping).await;
        let qualifiers = qualifiers.map_err(|message| Refusal::new(400, message))?;
        let own = |given: &Option<String>, else_: &Option<Filter>| match given {
            Some(text) => Filter::parse(text)
                .map(Some)
                .map_err(|error| Refusal::new(400, format!("the filter `{text}`: {error}"))),
            None => Ok(else_.clone()),
        };
        Ok(Task {
            source_query: own(&run.wanted.source_query, &mapping.source_query)?,
            target_query: own(&run.wanted.target_query, &mapping.target_query)?,
            asks_for_many: asks_for_many(&engine, &mapping.target).await,
            force_ids: run.wanted.force_ids.iter().cloned().collect(),
            qualifiers,
            mapping,
            node: self.store().identity(),
            clock: Arc::clone(&self.parts.clock),
            cancel: CancellationToken::new(),
            stop: self.parts.stop.clone(),
            engine,
        })
    }

    fn spawn(&self, task: Task, run: Run, place: Place) {
        let this = self.clone();
        self.parts.tasks.spawn(async move {
            let _place = place;
            this.carry_out(task, run).await;
        });
    }

    async fn carry_out(&self, task: Task, run: Run) {
        let id = run.id;
        ::metrics::counter!(metrics::RECON_RUNS, "state" => "begun").increment(1);
        match Box::pin(task.work(run)).await {
            Ok(run) => {
                ::metrics::counter!(metrics::RECON_RUNS, "state" => run.state.as_str())
                    .increment(1);
                tracing::info!(run = %id, mapping = run.mapping, state = run.state.as_str(),
                    processed = run.processed(), "a reconciliation is over");
                if let Err(error) = self.conclude(&task.mapping, &run).await {
                    tracing::error!(error = &error as &dyn std::error::Error, run = %id,
                        "where the syncs of a mapping stand is not kept");
                }
                if let Err(error) = self.end_divergences(&run).await {
                    tracing::error!(error = &error as &dyn std::error::Error, run = %id,
                        "divergences that were put right stay open");
                }
            }
            Err(stop) => self.leave(&task, id, stop).await,
        }
    }

    /// Leaves a run to whoever takes it up.
    async fn leave(&self, task: &Task, id: Uuid, stop: Stop) {
        match stop {
            Stop::Lost => tracing::warn!(run = %id, "another node has the reconciliation"),
            Stop::Store(error) => tracing::error!(error = &error as &dyn std::error::Error,
                run = %id, "a reconciliation waits for the store"),
            Stop::Paused | Stop::Failed(_) => {
                tracing::info!(run = %id, "a reconciliation waits for the next start");
            }
        }
        if let Err(error) = self.store().let_run_go(id, &task.node).await {
            tracing::error!(error = &error as &dyn std::error::Error, run = %id,
                "a reconciliation waits for this node's lease to end");
        }
    }
}

/// The mapping that a run is of: the named one, or for `reverse` that of the other direction.
fn chosen(setup: &Setup, wanted: &Wanted) -> Result<Arc<Mapping>, Refusal> {
    let named = mapping_of(setup, &wanted.mapping)?;
    if !wanted.reverse {
        return Ok(named);
    }
    let mut mappings = setup.mappings.iter();
    let other = mappings.find(|other| {
        other.link_type == named.link_type
            && other.source == named.target
            && other.target == named.source
    });
    other.cloned().ok_or_else(|| {
        let name = &named.name;
        let message = format!(
            "no mapping leads from {} to {} with the links of {name} (`\"links\": \"{name}\"`)",
            named.target, named.source
        );
        Refusal::new(400, message)
    })
}

fn mapping_of(setup: &Setup, name: &str) -> Result<Arc<Mapping>, Refusal> {
    let found = setup.mappings.iter().find(|mapping| mapping.name == name);
    found
        .cloned()
        .ok_or_else(|| Refusal::new(404, format!("there is no mapping {name}")))
}
