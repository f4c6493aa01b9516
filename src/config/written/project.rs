//! recant.toml as it is written.
use std::collections::BTreeMap;

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
    /// The audit trail: how long it is kept, who signs it, where else it goes.
    #[serde(default)]
    pub(crate) audit: Option<Audit>,
    /// Runs of hooks.
    #[serde(default)]
    pub(crate) hooks: Option<Hooks>,
    /// How changes wait for each other.
    #[serde(default)]
    pub(crate) changes: Option<Changes>,
    /// How long the change feed is kept.
    #[serde(default)]
    pub(crate) events: Option<Events>,
    /// The SCIM service at `/scim/v2`; what it has is said in `conf/managed.json`.
    #[serde(default)]
    pub(crate) scim: Option<Scim>,
    /// Logs and traces.
    #[serde(default)]
    pub(crate) telemetry: Option<Telemetry>,
}

/// The SCIM service at `/scim/v2`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Scim {
    /// The address of the service as its callers reach it, `https://id.example/scim/v2`, where a
    /// proxy stands before Recant; left out: the one that each request names.
    pub(crate) base_url: Option<String>,
    /// Resources on one page, at most; 200 if left out.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) page_size: Option<usize>,
    /// Operations in one bulk request, at most; 1000 if left out.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) bulk_operations: Option<usize>,
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
    /// A PEM file with the authorities of client certificates, relative to the folder. Clients are
    /// asked for a certificate then.
    pub(crate) tls_client_ca: Option<String>,
    /// Whether a client without a certificate is let in (`optional`) or not (`required`);
    /// `optional` if left out.
    pub(crate) tls_client_auth: Option<ClientAuth>,
    /// Where browsers reach this server, such as `https://recant.example`; needed to sign in through
    /// a provider, and behind a proxy that speaks TLS.
    pub(crate) public_url: Option<String>,
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

/// Whether clients must have a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Those who have one may show it.
    #[default]
    Optional,
    /// Nobody is let in without one.
    Required,
}

/// Where Recant keeps objects, journal and audit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Store {
    /// `sqlite://FILE` (relative to the folder), `postgres://…` or `mysql://…`;
    /// `sqlite://recant.db` if left out.
    pub(crate) url: Option<String>,
}

/// Who may use Recant, beside the tokens that `recant token` makes.
#[derive(Default, Deserialize, JsonSchema)]
pub(crate) struct Auth {
    /// Accepts bearer tokens that an OpenID Connect provider signed.
    #[serde(default)]
    pub(crate) oidc: Option<Oidc>,
    /// Sessions of browsers that have signed in at the pages.
    #[serde(default)]
    pub(crate) sessions: Option<Sessions>,
    /// Who has which client certificate (`tls_client_ca` of `[server]`).
    #[serde(default)]
    #[schemars(with = "Option<Vec<Certificate>>")]
    pub(crate) certificates: Option<Vec<Option<Certificate>>>,
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
    /// Minutes after which somebody who signed in through a provider has to do so again, which asks
    /// the provider anew what they may; 60 if left out.
    #[schemars(range(min = 1, max = 1_440))]
    pub(crate) provider_minutes: Option<u64>,
}

/// An OpenID Connect provider.
#[derive(Default, Deserialize, JsonSchema)]
pub(crate) struct Oidc {
    /// The provider's address, as its tokens name it (`iss`).
    #[schemars(required)]
    pub(crate) issuer: Option<String>,
    /// Whom a bearer token must be made for (`aud`).
    #[schemars(required)]
    pub(crate) audience: Option<String>,
    /// The claim with somebody's name; `sub` if left out. A path begins with `/`.
    pub(crate) name_claim: Option<String>,
    /// The claim that lists roles; `roles` if left out. A path begins with `/`, such as
    /// `/realm_access/roles`.
    pub(crate) roles_claim: Option<String>,
    /// What words of that claim mean here, each a list of roles. If left out, the words are the
    /// roles `caller`, `hook-admin`, `auditor` and `admin` themselves.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, Vec<String>>>")]
    pub(crate) role_mapping: Option<BTreeMap<String, Vec<Option<String>>>>,
    /// The signatures that are accepted; every one with a public key if left out.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) algorithms: Option<Vec<Option<String>>>,
    /// Seconds by which the provider's clock may differ; 60 if left out.
    #[schemars(range(min = 0, max = 600))]
    pub(crate) clock_skew_seconds: Option<u64>,
    /// The clients whose bearer tokens are accepted (`azp`); all if left out.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) authorized_parties: Option<Vec<Option<String>>>,
    /// A PEM file with the certificates that the provider's must come from, relative to the folder;
    /// those that this machine knows if left out.
    pub(crate) ca_file: Option<String>,
    /// What Recant is called at the provider: people may sign in at the pages through it then. Needs
    /// `public_url` of `[server]`.
    pub(crate) client_id: Option<String>,
    /// Recant's secret at the provider; a public client has none.
    pub(crate) client_secret: Option<String>,
    /// What is asked for at a sign-in; `["openid", "profile"]` if left out.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) scopes: Option<Vec<Option<String>>>,
}

