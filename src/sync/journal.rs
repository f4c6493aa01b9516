//! The intent on disk: nothing is written to a target before this.
use std::sync::Arc;

use crate::{
    model::{OperationRecord, PlannedRow, SagaEvent, SagaState, record::HookRun},
    store::{JournalEntry, JournalError, ObjectWrite},
};

use super::{
    Engine,
    change::{Context, Intent, IntentText, object_write},
    checkpoint::{Point, Sabotage, is_sabotaged},
    follow::Asked,
    plan::Plan,
    unique::claimed,
};

/// A change whose intent is on disk.
#[derive(Debug)]
pub(super) struct Journaled {
    context: Context,
    rows: Vec<PlannedRow>,
    hook_runs: Vec<HookRun>,
    follow_ups: Vec<Asked>,
    state: SagaState,
}

/// The parts of a journaled change that is over.
pub(super) struct Parts {
    pub context: Context,
    pub rows: Vec<PlannedRow>,
    pub hook_runs: Vec<HookRun>,
    pub follow_ups: Vec<Asked>,
}

impl Journaled {
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn rows(&self) -> &[PlannedRow] {
        &self.rows
    }

    pub(super) fn hook_runs(&self) -> &[HookRun] {
        &self.hook_runs
    }

    pub(super) fn follow_ups(&self) -> &[Asked] {
        &self.follow_ups
    }

    pub(super) fn state(&self) -> SagaState {
        self.state
    }

    /// Its parts, for its end.
    pub(super) fn into_parts(self) -> Parts {
        Parts {
            context: self.context,
            rows: self.rows,
            hook_runs: self.hook_runs,
            follow_ups: self.follow_ups,
        }
    }

    /// Keeps what a hook that ran after the journal said.
    pub(super) fn note(&mut self, run: HookRun, asked: Vec<Asked>) {
        self.hook_runs.push(run);
        self.follow_ups.extend(asked);
    }

    /// The journaled change of an intent that a process left behind.
    pub(super) fn recovered(context: Context, intent: Intent) -> Self {
        Self {
            context,
            rows: intent.rows,
            hook_runs: intent.hook_runs,
            follow_ups: intent.follow_ups,
            state: SagaState::Journaled,
        }
    }

    /// The intent as it stands now.
    pub(super) fn intent(&self) -> Intent {
        Intent {
            format: Intent::FORMAT,
            change: self.context.change.clone(),
            rows: self.rows.clone(),
            ended: Vec::new(),
            undone: Vec::new(),
            hook_runs: self.hook_runs.clone(),
            follow_ups: self.follow_ups.clone(),
            thrown: None,
            doubtful: Vec::new(),
        }
    }
}

impl Engine {
    /// Makes the plan durable, together with the new object, in one commit.
    pub(super) async fn journal(&self, plan: Plan) -> Result<Journaled, JournalError> {
        let state = self.step(SagaState::Planned, SagaEvent::Journal);
        let context = plan.context();
        let change = &context.change;
        // Before the entry is stored: where this life ends meanwhile, the change is not its to do.
        let node = self.store().identity();
        let entry = JournalEntry {
            record: context.outline(state, plan.rows(), plan.hook_runs()),
            payload: self.intent_text(&plan),
            object: object_write(change),
            claim: true,
            node: Arc::clone(&node),
            latest: plan.latest(),
            check_latest: true,
            idempotency: change
                .idempotency
                .clone()
                .map(|key| (change.caller.clone(), key)),
            updates: Vec::new(),
            payloads: Vec::new(),
            claims: claimed(context),
        };
        self.store().journal(entry).await?;
        self.reach(Point::Journaled).await;
        let (context, rows, hook_runs, follow_ups) = plan.into_parts();
        let context = Context { node, ..context };
        Ok(Journaled {
            context,
            rows,
            hook_runs,
            follow_ups,
            state,
        })
    }

    /// Makes a compensation durable: the old object comes back into the repository, and the parent
    /// says that it is being taken back and keeps what its hooks said and asked for until then.
    pub(super) async fn journal_compensation(
        &self,
        record: OperationRecord,
        intent: &Intent,
        object: ObjectWrite,
        parent: (OperationRecord, String),
        node: &Arc<str>,
    ) -> Result<(), JournalError> {
        let entry = JournalEntry {
            record,
            payload: intent.text(),
            object,
            claim: false,
            node: Arc::clone(node),
            latest: None,
            check_latest: false,
            idempotency: None,
            payloads: vec![(parent.0.id, parent.1)],
            updates: vec![parent.0],
            claims: Vec::new(),
        };
        self.store().journal(entry).await
    }

    fn intent_text(&self, plan: &Plan) -> String {
        let rows = if is_sabotaged(self.store().node(), Sabotage::Journal) {
            &[]
        } else {
            plan.rows()
        };
        IntentText {
            format: Intent::FORMAT,
            change: &plan.context().change,
            rows,
            ended: &[],
            undone: &[],
            hook_runs: plan.hook_runs(),
            follow_ups: plan.follow_ups(),
            thrown: None,
            doubtful: &[],
        }
        .text()
    }
}
