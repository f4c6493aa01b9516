//! Entries to a syslog receiver: datagrams, a stream, a stream in TLS, or the local socket.
use std::{path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, UnixDatagram, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Shortened, SyslogAddress, SyslogSettings,
    syslog_line::{line, short_line},
};
use crate::model::audit::ChainedEntry;

/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(10);
/// The largest datagram that is sent: what is longer would be cut by most receivers, or refused.
const DATAGRAM: usize = 60 * 1024;

/// A syslog receiver, connected when it is needed.
pub(super) struct Syslog {
    settings: SyslogSettings,
    host: String,
    connection: Option<Connection>,
}

enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    UnixDatagram(UnixDatagram),
    UnixStream(UnixStream),
}

impl Syslog {
    pub(super) fn new(settings: SyslogSettings) -> Self {
        Self {
            settings,
            host: host(),
            connection: None,
        }
    }

    /// Sends entries. A stream that broke is made anew for the next try.
    pub(super) async fn take(&mut self, entries: &[ChainedEntry]) -> Result<Shortened, String> {
        let mut connection = match self.alive().await {
            Some(kept) => kept,
            None => tokio::time::timeout(CONNECTING, connect(&self.settings.address))
                .await
                .map_err(|_| "it does not answer".to_owned())??,
        };
        let SyslogSettings {
            app_name, facility, ..
        } = &self.settings;
        let mut shortened = Shortened::new();
        let lines = entries.iter().map(|entry| {
            let whole = line(entry, app_name, &self.host, *facility);
            if !connection.is_of_datagrams() || whole.len() <= DATAGRAM {
                return whole;
            }
            let why = format!(
                "it has {} bytes, and a datagram holds {DATAGRAM}: what it is about was sent, not \
                 its content",
                whole.len()
            );
            shortened.push((entry.position, why));
            short_line(entry, app_name, &self.host, *facility, whole.len())
        });
        let lines: Vec<String> = lines.collect();
        connection
            .send(&lines)
            .await
            .map_err(|error| format!("it cannot be sent to: {error}"))?;
        self.connection = Some(connection);
        Ok(shortened)
    }

    /// The connection that was kept, if the other side has not closed it.
    async fn alive(&mut self) -> Option<Connection> {
        let mut kept = self.connection.take()?;
        kept.is_alive().await.then_some(kept)
    }
}

impl Connection {
    fn is_of_datagrams(&self) -> bool {
        matches!(self, Self::Udp(_) | Self::UnixDatagram(_))
    }

    async fn send(&mut self, lines: &[String]) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => {
                for line in lines {
                    socket.send(line.as_bytes()).await?;
                }
                Ok(())
            }
            Self::UnixDatagram(socket) => {
                for line in lines {
                    socket.send(line.as_bytes()).await?;
                }
                Ok(())
            }
            Self::Tcp(stream) => counted(stream, lines).await,
            Self::Tls(stream) => counted(stream.as_mut(), lines).await,
            Self::UnixStream(stream) => counted(stream, lines).await,
        }
    }

    /// Whether the other side has not closed: what is written to such a stream is lost without an
    /// error. Receivers send nothing, so anything but waiting is the end.
    async fn is_alive(&mut self) -> bool {
        let mut byte = [0_u8; 1];
        let look = Duration::from_millis(1);
        let ended = match self {
            Self::Udp(_) | Self::UnixDatagram(_) => return true,
            Self::Tcp(stream) => tokio::time::timeout(look, stream.read(&mut byte)).await,
            Self::Tls(stream) => tokio::time::timeout(look, stream.read(&mut byte)).await,
            Self::UnixStream(stream) => tokio::time::timeout(look, stream.read(&mut byte)).await,
        };
        ended.is_err()
    }
}

/// Each message behind its length (RFC 6587, 3.4.1).
async fn counted(stream: &mut (impl AsyncWrite + Unpin), lines: &[String]) -> std::io::Result<()> {
    let mut frames = Vec::new();
    for line in lines {
        frames.extend_from_slice(format!("{} ", line.len()).as_bytes());
        frames.extend_from_slice(line.as_bytes());
    }
    stream.write_all(&frames).await?;
    stream.flush().await
}

async fn connect(address: &SyslogAddress) -> Result<Connection, String> {
    let unreachable = |error: std::io::Error| format!("it cannot be reached: {error}");
    match address {
        SyslogAddress::Udp(address) => {
            let found = tokio::net::lookup_host(address)
                .await
                .map_err(unreachable)?;
            let to = found
                .into_iter()
                .next()
                .ok_or_else(|| "its name has no address".to_owned())?;
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await.map_err(unreachable)?;
            socket.connect(to).await.map_err(unreachable)?;
            Ok(Connection::Udp(socket))
        }
        SyslogAddress::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(unreachable)?;
            Ok(Connection::Tcp(stream))
        }
        SyslogAddress::Tls {
            address,
            host,
            ca_file,
        } => {
            let connector = TlsConnector::from(tls(ca_file)?);
            let name = ServerName::try_from(host.clone())
                .map_err(|_| format!("`{host}` is no name of a host"))?;
            let stream = TcpStream::connect(address).await.map_err(unreachable)?;
            let stream = connector
                .connect(name, stream)
                .await
                .map_err(|error| format!("TLS fails: {error}"))?;
            Ok(Connection::Tls(Box::new(stream)))
        }
        SyslogAddress::Unix(path) => local(path).await.map_err(unreachable),
    }
}

/// Most local sockets take datagrams, some a stream.
async fn local(path: &Path) -> std::io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    match socket.connect(path) {
        Ok(()) => Ok(Connection::UnixDatagram(socket)),
        Err(_) => Ok(Connection::UnixStream(UnixStream::connect(path).await?)),
    }
}

fn tls(ca_file: &Path) -> Result<Arc<ClientConfig>, String> {
    let place = ca_file.display();
    let pem = std::fs::read(ca_file).map_err(|error| format!("{place} cannot be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate =
            certificate.map_err(|error| format!("{place} holds no certificate: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("{place} cannot be used: {error}"))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be used: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// This machine's name, as the system tells it without being asked.
fn host() -> String {
    let told = std::env::var("HOSTNAME").ok();
    let told = told.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    told.map(|name| name.trim().to_owned()).unwrap_or_default()
}
