//! Changes and dry runs for every caller; the same request under one idempotency key happens once.
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    audit,
    model::{
        ChangeRequest, Object, OperationId, Requested,
        change::IdempotencyKey,
        object::{ID, REV},
        patch::Patch,
        secret::EVERY_ATTRIBUTE,
    },
    store::{Settlement, StoredKey},
    sync::Refusal,
};

use super::{
    App, Changed, Error,
    error::{of_answer, of_stored},
};

/// How long a repeated request waits for the first one before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(25);

/// The keys of requests that this process works on.
#[derive(Debug, Default)]
pub(super) struct KeysAtWork(Mutex<HashSet<(String, String)>>);

/// Holds a key while its request is at work.
struct AtWork<'a> {
    keys: &'a KeysAtWork,
    key: (String, String),
}

impl KeysAtWork {
    fn begin(&self, caller: &str, key: &str) -> Option<AtWork<'_>> {
        let key = (caller.to_owned(), key.to_owned());
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Lazily: a place that was not taken must not be given back, least of all under this lock.
        keys.insert(key.clone()).then(|| AtWork { keys: self, key })
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut keys = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&self.key);
    }
}

/// What is to be done about a request with a key.
enum Turn<'a> {
    Work(AtWork<'a>),
    Answered(Result<Changed, Error>),
}

impl App {
    /// Carries a change out and waits for its end. Knows idempotency keys.
    ///
    /// # Errors
    /// Why the change does not stand: SPEC 2, the table of outcomes.
    pub async fn change(&self, request: ChangeRequest) -> Result<Changed, Error> {
        self.change_as(self.fresh_operation(), request).await
    }

    /// An id for a change that is about to be asked for.
    #[must_use]
    pub fn fresh_operation(&self) -> OperationId {
        self.engine().fresh_operation()
    }

    /// As [`App::change`], under an id of [`App::fresh_operation`]; what was answered before under
    /// the same idempotency key has its own.
    ///
    /// # Errors
    /// As [`App::change`].
    pub async fn change_as(
        &self,
        id: OperationId,
        request: ChangeRequest,
    ) -> Result<Changed, Error> {
        let Some(key) = request.idempotency.clone() else {
            return of_answer(self.engine().change_as(id, request).await);
        };
        match self.turn(&request.caller, &key).await? {
            Turn::Answered(answer) => answer,
            Turn::Work(_at_work) => of_answer(self.engine().change_as(id, request).await),
        }
    }

    /// What was answered before under a caller's idempotency key; none: nothing yet.
    ///
    /// # Errors
    /// The answer, where it was an error; 422 where the key was used for another request; the store
    /// cannot be read.
    pub async fn answered(
        &self,
        caller: &str,
        key: &IdempotencyKey,
    ) -> Result<Option<Changed>, Error> {
        let stored = self.store().key(caller, &key.key).await?;
        stored.and_then(|stored| known(key, stored)).transpose()
    }

    /// Begins a change and comes back once its intent is on disk; its record tells how it goes on.
    ///
    /// # Errors
    /// Why it was refused before that.
    pub async fn change_later(&self, request: ChangeRequest) -> Result<OperationId, Error> {
        let Some(key) = request.idempotency.clone() else {
            return self.begin(request).await;
        };
        match self.turn(&request.caller, &key).await? {
            Turn::Answered(Ok(changed)) => Ok(changed.operation),
            Turn::Answered(Err(error)) => Err(error),
            Turn::Work(_at_work) => self.begin(request).await,
        }
    }

    async fn begin(&self, request: ChangeRequest) -> Result<OperationId, Error> {
        self.engine()
            .change_later(request)
            .await
            .map_err(|answer| match of_answer(answer) {
                Err(error) => error,
                Ok(_) => Error::new(500, "the change was answered before it began"),
            })
    }

    /// What a change would do: `{object, operation, writes, skipped}`; leaves an access entry.
    ///
    /// # Errors
    /// The answer that the change would get before anything is written.
    ///
    /// What the caller does not see stays as it is in this plan, and is listed as `hidden`: whether a
    /// target needs a write would tell whether it holds that very value.
    pub async fn plan(&self, request: ChangeRequest) -> Result<Value, Error> {
        let is_there = match request.object() {
            Some(name) => self.store().object(&name).await?.is_some(),
            None => false,
        };
        // A new object has nothing to guess yet.
        let (request, hidden) = match is_there {
            true => without_unseen(request),
            false => (request, Vec::new()),
        };
        let described = format!(
            "plan {} {}",
            request
                .request
                .get("method")
                .and_then(Value::as_str)
                .unwrap_or("change"),
            request
                .object()
                .map_or_else(|| request.container.to_string(), |o| o.to_string()),
        );
        let (caller, transaction) = (request.caller.clone(), request.transaction_id.clone());
        let result = Box::pin(self.engine().dry_run(request)).await;
        let is_by_store = result.as_ref().is_err_and(Refusal::is_by_store);
        let result = result.map_err(Error::from).map(|mut plan| {
            if let Some(members) = plan.as_object_mut().filter(|_| !hidden.is_empty()) {
                members.insert("hidden".to_owned(), json!(hidden));
            }
            plan
        });
        let (status, message) = match &result {
            Ok(_) => (200, "dry run"),
            Err(error) => (error.code, error.message.as_str()),
        };
        let clock = self.clock();
        let entry = audit::about_access(clock, &transaction, &caller, &described, status, message);
        if !is_by_store {
            let settlement = Settlement {
                audit: vec![entry],
                ..Settlement::default()
            };
            self.engine().write_down(settlement).await;
        }
        result
    }

    /// Waits until a key is free or answered.
    async fn turn(&self, caller: &str, key: &IdempotencyKey) -> Result<Turn<'_>, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let at_work = self.keys().begin(caller, &key.key);
            if let Some(at_work) = at_work {
                match self.store().key(caller, &key.key).await? {
                    None => return Ok(Turn::Work(at_work)),
                    Some(stored) => {
                        if let Some(answer) = known(key, stored) {
                            return Ok(Turn::Answered(answer));
                        }
                    }
                }
            }
            if Instant::now() >= deadline {
                let mut error = Error::new(
                    409,
                    "the first request with this idempotency key still runs",
                );
                error.retry_after = Some(Duration::from_secs(1));
                return Err(error);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The answer under a key, if there is one already.
fn known(key: &IdempotencyKey, stored: StoredKey) -> Option<Result<Changed, Error>> {
    if stored.request_digest != key.request_digest {
        let message = "this idempotency key was used for another request";
        return Some(Err(Error::new(422, message)));
    }
    stored
        .answer
        .map(|answer| of_stored(stored.operation, answer))
}

/// The request without what it makes of attributes that its caller does not see, and their names.
fn without_unseen(mut request: ChangeRequest) -> (ChangeRequest, Vec<String>) {
    let unseen = request.unseen.clone();
    let is_unseen = |name: &str| {
        let is = |one: &String| one == EVERY_ATTRIBUTE || one == name;
        name != ID && name != REV && unseen.iter().any(is)
    };
    match &mut request.requested {
        Requested::Replace { content, .. } => content.retain(|name, _| !is_unseen(name)),
        Requested::Patch { patch, .. } => {
            let whole = std::mem::replace(patch, Patch::Merge(Object::new()));
            *patch = whole.without(is_unseen);
        }
        Requested::Create { .. } | Requested::Delete { .. } | Requested::Notify { .. } => {
            return (request, Vec::new());
        }
    }
    (request, unseen)
}
