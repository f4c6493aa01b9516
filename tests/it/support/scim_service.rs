//! A SCIM service with the habits of large ones: each can be switched on, and faults come on demand.
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::people::Answer;

/// A running service.
#[derive(Debug)]
pub struct ScimService {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<Shop>>,
    task: JoinHandle<()>,
}

/// What the service holds and how it behaves.
#[derive(Debug, Default)]
pub struct Shop {
    /// Resources by collection (`Users`, `Groups`), oldest first.
    pub resources: HashMap<String, Vec<Value>>,
    /// Its description; none means that it has none, nor lists of types and schemas.
    pub config: Option<Value>,
    /// Where the description is.
    pub config_path: String,
    /// Answers to the next writes.
    pub refusals: Vec<Answer>,
    /// The answer to the write after so many.
    pub later: Option<(usize, Answer)>,
    /// How many of the next reads of one resource fail.
    pub failing_reads: usize,
    /// What the writes said in `If-Match`.
    pub matches: Vec<Option<String>>,
    /// Whether it keeps whoever asks for its description waiting.
    pub hides_itself: bool,
    /// Its habits.
    pub habits: Habits,
    /// Every request as `METHOD PATH?QUERY`.
    pub seen: Vec<String>,
    /// The bodies of the writes.
    pub bodies: Vec<Value>,
    /// How many more writes are answered; those after them never are, and are not carried out.
    pub stall: Option<usize>,
    /// The same for one write only.
    pub stall_once: Option<usize>,
    /// Whether a write has stalled.
    pub is_stalled: bool,
    /// How long a write takes.
    pub pause: Duration,
    /// Whether it refuses DELETE.
    pub no_delete: bool,
    /// The client that gets tokens, and its secret; with one, every request needs a token.
    pub client: Option<(String, String)>,
    /// How many tokens were given.
    pub tokens: usize,
    revoked: usize,
    count: u64,
}

/// In what it differs from the standard.
#[derive(Debug, Clone, Default)]
pub struct Habits {
    /// It refuses PUT.
    pub no_put: bool,
    /// It refuses PATCH.
    pub no_patch: bool,
    /// It refuses operations with a path, but for removals.
    pub no_paths: bool,
    /// It refuses a filter in a path.
    pub no_path_filters: bool,
    /// It gives pages of this size, whatever is asked for.
    pub page: Option<usize>,
    /// It takes so many members in a request at most.
    pub most_members: Option<usize>,
    /// It leaves these members out silently.
    pub strangers: Vec<String>,
    /// It shows and takes truth values as text.
    pub text_booleans: bool,
    /// It answers writes with 204.
    pub silent: bool,
    /// It refuses filters.
    pub no_filters: bool,
    /// It leaves members out of lists and answers.
    pub hides_members: bool,
    /// It sends `ETag`, though it announces nothing, and heeds `If-Match`.
    pub etags: bool,
    /// It keeps user names in lower case, and takes two that differ in case for one.
    pub lower_names: bool,
}

type Shared = State<Arc<Mutex<Shop>>>;
type Refusal = (StatusCode, String);

impl ScimService {
    /// Starts one on a free port of loopback.
    pub async fn start(config: Option<Value>, habits: Habits) -> Self {
        let state = Arc::new(Mutex::new(Shop {
            config,
            config_path: "ServiceProviderConfig".to_owned(),
            habits,
            ..Shop::default()
        }));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a server");
        });
        Self {
            address,
            state,
            task,
        }
    }

    /// What it holds and how it behaves.
    pub fn shop(&self) -> MutexGuard<'_, Shop> {
        self.state.lock().expect("the shop")
    }

    /// The resource of a collection with this external id.
    pub fn holds(&self, collection: &str, external_id: &str) -> Option<Value> {
        let shop = self.shop();
        let mut all = shop.resources.get(collection)?.iter();
        all.find(|it| it["externalId"] == external_id).cloned()
    }
}

