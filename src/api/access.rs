//! Who may do what: one table of roles and routes. What is not in it is denied.
use axum::http::{
    HeaderMap, Method,
    header::{AUTHORIZATION, HOST, ORIGIN},
};

use super::error::{Failure, Result};
use crate::{
    app::{App, Identity},
    model::event::Shown,
};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The token's name, or `anonymous`.
    pub(super) name: String,
    /// What the caller may be.
    pub(super) roles: Roles,
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Roles(u8);

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
    roles: Roles,
    /// What it does.
    pub(super) effect: Effect,
}

/// Who asks where no token says so.
pub(super) const ANONYMOUS: &str = "anonymous";

const CALLER: Roles = Roles(1);
const HOOK_ADMIN: Roles = Roles(2);
const AUDITOR: Roles = Roles(4);
const ADMIN: Roles = Roles(8);
/// Whoever has any role.
const ANYBODY: Roles = Roles(15);
/// Whoever can reach the server.
const WORLD: Roles = Roles(16);

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
    get("/integrations/{connector}/events/{id}", HOOK_ADMIN.or(AUDITOR)),
    // Whoever sends a webhook signs it; the handler holds it to that.
    any("POST", "/integrations/{connector}/webhook", WORLD),
    post("/integrations/{connector}/events/{id}", "retry", HOOK_ADMIN),
    post("/integrations/{connector}/events/{id}", "cancel", HOOK_ADMIN),

    get("/recon", AUDITOR),
    post("/recon", "recon", ADMIN),
    post("/recon", "reconById", ADMIN),
    post("/recon", "reset", ADMIN),
    get("/recon/syncs", AUDITOR),
    get("/recon/{id}", AUDITOR),
    post("/recon/{id}", "cancel", ADMIN),
    post("/recon/{id}", "approve", ADMIN),
    get("/recon/{id}/entries", AUDITOR),

    get("/audit", AUDITOR),
    post("/audit", "verify", AUDITOR),
    get("/audit/{topic}", AUDITOR),
    get("/audit/{topic}/{id}", AUDITOR),

    post("/script", "compile", HOOK_ADMIN),
    post("/script", "eval", HOOK_ADMIN),

    post("/system", "test", HOOK_ADMIN),
    post("/system/{name}", "test", HOOK_ADMIN),
    get("/system/{name}/{class}", HOOK_ADMIN),
    get("/system/{name}/{class}/{id}", HOOK_ADMIN),

    get("/config/problems", HOOK_ADMIN),
];

const fn get(route: &'static str, roles: Roles) -> Rule {
    Rule {
        method: "GET",
        route,
        action: None,
        roles,
        effect: Effect::Reads,
    }
}

const fn post(route: &'static str, action: &'static str, roles: Roles) -> Rule {
    Rule {
        method: "POST",
        route,
        action: Some(action),
        roles,
        effect: Effect::Reads,
    }
}

const fn any(method: &'static str, route: &'static str, roles: Roles) -> Rule {
    Rule {
        method,
        route,
        action: None,
        roles,
        effect: Effect::Reads,
    }
}

const fn change(method: &'static str, route: &'static str, action: Option<&'static str>) -> Rule {
    Rule {
        method,
        route,
        action,
        roles: CALLER,
        effect: Effect::Changes,
    }
}

impl Roles {
    /// Every role.
    pub(super) const ALL: Self = ANYBODY;

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The roles with these names; names that mean nothing give nothing.
    fn named(names: &[String]) -> Self {
        names.iter().fold(Self(0), |roles, name| {
            roles.or(match name.as_str() {
                "caller" => CALLER,
                "hook-admin" => HOOK_ADMIN,
                "auditor" => AUDITOR,
                "admin" => ADMIN,
                _ => Self(0),
            })
        })
    }
}

impl Caller {
    /// Whoever reaches a server on loopback that has no tokens.
    fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            roles: Roles::ALL,
        }
    }

    /// Somebody who reaches a server that asks for tokens without one.
    pub(super) fn nobody() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            roles: Roles(0),
        }
    }

    /// How much of an event's data the caller may see: who reads objects or the audit trail sees
    /// values.
    pub(super) fn sees_values(&self) -> Shown {
        if self.roles.meets(CALLER.or(AUDITOR).or(ADMIN)) {
            Shown::Values
        } else {
            Shown::Names
        }
    }

    /// Whether the caller may read what others did.
    pub(super) fn reads_everything(&self) -> bool {
        self.roles.meets(AUDITOR.or(ADMIN))
    }
}

impl From<Identity> for Caller {
    fn from(identity: Identity) -> Self {
        let roles = Roles::named(&identity.roles);
        Self {
            name: identity.name,
            roles,
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

    /// Whether nobody has to say who they are.
    pub(super) fn is_open(&self) -> bool {
        self.roles.meets(WORLD)
    }

    /// Whether the caller may.
    pub(super) fn admits(&self, caller: &Caller) -> bool {
        self.is_open() || caller.roles.meets(self.roles.or(ADMIN))
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

/// Where the server can be reached from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// From this machine only.
    Loopback,
    /// From elsewhere.
    Network,
}

/// Finds out who asks. Without any token configured everybody on this machine is `anonymous` and
/// may do everything, but no page of a browser is: its requests name a foreign host or origin.
///
/// # Errors
/// 401 without a valid token, 403 for a browser's page.
pub(super) fn identify(
    app: &App,
    reach: Reach,
    headers: &HeaderMap,
    authority: Option<&str>,
) -> Result<Caller> {
    if app.has_tokens() {
        let token =
            bearer(headers).ok_or_else(|| Failure::unauthorized("a bearer token is needed"))?;
        return app
            .authenticate(token)
            .map(Caller::from)
            .ok_or_else(|| Failure::unauthorized("the bearer token is not valid"));
    }
    if reach == Reach::Network {
        return Err(Failure::unauthorized(
            "no token is configured and the server can be reached from elsewhere",
        ));
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(HOST).or(authority);
    let origin =
        text(ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    if [host, origin].into_iter().flatten().all(is_local) {
        Ok(Caller::anonymous())
    } else {
        Err(Failure::forbidden(
            "without tokens only this machine's own name is answered; make a token with `recant token`",
        ))
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a host, with or without a port, is this machine.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(roles: &[&str], method: Method, route: &str, action: Option<&str>) -> bool {
        let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
        let caller = Caller::from(Identity {
            name: "x".into(),
            roles,
        });
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

    #[test]
    fn only_this_machine_is_local() {
        for host in [
            "localhost",
            "LOCALHOST:8480",
            "127.0.0.1:1",
            "127.8.9.1",
            "[::1]:8480",
            "[::1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "recant.example",
            "localhost.example:80",
            "10.0.0.1",
            "",
            "null",
            "[::2]:1",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
