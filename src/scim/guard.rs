//! What every request passes on its way in and out: identity, rate, rights, and a proper answer
//! whatever happens.
use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Instant,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Uri,
        header::{AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS},
    },
    response::Response,
};
use futures::FutureExt;
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::DashMapStateStore,
};

use super::{
    ADDRESS, Scim,
    address::Address,
    bulk,
    call::{self, Call, Expected},
    discovery,
    error::{Failure, Origin, Result},
    list,
    query::Parameters,
    write,
};
use crate::{
    app::{Arrival, Attempt, ClientCertificate, Identity, Veil, access::ANONYMOUS},
    model::{Role, Roles, metrics},
};

/// Who may read and write resources: those who may read and write managed objects.
const MAY: Roles = Roles::of(&[Role::Caller, Role::Admin]);

/// How many requests each caller may still make.
pub(super) struct Rate(RateLimiter<String, DashMapStateStore<String>, DefaultClock>);

/// What is known about a request while it is under way.
struct Visit {
    method: Method,
    uri: Uri,
    peer: Option<IpAddr>,
    certificate: Option<Arc<ClientCertificate>>,
    transaction_id: String,
    caller: String,
    veil: Option<Arc<Veil>>,
    address: Result<Address>,
}

/// Answers one request.
pub(super) async fn serve(State(scim): State<Scim>, request: Request) -> Response {
    let started = Instant::now();
    let mut visit = Visit::begin(&scim, &request);
    let answer = visit.answer(&scim, request).await;
    let response = visit.complete(&scim, answer).await;
    visit.measure(&response, started);
    response
}

