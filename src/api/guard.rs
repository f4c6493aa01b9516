//! What every request passes on its way in and out: identity, rate, rights, and a proper answer
//! whatever happens.
use std::{
    borrow::Cow, net::IpAddr, num::NonZeroU32, panic::AssertUnwindSafe, sync::Arc, time::Instant,
};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Uri,
        header::{CACHE_CONTROL, CONTENT_LENGTH, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::DashMapStateStore,
};

use super::{
    Api, Limits, TransactionIds,
    access::{self, Caller, Effect, Rule},
    address,
    answer::Pretty,
    body::too_large,
    call::{Context, container_of},
    error::{self, Failure, Origin, Result},
    parameters::Parameters,
};
use crate::{
    app::{Arrival, Attempt, ClientCertificate, Veil, access::ANONYMOUS},
    model::metrics,
};

/// How many requests each caller may still make.
pub(super) struct Rate {
    limiter: RateLimiter<String, DashMapStateStore<String>, DefaultClock>,
    calls: std::sync::atomic::AtomicU32,
}

/// Header names that a trusted caller may give its transaction id in.
const TRANSACTION_HEADERS: [&str; 2] = ["x-forgerock-transactionid", "x-request-id"];

/// What is known about a request while it is under way.
struct Visit {
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    peer: Option<IpAddr>,
    certificate: Option<Arc<ClientCertificate>>,
    transaction_id: String,
    caller: Cow<'static, str>,
    effect: Effect,
    pretty: Option<Pretty>,
    veil: Option<Arc<Veil>>,
}

/// Lets a request through to its handler, or not, and completes its answer.
pub(super) async fn guard(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let mut visit = Visit::begin(&api, &request);
    let response = match visit.admit(&api, request.headers()).await {
        Ok(context) => {
            request.extensions_mut().insert(Arc::new(context));
            visit.run(&api, next.run(request)).await
        }
        Err(failure) => failure.into_response(),
    };
    let response = visit.complete(&api, response).await;
    visit.measure(&response, started);
    response
}

/// The answer at an address without a route; the guard has answered already.
pub(super) async fn nothing_here() -> Failure {
    Failure::new(404, "there is nothing at this address")
}

impl Visit {
    fn begin(api: &Api, request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: request.extensions().get().cloned(),
            peer: request
                .extensions()
                .get::<ConnectInfo<std::net::SocketAddr>>()
                .map(|ConnectInfo(address)| address.ip()),
            certificate: request
                .extensions()
                .get::<Option<Arc<ClientCertificate>>>()
                .cloned()
                .flatten(),
            transaction_id: transaction_id(api, request.headers()),
            caller: Cow::Borrowed(ANONYMOUS),
            effect: Effect::Reads,
            pretty: None,
            veil: None,
        }
    }

    /// Everything that is checked before the handler runs. Who asks comes before what is asked:
    /// a stranger learns nothing about addresses and parameters.
    async fn admit(&mut self, api: &Api, headers: &HeaderMap) -> Result<Context> {
        let parameters = Parameters::parse(self.uri.query());
        let rule = self.rule(parameters.as_ref().ok());
        self.effect = match &rule {
            Ok(rule) => rule.effect,
            Err(_) => Rule::effect_at(&self.method, self.route()),
        };
        let caller = match &rule {
            Ok(rule) if rule.is_open() => Caller::nobody(),
            _ => self.identify(api, headers).await?,
        };
        self.caller = Cow::Owned(caller.name.clone());
        if let Some(rate) = &api.rate {
            rate.check(self.peer, &caller)?;
        }
        let parameters = parameters?;
        self.pretty = parameters.pretty()?;
        let rule = rule?;
        check_length(headers, &api.settings.limits)?;
        if !rule.admits(&caller) {
            return Err(Failure::forbidden(format!(
                "`{}` has no role that may do this",
                caller.name
            )));
        }
        let segments = address::segments(self.uri.path())?;
        let veil = api.app.veil(caller.roles);
        self.veil = Some(Arc::clone(&veil));
        check_search(&veil, &segments, &parameters)?;
        Ok(Context {
            caller,
            transaction_id: self.transaction_id.clone(),
            segments,
            parameters,
            pretty: self.pretty,
            veil,
            certificate: self.certificate.clone(),
        })
    }

    /// Runs the handler. A change has its own time limit, which does not stop it.
    async fn run(&self, api: &Api, handler: impl Future<Output = Response>) -> Response {
        let handler = AssertUnwindSafe(handler).catch_unwind();
        let answer = match self.effect {
            Effect::Changes => Ok(handler.await),
            Effect::Reads => tokio::time::timeout(api.settings.limits.request_time, handler).await,
        };
        match answer {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => Failure::fault().into_response(),
            Err(_) => Failure::late(&self.transaction_id).into_response(),
        }
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("", MatchedPath::as_str)
    }

    fn rule(&self, parameters: Option<&Parameters>) -> Result<&'static Rule> {
        let route = self.route();
        let action = parameters.and_then(|parameters| parameters.get("_action"));
        Rule::find(&self.method, route, action)
    }

    async fn identify(&self, api: &Api, headers: &HeaderMap) -> Result<Caller> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let authority = self.uri.authority().map(|authority| authority.as_str());
        let arrival = Arrival {
            reach: api.settings.reach,
            peer: self.peer,
            certificate: self.certificate.as_deref(),
            transaction_id: &self.transaction_id,
            host: text(HOST).or(authority),
            origin: text(ORIGIN),
            fetch_site: text(HeaderName::from_static("sec-fetch-site")),
        };
        let found = api.app.identify(&arrival, access::bearer(headers)).await;
        if let (Err(_), Some(rate)) = (&found, &api.rate) {
            rate.check(self.peer, &Caller::nobody())?;
        }
        found.map(Caller::from).map_err(Failure::denied)
    }

    /// Turns a failure into its answer and records what the use-cases have not recorded.
    async fn complete(&self, api: &Api, mut response: Response) -> Response {
        if let Some(failure) = response.extensions_mut().remove::<Failure>() {
            let failure = self.recorded(api, failure).await;
            response = failure.render(self.pretty, self.veil.as_deref());
        }
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        response
    }

    async fn recorded(&self, api: &Api, failure: Failure) -> Failure {
        if failure.code() >= 500 {
            tracing::warn!(
                method = %self.method, path = self.uri.path(), caller = %self.caller,
                transaction = %self.transaction_id, code = failure.code(),
                operation = failure.operation().map(tracing::field::display),
                "request failed: {}", failure.message()
            );
        }
        let changes = self.effect == Effect::Changes;
        let id = match failure.origin() {
            Origin::Denied => {
                api.app
                    .deny(&self.attempt(&failure, &self.resource()))
                    .await
            }
            Origin::Request | Origin::App if changes && failure.operation().is_none() => {
                api.app
                    .refuse(&self.attempt(&failure, &self.resource()))
                    .await
            }
            Origin::Request | Origin::App | Origin::Fault => return failure,
        };
        if changes {
            failure.rejected(id)
        } else {
            failure
        }
    }

    /// What the address names, as far as it can be decoded.
    fn resource(&self) -> String {
        match address::segments(self.uri.path()) {
            Ok(segments) => segments.join("/"),
            Err(_) => self.uri.path().trim_start_matches('/').to_owned(),
        }
    }

    fn attempt<'a>(&'a self, failure: &'a Failure, resource: &'a str) -> Attempt<'a> {
        Attempt {
            caller: &self.caller,
            transaction_id: &self.transaction_id,
            method: self.method.as_str(),
            resource,
            status: failure.code(),
            message: failure.message(),
        }
    }

    fn measure(&self, response: &Response, started: Instant) {
        let route = self.route.as_ref().map_or("none", MatchedPath::as_str);
        let route: Arc<str> = route.into();
        ::metrics::counter!(metrics::HTTP_REQUESTS,
            "method" => known_method(&self.method), "route" => Arc::clone(&route),
            "status" => status_class(response.status().as_u16()))
        .increment(1);
        ::metrics::histogram!(metrics::HTTP_SECONDS, "route" => route).record(started.elapsed());
        tracing::debug!(
            method = %self.method, path = self.uri.path(), caller = %self.caller,
            status = response.status().as_u16(),
            operation = response.headers().get(error::OPERATION).and_then(|id| id.to_str().ok()),
            outcome = response.headers().get(error::OUTCOME).and_then(|word| word.to_str().ok()),
            "request answered"
        );
    }
}

