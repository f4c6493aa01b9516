//! What is known under callers' idempotency keys.
use sea_orm::EntityTrait as _;

use super::{Error, Refusal, Store, StoredKey, entity::idempotency, rows::bounded};

impl Store {
    /// What is known under a caller's key.
    ///
    /// # Errors
    /// The database fails.
    pub async fn key(&self, caller: &str, key: &str) -> Result<Option<StoredKey>, Error> {
        let step = "look an idempotency key up";
        self.flush().await?;
        let row = idempotency::Entity::find_by_id((bounded(caller), bounded(key)))
            .one(self.core().database.reader())
            .await
            .map_err(Error::at(step))?;
        let Some(row) = row else { return Ok(None) };
        let damaged = || Error::at(step)(Refusal::Damaged("an idempotency key"));
        let answer = match row.answer {
            Some(text) => Some(serde_json::from_str(&text).map_err(|_| damaged())?),
            None => None,
        };
        Ok(Some(StoredKey {
            request_digest: row.request_digest,
            operation: row.operation.parse().map_err(|_| damaged())?,
            answer,
        }))
    }
}
