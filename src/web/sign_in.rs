//! Signing in with a bearer token, and out.
use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header::SET_COOKIE},
    response::Response,
};
use secrecy::ExposeSecret;
use std::time::Duration;

use super::{
    Pages, address,
    guard::{Visit, redirect, session_secret},
    layout::{Layout, page_with},
    trouble::{Result, Trouble},
};
use crate::app::cookies::Cookie;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    layout: Layout,
    next: String,
    message: Option<String>,
}

/// Asks for a token; whoever is signed in already is led on.
pub(super) async fn page(visit: Visit) -> Result {
    let next = next(visit.query().get("next"));
    if visit.session().is_some() {
        return Ok(redirect(&next));
    }
    shown(&visit, StatusCode::OK, next, None)
}

/// Begins a session.
pub(super) async fn sign_in(State(pages): State<Pages>, visit: Visit) -> Result {
    let next = next(visit.form().get("next"));
    let token = visit.form().get("token").unwrap_or_default();
    let signed_in = pages.app.sign_in(token, &visit.arrival()).await;
    match signed_in {
        Ok(signed_in) => {
            let ends = signed_in
                .session
                .ends_at
                .map(|ends| ends - pages.clock.now());
            let lifetime = ends.and_then(|left| left.to_std().ok());
            let cookie = pages.app.carrier().keep(
                Cookie::Session,
                signed_in.secret.expose_secret(),
                lifetime.unwrap_or(Duration::from_secs(3_600)),
            );
            with_cookie(redirect(&next), &cookie)
        }
        Err(error) => {
            let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::UNAUTHORIZED);
            shown(&visit, status, next, Some(error.message))
        }
    }
}

/// Ends the session.
pub(super) async fn sign_out(
    State(pages): State<Pages>,
    headers: HeaderMap,
    visit: Visit,
) -> Result {
    if let Some(secret) = session_secret(&pages, &headers) {
        pages.app.sign_out(&secret, &visit.arrival()).await?;
    }
    let cookie = pages.app.carrier().forget(Cookie::Session);
    with_cookie(redirect("/ui/sign-in?done=signed-out"), &cookie)
}

fn shown(visit: &Visit, status: StatusCode, next: String, message: Option<String>) -> Result {
    let page = SignIn {
        layout: Layout::new(visit, "Sign in"),
        next,
        message,
    };
    page_with(status, &page)
}

fn with_cookie(mut response: Response, cookie: &str) -> Result {
    let value = HeaderValue::from_str(cookie);
    let value = value.map_err(|_| Trouble::new(500, "The session's cookie cannot be written."))?;
    response.headers_mut().append(SET_COOKIE, value);
    Ok(response)
}

/// Where to go on to: a page of this server, or the first one.
fn next(asked: Option<&str>) -> String {
    let own = asked.filter(|asked| address::is_own(asked) && !asked.starts_with("/ui/sign-"));
    own.unwrap_or("/ui").to_owned()
}
