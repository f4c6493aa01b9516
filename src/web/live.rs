//! Tells open pages that something has changed, by server-sent events; the pages then load their
//! parts anew themselves.
//!
//! One look at the store serves all open pages. A stream tells no values, and still asks again and
//! again whether its reader may be there.
use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    Pages,
    guard::Visit,
    trouble::{Result, Trouble},
};
use crate::app::cookies::Cookie;

/// How often it is looked whether something has changed.
const LOOK: Duration = Duration::from_secs(1);
/// After how many looks a page that ticks is told in any case.
const TICK: u64 = 4;
/// How long a stream goes on without asking whether its reader may still be there.
const TRUSTED: Duration = Duration::from_secs(5);
/// After how long the browser has to come back.
const LIFETIME: Duration = Duration::from_secs(600);

/// What all open pages are told from.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    beats: watch::Sender<Beat>,
    is_looking: AtomicBool,
}

/// How often something had changed, and how often it was looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Beat {
    moves: u64,
    looks: u64,
}

/// Where a stream stands.
struct Stream {
    pages: Pages,
    visit: Visit,
    beats: watch::Receiver<Beat>,
    told: Beat,
    ticks: bool,
    began: Instant,
    checked: Instant,
    over: bool,
    _place: OwnedSemaphorePermit,
}

/// Tells of changes for ten minutes; browsers come back by themselves.
pub(super) async fn stream(State(pages): State<Pages>, visit: Visit) -> Result<Response> {
    let place = pages.watching.clone().try_acquire_owned();
    let place = place.map_err(|_| Trouble::new(503, "Too many pages are kept up to date."))?;
    let beats = pages.pulse.beats.subscribe();
    let told = *beats.borrow();
    look_on(&pages);
    let stream = Stream {
        ticks: visit.query().get("live") == Some("tick"),
        told,
        beats,
        visit,
        pages,
        began: Instant::now(),
        checked: Instant::now(),
        over: false,
        _place: place,
    };
    let events = stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

/// Begins to look at the store, if nobody does; ends when no page is open any more.
fn look_on(pages: &Pages) {
    if pages.pulse.is_looking.swap(true, Ordering::SeqCst) {
        return;
    }
    let pages = pages.clone();
    tokio::spawn(async move {
        let pulse = &pages.pulse;
        let mut last = pages.app.pulse().await.ok();
        loop {
            tokio::time::sleep(LOOK).await;
            if pages.is_draining() || pulse.beats.receiver_count() == 0 {
                pulse.is_looking.store(false, Ordering::SeqCst);
                // Somebody may have come just now and have seen that this goes on.
                let came = pulse.beats.receiver_count() > 0 && !pages.is_draining();
                if !came || pulse.is_looking.swap(true, Ordering::SeqCst) {
                    // Streams that wait learn that nothing more comes.
                    pulse.beats.send_modify(|beat| beat.looks += 1);
                    return;
                }
            }
            let now = pages.app.pulse().await.ok();
            let moved = now.is_some() && now != last;
            last = now.or(last);
            pulse.beats.send_modify(|beat| {
                beat.looks += 1;
                beat.moves += u64::from(moved);
            });
        }
    });
}

impl Stream {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.over || self.pages.is_draining() || self.began.elapsed() >= LIFETIME {
                return None;
            }
            self.beats.changed().await.ok()?;
            let beat = *self.beats.borrow_and_update();
            let moved = beat.moves != self.told.moves;
            let tells = moved || (self.ticks && beat.looks >= self.told.looks + TICK);
            if tells || self.checked.elapsed() >= TRUSTED {
                if !self.may_stay().await {
                    self.over = true;
                    return Some(Event::default().event("ended").data("1"));
                }
                self.checked = Instant::now();
            }
            if tells {
                self.told = beat;
                return Some(Event::default().event("changed").data("1"));
            }
        }
    }

    /// Whether the reader's session lasts, with the roles that it had: pages show more or less with
    /// others. That a page is open keeps no session alive.
    async fn may_stay(&self) -> bool {
        let secret = self.visit.cookie(Cookie::Session);
        let arrival = self.visit.arrival();
        let session = self.pages.app.session_in_passing(&arrival, secret).await;
        match session {
            Ok(Some(now)) => Some(&now.identity) == self.visit.session().map(|one| &one.identity),
            Ok(None) => false,
            // While the store is silent nothing is told either.
            Err(error) => error.code == 503,
        }
    }
}
