//! The end of a run: deletions that waited for their number to be known.
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::time::Instant;

use crate::{
    model::{
        Filter, Situation,
        filter::Operator,
        pointer::Pointer,
        recon::{Entry, Run, Stage, Status},
    },
    store::{Count, Search},
    sync::{Deeds, Inspection, Standing, Subject},
};

use super::{
    guard, report,
    run::{KEEP_AFTER, LOOKS, Step, Stop, Task},
};

/// How long deletions wait for changes that are under way.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two looks at them.
const PAUSE: Duration = Duration::from_millis(20);

impl Task {
    /// Carries out the deletions that were kept for the end, unless there are too many.
    pub(super) async fn delete_held(&self, run: &mut Run) -> Result<Step, Stop> {
        if run.position.is_none() && run.approved_by.is_none() {
            let settings = &self.mapping.reconciliation;
            if let Some(reason) = guard::holds_back(&run.counts, &run.wanted, settings) {
                run.message = Some(format!(
                    "{reason}: they are held back until somebody approves them"
                ));
                run.stage = Stage::CompletedSuccess;
                return Ok(Step::default());
            }
        }
        let search = Search {
            filter: held_filter(run),
            sort: Vec::new(),
            page_size: Some(KEEP_AFTER),
            cookie: None,
            offset: 0,
            count: Count::None,
        };
        let held = self.engine.store().recon_entries(run.id, &search).await?;
        if held.results.is_empty() {
            if run.counts.held > 0 {
                run.message = Some(format!(
                    "{} target objects may belong to source objects that could not be looked at, or \
                     to changes under way: they are held back until somebody approves their deletion",
                    run.counts.held
                ));
            }
            run.position = None;
            run.stage = Stage::CompletedSuccess;
            return Ok(Step::default());
        }
        run.position = Some("deleting".to_owned());
        let is_loose = |entry: &Entry| entry.source_object_id.is_none();
        if held.results.iter().any(is_loose) && !self.is_settled(run).await? {
            return Ok(Step::default());
        }
        let mut step = Step::default();
        let deletions = held
            .results
            .into_iter()
            .map(|entry| self.delete_one(run, entry));
        let ended: Vec<_> = stream::iter(deletions.collect::<Vec<_>>())
            .buffered(LOOKS)
            .collect()
            .await;
        for (mut entry, outcome) in ended {
            report::carried_out(run, &mut entry, outcome);
            step.page.entries.push(entry);
        }
        Ok(step)
    }

    async fn delete_one(
        &self,
        run: &Run,
        entry: Entry,
    ) -> (Entry, Result<Option<crate::model::OperationId>, String>) {
        if run.wanted.dry_run {
            return (entry, Ok(None));
        }
        let subject = match (&entry.source_object_id, &entry.target_object_id) {
            (Some(id), _) => Subject::Source(id.clone()),
            (None, Some(id)) => Subject::Target {
                qualifier: entry.link_qualifier.clone(),
                id: id.clone(),
            },
            (None, None) => return (entry, Err("it names no object".to_owned())),
        };
        let inspection = Inspection {
            // Each deletion was noted, and counted, for itself.
            qualifier: Some(entry.link_qualifier.clone()),
            ..self.inspection(run, subject, Deeds::Everything)
        };
        let looked = self.look(run, inspection).await;
        let outcome = match looked {
            Ok(inspected) => {
                let mut findings = inspected.findings.iter();
                let own = findings.find(|one| one.link_qualifier == entry.link_qualifier);
                match own {
                    Some(finding) if finding.standing == Standing::Done => Ok(inspected.operation),
                    Some(finding) if finding.standing != Standing::Agreed => {
                        let cause = finding.cause.as_ref();
                        Err(cause.map_or_else(String::new, |cause| cause.message.clone()))
                    }
                    // It is gone already, or somebody put the record right meanwhile.
                    _ => Ok(None),
                }
            }
            Err(refusal) => Err(refusal.message),
        };
        (entry, outcome)
    }

    /// Lets every change that is under way come to its end: it may have made a target object, and
    /// sets its link only then. False where one takes too long; then target objects without a
    /// source are spared for the rest of the run.
    async fn is_settled(&self, run: &mut Run) -> Result<bool, Stop> {
        if run.wanted.dry_run {
            return Ok(true);
        }
        let store = self.engine.store();
        let mut waiting = store.operations_in_flight().await?;
        let deadline = Instant::now() + PATIENCE;
        while !waiting.is_empty() {
            if self.stop.is_cancelled() {
                return Err(Stop::Paused);
            }
            if Instant::now() >= deadline {
                run.counts.unassessed += 1;
                return match run.approved_by {
                    Some(_) => Err(Stop::Failed(
                        "changes are under way that may have made these target objects: approve \
                         their deletion again when these changes have ended"
                            .to_owned(),
                    )),
                    None => Ok(false),
                };
            }
            tokio::time::sleep(PAUSE).await;
            let now = store.operations_in_flight().await?;
            waiting.retain(|operation| now.contains(operation));
        }
        Ok(true)
    }
}

/// The deletions that are carried out at the end of a run. A target object without a source is
/// spared where the run could not look at each source that may be its own, unless somebody approved.
fn held_filter(run: &Run) -> Filter {
    let is = |name: &str, value: &str| Filter::Compare {
        field: Pointer::attribute(name),
        operator: Operator::Equal,
        value: value.into(),
    };
    let held = is("status", Status::Held.as_str());
    if run.counts.unassessed == 0 || run.approved_by.is_some() {
        return held;
    }
    let loose = is("situation", &Situation::Unassigned.to_string());
    Filter::And(vec![held, Filter::Not(Box::new(loose))])
}