impl Visit {
    fn begin(scim: &Scim, request: &Request) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let below = request.uri().path().strip_prefix(ADDRESS);
        // A GET without its body.
        let method = match *request.method() {
            Method::HEAD => Method::GET,
            _ => request.method().clone(),
        };
        Self {
            method,
            uri: request.uri().clone(),
            peer: peer.map(|ConnectInfo(address)| address.ip()),
            certificate: request
                .extensions()
                .get::<Option<Arc<ClientCertificate>>>()
                .cloned()
                .flatten(),
            transaction_id: transaction_id(scim, request.headers()),
            caller: ANONYMOUS.to_owned(),
            veil: None,
            address: Address::parse(below.unwrap_or_default()),
        }
    }

    fn changes(&self) -> bool {
        let address = self.address.as_ref();
        address.is_ok_and(|address| address.changes(&self.method))
    }

    /// Who asks comes before what is asked: a stranger learns nothing about addresses.
    async fn answer(&mut self, scim: &Scim, request: Request) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let identity = self.identify(scim, &parts.headers).await?;
        self.caller.clone_from(&identity.name);
        let veil = scim.app.veil(identity.roles);
        self.veil = Some(Arc::clone(&veil));
        if let Some(rate) = &scim.rate {
            rate.check(self.peer, &identity.name)?;
        }
        let call = self.call(scim, &parts.headers, &identity, veil)?;
        let changes = self.changes();
        let handled = handle(scim, call, parts.headers, body);
        let handled = AssertUnwindSafe(handled).catch_unwind();
        // A change has its own time limit, which does not stop it.
        let handled = match changes {
            true => Ok(handled.await),
            false => tokio::time::timeout(scim.settings.request_time, handled).await,
        };
        match handled {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Failure::fault()),
            Err(_) => Err(Failure::late(&self.transaction_id)),
        }
    }

    async fn identify(&self, scim: &Scim, headers: &HeaderMap) -> Result<Identity> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let authority = self.uri.authority().map(|authority| authority.as_str());
        let arrival = Arrival {
            reach: scim.settings.reach,
            peer: self.peer,
            transaction_id: &self.transaction_id,
            host: text(HOST).or(authority),
            origin: text(ORIGIN),
            fetch_site: text(HeaderName::from_static("sec-fetch-site")),
            certificate: self.certificate.as_deref(),
        };
        let found = scim.app.identify(&arrival, bearer(headers)).await;
        if let (Err(_), Some(rate)) = (&found, &scim.rate) {
            rate.check(self.peer, ANONYMOUS)?;
        }
        found.map_err(|error| Failure {
            retry_after: error.retry_after,
            ..Failure::denied(error.code, error.message)
        })
    }

    fn call(
        &self,
        scim: &Scim,
        headers: &HeaderMap,
        identity: &Identity,
        veil: Arc<Veil>,
    ) -> Result<Call> {
        let may = identity.roles.meets(MAY);
        let is_discovery = self.address.as_ref().is_ok_and(Address::is_discovery);
        let knows = is_discovery && identity.roles.meets(Roles::ALL);
        if !may && !knows {
            return Err(Failure::denied(
                403,
                format!("`{}` has no role that may do this", identity.name),
            ));
        }
        let address = self.address.clone()?;
        if !address.methods().contains(&self.method.as_str()) {
            let allowed = address.methods();
            return Err(Failure::method_not_allowed(self.method.as_str(), allowed));
        }
        Ok(Call {
            caller: identity.name.clone(),
            transaction_id: self.transaction_id.clone(),
            method: self.method.clone(),
            address,
            parameters: Parameters::parse(self.uri.query()),
            expected: Expected::read(headers)?,
            held: call::held(headers),
            key: call::key(headers)?,
            base: self.base(scim, headers),
            veil,
        })
    }

    /// The address of the service, as the caller reaches it.
    fn base(&self, scim: &Scim, headers: &HeaderMap) -> String {
        if let Some(base) = &scim.settings.base_url {
            return base.trim_end_matches('/').to_owned();
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = self.uri.authority().map(|authority| authority.as_str());
        let host = host.or(authority).unwrap_or("localhost");
        format!("{}://{host}{ADDRESS}", scim.settings.scheme)
    }

    /// Turns a failure into its answer and records what the use-cases have not recorded.
    async fn complete(&self, scim: &Scim, answer: Result<Response>) -> Response {
        let mut response = match answer {
            Ok(response) => response,
            Err(failure) => {
                let failure = self.recorded(scim, failure).await;
                failure.behind(self.veil.as_deref()).render()
            }
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        response
    }

    async fn recorded(&self, scim: &Scim, failure: Failure) -> Failure {
        if failure.status >= 500 && failure.status != 501 {
            tracing::warn!(
                method = %self.method, path = self.uri.path(), caller = %self.caller,
                transaction = %self.transaction_id, code = failure.status,
                operation = failure.operation.map(tracing::field::display),
                "request failed: {}", failure.detail
            );
        }
        let attempt = Attempt {
            caller: &self.caller,
            transaction_id: &self.transaction_id,
            method: self.method.as_str(),
            resource: self.uri.path().trim_start_matches('/'),
            status: failure.status,
            message: &failure.detail,
        };
        let changes = self.changes();
        let id = match failure.origin {
            Origin::Denied => scim.app.deny(&attempt).await,
            Origin::Request if changes && failure.operation.is_none() => {
                scim.app.refuse(&attempt).await
            }
            Origin::Request | Origin::Fault => return failure,
        };
        match changes {
            true => failure.rejected(id),
            false => failure,
        }
    }

    fn measure(&self, response: &Response, started: Instant) {
        let route = self.address.as_ref().map_or("none", Address::route);
        let method = ["GET", "POST", "PUT", "PATCH", "DELETE"]
            .into_iter()
            .find(|known| *known == self.method.as_str())
            .unwrap_or("other");
        let status = match response.status().as_u16() {
            0..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        ::metrics::counter!(metrics::HTTP_REQUESTS,
            "method" => method, "route" => route, "status" => status)
        .increment(1);
        ::metrics::histogram!(metrics::HTTP_SECONDS, "route" => route).record(started.elapsed());
        tracing::debug!(
            method = %self.method, path = self.uri.path(), caller = %self.caller,
            status = response.status().as_u16(), "request answered"
        );
    }
}

async fn handle(scim: &Scim, call: Call, headers: HeaderMap, body: Body) -> Result<Response> {
    let json = async |body| super::body::json(&headers, body, &scim.settings).await;
    match (&call.address, call.method.as_str()) {
        (Address::Me, _) => Err(Failure::new(
            501,
            "who asks is known by a token, which is no resource",
        )),
        (address, "GET") if address.is_discovery() => discovery::answer(scim, &call),
        (Address::Root | Address::Collection(_), "GET") => list::query(scim, &call).await,
        (Address::Search | Address::SearchIn(_), _) => {
            let (_, body) = json(body).await?;
            list::search(scim, &call, &body).await
        }
        (Address::Resource(..), "GET") => list::read(scim, &call).await,
        (Address::Resource(..), "DELETE") => {
            write::remove(scim, &call).await.map(write::Written::answer)
        }
        (Address::Bulk, _) => {
            let (_, body) = json(body).await?;
            bulk::answer(scim, call, body).await
        }
        _ => {
            let (_, body) = json(body).await?;
            write::write(scim, &call, &body)
                .await
                .map(write::Written::answer)
        }
    }
}

/// The transaction id of a request: the caller's where it is trusted and fit, else a fresh one.
fn transaction_id(scim: &Scim, headers: &HeaderMap) -> String {
    ["x-forgerock-transactionid", "x-request-id"]
        .iter()
        .filter(|_| scim.settings.trusts_transaction_header)
        .filter_map(|name| headers.get(*name)?.to_str().ok())
        .find(|id| !id.is_empty() && id.len() <= 255)
        .map_or_else(|| scim.clock.fresh_id().to_string(), str::to_owned)
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl Rate {
    /// So many in a second, and so many at once.
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self(RateLimiter::dashmap(Quota::per_second(per_second)))
    }

    /// Takes one request from what the caller has left. Those who did not say who they are count
    /// by their network address.
    fn check(&self, peer: Option<IpAddr>, caller: &str) -> Result<()> {
        let key = match (caller, peer) {
            (ANONYMOUS, Some(peer)) => format!("at {peer}"),
            (caller, _) => caller.to_owned(),
        };
        if self.0.len() > 10_000 {
            self.0.retain_recent();
        }
        self.0.check_key(&key).map_err(|until| Failure {
            retry_after: Some(until.wait_time_from(DefaultClock::default().now())),
            ..Failure::new(429, "too many requests from this caller")
        })
    }
}
