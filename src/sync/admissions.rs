//! What targets say about whether a change may be planned on them now.
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

use crate::{connectors::Error, model::Container};

use super::setup::Target;

/// The answers of the targets of one change. Each connector is asked once, whatever the number of
/// mappings that lead there: the change may be the one trial of a target that was down.
#[derive(Debug, Default)]
pub(super) struct Admissions(Mutex<BTreeMap<String, Option<Held>>>);

/// Why a target holds the change off.
#[derive(Debug, Clone)]
struct Held {
    code: Value,
    message: String,
    wait: Option<Duration>,
}

impl Admissions {
    /// Whether the change may be planned on a target.
    ///
    /// # Errors
    /// *Unavailable*, where the target holds it off.
    pub(super) fn ask(&self, container: &Container, target: &Target) -> Result<(), Error> {
        let Container::System { connector, .. } = container else {
            return Ok(());
        };
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = match asked.get(connector) {
            Some(held) => held.clone(),
            None => {
                let held = target.connector.admit().err().map(Held::from);
                asked.insert(connector.clone(), held.clone());
                held
            }
        };
        held.map_or(Ok(()), |held| {
            Err(Error::unavailable(held.code, held.message).after(held.wait))
        })
    }

    /// How long to stay away from all that hold the change off; none where nothing does.
    pub(super) fn longest_wait(&self) -> Option<Duration> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked
            .values()
            .flatten()
            .map(|held| held.wait.unwrap_or_default())
            .max()
    }
}

impl From<Error> for Held {
    fn from(error: Error) -> Self {
        Self {
            code: error.code,
            message: error.message,
            wait: error.retry_after,
        }
    }
}
