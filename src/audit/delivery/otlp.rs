//! Entries as log records to an OpenTelemetry collector: OTLP over HTTP, in its JSON form.
//!
//! The collector's answer says that it took a batch, which exporters that send in the background do
//! not tell: only with it no entry is lost.
use std::time::Duration;

use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use url::Url;

use super::{OtlpSettings, Trouble};
use crate::model::audit::{ChainedEntry, is_unruly};

/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;
/// Most letters of what it says that are kept.
const LONGEST_MESSAGE: usize = 200;

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
    pub(super) async fn take(&mut self, entries: &[ChainedEntry]) -> Result<(), Trouble> {
        let answer = self.send(&batch(entries)).await.map_err(Trouble::Later)?;
        let status = answer.status;
        if status.is_success() {
            return match answer.rejected() {
                None => Ok(()),
                // Which ones it does not tell: they are sent again in halves.
                Some(count) => Err(Trouble::Never(self.said(
                    &format!("it refuses {count} of {} records", entries.len()),
                    &answer,
                ))),
            };
        }
        let why = self.said(&format!("it answers {status}"), &answer);
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Err(Trouble::Never(why)),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
                if entries.len() > 1 || self.takes_requests().await {
                    Err(Trouble::Never(why))
                } else {
                    Err(Trouble::Later(why))
                }
            }
            _ => Err(Trouble::Later(why)),
        }
    }

    /// Whether it takes an empty request: what refuses that one too is no collector, or speaks
    /// another language, and the entries are not to blame.
    async fn takes_requests(&self) -> bool {
        let empty = json!({"resourceLogs": []});
        let answer = self.send(&empty).await;
        answer.is_ok_and(|answer| answer.status.is_success())
    }

    async fn send(&self, body: &Value) -> Result<Answer, String> {
        let mut request = self.client.post(self.endpoint.clone()).json(body);
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        let mut response = request.send().await.map_err(|error| {
            let why = if error.is_timeout() {
                "it does not answer in time"
            } else {
                "it cannot be reached"
            };
            why.to_owned()
        })?;
        let status = response.status();
        let mut text = Vec::new();
        while text.len() < ANSWER
            && let Ok(Some(part)) = response.chunk().await
        {
            text.extend_from_slice(&part);
        }
        let body = serde_json::from_slice(&text).unwrap_or_default();
        Ok(Answer { status, body })
    }

    /// What happened, with what it said itself: in few words, and without our secrets.
    fn said(&self, what: &str, answer: &Answer) -> String {
        let message = ["/partialSuccess/errorMessage", "/message"]
            .into_iter()
            .find_map(|pointer| answer.body.pointer(pointer)?.as_str())
            .unwrap_or_default();
        let mut message: String = message
            .chars()
            .map(|letter| if is_unruly(letter) { ' ' } else { letter })
            .collect();
        for secret in self.settings.headers.values() {
            // The scheme before a token is no secret, what is behind it is.
            for part in secret.split_whitespace().filter(|part| part.len() > 3) {
                message = message.replace(part, "***");
            }
        }
        if message.trim().is_empty() {
            return what.to_owned();
        }
        let message: String = message.chars().take(LONGEST_MESSAGE).collect();
        format!("{what}: {message}")
    }
}

/// What a collector answered.
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    /// How many records it refuses though it took the request.
    fn rejected(&self) -> Option<String> {
        let count = self
            .body
            .pointer("/partialSuccess/rejectedLogRecords")?
            .to_string();
        let count = count.trim_matches('"');
        (!matches!(count, "" | "0" | "null")).then(|| count.chars().take(20).collect())
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
        "body": {"stringValue": entry.to_line()},
        "attributes": attributes,
    })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
