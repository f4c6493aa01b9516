//! Signing in with a bearer token or through a provider, and out.
use std::time::Duration;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header::SET_COOKIE},
    response::Response,
};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;

use super::{
    Pages, address,
    guard::{FORM_TOKEN, Visit, redirect},
    layout::{Layout, page_with},
    trouble::{Result, Trouble},
};
use crate::app::{Error, Return, SignedIn, cookies::Cookie};

/// How long a browser may stay on the sign-in page, or at a provider.
const DOOR: Duration = Duration::from_secs(60 * 60);
/// How long a browser may stay at a provider.
const AWAY: Duration = Duration::from_secs(10 * 60);

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    layout: Layout,
    door: String,
    next: String,
    /// The way to the provider, where there is one.
    provider: Option<String>,
    /// Where somebody signs out at the provider, too.
    away: Option<String>,
    message: Option<String>,
}

/// What the page says beside its form.
#[derive(Default)]
struct Said {
    status: StatusCode,
    message: Option<String>,
    away: Option<String>,
}

/// Asks for a token, or leads to the provider; whoever is signed in already is led on.
pub(super) async fn page(State(pages): State<Pages>, visit: Visit) -> Result {
    let next = next(visit.query().get("next"));
    if visit.session().is_some() {
        return Ok(redirect(&next));
    }
    shown(&pages, &visit, next, Said::default())
}

/// Begins a session with a token.
pub(super) async fn sign_in(State(pages): State<Pages>, visit: Visit) -> Result {
    let form = visit.form();
    let next = next(form.get("next"));
    let cookie = visit.cookie(Cookie::Door);
    let own = pages.app.check_door(cookie, form.get(FORM_TOKEN));
    let signed_in = match own {
        Ok(()) => {
            let token = form.get("token").unwrap_or_default();
            pages.app.sign_in(token, &visit.arrival()).await
        }
        Err(error) => Err(error),
    };
    match signed_in {
        Ok(signed_in) => begun(&pages, &signed_in, &next),
        Err(error) => shown(&pages, &visit, next, Said::of(&error)),
    }
}

/// Sends the browser to the provider.
pub(super) async fn leave(State(pages): State<Pages>, visit: Visit) -> Result {
    let next = next(visit.query().get("next"));
    let departure = match pages.app.begin_sign_in(&next).await {
        Ok(departure) => departure,
        Err(error) => return shown(&pages, &visit, next, Said::of(&error)),
    };
    let carrier = pages.app.carrier();
    let cookie = carrier.keep(Cookie::SignIn, departure.cookie.expose_secret(), AWAY);
    with_cookie(redirect(&departure.address), &cookie)
}

/// Takes the browser back from the provider, and begins a session. What it was sent away with is
/// forgotten, however that ends.
pub(super) async fn arrive(State(pages): State<Pages>, visit: Visit) -> Result {
    let query = visit.query();
    let back = Return {
        code: query.raw("code"),
        state: query.raw("state"),
        issuer: query.raw("iss"),
        error: query.raw("error"),
    };
    let cookie = visit.cookie(Cookie::SignIn);
    let arrival = visit.arrival();
    let arrived = pages.app.finish_sign_in(cookie, &back, &arrival).await;
    let response = match arrived {
        Ok((signed_in, page)) => begun(&pages, &signed_in, &next(Some(&page)))?,
        Err(error) => shown(&pages, &visit, next(None), Said::of(&error))?,
    };
    with_cookie(response, &pages.app.carrier().forget(Cookie::SignIn))
}

/// Ends the session.
pub(super) async fn sign_out(State(pages): State<Pages>, visit: Visit) -> Result {
    let away = match visit.cookie(Cookie::Session) {
        Some(secret) => pages.app.sign_out(secret, &visit.arrival()).await?,
        None => None,
    };
    signed_out(&pages, &visit, away)
}

/// The answer to whoever has no session any more.
pub(super) fn signed_out(pages: &Pages, visit: &Visit, away: Option<String>) -> Result {
    let response = match away {
        None => redirect("/ui/sign-in?done=signed-out"),
        // A form may not lead away from here; the provider is a link to follow.
        Some(away) => {
            let said = Said {
                away: Some(away),
                ..Said::default()
            };
            shown(pages, visit, next(None), said)?
        }
    };
    with_cookie(response, &pages.app.carrier().forget(Cookie::Session))
}

impl Said {
    fn of(error: &Error) -> Self {
        Self {
            status: StatusCode::from_u16(error.code).unwrap_or(StatusCode::UNAUTHORIZED),
            message: Some(sentence(&error.message)),
            away: None,
        }
    }
}

/// An error's text as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters
        .next()
        .map(|first| first.to_uppercase().collect())
        .unwrap_or_default();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
}

fn begun(pages: &Pages, signed_in: &SignedIn, next: &str) -> Result {
    let carrier = pages.app.carrier();
    let now = pages.clock.now();
    let left = |ends: DateTime<Utc>| (ends - now).to_std().ok();
    let lifetime = signed_in.session.ends_at.and_then(left);
    let secret = signed_in.secret.expose_secret();
    let cookie = carrier.keep(Cookie::Session, secret, lifetime.unwrap_or(DOOR));
    let response = with_cookie(redirect(next), &cookie)?;
    with_cookie(response, &carrier.forget(Cookie::Door))
}

fn shown(pages: &Pages, visit: &Visit, next: String, said: Said) -> Result {
    let carrier = pages.app.carrier();
    let (door, fresh) = match visit.cookie(Cookie::Door) {
        Some(cookie) => (pages.app.door_form(cookie), None),
        None => {
            let cookie = pages.app.door_cookie()?;
            let cookie = cookie.expose_secret();
            let kept = carrier.keep(Cookie::Door, cookie, DOOR);
            (pages.app.door_form(cookie), Some(kept))
        }
    };
    let page = SignIn {
        layout: Layout::outside(visit, "Sign in"),
        provider: pages.app.has_provider().then(|| {
            let query = format!("next={}", address::encoded(&next));
            address::with_query("/ui/sign-in/provider", &query)
        }),
        door,
        next,
        away: said.away,
        message: said.message,
    };
    let response = page_with(said.status, &page)?;
    match fresh {
        Some(cookie) => with_cookie(response, &cookie),
        None => Ok(response),
    }
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
