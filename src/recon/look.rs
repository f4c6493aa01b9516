//! Asking the engine to look at records, many at a time, and noting what it found.
use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt as _};

use crate::{
    model::{
        OperationId, Situation,
        recon::{Run, Side},
    },
    sync::{Deeds, Finding, Inspected, Inspection, Recalled, Refusal, Standing, Subject},
};

use super::{
    classify::pair_digest,
    report,
    run::{LOOKS, Step, Stop, Task},
};

impl Task {
    /// Looks at source objects. Those that may find the same target are looked at twice: first
    /// what each would find, then, where two find one, one after the other.
    pub(super) async fn look_in_order(
        &self,
        run: &mut Run,
        linked: Vec<String>,
        unlinked: Vec<String>,
        step: &mut Step,
    ) -> Result<(), Stop> {
        let linked = linked.into_iter().map(Subject::Source).collect();
        let linked = self.inspections(run, linked);
        for (subject, looked) in self.look_at_all(run, linked).await {
            self.note(run, Side::Source, &subject, looked, step)?;
        }
        let (alone, rivals) = self.rivals(run, unlinked).await;
        let alone = alone.into_iter().map(Subject::Source).collect();
        let alone = self.inspections(run, alone);
        for (subject, looked) in self.look_at_all(run, alone).await {
            run.counts.unassessed += u64::from(looked.is_err());
            self.note(run, Side::Source, &subject, looked, step)?;
        }
        for id in rivals {
            let subject = Subject::Source(id);
            let looked = self.look_knowing(run, subject.clone(), step).await;
            run.counts.unassessed += u64::from(looked.is_err());
            self.note(run, Side::Source, &subject, looked, step)?;
        }
        Ok(())
    }

    /// Parts source objects without a link into those that find a target of their own and those
    /// that find one that another one finds too.
    async fn rivals(&self, run: &Run, ids: Vec<String>) -> (Vec<String>, Vec<String>) {
        if ids.is_empty() {
            return (ids, Vec::new());
        }
        let looks = ids.into_iter().map(|id| async move {
            let subject = Subject::Source(id.clone());
            let inspection = self.inspection(run, subject, Deeds::Nothing);
            let looked = self.look(run, inspection).await;
            let found = looked.map_or_else(|_| Vec::new(), |inspected| targets_of(&inspected));
            (id, found)
        });
        let found: Vec<(String, Vec<String>)> = stream::iter(looks).buffered(LOOKS).collect().await;
        let all: Vec<String> = found.iter().flat_map(|(_, found)| found.clone()).collect();
        let earlier = self.engine.store().targets_met(run.id, &all).await;
        let earlier = earlier.unwrap_or_default();
        let mut counts = HashMap::<&str, usize>::new();
        for target in &all {
            *counts.entry(target).or_default() += 1;
        }
        let is_rival = |(_, targets): &(String, Vec<String>)| {
            targets.iter().any(|target| {
                counts.get(target.as_str()).copied().unwrap_or_default() > 1
                    || run.wanted.dry_run && earlier.contains(target)
            })
        };
        let (rivals, alone): (Vec<_>, Vec<_>) = found.iter().cloned().partition(is_rival);
        let ids = |list: Vec<(String, Vec<String>)>| list.into_iter().map(|(id, _)| id).collect();
        (ids(alone), ids(rivals))
    }

    /// Looks at a source object when all before it in this run are known. A dry run sets no links,
    /// so it is told which targets would have been linked by now.
    async fn look_knowing(
        &self,
        run: &Run,
        subject: Subject,
        step: &Step,
    ) -> Result<Inspected, Refusal> {
        let inspection = self.inspection(run, subject.clone(), self.deeds(run));
        let looked = self.look(run, inspection).await?;
        if !run.wanted.dry_run {
            return Ok(looked);
        }
        let targets = targets_of(&looked);
        let mut taken: Vec<String> = step
            .page
            .entries
            .iter()
            .filter_map(|entry| entry.target_object_id.clone())
            .filter(|id| targets.contains(id))
            .collect();
        let earlier = self.engine.store().targets_met(run.id, &targets).await?;
        taken.extend(earlier);
        if taken.is_empty() {
            return Ok(looked);
        }
        let inspection = Inspection {
            taken,
            ..self.inspection(run, subject, Deeds::Nothing)
        };
        self.engine.inspect(inspection).await
    }

    pub(super) async fn look_at_all(
        &self,
        run: &Run,
        inspections: Vec<Inspection>,
    ) -> Vec<(Subject, Result<Inspected, Refusal>)> {
        let looks = inspections.into_iter().map(|inspection| async move {
            if self.cancel.is_cancelled() {
                return None;
            }
            let subject = inspection.subject.clone();
            let looked = self.look(run, inspection).await;
            Some((subject, looked))
        });
        let looked: Vec<_> = stream::iter(looks).buffered(LOOKS).collect().await;
        looked.into_iter().flatten().collect()
    }

