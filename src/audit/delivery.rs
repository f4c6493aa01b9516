//! Delivery of the audit trail to files, syslog and OpenTelemetry, beside the store.
//!
//! Entries are delivered from a stored position that moves only behind what a destination has taken, or
//! what it will never take: that is set aside, with the reason, until somebody sends it again or gives
//! it up. After a crash some are told again, none is left out. Nothing here is on the way of a change.
mod file;
mod otlp;
mod status;
mod syslog;
mod syslog_line;
mod worker;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use url::Url;

pub use status::{State, Status, Statuses};
pub use worker::deliver;

/// Where entries are delivered to.
#[derive(Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file of JSON Lines.
    File(FileSettings),
    /// A syslog receiver.
    Syslog(SyslogSettings),
    /// An OpenTelemetry collector.
    Otlp(OtlpSettings),
}

/// A file of JSON Lines, and when the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    /// The file that is written; older ones have a time behind their name.
    pub path: PathBuf,
    /// From how many bytes on.
    pub max_bytes: u64,
    /// From which age on.
    pub max_age: Option<Duration>,
    /// How many older files are kept; none: all.
    pub keep: Option<usize>,
}

/// A syslog receiver (RFC 5424).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogSettings {
    /// Where it is.
    pub address: SyslogAddress,
    /// `APP-NAME`.
    pub app_name: String,
    /// The facility's number; 13 is `log audit`.
    pub facility: u8,
}

/// Where a syslog receiver is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogAddress {
    /// One datagram each; what the network loses is lost.
    Udp(String),
    /// Octet counting (RFC 6587).
    Tcp(String),
    /// Octet counting over TLS (RFC 5425).
    Tls {
        /// Host and port.
        address: String,
        /// The host that the certificate must name.
        host: String,
        /// A PEM file with the certificates that it must come from.
        ca_file: PathBuf,
    },
    /// A local socket such as `/dev/log`.
    Unix(PathBuf),
}

/// An OpenTelemetry collector (OTLP over HTTP with JSON).
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    /// Its address; entries go to `/v1/logs` there.
    pub endpoint: Url,
    /// Headers with each request; their values may be secret.
    pub headers: BTreeMap<String, String>,
}

/// Why entries were not taken.
enum Trouble {
    /// Not now; perhaps later.
    Later(String),
    /// Not as they are, however often they are sent.
    Never(String),
}

/// The entries that arrived without their whole content, by position, and why.
type Shortened = Vec<(i64, String)>;

/// Something that takes entries.
enum Sink {
    File(file::File),
    Syslog(syslog::Syslog),
    Otlp(otlp::Otlp),
}

impl Destination {
    /// `file`, `syslog` or `otlp`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Syslog(_) => "syslog",
            Self::Otlp(_) => "otlp",
        }
    }
}

impl Sink {
    fn new(destination: Destination) -> Result<Self, String> {
        Ok(match destination {
            Destination::File(settings) => Self::File(file::File::new(settings)),
            Destination::Syslog(settings) => Self::Syslog(syslog::Syslog::new(settings)),
            Destination::Otlp(settings) => Self::Otlp(otlp::Otlp::new(settings)?),
        })
    }

    /// Delivers entries; all of them were taken, or they are delivered again.
    async fn take(
        &mut self,
        entries: &[crate::model::audit::ChainedEntry],
    ) -> Result<Shortened, Trouble> {
        match self {
            Self::File(file) => match file.take(entries).await {
                Ok(()) => Ok(Vec::new()),
                Err(error) => Err(Trouble::Later(error)),
            },
            Self::Syslog(syslog) => syslog.take(entries).await.map_err(Trouble::Later),
            Self::Otlp(otlp) => otlp.take(entries).await.map(|()| Vec::new()),
        }
    }
}

/// No values of headers.
impl std::fmt::Debug for OtlpSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.headers.keys().collect();
        write!(
            formatter,
            "OtlpSettings({:?}, {names:?})",
            self.endpoint.host_str()
        )
    }
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(settings) => settings.fmt(formatter),
            Self::Syslog(settings) => settings.fmt(formatter),
            Self::Otlp(settings) => settings.fmt(formatter),
        }
    }
}