/// Refuses to seek or sort by what the caller does not see. What is wrong with the query itself is
/// told by its handler.
fn check_search(veil: &Veil, segments: &[String], parameters: &Parameters) -> Result<()> {
    if veil.is_thin() {
        return Ok(());
    }
    let Ok(query) = parameters.query_or_all() else {
        return Ok(());
    };
    let sorted = query.search.sort.iter().map(|key| &key.field);
    let fields = query.search.filter.fields().into_iter().chain(sorted);
    match container_of(segments) {
        Some(container) => veil.check_fields(&container, fields)?,
        None => veil.check_document_fields(fields)?,
    }
    Ok(())
}

/// Refuses a body that is announced to be too long, whatever is at the address.
fn check_length(headers: &HeaderMap, limits: &Limits) -> Result<()> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|text| text.to_str().ok());
    let length: Option<u64> = announced.and_then(|text| text.parse().ok());
    match length {
        Some(length) if length > limits.body_bytes as u64 => Err(too_large(limits)),
        _ => Ok(()),
    }
}

/// The transaction id of a request: the caller's where it is trusted and fit, else a fresh one.
fn transaction_id(api: &Api, headers: &HeaderMap) -> String {
    let trusted = api.settings.transactions == TransactionIds::FromCaller;
    TRANSACTION_HEADERS
        .iter()
        .filter(|_| trusted)
        .filter_map(|name| headers.get(*name)?.to_str().ok())
        .find(|id| !id.is_empty() && id.len() <= 255)
        .map_or_else(|| api.clock.fresh_id().to_string(), str::to_owned)
}

/// A method as a label: clients may make up any number of others.
fn known_method(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

fn status_class(status: u16) -> &'static str {
    match status {
        0..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

impl Rate {
    /// So many in a second, and so many at once.
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::dashmap(Quota::per_second(per_second)),
            calls: std::sync::atomic::AtomicU32::new(0),
        }
    }

    /// Takes one request from what the caller has left. Those who did not say who they are count
    /// by their network address.
    fn check(&self, peer: Option<IpAddr>, caller: &Caller) -> Result<()> {
        let key = if caller.name == ANONYMOUS {
            peer.map_or_else(|| "at unknown".to_owned(), |peer| format!("at {peer}"))
        } else {
            caller.name.clone()
        };
        let calls = self
            .calls
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if calls % 100_000 == 99_999 {
            self.limiter.retain_recent();
        }
        self.limiter
            .check_key(&key)
            .map_err(|until| Failure::too_many(until.wait_time_from(DefaultClock::default().now())))
    }
}
