//! Reading an object class in full: what its changes told does not count any more.
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    clock::SharedClock,
    connectors::Change,
    mapping::Deletions,
    model::{
        Filter,
        integration::rules::Switch,
        recon::{HeldBack, Syncable},
    },
    store::{LiveToken, Sequence},
    sync::Engine,
};

use super::{
    live::{Error, Through, Watched, of_changes},
    receive::{Known, Received, Source, receive},
};

/// How many records are read at a time.
const PAGE: usize = 500;
/// After how long a class whose deletions are held back is listed again: its source may have been
/// mended meanwhile.
const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(10);

/// Whether a class waits for somebody's word before it is read in full.
pub(super) fn waits(stands: &Syncable, now: DateTime<Utc>) -> bool {
    let held = stands.held_back.as_ref();
    held.is_some_and(|held| {
        let is_asked_anew = held.resets != stands.resets;
        held.approved_by.is_none() && !is_asked_anew && now < held.at + LOOK_AGAIN
    })
}

/// Brings in every record of a class once more, and tells of those that are gone, unless these are
/// too many; live sync goes on from the moment before. One that stops halfway begins anew.
pub(super) async fn refill(
    engine: &Engine,
    clock: &SharedClock,
    watched: &Watched,
    switch: Switch,
    stands: &Syncable,
) -> Result<(), Error> {
    let class = watched.container();
    let store = engine.store();
    let now = clock.now();
    let mut there = listed(engine, watched).await?;
    if let Some(held) = too_many_gone(engine, watched, stands, &there, now).await? {
        tracing::warn!(%class, reason = held.because, "a class is not read in full");
        let name = class.to_string();
        let hold = store.change_syncable(&name, |syncable| {
            syncable.held_back = Some(held.clone());
        });
        hold.await?;
        return Ok(());
    }
    let transaction_id = clock.fresh_id().to_string();
    let source = Source {
        connector: &watched.connector,
        switch,
        transaction_id: &transaction_id,
        known: Known::Again,
        sequence: Sequence::AsTold,
    };
    tracing::info!(%class, "all records of a class are brought in once more");
    let before = store.live_token(&watched.connector, &watched.class).await?;
    // What changes from here on is told by the token.
    let after = engine.changes(&class, None).await?.token;
    let version = engine.version_of(&class);
    let mut cursor = None;
    loop {
        let page = engine
            .list(&class, &Filter::Literal(true), cursor, PAGE)
            .await?;
        there.extend(page.objects.iter().map(|found| mark(&found.id)));
        let found = page.objects.into_iter().map(Change::Present).collect();
        let received = of_changes(watched, found, now);
        receive(engine, clock.as_ref(), source, received, None).await?;
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut behind = None;
    while let Some(known) = next_known(engine, watched, &mut behind).await? {
        // What was there when the gone were counted is told by the token if it has gone since.
        let gone = known.into_iter().filter(|id| !there.contains(&mark(id)));
        let gone = gone.map(Change::Gone).collect();
        let received: Vec<Received> = of_changes(watched, gone, now);
        receive(engine, clock.as_ref(), source, received, None).await?;
    }
    let moved = LiveToken {
        connector: watched.connector.clone(),
        class: watched.class.clone(),
        before,
        after,
    };
    receive(engine, clock.as_ref(), source, Vec::new(), Some(&moved)).await?;
    let through = Through {
        start: None,
        end: now,
        version,
    };
    let answered = stands.resets;
    let name = class.to_string();
    let noted = store.change_syncable(&name, |syncable| {
        syncable.answered_resets = answered;
        syncable.held_back = None;
        if syncable.resets == answered {
            through.mark(syncable);
        }
    });
    noted.await?;
    Ok(())
}

/// The marks of all records that the source lists.
async fn listed(engine: &Engine, watched: &Watched) -> Result<HashSet<u64>, Error> {
    let class = watched.container();
    let all = Filter::Literal(true);
    let (mut cursor, mut there) = (None, HashSet::new());
    loop {
        let ids = engine.list_ids(&class, &all, cursor.clone(), PAGE).await?;
        cursor = if let Some(page) = ids {
            there.extend(page.ids.iter().map(|id| mark(id)));
            page.cursor
        } else {
            let page = engine.list(&class, &all, cursor, PAGE).await?;
            there.extend(page.objects.iter().map(|found| mark(&found.id)));
            page.cursor
        };
        if cursor.is_none() {
            return Ok(there);
        }
    }
}

/// Why the records that are gone are held back, where they are; counted before anything is stored.
/// Who approved them approved their number.
async fn too_many_gone(
    engine: &Engine,
    watched: &Watched,
    stands: &Syncable,
    there: &HashSet<u64>,
    now: DateTime<Utc>,
) -> Result<Option<HeldBack>, Error> {
    let (mut known, mut gone, mut behind) = (0, 0, None);
    while let Some(page) = next_known(engine, watched, &mut behind).await? {
        known += page.len() as u64;
        let missing = page.iter().filter(|id| !there.contains(&mark(id)));
        gone += missing.count() as u64;
    }
    let approved = stands.held_back.as_ref();
    let approved = approved.filter(|held| held.approved_by.is_some());
    if gone == 0 || approved.is_some_and(|held| gone <= held.gone) {
        return Ok(None);
    }
    let (bounds, may_be_empty) = engine.deletion_bounds_of(&watched.container());
    let deletions = Deletions {
        count: gone,
        of: known,
        kind: "known records",
    };
    let because = if there.is_empty() && !may_be_empty {
        Some("the source lists no records at all (allowEmptySourceSet)".to_owned())
    } else {
        bounds.passed(deletions, &[])
    };
    Ok(because.map(|because| HeldBack {
        because,
        gone,
        at: now,
        resets: stands.resets,
        approved_by: None,
    }))
}

/// The next ids of which there is a copy; none behind the last.
async fn next_known(
    engine: &Engine,
    watched: &Watched,
    behind: &mut Option<String>,
) -> Result<Option<Vec<String>>, Error> {
    let (connector, class) = (&watched.connector, &watched.class);
    let store = engine.store();
    let known = store.copied_ids(connector, class, behind.as_deref(), PAGE);
    let known = known.await?;
    let Some(last) = known.last() else {
        return Ok(None);
    };
    *behind = Some(last.clone());
    Ok(Some(known))
}

/// Tells an id from others in few bytes: every id of a large class is held until the end.
fn mark(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
