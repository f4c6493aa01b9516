//! From recant.toml as written to valid settings.
use std::{net::SocketAddr, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;

use super::store_url;
use crate::{
    config::{
        problem::Problems,
        read::{Document, shape},
        settings::{
            Audit, Auth, Changes, Events, Hooks, Journal, Scim, Server, Store, Telemetry, Tls,
        },
        written::project as written,
    },
    hooks::Limits,
};

/// Everything that recant.toml says.
pub(crate) struct Project {
    pub(crate) server: Server,
    pub(crate) store: Store,
    pub(crate) auth: Auth,
    pub(crate) secrets: Vec<SecretString>,
    /// Whether a key is named, be it right or wrong.
    pub(crate) names_key: bool,
    pub(crate) limits: Limits,
    pub(crate) journal: Journal,
    pub(crate) audit: Audit,
    pub(crate) hooks: Hooks,
    pub(crate) changes: Changes,
    pub(crate) events: Events,
    pub(crate) scim: Scim,
    pub(crate) telemetry: Telemetry,
}

/// Compiles the document; what is wrong is reported, and its default stands in for it.
pub(crate) fn compile(document: &Document, folder: &Path, problems: &mut Problems) -> Project {
    let written: written::Project = shape::fit(document, problems);
    let mut work = Work {
        document,
        folder,
        problems,
    };
    let secrets = written.secrets.unwrap_or_default();
    let server = work.server(written.server.unwrap_or_default());
    let public_url = server.public_url.clone();
    Project {
        names_key: secrets.key.is_some(),
        server,
        store: work.store(written.store.unwrap_or_default()),
        auth: work.auth(written.auth.unwrap_or_default(), public_url.as_deref()),
        secrets: work.secrets(&secrets),
        limits: limits(&written.limits.unwrap_or_default()),
        journal: journal(&written.journal.unwrap_or_default()),
        audit: super::audit::compile(
            written.audit.unwrap_or_default(),
            document,
            folder,
            work.problems,
        ),
        hooks: Hooks {
            keep_runs: written.hooks.unwrap_or_default().keep_runs.unwrap_or(100),
        },
        changes: changes(&written.changes.unwrap_or_default()),
        scim: work.scim(written.scim.unwrap_or_default()),
        events: events(&written.events.unwrap_or_default()),
        telemetry: work.telemetry(written.telemetry.unwrap_or_default()),
    }
}

pub(super) struct Work<'a> {
    document: &'a Document,
    folder: &'a Path,
    problems: &'a mut Problems,
}

