//! What changed since a token, by the time that the server notes at each change.
//!
//! A deleted entry leaves nothing behind that says so: deletions are not seen.
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use chrono::{Duration, NaiveDateTime};
use ldap3::controls::PagedResults;
use serde::{Deserialize, Serialize};

use super::{
    filter::of_class,
    session::{Entry, Pool},
    wire::{CHANGE_NUMBER, CHANGE_TIME, View},
};
use crate::connectors::{Change, Changes, Error};

/// How many changes are told at once.
const MOST: usize = 1000;
/// How many entries the server is asked for at once.
const BATCH: i32 = 500;
/// How long the server may take from noting the time of a change to showing it.
const LATE: i64 = 5;

/// How far the changes were told: to which second, and which of those about it, because more may
/// have happened then than was visible.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Token {
    /// As the server writes it (RFC 4517, 3.3.13), to the second.
    until: String,
    told: BTreeSet<u64>,
}

impl Token {
    fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::refused(410, "this is no token of this object class: begin anew");
        let token: Self = serde_json::from_str(text).map_err(|_| wrong())?;
        moment(&token.until).map(|_| token).ok_or_else(wrong)
    }

    fn text(&self) -> Result<String, Error> {
        serde_json::to_string(self)
            .map_err(|error| Error::refused(500, "the token cannot be written").because(error))
    }
}

/// The changes of a class since a token; without one only the newest token.
///
/// # Errors
/// Refused where the token is none, or the server does not show when entries changed.
pub async fn changes(
    pool: &Arc<Pool>,
    view: &View<'_>,
    since: Option<&str>,
) -> Result<Changes, Error> {
    let Some(since) = since else {
        return newest(pool, view).await;
    };
    let mut token = Token::parse(since)?;
    let from = from(&token.until);
    let filter = of_class(view, &format!("({CHANGE_TIME}>={from})"));
    let mut wanted = view.wanted();
    wanted.push(CHANGE_TIME);
    let mut found = all(pool, view, &filter, &wanted).await?;
    found.retain(|entry| !token.told.contains(&print(entry)));
    found.sort_by_key(order);
    let more = found.len() > MOST;
    found.truncate(MOST);
    let mut told = Vec::with_capacity(found.len());
    for entry in &found {
        told.push(Change::Present(view.object(entry)?));
        token.told.insert(print(entry));
    }
    if let Some(last) = found.last().map(time).transpose()? {
        token.until = last.max(token.until);
    }
    if !more {
        // Only those that the next call would find again need be known.
        let filter = of_class(
            view,
            &format!("({CHANGE_TIME}>={})", self::from(&token.until)),
        );
        let recent = all(pool, view, &filter, &[CHANGE_TIME, CHANGE_NUMBER]).await?;
        let recent: BTreeSet<u64> = recent.iter().map(print).collect();
        token.told.retain(|print| recent.contains(print));
    }
    Ok(Changes {
        changes: told,
        token: token.text()?,
        more,
    })
}

/// The token of this moment: everything that is visible now counts as told.
async fn newest(pool: &Arc<Pool>, view: &View<'_>) -> Result<Changes, Error> {
    let entries = all(
        pool,
        view,
        &view.class.filter,
        &[CHANGE_TIME, CHANGE_NUMBER],
    )
    .await?;
    let mut token = Token {
        until: "19700101000000Z".to_owned(),
        told: BTreeSet::new(),
    };
    for entry in &entries {
        token.until = time(entry)?.max(token.until);
    }
    let from = from(&token.until);
    let recent = entries
        .iter()
        .filter(|entry| time(entry).is_ok_and(|time| time >= from));
    token.told = recent.map(print).collect();
    Ok(Changes {
        changes: Vec::new(),
        token: token.text()?,
        more: false,
    })
}

async fn all(
    pool: &Arc<Pool>,
    view: &View<'_>,
    filter: &str,
    wanted: &[&str],
) -> Result<Vec<Entry>, Error> {
    let base = &view.class.base;
    if !view.server.pages() {
        return pool
            .search(base, ldap3::Scope::Subtree, filter, wanted)
            .await;
    }
    let mut lease = pool.lease().await?;
    let mut entries = Vec::new();
    let mut cookie = Vec::new();
    loop {
        let page = PagedResults {
            size: BATCH,
            cookie,
        };
        let found = lease.page(base, filter, wanted, page).await?;
        entries.extend(found.entries);
        cookie = found.cookie;
        if cookie.is_empty() {
            lease.give_back();
            return Ok(entries);
        }
    }
}

fn moment(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text.get(..14)?, "%Y%m%d%H%M%S").ok()
}

/// From when on the changes about a time are looked for.
fn from(until: &str) -> String {
    let earlier = moment(until).and_then(|time| time.checked_sub_signed(Duration::seconds(LATE)));
    earlier.map_or_else(
        || until.to_owned(),
        |time| time.format("%Y%m%d%H%M%SZ").to_string(),
    )
}

/// When an entry changed, to the second.
fn time(entry: &Entry) -> Result<String, Error> {
    let text = entry.texts(CHANGE_TIME).into_iter().next();
    let time = text.as_deref().and_then(moment).ok_or_else(|| {
        let message = format!(
            "{} does not show when it changed (`{CHANGE_TIME}`): let the account read it",
            entry.dn
        );
        Error::refused(501, message)
    })?;
    Ok(time.format("%Y%m%d%H%M%SZ").to_string())
}

fn order(entry: &Entry) -> (Vec<String>, Vec<String>) {
    (entry.texts(CHANGE_TIME), entry.texts(CHANGE_NUMBER))
}

/// What tells one change of one entry from every other.
fn print(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&entry.dn, order(entry)).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_begins_before_the_last_second() {
        assert_eq!(from("20261231235959Z"), "20261231235954Z");
        assert_eq!(from("20270101000002.5Z"), "20261231235957Z");
        assert!(Token::parse("{\"until\":\"yesterday\",\"told\":[]}").is_err());
        assert!(Token::parse("7").is_err());
        let token = Token {
            until: "20261231235959Z".to_owned(),
            told: BTreeSet::from([1, u64::MAX]),
        };
        let back = Token::parse(&token.text().unwrap()).unwrap();
        assert_eq!((back.until, back.told), (token.until, token.told));
    }
}
