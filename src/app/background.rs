//! What runs beside the changes: taking up edits of the folder, recovery, forgetting, fresh tokens.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    audit,
    config::{self, Configuration, Loaded, Problem, State},
    feed::{Sender, Worker, pump},
    model::audit::NewEntry,
    store::Settlement,
    sync::Waiting,
};

use super::{App, Error, deliveries::subscriptions, inbound::policies, open::setup};

/// How often dead nodes are looked for and waiting changes are tried again.
const RECOVERY: Duration = Duration::from_secs(2);
/// How often tokens are read anew: within two seconds (SPEC 1 asks the same of configuration).
const TOKENS: Duration = Duration::from_millis(1_500);
/// How often it is looked whether another configuration is in force.
pub(super) const CONFIGURED: Duration = Duration::from_millis(500);
/// How often kept runs of hooks are bounded.
const TIDYING: Duration = Duration::from_secs(60);
/// How often what is too old is dropped.
const FORGETTING: Duration = Duration::from_secs(600);
/// How long an idempotency key is kept (SPEC 4).
const KEYS_KEPT: chrono::Duration = chrono::Duration::hours(24);

impl App {
    /// Starts what runs beside the changes.
    pub(super) fn start(&self, state: State, load: impl Fn() -> Loaded + Send + Sync + 'static) {
        let tasks = vec![
            tokio::spawn(self.clone().keep_recovering()),
            tokio::spawn(self.clone().keep_reconciling()),
            tokio::spawn(self.clone().keep_tokens()),
            tokio::spawn(self.clone().keep_forgetting()),
            tokio::spawn(self.clone().keep_few_runs()),
            tokio::spawn(self.clone().keep_signing()),
            tokio::spawn(self.clone().keep_pruning()),
            tokio::spawn(self.clone().keep_delivering()),
            tokio::spawn(self.clone().keep_live()),
            tokio::spawn(self.clone().keep_integrating()),
            tokio::spawn(self.pumping()),
            tokio::spawn(self.clone().keep_configured(state, load)),
        ];
        let mut background = self
            .parts
            .background
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        background.extend(tasks);
    }

    async fn keep_integrating(self) {
        match Sender::new(Arc::clone(&self.parts.subscriptions)) {
            Ok(sender) => {
                let clock = Arc::clone(&self.parts.clock);
                let policies = Arc::clone(&self.parts.policies);
                let worker = Worker::new(self.engine().clone(), clock, sender, policies);
                worker.run(self.parts.stop.clone()).await;
            }
            Err(error) => tracing::error!(%error, "nothing is sent: there is no HTTP client"),
        }
    }

    fn pumping(&self) -> impl Future<Output = ()> + use<> {
        pump(
            self.store().clone(),
            Arc::clone(&self.parts.clock),
            Arc::clone(&self.parts.subscriptions),
            self.parts.stop.clone(),
        )
    }

