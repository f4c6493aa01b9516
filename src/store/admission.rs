//! What is to be known before an object is changed: its row, its lane and its links. Changes that
//! are admitted while a query is under way share the next one.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use sea_orm::{
    ConnectionTrait as _, DbErr, QueryResult,
    sea_query::{Expr, ExprTrait as _, Query, SelectStatement, UnionType},
};
use tokio::sync::oneshot;

use super::{
    Admission, Core, Error, Refusal, Store,
    batch::padded,
    decode::stored_object,
    entity::{lane, link, managed_object},
    links::with_pending,
    rows::type_name,
};
use crate::model::ResourceName;

/// Most objects in one query.
const MOST: usize = 64;
/// How many queries are under way at most: a second one goes on where the first is stuck.
const QUERIES: usize = 2;

impl Store {
    /// What is to be known before a change of an object is planned, from one snapshot.
    ///
    /// # Errors
    /// The database fails, or the object is encrypted with an unknown key.
    pub async fn admission(&self, object: &ResourceName) -> Result<Admission, Error> {
        let step = "read an object and its latest change";
        let core = self.core();
        let place = Place {
            managed_type: type_name(&object.container),
            id: object.id.clone(),
            name: object.to_string(),
        };
        if core.pending.writes(&place.managed_type, &object.id) {
            self.flush().await?;
        }
        // Asked before only: links that are handed over later would be missing below, so such an
        // object still counts as in flight.
        let released = core.pending.releases(&place.name);
        let changed_links = core.pending.links(&object.id);
        let seen = Gathering::ask(&self.handle.core, place.clone());
        let seen = seen.await.map_err(Error::at(step))?;
        let damaged = |_| Error::at(step)(Refusal::Damaged("the id of a change"));
        let id = |text: Option<String>| text.map(|text| text.parse()).transpose();
        let lane = seen.lane.unwrap_or_default();
        let in_flight = id(lane.operation).map_err(damaged)?;
        let ours = lane.node.as_deref() == Some(&*self.identity());
        Ok(Admission {
            object: seen
                .object
                .map(|row| stored_object(&core.keys, row))
                .transpose()?,
            in_flight: in_flight.filter(|_| !(released && ours)),
            latest: id(lane.latest).map_err(damaged)?,
            links: with_pending(seen.links, changed_links),
        })
    }
}

/// An object as the tables name it.
#[derive(Debug, Clone)]
struct Place {
    managed_type: String,
    id: String,
    /// As lanes have it.
    name: String,
}

/// What the tables hold of one object.
#[derive(Debug, Clone, Default)]
struct Seen {
    object: Option<managed_object::Model>,
    lane: Option<SeenLane>,
    links: Vec<link::Model>,
}

#[derive(Debug, Clone, Default)]
struct SeenLane {
    latest: Option<String>,
    operation: Option<String>,
    node: Option<String>,
}

/// Those who wait to be told.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Vec<Waiting>,
    queries: usize,
}

#[derive(Debug)]
struct Waiting {
    place: Place,
    reply: oneshot::Sender<Result<Seen, Arc<DbErr>>>,
}

/// Why somebody was not told.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Database(Arc<DbErr>),
    #[error(transparent)]
    Refused(Refusal),
}

impl Gathering {
    async fn ask(core: &Arc<Core>, place: Place) -> Result<Seen, Problem> {
        let (reply, answer) = oneshot::channel();
        if core.gathering.join(Waiting { place, reply }) {
            let core = Arc::clone(core);
            tokio::spawn(async move { core.gathering.work(&core).await });
        }
        match answer.await {
            Ok(seen) => seen.map_err(Problem::Database),
            Err(_) => Err(Problem::Refused(Refusal::Closed)),
        }
    }

    /// Tells whether one more query may begin.
    fn join(&self, waiting: Waiting) -> bool {
        let mut inner = self.inner();
        inner.waiting.push(waiting);
        let free = inner.queries < QUERIES;
        inner.queries += usize::from(free);
        free
    }

    /// Asks for all who wait, until nobody does.
    async fn work(&self, core: &Core) {
        // Gives the query's place back even where it ends in a panic.
        let mut turn = Turn { of: Some(self) };
        while let Some(waiting) = self.next(&mut turn) {
            let places: Vec<&Place> = waiting.iter().map(|one| &one.place).collect();
            let found = match query(&places) {
                Some(query) => core.database.reader().query_all(&query).await,
                None => Ok(Vec::new()),
            };
            let found = found.and_then(Found::read).map_err(Arc::new);
            for Waiting { place, reply } in waiting {
                let seen = found.as_ref().map(|found| found.of(&place));
                // Whoever is gone wants no answer.
                let _ = reply.send(seen.map_err(Arc::clone));
            }
        }
    }

    fn next(&self, turn: &mut Turn<'_>) -> Option<Vec<Waiting>> {
        let mut inner = self.inner();
        let many = inner.waiting.len().min(MOST);
        if many == 0 {
            // Under the lock that a newcomer needs, who would wait for this query otherwise.
            inner.queries -= 1;
            turn.of = None;
            return None;
        }
        Some(inner.waiting.drain(..many).collect())
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A query that is under way.
struct Turn<'a> {
    /// None once its place is given back.
    of: Option<&'a Gathering>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(gathering) = self.of else { return };
        let mut inner = gathering.inner();
        inner.queries -= 1;
        if inner.queries == 0 {
            // Nobody would ask for them: they are told that nobody does.
            inner.waiting.clear();
        }
    }
}

/// What a query found.
#[derive(Default)]
struct Found {
    objects: HashMap<(String, String), managed_object::Model>,
    lanes: HashMap<String, SeenLane>,
    links: HashMap<String, Vec<link::Model>>,
}

