//! Divergences that reconciliations have put right: their end is written down.
use crate::{
    model::{
        Filter, OperationRecord, Outcome,
        filter::Operator,
        pointer::Pointer,
        recon::{Run, RunState, Status},
    },
    store::{self, Count, Search},
};

use super::Reconciler;

/// How many divergences are looked at.
const MOST: usize = 1_000;

impl Reconciler {
    /// Ends each open divergence whose targets were all found, or put, right by a whole run of their
    /// mappings that began after it.
    pub(super) async fn end_divergences(&self, run: &Run) -> Result<usize, store::Error> {
        let is_word = run.whole && !run.wanted.dry_run && run.state == RunState::Success;
        if !is_word {
            return Ok(0);
        }
        let mut ended = 0;
        for record in self.open_divergences().await? {
            let concerned = record.diverged.iter().any(|one| one.mapping == run.mapping);
            if !concerned || !self.is_put_right(&record).await? {
                continue;
            }
            let reason = format!("put right by reconciliation {}", run.id);
            let engine = &self.parts.engine;
            match engine.resolve(record.id, &reason, &run.caller).await {
                Ok(_) => ended += 1,
                Err(refusal) => tracing::warn!(operation = %record.id, reason = refusal.message,
                    "a divergence that was put right stays open"),
            }
        }
        Ok(ended)
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

    /// Whether each mapping that diverged was reconciled since without a failure of this object.
    async fn is_put_right(&self, record: &OperationRecord) -> Result<bool, store::Error> {
        for one in &record.diverged {
            let runs = self.store().runs(Some(&one.mapping)).await?;
            let since = runs.into_iter().find(|run| {
                run.whole
                    && !run.wanted.dry_run
                    && run.state == RunState::Success
                    && record.ended_at.is_some_and(|ended| run.started > ended)
            });
            let Some(run) = since else {
                return Ok(false);
            };
            if self.is_left(&run, &record.object.id).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a run could not put an object right.
    async fn is_left(&self, run: &Run, source_id: &str) -> Result<bool, store::Error> {
        if run.counts.failures == 0 && run.counts.held == 0 {
            return Ok(false);
        }
        let search = Search {
            filter: Filter::Compare {
                field: Pointer::attribute("sourceObjectId"),
                operator: Operator::Equal,
                value: source_id.into(),
            },
            sort: Vec::new(),
            page_size: None,
            cookie: None,
            offset: 0,
            count: Count::None,
        };
        let entries = self.store().recon_entries(run.id, &search).await?;
        Ok(entries
            .results
            .iter()
            .any(|entry| entry.status != Status::Success))
    }
}

/// Whether a change diverged for itself.
fn is_own(record: &OperationRecord) -> bool {
    record.purpose != crate::model::Purpose::Compensation
}
