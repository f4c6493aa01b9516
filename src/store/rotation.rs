//! Changing keys: what was encrypted with an older key is encrypted with the first one.
use sea_orm::{
    DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Cond, Expr, ExprTrait as _, Query},
};

use super::{
    Core, Error, Refusal, Store,
    decode::{clear_intent, stored_object},
    entity::{event, intent, managed_object},
    rows::Encoder,
    unique::NO_RULES,
};

/// How many rows are rewritten between two looks.
pub(super) const BATCH: u64 = 200;

impl Store {
    /// Encrypts anew what is not under the first key (objects, intents, events, integration events
    /// and copies of external records); tells how many rows. Changes may go on meanwhile. To change keys: put the new key first and keep the old one
    /// after it, restart every node, run this until it tells 0, then take the old key away.
    ///
    /// Objects whose attributes became confidential after they were stored are encrypted too.
    ///
    /// # Errors
    /// The database fails, or something is encrypted with an unknown key.
    pub async fn reencrypt(&self) -> Result<u64, Error> {
        let Some(first) = self.core().keys.ids().next().map(str::to_owned) else {
            return Ok(0);
        };
        self.flush().await?;
        let objects = self.reencrypt_objects(&first).await?;
        let intents = self.reencrypt_intents(&first).await?;
        let events = self.reencrypt_events(&first).await?;
        let payloads = self.reencrypt_payloads(&first).await?;
        let copies = self.reencrypt_copies(&first).await?;
        let runs = self.reencrypt_hook_runs(&first).await?;
        Ok(objects + intents + events + payloads + copies + runs)
    }

    async fn reencrypt_objects(&self, first: &str) -> Result<u64, Error> {
        use managed_object::Column;
        let step = "encrypt objects anew";
        let (core, mut count) = (self.core(), 0);
        let mut after: Option<(String, String)> = None;
        loop {
            let mut query = managed_object::Entity::find()
                .order_by_asc(Column::Type)
                .order_by_asc(Column::Id)
                .limit(BATCH);
            if let Some((managed_type, id)) = &after {
                let same = Expr::col(Column::Type).eq(managed_type.as_str());
                let beyond = Cond::any()
                    .add(Expr::col(Column::Type).gt(managed_type.as_str()))
                    .add(same.and(Expr::col(Column::Id).gt(id.as_str())));
                query = query.filter(beyond);
            }
            let rows = query.all(core.database.reader()).await;
            let rows = rows.map_err(Error::at(step))?;
            let Some(last) = rows.last() else {
                return Ok(count);
            };
            after = Some((last.r#type.clone(), last.id.clone()));
            for row in rows {
                count += reencrypt_object(core, first, row).await?;
            }
        }
    }

    async fn reencrypt_intents(&self, first: &str) -> Result<u64, Error> {
        use intent::Column;
        let step = "encrypt intents anew";
        let (core, mut count) = (self.core(), 0);
        let mut after = String::new();
        loop {
            let other_key = Cond::any()
                .add(Expr::col(Column::Key).is_null())
                .add(Expr::col(Column::Key).ne(first));
            let rows = intent::Entity::find()
                .filter(Expr::col(Column::Operation).gt(after.as_str()))
                .filter(other_key)
                .order_by_asc(Column::Operation)
                .limit(BATCH)
                .all(core.database.reader())
                .await
                .map_err(Error::at(step))?;
            let Some(last) = rows.last() else {
                return Ok(count);
            };
            after.clone_from(&last.operation);
            for row in rows {
                count += reencrypt_intent(core, row).await.map_err(Error::at(step))?;
            }
        }
    }

    async fn reencrypt_events(&self, first: &str) -> Result<u64, Error> {
        use event::Column;
        let step = "encrypt events anew";
        let (core, mut count, mut after) = (self.core(), 0, 0);
        loop {
            let rows = event::Entity::find()
                .filter(Expr::col(Column::Id).gt(after))
                .filter(Expr::col(Column::SealedKey).is_not_null())
                .filter(Expr::col(Column::SealedKey).ne(first))
                .order_by_asc(Column::Id)
                .limit(BATCH)
                .all(core.database.reader())
                .await
                .map_err(Error::at(step))?;
            let Some(last) = rows.last() else {
                return Ok(count);
            };
            after = last.id;
            for row in rows {
                let resealed = reencrypt_event(core, first, &row).await;
                count += resealed.map_err(Error::at(step))?;
            }
        }
    }
}

async fn reencrypt_event(core: &Core, first: &str, row: &event::Model) -> Result<u64, Problem> {
    let confidential = core.confidential.load();
    let encoder = Encoder {
        keys: &core.keys,
        confidential: &confidential,
        rules: &NO_RULES,
        now: core.clock.now(),
    };
    let Some(sealed) = encoder.reseal(row, first)? else {
        return Ok(0);
    };
    let update = Query::update()
        .table(event::Entity)
        .value(event::Column::SealedKey, sealed.key)
        .value(event::Column::Sealed, sealed.data)
        .and_where(Expr::col(event::Column::Id).eq(row.id))
        .to_owned();
    Ok(core.database.execute(&update).await?)
}

/// A row that was written meanwhile is left alone: it is under the first key already.
async fn reencrypt_object(
    core: &Core,
    first: &str,
    row: managed_object::Model,
) -> Result<u64, Error> {
    use managed_object::Column;
    let step = "encrypt objects anew";
    let confidential = core.confidential.load();
    let newly = |text: &str| {
        let object: Option<crate::model::Object> = serde_json::from_str(text).ok();
        confidential.get(&row.r#type).is_some_and(|names| {
            object.is_some_and(|object| names.iter().any(|name| object.contains_key(name)))
        })
    };
    let is_old = row.sealed_key.as_deref().is_some_and(|key| key != first);
    if !is_old && !newly(&row.body) {
        return Ok(0);
    }
    let encoder = Encoder {
        keys: &core.keys,
        confidential: &confidential,
        rules: &NO_RULES,
        now: core.clock.now(),
    };
    let stored = stored_object(&core.keys, row.clone())?;
    let new = encoder
        .object(&row.r#type, &row.id, stored.object)
        .map_err(Error::at(step))?;
    let update = Query::update()
        .table(managed_object::Entity)
        .value(Column::SealedKey, new.sealed_key)
        .value(Column::Sealed, new.sealed)
        .value(Column::Body, new.body)
        .and_where(Expr::col(Column::Type).eq(row.r#type))
        .and_where(Expr::col(Column::Id).eq(row.id))
        .and_where(Expr::col(Column::Rev).eq(row.rev))
        .to_owned();
    core.database
        .execute(&update)
        .await
        .map_err(Error::at(step))
}

async fn reencrypt_intent(core: &Core, row: intent::Model) -> Result<u64, Problem> {
    use intent::Column;
    let (operation, old) = (row.operation.clone(), row.body.clone());
    let clear = clear_intent(&core.keys, row)?;
    let confidential = core.confidential.load();
    let encoder = Encoder {
        keys: &core.keys,
        confidential: &confidential,
        rules: &NO_RULES,
        now: core.clock.now(),
    };
    let new = encoder.intent(operation, clear)?;
    let update = Query::update()
        .table(intent::Entity)
        .value(Column::Key, new.key)
        .value(Column::Body, new.body)
        .and_where(Expr::col(Column::Operation).eq(new.operation))
        .and_where(Expr::col(Column::Body).eq(old))
        .to_owned();
    Ok(core.database.execute(&update).await?)
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Database(#[from] DbErr),
}
