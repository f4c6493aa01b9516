//! Who may do what: one table of roles and routes. What is not in it is denied.
use axum::http::{HeaderMap, Method, header::AUTHORIZATION};

use super::error::{Failure, Result};
use crate::{
    app::{App, Arrival, Identity, Reach},
    model::{Role, Roles, event::Shown},
};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The token's name, or `anonymous`.
    pub(super) name: String,
    /// What the caller may be.
    pub(super) roles: Roles,
}

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Whoever can reach the server.
    World,
    /// Whoever has one of these roles, and every `admin`.
    Roles(Roles),
}

/// What a request does to managed objects and targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It changes them: its answer names a change and an outcome.
    Changes,
    /// It does not.
    Reads,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    method: &'static str,
    route: &'static str,
    action: Option<&'static str>,
    who: Who,
    /// What it does.
    pub(super) effect: Effect,
}

const CALLER: Who = Who::Roles(Roles::of(&[Role::Caller]));
const HOOK_ADMIN: Who = Who::Roles(Roles::of(&[Role::HookAdmin]));
const AUDITOR: Who = Who::Roles(Roles::of(&[Role::Auditor]));
const ADMIN: Who = Who::Roles(Roles::of(&[Role::Admin]));
/// Whoever has any role.
const ANYBODY: Who = Who::Roles(Roles::ALL);
const WORLD: Who = Who::World;

/// The table of SPEC 8. An `admin` may do everything that is in it.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    get("/health/live", WORLD),
    get("/health/ready", WORLD),
    get("/openapi.json", WORLD),
    get("/metrics", ANYBODY),

    get("/managed/{type}", CALLER),
    change("POST", "/managed/{type}", Some("create")),
    post("/managed/{type}", "plan", CALLER.or(HOOK_ADMIN)),
    get("/managed/{type}/{id}", CALLER),
    change("PUT", "/managed/{type}/{id}", None),
    change("PATCH", "/managed/{type}/{id}", None),
    change("DELETE", "/managed/{type}/{id}", None),
    post("/managed/{type}/{id}", "plan", CALLER.or(HOOK_ADMIN)),

    change("POST", "/sync", Some("notifyCreate")),
    change("POST", "/sync", Some("notifyUpdate")),
    change("POST", "/sync", Some("notifyDelete")),
    get("/sync/mappings", CALLER.or(HOOK_ADMIN).or(AUDITOR)),
    get("/sync/queue", HOOK_ADMIN.or(AUDITOR)),

    get("/operations", AUDITOR),
    // A caller sees the changes that it asked for; the handler holds it to that.
    get("/operations/{id}", AUDITOR.or(CALLER)),
    post("/operations/{id}", "heal", ADMIN),
    post("/operations/{id}", "resolve", ADMIN),

    // Who may read no objects sees which attributes there are, not their values.
    get("/events", CALLER.or(AUDITOR).or(HOOK_ADMIN)),

    post("/events", "replay", HOOK_ADMIN),
    get("/events/deliveries/{subscription}", HOOK_ADMIN.or(AUDITOR)),
    post("/events/deliveries/{subscription}/{id}", "retry", HOOK_ADMIN),
    post("/events/deliveries/{subscription}/{id}", "cancel", HOOK_ADMIN),
    get("/integrations/{connector}/events", HOOK_ADMIN.or(AUDITOR)),
    post("/integrations/{connector}/events", "import", HOOK_ADMIN),
    post("/integrations/{connector}/events", "retry", HOOK_ADMIN),
    post("/integrations/{connector}/events", "cancel", HOOK_ADMIN),
    get("/integrations/{connector}/events/{id}", HOOK_ADMIN.or(AUDITOR)),
    // Whoever sends a webhook signs it; the handler holds it to that.
    any("POST", "/integrations/{connector}/webhook", WORLD),
    post("/integrations/{connector}/events/{id}", "retry", HOOK_ADMIN),
    post("/integrations/{connector}/events/{id}", "cancel", HOOK_ADMIN),

    get("/recon", AUDITOR),
    post("/recon", "recon", ADMIN),
    post("/recon", "reconById", ADMIN),
    post("/recon", "reset", ADMIN),
    post("/recon", "approveSync", ADMIN),
    get("/recon/syncs", AUDITOR),
    get("/recon/{id}", AUDITOR),
    post("/recon/{id}", "cancel", ADMIN),
    post("/recon/{id}", "approve", ADMIN),
    get("/recon/{id}/entries", AUDITOR),

    get("/audit", AUDITOR),
    post("/audit", "verify", AUDITOR),
    get("/audit/explain/{id}", AUDITOR),
    get("/audit/destinations", AUDITOR),
    post("/audit/destinations/{name}", "resend", ADMIN),
    post("/audit/destinations/{name}", "giveUp", ADMIN),
    get("/audit/{topic}", AUDITOR),
    get("/audit/{topic}/{id}", AUDITOR),

    post("/script", "compile", HOOK_ADMIN),
    post("/script", "eval", HOOK_ADMIN),
    post("/script", "trace", HOOK_ADMIN),
    post("/script", "test", HOOK_ADMIN),
    post("/script", "backtest", HOOK_ADMIN),
    post("/script", "record", HOOK_ADMIN),
    get("/script/runs", HOOK_ADMIN),

    post("/system", "test", HOOK_ADMIN),
    post("/system/{name}", "test", HOOK_ADMIN),
    get("/system/{name}/{class}", HOOK_ADMIN),
    get("/system/{name}/{class}/{id}", HOOK_ADMIN),

    get("/config/problems", HOOK_ADMIN),

    get("/tokens", ADMIN),
    post("/tokens", "create", ADMIN),
    any("DELETE", "/tokens/{id}", ADMIN),
    post("/sessions", "end", ADMIN),
];

