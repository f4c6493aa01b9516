//! What changed since a token: by the server's own cookie where it has that, deletions too, and
//! otherwise by the time that it notes at each change, which says nothing of deleted entries.
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use ldap3::controls::PagedResults;
use serde_json::{Value, json};

use super::{
    filter::of_class,
    memberships,
    refresh::{self, Known},
    session::{Entry, Pool},
    wire::{CHANGE_NUMBER, CHANGE_TIME, View},
};
use crate::{
    connectors::{Change, Changes, Error, signs, watermark::Watermark},
    model::{Object, TargetObject},
};

/// How many changes are told at once.
const MOST: usize = 1000;
/// How many entries the server is asked for at once.
const BATCH: i32 = 500;
/// How long the server may take from noting the time of a change to showing it, in seconds.
const LATE: f64 = 5.0;
/// What tells one change of an entry from another within a second, besides the change number: what
/// Active Directory has instead of it.
const UPDATE_NUMBER: &str = "uSNChanged";

/// An entry that changed, and what tells this change of it from every other.
struct Changed {
    mark: TargetObject,
    entry: Entry,
}

/// The changes of a class since a token; without one only the newest token.
///
/// # Errors
/// Refused where the token is none, or the server does not show when entries changed.
pub async fn changes(
    pool: &Arc<Pool>,
    known: &Known,
    view: &View<'_>,
    (class, since): (&str, Option<&str>),
) -> Result<Changes, Error> {
    match since {
        Some(since) if refresh::is_token(since) => {
            refresh::changes(pool, known, view, (class, since)).await
        }
        Some(since) => by_time(pool, view, (class, since)).await,
        None => match refresh::newest(pool, known, view, class).await? {
            Some(newest) => Ok(newest),
            None => newest(pool, view, class).await,
        },
    }
}

async fn by_time(
    pool: &Arc<Pool>,
    view: &View<'_>,
    (class, since): (&str, &str),
) -> Result<Changes, Error> {
    let mut mark = Watermark::from_token(class, CHANGE_TIME, since)?;
    let filter = match mark.from(LATE).as_ref().and_then(generalized) {
        Some(from) => of_class(view, &format!("({CHANGE_TIME}>={from})")),
        None => view.class.filter.clone(),
    };
    let mut wanted = view.wanted();
    wanted.extend([CHANGE_TIME, UPDATE_NUMBER]);
    let mut found = all(pool, view, &filter, &wanted).await?;
    found.retain(|changed| !mark.is_past(&changed.mark));
    let mut more = false;
    let mut told = Vec::new();
    let mut left = found.len();
    for Changed { mark: state, entry } in found {
        left -= 1;
        if mark.note(&state) {
            told.push(view.object(&entry)?);
        }
        if told.len() == MOST && left > 0 {
            mark.stop_at(&state);
            more = true;
            break;
        }
    }
    if !more {
        mark.end(LATE);
    }
    memberships::show_all(pool, view, &mut told).await?;
    Ok(Changes {
        changes: told.into_iter().map(Change::Present).collect(),
        token: mark.to_token(),
        more,
    })
}

/// The token of this moment: everything that is visible now counts as told.
async fn newest(pool: &Arc<Pool>, view: &View<'_>, class: &str) -> Result<Changes, Error> {
    let wanted = [CHANGE_TIME, CHANGE_NUMBER, UPDATE_NUMBER];
    let mut mark = Watermark::new(class, CHANGE_TIME);
    for changed in all(pool, view, &view.class.filter, &wanted).await? {
        mark.note(&changed.mark);
    }
    mark.end(LATE);
    Ok(Changes {
        changes: Vec::new(),
        token: mark.to_token(),
        more: false,
    })
}

/// All that a filter finds, in the order of their changes.
async fn all(
    pool: &Arc<Pool>,
    view: &View<'_>,
    filter: &str,
    wanted: &[&str],
) -> Result<Vec<Changed>, Error> {
    let base = &view.class.base;
    let mut entries = Vec::new();
    if view.server.pages() {
        let mut lease = pool.lease().await?;
        let mut cookie = Vec::new();
        loop {
            let page = PagedResults {
                size: BATCH,
                cookie,
            };
            let found = lease.page(base, filter, wanted, page).await?;
            signs::further();
            entries.extend(found.entries);
            cookie = found.cookie;
            if cookie.is_empty() {
                lease.give_back();
                break;
            }
        }
    } else {
        let scope = ldap3::Scope::Subtree;
        entries = pool.search(base, scope, filter, wanted).await?;
    }
    let changed = entries.into_iter().map(Changed::of);
    let mut changed = changed.collect::<Result<Vec<_>, Error>>()?;
    let key = |one: &Changed| {
        (
            one.mark.attributes.get(CHANGE_TIME).map(Value::to_string),
            one.mark.id.clone(),
        )
    };
    changed.sort_by_cached_key(key);
    Ok(changed)
}

impl Changed {
    fn of(entry: Entry) -> Result<Self, Error> {
        let text = entry.texts(CHANGE_TIME).into_iter().next();
        let time = text.as_deref().and_then(moment).ok_or_else(|| {
            let message = format!(
                "{} does not show when it changed (`{CHANGE_TIME}`): let the account read it",
                entry.dn
            );
            Error::refused(501, message)
        })?;
        let numbers = [CHANGE_NUMBER, UPDATE_NUMBER].map(|name| entry.texts(name).join(" "));
        let mut attributes = Object::new();
        attributes.insert(CHANGE_TIME.to_owned(), json!(time));
        Ok(Self {
            mark: TargetObject {
                id: format!("{} {}", numbers.join(" ").trim(), entry.dn),
                attributes,
                version: None,
            },
            entry,
        })
    }
}

/// A time as the server writes it (RFC 4517, 3.3.13), to the second, in the form of RFC 3339.
fn moment(text: &str) -> Option<String> {
    let time = NaiveDateTime::parse_from_str(text.get(..14)?, "%Y%m%d%H%M%S").ok()?;
    Some(time.and_utc().to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The same the other way round.
fn generalized(time: &Value) -> Option<String> {
    let time = DateTime::parse_from_rfc3339(time.as_str()?).ok()?;
    Some(time.to_utc().format("%Y%m%d%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_change_their_form_and_nothing_else() {
        for (text, time) in [
            ("20261231235959Z", "2026-12-31T23:59:59Z"),
            ("20270101000002.5Z", "2027-01-01T00:00:02Z"),
        ] {
            assert_eq!(moment(text).as_deref(), Some(time));
        }
        assert_eq!(moment("yesterday"), None);
        let mut mark = Watermark::new("a", CHANGE_TIME);
        let mut attributes = Object::new();
        attributes.insert(CHANGE_TIME.to_owned(), json!("2027-01-01T00:00:02Z"));
        mark.note(&TargetObject {
            id: "1".to_owned(),
            attributes,
            version: None,
        });
        let from = mark.from(LATE).unwrap();
        assert_eq!(generalized(&from).as_deref(), Some("20261231235957Z"));
    }
}
