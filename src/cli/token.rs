//! `recant token`: making, listing and revoking bearer tokens.
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    arguments::Token,
    output::{Exit, Output, Result, Tone},
    table::{Table, text_at, time},
};
use crate::{app::App, store};

const DAY: u64 = 24 * 60 * 60;

/// Does what `recant token` asks for.
///
/// # Errors
/// There is no such token or role, or the store fails.
pub async fn run(app: &App, verb: &Token, output: &mut Output) -> Result {
    match verb {
        Token::Make { name, roles, days } => {
            let lifetime = days.map(|days| Duration::from_secs(u64::from(days) * DAY));
            make(app, name, roles, lifetime, output).await?;
        }
        Token::List => list(&app.tokens().await?, output)?,
        Token::Revoke { id } => {
            app.revoke_token(id).await?;
            if output.is_json() {
                output.json(&json!({"_id": id, "revoked": true}))?;
            } else {
                output.line(format!("revoked {id}"))?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn make(
    app: &App,
    name: &str,
    roles: &[String],
    lifetime: Option<Duration>,
    output: &mut Output,
) -> Result<()> {
    let (secret, token) = app.make_token(name, roles, lifetime).await?;
    if output.is_json() {
        let mut value = to_value(&token);
        if let Some(value) = value.as_object_mut() {
            value.insert("token".into(), secret.expose_secret().into());
        }
        return output.json(&value);
    }
    output.line(secret.expose_secret())?;
    let hint = format!(
        "for {name} ({}); it is kept nowhere and shown only now; id {}",
        roles.join(", "),
        token.id
    );
    output.line(output.tint(Tone::Faint, hint))
}

fn list(tokens: &[store::Token], output: &mut Output) -> Result<()> {
    let values: Vec<Value> = tokens.iter().map(to_value).collect();
    if output.is_json() {
        return output.json(&json!({"result": values}));
    }
    if values.is_empty() {
        return output.line("no tokens: the server listens on loopback only");
    }
    let mut table = Table::new(output, &["id", "name", "roles", "made", "ends", "revoked"]);
    table.at_least(0, 38);
    for (token, value) in tokens.iter().zip(&values) {
        table.row([
            (Tone::Normal, token.id.clone()),
            (Tone::Normal, token.name.clone()),
            (Tone::Normal, token.roles.join(", ")),
            (Tone::Normal, time(text_at(value, "/createdAt"))),
            (Tone::Normal, time(text_at(value, "/expiresAt"))),
            (Tone::Warn, time(text_at(value, "/revokedAt"))),
        ]);
    }
    table.print(output, 0)
}

fn to_value(token: &store::Token) -> Value {
    serde_json::to_value(token).unwrap_or_default()
}
