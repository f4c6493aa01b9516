//! `/script`: trying scripts without changing anything, and what their runs were given.
use axum::{body::Body, extract::State, response::Response};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    call::Call,
    error::{Failure, Result},
    openapi::{self, ActionParameters},
};
use crate::app::RunSearch;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(act))
        .routes(routes!(runs))
}

/// Compile, run, test or back-test a script
///
/// `_action=compile` answers `true`, or 400 with the place of what is wrong. `_action=eval` answers
/// the script's value, `_action=trace` `{verdict, result, throws, error, asks, log, operations,
/// durationMicros}`; what it asks for is not carried out. `_action=test` runs its cases: `{file,
/// source, cases}` in, `{script, cases, passed, results}` out. `_action=backtest` runs it on the last
/// kept runs of it, `{file, source, hook, against}`, and answers `{runs, same, different, unknown,
/// results}`. `_action=record` answers the kept runs of a change as cases: `{operation, hook}` in,
/// `{result: [{file, script, case}]}` out.
#[utoipa::path(post, path = "/script", tag = "script", operation_id = "script",
    params(ActionParameters),
    request_body(content = openapi::Script, content_type = "application/json"),
    responses((status = 200, description = "`true`, or the script's value", body = Value)))]
async fn act(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let script = Value::Object(call.json(body, &api.settings.limits).await?.object()?);
    if !matches!(call.action(), "eval" | "compile") {
        check_sees_all(&call)?;
    }
    let answer = match call.action() {
        "eval" => {
            api.app
                .eval_script_for(call.caller().roles, &script)
                .await?
        }
        "trace" => api.app.trace_script(&script).await?,
        "test" => api.app.test_cases(&script).await?,
        "backtest" => api.app.backtest(&script).await?,
        "record" => {
            let text = |name: &str| script.get(name).and_then(Value::as_str);
            let operation = text("operation").and_then(|id| id.parse().ok());
            let operation =
                operation.ok_or_else(|| Failure::bad("/operation: expected the id of a change"))?;
            let cases = api.app.record_cases(operation, text("hook")).await?;
            json!({"result": cases})
        }
        _ => {
            api.app.compile_script(&script)?;
            Value::Bool(true)
        }
    };
    Ok(call.ok(&answer))
}

/// List kept runs of hooks
///
/// The newest first: `hook`, `script` and `operation` pick some, `limit` how many at most (100).
#[utoipa::path(get, path = "/script/runs", tag = "script", operation_id = "hookRuns",
    params(openapi::RunParameters),
    responses((status = 200, description = "The runs", body = openapi::HookRuns)))]
async fn runs(State(api): State<Api>, call: Call) -> Result<Response> {
    check_sees_all(&call)?;
    let text = |name: &str| call.parameters().get(name).map(str::to_owned);
    let limit = match call.parameters().get("limit") {
        None => 100,
        Some(limit) => limit
            .parse()
            .ok()
            .filter(|limit| (1..=1_000).contains(limit))
            .ok_or_else(|| {
                Failure::bad(format!(
                    "parameter `limit`: expected 1 to 1000, found `{limit}`"
                ))
            })?,
    };
    let search = RunSearch {
        operation: text("operation"),
        hook: text("hook"),
        script: text("script"),
        limit,
    };
    let runs = api.app.hook_runs(&search).await?;
    Ok(call.ok(&json!({"result": runs})))
}

/// Recorded runs hold whole objects: they are for those only who see every attribute.
fn check_sees_all(call: &Call) -> Result<()> {
    if call.veil().is_thin() {
        return Ok(());
    }
    Err(Failure::forbidden(
        "runs of scripts hold attributes that are not shown to you",
    ))
}