    async fn keep_recovering(self) {
        let mut waiting = Waiting::default();
        loop {
            if let Err(error) = self.engine().recover(&mut waiting).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "recovery cannot look"
                );
            }
            if self.stopped_within(RECOVERY).await {
                return;
            }
        }
    }

    async fn keep_reconciling(self) {
        while !self.stopped_within(RECOVERY).await {
            let taken = self.reconciler().take_up().await;
            let scheduled = self.reconciler().run_schedules().await;
            for error in [taken.err(), scheduled.err()].into_iter().flatten() {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "reconciliations that wait or are due cannot be looked for"
                );
            }
        }
    }

    async fn keep_tokens(self) {
        while !self.stopped_within(TOKENS).await {
            let noted = self.note_uses().await;
            if let Err(error) = noted.and(self.refresh_tokens().await) {
                tracing::error!(%error, "tokens cannot be read anew");
            }
        }
    }

    async fn keep_forgetting(self) {
        loop {
            if let Err(error) = self.forget().await {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot forget");
            }
            if self.stopped_within(FORGETTING).await {
                return;
            }
        }
    }

    /// Bounds how many runs of hooks are kept.
    async fn keep_few_runs(self) {
        while !self.stopped_within(TIDYING).await {
            let configuration = self.configuration();
            let kept = chrono::Duration::from_std(configuration.journal.keep).ok();
            let before = kept.and_then(|kept| self.clock().now().checked_sub_signed(kept));
            let before = before.unwrap_or(chrono::DateTime::UNIX_EPOCH);
            let most = u64::try_from(configuration.hooks.keep_runs).unwrap_or(u64::MAX);
            if let Err(error) = self.store().forget_hook_runs(before, most).await {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot forget");
            }
        }
    }

    async fn forget(&self) -> Result<(), Error> {
        let now = self.clock().now();
        let kept = chrono::Duration::from_std(self.configuration().journal.keep)
            .unwrap_or(chrono::Duration::MAX);
        if let Some(before) = now.checked_sub_signed(kept) {
            let dropped = self.store().forget_intents(before).await?;
            if dropped > 0 {
                tracing::info!(
                    dropped,
                    "dropped old objects and pre-images of settled changes"
                );
            }
        }
        if let Some(before) = now.checked_sub_signed(kept) {
            self.store().forget_runs(before).await?;
        }
        if let Some(before) = now.checked_sub_signed(KEYS_KEPT) {
            self.store().forget_keys(before).await?;
        }
        self.forget_sessions().await?;
        let settled = self.configuration().events.keep_settled;
        let settled = chrono::Duration::from_std(settled).unwrap_or(chrono::Duration::MAX);
        if let Some(before) = now.checked_sub_signed(settled) {
            let dropped = self.store().forget_integrations(before).await?;
            if dropped > 0 {
                tracing::info!(dropped, "dropped settled integration events and deliveries");
            }
        }
        let dropped = self.forget_events().await?;
        if dropped > 0 {
            tracing::info!(dropped, "dropped old events of the change feed");
        }
        Ok(())
    }

    async fn keep_configured(
        self,
        state: State,
        load: impl Fn() -> Loaded + Send + Sync + 'static,
    ) {
        let (mut states, _watcher) = config::watch(state, load);
        loop {
            tokio::select! {
                () = self.parts.stop.cancelled() => return,
                changed = states.changed() => if changed.is_err() {
                    tracing::error!("the folder is not watched any more; edits need a restart");
                    return;
                },
            }
            let state = Arc::clone(&states.borrow_and_update());
            self.take_up(&state);
        }
    }

    /// Puts a good configuration in force, and lists what is not.
    fn take_up(&self, state: &State) {
        let before = self.configuration();
        self.parts.problems.store(Arc::new(state.problems.clone()));
        if Arc::ptr_eq(&before, &state.configuration) {
            for problem in state.problems.iter().filter(|problem| problem.is_error()) {
                tracing::warn!(%problem, "the folder's latest edit is not in force");
            }
            return;
        }
        let old_setup = self.engine().setup();
        let provider = self.provider_of(&state.configuration);
        let setup = setup(
            &state.configuration,
            &self.parts.own,
            Some((&before, &old_setup)),
        );
        match setup.and_then(|setup| Ok((setup, provider?))) {
            Ok((setup, provider)) => {
                self.keep_provider(provider);
                self.store()
                    .set_confidential(state.configuration.confidential());
                self.guard_unique(&before, &state.configuration);
                self.engine().configure(setup);
                self.parts
                    .configuration
                    .store(Arc::clone(&state.configuration));
                self.parts.veils.store(Arc::default());
                self.parts
                    .subscriptions
                    .store(subscriptions(&state.configuration));
                self.parts.policies.store(policies(&state.configuration));
                tracing::info!("a new configuration is in force");
                self.note_configuration(&before, &state.configuration);
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an edit is not in force"
                );
                let mut problems = state.problems.clone();
                problems.push(Problem::of_file(
                    "recant.toml",
                    format!("the configuration cannot be put in force: {}", told(&error)),
                ));
                self.parts.problems.store(Arc::new(problems));
            }
        }
    }

    /// Sees to it that what must be unique now is; what is stored already is gone through meanwhile.
    fn guard_unique(&self, before: &Configuration, after: &Configuration) {
        let rules = after.unique();
        if rules == before.unique() {
            return;
        }
        let store = self.store().clone();
        tokio::spawn(async move {
            if let Err(error) = store.guard_unique(rules).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what is stored was not gone through for values that must be unique: restart"
                );
            }
        });
    }

    /// An audit entry for each file that changed.
    fn note_configuration(&self, before: &Configuration, after: &Configuration) {
        let changed = changed_files(&before.files, &after.files);
        let scripts = changed
            .iter()
            .filter_map(|(file, ..)| file.strip_prefix("hooks/"));
        let scripts: Vec<String> = scripts.map(str::to_owned).collect();
        let app = self.clone();
        tokio::spawn(async move { app.note_found_versions(scripts).await });
        let audit: Vec<NewEntry> = changed_files(&before.files, &after.files)
            .into_iter()
            .map(|(file, old, new)| audit::about_configuration(self.clock(), file, old, new))
            .collect();
        let _ = self.store().settle(Settlement {
            audit,
            ..Settlement::default()
        });
    }

    pub(super) async fn stopped_within(&self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.parts.stop.cancelled())
            .await
            .is_ok()
    }
}

/// An error with everything that caused it.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

type Changed<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Files whose digest is another, with both digests.
fn changed_files<'a>(
    before: &'a BTreeMap<String, String>,
    after: &'a BTreeMap<String, String>,
) -> Vec<Changed<'a>> {
    let gone = before
        .iter()
        .filter(|(file, _)| !after.contains_key(*file))
        .map(|(file, digest)| (file.as_str(), Some(digest.as_str()), None));
    let there = after.iter().filter_map(|(file, digest)| {
        let old = before.get(file).map(String::as_str);
        (old != Some(digest)).then_some((file.as_str(), old, Some(digest.as_str())))
    });
    gone.chain(there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(file, digest)| ((*file).to_owned(), (*digest).to_owned()))
            .collect()
    }

    #[test]
    fn added_changed_and_deleted_files_are_told() {
        let before = files(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let after = files(&[("b", "2"), ("c", "1"), ("d", "1")]);
        assert_eq!(
            changed_files(&before, &after),
            [
                ("a", Some("1"), None),
                ("b", Some("1"), Some("2")),
                ("d", None, Some("1"))
            ]
        );
    }
}
