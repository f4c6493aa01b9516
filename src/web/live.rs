//! Tells open pages that something has changed, by server-sent events; the pages then load their
//! parts anew themselves.
use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Pages,
    guard::Visit,
    trouble::{Result, Trouble},
};

/// How often it is looked whether something has changed.
const LOOK: Duration = Duration::from_secs(1);
/// After how many looks a page that ticks is told in any case.
const TICK: u32 = 4;
/// After how many looks the browser has to come back: sessions end, rights change.
const LIFETIME: u32 = 600;

/// Where a stream stands.
struct Stream {
    pages: Pages,
    pulse: Option<i64>,
    ticks: bool,
    looks: u32,
    _place: OwnedSemaphorePermit,
}

/// Tells of changes for ten minutes; browsers come back by themselves.
pub(super) async fn stream(State(pages): State<Pages>, visit: Visit) -> Result<Response> {
    let place = pages.watching.clone().try_acquire_owned();
    let place = place.map_err(|_| Trouble::new(503, "Too many pages are kept up to date."))?;
    let stream = Stream {
        ticks: visit.query().get("live") == Some("tick"),
        pulse: pages.app.pulse().await.ok(),
        pages,
        looks: 0,
        _place: place,
    };
    let events = stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

impl Stream {
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::time::sleep(LOOK).await;
            self.looks += 1;
            if self.pages.is_draining() || self.looks > LIFETIME {
                return None;
            }
            let pulse = self.pages.app.pulse().await.ok();
            let moved = pulse.is_some() && pulse != self.pulse;
            if moved {
                self.pulse = pulse;
            }
            if moved || (self.ticks && self.looks.is_multiple_of(TICK)) {
                return Some(Event::default().event("changed").data("1"));
            }
        }
    }
}
