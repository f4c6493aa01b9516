//! What bodies about tokens and sessions look like.
#![allow(dead_code, reason = "these types are read by the description only")]
use chrono::{DateTime, Utc};
use utoipa::ToSchema;

/// Bearer tokens.
#[derive(ToSchema)]
pub(crate) struct Tokens {
    tokens: Vec<Token>,
}

/// A bearer token, without its text.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Token {
    id: String,
    /// Whom it was given to: the caller of changes and audit entries
    name: String,
    roles: Vec<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// By the minute
    last_used_at: Option<DateTime<Utc>>,
}

/// A bearer token that was just made.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FreshToken {
    id: String,
    name: String,
    roles: Vec<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    /// Its text, shown only now
    token: String,
}

/// A bearer token that is wished for.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewToken {
    name: String,
    /// `caller`, `hook-admin`, `auditor`, `admin`
    roles: Vec<String>,
    /// When it ends; never if left out
    expires_at: Option<DateTime<Utc>>,
}

/// Whose sessions end.
#[derive(ToSchema)]
pub(crate) struct SessionsOf {
    caller: String,
}

/// How many sessions ended.
#[derive(ToSchema)]
pub(crate) struct SessionsEnded {
    caller: String,
    ended: u64,
}
