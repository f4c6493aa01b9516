//! Which address is answered by which page.
use axum::{
    Router,
    routing::{get, post},
};

use super::{Pages, assets, change, changes, guard, live, overview, searches, sign_in};

/// The routes, each of which is in the table of rights.
pub(super) fn routes() -> Router<Pages> {
    Router::new()
        .route("/ui/assets/{name}", get(assets::asset))
        .route("/ui/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/ui/sign-out", post(sign_in::sign_out))
        .route("/ui", get(overview::page))
        .route("/ui/{*rest}", get(guard::nothing_here))
        .route("/ui/live", get(live::stream))
        .route("/ui/changes", get(changes::page))
        .route("/ui/changes/{id}", get(change::page))
        .route("/ui/changes/{id}/heal", post(change::heal))
        .route("/ui/changes/{id}/resolve", post(change::resolve))
        .route("/ui/searches", post(searches::keep))
        .route("/ui/searches/{id}/forget", post(searches::forget))
}
