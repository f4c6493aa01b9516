//! The limits of a target: how many calls are under way at once, and how close together they begin.
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::settings::Settings;

/// How many calls may wait for each place before new changes are held off, however short they are.
const QUEUE: usize = 10;

/// What a call does, as far as the limits care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// It reads. Reads wait in a line of their own, so that no write waits behind more of them
    /// than there are places.
    Read,
    /// It writes.
    Write,
}

/// Where calls of one target wait for their turn.
#[derive(Debug)]
pub(super) struct Gate {
    /// How many places there are; 0: any number.
    places: usize,
    readers: Arc<Semaphore>,
    callers: Arc<Semaphore>,
    spacing: Duration,
    /// When the next call may begin.
    next: Mutex<Instant>,
    /// How long a call waits at most.
    patience: Duration,
    waiting: AtomicUsize,
    in_flight: Arc<AtomicUsize>,
    held: Arc<Held>,
}

/// A place at the target, for as long as it lives.
#[derive(Debug)]
pub(super) struct Place {
    _permits: Vec<OwnedSemaphorePermit>,
    began: Instant,
    in_flight: Arc<AtomicUsize>,
    held: Arc<Held>,
}

/// How long calls keep their places, in microseconds: a mean in which the latest counts an eighth.
#[derive(Debug, Default)]
struct Held(AtomicU64);

