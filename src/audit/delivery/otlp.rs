//! Entries as log records to an OpenTelemetry collector: OTLP over HTTP, in its JSON form.
//!
//! The collector's answer says that it took a batch, which exporters that send in the background do
//! not tell: only with it no entry is lost.
use std::time::Duration;

use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use url::Url;

use super::OtlpSettings;
use crate::model::audit::ChainedEntry;

/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) struct Otlp {
    client: Client,
    endpoint: Url,
    settings: OtlpSettings,
}

impl Otlp {
    pub(super) fn new(settings: OtlpSettings) -> Result<Self, String> {
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            .build()
            .map_err(|error| format!("there is no HTTP client: {error}"))?;
        let mut endpoint = settings.endpoint.clone();
        let path = endpoint.path().trim_end_matches('/').to_owned();
        if !path.ends_with("/v1/logs") {
            endpoint.set_path(&format!("{path}/v1/logs"));
        }
        Ok(Self {
            client,
            endpoint,
            settings,
        })
    }

    /// Sends entries in one request.
    pub(super) async fn take(&mut self, entries: &[ChainedEntry]) -> Result<(), String> {
        let mut request = self
            .client
            .post(self.endpoint.clone())
            .json(&batch(entries));
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| {
            let why = if error.is_timeout() {
                "it does not answer in time"
            } else {
                "it cannot be reached"
            };
            why.to_owned()
        })?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(format!("it answers {status}"));
        }
        let body: Value = answer.json().await.unwrap_or_default();
        let refused = body.pointer("/partialSuccess/rejectedLogRecords");
        match refused.map(Value::to_string) {
            Some(count) if !matches!(count.trim_matches('"'), "0" | "null") => {
                Err(format!("it refuses {} records", count.trim_matches('"')))
            }
            _ => Ok(()),
        }
    }
}

/// The body of an export request.
fn batch(entries: &[ChainedEntry]) -> Value {
    let records: Vec<Value> = entries.iter().map(record).collect();
    json!({"resourceLogs": [{
        "resource": {"attributes": [attribute("service.name", "recant")]},
        "scopeLogs": [{
            "scope": {"name": "recant.audit", "version": env!("CARGO_PKG_VERSION")},
            "logRecords": records,
        }],
    }]})
}

fn record(entry: &ChainedEntry) -> Value {
    let value = entry.to_value();
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let (number, severity) = match text("status") {
        Some("FAILURE" | "UNKNOWN") => (13, "WARN"),
        _ => (9, "INFO"),
    };
    let nanos = entry
        .entry
        .timestamp
        .timestamp_nanos_opt()
        .unwrap_or_default();
    let mut attributes = vec![
        attribute("recant.position", &entry.position.to_string()),
        attribute("recant.topic", entry.entry.topic.as_str()),
    ];
    for name in [
        "_id",
        "digest",
        "operation",
        "transactionId",
        "outcome",
        "userId",
        "eventName",
    ] {
        attributes.extend(text(name).map(|text| attribute(&format!("recant.{name}"), text)));
    }
    json!({
        "timeUnixNano": nanos.to_string(),
        "observedTimeUnixNano": nanos.to_string(),
        "severityNumber": number,
        "severityText": severity,
        "eventName": format!("recant.audit.{}", text("eventName").unwrap_or("entry")),
        "body": {"stringValue": value.to_string()},
        "attributes": attributes,
    })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