impl Work<'_> {
    fn server(&mut self, written: written::Server) -> Server {
        Server {
            listen: self.listen(written.listen.as_deref().unwrap_or("127.0.0.1:8480")),
            tls: self.tls(&written),
            public_url: self.public_url(written.public_url.as_deref()),
            trust_transaction_header: written.trust_transaction_header.unwrap_or_default(),
            read_only_folder: written.read_only_folder.unwrap_or_default(),
            body_limit: written.body_limit_bytes.unwrap_or(1024 * 1024),
            rate_limit: Some(written.rate_limit_per_second.unwrap_or(50_000))
                .filter(|limit| *limit > 0),
            request_timeout: seconds(written.request_timeout_seconds, 120),
            shutdown_timeout: seconds(written.shutdown_timeout_seconds, 30),
        }
    }

    fn scim(&mut self, written: written::Scim) -> Scim {
        let base = written.base_url.as_deref();
        if let Some(base) = base {
            let parsed = url::Url::parse(base);
            let fits = parsed.is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
            if !fits {
                let message =
                    format!("`{base}` is no address: expected one as `https://id.example/scim/v2`");
                self.error("/scim/base_url", message);
            }
        }
        Scim {
            base_url: base.map(str::to_owned),
            page_size: written.page_size.unwrap_or(200),
            bulk_operations: written.bulk_operations.unwrap_or(1000),
        }
    }

    fn listen(&mut self, text: &str) -> SocketAddr {
        // `localhost:8480` is the one name that needs nobody to look it up.
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        if let Ok(address) = address.parse() {
            return address;
        }
        let message =
            format!("`{text}` is no address to listen on: expected one like `127.0.0.1:8480`");
        self.error("/server/listen", message);
        SocketAddr::from(([127, 0, 0, 1], 8480))
    }

    fn tls(&mut self, written: &written::Server) -> Option<Tls> {
        let (certificate, key) = (written.tls_cert.as_deref(), written.tls_key.as_deref());
        self.client_certificates(written);
        match (certificate, key) {
            (None, None) => None,
            (Some(_), None) => {
                self.error(
                    "/server/tls_cert",
                    "`tls_cert` needs `tls_key` beside it".into(),
                );
                None
            }
            (None, Some(_)) => {
                self.error(
                    "/server/tls_key",
                    "`tls_key` needs `tls_cert` beside it".into(),
                );
                None
            }
            (Some(certificate), Some(key)) => {
                let wanted = (certificate, "CERTIFICATE-----", "certificate");
                let certificate = self.pem("/server/tls_cert", wanted);
                let key = self.pem("/server/tls_key", (key, "PRIVATE KEY-----", "private key"));
                let clients = written.tls_client_ca.as_deref().and_then(|file| {
                    self.pem(
                        "/server/tls_client_ca",
                        (file, "CERTIFICATE-----", "certificate"),
                    )
                });
                certificate.zip(key).map(|(certificate, key)| Tls {
                    certificate,
                    key,
                    clients,
                    client_auth: written.tls_client_auth.unwrap_or_default(),
                })
            }
        }
    }

    /// What is said of client certificates must have something to work on.
    fn client_certificates(&mut self, written: &written::Server) {
        if written.tls_client_ca.is_some() && written.tls_cert.is_none() {
            let message = "clients can only be asked for certificates over TLS: name `tls_cert` and `tls_key`";
            self.error("/server/tls_client_ca", message.into());
        }
        if written.tls_client_auth.is_some() && written.tls_client_ca.is_none() {
            let message = "name the authorities of client certificates in `tls_client_ca`";
            self.error("/server/tls_client_auth", message.into());
        }
    }

    fn public_url(&mut self, written: Option<&str>) -> Option<String> {
        let text = written?;
        let url = url::Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.has_host()
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
        });
        if url.is_none() {
            let message = format!(
                "`{text}` is no address of a server: expected one like `https://recant.example`"
            );
            self.error("/server/public_url", message);
        }
        url.map(|url| url.as_str().trim_end_matches('/').to_owned())
    }

    pub(super) fn pem(
        &mut self,
        pointer: &str,
        (file, marker, what): (&str, &str, &str),
    ) -> Option<std::path::PathBuf> {
        let path = self.folder.join(file);
        let problem = match crate::config::read::files::bounded(&path) {
            Err(error) => format!("the file `{file}` cannot be read: {error}"),
            Ok(bytes) if String::from_utf8_lossy(&bytes).contains(marker) => return Some(path),
            Ok(_) => format!("the file `{file}` holds no {what} in PEM form"),
        };
        self.error(pointer, problem);
        None
    }

    fn store(&mut self, written: written::Store) -> Store {
        let url = written.url.unwrap_or_else(|| "sqlite://recant.db".into());
        match store_url::resolved(&url, self.folder) {
            Ok(url) => Store { url },
            Err(message) => {
                self.error("/store/url", message);
                Store { url: String::new() }
            }
        }
    }

    fn secrets(&mut self, written: &written::Secrets) -> Vec<SecretString> {
        let current = written
            .key
            .iter()
            .map(|key| (key, "/secrets/key".to_owned()));
        let old = written.old_keys.iter().flatten().enumerate();
        let old = old
            .filter_map(|(index, key)| Some((key.as_ref()?, format!("/secrets/old_keys/{index}"))));
        if written.key.is_none() && written.old_keys.iter().flatten().next().is_some() {
            let message = "old keys only decrypt: name the `key` that encrypts beside them";
            self.error("/secrets/old_keys", message.into());
        }
        let mut keys = Vec::new();
        for (key, pointer) in current.chain(old) {
            if STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 32) {
                keys.push(SecretString::from(key.as_str()));
            } else {
                let message = "is no key: expected 32 bytes in base64, as `openssl rand -base64 32` prints them";
                self.error(&pointer, message.into());
            }
        }
        keys
    }

    fn telemetry(&mut self, written: written::Telemetry) -> Telemetry {
        let log_filter = written.log_filter.unwrap_or_else(|| "info".into());
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&log_filter) {
            let message = format!("is no filter of log lines: {error}");
            self.error("/telemetry/log_filter", message);
        }
        if let Some(endpoint) = &written.otlp_endpoint
            && !url::Url::parse(endpoint)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            let message = "expected an address like `http://localhost:4318`".into();
            self.error("/telemetry/otlp_endpoint", message);
        }
        Telemetry {
            log_format: written.log_format.unwrap_or_default(),
            log_filter,
            otlp_endpoint: written.otlp_endpoint,
        }
    }

    pub(super) fn error(&mut self, pointer: &str, message: String) {
        self.document.error(self.problems, pointer, message);
    }
}

fn limits(written: &written::Limits) -> Limits {
    let default = Limits::default();
    Limits {
        operations: written.operations.unwrap_or(default.operations),
        wall_time: written
            .wall_time_ms
            .map_or(default.wall_time, Duration::from_millis),
        string_bytes: written.string_bytes.unwrap_or(default.string_bytes),
        collection_members: written
            .collection_members
            .unwrap_or(default.collection_members),
        call_depth: written.call_depth.unwrap_or(default.call_depth),
    }
}

fn journal(written: &written::Journal) -> Journal {
    let days = u64::from(written.keep_days.unwrap_or(30));
    Journal {
        keep: Duration::from_secs(days * 24 * 60 * 60),
        lease: seconds(written.lease_seconds, 30),
    }
}

fn changes(written: &written::Changes) -> Changes {
    Changes {
        max_waiting: written.max_waiting.unwrap_or(64),
        max_wait: seconds(written.max_wait_seconds, 30),
        recovery_wait: seconds(written.recovery_wait_seconds, 60),
    }
}

fn events(written: &written::Events) -> Events {
    let days_of = |days: Option<u32>| {
        let days = u64::from(days.unwrap_or(30));
        Duration::from_secs(days * 24 * 60 * 60)
    };
    Events {
        keep: days_of(written.keep_days),
        count: written.keep_count.unwrap_or(1_000_000),
        keep_settled: days_of(written.keep_settled_days),
    }
}

fn seconds(written: Option<u64>, default: u64) -> Duration {
    Duration::from_secs(written.unwrap_or(default))
}
