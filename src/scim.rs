//! The SCIM 2.0 service at `/scim/v2` (RFC 7642 to 7644, RFC 9865): managed objects as users, groups
//! and other resources.
//!
//! Which types are resources, and which of their properties keep which attributes, is said in
//! `managed.json` and compiled into [`crate::model::scim`]. A request passes the `guard`, is read into
//! one form (`normal`, `patch`, `query`), and becomes a search of the store or a change for the engine,
//! the same as any other caller's. Nothing here writes to the store or to a target.
mod address;
mod answer;
mod body;
mod bulk;
mod call;
mod change;
mod discovery;
mod error;
mod guard;
mod kept;
mod list;
mod members;
mod merge;
mod normal;
mod patch;
mod query;
mod related;
mod render;
mod search;
mod selection;
mod turns;
mod veiled;
mod write;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{Router, routing::any};

use crate::{
    app::{App, Reach},
    clock::SharedClock,
};

/// Where the service is.
pub const ADDRESS: &str = "/scim/v2";

/// What the service works with. Cheap to clone.
#[derive(Clone)]
pub struct Scim {
    app: App,
    clock: SharedClock,
    settings: Arc<Settings>,
    rate: Option<Arc<guard::Rate>>,
    turns: Arc<turns::Turns>,
}

/// How the service treats requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the server can be reached from.
    pub reach: Reach,
    /// `http` or `https`: how the server is reached.
    pub scheme: &'static str,
    /// The service's address where it is reached by another one than requests name.
    pub base_url: Option<String>,
    /// Whether a caller may name the transaction of a change.
    pub trusts_transaction_header: bool,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// How long a body may take to arrive, and an answer to begin. A change goes on after that.
    pub request_time: Duration,
    /// Requests of one caller in a second, and at once; none: no bound.
    pub requests_per_second: Option<NonZeroU32>,
    /// Resources on one page.
    pub page_size: usize,
    /// Operations in one bulk request.
    pub bulk_operations: usize,
}

impl Scim {
    /// A service over these use-cases.
    #[must_use]
    pub fn new(app: App, clock: SharedClock, settings: Settings) -> Self {
        let rate = settings.requests_per_second.map(guard::Rate::new);
        Self {
            app,
            clock,
            turns: Arc::new(turns::Turns::new(settings.request_time)),
            settings: Arc::new(settings),
            rate: rate.map(Arc::new),
        }
    }

    /// Everything below [`ADDRESS`].
    pub fn into_router(self) -> Router {
        Router::new()
            .route(ADDRESS, any(guard::serve))
            .route("/scim/v2/", any(guard::serve))
            .route("/scim/v2/{*path}", any(guard::serve))
            .with_state(self)
    }
}
