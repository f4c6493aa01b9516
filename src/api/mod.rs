//! JSON over HTTP: CREST resources, operations, audit, scripts, probes (SPEC 4).
//!
//! A request passes the [`guard`] first, which finds out who asks and whether they may, then reaches
//! its handler in the file of its resource. Handlers only translate: every decision is the use-case's.
mod access;
mod address;
mod answer;
mod audit;
mod body;
mod call;
mod change;
mod config;
mod error;
mod events;
mod export;
mod guard;
mod health;
mod integrations;
mod managed;
mod openapi;
mod operations;
mod page;
mod parameters;
mod recon;
mod script;
mod sync;
mod system;
mod tokens;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, middleware};
use metrics_exporter_prometheus::PrometheusHandle;

pub use openapi::document;

use crate::{
    app::{App, Reach},
    clock::SharedClock,
};

/// What the API works with. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    app: App,
    clock: SharedClock,
    metrics: PrometheusHandle,
    settings: Arc<Settings>,
    rate: Option<Arc<guard::Rate>>,
    draining: Arc<AtomicBool>,
}

/// How the API treats requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bounds on what one request may take.
    pub limits: Limits,
    /// Where the server can be reached from; without tokens only this machine is answered.
    pub reach: Reach,
    /// Whose word is taken for the transaction id.
    pub transactions: TransactionIds,
}

/// Bounds on what one request, or one caller, may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// How long a body may take to arrive, and an answer to begin. A change goes on after that.
    pub request_time: Duration,
    /// Requests of one caller in a second, and at once; none: no bound.
    pub requests_per_second: Option<NonZeroU32>,
}

/// Where transaction ids come from (`trust_transaction_header`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionIds {
    /// Every request gets a fresh one.
    Fresh,
    /// From the `X-ForgeRock-TransactionId` or `X-Request-Id` of the caller, where it sends one.
    FromCaller,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            request_time: Duration::from_secs(120),
            requests_per_second: NonZeroU32::new(50_000),
        }
    }
}

impl Api {
    /// An API over these use-cases; `metrics` renders what `/metrics` shows.
    #[must_use]
    pub fn new(
        app: App,
        clock: SharedClock,
        metrics: PrometheusHandle,
        settings: Settings,
    ) -> Self {
        let rate = settings.limits.requests_per_second.map(guard::Rate::new);
        Self {
            app,
            clock,
            metrics,
            settings: Arc::new(settings),
            rate: rate.map(Arc::new),
            draining: Arc::new(AtomicBool::new(false)),
        }
    }

    /// From now on `/health/ready` answers 503: no new work should be sent here.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Everything of SPEC 4 as one service.
    pub fn into_router(self) -> Router {
        let (router, _) = openapi::routes().split_for_parts();
        router
            .fallback(guard::nothing_here)
            .layer(middleware::from_fn_with_state(self.clone(), guard::guard))
            .with_state(self)
    }
}
