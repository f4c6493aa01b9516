//! conf/integrations.json as it is written.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::script::Script;

/// conf/integrations.json: what comes in from external systems. The file may be left out.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "integrations.json")]
pub(crate) struct Integrations {
    /// The integrations.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Integration>>")]
    pub(crate) integrations: Option<Vec<Option<Integration>>>,
    /// Who is told of changes by webhooks.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Subscription>>")]
    pub(crate) subscriptions: Option<Vec<Option<Subscription>>>,
}

/// Who is told of changes: each event of the change feed is posted there, signed by the convention
/// of Standard Webhooks, in order for each object.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscription {
    /// Its name; where it is told again from follows it.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// Where to, `https://…` or `http://…`.
    #[schemars(required)]
    pub(crate) url: Option<String>,
    /// What deliveries are signed with: `whsec_BASE64`, or any text. Each of several signs, while a
    /// key is changed.
    #[serde(default)]
    #[schemars(required, with = "Option<Vec<String>>")]
    pub(crate) secrets: Option<Vec<Option<String>>>,
    /// Types of events, such as `user.created`; all if left out.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) types: Option<Vec<Option<String>>>,
    /// Whether a delivery has effects, such as a mail, that a replay repeats only where it is asked
    /// for; false if left out.
    pub(crate) side_effects: Option<bool>,
    /// Retries before a delivery is a dead letter; 12 if left out.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) retries: Option<u32>,
    /// Milliseconds before the first retry, doubled each time up to an hour; 1000 if left out.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) retry_delay: Option<u64>,
}

/// What comes in from one connector's system. A mapping from `system/CONNECTOR/CLASS` to
/// `managed/TYPE` says what becomes of it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Integration {
    /// The connector, named after its file in conf/connectors.
    #[schemars(required)]
    pub(crate) connector: Option<String>,
    /// Whether events are carried out; true if left out. What arrives while it is false is only
    /// recorded, and can be taken up by hand.
    pub(crate) enabled: Option<bool>,
    /// Events that the system sends to `/integrations/CONNECTOR/webhook`.
    pub(crate) webhook: Option<Webhook>,
    /// Object classes whose changes are asked for again and again (live sync).
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, Poll>>")]
    pub(crate) poll: Option<BTreeMap<String, Option<Poll>>>,
    /// Retries before an event that fails is a dead letter, which waits for somebody; 100 if left
    /// out, which takes about a day.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) retries: Option<u32>,
    /// Milliseconds before the first retry, doubled each time up to 15 minutes; 1000 if left out.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) retry_delay: Option<u64>,
}

/// Events that a system sends.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Webhook {
    /// What the system signs with: `whsec_BASE64`, or any text. Several while a key is changed.
    #[serde(default)]
    #[schemars(required, with = "Option<Vec<String>>")]
    pub(crate) secrets: Option<Vec<Option<String>>>,
    /// The header that holds a hexadecimal HMAC-SHA256 of the body; where it is left out, the three
    /// headers of Standard Webhooks are expected.
    pub(crate) header: Option<String>,
    /// What stands before the digits in that header, such as `sha256=`.
    pub(crate) prefix: Option<String>,
    /// Makes events of a body: sees `request.body` and
    /// `request.headers`, gives one `#{class, externalId,
    /// updatedAt, record}` or a list of them; without `record` it is gone. Where it is left out,
    /// the body must be that itself.
    pub(crate) map: Option<Script>,
}

/// How changes of an object class are asked for.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Poll {
    /// Milliseconds between two questions; 5000 if left out.
    #[schemars(range(min = 10, max = 86_400_000))]
    pub(crate) interval_ms: Option<u64>,
    /// The attribute that holds the time of a record's last change (RFC 3339); the time of the
    /// question if left out.
    pub(crate) updated_at: Option<String>,
}
