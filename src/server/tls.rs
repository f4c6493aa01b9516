//! TLS by rustls: certificate, key and the authorities of client certificates, read again when their
//! files change.
use std::{io, path::Path, sync::Arc, time::Duration};

use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::fs;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::Error;
use crate::{
    app::App,
    config::{ClientAuth, Tls},
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What problems of these files are listed under.
const NOTICE: &str = "tls";

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
    clients: Option<Vec<u8>>,
}

/// The settings of a listener for these files.
pub(super) async fn load(files: &Tls) -> Result<RustlsConfig, Error> {
    let content = read(files).await.map_err(Error::Tls)?;
    let settings = settings(&content, files.client_auth).map_err(Error::Tls)?;
    Ok(RustlsConfig::from_config(Arc::new(settings)))
}

/// Reads the files again whenever they change, or others are named in the folder; what cannot be used
/// leaves the last good ones in force and is listed among the folder's problems.
pub(super) async fn follow(files: Tls, listener: RustlsConfig, app: App) {
    let mut known = Some((read(&files).await.ok(), files));
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let wanted = app.configuration().server.tls.clone();
        let Some(files) = wanted else {
            continue;
        };
        let found = read(&files).await;
        let (read, problem) = match found {
            Ok(content) => (Some(content), None),
            Err(error) => (None, Some(error)),
        };
        let found = Some((read, files));
        if found == known {
            continue;
        }
        known = found;
        let taken = match (&known, problem) {
            (_, Some(error)) => Err(error),
            (Some((Some(content), files)), None) => settings(content, files.client_auth),
            _ => continue,
        };
        take(taken, &listener, &app);
    }
}

/// Takes new settings up, or tells why not.
fn take(taken: io::Result<ServerConfig>, listener: &RustlsConfig, app: &App) {
    match taken {
        Ok(settings) => {
            listener.reload_from_config(Arc::new(settings));
            app.notice(NOTICE, None);
            tracing::info!("the server's certificate was taken up");
        }
        Err(error) => {
            tracing::warn!(%error, "the changed certificate or key cannot be used, the last good ones stay");
            let message = format!(
                "the server's certificate, key or client authorities cannot be used, the last good \
                 ones stay in force: {error}"
            );
            app.notice(NOTICE, Some(("recant.toml", message)));
        }
    }
}

async fn read(files: &Tls) -> io::Result<Content> {
    let clients = match &files.clients {
        Some(file) => Some(whole(file).await?),
        None => None,
    };
    Ok(Content {
        certificate: whole(&files.certificate).await?,
        key: whole(&files.key).await?,
        clients,
    })
}

async fn whole(file: &Path) -> io::Result<Vec<u8>> {
    let read = fs::read(file).await;
    read.map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", file.display())))
}

fn settings(content: &Content, client_auth: ClientAuth) -> io::Result<ServerConfig> {
    let chain = certificates(&content.certificate, "certificate")?;
    check_times(chain.first())?;
    let key = PrivateKeyDer::from_pem_slice(&content.key)
        .map_err(|error| wrong(format!("the key: {error}")))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    let builder = match &content.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(verifier(clients, client_auth)?),
    };
    let mut settings = builder
        .with_single_cert(chain, key)
        .map_err(|error| wrong(error.to_string()))?;
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(settings)
}

/// A server with a certificate that has ended is one that nobody can reach.
fn check_times(certificate: Option<&CertificateDer<'_>>) -> io::Result<()> {
    let certificate = certificate.ok_or_else(|| wrong("the file holds no certificate".into()))?;
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| wrong(format!("the certificate: {error}")))?;
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    if parsed.validity().not_after.timestamp() < now {
        return Err(wrong("the certificate has ended".into()));
    }
    Ok(())
}

/// What checks client certificates.
fn verifier(clients: &[u8], client_auth: ClientAuth) -> io::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(clients, "client authority")? {
        roots
            .add(authority)
            .map_err(|error| wrong(format!("a client authority: {error}")))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match client_auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Required => builder,
    };
    builder.build().map_err(|error| wrong(error.to_string()))
}

fn certificates(pem: &[u8], what: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("the {what}: {error}")))?;
    if found.is_empty() {
        return Err(wrong(format!("the {what}: there is none in the file")));
    }
    Ok(found)
}

fn wrong(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
