//! The calls to a service over HTTP.
use std::{net::IpAddr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{
    Client, Method, RequestBuilder, Response,
    header::{
        AUTHORIZATION, DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, LINK, LOCATION,
        RETRY_AFTER,
    },
    redirect::Policy,
};
use url::{Host, Url};

use super::{
    answer::{Answer, Call, failure},
    oauth::{Token, TokenSource},
    rules::Rule,
    settings::{Auth, Service},
};
use crate::{
    connectors::{Error, signs},
    model::TargetObject,
};

/// The longest body that is kept of an answer, in bytes.
const LONGEST_BODY: usize = 64 << 20;

/// A client of one service.
#[derive(Debug)]
pub struct Http {
    client: Client,
    tokens: Option<TokenSource>,
    rules: Vec<Rule>,
}

impl Http {
    /// A client for the service. `timeout` is that of one attempt: connecting gives up before it
    /// is over, so that a service that cannot be reached is told apart from one that is slow.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn open(service: &Service, timeout: Duration) -> Result<Self, Error> {
        let client = client(&service.base_url, headers(service)?, timeout)?;
        let tokens = match &service.auth {
            Some(Auth::OAuth2(settings)) => {
                let client = self::client(&settings.token_url, HeaderMap::new(), timeout)?;
                Some(TokenSource::new(
                    settings.clone(),
                    client,
                    timeout.mul_f64(0.5),
                ))
            }
            _ => None,
        };
        Ok(Self {
            client,
            tokens,
            rules: service.rules.clone(),
        })
    }

    /// A request to be sent with [`Http::read`], [`Http::write`] or [`Http::send`].
    pub fn request(&self, method: Method, address: impl AsRef<str>) -> RequestBuilder {
        self.client.request(method, address.as_ref())
    }

    /// Sends a request; an answer of any status is a success.
    ///
    /// # Errors
    /// Where no answer came: *unavailable*, or *unknown* for a write that may have arrived.
    pub async fn send(&self, request: RequestBuilder, call: Call) -> Result<Answer, Error> {
        let answer = self.send_as(request, call).await;
        if answer.is_ok() {
            signs::answered();
        }
        answer
    }

    async fn send_as(&self, request: RequestBuilder, call: Call) -> Result<Answer, Error> {
        let Some(tokens) = &self.tokens else {
            return exchange_as(request, call).await;
        };
        let again = request.try_clone();
        let token = tokens.token().await?;
        let answer = exchange_as(with_token(request, &token), call).await?;
        match again {
            // A request that is not let in has done nothing: the token may have been revoked.
            Some(request) if answer.status == 401 => {
                let token = tokens.other_than(&token).await?;
                exchange_as(with_token(request, &token), call).await
            }
            _ => Ok(answer),
        }
    }

    /// Whether no rule of the service makes an answer an error.
    ///
    /// # Errors
    /// What the first rule about it says.
    pub fn judge(&self, answer: &Answer, call: Call) -> Result<(), Error> {
        Rule::judge(&self.rules, answer, call).map_or(Ok(()), Err)
    }

    /// Sends a write and waits for a success.
    ///
    /// # Errors
    /// What a failure means, by its status.
    pub async fn write(&self, request: RequestBuilder) -> Result<Answer, Error> {
        self.write_or_see(request)
            .await?
            .map_err(|other| failure(&other, Call::Write))
    }

    /// The same, where the service may say that the result is at another address: the answer that
    /// says so is the inner error.
    ///
    /// # Errors
    /// What a failure means, by its status.
    pub async fn write_or_see(
        &self,
        request: RequestBuilder,
    ) -> Result<Result<Answer, Answer>, Error> {
        let answer = self.send(request, Call::Write).await?;
        self.judge(&answer, Call::Write)?;
        match answer.status {
            303 => Ok(Err(answer)),
            // 202 Accepted promises nothing (RFC 9110, section 15.3.3).
            202 => Err(Error::unknown(202, "the service will do it later, or not")),
            200..=299 => Ok(Ok(answer)),
            _ => Err(failure(&answer, Call::Write)),
        }
    }

    /// Sends a read and waits for a success; none where there is nothing at the address.
    ///
    /// # Errors
    /// What a failure means, by its status.
    pub async fn read(&self, request: RequestBuilder) -> Result<Option<Answer>, Error> {
        let answer = self.send(request, Call::Read).await?;
        self.judge(&answer, Call::Read)?;
        match answer.status {
            200..=299 => Ok(Some(answer)),
            404 | 410 => Ok(None),
            _ => Err(failure(&answer, Call::Read)),
        }
    }
}

