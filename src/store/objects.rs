//! Managed objects: one, and many.
use sea_orm::{
    EntityTrait as _,
    sea_query::{Expr, ExprTrait as _, SelectStatement},
};
use serde_json::Value;

use super::{
    Core, Error, Found, Refusal, Search, Store, StoredObject,
    decode::stored_object,
    entity::managed_object,
    filter::{Bound, Fact},
    page::{Key, Listed, Order, page},
    rows::type_name,
};
use crate::model::{Object, ResourceName, object::ID, pointer::Pointer};

impl Store {
    /// One object.
    ///
    /// # Errors
    /// The database fails, or the object is encrypted with an unknown key.
    pub async fn object(&self, object: &ResourceName) -> Result<Option<StoredObject>, Error> {
        let managed_type = type_name(&object.container);
        if self.core().pending.writes(&managed_type, &object.id) {
            self.flush().await?;
        }
        let row = managed_object::Entity::find_by_id((managed_type, object.id.clone()))
            .one(self.core().database.reader())
            .await
            .map_err(Error::at("read an object"))?;
        row.map(|row| stored_object(&self.core().keys, row))
            .transpose()
    }

    /// Objects of a type, by id unless sorted otherwise.
    ///
    /// # Errors
    /// The database fails, the cookie belongs to another query, or the query names a confidential
    /// attribute.
    pub async fn objects(
        &self,
        managed_type: &str,
        search: &Search,
    ) -> Result<Found<StoredObject>, Error> {
        if self.core().pending.writes_any() {
            self.flush().await?;
        }
        let confidential = self.core().confidential.load();
        let listed = Objects {
            managed_type,
            confidential: confidential.get(managed_type).map_or(&[], Vec::as_slice),
        };
        page(self.core(), &listed, search).await
    }
}

/// The objects of one type as a list.
struct Objects<'a> {
    managed_type: &'a str,
    confidential: &'a [String],
}

impl Listed for Objects<'_> {
    type Row = managed_object::Model;
    type Entity = managed_object::Entity;
    type Word = StoredObject;

    fn scope(&self) -> String {
        format!("objects of {}", self.managed_type)
    }

    fn restrict(&self, query: &mut SelectStatement) {
        query.and_where(Expr::col(managed_object::Column::Type).eq(self.managed_type));
    }

    fn key_order(&self) -> Order {
        Order::ascending(managed_object::Column::Id)
    }

    fn key(&self, row: &Self::Row) -> Key {
        Key::Text(row.id.clone())
    }

    fn body(&self) -> sea_orm::sea_query::DynIden {
        sea_orm::sea_query::IntoIden::into_iden(managed_object::Column::Body)
    }

    fn check(&self, field: &Pointer) -> Result<(), Refusal> {
        match field.tokens().first() {
            Some(name) if self.confidential.contains(name) => {
                Err(Refusal::ConfidentialField(name.clone()))
            }
            _ => Ok(()),
        }
    }

    fn bound(&self, fact: &Fact<'_>) -> Option<Bound> {
        match (fact.name()?, fact.equal_text()?) {
            (ID, id) => Some(Bound::exact(Expr::col(managed_object::Column::Id).eq(id))),
            _ => None,
        }
    }

    fn view(&self, row: &Self::Row) -> Result<Object, Error> {
        match serde_json::from_str(&row.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(Error::at("read an object")(Refusal::Damaged("an object"))),
        }
    }

    fn word(&self, core: &Core, row: Self::Row) -> Result<StoredObject, Error> {
        stored_object(&core.keys, row)
    }
}
