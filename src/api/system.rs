//! `/system`: connector tests, and a look at what targets hold.
use axum::{extract::State, response::Response};
use futures::{StreamExt, stream};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, answer,
    call::Call,
    error::Result,
    openapi::{
        self, ActionParameters, ClassPath, ConnectorPath, FieldParameters, QueryParameters,
        TargetPath,
    },
    page,
};
use crate::model::Container;

/// How many connectors are tested at once.
const TESTS_AT_ONCE: usize = 8;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(test_all))
        .routes(routes!(test))
        .routes(routes!(query))
        .routes(routes!(read))
}

/// Test all connectors
#[utoipa::path(post, path = "/system", tag = "system", operation_id = "testConnectors",
    params(ActionParameters),
    responses((status = 200, description = "What each connector's test found", body = Vec<openapi::ConnectorTest>)))]
async fn test_all(State(api): State<Api>, call: Call) -> Result<Response> {
    let tests = api.app.connectors().into_iter().map(|name| {
        let app = api.app.clone();
        async move { app.test_connector(&name).await }
    });
    let results: Vec<Value> = stream::iter(tests)
        .buffered(TESTS_AT_ONCE)
        .filter_map(|result| async { result.ok() })
        .collect()
        .await;
    Ok(call.ok(&Value::Array(results)))
}

/// Test a connector
#[utoipa::path(post, path = "/system/{name}", tag = "system", operation_id = "testConnector",
    params(ConnectorPath, ActionParameters),
    responses((status = 200, description = "What the test found", body = openapi::ConnectorTest)))]
async fn test(State(api): State<Api>, call: Call) -> Result<Response> {
    let result = api.app.test_connector(call.segment(1)?).await?;
    Ok(call.ok(&result))
}

/// Query a target
///
/// Shows what the target holds now; confidential attributes are masked.
#[utoipa::path(get, path = "/system/{name}/{class}", tag = "system", operation_id = "queryTarget",
    params(ClassPath, QueryParameters),
    responses((status = 200, description = "One page of what was found", body = openapi::QueryResult)))]
async fn query(State(api): State<Api>, call: Call) -> Result<Response> {
    let query = call.parameters().query()?;
    let found = api
        .app
        .query_target(&container(&call)?, &query.search)
        .await?;
    Ok(page::answered(&call, &query, page::objects(found)))
}

/// Read an object of a target
///
/// Shows what the target holds now; confidential attributes are masked.
#[utoipa::path(get, path = "/system/{name}/{class}/{id}", tag = "system", operation_id = "readTarget",
    params(TargetPath, FieldParameters),
    responses((status = 200, description = "The object", body = openapi::ManagedObject)))]
async fn read(State(api): State<Api>, call: Call) -> Result<Response> {
    let fields = call.parameters().fields()?;
    let id = call.segment(3)?;
    let object = api.app.read_target(&container(&call)?.object(id)).await?;
    Ok(call.ok(&Value::Object(answer::select(object, &fields))))
}

fn container(call: &Call) -> Result<Container> {
    Ok(Container::system(call.segment(1)?, call.segment(2)?))
}
