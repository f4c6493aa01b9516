//! Which address is answered by which page.
use axum::{
    Router,
    routing::{get, post},
};

use super::{
    Pages, assets, audit, change, changes, connectors, guard, hook, hook_case, hooks, live, me,
    object, objects, overview, queue, recon, recon_run, searches, sign_in, tokens,
};

/// The routes, each of which is in the table of rights.
pub(super) fn routes() -> Router<Pages> {
    Router::new()
        .route("/ui/assets/{name}", get(assets::asset))
        .route("/ui/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/ui/sign-in/provider", get(sign_in::leave))
        .route("/ui/sign-in/callback", get(sign_in::arrive))
        .route("/ui/sign-out", post(sign_in::sign_out))
        .route("/ui", get(overview::page))
        .route("/ui/{*rest}", get(guard::nothing_here))
        .route("/ui/live", get(live::stream))
        .route("/ui/me", get(me::page))
        .route("/ui/me/end-sessions", post(me::end_sessions))
        .route("/ui/changes", get(changes::page))
        .route("/ui/changes/{id}", get(change::page))
        .route("/ui/changes/{id}/heal", post(change::heal))
        .route("/ui/changes/{id}/resolve", post(change::resolve))
        .route("/ui/objects", get(objects::page))
        .route(
            "/ui/objects/{type}/{id}",
            get(object::page).post(object::plan),
        )
        .route("/ui/recon", get(recon::page).post(recon::start))
        .route("/ui/recon/{id}", get(recon_run::page))
        .route("/ui/recon/{id}/cancel", post(recon_run::cancel))
        .route("/ui/recon/{id}/approve", post(recon_run::approve))
        .route("/ui/queue", get(queue::page))
        .route("/ui/queue/{way}/{name}", get(queue::list))
        .route("/ui/queue/{way}/{name}/{id}", post(queue::act))
        .route("/ui/connectors", get(connectors::page))
        .route("/ui/connectors/{name}/test", post(connectors::test))
        .route("/ui/audit", get(audit::page))
        .route("/ui/audit/export", get(audit::export))
        .route("/ui/audit/verify", post(audit::verify))
        .route("/ui/searches", post(searches::keep))
        .route("/ui/searches/{id}/forget", post(searches::forget))
        .route("/ui/hooks", get(hooks::page))
        .route("/ui/hooks/edit", get(hook::page).post(hook::act))
        .route("/ui/hooks/rollback", post(hook::roll_back))
        .route("/ui/hooks/case", get(hook_case::page).post(hook_case::save))
        .route("/ui/tokens", get(tokens::page).post(tokens::make))
        .route("/ui/tokens/{id}/revoke", post(tokens::revoke))
        .route("/ui/tokens/{id}/sessions", post(tokens::end_sessions))
        .route("/ui/sessions", post(tokens::end_sessions_of))
}
