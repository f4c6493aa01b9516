//! One run at work: stage after stage, page after page, each kept before the next.
use std::{collections::HashSet, sync::Arc, time::Instant};

use tokio_util::sync::CancellationToken;

use crate::{
    audit,
    clock::SharedClock,
    mapping::{LinkQualifiers, Mapping, SyncDirection},
    model::{
        Container, Filter,
        recon::{Entry, Pending, Run, RunState, Side, Stage, Window},
    },
    store::{Kept, LinkMark, Mark, RunPage, Settlement},
    sync::{Engine, Inspection, Subject},
};

use super::{
    classify::{Known, Verdict, classify},
    guard,
    quiet::{Sources, Targets},
    report,
    sides::{self, Marks, PAGE},
};

/// How many records are looked at at the same time.
pub(super) const LOOKS: usize = 16;
/// After how many looks a run keeps where it stands.
pub(super) const KEEP_AFTER: usize = 100;

/// A run and what it works with.
pub(super) struct Task {
    pub(super) engine: Engine,
    pub(super) clock: SharedClock,
    pub(super) mapping: Arc<Mapping>,
    pub(super) source_query: Option<Filter>,
    pub(super) target_query: Option<Filter>,
    pub(super) qualifiers: Vec<String>,
    /// Source objects that are looked at even where nothing has changed.
    pub(super) force_ids: HashSet<String>,
    /// Whether the target gives many objects in one request.
    pub(super) asks_for_many: bool,
    /// The life of this node that has the run.
    pub(super) node: Arc<str>,
    /// Somebody wants the run to end.
    pub(super) cancel: CancellationToken,
    /// This node ends.
    pub(super) stop: CancellationToken,
}

/// Why a run does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// It ends here, for this reason.
    Failed(String),
    /// This node ends: another one, or the next start, goes on.
    Paused,
    /// Another node has it.
    Lost,
    /// The store failed: it goes on later.
    Store(crate::store::Error),
}

impl From<crate::store::Error> for Stop {
    fn from(error: crate::store::Error) -> Self {
        Self::Store(error)
    }
}

/// What one step of a run gives to keep.
#[derive(Default)]
pub(super) struct Step {
    pub(super) page: RunPage,
}

impl Task {
    /// Works until the run is over, or must be left to somebody else; tells how it stands then.
    pub(super) async fn work(&self, mut run: Run) -> Result<Run, Stop> {
        loop {
            let began = Instant::now();
            let stepped = self.step(&mut run).await;
            run.worked_ms += u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let step = match stepped {
                Ok(step) => step,
                Err(Stop::Failed(message)) => {
                    return self.end(run, RunState::Failed, Some(message)).await;
                }
                Err(stop) => return Err(stop),
            };
            if run.stage == Stage::CompletedSuccess {
                return self.succeed(run, step).await;
            }
            self.audit_entries(&run, &step.page.entries);
            match self
                .engine
                .store()
                .keep_run(&run, &self.node, step.page)
                .await?
            {
                Kept::GoOn if self.stop.is_cancelled() => return Err(Stop::Paused),
                Kept::GoOn => {}
                Kept::Cancel => return self.end(run, RunState::Canceled, None).await,
                Kept::Lost => return Err(Stop::Lost),
            }
            if let Some(message) = self.gives_up(&run) {
                return self.end(run, RunState::Failed, Some(message)).await;
            }
        }
    }

    /// Whether pairs are compared by their digests before anybody looks.
    pub(super) fn compares(&self, run: &Run) -> bool {
        run.whole
            && run.wanted.ids.is_empty()
            && !run.wanted.force
            && self.mapping.confidential.is_empty()
    }

    async fn step(&self, run: &mut Run) -> Result<Step, Stop> {
        match run.stage {
            Stage::ActiveInitialized => self.begin(run).await,
            Stage::ActiveQueryEntries => self.list_target(run).await,
            Stage::ActiveReconcilingSource => self.reconcile_sources(run).await,
            Stage::ActiveLinkCleanup => self.reconcile_links(run).await,
            Stage::ActiveReconcilingTarget => self.reconcile_targets(run).await,
            Stage::ActiveProcessingResults => self.delete_held(run).await,
            Stage::CompletedSuccess | Stage::CompletedFailed | Stage::CompletedCanceled => {
                Ok(Step::default())
            }
        }
    }

