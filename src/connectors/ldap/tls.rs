//! Which certificates a directory's must come from.
use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

use crate::connectors::Error;

/// The certificates in a PEM file.
///
/// # Errors
/// Refused where it cannot be read or holds none.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let place = file.display();
    let pem = std::fs::read(file)
        .map_err(|error| Error::refused(400, format!("`{place}` cannot be read: {error}")))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| {
            let message = format!("`{place}` holds what is no certificate: {error}");
            Error::refused(400, message)
        })?;
    if found.is_empty() {
        let message = format!("`{place}` holds no certificate in PEM form");
        return Err(Error::refused(400, message));
    }
    Ok(found)
}

/// How to speak TLS with a server whose certificate comes from those in the file, or is one of
/// them.
///
/// # Errors
/// As [`certificates`]; refused too where one of them can vouch for nobody.
pub fn client(file: &Path) -> Result<Arc<ClientConfig>, Error> {
    let known = certificates(file)?;
    let wrong = |error: &dyn std::fmt::Display| {
        let place = file.display();
        Error::refused(400, format!("`{place}` cannot be used: {error}"))
    };
    let mut roots = RootCertStore::empty();
    for certificate in &known {
        roots
            .add(certificate.clone())
            .map_err(|error| wrong(&error))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chains =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| wrong(&error))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Known { chains, known }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Checks certificates as usual, and takes one that stands in the file itself at its word. A
/// server's certificate that signed itself is commonly marked as an authority's, and a chain never
/// ends in such a one.
#[derive(Debug)]
struct Known {
    chains: Arc<WebPkiServerVerifier>,
    known: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let checked = self.chains.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match checked {
            Err(TlsError::InvalidCertificate(CertificateError::Other(_)))
                if self.known.iter().any(|known| known == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chains
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chains
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
