//! What every request for a page passes: who is there, whether they may, whether a form is this
//! session's own, and the headers that shut browsers in.
use std::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::to_bytes,
    extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN,
            REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Pages, address,
    form::Fields,
    layout, rights,
    trouble::{Result, Trouble},
};
use crate::{
    app::{Arrival, Attempt, By, ClientCertificate, Session, Veil, cookies::Cookie},
    model::{Role, Roles, metrics},
};

/// Nothing from elsewhere, nothing written into the page itself, and no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// How long a page may take. What a form began goes on after that.
const PATIENCE: Duration = Duration::from_secs(60);
/// The header by which the script of a page says that nobody pressed anything.
const BY_ITSELF: &str = "recant-by-itself";
/// The field of every form that shows that it is this session's own.
pub(super) const FORM_TOKEN: &str = "form_token";

/// One visit to a page, by somebody who may.
#[derive(Debug, Clone)]
pub(super) struct Visit(Arc<Facts>);

/// What is known of a visit.
#[derive(Debug)]
struct Facts {
    session: Option<Session>,
    query: Fields,
    form: Fields,
    path: String,
    transaction_id: String,
    origin: Origin,
    /// What they do not see.
    veil: Arc<Veil>,
    /// The secrets in the browser's cookies.
    cookies: Cookies,
}

/// The secrets in the browser's cookies.
#[derive(Debug, Clone, Default)]
struct Cookies {
    session: Option<SecretString>,
    sign_in: Option<SecretString>,
    door: Option<SecretString>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Default)]
struct Origin {
    reach: crate::app::Reach,
    peer: Option<std::net::IpAddr>,
    host: Option<String>,
    origin: Option<String>,
    fetch_site: Option<String>,
    certificate: Option<Arc<ClientCertificate>>,
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| Trouble::new(500, "the page was reached past its guard"))
    }
}

impl Visit {
    /// Whoever is there; nobody on the page where they sign in.
    pub(super) fn session(&self) -> Option<&Session> {
        self.0.session.as_ref()
    }

    /// Their name.
    pub(super) fn caller(&self) -> &str {
        self.session()
            .map_or(crate::app::access::ANONYMOUS, |session| {
                &session.identity.name
            })
    }

    /// Whether they have one of these roles.
    pub(super) fn may(&self, roles: Roles) -> bool {
        self.session()
            .is_some_and(|session| session.identity.roles.meets(roles))
    }

    /// What they may do.
    pub(super) fn roles(&self) -> Roles {
        self.session()
            .map_or(Roles::default(), |session| session.identity.roles)
    }

    /// Whether they may read what others did.
    pub(super) fn is_auditor(&self) -> bool {
        self.may(rights::AUDITOR)
    }

    /// The query part of the address.
    pub(super) fn query(&self) -> &Fields {
        &self.0.query
    }

    /// The fields of the form that was sent.
    pub(super) fn form(&self) -> &Fields {
        &self.0.form
    }

    /// The address without its query.
    pub(super) fn path(&self) -> &str {
        &self.0.path
    }

    /// What ties audit entries together.
    pub(super) fn transaction_id(&self) -> &str {
        &self.0.transaction_id
    }

    /// Who does something by hand, as the audit names them.
    pub(super) fn by(&self) -> By<'_> {
        By {
            caller: self.caller(),
            transaction_id: self.transaction_id(),
        }
    }

    /// What they do not see.
    pub(super) fn veil(&self) -> &Veil {
        &self.0.veil
    }

    /// The secret in one of the browser's cookies.
    pub(super) fn cookie(&self, cookie: Cookie) -> Option<&str> {
        let cookies = &self.0.cookies;
        let found = match cookie {
            Cookie::Session => &cookies.session,
            Cookie::SignIn => &cookies.sign_in,
            Cookie::Door => &cookies.door,
        };
        found.as_ref().map(ExposeSecret::expose_secret)
    }

    /// Where the request comes from.
    pub(super) fn arrival(&self) -> Arrival<'_> {
        self.0.origin.arrival(&self.0.transaction_id)
    }
}