/// Who has a certificate, and what they may be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Certificate {
    /// What stands in the certificate: `CN=` (its common name), `DNS:`, `URI:` or `email:` (its
    /// alternative names), and the name.
    #[schemars(required)]
    pub(crate) holder: Option<String>,
    /// Whom that is; the `caller` of changes and audit entries.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// Its roles: `caller`, `hook-admin`, `auditor`, `admin`.
    #[serde(default)]
    #[schemars(required, with = "Vec<String>")]
    pub(crate) roles: Option<Vec<Option<String>>>,
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

/// The audit trail: how long it is kept, who signs it, where else it goes.
#[derive(Default, Deserialize, JsonSchema)]
pub(crate) struct Audit {
    /// Days for which an entry is kept; for ever if left out. What is pruned is replaced by an
    /// anchor, so that the chain can still be verified.
    #[schemars(range(min = 1, max = 36_500))]
    pub(crate) keep_days: Option<u32>,
    /// Days beyond `keep_days` for which entries wait for a destination that does not take them; 30
    /// if left out.
    #[schemars(range(min = 0, max = 36_500))]
    pub(crate) undelivered_days: Option<u32>,
    /// The Ed25519 private key that signs the end of the chain again and again, in PEM form, such as
    /// `${file:audit.key}`; `recant audit keygen` makes one. Nothing is signed if left out.
    pub(crate) checkpoint_key: Option<String>,
    /// Public keys, in PEM form, that signed before `checkpoint_key`, oldest first: what they signed
    /// still counts.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) public_keys: Option<Vec<Option<String>>>,
    /// Seconds between two signed checkpoints; 60 if left out.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) checkpoint_seconds: Option<u64>,
    /// A file that gets a line for each checkpoint too, relative to the folder: best on a machine
    /// that this server cannot change the past of.
    pub(crate) checkpoint_file: Option<String>,
    /// Where entries are delivered to beside the store, by name.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, Destination>>")]
    pub(crate) destinations: Option<BTreeMap<String, Option<Destination>>>,
}

/// Where entries of the audit trail are delivered to.
#[derive(Default, Deserialize, JsonSchema)]
pub(crate) struct Destination {
    /// `file`, `syslog` or `otlp`.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(crate) kind: Option<DestinationKind>,
    /// `file`: the file of JSON Lines, relative to the folder.
    pub(crate) path: Option<String>,
    /// `file`: from how many bytes on another one is begun; 104857600 if left out.
    #[schemars(range(min = 1024, max = 1_099_511_627_776_u64))]
    pub(crate) max_bytes: Option<u64>,
    /// `file`: after how many hours another one is begun; never if left out.
    #[schemars(range(min = 1, max = 87_600))]
    pub(crate) max_age_hours: Option<u64>,
    /// `file`: how many older files are kept; all if left out.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) keep_files: Option<usize>,
    /// `syslog`: `udp://HOST:PORT`, `tcp://HOST:PORT`, `tls://HOST:PORT` or `unix:///dev/log`.
    pub(crate) address: Option<String>,
    /// `syslog` over TLS: a PEM file with the certificates that the receiver's must come from,
    /// relative to the folder.
    pub(crate) ca_file: Option<String>,
    /// `syslog`: the name of the program; `recant` if left out.
    pub(crate) app_name: Option<String>,
    /// `syslog`: the number of the facility; 13 (`log audit`) if left out.
    #[schemars(range(min = 0, max = 23))]
    pub(crate) facility: Option<u8>,
    /// `otlp`: the address of an OpenTelemetry collector, such as `http://localhost:4318`.
    pub(crate) endpoint: Option<String>,
    /// `otlp`: headers with each request.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub(crate) headers: Option<BTreeMap<String, Option<String>>>,
}

/// What entries are delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DestinationKind {
    /// A file of JSON Lines.
    File,
    /// A syslog receiver (RFC 5424).
    Syslog,
    /// An OpenTelemetry collector (OTLP over HTTP).
    Otlp,
}

/// Runs of hooks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Hooks {
    /// How many runs of each hook are kept with what they were given, to make cases of them and to
    /// try a changed script on them; none if 0, 100 if left out. They are encrypted where there is
    /// a key, and dropped with the journal's old objects.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) keep_runs: Option<usize>,
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
