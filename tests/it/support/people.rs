//! A REST service of people: CRUD with ETags, lists in pages, and faults on demand.
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// The token that it wants.
pub const TOKEN: &str = "letmein";

/// A running service.
#[derive(Debug)]
pub struct People {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it holds and how it behaves.
    pub state: Arc<Mutex<Shop>>,
    task: JoinHandle<()>,
}

/// What the service holds and how it behaves.
#[derive(Debug, Default)]
pub struct Shop {
    /// People by id, each with a revision.
    pub people: BTreeMap<String, (u64, Map<String, Value>)>,
    /// Answers to the next writes: nothing is carried out.
    pub refusals: Vec<Answer>,
    /// Whether it gives and checks ETags.
    pub has_etags: bool,
    /// Whether its ETags are weak ones, which never match.
    pub has_weak_etags: bool,
    /// Whether its lists show no more than name and id.
    pub summarizes: bool,
    /// How many changes and deletions came without a precondition.
    pub blind_writes: usize,
    /// Every request as `METHOD PATH`.
    pub seen: Vec<String>,
    /// Each version of each person that there ever was, in order.
    pub feed: Vec<Map<String, Value>>,
    revision: u64,
}

/// An answer on demand.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// Whether the write is carried out all the same.
    pub carried_out: bool,
}

type Shared = State<Arc<Mutex<Shop>>>;

impl People {
    /// Starts a service on a free port of loopback.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(Shop {
            has_etags: true,
            ..Shop::default()
        }));
        let router = Router::new()
            .route("/api/people", get(list).post(post))
            .route("/api/feed", get(feed))
            .route(
                "/api/people/{id}",
                get(read).put(write).patch(write).delete(write),
            )
            .with_state(Arc::clone(&state));
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

    /// What a connector needs to know, at an address of one's choice.
    pub fn settings(address: SocketAddr, create: &str, update: &str) -> Value {
        json!({
            "type": "rest", "baseUrl": format!("http://{address}/api"), "timeoutMs": 5000,
            "auth": {"bearer": TOKEN}, "headers": {"X-Caller": "tests"},
            "objects": {"account": {
                "path": "/people", "create": create, "update": update,
                "list": {"itemsPointer": "/items", "offsetParameter": "from", "sizeParameter": "size"},
            }},
        })
    }

    /// The state, to look at or to change.
    pub fn shop(&self) -> std::sync::MutexGuard<'_, Shop> {
        self.state.lock().unwrap()
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shop {
    fn admit(&mut self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
        self.seen.push(format!("{method} {path}"));
        let wanted = format!("Bearer {TOKEN}");
        let given = headers.get(header::AUTHORIZATION);
        if given.is_none_or(|given| given.as_bytes() != wanted.as_bytes()) {
            return Some(refuse(401, "who are you?"));
        }
        None
    }

    /// The answer on demand for a write; `carried_out` ones are given after the write.
    fn demanded(&mut self, carried_out: bool) -> Option<Response> {
        let next = self.refusals.first()?;
        if next.carried_out != carried_out {
            return None;
        }
        let answer = self.refusals.remove(0);
        let status = StatusCode::from_u16(answer.status).unwrap();
        let mut response = (status, answer.body).into_response();
        for (name, value) in answer.headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        Some(response)
    }

    /// Whether the preconditions hold.
    fn admits(&self, id: &str, headers: &HeaderMap) -> bool {
        let now = self
            .people
            .get(id)
            .map(|(revision, _)| format!("\"{revision}\""));
        let text = |name| headers.get(name).and_then(|it| it.to_str().ok());
        let fresh = text(header::IF_NONE_MATCH) != Some("*") || now.is_none();
        let matches = |wanted: &str| now.as_deref() == Some(wanted) && !self.has_weak_etags;
        let same = !self.has_etags || text(header::IF_MATCH).is_none_or(matches);
        fresh && same
    }

    fn store(&mut self, id: &str, mut person: Map<String, Value>) -> Response {
        self.revision += 1;
        person.insert("id".to_owned(), json!(id));
        self.feed.push(person.clone());
        let is_new = self
            .people
            .insert(id.to_owned(), (self.revision, person))
            .is_none();
        let mut response = self.show(id);
        if is_new {
            *response.status_mut() = StatusCode::CREATED;
        }
        response
    }

    fn show(&self, id: &str) -> Response {
        match self.people.get(id) {
            Some((revision, person)) if self.has_etags => {
                let weak = if self.has_weak_etags { "W/" } else { "" };
                let etag = format!("{weak}\"{revision}\"");
                ([(header::ETAG, etag)], Json(person.clone())).into_response()
            }
            Some((_, person)) => Json(person.clone()).into_response(),
            None => refuse(404, "no such person"),
        }
    }
}

