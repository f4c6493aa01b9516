//! Which certificate a client showed, told to whatever answers its requests.
use std::{future::Future, io, pin::Pin, sync::Arc};

use axum::{Extension, middleware::AddExtension};
use axum_server::{accept::Accept, tls_rustls::RustlsAcceptor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tower_layer::Layer as _;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::app::ClientCertificate;

/// Takes connections in and notes the certificates of clients.
#[derive(Debug, Clone)]
pub(super) struct WithCertificate<A>(pub(super) RustlsAcceptor<A>);

type Accepted<S, T> = Pin<Box<dyn Future<Output = io::Result<(S, T)>> + Send>>;

impl<A, I, S> Accept<I, S> for WithCertificate<A>
where
    RustlsAcceptor<A>: Accept<I, S, Stream = TlsStream<I>, Service = S>,
    <RustlsAcceptor<A> as Accept<I, S>>::Future: Send + 'static,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Send + 'static,
{
    type Stream = TlsStream<I>;
    type Service = AddExtension<S, Option<Arc<ClientCertificate>>>;
    type Future = Accepted<Self::Stream, Self::Service>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepted = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            let (_, connection) = stream.get_ref();
            let shown = connection.peer_certificates().and_then(<[_]>::first);
            let holder = shown
                .and_then(|certificate| holder(certificate))
                .map(Arc::new);
            Ok((stream, Extension(holder).layer(service)))
        })
    }
}

/// Whom a certificate names; none where it cannot be read.
fn holder(certificate: &[u8]) -> Option<ClientCertificate> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let mut holders = Vec::new();
    // Several common names would be several holders; a certificate has one.
    let mut common: Vec<&str> = parsed
        .subject()
        .iter_common_name()
        .filter_map(|name| name.as_str().ok())
        .collect();
    if let (Some(name), true) = (common.pop(), common.is_empty()) {
        holders.push(format!("CN={name}"));
    }
    let names = parsed.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => holders.push(format!("DNS:{name}")),
            GeneralName::URI(name) => holders.push(format!("URI:{name}")),
            GeneralName::RFC822Name(name) => holders.push(format!("email:{name}")),
            _ => {}
        }
    }
    Some(ClientCertificate { holders })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    #[test]
    fn a_certificate_names_its_holder() {
        let pem = include_bytes!("../../tests/it/support/certificates/client.pem");
        let certificate = CertificateDer::from_pem_slice(pem).unwrap();
        let found = holder(&certificate).unwrap();
        assert_eq!(
            found.holders,
            [
                "CN=hr",
                "DNS:hr.example",
                "URI:spiffe://example/hr",
                "email:hr@example"
            ]
        );
        assert_eq!(holder(b"no certificate"), None);
    }
}
