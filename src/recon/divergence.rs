//! Divergences that reconciliations have put right: their end is written down.
use std::sync::Arc;

use crate::{
    mapping::Mapping,
    model::{
        Action, Container, Filter, OperationRecord, Outcome, Situation,
        filter::Operator,
        pointer::Pointer,
        recon::{Run, RunState},
        record::Divergence,
    },
    store::{self, Count, Search},
    sync::{Deeds, Finding, Inspection, Refusal, Standing, Subject},
};

use super::Reconciler;

/// How many divergences are looked at.
const MOST: usize = 1_000;

impl Reconciler {
    /// Ends each open divergence that a run of its mapping (or of its object alone) may have put
    /// right, where it is right now.
    pub(super) async fn end_divergences(&self, run: &Run) -> Result<usize, store::Error> {
        let is_word = run.whole && !run.wanted.dry_run && run.state == RunState::Success;
        if !is_word {
            return Ok(0);
        }
        let ids = &run.wanted.ids;
        let mut ended = 0;
        for record in self.open_divergences().await? {
            let is_met = ids.is_empty() || ids.contains(&record.object.id);
            let concerned = record.diverged.iter().any(|one| one.mapping == run.mapping);
            if !is_met || !concerned {
                continue;
            }
            match self.end_divergence(run, &record).await {
                Ok(is_over) => ended += usize::from(is_over),
                Err(refusal) => tracing::warn!(operation = %record.id, reason = refusal.message,
                    "a divergence that may be put right stays open"),
            }
        }
        Ok(ended)
    }

    async fn end_divergence(&self, run: &Run, record: &OperationRecord) -> Result<bool, Refusal> {
        if !self.is_put_right(run, record).await? {
            return Ok(false);
        }
        let reason = format!("put right by reconciliation {}", run.id);
        let engine = &self.parts.engine;
        engine
            .resolve(record.id, &reason, run.responsible())
            .await?;
        Ok(true)
    }

    async fn open_divergences(&self) -> Result<Vec<OperationRecord>, store::Error> {
        let outcome = Filter::Compare {
            field: Pointer::attribute("outcome"),
            operator: Operator::Equal,
            value: Outcome::Diverged.as_str().into(),
        };
        let ended = Filter::Present(Pointer::attribute("resolution"));
        let search = Search {
            filter: Filter::And(vec![outcome, Filter::Not(Box::new(ended))]),
            sort: Vec::new(),
            page_size: Some(MOST),
            cookie: None,
            offset: 0,
            count: Count::None,
        };
        let found = self.store().operations(&search).await?;
        let mut records = found.results;
        // A compensation diverges with its parent, which tells of the end of both.
        records.retain(|record| record.parent.is_none_or(|_| is_own(record)));
        Ok(records)
    }

    /// Whether nothing is left of a divergence: looked at now, since the run may have left it out, or
    /// found it and have no word to put it right.
    async fn is_put_right(&self, run: &Run, record: &OperationRecord) -> Result<bool, Refusal> {
        for one in &record.diverged {
            if !self.agrees(run, record, one).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether source and target of one mapping agree, and no target object is left without a source.
    async fn agrees(
        &self,
        run: &Run,
        record: &OperationRecord,
        one: &Divergence,
    ) -> Result<bool, Refusal> {
        let engine = &self.parts.engine;
        let setup = engine.setup();
        let named = |mapping: &&Arc<Mapping>| mapping.name == one.mapping;
        let mapping = setup.mappings.iter().find(named);
        // The objects of a system are no changes that could have diverged.
        let is_stored = |mapping: &&Arc<Mapping>| matches!(mapping.source, Container::Managed(_));
        let Some(mapping) = mapping.filter(is_stored) else {
            return Ok(false);
        };
        let look = |subject: Subject| Inspection {
            mapping: mapping.name.clone(),
            subject,
            run: run.id.to_string(),
            caller: run.responsible().to_owned(),
            transaction_id: run.transaction_id.clone(),
            deeds: Deeds::Nothing,
            taken: Vec::new(),
            qualifier: None,
        };
        let source = Subject::Source(record.object.id.clone());
        let inspected = engine.inspect(look(source)).await?;
        if !inspected.findings.iter().all(is_right) {
            return Ok(false);
        }
        let Some(id) = &one.target_id else {
            return Ok(true);
        };
        let qualifiers = engine.qualifiers(mapping).await;
        let qualifiers = qualifiers.map_err(|message| Refusal::new(503, message))?;
        for qualifier in qualifiers {
            let id = id.clone();
            let inspected = engine
                .inspect(look(Subject::Target { qualifier, id }))
                .await?;
            // It is gone, or has a source.
            if inspected.findings.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a source has what its mapping gives it: a target that holds the same, or none at all.
fn is_right(finding: &Finding) -> bool {
    let situation = finding.situation;
    let is_pair = situation == Some(Situation::Confirmed) && finding.action == Some(Action::Update);
    let is_nothing = matches!(
        situation,
        Some(Situation::AllGone | Situation::SourceIgnored)
    );
    finding.standing == Standing::Agreed && (is_pair || is_nothing)
}

/// Whether a change diverged for itself.
fn is_own(record: &OperationRecord) -> bool {
    record.purpose != crate::model::Purpose::Compensation
}
