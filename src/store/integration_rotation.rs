//! Changing keys of integrations: what events bring, and our copies of external records.
use sea_orm::{
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Cond, Expr, ExprTrait as _, IntoColumnRef, Query},
};

use super::{
    Core, Error, Refusal, Store,
    entity::{integration_event as event, integration_record as copy},
    integration_rows::{body_place, opened, payload_place},
    keys::{Place, Sealed},
    rotation::BATCH,
};

impl Store {
    /// Encrypts anew what integration events bring where it is not under the first key.
    pub(super) async fn reencrypt_payloads(&self, first: &str) -> Result<u64, Error> {
        use event::Column;
        let step = "encrypt integration events anew";
        let (core, mut count, mut after) = (self.core(), 0, String::new());
        loop {
            let rows = event::Entity::find()
                .filter(Expr::col(Column::Id).gt(after.as_str()))
                .filter(Expr::col(Column::Payload).is_not_null())
                .filter(other_key(Column::PayloadKey, first))
                .order_by_asc(Column::Id)
                .limit(BATCH)
                .all(core.database.reader())
                .await
                .map_err(Error::at(step))?;
            let Some(last) = rows.last() else {
                return Ok(count);
            };
            after.clone_from(&last.id);
            for row in rows {
                let place = [row.id.as_str()];
                let new = resealed(core, &payload_place(&place), row.payload_key, &row.payload);
                let Some(new) = new.map_err(Error::at(step))? else {
                    continue;
                };
                let update = Query::update()
                    .table(event::Entity)
                    .value(Column::PayloadKey, new.key)
                    .value(Column::Payload, new.data)
                    .and_where(Expr::col(Column::Id).eq(row.id.as_str()))
                    .and_where(Expr::col(Column::Payload).eq(row.payload))
                    .to_owned();
                let written = core.database.execute(&update).await;
                count += written.map_err(Error::at(step))?;
            }
        }
    }

    /// Encrypts copies of external records anew that are not under the first key.
    pub(super) async fn reencrypt_copies(&self, first: &str) -> Result<u64, Error> {
        use copy::Column;
        let step = "encrypt copies of external records anew";
        let (core, mut count, mut after) = (self.core(), 0, String::new());
        loop {
            let rows = copy::Entity::find()
                .filter(Expr::col(Column::Lane).gt(after.as_str()))
                .filter(Expr::col(Column::Body).is_not_null())
                .filter(other_key(Column::BodyKey, first))
                .order_by_asc(Column::Lane)
                .limit(BATCH)
                .all(core.database.reader())
                .await
                .map_err(Error::at(step))?;
            let Some(last) = rows.last() else {
                return Ok(count);
            };
            after.clone_from(&last.lane);
            for row in rows {
                let place = [row.lane.as_str()];
                let new = resealed(core, &body_place(&place), row.body_key, &row.body);
                let Some(new) = new.map_err(Error::at(step))? else {
                    continue;
                };
                // A copy that was replaced meanwhile is under the first key already.
                let update = Query::update()
                    .table(copy::Entity)
                    .value(Column::BodyKey, new.key)
                    .value(Column::Body, new.data)
                    .and_where(Expr::col(Column::Lane).eq(row.lane.as_str()))
                    .and_where(Expr::col(Column::Body).eq(row.body))
                    .to_owned();
                let written = core.database.execute(&update).await;
                count += written.map_err(Error::at(step))?;
            }
        }
    }
}

/// What is not under this key, or under none.
fn other_key(column: impl IntoColumnRef + Copy, first: &str) -> Cond {
    Cond::any()
        .add(Expr::col(column).is_null())
        .add(Expr::col(column).ne(first))
}

/// A text under the first key; none where there is no text, or no key.
fn resealed(
    core: &Core,
    place: &Place<'_>,
    key: Option<String>,
    text: &Option<String>,
) -> Result<Option<Sealed>, Refusal> {
    match text {
        Some(text) => core
            .keys
            .seal(place, &opened(&core.keys, place, &key, text)?),
        None => Ok(None),
    }
}
