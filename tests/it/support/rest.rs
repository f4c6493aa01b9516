//! A small REST service that does as it is told: it refuses, hangs, or waits for a sign.
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::{Value, json};
use tokio::sync::watch;

/// A REST service with people under `/people/ID`; `GET /people` lists them as `{items}`.
#[derive(Clone)]
pub struct RestTarget {
    state: Arc<Mutex<Inner>>,
    open: watch::Sender<bool>,
    address: SocketAddr,
}

#[derive(Default)]
struct Inner {
    people: BTreeMap<String, Value>,
    refuse_writes: Option<u16>,
    refuse_reads: Option<u16>,
    refuse_bodies_with: Option<String>,
    calls: Vec<(Method, String)>,
}

impl RestTarget {
    /// Starts on a free port of this machine.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Self {
            state: Arc::default(),
            open: watch::Sender::new(true),
            address: listener.local_addr().unwrap(),
        };
        let router = Router::new()
            .route("/people", any(list))
            .route("/people/{id}", any(one))
            .with_state(target.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        target
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every person by id.
    pub fn people(&self) -> BTreeMap<String, Value> {
        self.state.lock().unwrap().people.clone()
    }

    /// Puts a person there behind everybody's back.
    pub fn put(&self, id: &str, person: Value) {
        self.state
            .lock()
            .unwrap()
            .people
            .insert(id.to_owned(), person);
    }

    /// From now on every write is answered with this status; none: writes work.
    pub fn refuse_writes(&self, status: Option<u16>) {
        self.state.lock().unwrap().refuse_writes = status;
    }

    /// From now on a write whose body holds this text is refused.
    pub fn refuse_bodies_with(&self, text: &str) {
        self.state.lock().unwrap().refuse_bodies_with = Some(text.to_owned());
    }

    /// From now on every read is answered with this status; none: reads work.
    pub fn refuse_reads(&self, status: Option<u16>) {
        self.state.lock().unwrap().refuse_reads = status;
    }

    /// From now on every write waits until [`RestTarget::release`].
    pub fn hold_writes(&self) {
        self.open.send_replace(false);
    }

    /// Lets waiting writes go on.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// The writes that arrived so far.
    pub fn writes(&self) -> Vec<(Method, String)> {
        let state = self.state.lock().unwrap();
        let writes = state.calls.iter();
        writes
            .filter(|(method, _)| method != Method::GET)
            .cloned()
            .collect()
    }
}

async fn list(State(target): State<RestTarget>) -> Json<Value> {
    let people: Vec<Value> = target.people().into_values().collect();
    Json(json!({"items": people}))
}

async fn one(
    State(target): State<RestTarget>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let reads = method == Method::GET;
    let refused = {
        let mut state = target.state.lock().unwrap();
        state.calls.push((method.clone(), id.clone()));
        let refused = state.refuse_bodies_with.as_ref();
        match reads {
            true => state.refuse_reads,
            false if refused.is_some_and(|text| holds(&body, text)) => Some(409),
            false => state.refuse_writes,
        }
    };
    if let Some(status) = refused {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, Json(json!({"message": "told to refuse"}))).into_response();
    }
    if !reads {
        let mut open = target.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
    }
    let mut state = target.state.lock().unwrap();
    match method.as_str() {
        "GET" => match state.people.get(&id) {
            Some(person) => Json(person.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        "PUT" if headers.contains_key("if-none-match") && state.people.contains_key(&id) => {
            StatusCode::PRECONDITION_FAILED.into_response()
        }
        "PUT" => {
            let person: Value = serde_json::from_slice(&body).unwrap();
            state.people.insert(id, person.clone());
            Json(person).into_response()
        }
        "DELETE" => match state.people.remove(&id) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn holds(body: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(body).contains(text)
}
