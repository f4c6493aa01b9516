//! Pages for auditors and admins under `/ui`: rendered here, small, and whole without a script.
//!
//! A request passes the [`guard`] first, which finds out who is there, whether they may see or do
//! this (the table in [`rights`]: as the API endpoint with the same use), and whether a form is this
//! session's own. Handlers ask the use-cases and fill a template; [`live`] tells open pages that
//! something has changed.
mod address;
mod assets;
mod audit;
mod change;
mod changes;
mod chart;
mod connectors;
mod difference;
mod form;
mod guard;
mod hook;
mod hook_case;
mod hooks;
mod layout;
mod live;
mod markup;
mod me;
mod object;
mod objects;
mod overview;
mod queue;
mod rate;
mod recon;
mod recon_run;
mod rights;
mod routes;
mod searches;
mod sides;
mod sign_in;
mod tokens;
mod trouble;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, middleware};

use crate::{
    app::{App, Reach},
    clock::SharedClock,
};

/// The pages of one server. Cheap to clone.
#[derive(Clone)]
pub struct Pages {
    app: App,
    clock: SharedClock,
    settings: Arc<Settings>,
    draining: Arc<AtomicBool>,
    pulse: Arc<live::Pulse>,
    watching: Arc<tokio::sync::Semaphore>,
    rate: Option<Arc<rate::Rate>>,
}

/// How pages treat requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the server can be reached from.
    pub reach: Reach,
    /// Bytes of a form.
    pub body_bytes: usize,
    /// How long a form may take to arrive.
    pub body_time: Duration,
    /// Requests of one visitor in a second, and at once; none: no bound.
    pub requests_per_second: Option<NonZeroU32>,
}

/// How many open pages are told of changes at once.
const WATCHING: usize = 200;

impl Pages {
    /// Pages over these use-cases.
    #[must_use]
    pub fn new(app: App, clock: SharedClock, settings: Settings) -> Self {
        let rate = settings.requests_per_second.map(rate::Rate::new);
        Self {
            app,
            clock,
            rate: rate.map(Arc::new),
            settings: Arc::new(settings),
            draining: Arc::default(),
            pulse: Arc::default(),
            watching: Arc::new(tokio::sync::Semaphore::new(WATCHING)),
        }
    }

    /// From now on open pages are told to come back later.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Everything under `/ui` as one service.
    pub fn into_router(self) -> Router {
        routes::routes()
            .layer(middleware::from_fn_with_state(self.clone(), guard::guard))
            .with_state(self)
    }
}
