//! Scans for reconciliation: source objects, and links with the digests of what they joined, a page
//! at a time.
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait as _, DbErr, QueryResult,
    sea_query::{
        Alias, Asterisk, Cond, Expr, ExprTrait as _, JoinType, Order as Direction, Query,
        SelectStatement,
    },
};

use super::{
    Error, Store,
    batch::{Listed, among, listed},
    entity::{link, link_digest, managed_object},
    rows::{from_micros, micros},
};
use crate::model::Link;

/// An object, and what tells that it is as it was: its revision, or its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The object's id.
    pub id: String,
    /// Its revision or fingerprint.
    pub print: String,
    /// When it was last written, where the store knows.
    pub updated_at: Option<DateTime<Utc>>,
}

/// Which links are asked for. `reversed`: their first id is the mapping's target.
#[derive(Debug, Clone, Copy)]
pub struct LinkScope<'a> {
    /// The mapping, whose digests count.
    pub mapping: &'a str,
    /// The link type.
    pub link_type: &'a str,
    /// Which id of a link is the source's.
    pub source: LinkEnd,
    /// The link qualifiers whose digests count; none: all.
    pub qualifiers: &'a [String],
}

/// An end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkEnd {
    /// The first id.
    First,
    /// The second id.
    Second,
}

/// A link as a mapping sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkMark {
    /// The link qualifier.
    pub qualifier: String,
    /// The source object's id.
    pub source_id: String,
    /// The target object's id.
    pub target_id: String,
    /// The fingerprint of what both held when they were found to agree.
    pub digest: Option<String>,
}

/// Objects that changed after a time, up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// After this; none: ever.
    pub after: Option<DateTime<Utc>>,
    /// Up to this.
    pub until: DateTime<Utc>,
    /// Which change comes first.
    pub first: First,
}

/// Which change comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// The oldest.
    Oldest,
    /// The newest.
    Newest,
}

impl Store {
    /// Objects of a type after an id, in the order of ids, at most `limit`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn marks(
        &self,
        managed_type: &str,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Mark>, Error> {
        let mut query = marks_query(managed_type);
        query
            .order_by(managed_object::Column::Id, Direction::Asc)
            .limit(limit);
        if let Some(after) = after {
            query.and_where(Expr::col(managed_object::Column::Id).gt(after));
        }
        self.read_marks(&query).await
    }

    /// The same, together with their links.
    ///
    /// # Errors
    /// The database fails.
    pub async fn marks_with_links(
        &self,
        scope: LinkScope<'_>,
        managed_type: &str,
        after: Option<&str>,
        limit: u64,
    ) -> Result<(Vec<Mark>, Vec<LinkMark>), Error> {
        self.flush().await?;
        let step = "scan objects and their links";
        let reader = self.core().database.reader();
        let last = reader
            .query_one(&last_of_page(managed_type, after, limit))
            .await;
        let last: Option<String> = last
            .and_then(|row| row.map(|row| row.try_get_by_index(0)).transpose())
            .map_err(Error::at(step))?;
        let page = Page {
            after,
            last: last.as_deref(),
        };
        let query = marks_with_links_query(scope, managed_type, page);
        let rows = reader.query_all(&query).await;
        let rows = rows.map_err(Error::at(step))?;
        let mut marks: Vec<Mark> = Vec::with_capacity(rows.len());
        let mut links = Vec::with_capacity(rows.len());
        for row in &rows {
            let (mark, link) = mark_and_link_of(row).map_err(Error::at(step))?;
            links.extend(link);
            // A row for each link of an object.
            if marks.last().is_none_or(|last| last.id != mark.id) {
                marks.push(mark);
            }
        }
        Ok((marks, links))
    }

    /// Those of these target objects that have no link, in their order.
    ///
    /// # Errors
    /// The database fails.
    pub async fn targets_without_link(
        &self,
        scope: LinkScope<'_>,
        target_ids: &[String],
    ) -> Result<Vec<String>, Error> {
        if target_ids.is_empty() {
            return Ok(Vec::new());
        }
        self.flush().await?;
        let target = of_link(scope.target_column());
        let mut links = Query::select();
        links
            .expr(target.clone())
            .from_as(link::Entity, Alias::new("l"))
            .and_where(of_link(link::Column::LinkType).eq(scope.link_type));
        let (query, tells_linked) = match listed(self.core().database.backend(), target_ids) {
            // What is usual is that all have one: no row comes back then.
            Some(Listed { mut query, id }) => {
                links.and_where(target.eq(id));
                query.and_where(Expr::exists(links).not());
                (query, false)
            }
            None => {
                links.and_where(self.among(target, target_ids));
                (links, true)
            }
        };
        let step = "scan links";
        let rows = self.core().database.reader().query_all(&query).await;
        let told: HashSet<String> = rows
            .map_err(Error::at(step))?
            .iter()
            .map(|row| row.try_get_by_index(0))
            .collect::<Result<_, _>>()
            .map_err(Error::at(step))?;
        let loose = target_ids
            .iter()
            .filter(|id| told.contains(*id) != tells_linked);
        Ok(loose.cloned().collect())
    }