    /// Checks that the source is not empty, counts it, and chooses the first stage.
    async fn begin(&self, run: &mut Run) -> Result<Step, Stop> {
        // A change that was stamped before the window's end is on disk before anything is read.
        let barrier = self.engine.store().settle(Settlement::default());
        barrier.wait().await?;
        if run.wanted.clear_cache && !run.wanted.dry_run {
            let store = self.engine.store();
            run.resets = store.reset_syncable(&run.mapping, None).await?.resets;
        }
        let allowed = run.wanted.allow_empty_source_set;
        let allowed = allowed.unwrap_or(self.mapping.allow_empty_source_set);
        if run.whole && run.wanted.ids.is_empty() && !allowed {
            let first = self.source_page(run, None).await?;
            if first.marks.is_empty() && first.next.is_none() {
                let message = "the source is empty: nothing was done (allowEmptySourceSet)";
                return Err(Stop::Failed(message.to_owned()));
            }
        }
        run.counts.sources = self.count_sources(run).await?;
        let link_type = &self.mapping.link_type;
        run.counts.links_before = self.engine.store().count_links(link_type).await?;
        self.begin_token(run).await?;
        let lists = self.compares(run)
            && !self.asks_for_many
            && matches!(self.mapping.target, Container::System { .. });
        run.stage = if lists {
            Stage::ActiveQueryEntries
        } else {
            Stage::ActiveReconcilingSource
        };
        Ok(Step::default())
    }

    async fn count_sources(&self, run: &Run) -> Result<Option<u64>, Stop> {
        if !run.wanted.ids.is_empty() {
            return Ok(u64::try_from(run.wanted.ids.len()).ok());
        }
        let changed = self.window(run);
        match (&self.mapping.source, &self.source_query) {
            (Container::Managed(name), None) => {
                Ok(Some(self.engine.store().count_marks(name, changed).await?))
            }
            _ => Ok(None),
        }
    }

    async fn list_target(&self, run: &mut Run) -> Result<Step, Stop> {
        let filter = self.target_query.as_ref();
        let position = run.position.take();
        let page = self
            .by_cursor(&self.mapping.target, filter, position.as_deref())
            .await?;
        let listed: Vec<_> = page
            .marks
            .into_iter()
            .map(|mark| (mark.id, mark.print))
            .collect();
        *run.counts.targets.get_or_insert_default() += listed.len() as u64;
        advance(run, page.next, Stage::ActiveReconcilingSource);
        Ok(Step {
            page: RunPage {
                listed,
                ..RunPage::default()
            },
        })
    }

    async fn reconcile_sources(&self, run: &mut Run) -> Result<Step, Stop> {
        if !run.again.is_empty() {
            let mut step = Step::default();
            let again = std::mem::take(&mut run.again);
            self.look_in_order(run, again, Vec::new(), &mut step)
                .await?;
            return Ok(step);
        }
        let found = if self.goes_by_changes(run) {
            self.changed_sources(run).await?
        } else {
            Some(self.next_sources(run).await?)
        };
        let Some(Sources {
            page,
            links,
            mut suspects,
        }) = found
        else {
            // The source does not know the token any more: everything is looked at.
            run.whole = true;
            run.window = run.window.map(|window| Window {
                start: None,
                ..window
            });
            run.stage = Stage::ActiveInitialized;
            return Ok(Step::default());
        };
        let Marks {
            mut marks,
            mut next,
            divisible,
        } = page;
        let mut step = Step::default();
        if matches!(self.mapping.source, Container::System { .. }) && run.whole {
            let listed = marks
                .iter()
                .map(|mark| (mark.id.clone(), mark.print.clone()));
            step.page.listed = listed.collect();
        }
        if divisible && suspects.len() > KEEP_AFTER {
            let last = suspects.get(KEEP_AFTER - 1).copied().unwrap_or_default();
            suspects.truncate(KEEP_AFTER);
            next = marks.get(last).map(|mark| sides::behind(run, mark));
            marks.truncate(last + 1);
        }
        self.count_sources_passed(run, marks.len(), suspects.len());
        let (linked, unlinked) = self.by_need(&marks, &suspects, &links);
        self.look_in_order(run, linked, unlinked, &mut step).await?;
        report::in_order(run, &mut step.page.entries, &marks);
        if self.cancel.is_cancelled() {
            // Nobody looked at the rest of the page.
            return Ok(step);
        }
        let is_forward = self.mapping.reconciliation.direction == SyncDirection::Forward;
        if !run.whole && is_forward && run.counts.failures == 0 && run.counts.held == 0 {
            // The last time may have more objects than this page.
            let before = |at: chrono::DateTime<chrono::Utc>| at - chrono::Duration::microseconds(1);
            let last = marks.last().and_then(|mark| mark.updated_at);
            run.synced_through = last.map(before).or(run.synced_through);
        }
        advance(run, next, self.after_sources(run));
        Ok(step)
    }

