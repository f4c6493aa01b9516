//! Answers verbs by asking a running server over its HTTP API.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{
    Client, Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderMap, IF_MATCH, IF_NONE_MATCH},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    output::{Failure, Result, with_causes},
    service::{Answer, Ask, EventAsk, Page, Place, Search, Service, Wish},
    table::{list_at, text_at},
};
use crate::model::{OperationId, Outcome, audit::Topic};

/// A running server.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    base: Url,
    token: Option<SecretString>,
}

/// What the server said to a request that it accepted.
struct Accepted {
    headers: HeaderMap,
    body: Value,
}

impl Remote {
    /// Prepares to ask the server at `base`; nothing is sent yet.
    ///
    /// # Errors
    /// The URL is not HTTP, or this machine's TLS cannot be set up.
    pub fn new(base: Url, token: Option<SecretString>) -> Result<Self> {
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(Failure::Usage(format!(
                "--url {base}: expected http://HOST:PORT or https://HOST"
            )));
        }
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| Failure::Other(with_causes(&error)))?;
        Ok(Self {
            client,
            base,
            token,
        })
    }

    /// A request for a path, given as segments that are encoded here.
    fn request<'a>(
        &self,
        method: Method,
        segments: impl IntoIterator<Item = &'a str>,
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Accepted> {
        let unanswered = |error: reqwest::Error| {
            Failure::Other(format!(
                "{} does not answer: {}",
                self.base,
                with_causes(&error.without_url())
            ))
        };
        let answer = request.send().await.map_err(unanswered)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.map_err(unanswered)?;
        let body: Option<Value> = serde_json::from_str(&text).ok();
        match body {
            Some(body) if status.is_success() => Ok(Accepted { headers, body }),
            Some(body) if body.get("message").is_some() => Err(refused(&headers, body)),
            _ => Err(Failure::Other(format!(
                "{}: HTTP {status} without a message; is this a Recant server?",
                self.base
            ))),
        }
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value> {
        Ok(self.send(request).await?.body)
    }

    async fn page(&self, request: RequestBuilder, search: &Search) -> Result<Page> {
        let mut request = request.query(&[
            ("_queryFilter", search.filter.as_deref().unwrap_or("true")),
            ("_pageSize", &search.size.to_string()),
        ]);
        if let Some(sort) = search.sort {
            request = request.query(&[("_sortKeys", sort)]);
        }
        if let Some(cursor) = &search.cursor {
            request = request.query(&[("_pagedResultsCookie", cursor)]);
        }
        let body = self.json(request).await?;
        Ok(Page {
            results: list_at(&body, "/result").to_vec(),
            cursor: body
                .get("pagedResultsCookie")
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }

    fn object(&self, method: Method, ask: &Ask) -> RequestBuilder {
        let container = ["managed", ask.managed_type.as_str()];
        self.request(method, container.into_iter().chain(ask.id.as_deref()))
    }

    fn ask(&self, ask: &Ask) -> RequestBuilder {
        let request = match (&ask.wish, &ask.id) {
            (Wish::Create(_), None) => self
                .object(Method::POST, ask)
                .query(&[("_action", "create")]),
            (Wish::Create(_), Some(_)) => self.object(Method::PUT, ask).header(IF_NONE_MATCH, "*"),
            (Wish::Update(_), _) if ask.if_match.is_none() => {
                self.object(Method::PUT, ask).header(IF_MATCH, "*")
            }
            (Wish::Update(_), _) => self.object(Method::PUT, ask),
            (Wish::Patch(..), _) => self.object(Method::PATCH, ask),
            (Wish::Delete, _) => self.object(Method::DELETE, ask),
        };
        let request = match &ask.if_match {
            Some(revision) => request.header(IF_MATCH, revision),
            None => request,
        };
        with_content(request, &ask.wish)
    }

    async fn operation_action(&self, id: OperationId, action: &str, body: &Value) -> Result<Value> {
        let id = id.to_string();
        let request = self
            .request(Method::POST, ["operations", &id])
            .query(&[("_action", action)])
            .json(body);
        self.json(request).await
    }
}

#[async_trait]
impl Service for Remote {
    async fn change(&self, ask: &Ask) -> Result<Answer> {
        let accepted = self.send(self.ask(ask)).await?;
        let (operation, outcome) = change_headers(&accepted.headers);
        Ok(Answer {
            operation,
            outcome,
            body: accepted.body,
        })
    }

    async fn plan(&self, ask: &Ask) -> Result<Value> {
        let request = self
            .object(Method::POST, ask)
            .query(&[("_action", "plan"), ("operation", ask.wish.word())]);
        self.json(with_content(request, &ask.wish)).await
    }

    async fn operations(&self, search: &Search) -> Result<Page> {
        self.page(self.request(Method::GET, ["operations"]), search)
            .await
    }

    async fn operation(&self, id: OperationId) -> Result<Value> {
        let id = id.to_string();
        self.json(self.request(Method::GET, ["operations", &id]))
            .await
    }

    async fn heal(&self, id: OperationId) -> Result<Value> {
        self.operation_action(id, "heal", &Value::Object(serde_json::Map::new()))
            .await
    }

    async fn resolve(&self, id: OperationId, reason: &str) -> Result<Value> {
        self.operation_action(id, "resolve", &serde_json::json!({"reason": reason}))
            .await
    }

    async fn start_recon(&self, wanted: &Value) -> Result<Value> {
        let request = self
            .request(Method::POST, ["recon"])
            .query(&[("_action", "recon")])
            .json(wanted);
        self.json(request).await
    }

    async fn recons(&self) -> Result<Vec<Value>> {
        let body = self.json(self.request(Method::GET, ["recon"])).await?;
        Ok(list_at(&body, "/reconciliations").to_vec())
    }

    async fn recon(&self, id: Uuid) -> Result<Value> {
        let id = id.to_string();
        self.json(self.request(Method::GET, ["recon", &id])).await
    }

    async fn recon_entries(&self, id: Uuid, search: &Search) -> Result<Page> {
        let id = id.to_string();
        let request = self.request(Method::GET, ["recon", &id, "entries"]);
        self.page(request, search).await
    }

    async fn act_on_recon(&self, id: Uuid, action: &str) -> Result<Value> {
        let id = id.to_string();
        let request = self
            .request(Method::POST, ["recon", &id])
            .query(&[("_action", action)]);
        self.json(request).await
    }

    async fn syncs(&self) -> Result<Vec<Value>> {
        let body = self
            .json(self.request(Method::GET, ["recon", "syncs"]))
            .await?;
        Ok(list_at(&body, "/syncs").to_vec())
    }

    async fn approve_sync(&self, scope: &str) -> Result<Value> {
        let request = self
            .request(Method::POST, ["recon"])
            .query(&[("_action", "approveSync")])
            .json(&serde_json::json!({"scope": scope}));
        self.json(request).await
    }

    async fn reset_syncs(&self, scope: &str, since: Option<DateTime<Utc>>) -> Result<Vec<String>> {
        let request = self
            .request(Method::POST, ["recon"])
            .query(&[("_action", "reset")])
            .json(&serde_json::json!({"scope": scope, "since": since}));
        let body = self.json(request).await?;
        let names = list_at(&body, "/reset").iter();
        Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    async fn audit(&self, topic: Option<Topic>, search: &Search) -> Result<Page> {
        let path = ["audit"].into_iter().chain(topic.map(Topic::as_str));
        self.page(self.request(Method::GET, path), search).await
    }

    async fn explain(&self, id: OperationId) -> Result<Value> {
        let id = id.to_string();
        self.json(self.request(Method::GET, ["audit", "explain", &id]))
            .await
    }

    async fn events(&self, ask: &EventAsk) -> Result<Value> {
        let mut parameters = vec![("limit", ask.limit.to_string())];
        let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        parameters.extend(ask.after.map(|after| ("after", after.to_string())));
        parameters.extend(ask.range_start.iter().map(|at| ("rangeStart", time(at))));
        parameters.extend(ask.range_end.iter().map(|at| ("rangeEnd", time(at))));
        if !ask.types.is_empty() {
            parameters.push(("types", ask.types.join(",")));
        }
        let request = self.request(Method::GET, ["events"]).query(&parameters);
        self.json(request).await
    }

    async fn replay(&self, ask: &Value) -> Result<Value> {
        let request = self
            .request(Method::POST, ["events"])
            .query(&[("_action", "replay")])
            .json(ask);
        self.json(request).await
    }

    async fn integration_events(&self, place: &Place, search: &Search) -> Result<Page> {
        let path = match place {
            Place::Integration(name) => vec!["integrations", name, "events"],
            Place::Deliveries(name) => vec!["events", "deliveries", name],
            Place::Queue => vec!["sync", "queue"],
        };
        self.page(self.request(Method::GET, path), search).await
    }

    async fn move_event(&self, place: &Place, id: Uuid, action: &str) -> Result<Value> {
        let id = id.to_string();
        let path = match place {
            Place::Integration(name) => vec!["integrations", name, "events", &id],
            Place::Deliveries(name) => vec!["events", "deliveries", name, &id],
            Place::Queue => {
                let message = "name the connector of an event".to_owned();
                return Err(Failure::Usage(message));
            }
        };
        let request = self.request(Method::POST, path);
        self.json(request.query(&[("_action", action)])).await
    }

    async fn import(&self, connector: &str, ask: &Value) -> Result<Value> {
        let path = ["integrations", connector, "events"];
        let request = self.request(Method::POST, path);
        let request = request.query(&[("_action", "import")]).json(ask);
        self.json(request).await
    }

    async fn destinations(&self) -> Result<Vec<Value>> {
        let request = self.request(Method::GET, ["audit", "destinations"]);
        let body = self.json(request).await?;
        Ok(list_at(&body, "/result").to_vec())
    }

    async fn act_on_destination(
        &self,
        name: &str,
        action: &str,
        position: Option<i64>,
    ) -> Result<Value> {
        let request = self
            .request(Method::POST, ["audit", "destinations", name])
            .query(&[("_action", action)])
            .json(&json!({"position": position}));
        self.json(request).await
    }

    async fn verify(&self, proof: Option<&Value>) -> Result<Value> {
        let request = self
            .request(Method::POST, ["audit"])
            .query(&[("_action", "verify")]);
        self.json(match proof {
            Some(proof) => request.json(proof),
            None => request,
        })
        .await
    }

    async fn test_connectors(&self) -> Result<Vec<Value>> {
        let request = self
            .request(Method::POST, ["system"])
            .query(&[("_action", "test")]);
        let body = self.json(request).await?;
        Ok(match body {
            Value::Array(results) => results,
            body => list_at(&body, "/result").to_vec(),
        })
    }

    async fn test_connector(&self, name: &str) -> Result<Value> {
        let request = self
            .request(Method::POST, ["system", name])
            .query(&[("_action", "test")]);
        self.json(request).await
    }

    async fn ask_script(&self, action: &str, asked: &Value) -> Result<Value> {
        let request = self
            .request(Method::POST, ["script"])
            .query(&[("_action", action)])
            .json(asked);
        self.json(request).await
    }

    async fn hook_runs(&self, wanted: &[(&str, String)]) -> Result<Vec<Value>> {
        let request = self.request(Method::GET, ["script", "runs"]).query(wanted);
        let body = self.json(request).await?;
        Ok(list_at(&body, "/result").to_vec())
    }

    async fn tokens(&self) -> Result<Vec<Value>> {
        let body = self.json(self.request(Method::GET, ["tokens"])).await?;
        Ok(list_at(&body, "/tokens").to_vec())
    }

    async fn create_token(&self, wanted: &Value) -> Result<Value> {
        let request = self
            .request(Method::POST, ["tokens"])
            .query(&[("_action", "create")])
            .json(wanted);
        self.json(request).await
    }

    async fn revoke_token(&self, id: &str) -> Result<Value> {
        self.json(self.request(Method::DELETE, ["tokens", id]))
            .await
    }

    async fn end_sessions(&self, caller: &str) -> Result<Value> {
        let request = self
            .request(Method::POST, ["sessions"])
            .query(&[("_action", "end")])
            .json(&serde_json::json!({"caller": caller}));
        self.json(request).await
    }

    async fn close(&self) {}
}

fn with_content(request: RequestBuilder, wish: &Wish) -> RequestBuilder {
    match wish {
        Wish::Create(content) | Wish::Update(content) => request.json(content),
        Wish::Patch(form, content) => request
            .header(CONTENT_TYPE, form.content_type())
            .body(content.to_string()),
        Wish::Delete => request,
    }
}

fn refused(headers: &HeaderMap, body: Value) -> Failure {
    let (operation, outcome) = change_headers(headers);
    let message = text_at(&body, "/message").to_owned();
    Failure::Refused {
        message: if message.is_empty() {
            "the server refuses".to_owned()
        } else {
            message
        },
        body,
        operation,
        outcome,
    }
}

fn change_headers(headers: &HeaderMap) -> (Option<OperationId>, Option<Outcome>) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let operation = header("recant-operation").and_then(|id| id.parse().ok());
    let outcome = header("recant-outcome").and_then(|word| {
        Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    });
    (operation, outcome)
}

#[cfg(test)]
mod tests;
