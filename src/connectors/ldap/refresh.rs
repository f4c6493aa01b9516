//! What changed since a cookie, deletions too, by the content synchronization operation (RFC 4533)
//! of servers that have it.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ldap3::{
    LdapResult, Scope, SearchEntry,
    controls::{
        Control, ControlType, EntryState, MakeCritical as _, RefreshMode, SyncDone, SyncInfo,
        SyncRequest, SyncState, parse_syncinfo,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    failure::{Stage, answered},
    memberships,
    session::{Entry, Pool},
    wire::View,
};
use crate::connectors::{Change, Changes, Error, signs};

/// The sync request control.
pub const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";
/// The cookie is too old (RFC 4533, 3.6).
const REFRESH_REQUIRED: u32 = 4096;
/// The server knows the control, but not for these entries (RFC 4511, 4.1.11).
const UNAVAILABLE_HERE: u32 = 12;
/// Of how many entries at most the ids are remembered for each object class.
const MOST_IDS: usize = 200_000;
/// How many tokens back the ids are remembered.
const TOKENS: usize = 3;

/// An entry's own id as the server sends it.
type Uuid = Vec<u8>;
/// The ids of the entries that there were at a token.
type Ids = BTreeMap<Uuid, String>;

/// A token: how far the server has told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    class: String,
    /// The server's cookie in base64.
    sync: String,
}

/// Which entries there were at the latest tokens of each object class. What a server gives may only
/// say which are still there.
#[derive(Debug, Default)]
pub struct Known(Mutex<BTreeMap<String, Vec<(Vec<u8>, Arc<Ids>)>>>);

impl Known {
    fn at(&self, class: &str, cookie: &[u8]) -> Option<Arc<Ids>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tokens = all.get(class)?.iter();
        let found = tokens.find(|(known, _)| known == cookie)?;
        Some(Arc::clone(&found.1))
    }

    fn keep(&self, class: &str, cookie: &[u8], ids: Ids) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = all.entry(class.to_owned()).or_default();
        tokens.retain(|(known, _)| known != cookie);
        if ids.len() <= MOST_IDS {
            tokens.push((cookie.to_vec(), Arc::new(ids)));
        }
        let surplus = tokens.len().saturating_sub(TOKENS);
        tokens.drain(..surplus);
    }
}

/// What a server told.
#[derive(Debug, Default)]
struct Told {
    changed: Vec<(Uuid, Entry)>,
    deleted: BTreeSet<Uuid>,
    /// Those that are there unchanged.
    present: BTreeSet<Uuid>,
    cookie: Option<Vec<u8>>,
    /// Whether whatever is neither changed nor present is gone.
    only_present: bool,
}

/// Whether a token is one of this kind.
#[must_use]
pub fn is_token(text: &str) -> bool {
    serde_json::from_str::<Token>(text).is_ok()
}

/// The newest token of a class; none where the server cannot tell by cookie.
///
/// # Errors
/// Unavailable where the server does not answer.
pub async fn newest(
    pool: &Arc<Pool>,
    known: &Known,
    view: &View<'_>,
    class: &str,
) -> Result<Option<Changes>, Error> {
    if !view.server.knows(SYNC_REQUEST) {
        return Ok(None);
    }
    let wanted = [view.class.id_attribute.as_str()];
    let told = match ask(pool, view, None, &wanted).await? {
        Some(told) => told,
        None => return Ok(None),
    };
    let Some(cookie) = told.cookie else {
        return Ok(None);
    };
    let mut ids = Ids::new();
    for (uuid, entry) in told.changed {
        ids.insert(uuid, view.object(&entry)?.id);
    }
    known.keep(class, &cookie, ids);
    Ok(Some(Changes {
        changes: Vec::new(),
        token: token(class, &cookie),
        more: false,
    }))
}

/// The changes of a class since a token.
///
/// # Errors
/// Refused where the token is none of this class, or the server cannot go on from it.
pub async fn changes(
    pool: &Arc<Pool>,
    known: &Known,
    view: &View<'_>,
    (class, since): (&str, &str),
) -> Result<Changes, Error> {
    let cookie = serde_json::from_str::<Token>(since)
        .ok()
        .filter(|token| token.class == class)
        .and_then(|token| STANDARD.decode(token.sync).ok())
        .ok_or_else(|| begin_anew("this is no token of this object class"))?;
    let told = ask(pool, view, Some(&cookie), &view.wanted()).await?;
    let told =
        told.ok_or_else(|| begin_anew("the server does not tell changes by cookie any more"))?;
    let before = known.at(class, &cookie);
    let gone = gone(view, before.as_deref(), &told)?;
    let mut ids = before.map(|ids| Ids::clone(&ids));
    let mut objects = Vec::with_capacity(told.changed.len());
    for (uuid, entry) in &told.changed {
        let object = view.object(entry)?;
        if let Some(ids) = &mut ids {
            ids.insert(uuid.clone(), object.id.clone());
        }
        objects.push(object);
    }
    memberships::show_all(pool, view, &mut objects).await?;
    let mut changes: Vec<Change> = objects.into_iter().map(Change::Present).collect();
    for (uuid, id) in gone {
        if let Some(ids) = &mut ids {
            ids.remove(&uuid);
        }
        changes.push(Change::Gone(id));
    }
    let cookie = told.cookie.unwrap_or(cookie);
    if let Some(ids) = ids {
        known.keep(class, &cookie, ids);
    }
    Ok(Changes {
        changes,
        token: token(class, &cookie),
        more: false,
    })
}

