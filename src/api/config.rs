//! `/config/problems`: what of the folder's latest edits is not in force.
use axum::{extract::State, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, call::Call, error::Result, openapi};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(problems))
}

/// List the problems of the project folder
///
/// An edit with an error never replaces what is in force; it is listed here until it is put right.
#[utoipa::path(get, path = "/config/problems", tag = "config", operation_id = "readProblems",
    responses((status = 200, description = "The problems", body = openapi::Problems)))]
async fn problems(State(api): State<Api>, call: Call) -> Result<Response> {
    Ok(call.ok(&api.app.problems()))
}
