//! Integration events that nobody carries out any more: taken over, or put aside where they cannot
//! be read.
use sea_orm::{
    EntityTrait as _, QueryFilter as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, Query},
};
use uuid::Uuid;

use super::{
    Error, Store,
    entity::{integration_event as event, node},
    integration_rows::integration_event,
};
use crate::model::integration::{IntegrationEvent, State};

impl Store {
    /// Takes over events that nobody carries out any more although they count as being carried
    /// out: those of nodes that are gone, and those of this node that are not in hand. Tells which.
    ///
    /// # Errors
    /// The database fails; what was taken until then is told the next time.
    pub async fn adopt_integrations(
        &self,
        in_hand: &(dyn Fn(Uuid) -> bool + Sync),
    ) -> Result<Vec<IntegrationEvent>, Error> {
        use event::Column;
        let step = "take over integration events";
        let others = Query::select()
            .column(node::Column::Id)
            .from(node::Entity)
            .and_where(Expr::col(node::Column::Id).ne(&*self.identity()))
            .to_owned();
        let found: Vec<(String, Option<String>)> = event::Entity::find()
            .select_only()
            .column(Column::Id)
            .column(Column::Node)
            .filter(Expr::col(Column::Active).is_not_null())
            .filter(Expr::col(Column::Node).not_in_subquery(others))
            .into_tuple()
            .all(self.core().database.fresh())
            .await
            .map_err(Error::at(step))?;
        let mut taken = Vec::new();
        for (id, node) in found {
            if !id.parse::<Uuid>().is_ok_and(in_hand) {
                taken.extend(self.adopt(&id, node).await?);
            }
        }
        Ok(taken)
    }

    async fn adopt(
        &self,
        id: &str,
        node: Option<String>,
    ) -> Result<Option<IntegrationEvent>, Error> {
        use event::Column;
        let step = "take over an integration event";
        let (database, me) = (&self.core().database, self.identity());
        if node.as_deref() != Some(&*me) {
            let take = Query::update()
                .table(event::Entity)
                .value(Column::Node, &*me)
                .and_where(Expr::col(Column::Id).eq(id))
                .and_where(Expr::col(Column::State).eq(State::Processing.as_str()))
                .and_where(Expr::col(Column::Node).eq(node))
                .to_owned();
            database.execute(&take).await.map_err(Error::at(step))?;
        }
        // What has ended meanwhile, or is another node's by now, is not found.
        let row = event::Entity::find_by_id(id)
            .filter(Expr::col(Column::State).eq(State::Processing.as_str()))
            .filter(Expr::col(Column::Node).eq(&*me))
            .one(database.fresh())
            .await
            .map_err(Error::at(step))?;
        let mut events = self.readable(row.into_iter().collect()).await?;
        Ok(events.pop())
    }

    /// The events of rows. One that cannot be read becomes a dead letter: it holds up no other.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn readable(
        &self,
        rows: Vec<event::Model>,
    ) -> Result<Vec<IntegrationEvent>, Error> {
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            match integration_event(&row) {
                Ok(event) => events.push(event),
                Err(error) => self.put_aside(&row.id, &error).await?,
            }
        }
        Ok(events)
    }

    async fn put_aside(&self, id: &str, cause: &Error) -> Result<(), Error> {
        use event::Column;
        tracing::error!(
            error = cause as &dyn std::error::Error,
            event = id,
            "an integration event is put aside"
        );
        let aside = Query::update()
            .table(event::Entity)
            .value(Column::State, State::Errored.as_str())
            .value(Column::Active, Option::<String>::None)
            .value(Column::Node, Option::<String>::None)
            .value(Column::NextAttemptAt, Option::<i64>::None)
            .value(Column::LastError, cause.source.to_string())
            .and_where(Expr::col(Column::Id).eq(id))
            .to_owned();
        let aside = self.core().database.execute(&aside).await;
        aside.map_err(Error::at("put an integration event aside"))?;
        Ok(())
    }
}
