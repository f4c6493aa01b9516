//! Who may see or do what: one table of roles and routes, as the API endpoint with the same use has
//! them. What is not in it is denied.
use axum::http::Method;

use crate::model::{Role, Roles};

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    /// `GET` or `POST`.
    pub(super) method: &'static str,
    /// The route.
    pub(super) route: &'static str,
    /// Who may; none: whoever can reach the server.
    pub(super) roles: Option<Roles>,
}

pub(super) const CALLER: Roles = Roles::of(&[Role::Caller, Role::Admin]);
pub(super) const HOOKS: Roles = Roles::of(&[Role::HookAdmin, Role::Admin]);
pub(super) const AUDITOR: Roles = Roles::of(&[Role::Auditor, Role::Admin]);
pub(super) const ADMIN: Roles = Roles::of(&[Role::Admin]);
/// Reads objects or plans changes of them: `/managed` and its `_action=plan`.
pub(super) const PLANNER: Roles = Roles::of(&[Role::Caller, Role::HookAdmin, Role::Admin]);
/// Looks at events and the queue.
pub(super) const EVENTS: Roles = Roles::of(&[Role::HookAdmin, Role::Auditor, Role::Admin]);
/// Reads one change: an auditor any, a caller its own; the page holds callers to that.
pub(super) const CHANGE: Roles = Roles::of(&[Role::Auditor, Role::Caller, Role::Admin]);

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    open("GET", "/ui/assets/{name}"),
    open("GET", "/ui/sign-in"),
    open("POST", "/ui/sign-in"),
    open("GET", "/ui/sign-in/provider"),
    open("GET", "/ui/sign-in/callback"),
    open("POST", "/ui/sign-out"),

    get("/ui", Roles::ALL),
    get("/ui/{*rest}", Roles::ALL),
    get("/ui/live", Roles::ALL),
    get("/ui/me", Roles::ALL),
    post("/ui/me/end-sessions", Roles::ALL),

    get("/ui/changes", AUDITOR),
    get("/ui/changes/{id}", CHANGE),
    post("/ui/changes/{id}/heal", ADMIN),
    post("/ui/changes/{id}/resolve", ADMIN),

    get("/ui/objects", Roles::ALL),
    get("/ui/objects/{type}/{id}", Roles::ALL),
    post("/ui/objects/{type}/{id}", PLANNER),

    get("/ui/recon", AUDITOR),
    post("/ui/recon", ADMIN),
    get("/ui/recon/{id}", AUDITOR),
    post("/ui/recon/{id}/cancel", ADMIN),
    post("/ui/recon/{id}/approve", ADMIN),

    get("/ui/queue", EVENTS),
    get("/ui/queue/{way}/{name}", EVENTS),
    post("/ui/queue/{way}/{name}/{id}", HOOKS),

    get("/ui/connectors", HOOKS),
    post("/ui/connectors/{name}/test", HOOKS),

    get("/ui/audit", AUDITOR),
    get("/ui/audit/export", AUDITOR),
    post("/ui/audit/verify", AUDITOR),

    post("/ui/searches", AUDITOR),
    post("/ui/searches/{id}/forget", AUDITOR),

    get("/ui/hooks", HOOKS),
    get("/ui/hooks/edit", HOOKS),
    post("/ui/hooks/edit", HOOKS),
    post("/ui/hooks/rollback", HOOKS),
    get("/ui/hooks/case", HOOKS),
    post("/ui/hooks/case", HOOKS),

    get("/ui/tokens", ADMIN),
    post("/ui/tokens", ADMIN),
    post("/ui/tokens/{id}/revoke", ADMIN),
    post("/ui/tokens/{id}/sessions", ADMIN),
    post("/ui/sessions", ADMIN),
];

const fn get(route: &'static str, roles: Roles) -> Rule {
    Rule {
        method: "GET",
        route,
        roles: Some(roles),
    }
}

const fn post(route: &'static str, roles: Roles) -> Rule {
    Rule {
        method: "POST",
        route,
        roles: Some(roles),
    }
}

const fn open(method: &'static str, route: &'static str) -> Rule {
    Rule {
        method,
        route,
        roles: None,
    }
}

/// The line for a request; none: it is denied.
pub(super) fn rule(method: &Method, route: &str) -> Option<&'static Rule> {
    let method = match *method {
        Method::HEAD => "GET",
        ref other => other.as_str(),
    };
    let mut here = RULES.iter().filter(|rule| rule.route == route);
    here.find(|rule| rule.method == method)
}
