//! Calls to targets under their time limit, with bounded retries for what certainly did not happen.
use std::{future::Future, time::Duration};

use futures::future::join_all;
use serde_json::json;

use crate::{
    connectors::{
        Error, Page, Query,
        signs::{self, Late},
    },
    model::{Cause, CauseKind, Filter, TargetObject, secret::Redactor},
};

use super::setup::{CallPolicy, Target};

/// The longest pause that a target may ask for within a change; a longer one ends the attempts.
const MOST_PATIENCE: Duration = Duration::from_secs(10);
/// How many objects a read-back or a correlation looks at: more than one is ambiguous already.
const ENOUGH: usize = 2;

/// Reads one object; retries while the target is unavailable.
pub(super) async fn read(
    target: &Target,
    class: &str,
    id: &str,
) -> Result<Option<TargetObject>, Error> {
    retried(&target.calls, || target.connector.read(class, id)).await
}

/// Reads the object that goes by exactly this id. Where a class has names beside its ids, another
/// object may have the id for its name: that one is not meant.
pub(super) async fn read_by_id(
    target: &Target,
    class: &str,
    id: &str,
) -> Result<Option<TargetObject>, Error> {
    let found = read(target, class, id).await?;
    let has_names = target.connector.particulars(class).assigns_ids;
    Ok(found.filter(|found| !has_names || is_same_id(&found.id, id)))
}

/// Whether two ids are one. The letters in a UUID know no case.
fn is_same_id(one: &str, other: &str) -> bool {
    one == other || (uuid::Uuid::parse_str(other).is_ok() && one.eq_ignore_ascii_case(other))
}

/// Finds the first objects that meet a filter; retries while the target is unavailable. A list may
/// show less of an object than a read, and not its version: what is to be compared, written or put
/// back is read, and what is gone by then is no hit.
pub(super) async fn find(
    target: &Target,
    class: &str,
    filter: &Filter,
) -> Result<Vec<TargetObject>, Error> {
    let query = Query {
        filter: filter.clone(),
        page_size: ENOUGH,
        cursor: None,
    };
    let page: Page = retried(&target.calls, || target.connector.query(class, &query)).await?;
    if target.connector.particulars(class).lists_whole {
        return Ok(page.objects);
    }
    let hits = page.objects.iter().take(ENOUGH);
    let reads = join_all(hits.map(|hit| read_by_id(target, class, &hit.id))).await;
    reads.into_iter().filter_map(Result::transpose).collect()
}

/// One attempt under the time limit; running out of it leaves the outcome unknown, unless nothing
/// was sent until then.
pub(super) async fn limited<T>(
    policy: &CallPolicy,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    within(policy.timeout, call).await
}

/// One attempt within a time, which begins anew for each request of a call of many.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let waited = limit.as_millis();
    match signs::within(limit, call).await {
        Ok(result) => result,
        Err(Late::PerhapsSent) => Err(Error::unknown(504, format!("no answer within {waited} ms"))),
        Err(Late::BeforeSending) => {
            let message = format!("nothing could be sent within {waited} ms");
            Err(Error::unavailable(504, message))
        }
    }
}

/// The pause before the attempt after `attempt` (1-based), or none where there is no further one
/// or the target asked for more patience than a change may have.
pub(super) fn pause(policy: &CallPolicy, attempt: u32, error: &Error) -> Option<Duration> {
    if attempt >= policy.attempts {
        return None;
    }
    let doubled = policy.base.saturating_mul(1 << (attempt - 1).min(16));
    let asked = error.retry_after.unwrap_or(Duration::ZERO);
    (asked <= MOST_PATIENCE.max(policy.timeout)).then(|| {
        metrics::counter!("recant_target_retries_total").increment(1);
        doubled.min(policy.timeout).max(asked)
    })
}

/// What the record and the caller are told about an error.
pub(super) fn cause(error: &Error, redactor: &Redactor) -> Cause {
    Cause {
        code: error.code.clone(),
        reason: reason(error.kind).to_owned(),
        message: redactor.text(&error.message),
        kind: error.kind,
    }
}

/// A cause of our own, with a code like an HTTP status.
pub(super) fn own_cause(kind: CauseKind, code: u16, message: impl Into<String>) -> Cause {
    Cause {
        code: json!(code),
        reason: reason(kind).to_owned(),
        message: message.into(),
        kind,
    }
}

fn reason(kind: CauseKind) -> &'static str {
    match kind {
        CauseKind::Refused => "Refused",
        CauseKind::Unavailable => "Unavailable",
        CauseKind::Unknown => "Unknown Outcome",
    }
}

pub(super) async fn retried<T, F: Future<Output = Result<T, Error>>>(
    policy: &CallPolicy,
    mut call: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        let error = match limited(policy, call()).await {
            Ok(value) => return Ok(value),
            Err(error) => as_read(error),
        };
        match error.kind {
            CauseKind::Unavailable => match pause(policy, attempt, &error) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            },
            CauseKind::Refused | CauseKind::Unknown => return Err(error),
        }
        attempt += 1;
    }
}

/// A read changes nothing, so not to know its outcome is not to have reached the target.
fn as_read(mut error: Error) -> Error {
    if error.kind == CauseKind::Unknown {
        error.kind = CauseKind::Unavailable;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> CallPolicy {
        CallPolicy {
            timeout: Duration::from_secs(1),
            attempts: 3,
            base: Duration::from_millis(50),
        }
    }

    #[test]
    fn pauses_double_and_end_with_the_attempts() {
        let error = Error::unavailable(503, "busy");
        assert_eq!(pause(&policy(), 1, &error), Some(Duration::from_millis(50)));
        assert_eq!(
            pause(&policy(), 2, &error),
            Some(Duration::from_millis(100))
        );
        assert_eq!(pause(&policy(), 3, &error), None);
    }

    #[test]
    fn a_target_that_asks_for_patience_gets_it_within_the_time_limit() {
        let soon = Error::unavailable(503, "busy").after(Some(Duration::from_millis(300)));
        assert_eq!(pause(&policy(), 1, &soon), Some(Duration::from_millis(300)));
        let late = Error::unavailable(503, "busy").after(Some(Duration::from_secs(60)));
        assert_eq!(pause(&policy(), 1, &late), None);
    }
}
