//! Which certificates a directory's must come from.
use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::connectors::Error;

/// The certificates in a PEM file.
///
/// # Errors
/// Refused where it cannot be read or holds none.
pub fn roots(file: &Path) -> Result<RootCertStore, Error> {
    let place = file.display();
    let pem = std::fs::read(file)
        .map_err(|error| Error::refused(400, format!("`{place}` cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        if let Err(error) = added {
            let message = format!("`{place}` holds what is no certificate: {error}");
            return Err(Error::refused(400, message));
        }
    }
    if roots.is_empty() {
        let message = format!("`{place}` holds no certificate in PEM form");
        return Err(Error::refused(400, message));
    }
    Ok(roots)
}

/// How to speak TLS with a server whose certificate comes from those in the file.
///
/// # Errors
/// As [`roots`].
pub fn client(file: &Path) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::refused(400, "TLS cannot be set up").because(error))?;
    let config = builder
        .with_root_certificates(roots(file)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