/// The request, carried out only if the object still is what was read, as far as that can be told.
pub fn only_if(request: RequestBuilder, before: &TargetObject) -> RequestBuilder {
    match &before.version {
        Some(version) => request.header(IF_MATCH, version),
        None => request,
    }
}

fn client(address: &str, headers: HeaderMap, timeout: Duration) -> Result<Client, Error> {
    let mut builder = Client::builder()
        .default_headers(headers)
        .redirect(Policy::none())
        .connect_timeout(timeout.mul_f64(0.8));
    if is_loopback(address) {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| Error::refused(500, "no HTTP client").because(error))
}

fn with_token(request: RequestBuilder, token: &Token) -> RequestBuilder {
    request.header(AUTHORIZATION, token.header())
}

/// The same for a request to the target itself, which a write tells before it goes out.
async fn exchange_as(request: RequestBuilder, call: Call) -> Result<Answer, Error> {
    if call == Call::Write {
        signs::sent();
    }
    exchange(request, call).await
}

/// Sends a request and keeps what matters of the answer. A body that is lost after the status came
/// stays empty: the status has said what happened, but not all that the body would have said.
pub(super) async fn exchange(request: RequestBuilder, call: Call) -> Result<Answer, Error> {
    let response = request
        .send()
        .await
        .map_err(|error| no_answer(error, call))?;
    let text = |name: HeaderName| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let mut answer = Answer {
        status: response.status().as_u16(),
        etag: text(ETAG),
        location: text(LOCATION),
        retry_after: text(RETRY_AFTER),
        date: text(DATE),
        link: links(response.headers()),
        body: Vec::new(),
        body_lost: false,
    };
    match body(response).await {
        Ok(body) => {
            answer.body_lost = body.len() > LONGEST_BODY;
            answer.body = body;
        }
        Err(error) if call == Call::Read && answer.status < 300 => {
            return Err(no_answer(error, call));
        }
        Err(_) => answer.body_lost = true,
    }
    Ok(answer)
}

fn links(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(LINK).iter();
    let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

async fn body(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_BODY {
            break;
        }
    }
    Ok(body)
}

/// What it means that no answer came. A request that never left is certain to have done nothing.
fn no_answer(error: reqwest::Error, call: Call) -> Error {
    let error = error.without_url();
    if error.is_builder() {
        return Error::refused(400, "the request cannot be built").because(error);
    }
    if error.is_connect() {
        let cause = root_cause(&error);
        let message = if cause.contains("certificate") {
            format!("the service's certificate is not trusted: {cause}")
        } else {
            format!("the service cannot be reached: {cause}")
        };
        return Error::unavailable(503, message).because(error);
    }
    let message = if error.is_timeout() {
        "the service did not answer in time"
    } else {
        "the connection was lost before an answer came"
    };
    match call {
        Call::Read => Error::unavailable(504, message).because(error),
        Call::Write => Error::unknown(504, message).because(error),
    }
}

/// What the error at the bottom says; those above it say that they could not connect.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

fn headers(service: &Service) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &service.headers {
        insert(&mut headers, name, value.expose())?;
    }
    match &service.auth {
        Some(Auth::Bearer(token)) => insert(
            &mut headers,
            AUTHORIZATION.as_str(),
            &format!("Bearer {}", token.expose()),
        )?,
        Some(Auth::Basic { user, password }) => {
            let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
            insert(
                &mut headers,
                AUTHORIZATION.as_str(),
                &format!("Basic {pair}"),
            )?;
        }
        Some(Auth::Header { name, value }) => insert(&mut headers, name, value.expose())?,
        // Its token comes with each request.
        Some(Auth::OAuth2(_)) | None => {}
    }
    Ok(headers)
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Error> {
    let wrong = || Error::refused(400, format!("`{name}` is no valid header"));
    let key = HeaderName::try_from(name).map_err(|_| wrong())?;
    let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
    value.set_sensitive(true);
    headers.insert(key, value);
    Ok(())
}

fn is_loopback(address: &str) -> bool {
    match Url::parse(address).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}