const OBJECT: i32 = 0;
const LANE: i32 = 1;

impl Found {
    fn read(rows: Vec<QueryResult>) -> Result<Self, DbErr> {
        let mut found = Self::default();
        for row in rows {
            match row.try_get_by_index::<i32>(0)? {
                OBJECT => {
                    let object = object_of(&row)?;
                    let key = (object.r#type.clone(), object.id.clone());
                    found.objects.insert(key, object);
                }
                LANE => {
                    let lane = SeenLane {
                        latest: row.try_get_by_index(2)?,
                        operation: row.try_get_by_index(3)?,
                        node: row.try_get_by_index(6)?,
                    };
                    found.lanes.insert(row.try_get_by_index(1)?, lane);
                }
                _ => {
                    let link = link::Model {
                        link_type: row.try_get_by_index(1)?,
                        qualifier: row.try_get_by_index(2)?,
                        first_id: row.try_get_by_index(3)?,
                        second_id: row.try_get_by_index(6)?,
                    };
                    let links = found.links.entry(link.first_id.clone());
                    links.or_default().push(link);
                }
            }
        }
        Ok(found)
    }

    fn of(&self, place: &Place) -> Seen {
        let key = (place.managed_type.clone(), place.id.clone());
        Seen {
            object: self.objects.get(&key).cloned(),
            lane: self.lanes.get(&place.name).cloned(),
            links: self.links.get(&place.id).cloned().unwrap_or_default(),
        }
    }
}

/// The rows of objects, of lanes and of links, in columns that fit all three.
fn query(places: &[&Place]) -> Option<SelectStatement> {
    let mut ids = BTreeMap::<&str, BTreeSet<&str>>::new();
    for place in places {
        let of_type = ids.entry(&place.managed_type).or_default();
        of_type.insert(&place.id);
    }
    let mut parts = ids
        .into_iter()
        .map(|(managed_type, ids)| objects(managed_type, ids));
    let mut query = parts.next()?;
    for part in parts {
        query.union(UnionType::All, part);
    }
    let names: BTreeSet<&str> = places.iter().map(|place| place.name.as_str()).collect();
    let ids: BTreeSet<&str> = places.iter().map(|place| place.id.as_str()).collect();
    query
        .union(UnionType::All, lanes(names))
        .union(UnionType::All, links(ids));
    Some(query)
}

/// This part comes first: the databases take the types of the columns from it.
fn objects(managed_type: &str, ids: BTreeSet<&str>) -> SelectStatement {
    use managed_object::Column;
    Query::select()
        .expr(Expr::cust("0"))
        .columns([
            Column::Type,
            Column::Id,
            Column::Rev,
            Column::CreatedAt,
            Column::UpdatedAt,
            Column::Body,
            Column::SealedKey,
            Column::Sealed,
        ])
        .from(managed_object::Entity)
        .and_where(Expr::col(Column::Type).eq(managed_type))
        .and_where(Expr::col(Column::Id).is_in(padded(ids)))
        .to_owned()
}

fn lanes(names: BTreeSet<&str>) -> SelectStatement {
    use lane::Column;
    let mut query = Query::select();
    query
        .expr(Expr::cust("1"))
        .columns([Column::Object, Column::Latest, Column::Operation]);
    fill(&mut query, 2);
    query.column(Column::Node);
    fill(&mut query, 2);
    query
        .from(lane::Entity)
        .and_where(Expr::col(Column::Object).is_in(padded(names)));
    query
}

fn links(ids: BTreeSet<&str>) -> SelectStatement {
    use link::Column;
    let mut query = Query::select();
    query
        .expr(Expr::cust("2"))
        .columns([Column::LinkType, Column::Qualifier, Column::FirstId]);
    fill(&mut query, 2);
    query.column(Column::SecondId);
    fill(&mut query, 2);
    query
        .from(link::Entity)
        .and_where(Expr::col(Column::FirstId).is_in(padded(ids)));
    query
}

/// Columns that another part of the query needs.
fn fill(query: &mut SelectStatement, columns: usize) {
    for _ in 0..columns {
        query.expr(Expr::cust("NULL"));
    }
}

fn object_of(row: &QueryResult) -> Result<managed_object::Model, DbErr> {
    Ok(managed_object::Model {
        r#type: row.try_get_by_index(1)?,
        id: row.try_get_by_index(2)?,
        rev: row.try_get_by_index(3)?,
        created_at: row.try_get_by_index(4)?,
        updated_at: row.try_get_by_index(5)?,
        body: row.try_get_by_index(6)?,
        sealed_key: row.try_get_by_index(7)?,
        sealed: row.try_get_by_index(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_is_lost_leaves_its_place_and_nobody_waiting() {
        let gathering = Gathering::default();
        let wait = || {
            let (reply, answer) = oneshot::channel();
            let (managed_type, id) = ("user".to_owned(), "ann".to_owned());
            let name = "managed/user/ann".to_owned();
            let place = Place {
                managed_type,
                id,
                name,
            };
            (gathering.join(Waiting { place, reply }), answer)
        };
        let (begins, _first) = wait();
        let lost = Turn {
            of: Some(&gathering),
        };
        assert!(begins);
        let (begins, mut second) = wait();
        assert!(begins);
        drop(Turn {
            of: Some(&gathering),
        });
        drop(lost);
        assert_eq!(
            second.try_recv().err(),
            Some(oneshot::error::TryRecvError::Closed)
        );
        let (begins, _third) = wait();
        assert!(begins, "the places are free again");
        assert_eq!(gathering.inner().queries, 1);
    }
}