const fn get(route: &'static str, who: Who) -> Rule {
    Rule {
        method: "GET",
        route,
        action: None,
        who,
        effect: Effect::Reads,
    }
}

const fn post(route: &'static str, action: &'static str, who: Who) -> Rule {
    Rule {
        method: "POST",
        route,
        action: Some(action),
        who,
        effect: Effect::Reads,
    }
}

const fn any(method: &'static str, route: &'static str, who: Who) -> Rule {
    Rule {
        method,
        route,
        action: None,
        who,
        effect: Effect::Reads,
    }
}

const fn change(method: &'static str, route: &'static str, action: Option<&'static str>) -> Rule {
    Rule {
        method,
        route,
        action,
        who: CALLER,
        effect: Effect::Changes,
    }
}

impl Who {
    const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Roles(one), Self::Roles(two)) => Self::Roles(one.or(two)),
            _ => Self::World,
        }
    }
}

impl Caller {
    /// Somebody who reaches a server that asks for tokens without one.
    pub(super) fn nobody() -> Self {
        Identity::nobody().into()
    }

    /// How much of an event's data the caller may see: who reads objects or the audit trail sees
    /// values.
    pub(super) fn sees_values(&self) -> Shown {
        if self
            .roles
            .meets(Roles::of(&[Role::Caller, Role::Auditor, Role::Admin]))
        {
            Shown::Values
        } else {
            Shown::Names
        }
    }

    /// Whether the caller may read what others did.
    pub(super) fn reads_everything(&self) -> bool {
        self.roles.meets(Roles::of(&[Role::Auditor, Role::Admin]))
    }
}

impl From<Identity> for Caller {
    fn from(identity: Identity) -> Self {
        Self {
            name: identity.name,
            roles: identity.roles,
        }
    }
}

