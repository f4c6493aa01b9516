//! `/script`: trying a script without changing anything.
use axum::{body::Body, extract::State, response::Response};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    call::Call,
    error::Result,
    openapi::{self, ActionParameters},
};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(act))
}

/// Compile or run a script
///
/// `_action=compile` answers `true`, or 400 with the place of what is wrong. `_action=eval` answers
/// the script's value; what it asks for is not carried out.
#[utoipa::path(post, path = "/script", tag = "script", operation_id = "script",
    params(ActionParameters),
    request_body(content = openapi::Script, content_type = "application/json"),
    responses((status = 200, description = "`true`, or the script's value", body = Value)))]
async fn act(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let script = Value::Object(call.json(body, &api.settings.limits).await?.object()?);
    if call.action() == "eval" {
        let value = api.app.eval_script(&script).await?;
        return Ok(call.ok(&value));
    }
    api.app.compile_script(&script)?;
    Ok(call.ok(&Value::Bool(true)))
}
