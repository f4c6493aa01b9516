//! What a call under way lets its caller know: that the target has answered it, and that a call of
//! many requests has come further.
//!
//! Both travel with the task: whoever makes the call listens, and where nobody does they are lost.
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

tokio::task_local! {
    static ANSWERED: Arc<AtomicBool>;
    static FURTHER: Arc<Notify>;
}

/// The target has answered a request, if only to say no.
pub fn answered() {
    let _ = ANSWERED.try_with(|answered| answered.store(true, Ordering::Relaxed));
}

/// A call of many requests has come further: its time limit begins anew for the next one.
pub fn further() {
    let _ = FURTHER.try_with(|further| further.notify_one());
}

/// What comes of a call, and whether the target answered during it.
pub async fn listen<T>(call: impl Future<Output = T>) -> (T, bool) {
    let heard = Arc::new(AtomicBool::new(false));
    let result = ANSWERED.scope(Arc::clone(&heard), call).await;
    (result, heard.load(Ordering::Relaxed))
}

/// What comes of a call; none where it came no further for as long as the limit.
pub async fn within<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    let steps = Arc::new(Notify::new());
    let mut call = Box::pin(FURTHER.scope(Arc::clone(&steps), call));
    loop {
        tokio::select! {
            biased;
            result = &mut call => return Some(result),
            () = steps.notified() => {}
            () = tokio::time::sleep(limit) => return None,
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
        assert_eq!(within(LIMIT, steps(4)).await, Some(()));
        let stuck = async {
            steps(2).await;
            std::future::pending::<()>().await;
        };
        assert_eq!(within(LIMIT, stuck).await, None);
        let silent = async { tokio::time::sleep(2 * LIMIT).await };
        assert_eq!(within(LIMIT, silent).await, None);
    }

    #[tokio::test]
    async fn an_answer_is_heard_by_whoever_listens() {
        answered();
        assert_eq!(listen(async { 1 }).await, (1, false));
        let heard = listen(within(LIMIT, async { answered() })).await;
        assert_eq!(heard, (Some(()), true));
    }
}
