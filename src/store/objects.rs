//! Managed objects: one, and many.
use sea_orm::{
    EntityTrait as _,
    sea_query::{Expr, ExprTrait as _, IntoIden, SelectStatement},
};
use serde_json::{Value, json};

use super::{
    Core, Error, Found, Refusal, Search, Store, StoredObject,
    decode::stored_object,
    entity::managed_object,
    filter::{Bound, Fact},
    page::{Key, Listed, Order, Sorted, page},
    rows::type_name,
};
use crate::model::{
    Object, ResourceName,
    filter::{Operator, Relation, Test, Texts, Within},
    object::{CREATED, ID, TIMES, UPDATED},
    pointer::Pointer,
};

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
        if let Some(bound) = time_bound(fact) {
            return Some(bound);
        }
        match (fact.name()?, fact.equal_text()?) {
            (ID, id) => Some(Bound::exact(Expr::col(managed_object::Column::Id).eq(id))),
            _ => None,
        }
    }

    fn within(&self, within: &Within) -> Option<Bound> {
        match (within.field.tokens(), &within.test) {
            (
                [name],
                Test::Compare {
                    relation: Relation::Equal,
                    value: Value::String(id),
                    texts: Texts::Exact,
                },
            ) if name == ID => Some(Bound::exact(
                Expr::col(managed_object::Column::Id).eq(id.as_str()),
            )),
            _ => None,
        }
    }

    fn column(&self, field: &Pointer) -> Option<Sorted<Self::Row>> {
        let column = IntoIden::into_iden(time_column(field)?);
        Some(match field.tokens().get(1).map(String::as_str) {
            Some(CREATED) => (column, |row| row.created_at),
            _ => (column, |row| row.updated_at),
        })
    }

    fn in_body(&self, name: &str) -> bool {
        name != TIMES
    }

    fn view(&self, row: &Self::Row) -> Result<Object, Error> {
        let Ok(Value::Object(mut object)) = serde_json::from_str(&row.body) else {
            return Err(Error::at("read an object")(Refusal::Damaged("an object")));
        };
        object.insert(
            TIMES.to_owned(),
            json!({CREATED: row.created_at, UPDATED: row.updated_at}),
        );
        Ok(object)
    }

    fn word(&self, core: &Core, row: Self::Row) -> Result<StoredObject, Error> {
        stored_object(&core.keys, row)
    }
}

/// The column of one of an object's times.
fn time_column(field: &Pointer) -> Option<managed_object::Column> {
    match field.tokens() {
        [times, time] if times == TIMES => match time.as_str() {
            CREATED => Some(managed_object::Column::CreatedAt),
            UPDATED => Some(managed_object::Column::UpdatedAt),
            _ => None,
        },
        _ => None,
    }
}

/// What a comparison with one of an object's times means.
fn time_bound(fact: &Fact<'_>) -> Option<Bound> {
    let Fact::Compare(field, operator, value) = fact else {
        return None;
    };
    let column = Expr::col(time_column(field)?);
    let micros = value.as_i64()?;
    Some(Bound::exact(match operator {
        Operator::Equal => column.eq(micros),
        Operator::Less => column.lt(micros),
        Operator::LessOrEqual => column.lte(micros),
        Operator::Greater => column.gt(micros),
        Operator::GreaterOrEqual => column.gte(micros),
        Operator::Contains | Operator::StartsWith => return None,
    }))
}
