//! `/health` and `/metrics`: for those who watch over the server.
use axum::{
    extract::State,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    call::Call,
    error::{Failure, Result},
    openapi,
};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
}

/// Whether the process is alive
#[utoipa::path(get, path = "/health/live", tag = "health", operation_id = "live",
    responses((status = 200, description = "It is", body = openapi::Health)))]
async fn live(call: Call) -> Response {
    call.ok(&json!({"status": "ok"}))
}

/// Whether configuration and store work
///
/// 503 where they do not, and while the server shuts down. Targets that are down and a recovery
/// that is still running do not count.
#[utoipa::path(get, path = "/health/ready", tag = "health", operation_id = "ready",
    responses((status = 200, description = "They do", body = openapi::Health)))]
async fn ready(State(api): State<Api>, call: Call) -> Result<Response> {
    if api.is_draining() {
        return Err(Failure::new(503, "the server is shutting down"));
    }
    api.app.ready().await?;
    Ok(call.ok(&json!({"status": "ok"})))
}

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
async fn metrics(State(api): State<Api>, _: Call) -> Response {
    let mut response = api.metrics.render().into_response();
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}
