//! Bearer tokens: listed, made and revoked by admins.
use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use chrono::TimeDelta;
use secrecy::ExposeSecret;

use super::{
    Pages,
    guard::{Visit, redirect},
    layout::{Layout, page_with},
    markup::{self, Markup},
    trouble::{Result, Trouble},
};
use crate::{
    app::{NewToken, Token},
    model::Role,
};

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    layout: Layout,
    made: Option<Made>,
    roles: [(&'static str, &'static str); 4],
    rows: Vec<Row>,
    is_open: bool,
}

/// A token that was just made: the one time that its text is seen.
struct Made {
    name: String,
    text: String,
}

struct Row {
    id: String,
    name: String,
    roles: String,
    state: Markup,
    made: Markup,
    ends: Option<Markup>,
    used: Option<Markup>,
    is_valid: bool,
}

/// What each role is for.
const ROLES: [(Role, &str); 4] = [
    (Role::Caller, "asks for changes, reads objects"),
    (Role::HookAdmin, "scripts, configuration, connectors"),
    (Role::Auditor, "reads changes and the audit"),
    (Role::Admin, "everything"),
];

/// Shows them.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    shown(&pages, &visit, None).await
}

/// Makes one and shows its text.
pub(super) async fn make(State(pages): State<Pages>, visit: Visit) -> Result {
    let form = visit.form();
    let name = form.get("name").unwrap_or_default();
    let roles: Vec<String> = form.all("role").into_iter().map(str::to_owned).collect();
    let wrong =
        || Trouble::new(400, "The lifetime must be a number of days.").back_to("/ui/tokens");
    let expires_at = match form.get("days") {
        None => None,
        Some(text) => {
            let days: i64 = text.parse().map_err(|_| wrong())?;
            let lifetime = TimeDelta::try_days(days).filter(|_| days > 0);
            let end = pages
                .clock
                .now()
                .checked_add_signed(lifetime.ok_or_else(wrong)?);
            Some(end.ok_or_else(wrong)?)
        }
    };
    let wanted = NewToken {
        name: name.to_owned(),
        roles,
        expires_at,
    };
    let made = pages.app.create_token(&wanted, visit.by()).await;
    let (text, token) = made.map_err(|error| Trouble::from(error).back_to("/ui/tokens"))?;
    let made = Made {
        name: token.name,
        text: text.expose_secret().to_owned(),
    };
    shown(&pages, &visit, Some(made)).await
}

/// Revokes one.
pub(super) async fn revoke(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response> {
    let revoked = pages.app.withdraw_token(&id, visit.by()).await;
    revoked.map_err(|error| Trouble::from(error).back_to("/ui/tokens"))?;
    Ok(redirect("/ui/tokens?done=revoked"))
}

/// Ends the sessions that were begun with one.
pub(super) async fn end_sessions(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response> {
    let ended = pages.app.end_sessions_of_token(&id, visit.by()).await;
    ended.map_err(|error| Trouble::from(error).back_to("/ui/tokens"))?;
    Ok(redirect("/ui/tokens?done=sessions-ended"))
}

/// Ends the sessions of somebody by name, such as of who signed in through a provider.
pub(super) async fn end_sessions_of(State(pages): State<Pages>, visit: Visit) -> Result<Response> {
    let caller = visit
        .form()
        .get("caller")
        .ok_or_else(|| Trouble::new(400, "Say whose sessions are to end.").back_to("/ui/tokens"))?;
    let ended = pages.app.end_sessions(caller, visit.by()).await?;
    let done = match ended {
        0 => "no-sessions",
        _ => "sessions-ended",
    };
    Ok(redirect(&format!("/ui/tokens?done={done}")))
}

async fn shown(pages: &Pages, visit: &Visit, made: Option<Made>) -> Result {
    let mut tokens = pages.app.tokens().await?;
    tokens.reverse();
    let rows: Vec<Row> = tokens.iter().map(|token| row(pages, token)).collect();
    let page = Tokens {
        layout: Layout::new(visit, "Tokens"),
        made,
        roles: ROLES.map(|(role, what)| (role.as_str(), what)),
        is_open: rows.is_empty(),
        rows,
    };
    page_with(StatusCode::OK, &page)
}

fn row(pages: &Pages, token: &Token) -> Row {
    let now = pages.clock.now();
    let ended = token.expires_at.is_some_and(|end| end <= now);
    let state = match (token.revoked_at, ended) {
        (Some(_), _) => markup::badge("mild", "revoked"),
        (None, true) => markup::badge("mild", "ended"),
        (None, false) => markup::badge("good", "valid"),
    };
    Row {
        id: token.id.clone(),
        name: token.name.clone(),
        roles: token.roles.join(", "),
        state,
        made: markup::time(token.created_at),
        ends: token.expires_at.map(markup::time),
        used: token.last_used_at.map(markup::time),
        is_valid: token.revoked_at.is_none() && !ended,
    }
}