impl Drop for ScimService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    State(state): Shared,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method != Method::GET {
        let (pause, stalls) = {
            let mut shop = state.lock().expect("the shop");
            (shop.pause, shop.stalls())
        };
        if stalls {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(pause).await;
    }
    if method == Method::GET && state.lock().expect("the shop").hides(uri.path()) {
        std::future::pending::<()>().await;
    }
    let mut shop = state.lock().expect("the shop");
    if let Some(answer) = shop.authorize(&uri, &headers) {
        return answer;
    }
    shop.seen.push(format!("{method} {uri}"));
    let path = uri.path().trim_start_matches("/v2/");
    let (collection, id) = path.split_once('/').unwrap_or((path, ""));
    let id = percent_decode_str(id).decode_utf8_lossy().into_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if method == Method::GET {
        return match (collection, id.is_empty()) {
            (name, _) if name == shop.config_path => match &shop.config {
                Some(config) => answer(200, config, None),
                None => refuse((StatusCode::NOT_FOUND, "no such address".to_owned())),
            },
            ("Users" | "Groups", true) => shop.list(collection, &query).unwrap_or_else(refuse),
            ("Users" | "Groups", false) if shop.failing_reads > 0 => {
                shop.failing_reads -= 1;
                refuse((StatusCode::SERVICE_UNAVAILABLE, "tired".to_owned()))
            }
            ("Users" | "Groups", false) => shop.one(collection, &id).unwrap_or_else(refuse),
            _ => refuse((StatusCode::NOT_FOUND, "no such address".to_owned())),
        };
    }
    shop.bodies.push(body.clone());
    let wanted = headers.get("if-match").and_then(|it| it.to_str().ok());
    shop.matches.push(wanted.map(str::to_owned));
    if let Some(refusal) = shop.due() {
        if refusal.carried_out {
            let _ = shop.write(&method, collection, &id, &body, wanted);
        }
        let status = StatusCode::from_u16(refusal.status).expect("a status");
        let mut response = (status, refusal.body).into_response();
        for (name, value) in refusal.headers {
            response
                .headers_mut()
                .insert(name, value.parse().expect("a header"));
        }
        return response;
    }
    shop.write(&method, collection, &id, &body, wanted)
        .unwrap_or_else(refuse)
}

fn answer(status: u16, body: &Value, etag: Option<String>) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let mut response = (status, body.to_string()).into_response();
    if let Some(etag) = etag {
        let etag = etag.parse().expect("a header");
        response.headers_mut().insert("etag", etag);
    }
    response
}

fn refuse((status, detail): Refusal) -> Response {
    (status, json!({"detail": detail}).to_string()).into_response()
}

fn bad(detail: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, detail.to_owned())
}

impl Shop {
    /// No token that was given so far is good any more.
    pub fn revoke(&mut self) {
        self.revoked = self.tokens;
    }

    /// What the token service says, or who comes without a token.
    fn authorize(&mut self, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
        let (name, secret) = self.client.as_ref()?;
        let said = headers.get("authorization").and_then(|it| it.to_str().ok());
        if uri.path() == "/token" {
            let expected = BASE64_STANDARD.encode(format!("{name}:{secret}"));
            if said != Some(&format!("Basic {expected}")) {
                return Some(answer(401, &json!({"error": "invalid_client"}), None));
            }
            self.tokens += 1;
            let token = format!("token-{}", self.tokens);
            let granted = json!({"access_token": token, "token_type": "Bearer"});
            return Some(answer(200, &granted, None));
        }
        let number = said.and_then(|it| it.strip_prefix("Bearer token-")?.parse().ok());
        let is_good = number.is_some_and(|number: usize| number > self.revoked);
        (!is_good).then(|| refuse((StatusCode::UNAUTHORIZED, "no token".to_owned())))
    }

    fn hides(&self, path: &str) -> bool {
        self.hides_itself && path.ends_with(&self.config_path)
    }