impl Cookies {
    fn of(pages: &Pages, headers: &HeaderMap) -> Self {
        let carrier = pages.app.carrier();
        let find = |cookie: Cookie| {
            let cookies = headers.get_all(COOKIE).iter();
            let cookies = cookies.filter_map(|value| value.to_str().ok());
            carrier.find(cookie, cookies).map(SecretString::from)
        };
        Self {
            session: find(Cookie::Session),
            sign_in: find(Cookie::SignIn),
            door: find(Cookie::Door),
        }
    }
}

impl Origin {
    fn of(pages: &Pages, request: &Request) -> Self {
        let text = |name| header_text(request.headers(), name);
        let authority = request.uri().authority().map(ToString::to_string);
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Self {
            reach: pages.settings.reach,
            peer: peer.map(|ConnectInfo(address)| address.ip()),
            host: text(HOST).or(authority),
            origin: text(ORIGIN),
            fetch_site: text(HeaderName::from_static("sec-fetch-site")),
            certificate: request
                .extensions()
                .get::<Option<Arc<ClientCertificate>>>()
                .cloned()
                .flatten(),
        }
    }

    fn arrival<'a>(&'a self, transaction_id: &'a str) -> Arrival<'a> {
        Arrival {
            reach: self.reach,
            peer: self.peer,
            transaction_id,
            host: self.host.as_deref(),
            origin: self.origin.as_deref(),
            fetch_site: self.fetch_site.as_deref(),
            certificate: self.certificate.as_deref(),
        }
    }
}

/// Lets a request through to its page, or not, and completes the answer.
pub(super) async fn guard(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(String::new, |route| route.as_str().to_owned());
    let mut facts = Facts {
        session: None,
        query: Fields::parse(request.uri().query().unwrap_or_default()),
        form: Fields::default(),
        path,
        transaction_id: pages.clock.fresh_id().to_string(),
        origin: Origin::of(&pages, &request),
        veil: Arc::default(),
        cookies: Cookies::of(&pages, request.headers()),
    };
    let started = Instant::now();
    let admitted = admit(&pages, &mut facts, request, &route).await;
    let visit = Visit(Arc::new(facts));
    let response = match admitted {
        Ok(Admitted::Request(mut request)) => {
            request.extensions_mut().insert(visit.clone());
            answer(next.run(*request)).await
        }
        Ok(Admitted::SignInFirst) => sign_in_first(&visit),
        Err(trouble) => trouble.into_response(),
    };
    let response = completed(&pages, &visit, &method, response).await;
    measured(&method, route, &response, started);
    response
}

