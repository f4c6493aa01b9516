//! Values that no two objects of a type may have: who may take one, and what is told where another has it.
//!
//! Every change of a managed object is subject to it, wherever it comes from: callers, the SCIM service,
//! integration events, imports, reconciliation and hooks. A compensation is not: what it brings back was
//! held for its object all the time.
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{
    Engine,
    change::{Change, Context},
    error::Refusal,
};
use crate::{
    managed::ManagedType,
    model::{
        ChangeRequest, Object, Requested,
        unique::{Claim, Unique, claims},
    },
    store::Taken,
};

/// How long a change waits for another one that may give a value free.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

impl Engine {
    /// Refuses what another object has already, before anything is planned. The journal has the last
    /// word.
    pub(super) async fn check_unique(&self, context: &Context) -> Result<(), Refusal> {
        let claims = claimed(context);
        if claims.is_empty() {
            return Ok(());
        }
        let object = &context.change.object;
        let managed_type = object.container.managed_type().unwrap_or_default();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let taken = self
                .store()
                .taken(managed_type, &object.id, &claims)
                .await?;
            match taken {
                None => return Ok(()),
                Some(Taken { leaving: true, .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(LOOK).await;
                }
                Some(taken) => return Err(refused(&context.change, &taken)),
            }
        }
    }
}

/// The unique values that a change takes for its object.
pub(super) fn claimed(context: &Context) -> Vec<Claim> {
    let change = &context.change;
    match &context.managed {
        Some(managed) if !change.notified && !managed.unique.is_empty() => {
            claims(&managed.unique, change.old.as_ref(), change.new.as_ref())
        }
        _ => Vec::new(),
    }
}

/// Whoever does not see a unique attribute may not set it, be it to what it is: what is refused would tell
/// who has which value.
pub(super) fn check_blind(
    managed: &ManagedType,
    request: &ChangeRequest,
    old: Option<&Object>,
) -> Result<(), Refusal> {
    let is_hidden = |rule: &&Unique| {
        let name = rule.place.first();
        name.is_some_and(|name| request.unseen.iter().any(|unseen| unseen == name))
    };
    let mut hidden = managed.unique.iter().filter(is_hidden);
    match hidden.find(|rule| sets(&request.requested, rule, old)) {
        None => Ok(()),
        Some(rule) => Err(Refusal::new(
            403,
            format!(
                "`{}` must be unique and is not shown to you: it is for others to set",
                rule.name
            ),
        )),
    }
}

/// Whether a request gives the property a value, whatever it is.
fn sets(requested: &Requested, rule: &Unique, old: Option<&Object>) -> bool {
    match requested {
        Requested::Create { content, .. } | Requested::Replace { content, .. } => {
            rule.digest(content).is_some()
        }
        Requested::Patch { patch, .. } => {
            let mut without = old.cloned().unwrap_or_default();
            without.shift_remove(rule.place.first().unwrap_or_default());
            // What fails without the property only is about it.
            match patch.apply(&without) {
                Ok(new) => rule.digest(&new).is_some(),
                Err(_) => true,
            }
        }
        Requested::Delete { .. } | Requested::Notify { .. } => false,
    }
}

/// What is told where another object has a value.
pub(super) fn refused(change: &Change, taken: &Taken) -> Refusal {
    let (kind, name) = (&change.object.container, &taken.name);
    let refusal = match taken.leaving {
        false => Refusal::new(409, format!("another {kind} has this `{name}`")),
        true => Refusal::new(
            409,
            format!("a change under way may give this `{name}` of another {kind} free; try again"),
        )
        .after(Some(Duration::from_secs(1))),
    };
    refusal.with_detail(json!({"taken": name}))
}