impl Rule {
    /// The line of the table for a request.
    ///
    /// # Errors
    /// 404 for an unknown route, 405 with the methods of a known one, 400 for an unknown action.
    pub(super) fn find(
        method: &Method,
        route: &str,
        action: Option<&str>,
    ) -> Result<&'static Self> {
        let method = if method == Method::HEAD {
            "GET"
        } else {
            method.as_str()
        };
        let here = || RULES.iter().filter(move |rule| rule.route == route);
        let mut with_method = here().filter(|rule| rule.method == method).peekable();
        if with_method.peek().is_none() {
            let mut methods: Vec<_> = here().map(|rule| rule.method).collect();
            methods.dedup();
            return Err(match methods.as_slice() {
                [] => Failure::new(404, "there is nothing at this address"),
                _ => Failure::method_not_allowed(method, &methods.join(", ")),
            });
        }
        with_method
            .find(|rule| rule.action.is_none() || rule.action == action)
            .ok_or_else(|| unknown_action(action, &actions_at("POST", route)))
    }

    /// What a request at a route is, be it one that the table knows or not: where only some change
    /// something, one that means none of them was an attempt at it.
    pub(super) fn effect_at(method: &Method, route: &str) -> Effect {
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let changes = |rule: &Rule| rule.route == route && rule.effect == Effect::Changes;
        if !reads && RULES.iter().any(changes) {
            Effect::Changes
        } else {
            Effect::Reads
        }
    }

    /// Whether nobody has to say who they are.
    pub(super) fn is_open(&self) -> bool {
        self.who == Who::World
    }

    /// Whether the caller may.
    pub(super) fn admits(&self, caller: &Caller) -> bool {
        match self.who {
            Who::World => true,
            Who::Roles(roles) => caller.roles.meets(roles.or(Roles::of(&[Role::Admin]))),
        }
    }

    /// The route and method, for the check that the table and the routes are the same.
    #[cfg(test)]
    pub(super) fn place(&self) -> (&'static str, &'static str) {
        (self.method, self.route)
    }

    /// The route and the method.
    pub(super) fn is_for(&self, method: &str, route: &str) -> bool {
        self.method == method && self.route == route
    }
}

/// The actions that a route knows.
pub(super) fn actions_at(method: &str, route: &str) -> Vec<&'static str> {
    RULES
        .iter()
        .filter(|rule| rule.is_for(method, route))
        .filter_map(|rule| rule.action)
        .collect()
}

fn unknown_action(found: Option<&str>, actions: &[&str]) -> Failure {
    let expected = actions.join(", ");
    Failure::bad(match found {
        Some(found) => format!("parameter `_action`: expected one of {expected}, found `{found}`"),
        None => format!("parameter `_action` is missing, expected one of {expected}"),
    })
}

/// Whether whoever was let through at the beginning of a long answer would still be: its token may
/// have been revoked, or have ended, or one may be needed by now.
pub(super) async fn still_admits(
    app: &App,
    arrival: &Arrival<'_>,
    headers: &HeaderMap,
    rule: &Rule,
) -> bool {
    if !app.is_guarded() {
        return arrival.reach == Reach::Loopback;
    }
    let found = app.identify(arrival, bearer(headers)).await;
    found.is_ok_and(|identity| rule.admits(&identity.into()))
}

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(roles: &[&str], method: Method, route: &str, action: Option<&str>) -> bool {
        let caller = Caller {
            name: "x".into(),
            roles: Roles::named(roles),
        };
        Rule::find(&method, route, action).unwrap().admits(&caller)
    }

    #[test]
    fn each_role_may_what_the_contract_says() {
        let change = (Method::PUT, "/managed/{type}/{id}", None);
        let script = (Method::POST, "/script", Some("eval"));
        let audit = (Method::GET, "/audit/{topic}", None);
        let heal = (Method::POST, "/operations/{id}", Some("heal"));
        for (roles, expected) in [
            (&["caller"][..], [true, false, false, false]),
            (&["hook-admin"], [false, true, false, false]),
            (&["auditor"], [false, false, true, false]),
            (&["auditor", "caller"], [true, false, true, false]),
            (&["admin"], [true, true, true, true]),
            (&["root", ""], [false, false, false, false]),
            (&[], [false, false, false, false]),
        ] {
            let asked = [&change, &script, &audit, &heal];
            let answers =
                asked.map(|(method, route, action)| may(roles, method.clone(), route, *action));
            assert_eq!(answers, expected, "{roles:?}");
        }
        assert!(may(&[], Method::GET, "/health/live", None));
        assert!(!may(&[], Method::GET, "/metrics", None));
        assert!(may(&["auditor"], Method::HEAD, "/metrics", None));
    }

    #[test]
    fn unknown_routes_methods_and_actions_are_told_apart() {
        let code = |method, route, action| Rule::find(&method, route, action).unwrap_err().code();
        assert_eq!(code(Method::GET, "/nothing", None), 404);
        assert_eq!(code(Method::DELETE, "/audit/{topic}", None), 405);
        assert_eq!(code(Method::POST, "/script", Some("run")), 400);
        assert_eq!(code(Method::POST, "/managed/{type}", None), 400);
    }
}