    /// Objects of a type that changed within bounds, in the order that these name, after a place.
    ///
    /// # Errors
    /// The database fails.
    pub async fn marks_changed(
        &self,
        managed_type: &str,
        changed: Changed,
        after: Option<(DateTime<Utc>, &str)>,
        limit: u64,
    ) -> Result<Vec<Mark>, Error> {
        use managed_object::Column as C;
        let mut query = marks_query(managed_type);
        within(&mut query, changed);
        let direction = match changed.first {
            First::Oldest => Direction::Asc,
            First::Newest => Direction::Desc,
        };
        query
            .order_by(C::UpdatedAt, direction)
            .order_by(C::Id, Direction::Asc)
            .limit(limit);
        if let Some((at, id)) = after {
            let time = || Expr::col(C::UpdatedAt);
            let beyond = match changed.first {
                First::Oldest => time().gt(micros(at)),
                First::Newest => time().lt(micros(at)),
            };
            let same = time().eq(micros(at));
            query.cond_where(
                Cond::any()
                    .add(beyond)
                    .add(same.and(Expr::col(C::Id).gt(id))),
            );
        }
        self.read_marks(&query).await
    }

    /// Those of these objects of a type that are there.
    ///
    /// # Errors
    /// The database fails.
    pub async fn marks_of(
        &self,
        managed_type: &str,
        ids: &[String],
    ) -> Result<HashMap<String, String>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut query = marks_query(managed_type);
        query.and_where(self.among(Expr::col(managed_object::Column::Id), ids));
        let marks = self.read_marks(&query).await?;
        Ok(marks
            .into_iter()
            .map(|mark| (mark.id, mark.print))
            .collect())
    }

    /// How many objects a type has; of those that changed within bounds where they are given.
    ///
    /// # Errors
    /// The database fails.
    pub async fn count_marks(
        &self,
        managed_type: &str,
        changed: Option<Changed>,
    ) -> Result<u64, Error> {
        self.flush().await?;
        let mut query = Query::select();
        query
            .expr(Expr::col(Asterisk).count())
            .from(managed_object::Entity)
            .and_where(Expr::col(managed_object::Column::Type).eq(managed_type));
        if let Some(changed) = changed {
            within(&mut query, changed);
        }
        let count = self.core().database.reader().query_one(&query).await;
        count
            .and_then(|row| row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0)))
            .map(i64::unsigned_abs)
            .map_err(Error::at("count objects"))
    }

    /// The links of these source objects.
    ///
    /// # Errors
    /// The database fails.
    pub async fn links_from(
        &self,
        scope: LinkScope<'_>,
        source_ids: &[String],
    ) -> Result<Vec<LinkMark>, Error> {
        if source_ids.is_empty() {
            return Ok(Vec::new());
        }
        self.flush().await?;
        let mut query = links_query(scope);
        query.and_where(self.among(of_link(scope.source_column()), source_ids));
        self.read_links(&query).await
    }

    /// Links after a place (qualifier and source id), in that order.
    ///
    /// # Errors
    /// The database fails.
    pub async fn links_after(
        &self,
        scope: LinkScope<'_>,
        after: Option<(&str, &str)>,
        limit: u64,
    ) -> Result<Vec<LinkMark>, Error> {
        self.flush().await?;
        let query = links_after_query(scope, after, limit);
        self.read_links(&query).await
    }

    /// The same, but only links whose source is no object of this type.
    ///
    /// # Errors
    /// The database fails.
    pub async fn links_without_source(
        &self,
        scope: LinkScope<'_>,
        managed_type: &str,
        after: Option<(&str, &str)>,
        limit: u64,
    ) -> Result<Vec<LinkMark>, Error> {
        self.flush().await?;
        let objects = Alias::new("o");
        let mut query = links_after_query(scope, after, limit);
        let of_object = |column| Expr::col((objects.clone(), column));
        query
            .join_as(
                JoinType::LeftJoin,
                managed_object::Entity,
                objects.clone(),
                of_object(managed_object::Column::Type)
                    .eq(managed_type)
                    .and(of_object(managed_object::Column::Id).eq(of_link(scope.source_column()))),
            )
            .and_where(of_object(managed_object::Column::Id).is_null());
        self.read_links(&query).await
    }

    /// The links of every qualifier that a target object has.
    ///
    /// # Errors
    /// The database fails.
    pub async fn links_of_target(
        &self,
        link_type: &str,
        second_id: &str,
    ) -> Result<Vec<Link>, Error> {
        let scope = LinkScope {
            mapping: "",
            link_type,
            source: LinkEnd::First,
            qualifiers: &[],
        };
        self.flush().await?;
        let mut query = links_query(scope);
        query.and_where(of_link(link::Column::SecondId).eq(second_id));
        let links = self.read_links(&query).await?;
        Ok(links
            .into_iter()
            .map(|link| Link {
                link_type: link_type.to_owned(),
                link_qualifier: link.qualifier,
                first_id: link.source_id,
                second_id: link.target_id,
            })
            .collect())
    }

    pub(super) fn among(&self, column: Expr, values: &[String]) -> Expr {
        among(self.core().database.backend(), column, values)
    }

    async fn read_marks(&self, query: &SelectStatement) -> Result<Vec<Mark>, Error> {
        self.flush().await?;
        let step = "scan objects";
        let rows = self.core().database.reader().query_all(query).await;
        rows.map_err(Error::at(step))?
            .iter()
            .map(mark_of)
            .collect::<Result<_, _>>()
            .map_err(Error::at(step))
    }

    async fn read_links(&self, query: &SelectStatement) -> Result<Vec<LinkMark>, Error> {
        let step = "scan links";
        let rows = self.core().database.reader().query_all(query).await;
        rows.map_err(Error::at(step))?
            .iter()
            .map(link_mark_of)
            .collect::<Result<_, _>>()
            .map_err(Error::at(step))
    }
}

