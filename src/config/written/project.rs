//! recant.toml as it is written.
use schemars::JsonSchema;
use serde::Deserialize;

/// recant.toml: server, store, access, secrets and limits. Every key may be left out.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(title = "recant.toml")]
pub(crate) struct Project {
    /// How Recant listens.
    #[serde(default)]
    pub(crate) server: Option<Server>,
    /// Where Recant keeps objects, journal and audit.
    #[serde(default)]
    pub(crate) store: Option<Store>,
    /// Who may use Recant, beside the tokens that `recant token` makes.
    #[serde(default)]
    pub(crate) auth: Option<Auth>,
    /// Keys that encrypt confidential values at rest.
    #[serde(default)]
    pub(crate) secrets: Option<Secrets>,
    /// What one run of a script may use up.
    #[serde(default)]
    pub(crate) limits: Option<Limits>,
    /// The journal of changes.
    #[serde(default)]
    pub(crate) journal: Option<Journal>,
    /// How changes wait for each other.
    #[serde(default)]
    pub(crate) changes: Option<Changes>,
    /// How long the change feed is kept.
    #[serde(default)]
    pub(crate) events: Option<Events>,
    /// Logs and traces.
    #[serde(default)]
    pub(crate) telemetry: Option<Telemetry>,
}

/// How Recant listens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Server {
    /// Address and port; `127.0.0.1:8480` if left out.
    pub(crate) listen: Option<String>,
    /// A PEM file with the server's certificate and those that lead to its issuer, relative to
    /// the folder. Switches TLS on.
    pub(crate) tls_cert: Option<String>,
    /// A PEM file with the certificate's private key, relative to the folder.
    pub(crate) tls_key: Option<String>,
    /// Whether a caller may name the transaction of a change in a header; false if left out.
    pub(crate) trust_transaction_header: Option<bool>,
    /// Whether the folder is managed elsewhere, so that pages only show scripts and change none;
    /// false if left out.
    pub(crate) read_only_folder: Option<bool>,
    /// The largest body of a request, in bytes; 1 MiB if left out.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub(crate) body_limit_bytes: Option<usize>,
    /// Requests per second of one caller before it gets 429; no limit if 0, 50000 if left out.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub(crate) rate_limit_per_second: Option<u32>,
    /// Seconds until a request that has no answer yet gets 504; 120 if left out. The change
    /// itself goes on.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) request_timeout_seconds: Option<u64>,
    /// Seconds that a stopping server waits for changes that are in flight; 30 if left out. What
    /// is not done by then is finished after the next start.
    #[schemars(range(min = 0, max = 3_600))]
    pub(crate) shutdown_timeout_seconds: Option<u64>,
}

/// Where Recant keeps objects, journal and audit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Store {
    /// `sqlite://FILE` (relative to the folder), `postgres://…` or `mysql://…`;
    /// `sqlite://recant.db` if left out.
    pub(crate) url: Option<String>,
}

/// Who may use Recant, beside the tokens that `recant token` makes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Auth {
    /// Accepts bearer tokens that an OpenID Connect provider signed.
    #[serde(default)]
    pub(crate) oidc: Option<Oidc>,
    /// Sessions of browsers that have signed in at the pages.
    #[serde(default)]
    pub(crate) sessions: Option<Sessions>,
}

/// Sessions of browsers that have signed in at the pages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Sessions {
    /// Minutes without use after which one has to sign in again; 30 if left out.
    #[schemars(range(min = 1, max = 10_080))]
    pub(crate) idle_minutes: Option<u64>,
    /// Minutes after which one has to sign in again in any case; 720 if left out.
    #[schemars(range(min = 1, max = 43_200))]
    pub(crate) longest_minutes: Option<u64>,
}

/// An OpenID Connect provider.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Oidc {
    /// The provider's address, as its tokens name it (`iss`).
    #[schemars(required)]
    pub(crate) issuer: Option<String>,
    /// Whom a token must be made for (`aud`).
    #[schemars(required)]
    pub(crate) audience: Option<String>,
    /// The claim that lists roles (`caller`, `hook-admin`, `auditor`, `admin`); `roles` if left
    /// out.
    pub(crate) roles_claim: Option<String>,
}

/// Keys that encrypt confidential values at rest.
#[derive(Default, Deserialize, JsonSchema)]
pub(crate) struct Secrets {
    /// The key that encrypts: 32 bytes in base64, such as `${env:RECANT_KEY}`. Needed where a
    /// property is confidential.
    pub(crate) key: Option<String>,
    /// Keys that were used before, which still decrypt.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) old_keys: Option<Vec<Option<String>>>,
}

/// What one run of a script may use up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Limits {
    /// Operations; 1000000 if left out.
    #[schemars(range(min = 1000, max = 1_000_000_000))]
    pub(crate) operations: Option<u64>,
    /// Milliseconds on the wall clock, reads included; 5000 if left out.
    #[schemars(range(min = 1, max = 600_000))]
    pub(crate) wall_time_ms: Option<u64>,
    /// Bytes of one text; 1048576 if left out.
    #[schemars(range(min = 100, max = 1_073_741_824))]
    pub(crate) string_bytes: Option<usize>,
    /// Members of one array or map; 100000 if left out.
    #[schemars(range(min = 10, max = 100_000_000))]
    pub(crate) collection_members: Option<usize>,
    /// Calls within calls; 64 if left out.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) call_depth: Option<usize>,
}

/// The journal of changes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Journal {
    /// Days for which a settled change keeps its old object and pre-images; 30 if left out.
    #[schemars(range(min = 1, max = 36_500))]
    pub(crate) keep_days: Option<u32>,
    /// Seconds after which another node takes over the changes of one that fell silent; 30 if
    /// left out.
    #[schemars(range(min = 2, max = 3_600))]
    pub(crate) lease_seconds: Option<u64>,
}

/// How changes wait for each other.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Changes {
    /// Changes of one object that may wait for their turn; more get 409. 64 if left out.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) max_waiting: Option<usize>,
    /// Seconds that a change waits for its turn before it gets 409; 30 if left out.
    #[schemars(range(min = 1, max = 3_600))]
    pub(crate) max_wait_seconds: Option<u64>,
    /// Seconds that a change which a crash cut off waits for a target that cannot be read, before
    /// it goes back without it and ends as diverged; 60 if left out.
    #[schemars(range(min = 0, max = 86_400))]
    pub(crate) recovery_wait_seconds: Option<u64>,
}

/// How long the change feed is kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Events {
    /// Days for which an event is kept; 30 if left out.
    #[schemars(range(min = 1, max = 36_500))]
    pub(crate) keep_days: Option<u32>,
    /// How many events are kept, the newest ones; 1000000 if left out.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) keep_count: Option<u64>,
    /// Days for which integration events and deliveries are kept that came to their end; 30 if left
    /// out. Dead letters stay until somebody has looked at them.
    #[schemars(range(min = 1, max = 36_500))]
    pub(crate) keep_settled_days: Option<u32>,
}

/// Logs and traces.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Telemetry {
    /// How log lines look; `text` if left out.
    pub(crate) log_format: Option<LogFormat>,
    /// Which log lines are written: a level, or a filter such as `info,recant::sync=debug`;
    /// `info` if left out.
    pub(crate) log_filter: Option<String>,
    /// The OpenTelemetry collector that traces are sent to, such as `http://localhost:4318`.
    pub(crate) otlp_endpoint: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}
