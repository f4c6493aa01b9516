//! The demo's third target: a small REST service in this process, which can refuse.
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::people::DEPARTMENTS;
use crate::model::Object;

/// The token that callers must show.
pub const TOKEN: &str = "lantern-directory";

/// A running directory. It stops when it is dropped.
pub struct Directory {
    /// Where it listens.
    pub address: SocketAddr,
    shelf: Shelf,
    server: JoinHandle<()>,
}

type Shelf = Arc<Mutex<BTreeMap<String, Entry>>>;

/// A person, and how often the entry was written: its ETag.
#[derive(Clone)]
struct Entry {
    person: Object,
    version: u64,
}

impl Directory {
    /// Starts an empty directory on a free loopback port.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub async fn start() -> std::io::Result<Self> {
        let shelf = Shelf::default();
        let routes = Router::new()
            .route("/people", get(list))
            .route("/people/{id}", get(read).put(write).delete(remove))
            .with_state(shelf.clone());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            shelf,
            server,
        })
    }

    /// Everybody in it, read from its memory and not through the service.
    pub fn people(&self) -> BTreeMap<String, Object> {
        lock(&self.shelf)
            .iter()
            .map(|(id, entry)| (id.clone(), entry.person.clone()))
            .collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn list(State(shelf): State<Shelf>, headers: HeaderMap) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    let people: Vec<Object> = lock(&shelf)
        .values()
        .map(|entry| entry.person.clone())
        .collect();
    Json(people).into_response()
}

async fn read(State(shelf): State<Shelf>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    match lock(&shelf).get(&id) {
        Some(entry) => answer(StatusCode::OK, entry),
        None => refuse(StatusCode::NOT_FOUND, format!("there is no `{id}`")),
    }
}

async fn write(
    State(shelf): State<Shelf>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(mut person): Json<Object>,
) -> Response {
    if let Some(refusal) = stranger(&headers).or_else(|| off_the_chart(&person)) {
        return refusal;
    }
    let mut shelf = lock(&shelf);
    let before = shelf.get(&id).map(|entry| entry.version);
    if let Some(refusal) = outdated(&headers, before) {
        return refusal;
    }
    person.insert("id".to_owned(), json!(id));
    let entry = Entry {
        person,
        version: before.unwrap_or_default() + 1,
    };
    let status = match before {
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    };
    let response = answer(status, &entry);
    shelf.insert(id, entry);
    response
}

async fn remove(
    State(shelf): State<Shelf>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    let mut shelf = lock(&shelf);
    let before = shelf.get(&id).map(|entry| entry.version);
    if let Some(refusal) = outdated(&headers, before) {
        return refusal;
    }
    match shelf.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => refuse(StatusCode::NOT_FOUND, format!("there is no `{id}`")),
    }
}

/// The rule by which the directory refuses: a department must be on its chart.
fn off_the_chart(person: &Object) -> Option<Response> {
    let department = person
        .get("department")
        .and_then(Value::as_str)
        .unwrap_or_default();
    (!DEPARTMENTS.contains(&department)).then(|| {
        refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("no department `{department}` on the chart"),
        )
    })
}

fn stranger(headers: &HeaderMap) -> Option<Response> {
    let shown = text(headers, header::AUTHORIZATION);
    (shown != Some(&format!("Bearer {TOKEN}")))
        .then(|| refuse(StatusCode::UNAUTHORIZED, "who are you?".to_owned()))
}

/// Preconditions of RFC 9110, section 13.
fn outdated(headers: &HeaderMap, version: Option<u64>) -> Option<Response> {
    let tag = version.map(tag);
    let met = match text(headers, header::IF_MATCH) {
        Some("*") => tag.is_some(),
        Some(wanted) => tag.as_deref() == Some(wanted),
        None => true,
    };
    let absent = text(headers, header::IF_NONE_MATCH) != Some("*") || tag.is_none();
    (!met || !absent).then(|| {
        refuse(
            StatusCode::PRECONDITION_FAILED,
            "the entry is not what you think".to_owned(),
        )
    })
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

fn answer(status: StatusCode, entry: &Entry) -> Response {
    let tag = [(header::ETAG, tag(entry.version))];
    (status, tag, Json(entry.person.clone())).into_response()
}

fn refuse(status: StatusCode, message: String) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}

fn lock(shelf: &Shelf) -> MutexGuard<'_, BTreeMap<String, Entry>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}