impl LinkScope<'_> {
    fn source_column(&self) -> link::Column {
        match self.source {
            LinkEnd::First => link::Column::FirstId,
            LinkEnd::Second => link::Column::SecondId,
        }
    }

    fn target_column(&self) -> link::Column {
        match self.source {
            LinkEnd::First => link::Column::SecondId,
            LinkEnd::Second => link::Column::FirstId,
        }
    }
}

fn of_link(column: link::Column) -> Expr {
    Expr::col((Alias::new("l"), column))
}

fn marks_query(managed_type: &str) -> SelectStatement {
    Query::select()
        .columns([
            managed_object::Column::Id,
            managed_object::Column::Rev,
            managed_object::Column::UpdatedAt,
        ])
        .from(managed_object::Entity)
        .and_where(Expr::col(managed_object::Column::Type).eq(managed_type))
        .to_owned()
}

/// Ids after one, up to another.
#[derive(Clone, Copy, Default)]
struct Page<'a> {
    after: Option<&'a str>,
    last: Option<&'a str>,
}

impl Page<'_> {
    fn holds(self, id: impl Fn() -> Expr) -> Cond {
        Cond::all()
            .add_option(self.after.map(|after| id().gt(after)))
            .add_option(self.last.map(|last| id().lte(last)))
    }
}

/// The id of the last object of a full page.
fn last_of_page(managed_type: &str, after: Option<&str>, limit: u64) -> SelectStatement {
    use managed_object::Column as C;
    let page = Page { after, last: None };
    Query::select()
        .column(C::Id)
        .from(managed_object::Entity)
        .and_where(Expr::col(C::Type).eq(managed_type))
        .cond_where(page.holds(|| Expr::col(C::Id)))
        .order_by(C::Id, Direction::Asc)
        .limit(1)
        .offset(limit.saturating_sub(1))
        .to_owned()
}

