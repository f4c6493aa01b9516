//! Changes as the journal holds them.
use std::collections::HashMap;

use sea_orm::{
    EntityTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{DynIden, Expr, ExprTrait as _, IntoIden as _, SelectStatement},
};
use serde_json::Value;

use super::{
    Core, Error, Found, Refusal, Search, Store, StoredOperation,
    batch::padded,
    decode::{clear_intent, record},
    entity::{intent, operation},
    filter::{Bound, Fact},
    page::{Key, Listed, Order, Sorted, page},
};
use crate::model::{Object, OperationId, OperationRecord, ResourceName, pointer::Pointer};

impl Store {
    /// One change.
    ///
    /// # Errors
    /// The database fails, or the intent is encrypted with an unknown key.
    pub async fn operation(&self, id: OperationId) -> Result<Option<StoredOperation>, Error> {
        self.flush().await?;
        let row = operation::Entity::find_by_id(id.to_string())
            .one(self.core().database.reader())
            .await
            .map_err(Error::at("read a change"))?;
        match row {
            Some(row) => Ok(self.with_intents(vec![row]).await?.pop()),
            None => Ok(None),
        }
    }

    /// Records of changes, newest first unless sorted otherwise.
    ///
    /// # Errors
    /// The database fails, or the cookie belongs to another query.
    pub async fn operations(&self, search: &Search) -> Result<Found<OperationRecord>, Error> {
        self.flush().await?;
        page(self.core(), &Operations, search).await
    }

    /// The nested changes of a change, oldest first.
    ///
    /// # Errors
    /// The database fails, or an intent is encrypted with an unknown key.
    pub async fn children(&self, parent: OperationId) -> Result<Vec<StoredOperation>, Error> {
        self.flush().await?;
        let rows = operation::Entity::find()
            .filter(Expr::col(operation::Column::Parent).eq(parent.to_string()))
            .order_by_asc(operation::Column::Id)
            .all(self.core().database.reader())
            .await
            .map_err(Error::at("read nested changes"))?;
        self.with_intents(rows).await
    }

    async fn with_intents(
        &self,
        rows: Vec<operation::Model>,
    ) -> Result<Vec<StoredOperation>, Error> {
        let step = "read an intent";
        let core = self.core();
        let ids = padded(rows.iter().map(|row| row.id.as_str()));
        let found = intent::Entity::find()
            .filter(Expr::col(intent::Column::Operation).is_in(ids))
            .all(core.database.reader())
            .await
            .map_err(Error::at(step))?;
        let mut intents: HashMap<String, intent::Model> = found
            .into_iter()
            .map(|row| (row.operation.clone(), row))
            .collect();
        rows.into_iter()
            .map(|row| {
                let intent = intents.remove(&row.id);
                let payload = intent.map(|intent| clear_intent(&core.keys, intent));
                Ok(StoredOperation {
                    record: record(&row.record)?,
                    payload: payload.transpose().map_err(Error::at(step))?,
                })
            })
            .collect()
    }

    /// The changes of an object that began after this one, newest first, at most `limit`.
    ///
    /// # Errors
    /// The database fails, or an intent is encrypted with an unknown key.
    pub async fn changes_after(
        &self,
        object: &ResourceName,
        after: OperationId,
        limit: u64,
    ) -> Result<Vec<StoredOperation>, Error> {
        self.flush().await?;
        let rows = operation::Entity::find()
            .filter(Expr::col(operation::Column::Object).eq(object.to_string()))
            .filter(Expr::col(operation::Column::Id).gt(after.to_string()))
            .order_by_desc(operation::Column::Id)
            .limit(limit)
            .all(self.core().database.fresh())
            .await
            .map_err(Error::at("read the latest changes of an object"))?;
        self.with_intents(rows).await
    }
}

/// The changes as a list.
struct Operations;

/// What a list reads of a change: its intent stays where it is.
#[derive(FromQueryResult)]
struct Row {
    id: String,
    started_at: i64,
    record: String,
}

impl Listed for Operations {
    type Row = Row;
    type Entity = operation::Entity;
    type Word = OperationRecord;

    fn scope(&self) -> String {
        "operations".to_owned()
    }

    fn columns(&self) -> Vec<operation::Column> {
        use operation::Column;
        vec![Column::Id, Column::StartedAt, Column::Record]
    }

    fn restrict(&self, _: &mut SelectStatement) {}

    fn key_order(&self) -> Order {
        Order::descending(operation::Column::Id)
    }

    fn key(&self, row: &Self::Row) -> Key {
        Key::Text(row.id.clone())
    }

    fn column(&self, field: &Pointer) -> Option<Sorted<Self::Row>> {
        match field.tokens() {
            [name] if name == "startedAt" => {
                Some((operation::Column::StartedAt.into_iden(), |row| {
                    row.started_at
                }))
            }
            _ => None,
        }
    }

    fn body(&self) -> DynIden {
        operation::Column::Record.into_iden()
    }

    fn bound(&self, fact: &Fact<'_>) -> Option<Bound> {
        use operation::Column;
        let name = fact.name()?;
        if let ("outcome", Fact::Present(_)) = (name, fact) {
            return Some(Bound::exact(Expr::col(Column::Outcome).is_not_null()));
        }
        let text = fact.equal_text()?;
        let (column, nullable) = match name {
            "_id" => (Column::Id, Nullable::No),
            "root" => (Column::Root, Nullable::No),
            "object" => (Column::Object, Nullable::No),
            "kind" => (Column::Kind, Nullable::No),
            "phase" => (Column::Phase, Nullable::No),
            "parent" => (Column::Parent, Nullable::Yes),
            "outcome" => (Column::Outcome, Nullable::Yes),
            _ => return None,
        };
        let equal = Expr::col(column).eq(text);
        Some(Bound::exact(match nullable {
            Nullable::No => equal,
            Nullable::Yes => Expr::col(column).is_not_null().and(equal),
        }))
    }

    fn view(&self, row: &Self::Row) -> Result<Object, Error> {
        match serde_json::from_str(&row.record) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(Error::at("read the record of a change")(Refusal::Damaged(
                "a record",
            ))),
        }
    }

    fn word(&self, _: &Core, row: Self::Row) -> Result<OperationRecord, Error> {
        record(&row.record)
    }
}

enum Nullable {
    Yes,
    No,
}
