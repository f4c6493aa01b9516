//! One listener with the API behind it, from its first connection to its last.
use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum_server::{
    Handle,
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use tokio_util::task::AbortOnDropHandle;

use super::{Error, client::WithCertificate, metrics, signals::Stop, tls};
use crate::{
    api::{Api, Limits, Settings, TransactionIds},
    app::{App, Reach},
    clock::SharedClock,
    config,
    scim::{self, Scim},
    web::{Pages, Settings as PageSettings},
};

/// How long the head of a request may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long a form of the pages may take to arrive.
const FORM_TIME: Duration = Duration::from_secs(20);

/// A server that listens, and does not yet answer.
#[derive(Debug)]
pub struct Server {
    app: App,
    clock: SharedClock,
    settings: config::Server,
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every answer was sent, or the patience ran out.
    Settled,
    /// A second stop was asked for: what is in flight is taken up at the next start.
    AtOnce,
}

type Service = IntoMakeServiceWithConnectInfo<axum::Router, SocketAddr>;

impl Server {
    /// Binds the address; from now on clients may connect, and wait.
    ///
    /// # Errors
    /// The address is taken, or it can be reached from elsewhere and no token is configured.
    pub async fn bind(
        app: App,
        clock: SharedClock,
        settings: &config::Server,
    ) -> Result<Self, Error> {
        let wanted = settings.listen;
        if reach(wanted) == Reach::Network && !app.is_guarded() {
            return Err(Error::Unprotected(wanted));
        }
        let fail = |source| Error::Listen {
            address: wanted,
            source,
        };
        let listener = tokio::net::TcpListener::bind(wanted).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Self {
            app,
            clock,
            settings: settings.clone(),
            listener: listener.into_std().map_err(fail)?,
            address,
        })
    }

    /// Where it listens; the port is a real one even where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until a stop is asked for, then lets open requests end, at most for the configured
    /// time. What the engine still has in flight is the business of [`App::close`].
    ///
    /// # Errors
    /// Certificate or key cannot be used, or the listener fails.
    pub async fn run(self, mut stop: Stop) -> Result<Ended, Error> {
        let recorder = metrics::recorder()?;
        let _upkeep = AbortOnDropHandle::new(tokio::spawn(metrics::upkeep(recorder.clone())));
        let api = Api::new(
            self.app.clone(),
            self.clock.clone(),
            recorder,
            api_settings(&self.settings, self.address),
        );
        let pages = Pages::new(
            self.app.clone(),
            self.clock.clone(),
            PageSettings {
                reach: reach(self.address),
                body_bytes: self.settings.body_limit,
                body_time: self.settings.request_timeout.min(FORM_TIME),
                requests_per_second: self.settings.rate_limit.and_then(NonZeroU32::new),
            },
        );
        self.announce();
        let patience = self.settings.shutdown_timeout;
        let handle = Handle::new();
        let scim = Scim::new(
            self.app.clone(),
            self.clock.clone(),
            scim_settings(
                &self.settings,
                &self.app.configuration().scim_service,
                self.address,
            ),
        );
        let service = api
            .clone()
            .into_router()
            .merge(scim.into_router())
            .merge(pages.clone().into_router())
            .into_make_service_with_connect_info::<SocketAddr>();
        let mut serving = Box::pin(self.answer(service, handle.clone()));
        tokio::select! {
            ended = &mut serving => return ended.map(|()| Ended::Settled),
            () = stop.asked() => {}
        }
        tracing::info!("stopping: no new connections, waiting for what is in flight");
        api.drain();
        pages.drain();
        handle.graceful_shutdown(Some(patience));
        tokio::select! {
            ended = serving => ended.map(|()| Ended::Settled),
            () = stop.asked() => Ok(Ended::AtOnce),
        }
    }

    async fn answer(self, service: Service, handle: Handle<SocketAddr>) -> Result<(), Error> {
        match &self.settings.tls {
            None => plain(self.listener, handle, service).await,
            Some(files) => {
                let settings = tls::load(files).await?;
                let follow = tls::follow(files.clone(), settings.clone(), self.app.clone());
                let _follow = AbortOnDropHandle::new(tokio::spawn(follow));
                encrypted(self.listener, handle, settings, service).await
            }
        }
    }

    fn announce(&self) {
        let scheme = match self.settings.tls {
            Some(_) => "https",
            None => "http",
        };
        tracing::info!(address = %self.address, "listening on {scheme}://{}", self.address);
        if !self.app.is_guarded() {
            tracing::warn!(
                "no token is configured: everybody on this machine may do everything; make one with `recant token`"
            );
        }
    }
}

async fn plain(
    listener: std::net::TcpListener,
    handle: Handle<SocketAddr>,
    service: Service,
) -> Result<(), Error> {
    let mut server = axum_server::from_tcp(listener)
        .map_err(Error::Serve)?
        .acceptor(NoDelayAcceptor::new())
        .handle(handle);
    bound_heads(server.http_builder());
    server.serve(service).await.map_err(Error::Serve)
}

async fn encrypted(
    listener: std::net::TcpListener,
    handle: Handle<SocketAddr>,
    settings: RustlsConfig,
    service: Service,
) -> Result<(), Error> {
    let acceptor = RustlsAcceptor::new(settings).acceptor(NoDelayAcceptor::new());
    let mut server = axum_server::from_tcp(listener)
        .map_err(Error::Serve)?
        .acceptor(WithCertificate(acceptor))
        .handle(handle);
    bound_heads(server.http_builder());
    server.serve(service).await.map_err(Error::Serve)
}

/// Drops connections that never finish the head of a request.
fn bound_heads(
    builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>,
) {
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME);
    builder.http2().timer(TokioTimer::new());
}

fn reach(address: SocketAddr) -> Reach {
    if address.ip().is_loopback() {
        Reach::Loopback
    } else {
        Reach::Network
    }
}

fn scim_settings(
    settings: &config::Server,
    service: &config::Scim,
    address: SocketAddr,
) -> scim::Settings {
    scim::Settings {
        reach: reach(address),
        scheme: match settings.tls {
            Some(_) => "https",
            None => "http",
        },
        base_url: service.base_url.clone(),
        trusts_transaction_header: settings.trust_transaction_header,
        body_bytes: settings.body_limit,
        request_time: settings.request_timeout,
        requests_per_second: settings.rate_limit.and_then(NonZeroU32::new),
        page_size: service.page_size,
        bulk_operations: service.bulk_operations,
    }
}

fn api_settings(settings: &config::Server, address: SocketAddr) -> Settings {
    Settings {
        limits: Limits {
            body_bytes: settings.body_limit,
            request_time: settings.request_timeout,
            requests_per_second: settings.rate_limit.and_then(NonZeroU32::new),
        },
        reach: reach(address),
        transactions: if settings.trust_transaction_header {
            TransactionIds::FromCaller
        } else {
            TransactionIds::Fresh
        },
    }
}