    /// Looks at a record. A run that was cut off may have put it right already: then that is told.
    pub(super) async fn look(
        &self,
        run: &Run,
        inspection: Inspection,
    ) -> Result<Inspected, Refusal> {
        if run.attempt == 1 || inspection.deeds == Deeds::Nothing {
            return self.engine.inspect(inspection).await;
        }
        let mut inspected = self.engine.inspect(inspection.clone()).await?;
        self.remember(run, &inspection, &mut inspected).await?;
        Ok(inspected)
    }

    /// Tells of what is found in order, but was put right by this very run, what it did.
    async fn remember(
        &self,
        run: &Run,
        inspection: &Inspection,
        inspected: &mut Inspected,
    ) -> Result<(), Refusal> {
        let findings = &mut inspected.findings;
        if findings.iter().any(|one| one.standing != Standing::Agreed) {
            return Ok(());
        }
        let target = findings.iter().find_map(|one| one.target_id.clone());
        let since = OperationId(run.id);
        let recalled = self.engine.recall(inspection, since, target.as_deref());
        // Deletions are carried out when everything else is over, and looked at again then.
        let deletes = inspection.deeds == Deeds::Everything;
        let only = inspection.qualifier.as_ref();
        let mut told = HashSet::new();
        for one in recalled.await? {
            let Recalled { finding, operation } = one;
            let qualifier = finding.link_qualifier.clone();
            let is_asked_for = only.is_none_or(|only| *only == qualifier);
            if finding.removes != deletes || !is_asked_for || !told.insert(qualifier.clone()) {
                continue;
            }
            inspected.operation = inspected.operation.or(Some(operation));
            match findings
                .iter_mut()
                .find(|one| one.link_qualifier == qualifier)
            {
                Some(known) => {
                    *known = Finding {
                        agreement: known.agreement.take(),
                        met: std::mem::take(&mut known.met),
                        ..finding
                    };
                }
                None => findings.push(finding),
            }
        }
        Ok(())
    }

    /// Looks at these records as the run allows.
    pub(super) fn inspections(&self, run: &Run, subjects: Vec<Subject>) -> Vec<Inspection> {
        let deeds = self.deeds(run);
        let subjects = subjects.into_iter();
        subjects
            .map(|subject| self.inspection(run, subject, deeds))
            .collect()
    }

    pub(super) fn inspection(&self, run: &Run, subject: Subject, deeds: Deeds) -> Inspection {
        Inspection {
            mapping: self.mapping.name.clone(),
            subject,
            run: run.id.to_string(),
            caller: run.responsible().to_owned(),
            transaction_id: run.transaction_id.clone(),
            deeds,
            taken: Vec::new(),
            qualifier: None,
        }
    }

    /// What may be done while records are looked at: deletions wait for the end.
    pub(super) fn deeds(&self, run: &Run) -> Deeds {
        if run.wanted.dry_run {
            Deeds::Nothing
        } else {
            Deeds::AllButDeletions
        }
    }

    /// Counts what was found and keeps what there is to tell.
    pub(super) fn note(
        &self,
        run: &mut Run,
        side: Side,
        subject: &Subject,
        looked: Result<Inspected, Refusal>,
        step: &mut Step,
    ) -> Result<(), Stop> {
        let inspected = match looked {
            Ok(inspected) => inspected,
            Err(refusal) if refusal.code == 404 => return Err(Stop::Failed(refusal.message)),
            Err(refusal) => {
                let entry = report::unseen(run, side, subject, &refusal);
                step.page.entries.push(entry);
                return Ok(());
            }
        };
        for mut finding in inspected.findings {
            if side == Side::Source {
                step.page.met.append(&mut finding.met);
                let is_open = self.mapping.correlation.is_some()
                    && finding.situation.is_none()
                    && finding.target_id.is_none();
                run.counts.unassessed += u64::from(is_open);
            }
            let is_gone = finding.situation == Some(Situation::AllGone);
            if is_gone && run.wanted.ids.is_empty() {
                continue;
            }
            if let (Some(agreement), Some(source)) = (&finding.agreement, &finding.source_id)
                && !run.wanted.dry_run
                && self.mapping.confidential.is_empty()
            {
                let digest = pair_digest(
                    &run.sync_version,
                    &agreement.target_id,
                    &agreement.source,
                    &agreement.target,
                );
                let qualifier = finding.link_qualifier.clone();
                step.page.digests.push((qualifier, source.clone(), digest));
            }
            let entry = report::found(run, side, finding, inspected.operation);
            step.page.entries.extend(entry);
        }
        Ok(())
    }
}

/// The targets that sources without a link would get.
fn targets_of(inspected: &Inspected) -> Vec<String> {
    let findings = inspected.findings.iter();
    findings
        .filter(|finding| finding.situation == Some(Situation::Found))
        .filter_map(|finding| finding.target_id.clone())
        .collect()
}
