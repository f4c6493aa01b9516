//! Reconciliations for every caller: starting, looking, stopping, approving.
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    audit::{By, about_cancel, about_reset, about_run_by_hand},
    model::recon::{Entry, Run, RunState, Syncable, Wanted},
    store::{Found, Search},
};

use super::{App, Error};

/// How often somebody who waits for the end of a run looks.
const LOOK: Duration = Duration::from_millis(50);

impl App {
    /// Begins a reconciliation; it goes on by itself.
    ///
    /// # Errors
    /// 404 for an unknown mapping, 400 for what cannot be asked of it, 409 where a run of it is
    /// under way.
    pub async fn start_recon(
        &self,
        wanted: Wanted,
        caller: &str,
        transaction_id: &str,
    ) -> Result<Run, Error> {
        let recon = self.reconciler();
        Ok(recon.start(wanted, caller, transaction_id).await?)
    }

    /// Waits until a reconciliation is over, on whatever node it is.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn wait_for_recon(&self, id: Uuid) -> Result<Run, Error> {
        loop {
            let run = self.recon(id).await?;
            // Where partial syncs stand moves a little after the end.
            if run.state != RunState::Active && !self.reconciler().is_at_work(id) {
                return Ok(run);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A reconciliation as it stands.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn recon(&self, id: Uuid) -> Result<Run, Error> {
        Ok(self.reconciler().run(id).await?)
    }

    /// The latest reconciliations, newest first; of a mapping where one is named.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn recons(&self, mapping: Option<&str>) -> Result<Vec<Run>, Error> {
        Ok(self.store().runs(mapping).await?)
    }

    /// What a reconciliation found of each record, in the order in which they were met unless
    /// sorted otherwise.
    ///
    /// # Errors
    /// 404 where there is no such run, 400 for a search that cannot be answered.
    pub async fn recon_entries(&self, id: Uuid, search: &Search) -> Result<Found<Entry>, Error> {
        self.recon(id).await?;
        Ok(self.store().recon_entries(id, search).await?)
    }

    /// Asks a reconciliation to stop: `{_id, action, status}`.
    ///
    /// # Errors
    /// 404 where there is none, 409 where it is over.
    pub async fn cancel_recon(&self, id: Uuid, by: By<'_>) -> Result<Value, Error> {
        let run = self.reconciler().cancel(id).await?;
        self.audit_by_hand(about_cancel(self.clock(), by, &run));
        Ok(json!({"_id": id, "action": "cancel", "status": "INITIATED"}))
    }

    /// Carries out the deletions that a reconciliation held back.
    ///
    /// # Errors
    /// 404 where there is none, 409 where it holds nothing back or one of its mapping is under way.
    pub async fn approve_recon(&self, id: Uuid, caller: &str) -> Result<Run, Error> {
        Ok(self.reconciler().approve(id, caller).await?)
    }

    /// Where the partial syncs, schedules and quarantines of mappings stand.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn syncables(&self) -> Result<Vec<Syncable>, Error> {
        let mut syncables = self.reconciler().syncables().await?;
        // What a token holds is between Recant and the system.
        for one in &mut syncables {
            one.token = None;
        }
        Ok(syncables)
    }

    /// Lets the records go that an inbound connector class, `system/CONNECTOR/CLASS`, does not list any
    /// more: it is read in full soon. Gives how the class stands.
    ///
    /// # Errors
    /// 404 for an unknown class, 409 where it holds nothing back.
    pub async fn approve_sync(&self, name: &str, by: By<'_>) -> Result<Syncable, Error> {
        let known = self.syncables().await?;
        let known = known.into_iter().find(|one| one.name == name);
        let known = known.ok_or_else(|| Error::missing(format!("sync of {name}")))?;
        let Some(held) = known.held_back.filter(|held| held.approved_by.is_none()) else {
            return Err(Error::new(409, format!("{name} holds nothing back")));
        };
        let stands = self.store().change_syncable(name, |syncable| {
            // What was counted anew since is another matter.
            if let Some(now) = syncable.held_back.as_mut()
                && now.at == held.at
            {
                now.approved_by = Some(by.caller.to_owned());
            }
        });
        let stands = stands.await?;
        let detail = json!({"scope": name, "gone": held.gone, "because": held.because});
        self.audit_by_hand(about_run_by_hand(self.clock(), by, "approve", detail));
        Ok(Syncable {
            token: None,
            ..stands
        })
    }

    /// Moves back where partial syncs stand: of a mapping, of all mappings from or to `managed/TYPE`
    /// or `system/CONNECTOR/CLASS`, or of `all`. Gives their names.
    ///
    /// # Errors
    /// 404 where nothing has this name.
    pub async fn reset_syncs(
        &self,
        scope: &str,
        since: Option<DateTime<Utc>>,
        by: By<'_>,
    ) -> Result<Vec<String>, Error> {
        let names = self.reconciler().reset(scope, since).await?;
        self.audit_by_hand(about_reset(self.clock(), by, scope, since, &names));
        Ok(names)
    }
}
