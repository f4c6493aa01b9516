//! What a call under way lets its caller know: that the target has answered it, that a call of many
//! requests has come further, and whether a write has been sent yet.
//!
//! All travel with the task: whoever makes the call listens, and where nobody does they are lost.
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

tokio::task_local! {
    static ANSWERED: Arc<AtomicBool>;
    static FURTHER: Arc<Notify>;
    static SENDING: Arc<AtomicU8>;
}

/// Nothing is known of what a call has sent.
const UNTOLD: u8 = 0;
/// Nothing that changes anything has been sent.
const UNSENT: u8 = 1;
/// Something has been sent that may change something.
const SENT: u8 = 2;

/// Why a call ran out of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// Nothing that changes anything had been sent: nothing happened.
    BeforeSending,
    /// It may have happened.
    PerhapsSent,
}

/// The target has answered a request, if only to say no.
pub fn answered() {
    let _ = ANSWERED.try_with(|answered| answered.store(true, Ordering::Relaxed));
}

/// A call of many requests has come further: its time limit begins anew for the next one.
pub fn further() {
    let _ = FURTHER.try_with(|further| further.notify_one());
}

/// A write begins with what changes nothing: it waits for a connection, fetches a token, reads. Until
/// it says [`sent`], running out of time means that nothing happened.
pub fn unsent() {
    let _ = SENDING.try_with(|sending| {
        // What has been sent stays so.
        let _ = sending.compare_exchange(UNTOLD, UNSENT, Ordering::Relaxed, Ordering::Relaxed);
    });
}

/// The first request that changes something goes out now.
pub fn sent() {
    let _ = SENDING.try_with(|sending| sending.store(SENT, Ordering::Relaxed));
}

/// What comes of a call, and whether the target answered during it.
pub async fn listen<T>(call: impl Future<Output = T>) -> (T, bool) {
    let heard = Arc::new(AtomicBool::new(false));
    let result = ANSWERED.scope(Arc::clone(&heard), call).await;
    (result, heard.load(Ordering::Relaxed))
}

/// What comes of a call.
///
/// # Errors
/// Where it came no further for as long as the limit.
pub async fn within<T>(limit: Duration, call: impl Future<Output = T>) -> Result<T, Late> {
    let steps = Arc::new(Notify::new());
    let sending = Arc::new(AtomicU8::new(UNTOLD));
    let call = SENDING.scope(Arc::clone(&sending), call);
    let mut call = Box::pin(FURTHER.scope(Arc::clone(&steps), call));
    loop {
        tokio::select! {
            biased;
            result = &mut call => return Ok(result),
            () = steps.notified() => {}
            () = tokio::time::sleep(limit) => {
                return Err(match sending.load(Ordering::Relaxed) {
                    UNSENT => Late::BeforeSending,
                    _ => Late::PerhapsSent,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(60);
    const STEP: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn the_limit_begins_anew_with_every_step() {
        let steps = |far: usize| async move {
            for _ in 0..far {
                tokio::time::sleep(STEP).await;
                further();
            }
        };
        assert_eq!(within(LIMIT, steps(4)).await, Ok(()));
        let stuck = async {
            steps(2).await;
            std::future::pending::<()>().await;
        };
        assert_eq!(within(LIMIT, stuck).await, Err(Late::PerhapsSent));
        let silent = async { tokio::time::sleep(2 * LIMIT).await };
        assert_eq!(within(LIMIT, silent).await, Err(Late::PerhapsSent));
    }

    #[tokio::test]
    async fn a_call_that_says_so_has_sent_nothing_until_it_has() {
        let waits = async {
            unsent();
            std::future::pending::<()>().await;
        };
        assert_eq!(within(LIMIT, waits).await, Err(Late::BeforeSending));
        let writes = async {
            unsent();
            sent();
            // A second part of a write begins anew; the first one has been sent all the same.
            unsent();
            std::future::pending::<()>().await;
        };
        assert_eq!(within(LIMIT, writes).await, Err(Late::PerhapsSent));
    }

    #[tokio::test]
    async fn an_answer_is_heard_by_whoever_listens() {
        answered();
        assert_eq!(listen(async { 1 }).await, (1, false));
        let heard = listen(within(LIMIT, async { answered() })).await;
        assert_eq!(heard, (Ok(()), true));
    }
}