    /// The places of the source objects that somebody must look at.
    pub(super) async fn suspects(
        &self,
        run: &Run,
        marks: &[Mark],
        links: &[LinkMark],
    ) -> Result<Vec<usize>, Stop> {
        if !self.compares(run) {
            return Ok((0..marks.len()).collect());
        }
        let targets: Vec<String> = links
            .iter()
            .filter(|link| link.digest.is_some())
            .map(|link| link.target_id.clone())
            .collect();
        let prints = self.target_prints(run, &targets).await?;
        let mut by_source = std::collections::HashMap::<&str, Vec<&LinkMark>>::new();
        for link in links {
            by_source.entry(&link.source_id).or_default().push(link);
        }
        let fixed = matches!(self.mapping.link_qualifiers, LinkQualifiers::Static(_));
        let look = |(at, mark): (usize, &Mark)| {
            let known = Known {
                version: &run.sync_version,
                qualifiers: fixed.then_some(&self.qualifiers),
                source: mark,
                links: by_source.get(mark.id.as_str()).map_or(&[], Vec::as_slice),
            };
            let verdict = classify(known, |id| prints.get(id).map(String::as_str));
            let forced = self.force_ids.contains(&mark.id);
            (verdict == Verdict::Look || forced).then_some(at)
        };
        Ok(marks.iter().enumerate().filter_map(look).collect())
    }

    /// Source ids to look at: those that need no regard to each other, and those that may find the
    /// same target.
    fn by_need(
        &self,
        marks: &[Mark],
        suspects: &[usize],
        links: &[LinkMark],
    ) -> (Vec<String>, Vec<String>) {
        let linked: std::collections::HashSet<&str> =
            links.iter().map(|link| link.source_id.as_str()).collect();
        suspects
            .iter()
            .filter_map(|at| marks.get(*at))
            .map(|mark| mark.id.clone())
            .partition(|id| self.mapping.correlation.is_none() || linked.contains(id.as_str()))
    }

    fn after_sources(&self, run: &Run) -> Stage {
        let wanted = &run.wanted;
        // A request that names some sources says nothing about what belongs to the others.
        let targets = wanted.run_target_phase;
        let targets =
            targets.unwrap_or(self.mapping.run_target_phase && wanted.source_query.is_none());
        if run.whole && run.wanted.ids.is_empty() && targets {
            Stage::ActiveLinkCleanup
        } else {
            Stage::ActiveProcessingResults
        }
    }

    /// Finds links whose source is gone, or looks at those that were found. What is found is kept
    /// before anything is done about it.
    async fn reconcile_links(&self, run: &mut Run) -> Result<Step, Stop> {
        let Some(pending) = run.pending.take() else {
            let pending = self.orphans(run).await?;
            if pending.links.is_empty() {
                advance(run, pending.next, Stage::ActiveReconcilingTarget);
            } else {
                run.pending = Some(pending);
            }
            return Ok(Step::default());
        };
        let deeds = self.deeds(run);
        let inspections = pending.links.into_iter().map(|(qualifier, id)| Inspection {
            // Other qualifiers of the same source have links, and turns, of their own.
            qualifier: Some(qualifier),
            ..self.inspection(run, Subject::Source(id), deeds)
        });
        let mut step = Step::default();
        for (subject, looked) in self.look_at_all(run, inspections.collect()).await {
            self.note(run, Side::Target, &subject, looked, &mut step)?;
        }
        advance(run, pending.next, Stage::ActiveReconcilingTarget);
        Ok(step)
    }

    /// The next links whose source is gone.
    async fn orphans(&self, run: &Run) -> Result<Pending, Stop> {
        let position = run.position.as_deref();
        let after = position.and_then(|place| place.split_once('/'));
        let store = self.engine.store();
        let limit = KEEP_AFTER as u64;
        let (links, next) = match &self.mapping.source {
            Container::Managed(name) => {
                let scope = self.links();
                let links = store
                    .links_without_source(scope, name, after, limit)
                    .await?;
                let full = links.len() >= KEEP_AFTER;
                let next = links.last().filter(|_| full).map(place);
                (links, next)
            }
            Container::System { .. } => {
                let links = store.links_after(self.links(), after, PAGE as u64).await?;
                let next = links.last().filter(|_| links.len() >= PAGE).map(place);
                let ids: Vec<String> = links.iter().map(|link| link.source_id.clone()).collect();
                let there = self.sources_there(run, &ids).await?;
                let gone = |link: &LinkMark| !there.contains_key(&link.source_id);
                (links.into_iter().filter(gone).collect(), next)
            }
        };
        let links = links.into_iter();
        let links = links.map(|link| (link.qualifier, link.source_id));
        Ok(Pending {
            links: links.collect(),
            next,
        })
    }

