//! What reconciliations found of each record: queried by situation, and looked up by target.
use std::collections::HashSet;

use sea_orm::{
    ConnectionTrait as _, DbErr,
    sea_query::{DynIden, Expr, ExprTrait as _, IntoIden as _, Query, SelectStatement},
};
use serde_json::Value;

use super::{
    Core, Error, Found, Refusal, Search, Store,
    batch::padded,
    entity::recon_entry,
    filter::{Bound, Fact},
    page::{Key, Listed, Order, page},
};
use crate::model::{Object, recon::Entry};

impl Store {
    /// Entries of a run, in the order in which records were met unless sorted otherwise.
    ///
    /// # Errors
    /// The database fails, or the cookie belongs to another query.
    pub async fn recon_entries(
        &self,
        run: uuid::Uuid,
        search: &Search,
    ) -> Result<Found<Entry>, Error> {
        let run = run.to_string();
        page(self.core(), &Entries { run }, search).await
    }

    /// Those of these target objects that a run has an entry about.
    ///
    /// # Errors
    /// The database fails.
    pub async fn targets_met(
        &self,
        run: uuid::Uuid,
        target_ids: &[String],
    ) -> Result<HashSet<String>, Error> {
        if target_ids.is_empty() {
            return Ok(HashSet::new());
        }
        let step = "look for target objects that were met";
        let query = Query::select()
            .column(recon_entry::Column::TargetId)
            .from(recon_entry::Entity)
            .and_where(Expr::col(recon_entry::Column::Run).eq(run.to_string()))
            .and_where(
                Expr::col(recon_entry::Column::TargetId).is_in(padded(target_ids.iter().cloned())),
            )
            .to_owned();
        let rows = self.core().database.fresh().query_all(&query).await;
        rows.and_then(|rows| {
            rows.iter()
                .map(|row| row.try_get_by_index::<String>(0))
                .collect::<Result<_, DbErr>>()
        })
        .map_err(Error::at(step))
    }
}

/// The entries of one run as a list.
struct Entries {
    run: String,
}

impl Listed for Entries {
    type Row = recon_entry::Model;
    type Entity = recon_entry::Entity;
    type Word = Entry;

    fn scope(&self) -> String {
        format!("recon {}", self.run)
    }

    fn restrict(&self, query: &mut SelectStatement) {
        query.and_where(Expr::col(recon_entry::Column::Run).eq(self.run.as_str()));
    }

    fn key_order(&self) -> Order {
        Order::ascending(recon_entry::Column::Number)
    }

    fn key(&self, row: &Self::Row) -> Key {
        Key::Number(row.number)
    }

    fn body(&self) -> DynIden {
        recon_entry::Column::Body.into_iden()
    }

    fn bound(&self, fact: &Fact<'_>) -> Option<Bound> {
        use recon_entry::Column;
        let (name, text) = (fact.name()?, fact.equal_text()?);
        let column = match name {
            "situation" => Column::Situation,
            "action" => Column::Action,
            "status" => Column::Status,
            "sourceObjectId" => Column::SourceId,
            "targetObjectId" => Column::TargetId,
            _ => return None,
        };
        Some(Bound::wider(Expr::col(column).eq(text)))
    }

    fn view(&self, row: &Self::Row) -> Result<Object, Error> {
        match serde_json::from_str(&row.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(damaged()),
        }
    }

    fn word(&self, _: &Core, row: Self::Row) -> Result<Entry, Error> {
        serde_json::from_str(&row.body).map_err(|_| damaged())
    }
}

fn damaged() -> Error {
    Error::at("read an entry of a reconciliation")(Refusal::Damaged("an entry of a reconciliation"))
}