/// The entries that are there no more, each with the id that it had.
fn gone(view: &View<'_>, before: Option<&Ids>, told: &Told) -> Result<Vec<(Uuid, String)>, Error> {
    let is_there = |uuid: &Uuid| {
        told.present.contains(uuid) || told.changed.iter().any(|(changed, _)| changed == uuid)
    };
    let mut gone: BTreeSet<Uuid> = told.deleted.clone();
    match before {
        Some(before) if told.only_present => {
            gone.extend(before.keys().filter(|uuid| !is_there(uuid)).cloned());
        }
        None if told.only_present => {
            return Err(begin_anew(
                "the server only tells which entries are still there, and this process has not \
                 seen which there were: let it keep a session log (`syncprov-sessionlog`)",
            ));
        }
        _ => {}
    }
    let by_uuid = view.class.id_attribute.eq_ignore_ascii_case("entryUUID");
    let mut named = Vec::with_capacity(gone.len());
    for uuid in gone {
        let id = match before {
            // One that came and went in between was never there for who asks.
            Some(before) => match before.get(&uuid) {
                Some(id) => id.clone(),
                None => continue,
            },
            None => match uuid::Uuid::from_slice(&uuid) {
                Ok(uuid) if by_uuid => uuid.hyphenated().to_string(),
                _ => {
                    return Err(begin_anew(
                        "the server only tells the `entryUUID`s of deleted entries, and this \
                         process has not seen which ids they had",
                    ));
                }
            },
        };
        named.push((uuid, id));
    }
    Ok(named)
}

/// What the server tells since a cookie; none where it cannot tell that.
async fn ask(
    pool: &Arc<Pool>,
    view: &View<'_>,
    cookie: Option<&[u8]>,
    wanted: &[&str],
) -> Result<Option<Told>, Error> {
    let request = SyncRequest {
        mode: RefreshMode::RefreshOnly,
        cookie: cookie.map(<[u8]>::to_vec),
        reload_hint: false,
    };
    let mut lease = pool.lease().await?;
    let (base, filter) = (&view.class.base, &view.class.filter);
    let mut told = Told::default();
    let result = {
        let lost = |error| lease_lost(error, pool);
        let ldap = lease.with_controls(vec![request.critical().into()]);
        let mut stream = ldap
            .streaming_search(base, Scope::Subtree, filter, wanted)
            .await
            .map_err(lost)?;
        while let Some(message) = stream.next().await.map_err(lost)? {
            signs::further();
            if message.is_intermediate() {
                told.note(parse_syncinfo(message));
            } else if !message.is_ref() {
                told.add(message);
            }
        }
        stream.finish().await
    };
    signs::answered();
    match result.rc {
        0 => {}
        UNAVAILABLE_HERE => {
            lease.give_back();
            return Ok(None);
        }
        REFRESH_REQUIRED => return Err(begin_anew("the server cannot go on from this token")),
        _ => return Err(answered(&result, Stage::Harmless)),
    }
    lease.give_back();
    let Some(done) = done(&result) else {
        return Ok(None);
    };
    told.only_present |=
        cookie.is_some() && !done.refresh_deletes && !told.is_silent(cookie, &done);
    told.cookie = done.cookie.or(told.cookie);
    Ok(Some(told))
}

fn lease_lost(error: ldap3::LdapError, pool: &Pool) -> Error {
    super::failure::broken(error, Stage::Harmless, &pool.place())
}

impl Told {
    fn add(&mut self, message: ldap3::ResultEntry) {
        let state = message.1.iter().find_map(|control| match control {
            Control(Some(ControlType::SyncState), raw) if raw.val.is_some() => {
                Some(raw.parse::<SyncState>())
            }
            _ => None,
        });
        let Some(SyncState {
            state,
            entry_uuid,
            cookie,
        }) = state
        else {
            return;
        };
        self.cookie = cookie.or(self.cookie.take());
        match state {
            EntryState::Present => drop(self.present.insert(entry_uuid)),
            EntryState::Delete => drop(self.deleted.insert(entry_uuid)),
            EntryState::Add | EntryState::Modify => {
                let entry = Entry::new(SearchEntry::construct(message));
                self.changed.push((entry_uuid, entry));
            }
        }
    }

    fn note(&mut self, info: SyncInfo) {
        let cookie = match info {
            SyncInfo::NewCookie(cookie) => Some(cookie),
            SyncInfo::RefreshDelete { cookie, .. } => cookie,
            SyncInfo::RefreshPresent { cookie, .. } => {
                self.only_present = true;
                cookie
            }
            SyncInfo::SyncIdSet {
                cookie,
                refresh_deletes,
                sync_uuids,
            } => {
                match refresh_deletes {
                    true => self.deleted.extend(sync_uuids),
                    false => self.present.extend(sync_uuids),
                }
                cookie
            }
        };
        self.cookie = cookie.or(self.cookie.take());
    }

    /// Whether the server said nothing but that nothing has changed.
    fn is_silent(&self, asked: Option<&[u8]>, done: &SyncDone) -> bool {
        let is_old = done.cookie.is_none() || done.cookie.as_deref() == asked;
        is_old && self.changed.is_empty() && self.deleted.is_empty() && self.present.is_empty()
    }
}

fn done(result: &LdapResult) -> Option<SyncDone> {
    result.ctrls.iter().find_map(|control| match control {
        Control(Some(ControlType::SyncDone), raw) if raw.val.is_some() => {
            Some(raw.parse::<SyncDone>())
        }
        _ => None,
    })
}

fn token(class: &str, cookie: &[u8]) -> String {
    let token = Token {
        class: class.to_owned(),
        sync: STANDARD.encode(cookie),
    };
    serde_json::to_string(&token).unwrap_or_default()
}

fn begin_anew(why: &str) -> Error {
    Error::refused(410, format!("{why}: begin anew without a token"))
}
