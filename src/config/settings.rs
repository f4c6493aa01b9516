//! A project folder as it is used: everything in it is valid.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use secrecy::SecretString;

pub use super::written::project::{ClientAuth, LogFormat};
use crate::{
    audit::delivery::Destination,
    connectors,
    hooks::{Limits, Runtime, Script},
    managed::ManagedType,
    mapping::Mapping,
    model::{Roles, scim::Resources, signing::Signer, trust::Trust, unique::Unique},
    oidc,
};

/// A valid project folder.
#[derive(Clone)]
pub struct Configuration {
    /// The folder, absolute.
    pub folder: PathBuf,
    /// How Recant listens.
    pub server: Server,
    /// Where Recant keeps objects, journal and audit.
    pub store: Store,
    /// Who may use Recant, beside the tokens in the store.
    pub auth: Auth,
    /// Keys for data at rest, each 32 bytes in base64: the first one encrypts, all decrypt.
    pub secrets: Vec<SecretString>,
    /// What one run of a script may use up.
    pub limits: Limits,
    /// How long the journal keeps what, and when another node takes over.
    pub journal: Journal,
    /// The audit trail.
    pub audit: Audit,
    /// Runs of hooks.
    pub hooks: Hooks,
    /// How changes wait for each other.
    pub changes: Changes,
    /// How long the change feed is kept.
    pub events: Events,
    /// How the SCIM service answers.
    pub scim_service: Scim,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// Managed types by name.
    pub types: BTreeMap<String, Arc<ManagedType>>,
    /// Which types the SCIM service has, and how.
    pub scim: Arc<Resources>,
    /// Mappings in sync order.
    pub mappings: Vec<Arc<Mapping>>,
    /// Target systems by name.
    pub connectors: BTreeMap<String, connectors::Settings>,
    /// What comes in from external systems, by connector.
    pub integrations: BTreeMap<String, Integration>,
    /// Who is told of changes, by name.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Every script file by its name in the folder `hooks`, without the variables that one use or
    /// another of it is given.
    pub scripts: BTreeMap<String, Script>,
    /// What compiled the scripts and runs them.
    pub runtime: Runtime,
    /// Hexadecimal SHA-256 of every file of the folder by its path, as it is on disk.
    pub files: BTreeMap<String, String>,
    /// Every file whose change changes this configuration, those of `${file:}` included.
    pub watched: BTreeSet<PathBuf>,
    /// What each of these held when it was read, as a digest; none: it could not be read.
    pub read: BTreeMap<PathBuf, Option<String>>,
}

/// What comes in from one external system.
#[derive(Debug, Clone)]
pub struct Integration {
    /// Whether its events are carried out.
    pub enabled: bool,
    /// Events that the system sends.
    pub webhook: Option<Webhook>,
    /// Object classes whose changes are asked for.
    pub poll: BTreeMap<String, Poll>,
    /// Retries before an event is a dead letter.
    pub retries: u32,
    /// The pause before the first retry.
    pub retry_delay: Duration,
}

/// Who is told of changes.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Where to.
    pub url: url::Url,
    /// What deliveries are signed with.
    pub secrets: Vec<SecretString>,
    /// Types of events; none: all.
    pub types: Vec<String>,
    /// Whether a delivery has effects that a replay must not repeat unasked.
    pub side_effects: bool,
    /// Retries before a delivery is a dead letter.
    pub retries: u32,
    /// The pause before the first retry.
    pub retry_delay: Duration,
}

/// Events that a system sends.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// What it signs with.
    pub secrets: Vec<SecretString>,
    /// The header with the signature; none: those of Standard Webhooks.
    pub header: Option<String>,
    /// What stands before the signature in that header.
    pub prefix: String,
    /// What makes events of a body; none: it is one.
    pub map: Option<Script>,
}

/// How changes of an object class are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Poll {
    /// How long to wait between two questions.
    pub interval: Duration,
    /// The attribute with the time of a record's last change.
    pub updated_at: Option<crate::model::pointer::Pointer>,
}

/// How Recant listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where.
    pub listen: SocketAddr,
    /// With TLS, where there are a certificate and a key.
    pub tls: Option<Tls>,
    /// Where browsers reach it, without a slash at its end; none: where it listens.
    pub public_url: Option<String>,
    /// Whether a caller may name the transaction of a change.
    pub trust_transaction_header: bool,
    /// Whether the folder is managed elsewhere: pages change no script then.
    pub read_only_folder: bool,
    /// The largest body of a request, in bytes.
    pub body_limit: usize,
    /// Requests per second from one address; none: no limit.
    pub rate_limit: Option<u32>,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long a stopping server waits for changes that are in flight.
    pub shutdown_timeout: Duration,
}

/// PEM files, as absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those that lead to its issuer.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The authorities of client certificates; none: nobody is asked for one.
    pub clients: Option<PathBuf>,
    /// Whether a client without a certificate is let in, where one is asked for.
    pub client_auth: ClientAuth,
}

/// Where Recant keeps objects, journal and audit.
#[derive(Clone, PartialEq, Eq)]
pub struct Store {
    /// `sqlite://ABSOLUTE_FILE`, `postgres://…` or `mysql://…`. It may hold a password.
    pub url: String,
}

/// Who may use Recant, beside the tokens in the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Auth {
    /// Bearer tokens that this provider signed.
    pub oidc: Option<oidc::Settings>,
    /// Sessions of browsers.
    pub sessions: Sessions,
    /// Who has which client certificate.
    pub certificates: Vec<Certificate>,
}

