//! Searches that are taken page by page, each on a connection of its own while it lasts.
use std::{
    collections::{VecDeque, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ldap3::controls::PagedResults;

use super::{
    memberships,
    session::{Lease, Pool},
    settings::Class,
    wire::View,
};
use crate::{
    connectors::{Error, Page, Query},
    model::{Filter, TargetObject},
};

/// How many searches are kept open; the one that waited longest makes room.
const OPEN: usize = 8;
/// How many entries the server is asked for at least.
const BATCH: usize = 200;

/// A search that is under way.
struct Search {
    lease: Lease,
    /// What it was begun for: whose entries, and which of them.
    class: Class,
    asked: Filter,
    filter: String,
    /// The last object that was given.
    last: String,
    /// What was read and not given yet.
    waiting: VecDeque<TargetObject>,
    /// What the server wants to see for its next page; none once it has given all.
    cookie: Option<Vec<u8>>,
}

/// Searches that wait for their next page, each for so long at most.
#[derive(Debug)]
pub struct Searches {
    open: Arc<Mutex<Open>>,
    patience: Duration,
}

struct Open {
    /// The number of the next search that is kept. The first one is anybody's guess: a cursor of
    /// another process finds no search of this one.
    next: u64,
    searches: VecDeque<(u64, Search)>,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            next: RandomState::new().hash_one(0),
            searches: VecDeque::new(),
        }
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Open")
            .field("searches", &self.searches.len())
            .finish_non_exhaustive()
    }
}

/// Where a page ended: the search, where it is still open, and the last object that was given,
/// with which it is found again where it is not.
struct Cursor<'a> {
    number: u64,
    last: &'a str,
}

impl<'a> Cursor<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (number, last) = text.split_once(':')?;
        Some(Self {
            number: number.parse().ok()?,
            last,
        })
    }
}

impl Search {
    async fn begin(
        pool: &Arc<Pool>,
        (view, query): (&View<'_>, &Query),
        filter: &str,
    ) -> Result<Self, Error> {
        Ok(Self {
            lease: pool.lease().await?,
            class: view.class.clone(),
            asked: query.filter.clone(),
            filter: filter.to_owned(),
            last: String::new(),
            waiting: VecDeque::new(),
            cookie: Some(Vec::new()),
        })
    }

    /// The next object that meets the filter; none after the last.
    async fn next(
        &mut self,
        view: &View<'_>,
        query: &Query,
    ) -> Result<Option<TargetObject>, Error> {
        while self.waiting.is_empty() {
            let Some(cookie) = self.cookie.take() else {
                return Ok(None);
            };
            self.fetch(view, query, cookie).await?;
        }
        Ok(self.waiting.pop_front())
    }

    async fn fetch(
        &mut self,
        view: &View<'_>,
        query: &Query,
        cookie: Vec<u8>,
    ) -> Result<(), Error> {
        let wanted = view.wanted();
        let base = &view.class.base;
        let found = if view.server.pages() {
            let size = i32::try_from(query.page_size.clamp(BATCH, 1000)).unwrap_or(1000);
            let page = PagedResults { size, cookie };
            self.lease.page(base, &self.filter, &wanted, page).await?
        } else {
            let scope = ldap3::Scope::Subtree;
            super::session::Found {
                entries: self
                    .lease
                    .search(base, scope, &self.filter, &wanted)
                    .await?,
                cookie: Vec::new(),
            }
        };
        for entry in &found.entries {
            let mut object = view.object(entry)?;
            memberships::show(&mut self.lease, view, &mut object).await?;
            if query.filter.matches(&object.to_object()) {
                self.waiting.push_back(object);
            }
        }
        self.cookie = Some(found.cookie).filter(|cookie| !cookie.is_empty());
        Ok(())
    }

    /// Whether it is the one that goes on for a query at a cursor.
    fn is_of(&self, view: &View<'_>, query: &Query, cursor: &Cursor<'_>) -> bool {
        self.last == cursor.last && self.asked == query.filter && self.class == *view.class
    }

    /// Goes on after an object that was given before; whether it was found.
    async fn skip(&mut self, view: &View<'_>, query: &Query, last: &str) -> Result<bool, Error> {
        while let Some(object) = self.next(view, query).await? {
            if object.id == last {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Searches {
    /// None yet. Who does not come for a page for as long as this finds its place anew.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            open: Arc::default(),
            patience,
        }
    }

    /// The page after `query.cursor`, of what an LDAP filter finds.
    ///
    /// # Errors
    /// Refused where the cursor is none of this query, or the object that it stood at is gone and
    /// the search that knew its place is over.
    pub async fn page(
        &self,
        view: &View<'_>,
        query: &Query,
        pool: &Arc<Pool>,
        filter: &str,
    ) -> Result<Page, Error> {
        let mut search = match query.cursor.as_deref() {
            None => Search::begin(pool, (view, query), filter).await?,
            Some(text) => {
                let cursor = Cursor::parse(text)
                    .ok_or_else(|| Error::refused(400, "this is no cursor of this query"))?;
                match self.take(view, query, &cursor) {
                    Some(search) => search,
                    None => {
                        let mut search = Search::begin(pool, (view, query), filter).await?;
                        if !search.skip(view, query, cursor.last).await? {
                            let message = "the place of this cursor is gone: begin again";
                            return Err(Error::refused(410, message));
                        }
                        search
                    }
                }
            }
        };
        let mut page = Page::default();
        while page.objects.len() < query.page_size {
            match search.next(view, query).await? {
                Some(object) => page.objects.push(object),
                None => break,
            }
        }
        if let Some(ahead) = search.next(view, query).await? {
            search.waiting.push_front(ahead);
            let last = page.objects.last().map(|object| object.id.clone());
            page.cursor = last.map(|last| {
                search.last.clone_from(&last);
                let number = self.keep(search);
                format!("{number}:{last}")
            });
        } else {
            search.lease.give_back();
        }
        Ok(page)
    }

    fn take(&self, view: &View<'_>, query: &Query, cursor: &Cursor<'_>) -> Option<Search> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let place = open.searches.iter().position(|(number, search)| {
            *number == cursor.number && search.is_of(view, query, cursor)
        })?;
        open.searches.remove(place).map(|(_, search)| search)
    }

    fn keep(&self, search: Search) -> u64 {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.next = open.next.wrapping_add(1);
        let number = open.next;
        open.searches.push_back((number, search));
        if open.searches.len() > OPEN {
            open.searches.pop_front();
        }
        drop(open);
        let (all, patience) = (Arc::downgrade(&self.open), self.patience);
        // A listing that nobody goes on with gives its connection back.
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            if let Some(all) = all.upgrade() {
                let mut open = all.lock().unwrap_or_else(PoisonError::into_inner);
                open.searches.retain(|(own, _)| *own != number);
            }
        });
        number
    }
}
