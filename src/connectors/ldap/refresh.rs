//! What changed since a cookie, deletions too, by the content synchronization operation (RFC 4533)
//! of servers that have it.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ldap3::{
    LdapResult, Scope,
    controls::{
        Control, ControlType, EntryState, MakeCritical as _, RefreshMode, SyncDone, SyncInfo,
        SyncRequest, SyncState, parse_syncinfo,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    answers,
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

/// Since when this process has seen which entries there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Since the token.
    SinceThen,
    /// Since this call.
    SinceNow,
}

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
pub struct Known(Mutex<BTreeMap<String, Latest>>);

/// Cookies, the oldest first, and which entries there were.
type Latest = Vec<(Vec<u8>, Arc<Ids>)>;

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
    let (ids, Some(cookie)) = all_ids(pool, view).await? else {
        return Ok(None);
    };
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
    let (before, seen) = match known.at(class, &cookie) {
        Some(ids) => (Ids::clone(&ids), Seen::SinceThen),
        // Another process has asked before: from now on this one knows which entries there are.
        None => (all_ids(pool, view).await?.0, Seen::SinceNow),
    };
    let told = ask(pool, view, Some(&cookie), &view.wanted()).await?;
    let told =
        told.ok_or_else(|| begin_anew("the server does not tell changes by cookie any more"))?;
    let gone = gone(view, class, (&before, seen), &told);
    let mut ids = before;
    let mut objects = Vec::with_capacity(told.changed.len());
    for (uuid, entry) in &told.changed {
        let object = view.object(entry)?;
        ids.insert(uuid.clone(), object.id.clone());
        objects.push(object);
    }
    memberships::show_all(pool, view, &mut objects).await?;
    let mut changes: Vec<Change> = objects.into_iter().map(Change::Present).collect();
    for (uuid, id) in gone {
        ids.remove(&uuid);
        changes.push(Change::Gone(id));
    }
    let cookie = told.cookie.unwrap_or(cookie);
    known.keep(class, &cookie, ids);
    Ok(Changes {
        changes,
        token: token(class, &cookie),
        more: false,
    })
}

/// Which entries there are, and the cookie of this moment; none where the server cannot tell that.
async fn all_ids(pool: &Arc<Pool>, view: &View<'_>) -> Result<(Ids, Option<Vec<u8>>), Error> {
    let wanted = [view.class.id_attribute.as_str()];
    let told = ask(pool, view, None, &wanted).await?.unwrap_or_default();
    let mut ids = Ids::new();
    for (uuid, entry) in told.changed {
        ids.insert(uuid, view.object(&entry)?.id);
    }
    Ok((ids, told.cookie))
}

/// The entries that are there no more, each with the id that it had, as far as that is known.
fn gone(
    view: &View<'_>,
    class: &str,
    (before, seen): (&Ids, Seen),
    told: &Told,
) -> Vec<(Uuid, String)> {
    let changed: BTreeSet<&Uuid> = told.changed.iter().map(|(uuid, _)| uuid).collect();
    let is_gone = |uuid: &Uuid| {
        let is_left_out = !told.present.contains(uuid) && !changed.contains(uuid);
        told.deleted.contains(uuid) || (told.only_present && is_left_out)
    };
    let known = before.iter().filter(|(uuid, _)| is_gone(uuid));
    let mut gone: Vec<(Uuid, String)> =
        known.map(|(uuid, id)| (uuid.clone(), id.clone())).collect();
    // One that came and went since the token was never there for who asks.
    if seen == Seen::SinceThen {
        return gone;
    }
    let by_uuid = view.class.id_attribute.eq_ignore_ascii_case("entryUUID");
    let unseen = told
        .deleted
        .iter()
        .filter(|uuid| !before.contains_key(*uuid));
    let unseen: Vec<&Uuid> = unseen.collect();
    if told.only_present || (!by_uuid && !unseen.is_empty()) {
        tracing::warn!(
            class,
            "entries may have been deleted before this process began to look: a reconciliation \
             finds them; a session log of the server (`syncprov-sessionlog`) lets it tell"
        );
    }
    for uuid in unseen.into_iter().filter(|_| by_uuid) {
        if let Ok(id) = uuid::Uuid::from_slice(uuid) {
            gone.push((uuid.clone(), id.hyphenated().to_string()));
        }
    }
    gone
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
            let unreadable = || answers::unreadable(&pool.place());
            if message.is_intermediate() {
                let info = answers::read(|| parse_syncinfo(message));
                told.note(info.ok_or_else(unreadable)?);
            } else if !message.is_ref() {
                told.add(message, &pool.place())?;
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
    fn add(&mut self, message: ldap3::ResultEntry, place: &str) -> Result<(), Error> {
        let state = message.1.iter().find_map(|control| match control {
            Control(Some(ControlType::SyncState), raw) if raw.val.is_some() => {
                Some(answers::read(|| raw.parse::<SyncState>()))
            }
            _ => None,
        });
        let Some(state) = state else {
            return Ok(());
        };
        let Some(SyncState {
            state,
            entry_uuid,
            cookie,
        }) = state
        else {
            return Err(answers::unreadable(place));
        };
        self.cookie = cookie.or(self.cookie.take());
        match state {
            EntryState::Present => drop(self.present.insert(entry_uuid)),
            EntryState::Delete => drop(self.deleted.insert(entry_uuid)),
            EntryState::Add | EntryState::Modify => {
                let entry = answers::entry(message, place)?;
                self.changed.push((entry_uuid, entry));
            }
        }
        Ok(())
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
            answers::read(|| raw.parse::<SyncDone>())
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