fn refuse(status: u16, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({"message": message}))).into_response()
}

async fn list(
    State(state): Shared,
    Query(parameters): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut shop = state.lock().unwrap();
    if let Some(refused) = shop.admit(&Method::GET, "/", &headers) {
        return refused;
    }
    let number = |name: &str, default| match parameters.get(name) {
        Some(text) => text.parse().unwrap(),
        None => default,
    };
    let changed = |person: &Map<String, Value>| match parameters.get("since") {
        Some(since) => person["changed"]
            .as_str()
            .is_some_and(|at| at >= since.as_str()),
        None => true,
    };
    // Fewer than asked for, as services do.
    let summary = shop.summarizes;
    let items: Vec<Map<String, Value>> = shop
        .people
        .values()
        .map(|(_, person)| person)
        .filter(|person| changed(person))
        .skip(number("from", 0))
        .take(number("size", 7).min(7))
        .cloned()
        .map(|mut person| {
            person.retain(|name, _| !summary || name == "name" || name == "id");
            person
        })
        .collect();
    Json(json!({"items": items})).into_response()
}

/// Versions after a cursor, a few at a time.
async fn feed(State(state): Shared, Query(parameters): Query<HashMap<String, String>>) -> Response {
    let shop = state.lock().unwrap();
    let cursor = parameters.get("cursor").map_or(Ok(0), |it| it.parse());
    let Ok(from) = cursor else {
        return refuse(400, "no cursor of mine");
    };
    let items: Vec<_> = shop.feed.iter().skip(from).take(3).collect();
    let next = from + items.len();
    Json(json!({"items": items, "next": next.to_string()})).into_response()
}

async fn read(State(state): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let mut shop = state.lock().unwrap();
    match shop.admit(&Method::GET, &id, &headers) {
        Some(refused) => refused,
        None => shop.show(&id),
    }
}

async fn post(State(state): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let mut shop = state.lock().unwrap();
    let early = shop.admit(&Method::POST, "/", &headers);
    if let Some(answer) = early.or_else(|| shop.demanded(false)) {
        return answer;
    }
    let Ok(person) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return refuse(400, "no person");
    };
    let id = match person.get("id") {
        Some(id) => id.as_str().unwrap_or_default().to_owned(),
        None => format!("p{}", shop.revision),
    };
    if shop.people.contains_key(&id) {
        return refuse(409, "this person is there already");
    }
    let response = shop.store(&id, person);
    shop.demanded(true).unwrap_or(response)
}

async fn write(
    State(state): Shared,
    method: Method,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut shop = state.lock().unwrap();
    let early = shop.admit(&method, &id, &headers);
    if let Some(answer) = early.or_else(|| shop.demanded(false)) {
        return answer;
    }
    let conditional = [header::IF_MATCH, header::IF_NONE_MATCH];
    if !conditional.iter().any(|name| headers.contains_key(name)) {
        shop.blind_writes += 1;
    }
    if !shop.admits(&id, &headers) {
        return refuse(412, "this is not what you read");
    }
    let response = match (method, shop.people.get(&id).cloned()) {
        (Method::DELETE, Some(_)) => {
            shop.people.remove(&id);
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::PUT, _) => {
            let person = serde_json::from_slice(&body).unwrap();
            shop.store(&id, person)
        }
        (Method::PATCH, Some((_, person))) => {
            let kind = headers.get(header::CONTENT_TYPE).unwrap();
            assert_eq!(kind, "application/merge-patch+json");
            let mut person = Value::Object(person);
            json_patch::merge(&mut person, &serde_json::from_slice(&body).unwrap());
            shop.store(&id, person.as_object().unwrap().clone())
        }
        _ => refuse(404, "no such person"),
    };
    shop.demanded(true).unwrap_or(response)
}
