//! What the target of a reconciliation listed, and which of its objects the run met, sorted by id
//! until the run is over.
use std::collections::HashMap;

use sea_orm::{
    ConnectionTrait as _, DbErr,
    sea_query::{Expr, ExprTrait as _, Order as Direction, Query, SelectStatement},
};

use super::{Error, Mark, Store, entity::recon_spill};

impl Store {
    /// What a run's target listed, after an id, in the order of ids.
    ///
    /// # Errors
    /// The database fails.
    pub async fn listed(
        &self,
        run: uuid::Uuid,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Mark>, Error> {
        let mut query = listed_query(run);
        query
            .order_by(recon_spill::Column::Id, Direction::Asc)
            .limit(limit);
        if let Some(after) = after {
            query.and_where(Expr::col(recon_spill::Column::Id).gt(after));
        }
        self.read_listed(&query).await
    }

    /// Those of these objects that a run's target listed, with their fingerprints.
    ///
    /// # Errors
    /// The database fails.
    pub async fn listed_of(
        &self,
        run: uuid::Uuid,
        ids: &[String],
    ) -> Result<HashMap<String, String>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut query = listed_query(run);
        query.and_where(self.among(Expr::col(recon_spill::Column::Id), ids));
        let marks = self.read_listed(&query).await?;
        Ok(marks
            .into_iter()
            .map(|mark| (mark.id, mark.print))
            .collect())
    }

    /// Those of these target objects that may belong to source objects without a link, as a run
    /// found.
    ///
    /// # Errors
    /// The database fails.
    pub async fn targets_found(
        &self,
        run: uuid::Uuid,
        target_ids: &[String],
    ) -> Result<Vec<String>, Error> {
        let found = self.listed_of(met_by(run), target_ids).await?;
        Ok(found.into_keys().collect())
    }

    async fn read_listed(&self, query: &SelectStatement) -> Result<Vec<Mark>, Error> {
        let step = "scan what a target listed";
        let rows = self.core().database.fresh().query_all(query).await;
        rows.map_err(Error::at(step))?
            .iter()
            .map(|row| {
                Ok(Mark {
                    id: row.try_get_by_index(0)?,
                    print: row.try_get_by_index(1)?,
                    updated_at: None,
                })
            })
            .collect::<Result<_, DbErr>>()
            .map_err(Error::at(step))
    }
}

/// The list of the target objects that a run met, beside that of what its target listed: the run's
/// id with every bit turned, which is the id of no run.
pub(super) fn met_by(run: uuid::Uuid) -> uuid::Uuid {
    uuid::Uuid::from_u128(!run.as_u128())
}

fn listed_query(run: uuid::Uuid) -> SelectStatement {
    Query::select()
        .columns([recon_spill::Column::Id, recon_spill::Column::Digest])
        .from(recon_spill::Entity)
        .and_where(Expr::col(recon_spill::Column::Run).eq(run.to_string()))
        .to_owned()
}
