//! The use-cases, for every caller: HTTP API, command line and embedding programs. The one place that wires.
pub mod access;
mod auditing;
mod background;
mod behind;
mod cases;
mod changes;
mod checkpoint_file;
pub mod cookies;
mod deliveries;
mod door;
mod error;
mod events;
pub mod export;
mod inbound;
mod insight;
mod integrations;
mod lockout;
mod objects;
mod open;
mod operations;
mod provider;
mod recon;
mod script_files;
mod script_save;
mod script_uses;
mod scripts;
mod sessions;
mod standing;
mod targets;
mod tokens;
mod trail;
mod veil;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, SharedClock},
    config::{Configuration, Problem},
    model::{OperationId, Outcome},
    recon::Reconciler,
    store::Store,
    sync::Engine,
};

pub use crate::audit::{By, Kind, Sentence, Story};
pub use crate::feed::{Force, Received};
pub use crate::model::signing::{Checkpoint, KeyProblem, Signer, Verifier};
pub use crate::model::trust::{Handover, HandoverProblem, Trust};
pub use crate::oidc::{Departure, Return};
pub use crate::store::{
    AuditLook, ChangeLook, Count, EventSearch, Found, HookVersion, ListedVersion, Looked,
    OutcomeIs, Proof, RunSearch, SavedSearch, Search, Signed, SortKey, StuckEvents, Token,
    Verification,
};
pub use access::{Attempt, Identity};
pub use checkpoint_file::thinned;
pub use deliveries::{Audience, SideEffects};
pub use door::{Arrival, ClientCertificate, Reach};
pub use error::Error;
pub use events::Events;
pub use inbound::Posted;
pub use insight::{HOOK_SAMPLE, ScriptRuns, Span, Trend};
pub use objects::Kept;
pub use open::{Builder, StartError};
pub use script_files::ScriptFile;
pub use script_save::{CaseWanted, ScriptEdit, TakenUp};
pub use script_uses::ScriptUse;
pub use sessions::{HeldSession, Session, SignedIn};
pub use standing::{Standing, Standings};
pub use tokens::NewToken;
pub use trail::Progress;
pub use veil::Veil;

/// How long what runs beside the changes may take to end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Recant at work on one project folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    engine: Engine,
    reconciler: Reconciler,
    clock: SharedClock,
    configuration: ArcSwap<Configuration>,
    problems: ArcSwap<Vec<Problem>>,
    tokens: ArcSwap<access::TokenBook>,
    door: door::Door,
    veils: ArcSwap<veil::Veils>,
    provider: arc_swap::ArcSwapOption<crate::oidc::Provider>,
    /// What keeps something else than the folder's latest edit out of force, by what it is about.
    notices: std::sync::Mutex<std::collections::BTreeMap<&'static str, Problem>>,
    keys: changes::KeysAtWork,
    counted: insight::Counted,
    own: open::OwnConnectors,
    subscriptions: crate::feed::Subscriptions,
    policies: crate::feed::retry::Policies,
    stop: CancellationToken,
    background: std::sync::Mutex<Vec<JoinHandle<()>>>,
    destinations: crate::audit::delivery::Statuses,
    verified: std::sync::Mutex<Option<trail::Verified>>,
    signed: std::sync::Mutex<Option<Checkpoint>>,
    walking: std::sync::Mutex<trail::Walking>,
    /// Held while a script or a file of cases is saved.
    saving: tokio::sync::Mutex<()>,
}

/// A change that was carried out: outcome `synced` or `partial`.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The root change.
    pub operation: OperationId,
    /// How it ended.
    pub outcome: Outcome,
    /// 200 or 201.
    pub status: u16,
    /// The body of the answer: the object without its confidential attributes (a delete gives the
    /// deleted one), or the `syncDetails` array of a notification.
    pub body: Value,
    /// The object's new revision.
    pub revision: Option<String>,
}

impl App {
    /// Whether configuration and store work (`/health/ready`), whatever the targets do.
    ///
    /// # Errors
    /// 503 where the store does not answer or write any more, or this node has lost its lease.
    pub async fn ready(&self) -> Result<(), Error> {
        if self.store().lease_left().is_zero() {
            return Err(Error::new(503, "this node has lost its lease on the store"));
        }
        if !self.store().is_writing() {
            return Err(Error::new(503, "this node's store cannot write any more"));
        }
        self.store().tokens().await?;
        Ok(())
    }

    /// The configuration in force.
    #[must_use]
    pub fn configuration(&self) -> Arc<Configuration> {
        self.parts.configuration.load_full()
    }

    /// `{"problems": […]}`: what keeps the folder's latest edit out of force, and warnings.
    #[must_use]
    pub fn problems(&self) -> Value {
        let notices = self.notices();
        let folder = self.parts.problems.load();
        let all: Vec<&Problem> = folder.iter().chain(notices.values()).collect();
        json!({"problems": all})
    }

    /// Lists something about a file of the folder, or lists it no more, that is found while the
    /// program runs: such as a certificate that cannot be taken up.
    pub fn notice(&self, about: &'static str, problem: Option<(&str, String)>) {
        let mut notices = self.notices();
        match problem {
            Some((file, message)) => notices.insert(about, Problem::of_file(file, message)),
            None => notices.remove(about),
        };
    }

    fn notices(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<&'static str, Problem>> {
        let notices = self.parts.notices.lock();
        notices.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.parts.engine
    }

    /// Waits for what is in flight, at most `patience`, and closes. What is not over by then is
    /// finished by the next start.
    pub async fn close(&self, patience: Duration) {
        self.parts.stop.cancel();
        if tokio::time::timeout(patience, self.reconciler().close())
            .await
            .is_err()
        {
            tracing::warn!("a reconciliation is still at work; the next start goes on with it");
        }
        if tokio::time::timeout(patience, self.engine().drain())
            .await
            .is_err()
        {
            tracing::warn!("changes are still in flight; the next start finishes them");
        }
        self.sign_last().await;
        let tasks = self.take_background();
        let handles: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        // Each gives free at its end what it holds for other nodes.
        if tokio::time::timeout(LAST_WORDS.min(patience), join_all(tasks))
            .await
            .is_err()
        {
            handles.iter().for_each(tokio::task::AbortHandle::abort);
        }
        if let Err(error) = self.store().close().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the store did not close"
            );
        }
    }

    fn take_background(&self) -> Vec<JoinHandle<()>> {
        let mut tasks = self
            .parts
            .background
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *tasks)
    }

    fn reconciler(&self) -> &Reconciler {
        &self.parts.reconciler
    }

    fn store(&self) -> &Store {
        self.engine().store()
    }

    fn clock(&self) -> &dyn Clock {
        self.parts.clock.as_ref()
    }

    fn keys(&self) -> &changes::KeysAtWork {
        &self.parts.keys
    }

    fn token_book(&self) -> Arc<access::TokenBook> {
        self.parts.tokens.load_full()
    }

    /// Goes by this book from now on, unless a younger one came first.
    fn keep_token_book(&self, book: access::TokenBook) {
        let book = Arc::new(book);
        self.parts.tokens.rcu(|known| {
            let newest = if known.began() > book.began() {
                known
            } else {
                &book
            };
            Arc::clone(newest)
        });
    }
}
