//! What stands around every page: head, navigation, who is there, notices.
use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use super::{
    assets,
    guard::{Visit, role_words},
    rights,
    trouble::{Result, Trouble},
};
use crate::{app::Session, model::Roles};

/// What the layout shows; each page's template holds one.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) title: String,
    pub(super) navigation: Vec<Entry>,
    pub(super) who: Option<Who>,
    pub(super) form_token: String,
    pub(super) notice: Option<&'static str>,
    /// How the page is kept up to date: `pulse` (when something was settled), `tick` (every few
    /// seconds, too), or nothing.
    pub(super) live: &'static str,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
}

/// One line of the navigation.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) label: &'static str,
    pub(super) address: &'static str,
    pub(super) is_here: bool,
}

/// Whoever is there.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) name: String,
    pub(super) roles: String,
    /// Whether there is a session that can be ended.
    pub(super) can_leave: bool,
}

/// Every page of the navigation with those who may see it.
const PAGES: [(&str, &str, Roles); 10] = [
    ("Overview", "/ui", Roles::ALL),
    ("Changes", "/ui/changes", rights::AUDITOR),
    ("Objects", "/ui/objects", Roles::ALL),
    ("Reconciliation", "/ui/recon", rights::AUDITOR),
    ("Queue", "/ui/queue", rights::EVENTS),
    ("Connectors", "/ui/connectors", rights::HOOKS),
    ("Audit", "/ui/audit", rights::AUDITOR),
    ("Hooks", "/ui/hooks", rights::HOOKS),
    ("Tokens", "/ui/tokens", rights::ADMIN),
    ("Sign in", "/ui/sign-in", Roles::NONE),
];

/// What `?done=` says after a form was carried out; nothing else can be put there.
const NOTICES: [(&str, &str); 18] = [
    (
        "healed",
        "The missing undo writes were carried out. All targets hold the old data again.",
    ),
    (
        "resolved",
        "The divergence was ended as it is. The reason is in the audit.",
    ),
    ("started", "The reconciliation has begun."),
    (
        "cancel",
        "The reconciliation stops behind the records that it is at.",
    ),
    (
        "approved",
        "The deletions that were held back are being carried out.",
    ),
    ("retry", "The event waits for its turn again."),
    ("canceled", "The event was canceled."),
    ("kept", "The search was kept."),
    ("forgotten", "The search was forgotten."),
    ("saved", "The script was saved and is in force."),
    (
        "saved-waiting",
        "The script was saved. It is not in force yet; the problems below may say why.",
    ),
    (
        "rolled-back",
        "The earlier version was saved again and is in force.",
    ),
    (
        "revoked",
        "The token was revoked. Nobody gets in with it any more.",
    ),
    ("signed-out", "You are signed out."),
    (
        "sessions-ended",
        "The sessions were ended. Whoever had them signs in again.",
    ),
    (
        "no-sessions",
        "Nobody is signed in under this name: there was no session to end.",
    ),
    (
        "verify",
        "The chain is being verified. The result shows here when it is there.",
    ),
    (
        "case-saved",
        "The run was saved as a case beside its script.",
    ),
];

impl Layout {
    /// The layout of a page for whoever is there.
    pub(super) fn new(visit: &Visit, title: impl Into<String>) -> Self {
        Self::of(visit, visit.session(), title.into())
    }

    /// The layout of a page for somebody who has not signed in, or does so no more.
    pub(super) fn outside(visit: &Visit, title: impl Into<String>) -> Self {
        Self::of(visit, None, title.into())
    }

    fn of(visit: &Visit, session: Option<&Session>, title: String) -> Self {
        let here = visit.path();
        let may = |roles| session.is_some_and(|session| session.identity.roles.meets(roles));
        let shown = PAGES.into_iter().filter(|(.., roles)| may(*roles));
        let navigation = shown.map(|(label, address, _)| Entry {
            label,
            address,
            is_here: here == address
                || (address != "/ui" && here.starts_with(&format!("{address}/"))),
        });
        let done = visit.query().get("done");
        let mut notices = NOTICES.into_iter();
        Self {
            title,
            navigation: navigation.collect(),
            who: session.map(|session| Who {
                name: session.identity.name.clone(),
                roles: role_words(session.identity.roles),
                can_leave: session.ends_at.is_some(),
            }),
            form_token: session.map_or_else(String::new, |one| one.form_token.clone()),
            notice: done.and_then(|done| notices.find(|(word, _)| *word == done).map(|one| one.1)),
            live: "",
            style: assets::style_address(),
            script: assets::script_address(),
        }
    }

    /// Kept up to date whenever something was settled.
    pub(super) fn live(mut self) -> Self {
        self.live = "pulse";
        self
    }

    /// Kept up to date every few seconds, too.
    pub(super) fn ticking(mut self) -> Self {
        self.live = "tick";
        self
    }
}

/// A page as an answer.
pub(super) fn page(template: &impl Template) -> Result {
    page_with(StatusCode::OK, template)
}

/// A page as an answer with a status of its own.
pub(super) fn page_with(status: StatusCode, template: &impl Template) -> Result {
    let text = template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Trouble::new(500, "The page could not be made.")
    })?;
    Ok(html(status, text))
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    layout: Layout,
    code: u16,
    message: &'a str,
    back: Option<&'a str>,
}

/// The page about something that does not work.
pub(super) fn trouble_page(visit: &Visit, trouble: &Trouble) -> Response {
    let title = match trouble.code {
        401 => "Signed out",
        403 => "Not allowed",
        404 => "Not there",
        409 => "Not now",
        400..=499 => "That cannot be done",
        _ => "Something does not work",
    };
    let status = StatusCode::from_u16(trouble.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let page = TroublePage {
        layout: Layout::new(visit, title),
        code: trouble.code,
        message: &trouble.message,
        back: trouble.back.as_deref(),
    };
    let rendered = page.render();
    html(status, rendered.unwrap_or_else(|_| trouble.message.clone()))
}

fn html(status: StatusCode, text: String) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(CONTENT_TYPE, kind)], text).into_response()
}
