//! Reading an object class in full: what its changes told does not count any more.
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::{
    clock::SharedClock,
    connectors::Change,
    model::{Filter, integration::rules::Switch, recon::Syncable},
    store::LiveToken,
    sync::Engine,
};

use super::{
    live::{Error, Through, Watched, of_change},
    receive::{Known, Received, Source, receive},
};

/// How many records are read at a time.
const PAGE: usize = 500;

/// Brings in every record of a class once more, and tells of those that are gone; live sync goes on
/// from the moment before. One that stops halfway begins anew.
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
    let transaction_id = clock.fresh_id().to_string();
    let source = Source {
        connector: &watched.connector,
        switch,
        transaction_id: &transaction_id,
        known: Known::Again,
    };
    tracing::info!(%class, "all records of a class are brought in once more");
    let before = store.live_token(&watched.connector, &watched.class).await?;
    // What changes from here on is told by the token.
    let after = engine.changes(&class, None).await?.token;
    let version = engine.version_of(&class);
    let (mut cursor, mut there) = (None, HashSet::new());
    loop {
        let page = engine
            .list(&class, &Filter::Literal(true), cursor, PAGE)
            .await?;
        there.extend(page.objects.iter().map(|found| mark(&found.id)));
        let found = page.objects.into_iter().map(Change::Present);
        let received: Vec<Received> = found.map(|one| of_change(watched, one, now)).collect();
        receive(engine, clock.as_ref(), source, received, None).await?;
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut behind = None::<String>;
    loop {
        let (connector, name) = (&watched.connector, &watched.class);
        let known = store.copied_ids(connector, name, behind.as_deref(), PAGE);
        let known = known.await?;
        behind = known.last().cloned();
        let gone = known.iter().filter(|id| !there.contains(&mark(id)));
        let gone: Vec<Received> = gone
            .map(|id| of_change(watched, Change::Gone(id.clone()), now))
            .collect();
        receive(engine, clock.as_ref(), source, gone, None).await?;
        if known.len() < PAGE {
            break;
        }
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
        if syncable.resets == answered {
            through.mark(syncable);
        }
    });
    noted.await?;
    Ok(())
}

/// Tells an id from others in few bytes: every id of a large class is held until the end.
fn mark(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
