//! Managed objects: one, many, and what is to be known before one is changed.
use sea_orm::{
    ConnectionTrait as _, DbErr, EntityTrait as _, QueryResult,
    sea_query::{Alias, Expr, ExprTrait as _, JoinType, Query, SelectStatement, UnionType},
};
use serde_json::Value;

use super::{
    Admission, Core, Error, Found, Refusal, Search, Store, StoredObject,
    decode::stored_object,
    entity::{lane, link, managed_object},
    filter::{Bound, Fact},
    links::with_pending,
    page::{Key, Listed, Order, page},
    rows::type_name,
};
use crate::model::{Object, ResourceName, object::ID, pointer::Pointer};

impl Store {
    /// What is to be known before a change of an object is planned, in one round trip.
    ///
    /// # Errors
    /// The database fails, or the object is encrypted with an unknown key.
    pub async fn admission(&self, object: &ResourceName) -> Result<Admission, Error> {
        let step = "read an object and its latest change";
        let core = self.core();
        let (name, managed_type) = (object.to_string(), type_name(&object.container));
        if core.pending.writes(&managed_type, &object.id) {
            self.flush().await?;
        }
        // Asked before and after: a settlement may reach the disk in between.
        let released = core.pending.releases(&name);
        let changed_links = core.pending.links(&object.id);
        let query = admission_query(&managed_type, &object.id, &name);
        let rows = core.database.reader().query_all(&query).await;
        let seen = Seen::read(rows, managed_type, &object.id).map_err(Error::at(step))?;
        let released = released || core.pending.releases(&name);
        let damaged = |_| Error::at(step)(Refusal::Damaged("the id of a change"));
        let id = |text: Option<String>| text.map(|text| text.parse()).transpose();
        let in_flight = id(seen.operation).map_err(damaged)?;
        let ours = seen.node.as_deref() == Some(&*self.identity());
        Ok(Admission {
            object: seen
                .object
                .map(|row| stored_object(&core.keys, row))
                .transpose()?,
            in_flight: in_flight.filter(|_| !(released && ours)),
            latest: id(seen.latest).map_err(damaged)?,
            links: with_pending(seen.links, changed_links),
        })
    }

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

/// What the admission query found.
#[derive(Default)]
struct Seen {
    latest: Option<String>,
    operation: Option<String>,
    node: Option<String>,
    object: Option<managed_object::Model>,
    links: Vec<link::Model>,
}

/// One row for the object and its lane, whatever there is of them, and one for each link.
fn admission_query(managed_type: &str, id: &str, name: &str) -> SelectStatement {
    use managed_object::Column as Object;
    let (one, object_table, lane_table) = (Alias::new("one"), Alias::new("o"), Alias::new("l"));
    let of_object = |column: Object| Expr::col((object_table.clone(), column));
    let of_lane = |column: lane::Column| Expr::col((lane_table.clone(), column));
    let mut query = Query::select();
    query
        .expr(Expr::cust("0"))
        .expr(of_lane(lane::Column::Latest))
        .expr(of_lane(lane::Column::Operation))
        .expr(of_lane(lane::Column::Node))
        .expr(of_object(Object::Rev))
        .expr(of_object(Object::CreatedAt))
        .expr(of_object(Object::UpdatedAt))
        .expr(of_object(Object::SealedKey))
        .expr(of_object(Object::Body))
        .expr(of_object(Object::Sealed))
        .from_subquery(
            Query::select().expr_as(Expr::cust("1"), "here").to_owned(),
            one,
        )
        .join_as(
            JoinType::LeftJoin,
            managed_object::Entity,
            object_table.clone(),
            of_object(Object::Type)
                .eq(managed_type)
                .and(of_object(Object::Id).eq(id)),
        )
        .join_as(
            JoinType::LeftJoin,
            lane::Entity,
            lane_table.clone(),
            of_lane(lane::Column::Object).eq(name),
        )
        .union(UnionType::All, links_query(id));
    query
}

/// The links of a source object, in as many columns as the first part has.
fn links_query(first_id: &str) -> SelectStatement {
    let mut query = Query::select();
    query
        .expr(Expr::cust("1"))
        .expr(Expr::col(link::Column::LinkType))
        .expr(Expr::col(link::Column::Qualifier))
        .expr(Expr::col(link::Column::SecondId));
    for _ in 0..6 {
        query.expr(Expr::cust("NULL"));
    }
    query
        .from(link::Entity)
        .and_where(Expr::col(link::Column::FirstId).eq(first_id));
    query
}

impl Seen {
    fn read(
        rows: Result<Vec<QueryResult>, DbErr>,
        managed_type: String,
        id: &str,
    ) -> Result<Self, DbErr> {
        let mut seen = Self::default();
        for row in rows? {
            if row.try_get_by_index::<i32>(0)? == 1 {
                seen.links.push(link::Model {
                    link_type: row.try_get_by_index(1)?,
                    qualifier: row.try_get_by_index(2)?,
                    first_id: id.to_owned(),
                    second_id: row.try_get_by_index(3)?,
                });
                continue;
            }
            seen.latest = row.try_get_by_index(1)?;
            seen.operation = row.try_get_by_index(2)?;
            seen.node = row.try_get_by_index(3)?;
            seen.object = object_of(&row, managed_type.clone(), id)?;
        }
        Ok(seen)
    }
}

fn object_of(
    row: &QueryResult,
    managed_type: String,
    id: &str,
) -> Result<Option<managed_object::Model>, DbErr> {
    let Some(rev) = row.try_get_by_index::<Option<String>>(4)? else {
        return Ok(None);
    };
    Ok(Some(managed_object::Model {
        r#type: managed_type,
        id: id.to_owned(),
        rev,
        created_at: row.try_get_by_index(5)?,
        updated_at: row.try_get_by_index(6)?,
        sealed_key: row.try_get_by_index(7)?,
        body: row.try_get_by_index(8)?,
        sealed: row.try_get_by_index(9)?,
    }))
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