/// The objects of a page, each with its links, in the order of ids. Every table has the bounds of
/// its own: a planner that does not see how few rows are wanted reads each table whole.
fn marks_with_links_query(
    scope: LinkScope<'_>,
    managed_type: &str,
    page: Page<'_>,
) -> SelectStatement {
    use managed_object::Column as C;
    let objects = Alias::new("o");
    let of_object = |column: C| Expr::col((objects.clone(), column));
    let source = || of_link(scope.source_column());
    let mut query = Query::select();
    query
        .expr(of_object(C::Id))
        .expr(of_object(C::Rev))
        .expr(of_link(link::Column::Qualifier))
        .expr(of_link(scope.target_column()))
        .from_as(managed_object::Entity, objects.clone())
        .join_as(
            JoinType::LeftJoin,
            link::Entity,
            Alias::new("l"),
            page.holds(source)
                .add(of_link(link::Column::LinkType).eq(scope.link_type))
                .add(source().eq(of_object(C::Id))),
        )
        .and_where(of_object(C::Type).eq(managed_type))
        .cond_where(page.holds(|| of_object(C::Id)));
    join_digests(&mut query, scope, page);
    query.order_by((objects, C::Id), Direction::Asc);
    query
}

/// Adds the digests of the links, as the last column.
fn join_digests(query: &mut SelectStatement, scope: LinkScope<'_>, page: Page<'_>) {
    let digests = Alias::new("d");
    let of_digest = |column| Expr::col((digests.clone(), column));
    let qualifiers = Some(scope.qualifiers).filter(|qualifiers| !qualifiers.is_empty());
    let counts = qualifiers.map(|all| of_digest(link_digest::Column::Qualifier).is_in(all));
    query.expr(of_digest(link_digest::Column::Digest)).join_as(
        JoinType::LeftJoin,
        link_digest::Entity,
        digests.clone(),
        page.holds(|| of_digest(link_digest::Column::FirstId))
            .add(of_digest(link_digest::Column::Mapping).eq(scope.mapping))
            .add_option(counts)
            .add(of_digest(link_digest::Column::Qualifier).eq(of_link(link::Column::Qualifier)))
            .add(of_digest(link_digest::Column::FirstId).eq(of_link(scope.source_column()))),
    );
}

fn within(query: &mut SelectStatement, changed: Changed) {
    let column = || Expr::col(managed_object::Column::UpdatedAt);
    query.and_where(column().lte(micros(changed.until)));
    if let Some(after) = changed.after {
        query.and_where(column().gt(micros(after)));
    }
}

/// Qualifier, source id, target id and digest of links.
fn links_query(scope: LinkScope<'_>) -> SelectStatement {
    let mut query = Query::select();
    query
        .expr(of_link(link::Column::Qualifier))
        .expr(of_link(scope.source_column()))
        .expr(of_link(scope.target_column()))
        .from_as(link::Entity, Alias::new("l"))
        .and_where(of_link(link::Column::LinkType).eq(scope.link_type));
    join_digests(&mut query, scope, Page::default());
    query
}

fn links_after_query(
    scope: LinkScope<'_>,
    after: Option<(&str, &str)>,
    limit: u64,
) -> SelectStatement {
    let mut query = links_query(scope);
    query
        .order_by((Alias::new("l"), link::Column::Qualifier), Direction::Asc)
        .order_by((Alias::new("l"), scope.source_column()), Direction::Asc)
        .limit(limit);
    if let Some((qualifier, id)) = after {
        let same = of_link(link::Column::Qualifier).eq(qualifier);
        query.cond_where(
            Cond::any()
                .add(of_link(link::Column::Qualifier).gt(qualifier))
                .add(same.and(of_link(scope.source_column()).gt(id))),
        );
    }
    query
}

fn mark_of(row: &QueryResult) -> Result<Mark, DbErr> {
    Ok(Mark {
        id: row.try_get_by_index(0)?,
        print: row.try_get_by_index(1)?,
        updated_at: Some(from_micros(row.try_get_by_index(2)?)),
    })
}

fn mark_and_link_of(row: &QueryResult) -> Result<(Mark, Option<LinkMark>), DbErr> {
    let id: String = row.try_get_by_index(0)?;
    let qualifier: Option<String> = row.try_get_by_index(2)?;
    let link = match qualifier {
        Some(qualifier) => Some(LinkMark {
            qualifier,
            source_id: id.clone(),
            target_id: row.try_get_by_index(3)?,
            digest: row.try_get_by_index(4)?,
        }),
        None => None,
    };
    let mark = Mark {
        id,
        print: row.try_get_by_index(1)?,
        updated_at: None,
    };
    Ok((mark, link))
}

fn link_mark_of(row: &QueryResult) -> Result<LinkMark, DbErr> {
    Ok(LinkMark {
        qualifier: row.try_get_by_index(0)?,
        source_id: row.try_get_by_index(1)?,
        target_id: row.try_get_by_index(2)?,
        digest: row.try_get_by_index(3)?,
    })
}
