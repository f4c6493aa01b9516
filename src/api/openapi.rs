//! `/openapi.json`: the description of this API, made from its routes and its table of rights.
mod access;
mod parameters;
mod recon;
mod schemas;
#[cfg(test)]
mod tests;
mod tools;

use std::sync::LazyLock;

use axum::response::Response;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Ref,
        RefOr, Response as Answer, ResponseBuilder,
        header::HeaderBuilder,
        path::Operation as Described,
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use access::*;
pub(super) use parameters::*;
pub(super) use recon::*;
pub(super) use schemas::*;
pub(super) use tools::*;

use super::{
    Api,
    access::{Effect, RULES, actions_at},
    audit,
    call::Call,
    config, events, health, integrations, managed, operations, script, sync, system, tokens,
};

const TOKEN: &str = "token";

const TAGS: [(&str, &str); 11] = [
    (
        "managed",
        "Managed objects: every change of one goes to all targets, or to none.",
    ),
    (
        "sync",
        "Changes of records that the caller keeps itself, and the mappings.",
    ),
    ("operations", "Every change with its outcome."),
    (
        "events",
        "The change feed: every settled change of a managed object.",
    ),
    (
        "recon",
        "Comparing the two sides of a mapping, and putting right what differs.",
    ),
    (
        "audit",
        "What happened, in a chain that shows any tampering.",
    ),
    ("script", "Trying scripts."),
    ("system", "Connectors and what their targets hold."),
    ("config", "The state of the project folder."),
    ("access", "Bearer tokens and sessions."),
    ("health", "Probes and metrics."),
];

/// The finished description; it does not change while the program runs.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(document()).unwrap_or_default());

/// The OpenAPI description of this API.
#[must_use]
pub fn document() -> OpenApi {
    let mut described = routes().into_openapi();
    for (path, item) in &mut described.paths.paths {
        for (method, operation) in operations_of(item) {
            complete(operation, method, path);
        }
    }
    described
}

/// Every route with its description, not yet completed by what holds for all of them.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(head())
        .merge(managed::routes())
        .merge(sync::routes())
        .merge(operations::routes())
        .merge(events::routes())
        .merge(integrations::routes())
        .merge(super::recon::routes())
        .merge(audit::routes())
        .merge(script::routes())
        .merge(system::routes())
        .merge(config::routes())
        .merge(tokens::routes())
        .merge(health::routes())
        .routes(routes!(describe))
}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "health", operation_id = "describe",
    responses((status = 200, description = "OpenAPI", body = Value)))]
async fn describe(call: Call) -> Response {
    call.ok(&DOCUMENT)
}

fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Recant")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Keeps many systems in agreement about one record: a change reaches all targets, or none.",
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ));
    let tags = TAGS.map(|(name, description)| {
        TagBuilder::new()
            .name(name)
            .description(Some(description))
            .build()
    });
    let mut components = Components::new();
    components.add_security_scheme(
        TOKEN,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "A token made with `recant token`, or one of the configured provider",
                ))
                .build(),
        ),
    );
    let mut schemas = vec![(ErrorBody::name().into_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    OpenApiBuilder::new()
        .info(info.build())
        .tags(Some(tags))
        .components(Some(components))
        .build()
}

/// Adds what every operation has: the error answer, who may use it, and for changes the headers
/// that name operation and outcome.
fn complete(operation: &mut Described, method: &str, path: &str) {
    let mut rules = RULES
        .iter()
        .filter(|rule| rule.is_for(method, path))
        .peekable();
    let open = rules.peek().is_some_and(|rule| rule.is_open());
    let changes = rules.any(|rule| rule.effect == Effect::Changes);
    let answers = &mut operation.responses.responses;
    answers.insert("default".to_owned(), RefOr::T(failed()));
    if changes {
        for (status, answer) in answers.iter_mut() {
            if let RefOr::T(answer) = answer {
                name_change(answer, status);
            }
        }
    }
    name_actions(operation, &actions_at(method, path));
    operation.security = Some(if open {
        Vec::new()
    } else {
        vec![SecurityRequirement::new(TOKEN, [] as [&str; 0])]
    });
}

/// Lists the values that `_action` may have.
fn name_actions(operation: &mut Described, actions: &[&str]) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == "_action"
        {
            let known = ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(actions.iter().copied()));
            parameter.schema = Some(known.into());
        }
    }
}

fn failed() -> Answer {
    let mut answer = ResponseBuilder::new()
        .description("What went wrong")
        .content(
            "application/json",
            Content::new(Some(Ref::from_schema_name(ErrorBody::name()))),
        )
        .build();
    header(
        &mut answer,
        "Retry-After",
        "Whole seconds to stay away (409, 429, 503)",
    );
    header(&mut answer, "WWW-Authenticate", "`Bearer` (401)");
    header(&mut answer, "Allow", "The methods that there are (405)");
    answer
}

fn name_change(answer: &mut Answer, status: &str) {
    header(
        answer,
        "Recant-Operation",
        "The id of the change, to be found under `/operations`",
    );
    match status {
        "202" => {
            header(answer, "Location", "The address of the change's record");
            return;
        }
        "200" => header(answer, "ETag", "The object's new revision, quoted"),
        "201" => {
            header(answer, "ETag", "The object's revision, quoted");
            header(answer, "Location", "The address of the new object");
        }
        _ => {}
    }
    header(
        answer,
        "Recant-Outcome",
        "`synced`, `rejected`, `compensated`, `partial` or `diverged`",
    );
}

fn header(answer: &mut Answer, name: &str, description: &str) {
    let header = HeaderBuilder::new()
        .schema(Some(String::schema()))
        .description(Some(description))
        .build();
    answer.headers.insert(name.to_owned(), header.into());
}

/// The operations of a path with their methods.
fn operations_of(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Described)> {
    [
        ("GET", &mut item.get),
        ("POST", &mut item.post),
        ("PUT", &mut item.put),
        ("PATCH", &mut item.patch),
        ("DELETE", &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