/// Every place was taken for too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Counts a call among the waiting ones while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Gate {
    /// A gate; `patience` is how long a call may wait before it gives up.
    pub(super) fn new(settings: &Settings, patience: Duration, now: Instant) -> Self {
        let places = settings.concurrent.unwrap_or(0);
        let semaphore = || Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self {
            places,
            readers: semaphore(),
            callers: semaphore(),
            spacing: settings.spacing,
            next: Mutex::new(now),
            patience,
            waiting: AtomicUsize::new(0),
            in_flight: Arc::default(),
            held: Arc::default(),
        }
    }

    /// Whether a change may be planned now, or the lines are so long that its calls would wait in vain.
    ///
    /// # Errors
    /// How long to stay away.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = next.saturating_duration_since(now);
        if wait > self.patience {
            return Err(wait - self.patience);
        }
        let wait = self.wait_for_place();
        if wait > self.patience {
            return Err(wait - self.patience);
        }
        if self.places > 0 && self.waiting() >= self.places.saturating_mul(QUEUE) {
            return Err(Duration::from_secs(1));
        }
        Ok(())
    }

    /// How long a call that came now would wait for a place, as far as the latest calls tell.
    fn wait_for_place(&self) -> Duration {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        if self.places == 0 {
            return Duration::ZERO;
        }
        self.held.mean().saturating_mul(count(self.waiting())) / count(self.places)
    }

    /// Waits for a place, then for the time that the rate asks for; that never makes a call fail.
    /// A write that has waited for a place as long as it may goes ahead without one: it belongs to a
    /// change under way, which is not left half done for the sake of a limit. `now` is when the call
    /// came.
    pub(super) async fn enter(&self, call: Call, now: Instant) -> Result<Place, Full> {
        let _waiting = Waiting::new(&self.waiting);
        let permits = match tokio::time::timeout(self.patience, self.permits(call)).await {
            Ok(permits) => permits,
            Err(_) if call == Call::Write => Vec::new(),
            Err(_) => return Err(Full),
        };
        let begin = self.turn(now);
        if begin > now {
            tokio::time::sleep_until(begin).await;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Place {
            _permits: permits,
            began: Instant::now(),
            in_flight: Arc::clone(&self.in_flight),
            held: Arc::clone(&self.held),
        })
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    async fn permits(&self, call: Call) -> Vec<OwnedSemaphorePermit> {
        if self.places == 0 {
            return Vec::new();
        }
        let lines = match call {
            Call::Read => vec![&self.readers, &self.callers],
            Call::Write => vec![&self.callers],
        };
        let mut permits = Vec::with_capacity(lines.len());
        for line in lines {
            // They are never closed.
            permits.extend(Arc::clone(line).acquire_owned().await.ok());
        }
        permits
    }

    /// When a call that came now may begin. It takes the next moment that is free, and waits for it
    /// no longer than it has patience: changes under way go on, and new ones are held off instead.
    fn turn(&self, now: Instant) -> Instant {
        if self.spacing.is_zero() {
            return now;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*next).max(now);
        *next = begin + self.spacing;
        begin.min(now + self.patience)
    }
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Held {
    fn note(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let next = |mean: u64| match mean {
            0 => Some(time),
            mean => Some((mean - mean / 8).saturating_add(time / 8)),
        };
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn mean(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.held.note(self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, poll};

    use super::*;

    fn gate(concurrent: Option<usize>, patience: u64, spacing: u64) -> Gate {
        let settings = Settings {
            circuit: None,
            concurrent,
            spacing: Duration::from_millis(spacing),
        };
        Gate::new(&settings, Duration::from_millis(patience), Instant::now())
    }

    #[tokio::test]
    async fn only_so_many_calls_are_under_way() {
        let gate = gate(Some(2), 20, 0);
        let now = Instant::now();
        let one = gate.enter(Call::Read, now).await.unwrap();
        let _two = gate.enter(Call::Write, now).await.unwrap();
        assert_eq!(gate.in_flight(), 2);
        assert_eq!(gate.enter(Call::Read, now).await.unwrap_err(), Full);
        drop(one);
        let third = gate.enter(Call::Read, now).now_or_never();
        assert_eq!((gate.in_flight(), gate.waiting()), (2, 0));
        drop(third);
        assert_eq!(gate.in_flight(), 1);
    }

    #[tokio::test]
    async fn a_write_goes_ahead_where_no_place_becomes_free() {
        let gate = gate(Some(1), 20, 0);
        let now = Instant::now();
        let _one = gate.enter(Call::Write, now).await.unwrap();
        let mut write = Box::pin(gate.enter(Call::Write, now));
        assert!(poll!(&mut write).is_pending(), "it waits first");
        let _two = write.await.unwrap();
        assert_eq!((gate.in_flight(), gate.waiting()), (2, 0));
        assert_eq!(gate.enter(Call::Read, now).await.unwrap_err(), Full);
    }

    #[tokio::test]
    async fn a_write_overtakes_the_reads_that_have_no_place_yet() {
        let gate = gate(Some(1), 60_000, 0);
        let now = Instant::now();
        let first = gate.enter(Call::Read, now).await.unwrap();
        let mut reads: Vec<_> = (0..3)
            .map(|_| Box::pin(gate.enter(Call::Read, now)))
            .collect();
        for read in &mut reads {
            assert!(poll!(read).is_pending());
        }
        let mut write = Box::pin(gate.enter(Call::Write, now));
        assert!(poll!(&mut write).is_pending());
        assert_eq!(gate.waiting(), 4);
        drop(first);
        for read in &mut reads {
            assert!(poll!(read).is_pending(), "a read overtook the write");
        }
        drop(write.await.unwrap());
        for read in reads {
            drop(read.await.unwrap());
        }
    }

    #[test]
    fn calls_begin_evenly_spaced_and_new_changes_pay_for_those_under_way() {
        let gate = gate(None, 5_000, 2_000);
        let now = Instant::now();
        let waits: Vec<u64> = (0..4).map(|_| (gate.turn(now) - now).as_secs()).collect();
        // The last one has waited long enough.
        assert_eq!(waits, [0, 2, 4, 5]);
        assert_eq!(gate.admit(now), Err(Duration::from_secs(3)));
        assert_eq!(gate.admit(now + Duration::from_secs(3)), Ok(()));
    }

    #[tokio::test]
    async fn a_call_waits_for_its_turn() {
        let gate = gate(None, 60_000, 20);
        let now = Instant::now();
        let _one = gate.enter(Call::Read, now).now_or_never().unwrap();
        let mut two = Box::pin(gate.enter(Call::Write, now));
        assert!(poll!(&mut two).is_pending());
        two.await.unwrap();
        assert!(now.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn changes_are_held_off_where_those_that_wait_take_too_long() {
        let gate = gate(Some(2), 5_000, 0);
        let now = Instant::now();
        let waiting: Vec<_> = (0..6).map(|_| Waiting::new(&gate.waiting)).collect();
        assert_eq!(gate.admit(now), Ok(()));
        gate.held.note(Duration::from_secs(1));
        assert_eq!(gate.admit(now), Ok(()));
        // Six calls of two seconds at two places take six.
        gate.held.note(Duration::from_secs(9));
        assert_eq!(gate.held.mean(), Duration::from_secs(2));
        assert_eq!(gate.admit(now), Err(Duration::from_secs(1)));
        drop(waiting);
        assert_eq!(gate.admit(now), Ok(()));
    }

    #[tokio::test]
    async fn a_call_tells_how_long_it_kept_its_place() {
        let gate = gate(Some(1), 5_000, 0);
        let place = gate.enter(Call::Read, Instant::now()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        drop(place);
        assert!(gate.held.mean() >= Duration::from_millis(2));
    }

    #[tokio::test]
    async fn changes_are_held_off_while_too_many_calls_wait() {
        let gate = gate(Some(1), 5_000, 0);
        let now = Instant::now();
        let _place = gate.enter(Call::Read, now).await.unwrap();
        let waiting: Vec<_> = (0..QUEUE).map(|_| Waiting::new(&gate.waiting)).collect();
        assert_eq!(gate.admit(now), Err(Duration::from_secs(1)));
        drop(waiting);
        assert_eq!(gate.admit(now), Ok(()));
    }
}
