//! Parameters as the description of the API shows them; [`super::super::parameters`] reads them.
#![allow(dead_code, reason = "these fields are read by the description only")]
use utoipa::IntoParams;

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TypePath {
    /// The name of a managed type
    r#type: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ObjectPath {
    /// The name of a managed type
    r#type: String,
    /// The object's id
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OperationPath {
    /// The change's id
    id: uuid::Uuid,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TokenPath {
    /// The token's id
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TopicPath {
    /// `access`, `activity`, `sync`, `compensation`, `recon` or `config`
    topic: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct EntryPath {
    /// `access`, `activity`, `sync`, `compensation`, `recon` or `config`
    topic: String,
    /// The entry's id
    id: uuid::Uuid,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DestinationPath {
    /// The destination's name in `[audit.destinations]`
    name: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ConnectorPath {
    /// The connector's name
    name: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SystemPath {
    /// The connector's name
    connector: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SubscriptionPath {
    /// The subscription's name
    subscription: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DeliveryPath {
    /// The subscription's name
    subscription: String,
    /// The delivery's id
    id: uuid::Uuid,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct IntegrationPath {
    /// The connector's name
    connector: String,
    /// The event's id
    id: uuid::Uuid,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ClassPath {
    /// The connector's name
    name: String,
    /// An object class of the connector
    class: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TargetPath {
    /// The connector's name
    name: String,
    /// An object class of the connector
    class: String,
    /// The object's id in the target
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FieldParameters {
    /// The parts of the object to show: JSON pointers, separated by commas
    #[param(rename = "_fields")]
    fields: Option<String>,
    /// Whether to indent the answer
    #[param(rename = "_prettyPrint")]
    pretty_print: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueryParameters {
    /// Which objects: `name eq "value"`, `co`, `sw`, `lt`, `le`, `gt`, `ge`, `pr`, `and`, `or`, `!`,
    /// `true`. Managed objects and targets need it, or `_queryId`
    #[param(rename = "_queryFilter")]
    query_filter: Option<String>,
    /// `query-all` or `query-all-ids`, in place of a filter
    #[param(rename = "_queryId")]
    query_id: Option<String>,
    /// The parts of each object to show: JSON pointers, separated by commas
    #[param(rename = "_fields")]
    fields: Option<String>,
    /// What to sort by: JSON pointers, separated by commas, each after `+` or `-`
    #[param(rename = "_sortKeys")]
    sort_keys: Option<String>,
    /// How many results at most; 0 or absent: all
    #[param(rename = "_pageSize", minimum = 0)]
    page_size: Option<u32>,
    /// The cookie of the page before
    #[param(rename = "_pagedResultsCookie")]
    paged_results_cookie: Option<String>,
    /// How many results to skip; not beside a cookie
    #[param(rename = "_pagedResultsOffset", minimum = 0)]
    paged_results_offset: Option<u32>,
    /// Whether to count all results: `NONE`, `ESTIMATE` or `EXACT`
    #[param(rename = "_totalPagedResultsPolicy")]
    total_paged_results_policy: Option<String>,
    /// Whether to indent the answer
    #[param(rename = "_prettyPrint")]
    pretty_print: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ActionParameters {
    /// What to do
    #[param(rename = "_action")]
    action: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlanParameters {
    /// What to plan: `create`, `update`, `patch` or `delete`
    operation: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct ResourceParameters {
    /// `managed/TYPE`
    resource_container: String,
    /// The record's id
    resource_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParameters {
    /// `json`, `jsonl` or `csv`; the `Accept` header can ask for the same
    #[param(rename = "_format")]
    format: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct EventParameters {
    /// The cursor behind which to begin: `cursor` of an earlier answer, or the `id` of an event;
    /// absent: the oldest event that is kept
    #[param(minimum = 0)]
    after: Option<i64>,
    /// Events from this time on
    range_start: Option<chrono::DateTime<chrono::Utc>>,
    /// Events before this time
    range_end: Option<chrono::DateTime<chrono::Utc>>,
    /// Types of events, separated by commas: `user.created`, `user.updated`, `user.deleted`
    types: Option<String>,
    /// How many events at most, up to 1000; 100 if absent, 0: only the newest cursor,
    /// which goes together neither with `after` nor with a time
    #[param(minimum = 0, maximum = 1000)]
    limit: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct EventHeaders {
    /// The `id` of the last event that a live reader has seen
    #[param(rename = "Last-Event-ID", minimum = 0)]
    last_event_id: Option<i64>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct ConditionHeaders {
    /// The revision that the object must have, quoted or bare, or `*`: any
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// `*`: the object must not exist (PUT only)
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct ChangeHeaders {
    /// Makes the request repeatable for 24 hours: the same key with the same request has one effect
    #[param(rename = "Idempotency-Key", max_length = 255)]
    idempotency_key: Option<String>,
    /// `respond-async`: answer 202 once the change is admitted
    #[param(rename = "Prefer")]
    prefer: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ReconPath {
    /// The reconciliation's id
    id: uuid::Uuid,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct ReconParameters {
    /// The mapping's name
    mapping: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct ReconStartParameters {
    /// The id of the source object that `reconById` looks at
    ids: Option<String>,
    /// Whether to report only
    dry_run: Option<bool>,
    /// Whether to answer only when the run is over
    wait_for_completion: Option<bool>,
}
