//! Records of changes: looking, healing, resolving; and noting what was denied.
use crate::{
    audit,
    model::{OperationId, OperationRecord, Outcome},
    store::{Found, Search, Settlement},
    sync::shown,
};

use super::{App, Attempt, Error};

impl App {
    /// One change.
    ///
    /// # Errors
    /// 404 where there is no record of it.
    pub async fn operation(&self, id: OperationId) -> Result<OperationRecord, Error> {
        let stored = self.store().operation(id).await?;
        stored
            .map(shown)
            .ok_or_else(|| Error::missing(format!("operation {id}")))
    }

    /// Changes, newest first unless sorted otherwise.
    ///
    /// # Errors
    /// 400 for a search that cannot be answered.
    pub async fn operations(&self, search: &Search) -> Result<Found<OperationRecord>, Error> {
        let mut found = self.store().operations(search).await?;
        for record in &mut found.results {
            if record.outcome.is_none()
                && let Some(stored) = self.store().operation(record.id).await?
            {
                *record = shown(stored);
            }
        }
        Ok(found)
    }

    /// Retries the missing undo writes of a diverged change.
    ///
    /// # Errors
    /// 409 where it still diverges or is not diverged.
    pub async fn heal(&self, id: OperationId, caller: &str) -> Result<OperationRecord, Error> {
        let healed = Box::pin(self.engine().heal(id, caller)).await;
        healed.map_err(|refusal| {
            let outcome = refusal
                .detail
                .as_ref()
                .and_then(|detail| detail.get("outcome"));
            let diverged = outcome.is_some_and(|outcome| outcome == "diverged");
            Error {
                operation: (refusal.code != 404).then_some(id),
                outcome: diverged.then_some(Outcome::Diverged),
                ..Error::from(refusal)
            }
        })
    }

    /// Ends a divergence as it is.
    ///
    /// # Errors
    /// 409 where the change is not diverged, 400 without a reason.
    pub async fn resolve(
        &self,
        id: OperationId,
        reason: &str,
        caller: &str,
    ) -> Result<OperationRecord, Error> {
        Ok(self.engine().resolve(id, reason, caller).await?)
    }

    /// Records a denied access (401, 403) as one `access` entry, which is on disk then unless the
    /// disk is very slow. Gives the id that the entry holds as `operation`.
    pub async fn deny(&self, attempt: &Attempt<'_>) -> OperationId {
        let request = format!("{} {}", attempt.method, attempt.resource);
        let entry = audit::about_access(
            self.clock(),
            attempt.transaction_id,
            attempt.caller,
            &request,
            attempt.status,
            attempt.message,
        );
        self.note(entry).await
    }

    /// Records a change that was refused before the engine saw it as one `activity` entry with
    /// outcome `rejected`, which is on disk then unless the disk is very slow. Gives the id that the
    /// entry holds as `operation`.
    pub async fn refuse(&self, attempt: &Attempt<'_>) -> OperationId {
        let entry = audit::about_refusal(
            self.clock(),
            attempt.transaction_id,
            attempt.caller,
            (attempt.method, attempt.resource),
            attempt.status,
            attempt.message,
        );
        self.note(entry).await
    }

    async fn note(&self, mut entry: crate::model::audit::NewEntry) -> OperationId {
        let id = OperationId(self.clock().fresh_id());
        entry.operation = Some(id.0);
        let settlement = Settlement {
            audit: vec![entry],
            ..Settlement::default()
        };
        self.engine().write_down(settlement).await;
        id
    }
}
