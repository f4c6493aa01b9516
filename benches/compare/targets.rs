//! Three REST targets in one process: `/t1/ID`, `/t2/ID`, `/t3/ID`, kept in memory.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};

type Objects = Arc<Mutex<HashMap<(String, String), Bytes>>>;

/// Serves until the process ends; says its address on the first line.
pub async fn serve() {
    let router = Router::new()
        .route("/{target}/{id}", get(read).put(write).delete(remove))
        .with_state(Objects::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    axum::serve(listener, router).await.expect("serving");
}

async fn read(
    State(objects): State<Objects>,
    Path(place): Path<(String, String)>,
) -> Result<([(&'static str, &'static str); 1], Bytes), StatusCode> {
    let objects = objects.lock().expect("the lock");
    let body = objects.get(&place).cloned().ok_or(StatusCode::NOT_FOUND)?;
    Ok(([("content-type", "application/json")], body))
}

async fn write(
    State(objects): State<Objects>,
    Path(place): Path<(String, String)>,
    body: Bytes,
) -> StatusCode {
    if place.0 == "t3" && body.windows(9).any(|part| part == b"refuse-me") {
        return StatusCode::CONFLICT;
    }
    objects.lock().expect("the lock").insert(place, body);
    StatusCode::NO_CONTENT
}

async fn remove(State(objects): State<Objects>, Path(place): Path<(String, String)>) -> StatusCode {
    match objects.lock().expect("the lock").remove(&place) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}