    /// The answer to this write, where one is demanded.
    fn due(&mut self) -> Option<Answer> {
        match &mut self.later {
            Some((0, answer)) => {
                let answer = answer.clone();
                self.later = None;
                return Some(answer);
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        self.refusals.pop()
    }

    fn stalls(&mut self) -> bool {
        let stalls = match (&mut self.stall, self.stall_once) {
            (Some(0), _) => true,
            (Some(left), _) => {
                *left -= 1;
                false
            }
            (None, Some(0)) => {
                self.stall_once = None;
                true
            }
            (None, left) => {
                self.stall_once = left.map(|left| left - 1);
                false
            }
        };
        self.is_stalled |= stalls;
        stalls
    }

    fn all(&mut self, collection: &str) -> &mut Vec<Value> {
        self.resources.entry(collection.to_owned()).or_default()
    }

    fn find(&mut self, collection: &str, id: &str) -> Result<&mut Value, Refusal> {
        let found = self.all(collection).iter_mut().find(|it| it["id"] == id);
        found.ok_or((StatusCode::NOT_FOUND, "no such resource".to_owned()))
    }

    fn shown(&self, resource: &Value) -> Value {
        let mut shown = resource.clone();
        if self.habits.hides_members {
            shown.as_object_mut().expect("a resource").remove("members");
        }
        if let (true, Some(active)) = (self.habits.text_booleans, shown["active"].as_bool()) {
            shown["active"] = json!(if active { "True" } else { "False" });
        }
        shown
    }

    fn etag(&self, resource: &Value) -> Option<String> {
        let version = resource["meta"]["version"].as_str();
        version.filter(|_| self.habits.etags).map(str::to_owned)
    }

    fn one(&mut self, collection: &str, id: &str) -> Result<Response, Refusal> {
        let found = self.find(collection, id)?.clone();
        Ok(answer(200, &self.shown(&found), self.etag(&found)))
    }

    fn list(
        &mut self,
        collection: &str,
        query: &HashMap<String, String>,
    ) -> Result<Response, Refusal> {
        let mut all = self.all(collection).clone();
        if let Some(filter) = query.get("filter") {
            let equal = filter
                .split_once(" eq ")
                .filter(|_| !self.habits.no_filters);
            let (name, value) = equal.ok_or_else(|| bad("no such filter"))?;
            let value: Value = serde_json::from_str(value).map_err(|_| bad("no such filter"))?;
            let folds = self.habits.lower_names && name == "userName";
            let folded = |value: &Value| match value.as_str().filter(|_| folds) {
                Some(text) => json!(text.to_lowercase()),
                None => value.clone(),
            };
            all.retain(|it| folded(&it[name]) == folded(&value));
        }
        let number = |name: &str| query.get(name).and_then(|it| it.parse::<usize>().ok());
        let total = all.len();
        let asked = number("count").unwrap_or(usize::MAX);
        let size = self.habits.page.unwrap_or(asked);
        if let Some(cursor) = query.get("cursor") {
            let start: usize = cursor.trim_start_matches("at-").parse().unwrap_or(0);
            let page = all.iter().skip(start).take(size).map(|it| self.shown(it));
            let mut body = json!({"Resources": page.collect::<Vec<_>>()});
            if start + size < total {
                body["nextCursor"] = json!(format!("at-{}", start + size));
            }
            return Ok(answer(200, &body, None));
        }
        let start = number("startIndex").unwrap_or(1);
        let page = all
            .iter()
            .skip(start - 1)
            .take(size)
            .map(|it| self.shown(it));
        let page: Vec<Value> = page.collect();
        let body = json!({"totalResults": total, "startIndex": start, "Resources": page});
        Ok(answer(200, &body, None))
    }

    fn write(
        &mut self,
        method: &Method,
        collection: &str,
        id: &str,
        body: &Value,
        wanted: Option<&str>,
    ) -> Result<Response, Refusal> {
        if self.members_in(body) > self.habits.most_members.unwrap_or(usize::MAX) {
            return Err(bad("too many members in one request"));
        }
        if !id.is_empty() {
            let found = self.find(collection, id)?.clone();
            if wanted.is_some() && self.habits.etags && wanted != self.etag(&found).as_deref() {
                return Err((StatusCode::PRECONDITION_FAILED, "it changed".to_owned()));
            }
        }
        let put = |no: bool, what: &str| match no {
            true => Err((StatusCode::NOT_IMPLEMENTED, format!("no {what}"))),
            false => Ok(()),
        };
        match *method {
            Method::POST => return self.create(collection, body),
            Method::PUT => {
                put(self.habits.no_put, "PUT")?;
                let old = self.find(collection, id)?;
                let meta = old["meta"].take();
                *old = body.clone();
                old["id"] = json!(id);
                old["meta"] = meta;
            }
            Method::PATCH => {
                put(self.habits.no_patch, "PATCH")?;
                let mut changed = self.find(collection, id)?.clone();
                let none = Vec::new();
                for operation in body["Operations"].as_array().unwrap_or(&none) {
                    self.operate(&mut changed, operation)?;
                }
                *self.find(collection, id)? = changed;
            }
            _ => {
                put(self.no_delete, "DELETE")?;
                self.find(collection, id)?;
                self.all(collection).retain(|it| it["id"] != id);
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
        }
        let tick = self.tick();
        let strangers = self.habits.strangers.clone();
        let changed = self.find(collection, id)?;
        settle(changed, &tick, &strangers);
        let changed = changed.clone();
        if self.habits.silent {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        Ok(answer(200, &self.shown(&changed), self.etag(&changed)))
    }

    fn create(&mut self, collection: &str, body: &Value) -> Result<Response, Refusal> {
        let mut body = body.clone();
        if let (true, Some(name)) = (self.habits.lower_names, body["userName"].as_str()) {
            body["userName"] = json!(name.to_lowercase());
        }
        let name = &body["userName"];
        let taken = |it: &Value| !name.is_null() && it["userName"] == *name;
        if self.all(collection).iter().any(taken) {
            return Err((StatusCode::CONFLICT, "userName is taken".to_owned()));
        }
        let tick = self.tick();
        let mut made = body.clone();
        made["id"] = json!(format!("s-{}", self.count));
        made["meta"] = json!({});
        settle(&mut made, &tick, &self.habits.strangers.clone());
        self.all(collection).push(made.clone());
        Ok(answer(201, &self.shown(&made), self.etag(&made)))
    }

    fn tick(&mut self) -> String {
        self.count += 1;
        format!("W/\"{}\"", self.count)
    }

    fn members_in(&self, body: &Value) -> usize {
        let size = |value: &Value| value.as_array().map_or(0, Vec::len);
        let operations = body["Operations"].as_array().into_iter().flatten();
        let changed = operations.map(|operation| match operation["path"].as_str() {
            Some("members") => size(&operation["value"]),
            Some(path) if path.starts_with("members[") => 1,
            _ => 0,
        });
        size(&body["members"]) + changed.sum::<usize>()
    }

    fn operate(&self, resource: &mut Value, operation: &Value) -> Result<(), Refusal> {
        let removes = operation["op"] == "remove";
        let value = &operation["value"];
        let Some(path) = operation["path"].as_str() else {
            let members = value.as_object().ok_or_else(|| bad("no value"))?;
            for (name, value) in members {
                match (&mut resource[name], value) {
                    (Value::Object(old), Value::Object(new)) => old.extend(new.clone()),
                    (old, new) => *old = new.clone(),
                }
            }
            return Ok(());
        };
        if self.habits.no_paths && !removes && path != "members" {
            return Err(bad("no path"));
        }
        if let Some(id) = path.strip_prefix("members[value eq ") {
            if self.habits.no_path_filters {
                return Err(bad("no filter in a path"));
            }
            let id: Value = serde_json::from_str(id.trim_end_matches(']')).expect("a text");
            list(resource).retain(|it| it["value"] != id);
            return Ok(());
        }
        if path == "members" {
            let given = value.as_array().cloned().unwrap_or_default();
            let members = list(resource);
            members.retain(|it| !given.contains(it));
            if !removes {
                members.extend(given);
            }
            return Ok(());
        }
        let (parent, name) = match path.rsplit_once(':') {
            Some((urn, name)) => (&mut resource[urn], name),
            None => (resource, path),
        };
        let (parent, name) = match name.split_once('.') {
            Some((complex, name)) => (&mut parent[complex], name),
            None => (parent, name),
        };
        if removes {
            parent
                .as_object_mut()
                .ok_or_else(|| bad("no target"))?
                .remove(name);
        } else {
            parent[name] = value.clone();
        }
        Ok(())
    }
}

fn list(resource: &mut Value) -> &mut Vec<Value> {
    if !resource["members"].is_array() {
        resource["members"] = json!([]);
    }
    resource["members"].as_array_mut().expect("a list")
}

/// What the service itself makes of a resource.
fn settle(resource: &mut Value, version: &str, strangers: &[String]) {
    resource["meta"]["version"] = json!(version);
    // Whole seconds, and always the same one: the worst that a reader of changes can meet.
    resource["meta"]["lastModified"] = json!("2026-01-01T00:00:00Z");
    if let Some(active) = resource["active"].as_str() {
        resource["active"] = json!(active == "True");
    }
    if let Some(members) = resource.get_mut("members").and_then(Value::as_array_mut) {
        members.retain(|it| !strangers.iter().any(|stranger| it["value"] == *stranger));
    }
}
