//! TLS by rustls, with certificates that are read again when their files change.
use std::{io, sync::Arc, time::Duration};

use axum_server::tls_rustls::RustlsConfig;
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::pem::PemObject};
use tokio::fs;

use super::Error;
use crate::config::Tls;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The settings of a listener for these files.
pub(super) async fn load(files: &Tls) -> Result<RustlsConfig, Error> {
    let (certificate, key) = read(files).await.map_err(Error::Tls)?;
    let settings = settings(&certificate, &key).map_err(Error::Tls)?;
    Ok(RustlsConfig::from_config(Arc::new(settings)))
}

/// Reads the files again whenever they change; a pair that cannot be used leaves the last good one
/// in force.
pub(super) async fn follow(files: Tls, listener: RustlsConfig) {
    let mut known = read(&files).await.ok();
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let found = read(&files).await.ok();
        if found == known {
            continue;
        }
        if let Some((certificate, key)) = &found {
            match settings(certificate, key) {
                Ok(settings) => {
                    listener.reload_from_config(Arc::new(settings));
                    tracing::info!(certificate = %files.certificate.display(), "certificate taken up");
                }
                Err(error) => {
                    tracing::warn!(%error, certificate = %files.certificate.display(),
                        "the changed certificate or key cannot be used, the last good one stays");
                }
            }
        }
        known = found;
    }
}

async fn read(files: &Tls) -> io::Result<(Vec<u8>, Vec<u8>)> {
    Ok((
        fs::read(&files.certificate).await?,
        fs::read(&files.key).await?,
    ))
}

fn settings(certificate: &[u8], key: &[u8]) -> io::Result<ServerConfig> {
    let wrong = |error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
    };
    let chain = rustls::pki_types::CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(&error))?;
    let key =
        rustls::pki_types::PrivateKeyDer::from_pem_slice(key).map_err(|error| wrong(&error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| wrong(&error))?;
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(settings)
}
