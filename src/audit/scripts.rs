//! The entry about a script that somebody saved.
use serde::Serialize;

use super::body::Digest;
use crate::{
    clock::Clock,
    model::audit::{NewEntry, Topic},
};

/// A script that was saved, by whom and why. That it came into force is an entry of its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SavedBody<'a> {
    event_name: &'static str,
    user_id: &'a str,
    object_id: &'a str,
    action: &'static str,
    status: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Digest<'a>>,
    after: Digest<'a>,
}

/// A file of the folder `hooks` that somebody saved: the file with the note, and the digests before
/// (none: it was not there) and after.
#[must_use]
pub fn about_saved_script(
    clock: &dyn Clock,
    transaction_id: &str,
    caller: &str,
    (file, note): (&str, &str),
    (before, after): (Option<&str>, &str),
) -> NewEntry {
    let body = SavedBody {
        event_name: "script",
        user_id: caller,
        object_id: file,
        action: "save",
        status: "SUCCESS",
        message: note,
        before: before.map(|digest| Digest { digest }),
        after: Digest { digest: after },
    };
    NewEntry {
        id: clock.fresh_id(),
        topic: Topic::Config,
        timestamp: clock.now(),
        transaction_id: transaction_id.to_owned(),
        operation: None,
        body: serde_json::to_string(&body).unwrap_or_else(|_| "{}".to_owned()),
    }
}
