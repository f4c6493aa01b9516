//! Who brought the latest changes of an object: which external systems, in turn.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    Error, Store,
    batch::padded,
    entity::{integration_event as event, operation},
    rows::micros,
};
use crate::model::{Outcome, Purpose, ResourceName, integration::Direction};

impl Store {
    /// The connectors whose events brought the latest changes of an object since a time, the newest
    /// first, up to the first change that no event brought.
    ///
    /// # Errors
    /// The database fails.
    pub async fn bringers(
        &self,
        object: &ResourceName,
        since: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<String>, Error> {
        let step = "find out who brought the changes of an object";
        self.flush().await?;
        let standing = [Outcome::Synced, Outcome::Partial].map(Outcome::as_str);
        let reader = self.core().database.fresh();
        let rows = operation::Entity::find()
            .filter(Expr::col(operation::Column::Object).eq(object.to_string()))
            .filter(Expr::col(operation::Column::Outcome).is_in(standing))
            .filter(Expr::col(operation::Column::StartedAt).gte(micros(since)))
            .order_by_desc(operation::Column::Id)
            .limit(limit)
            .all(reader)
            .await
            .map_err(Error::at(step))?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            let purpose = super::decode::record(&row.record)?.purpose;
            if matches!(purpose, Purpose::Request | Purpose::FollowUp) {
                changes.push(row.id);
            }
        }
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let brought: Vec<(Option<String>, String)> = event::Entity::find()
            .select_only()
            .column(event::Column::Operation)
            .column(event::Column::Connector)
            .filter(Expr::col(event::Column::Operation).is_in(padded(changes.clone())))
            .filter(Expr::col(event::Column::Direction).eq(Direction::Inbound.as_str()))
            .into_tuple()
            .all(reader)
            .await
            .map_err(Error::at(step))?;
        let brought: HashMap<String, String> = brought
            .into_iter()
            .filter_map(|(operation, connector)| Some((operation?, connector)))
            .collect();
        let bringers = changes.iter().map_while(|change| brought.get(change));
        Ok(bringers.cloned().collect())
    }
}
