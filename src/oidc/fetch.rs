//! Requests to the provider: bounded in time and size, encrypted, without redirects.
use std::time::Duration;

use reqwest::{Certificate, RequestBuilder, redirect::Policy};
use serde_json::Value;
use url::{Host, Url};

use super::Settings;

/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection to it may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// Why the provider could not be asked. Names no token and no secret.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct FetchError {
    /// What was tried.
    pub step: &'static str,
    /// Why it failed.
    pub reason: String,
}

/// Asks the provider.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: reqwest::Client,
}

impl Fetcher {
    pub(super) fn new(settings: &Settings) -> Result<Self, FetchError> {
        let fail = |reason: String| FetchError {
            step: "make a client of the provider",
            reason,
        };
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(PATIENCE);
        if Url::parse(&settings.issuer).is_ok_and(|url| is_loopback(&url)) {
            builder = builder.no_proxy();
        }
        if let Some(file) = &settings.authority {
            let pem = std::fs::read(file).map_err(|error| fail(error.to_string()))?;
            let bundle = Certificate::from_pem_bundle(&pem);
            for certificate in bundle.map_err(|error| fail(error.to_string()))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|error| fail(error.to_string()))?;
        Ok(Self { client })
    }

    /// The JSON at an address.
    pub(super) async fn json(
        &self,
        address: &str,
        step: &'static str,
    ) -> Result<Value, FetchError> {
        let url = safe_address(address, step)?;
        let (status, value) = exchange(self.client.get(url), step).await?;
        if status != 200 {
            return Err(refused(step, status));
        }
        Ok(value)
    }

    /// The status and the JSON that a form is answered.
    pub(super) async fn form(
        &self,
        address: &str,
        fields: &[(&str, &str)],
        basic: Option<(&str, &str)>,
        step: &'static str,
    ) -> Result<(u16, Value), FetchError> {
        let url = safe_address(address, step)?;
        let mut request = self.client.post(url).form(fields);
        if let Some((user, password)) = basic {
            request = request.basic_auth(user, Some(password));
        }
        exchange(request, step).await
    }
}

/// An address that may be asked: by TLS, or on this machine.
pub(super) fn safe_address(address: &str, step: &'static str) -> Result<Url, FetchError> {
    let fail = |reason: &str| FetchError {
        step,
        reason: reason.to_owned(),
    };
    let url = Url::parse(address).map_err(|_| fail("the provider names what is no address"))?;
    let may = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if may {
        Ok(url)
    } else {
        Err(fail("the provider names an address without TLS"))
    }
}

pub(super) fn refused(step: &'static str, status: u16) -> FetchError {
    FetchError {
        step,
        reason: format!("the provider answers with status {status}"),
    }
}

async fn exchange(request: RequestBuilder, step: &'static str) -> Result<(u16, Value), FetchError> {
    let fail = |reason: String| FetchError { step, reason };
    let told = |error: reqwest::Error| {
        let error = error.without_url();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        let texts: Vec<String> = causes.map(ToString::to_string).collect();
        fail(texts.join(": "))
    };
    let mut response = request.send().await.map_err(told)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(fail("the provider's answer is too large".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    let value = serde_json::from_slice(&body);
    match value {
        Ok(value) => Ok((status, value)),
        Err(_) if status != 200 => Err(refused(step, status)),
        Err(_) => Err(fail("the provider's answer is no JSON".to_owned())),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