fn measured(method: &Method, route: String, response: &Response, started: Instant) {
    let status = match response.status().as_u16() {
        0..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    let method = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    };
    let counted = metrics::HTTP_REQUESTS;
    ::metrics::counter!(counted, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    ::metrics::histogram!(metrics::HTTP_SECONDS, "route" => route).record(started.elapsed());
}

/// What becomes of a request.
enum Admitted {
    Request(Box<Request>),
    SignInFirst,
}

async fn admit(
    pages: &Pages,
    facts: &mut Facts,
    request: Request,
    route: &str,
) -> Result<Admitted> {
    let rule = rights::rule(request.method(), route);
    let rule = rule.ok_or_else(|| Trouble::new(404, "There is no such page."))?;
    let arrival = facts.origin.arrival(&facts.transaction_id);
    let secret = facts.cookies.session.as_ref();
    let secret = secret.map(ExposeSecret::expose_secret);
    // What a page asks for by itself keeps no session alive.
    let session = match request.headers().contains_key(BY_ITSELF) {
        true => pages.app.session_in_passing(&arrival, secret).await,
        false => pages.app.session(&arrival, secret).await,
    };
    let session = session.map_err(|error| Trouble::denied(error.code, error.message))?;
    if let Some(rate) = &pages.rate {
        let caller = session
            .as_ref()
            .map(|session| session.identity.name.as_str());
        rate.check(caller, facts.origin.peer)?;
    }
    let is_post = request.method() == Method::POST;
    match (&session, rule.roles) {
        (_, None) => {}
        (None, Some(_)) if is_post => {
            return Err(Trouble::denied(
                401,
                "Your session has ended; sign in again.",
            ));
        }
        (None, Some(_)) => return Ok(Admitted::SignInFirst),
        (Some(session), Some(roles)) if !session.identity.roles.meets(roles) => {
            let name = session.identity.name.clone();
            facts.session = Some(session.clone());
            let needed = roles.words().join(" or ");
            let message = format!("`{name}` has no role that may do this. It needs {needed}.");
            return Err(Trouble::denied(403, message));
        }
        (Some(_), Some(_)) => {}
    }
    if let Some(session) = &session {
        facts.veil = pages.app.veil(session.identity.roles);
    }
    facts.session = session;
    if !is_post {
        return Ok(Admitted::Request(Box::new(request)));
    }
    let (parts, body) = request.into_parts();
    let most = pages.settings.body_bytes;
    let arriving = tokio::time::timeout(pages.settings.body_time, to_bytes(body, most));
    let text = arriving
        .await
        .map_err(|_| Trouble::new(408, "The form did not arrive in time. Send it again."))?
        .map_err(|_| Trouble::new(413, format!("The form is larger than {most} bytes.")))?;
    facts.form = Fields::parse(&String::from_utf8_lossy(&text));
    check_form(facts)?;
    let empty = axum::body::Body::empty();
    Ok(Admitted::Request(Box::new(Request::from_parts(
        parts, empty,
    ))))
}

/// A form must come from a page of this session; where there is none yet, from this server.
fn check_form(facts: &Facts) -> Result<()> {
    let arrival = facts.origin.arrival(&facts.transaction_id);
    let checked = match &facts.session {
        Some(session) => session.check_form(&arrival, facts.form.get(FORM_TOKEN)),
        None => arrival.check_same_origin(),
    };
    checked.map_err(|error| Trouble::denied(error.code, error.message))
}

async fn answer(page: impl Future<Output = Response>) -> Response {
    let page = AssertUnwindSafe(page).catch_unwind();
    match tokio::time::timeout(PATIENCE, page).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            Trouble::new(500, "Recant has a fault here; its log says more.").into_response()
        }
        Err(_) => {
            let message = "This takes longer than a minute. What was begun goes on.";
            Trouble::new(504, message).into_response()
        }
    }
}

fn sign_in_first(visit: &Visit) -> Response {
    let wanted = address::with_query(visit.path(), &visit.query().query_without(&[]));
    let query = format!("next={}", address::encoded(&wanted));
    redirect(&address::with_query("/ui/sign-in", &query))
}

/// Leads the browser to a page, which it then asks for with GET.
pub(super) fn redirect(address: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let location = HeaderValue::from_str(address);
    let location = location.unwrap_or(HeaderValue::from_static("/ui"));
    response.headers_mut().insert(LOCATION, location);
    response
}

/// The answer at an address without a page.
pub(super) async fn nothing_here() -> Trouble {
    Trouble::new(404, "There is no such page.")
}

async fn completed(
    pages: &Pages,
    visit: &Visit,
    method: &Method,
    mut response: Response,
) -> Response {
    if let Some(trouble) = response.extensions_mut().remove::<Trouble>() {
        recorded(pages, visit, method, &trouble).await;
        response = layout::trouble_page(visit, &trouble);
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn recorded(pages: &Pages, visit: &Visit, method: &Method, trouble: &Trouble) {
    if trouble.code >= 500 {
        tracing::warn!(%method, path = visit.path(), caller = visit.caller(),
            transaction = visit.transaction_id(), code = trouble.code,
            "a page failed: {}", trouble.message);
    }
    if trouble.denied {
        let attempt = Attempt {
            caller: visit.caller(),
            transaction_id: visit.transaction_id(),
            method: method.as_str(),
            resource: visit.path().trim_start_matches('/'),
            status: trouble.code,
            message: &trouble.message,
        };
        pages.app.deny(&attempt).await;
    }
}

fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(value.to_str().unwrap_or("?").to_owned())
}

/// The words of roles, for people.
pub(super) fn role_words(roles: Roles) -> String {
    let words: Vec<&str> = roles.iter().map(Role::as_str).collect();
    words.join(", ")
}
