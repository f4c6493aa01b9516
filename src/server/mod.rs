//! Listening: addresses, TLS, signals, logs and metrics around the HTTP API.
//!
//! Nothing here knows what a change is. A stopping server takes no new connections, lets those that
//! are open end, and waits for what the engine has in flight.
mod client;
mod listener;
mod logging;
mod metrics;
mod signals;
mod tls;

use std::{io, net::SocketAddr, path::Path, sync::Arc};

pub use listener::{Ended, Server};
pub use logging::{Logging, init as init_logging};
pub use metrics::recorder;
pub use signals::{Stop, StopSender, stops, terminations};

use crate::{
    app::{App, StartError},
    clock::SystemClock,
    config::{self, Configuration},
    hooks::{Limits, Runtime},
};

/// Why a server does not start, or stopped on its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder has errors; one line each.
    #[error("the folder has errors:\n{}", .0.join("\n"))]
    Folder(Vec<String>),
    /// The use-cases do not start.
    #[error("cannot start: {0}")]
    Start(#[from] StartError),
    /// It could be reached from elsewhere, by anybody.
    #[error(
        "no token is configured, so {0} cannot be listened on: make a token with `recant token`, or listen on 127.0.0.1"
    )]
    Unprotected(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("cannot use the certificate and key for TLS")]
    Tls(#[source] io::Error),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// The listener failed while it ran.
    #[error("the listener failed")]
    Serve(#[source] io::Error),
    /// Metrics cannot be collected in this process.
    #[error("cannot collect metrics: {0}")]
    Metrics(String),
    /// The log filter or the exporter of traces is wrong.
    #[error("cannot set up the log: {0}")]
    Logging(String),
}

/// Serves a project folder until SIGTERM or SIGINT, and settles what is in flight.
///
/// # Errors
/// The folder has errors, the address cannot be listened on, or it could be reached by anybody.
pub async fn serve(folder: &Path) -> Result<Ended, Error> {
    let configuration = configuration(folder)?;
    let logging = init_logging(&configuration.telemetry)?;
    let app = App::open(folder).await?;
    let ended = serve_app(app.clone(), &configuration.server).await;
    if !matches!(ended, Ok(Ended::AtOnce)) {
        app.close(configuration.server.shutdown_timeout).await;
    }
    logging.close();
    ended
}

async fn serve_app(app: App, settings: &config::Server) -> Result<Ended, Error> {
    let stop = terminations()?;
    let server = Server::bind(app, Arc::new(SystemClock), settings).await?;
    server.run(stop).await
}

fn configuration(folder: &Path) -> Result<Configuration, Error> {
    let runtime = |limits: &Limits| Runtime::new(limits.clone());
    let loaded = config::load(folder, &runtime, &config::process_environment);
    loaded.configuration.ok_or_else(|| {
        let problems = loaded.problems.iter();
        Error::Folder(problems.map(ToString::to_string).collect())
    })
}
