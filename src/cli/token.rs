//! `recant token`: making, listing and revoking bearer tokens, and ending sessions.
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    arguments::Token,
    output::{Exit, Output, Result, Tone},
    service::Service,
    table::{Table, list_at, text_at, time},
};
use crate::clock::{Clock as _, SystemClock};

/// When a token ends, as the command line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// So long from now.
    After(TimeDelta),
    /// At a time.
    At(DateTime<Utc>),
}

/// Does what `recant token` asks for.
///
/// # Errors
/// There is no such token or role, or the store fails.
pub async fn run(service: &dyn Service, verb: &Token, output: &mut Output) -> Result {
    match verb {
        Token::Create {
            name,
            roles,
            expires,
        } => {
            let expires = expires.map(|expires| expires.from(SystemClock.now()));
            let expires = expires.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
            let wanted = json!({"name": name, "roles": roles, "expiresAt": expires});
            created(&service.create_token(&wanted).await?, output)?;
        }
        Token::List => list(&service.tokens().await?, output)?,
        Token::Revoke { id } => {
            let token = service.revoke_token(id).await?;
            if output.is_json() {
                output.json(&token)?;
            } else {
                output.line(format!("revoked {id} of {}", text_at(&token, "/name")))?;
            }
        }
        Token::SignOut { caller } => {
            let ended = service.end_sessions(caller).await?;
            if output.is_json() {
                output.json(&ended)?;
            } else {
                let count = ended.get("ended").and_then(Value::as_u64);
                output.line(format!("{} sessions ended", count.unwrap_or_default()))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn created(token: &Value, output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.json(token);
    }
    output.line(text_at(token, "/token"))?;
    let hint = format!(
        "for {} ({}); it is kept nowhere and shown only now; id {}",
        text_at(token, "/name"),
        roles(token),
        text_at(token, "/id"),
    );
    output.line(output.tint(Tone::Faint, hint))
}

fn list(tokens: &[Value], output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.json(&json!({"result": tokens}));
    }
    if tokens.is_empty() {
        return output.line("no tokens: the server listens on loopback only");
    }
    let columns = [
        "id",
        "name",
        "roles",
        "made",
        "last used",
        "ends",
        "revoked",
    ];
    let mut table = Table::new(output, &columns);
    table.at_least(0, 38);
    for token in tokens {
        table.row([
            (Tone::Normal, text_at(token, "/id").to_owned()),
            (Tone::Normal, text_at(token, "/name").to_owned()),
            (Tone::Normal, roles(token)),
            (Tone::Normal, time(text_at(token, "/createdAt"))),
            (Tone::Normal, time(text_at(token, "/lastUsedAt"))),
            (Tone::Normal, time(text_at(token, "/expiresAt"))),
            (Tone::Warn, time(text_at(token, "/revokedAt"))),
        ]);
    }
    table.print(output, 0)
}

fn roles(token: &Value) -> String {
    let roles = list_at(token, "/roles").iter();
    let roles: Vec<&str> = roles.filter_map(Value::as_str).collect();
    roles.join(", ")
}

impl Expiry {
    fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::After(time) => now + time,
            Self::At(time) => time,
        }
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let after = |unit: char, length: fn(i64) -> Option<TimeDelta>| {
            let number = text.strip_suffix(unit)?.parse::<u16>().ok()?;
            length(i64::from(number)).map(Self::After)
        };
        let date = |text: &str| {
            let date = text.parse::<NaiveDate>().ok()?;
            Some(Self::At(date.and_time(NaiveTime::MIN).and_utc()))
        };
        let exact = DateTime::parse_from_rfc3339(text).ok();
        after('d', TimeDelta::try_days)
            .or_else(|| after('h', TimeDelta::try_hours))
            .or_else(|| after('m', TimeDelta::try_minutes))
            .or_else(|| date(text))
            .or_else(|| exact.map(|time| Self::At(time.to_utc())))
            .ok_or_else(|| "expected 30d, 12h, 45m, 2030-01-31 or 2030-01-31T12:00:00Z".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_by_length_date_or_time() {
        let day = "2030-01-31T00:00:00Z".parse().unwrap();
        let noon = "2030-01-31T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("30d", Expiry::After(TimeDelta::days(30))),
            ("12h", Expiry::After(TimeDelta::hours(12))),
            ("45m", Expiry::After(TimeDelta::minutes(45))),
            ("2030-01-31", Expiry::At(day)),
            ("2030-01-31T13:00:00+01:00", Expiry::At(noon)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "d",
            "30",
            "-1d",
            "1w",
            "tomorrow",
            "99999999d",
            "2030-02-30",
        ] {
            assert!(text.parse::<Expiry>().is_err(), "{text}");
        }
    }
}