    /// Looks at target objects without a link.
    async fn reconcile_targets(&self, run: &mut Run) -> Result<Step, Stop> {
        let Targets { count, loose, next } = self.next_targets(run).await?;
        run.counts.targets_processed += count as u64;
        let store = self.engine.store();
        // What a source was found to belong to is that source's, whatever became of it.
        let mut met = store.targets_met(run.id, &loose).await?;
        met.extend(store.targets_found(run.id, &loose).await?);
        let qualifier = self.qualifiers.first().cloned();
        let qualifier =
            qualifier.unwrap_or_else(|| crate::model::link::DEFAULT_QUALIFIER.to_owned());
        let subjects: Vec<Subject> = loose
            .into_iter()
            .filter(|id| !met.contains(id))
            .map(|id| Subject::Target {
                qualifier: qualifier.clone(),
                id,
            })
            .collect();
        let mut step = Step::default();
        let inspections = self.inspections(run, subjects);
        for (subject, looked) in self.look_at_all(run, inspections).await {
            self.note(run, Side::Target, &subject, looked, &mut step)?;
        }
        advance(run, next, Stage::ActiveProcessingResults);
        Ok(step)
    }

    /// Why the run is not worth going on with.
    fn gives_up(&self, run: &Run) -> Option<String> {
        let settings = &self.mapping.reconciliation;
        let reason = guard::fails_too_often(&run.counts, settings)?;
        Some(format!("{reason}: the run was stopped"))
    }

    async fn succeed(&self, run: Run, step: Step) -> Result<Run, Stop> {
        self.audit_entries(&run, &step.page.entries);
        let statistics = report::statistics(&run);
        let id = run.id.to_string();
        let failed = self
            .engine
            .after_reconciliation(&self.mapping, &id, &statistics)
            .await;
        let failed = failed.map(|failure| format!("the result hook failed: {failure}"));
        let messages: Vec<String> = run.message.clone().into_iter().chain(failed).collect();
        let message = (!messages.is_empty()).then(|| messages.join("; "));
        self.end(run, RunState::Success, message).await
    }

    /// Ends the run.
    async fn end(
        &self,
        mut run: Run,
        state: RunState,
        message: Option<String>,
    ) -> Result<Run, Stop> {
        run.state = state;
        run.stage = match state {
            RunState::Canceled => Stage::CompletedCanceled,
            RunState::Failed => Stage::CompletedFailed,
            RunState::Success | RunState::Active => Stage::CompletedSuccess,
        };
        run.position = None;
        run.message = message;
        run.ended = Some(self.clock.now());
        let store = self.engine.store();
        let kept = store.keep_run(&run, &self.node, RunPage::default());
        if kept.await? == Kept::Lost {
            // What the target listed is the other node's by now.
            return Err(Stop::Lost);
        }
        if let Err(error) = store.forget_listed(run.id).await {
            tracing::error!(error = &error as &dyn std::error::Error, run = %run.id,
                "what the target of a reconciliation listed stays in the store");
        }
        self.audit(vec![audit::about_recon(
            self.clock.as_ref(),
            "summary",
            &run,
        )]);
        Ok(run)
    }

    fn audit_entries(&self, run: &Run, entries: &[Entry]) {
        let told = entries.iter().filter(|_| !run.wanted.dry_run);
        let told = told.map(|entry| audit::about_recon_entry(self.clock.as_ref(), run, entry));
        self.audit(told.collect());
    }

    /// Hands audit entries over; they are on disk soon.
    pub(super) fn audit(&self, entries: Vec<crate::model::audit::NewEntry>) {
        if entries.is_empty() {
            return;
        }
        let _ = self.engine.store().settle(Settlement {
            audit: entries,
            ..Settlement::default()
        });
    }
}

/// Where a stage goes on, or the next stage at its beginning.
fn advance(run: &mut Run, next: Option<String>, stage: Stage) {
    run.position = next;
    if run.position.is_none() {
        run.stage = stage;
    }
}

fn place(link: &LinkMark) -> String {
    format!("{}/{}", link.qualifier, link.source_id)
}