/// Sessions of browsers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// How long one lasts without being used.
    pub idle: Duration,
    /// How long one lasts at most.
    pub longest: Duration,
    /// How long one lasts at most that a provider's word began: what somebody may do is asked anew
    /// at the next sign-in only.
    pub by_provider: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30 * 60),
            longest: Duration::from_secs(12 * 60 * 60),
            by_provider: Duration::from_secs(60 * 60),
        }
    }
}

/// Who has a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// What stands in it: `CN=NAME`, `DNS:NAME`, `URI:NAME` or `email:NAME`.
    pub holder: String,
    /// Whom that is.
    pub name: String,
    /// What they may be.
    pub roles: Roles,
}

/// How long the journal keeps what, and when another node takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// How long a settled change keeps its old object and pre-images.
    pub keep: Duration,
    /// How long a silent node keeps its changes.
    pub lease: Duration,
}

/// The audit trail: how long it is kept, who signs it, where else it goes.
#[derive(Debug, Clone)]
pub struct Audit {
    /// How long an entry is kept; none: for ever.
    pub keep: Option<Duration>,
    /// For how much longer one is kept that a destination has not taken.
    pub undelivered: Duration,
    /// The keys that signed before this one.
    pub earlier: Trust,
    /// What signs the end of the chain.
    pub signer: Option<Arc<Signer>>,
    /// How often.
    pub checkpoint_every: Duration,
    /// A file that gets every checkpoint.
    pub checkpoint_file: Option<PathBuf>,
    /// Where entries are delivered to, by name.
    pub destinations: BTreeMap<String, Destination>,
}

impl Audit {
    /// Whose signatures over the chain count.
    #[must_use]
    pub fn trust(&self) -> Trust {
        let mut trust = self.earlier.clone();
        if let Some(signer) = &self.signer {
            trust.add(signer.verifier().clone());
        }
        trust
    }
}

/// Runs of hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// How many of each hook are kept.
    pub keep_runs: usize,
}

/// How changes wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Changes of one object that may wait for their turn.
    pub max_waiting: usize,
    /// How long one waits.
    pub max_wait: Duration,
    /// How long a change that a crash cut off waits for a target that cannot be read.
    pub recovery_wait: Duration,
}

/// How long the change feed is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// For how long an event is kept.
    pub keep: Duration,
    /// How many are kept.
    pub count: u64,
    /// For how long integration events and deliveries are kept that came to their end.
    pub keep_settled: Duration,
}

/// How the SCIM service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scim {
    /// Its address as callers reach it; none: the one that each request names.
    pub base_url: Option<String>,
    /// Resources on one page, at most.
    pub page_size: usize,
    /// Operations in one bulk request, at most.
    pub bulk_operations: usize,
}

/// Logs and traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written, as `tracing-subscriber` reads it.
    pub log_filter: String,
    /// The OpenTelemetry collector that traces are sent to.
    pub otlp_endpoint: Option<String>,
}

impl Configuration {
    /// Names of the attributes that are encrypted at rest, by managed type.
    #[must_use]
    pub fn confidential(&self) -> BTreeMap<String, Vec<String>> {
        self.types
            .iter()
            .map(|(name, managed)| (name.clone(), managed.confidential.clone()))
            .collect()
    }

    /// What must be unique, by managed type.
    #[must_use]
    pub fn unique(&self) -> BTreeMap<String, Vec<Unique>> {
        self.types
            .iter()
            .map(|(name, managed)| (name.clone(), managed.unique.clone()))
            .collect()
    }

    /// Every hook by its place: `managed/user/onSync`, `MAPPING/onUpdate`, `MAPPING/postAction`.
    #[must_use]
    pub fn hooks_by_place(&self) -> BTreeMap<String, &Script> {
        let of_types = self.types.iter().flat_map(|(name, managed)| {
            let hooks = managed.hooks.iter();
            hooks.map(move |(point, script)| (format!("managed/{name}/{}", point.key()), script))
        });
        let of_mappings = self.mappings.iter().flat_map(|mapping| {
            let hooks = mapping.hooks.iter();
            let named = |key: &str| format!("{}/{key}", mapping.name);
            let after = mapping.policies.iter();
            let after = after.filter_map(|policy| policy.post_action.as_ref());
            hooks
                .map(move |(hook, script)| (named(hook.key()), script))
                .chain(after.map(move |script| (named("postAction"), script)))
        });
        of_types.chain(of_mappings).collect()
    }

    /// The variables that the configuration gives a script as a hook; without a hook, or at an
    /// unknown one, those of the first hook that uses the script.
    #[must_use]
    pub fn globals_of(&self, script: &str, hook: Option<&str>) -> crate::model::Object {
        let places = self.hooks_by_place();
        let named = hook.and_then(|hook| places.get(hook)).copied();
        let used = || places.values().find(|one| *one.name == *script).copied();
        let found = named.filter(|one| *one.name == *script).or_else(used);
        found.map_or_else(Default::default, |found| found.globals.as_ref().clone())
    }
}

/// Names only: settings, scripts and their variables may hold secrets.
impl fmt::Debug for Configuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mappings: Vec<&str> = self.mappings.iter().map(|m| m.name.as_str()).collect();
        formatter
            .debug_struct("Configuration")
            .field("folder", &self.folder)
            .field("server", &self.server)
            .field("store", &self.store)
            .field("types", &self.types.keys())
            .field("mappings", &mappings)
            .field("connectors", &self.connectors.keys())
            .field("scripts", &self.scripts.keys())
            .finish_non_exhaustive()
    }
}

/// The kind of store only: its address may hold a password.
impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.url.split(':').next().unwrap_or_default();
        write!(formatter, "Store({kind}:…)")
    }
}
