//! `/tokens` and `/sessions`: who gets in. For admins only.
use axum::{body::Body, extract::State, http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    body::kind,
    call::Call,
    error::{Failure, Result},
    openapi::{self, ActionParameters, TokenPath},
};
use crate::{app::NewToken, model::Object};

/// The routes of these resources.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
        .routes(routes!(end_sessions))
}

/// List bearer tokens
///
/// Revoked and ended ones too, oldest first; their texts are kept nowhere.
#[utoipa::path(get, path = "/tokens", tag = "access", operation_id = "listTokens",
    responses((status = 200, description = "The tokens", body = openapi::Tokens)))]
async fn list(State(api): State<Api>, call: Call) -> Result<Response> {
    let tokens = api.app.tokens().await?;
    let tokens: Vec<Value> = tokens.iter().map(shown).collect();
    Ok(call.ok(&json!({"tokens": tokens})))
}

/// Make a bearer token
///
/// The answer holds the token's text, which is shown only now. The first token of a server must be
/// an admin's: from then on nobody is answered without one.
#[utoipa::path(post, path = "/tokens", tag = "access", operation_id = "createToken",
    params(ActionParameters),
    request_body(content = openapi::NewToken, content_type = "application/json"),
    responses((status = 201, description = "The token with its text", body = openapi::FreshToken)))]
async fn create(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let wanted = wanted(&call.json(body, &api.settings.limits).await?.object()?)?;
    let (text, token) = api.app.create_token(&wanted, call.by()).await?;
    let mut value = shown(&token);
    if let Some(members) = value.as_object_mut() {
        members.insert("token".into(), text.expose_secret().into());
    }
    Ok(call.answer(StatusCode::CREATED, &value))
}

/// Revoke a bearer token
///
/// It opens nothing from now on, on any node, and the sessions that were begun with it end.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "access", operation_id = "revokeToken",
    params(TokenPath),
    responses((status = 200, description = "The token", body = openapi::Token)))]
async fn revoke(State(api): State<Api>, call: Call) -> Result<Response> {
    let revoked = api.app.withdraw_token(call.segment(1)?, call.by()).await?;
    Ok(call.ok(&shown(&revoked)))
}

/// End the sessions of a caller
///
/// Whoever signed in at the pages under this name has to sign in again.
#[utoipa::path(post, path = "/sessions", tag = "access", operation_id = "endSessions",
    params(ActionParameters),
    request_body(content = openapi::SessionsOf, content_type = "application/json"),
    responses((status = 200, description = "How many there were", body = openapi::SessionsEnded)))]
async fn end_sessions(State(api): State<Api>, call: Call, body: Body) -> Result<Response> {
    let body = call.json(body, &api.settings.limits).await?.object()?;
    let caller = text(&body, "caller")?
        .ok_or_else(|| Failure::bad("`caller` is missing: say whose sessions end"))?;
    let ended = api.app.end_sessions(&caller, call.by()).await?;
    Ok(call.ok(&json!({"caller": caller, "ended": ended})))
}

fn wanted(body: &Object) -> Result<NewToken> {
    let name = text(body, "name")?.ok_or_else(|| Failure::bad("`name` is missing"))?;
    let expected = || Failure::bad("`roles` must be a list of roles");
    let roles = match body.get("roles") {
        Some(Value::Array(roles)) => roles
            .iter()
            .map(|role| role.as_str().map(str::to_owned).ok_or_else(expected))
            .collect::<Result<Vec<String>>>()?,
        _ => return Err(expected()),
    };
    let expires_at = match text(body, "expiresAt")? {
        None => None,
        Some(time) => Some(time_of(&time)?),
    };
    Ok(NewToken {
        name,
        roles,
        expires_at,
    })
}

fn time_of(text: &str) -> Result<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(text);
    parsed
        .map(|time| time.to_utc())
        .map_err(|_| Failure::bad("`expiresAt` must be a time like `2030-01-31T12:00:00Z`"))
}

fn text(body: &Object, key: &str) -> Result<Option<String>> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => {
            let found = kind(other);
            Err(Failure::bad(format!(
                "`{key}` must be a text, found {found}"
            )))
        }
    }
}

fn shown(token: &crate::app::Token) -> Value {
    serde_json::to_value(token).unwrap_or_default()
}
