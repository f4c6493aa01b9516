//! The two sides of a mapping as pages of marks, in bounded memory, whatever holds them.
//!
//! Managed objects come straight from the store, in the order of their ids, and are known by their
//! revisions. A system that can be asked for many objects by their ids is asked a page at a time.
//! Any other one is listed once, in its own order, and its ids and fingerprints wait in the store,
//! sorted there, until the run is over.
use std::collections::{HashMap, HashSet};

use chrono::DateTime;

use crate::{
    connectors::Change,
    mapping::SyncDirection,
    model::{
        CauseKind, Container, Filter, TargetObject,
        recon::{Mode, Run},
    },
    store::{Changed, Count, First, LinkEnd, LinkScope, Mark, Search},
    sync::{Engine, fingerprint},
};

use super::{
    quiet::Sources,
    run::{Stop, Task},
};

/// How many objects are looked at in one step.
pub(super) const PAGE: usize = 1_000;

/// A page of one side.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) marks: Vec<Mark>,
    /// Where the next page begins; none after the last.
    pub(super) next: Option<String>,
    /// Whether the page may be cut anywhere, its ids (and times) telling where to go on.
    pub(super) divisible: bool,
}

impl Task {
    /// How this mapping sees links.
    pub(super) fn links(&self) -> LinkScope<'_> {
        LinkScope {
            mapping: &self.mapping.name,
            link_type: &self.mapping.link_type,
            source: if self.mapping.links_reversed {
                LinkEnd::Second
            } else {
                LinkEnd::First
            },
            qualifiers: &self.qualifiers,
        }
    }

    /// The page of source objects at a place.
    pub(super) async fn source_page(
        &self,
        run: &Run,
        position: Option<&str>,
    ) -> Result<Marks, Stop> {
        if !run.wanted.ids.is_empty() {
            return Ok(named(run));
        }
        match (&self.mapping.source, &self.source_query, self.window(run)) {
            (Container::Managed(name), None, None) => self.by_id(name, position).await,
            (Container::Managed(name), filter, Some(changed)) => {
                let page = self.by_time(name, changed, position).await?;
                match filter {
                    Some(filter) => self.meeting(filter, page).await,
                    None => Ok(page),
                }
            }
            (Container::Managed(name), Some(filter), None) => {
                self.by_filter(name, filter, position).await
            }
            (container, filter, _) => self.by_cursor(container, filter.as_ref(), position).await,
        }
    }

    /// Whether the source system tells what changed, and the run looks at that only.
    pub(super) fn goes_by_changes(&self, run: &Run) -> bool {
        let is_system = matches!(self.mapping.source, Container::System { .. });
        is_system && !run.whole && run.wanted.ids.is_empty()
    }

    /// Asks a source system, before anything of it is read, where the next partial run may begin;
    /// one that cannot tell is looked at in full each time.
    pub(super) async fn begin_token(&self, run: &mut Run) -> Result<(), Stop> {
        let is_system = matches!(self.mapping.source, Container::System { .. });
        let wants = run.wanted.mode == Mode::UpdatedAt && run.wanted.ids.is_empty();
        if !is_system || !run.whole || !wants || run.wanted.dry_run {
            return Ok(());
        }
        match self.engine.changes(&self.mapping.source, None).await {
            Ok(changes) => run.token = Some(changes.token),
            Err(error) if error.kind == CauseKind::Refused => {
                tracing::info!(run = %run.id, source = %self.mapping.source, %error,
                    "the source cannot tell what changed: every sync looks at all of it");
            }
            Err(error) => return Err(self.unreadable(&self.mapping.source, &error)),
        }
        Ok(())
    }

    /// The next page of what changed in a source system; none where it does not know the token any
    /// more.
    pub(super) async fn changed_sources(&self, run: &mut Run) -> Result<Option<Sources>, Stop> {
        let Some(page) = self.changed_page(run).await? else {
            return Ok(None);
        };
        let ids: Vec<String> = page.marks.iter().map(|mark| mark.id.clone()).collect();
        let store = self.engine.store();
        Ok(Some(Sources {
            links: store.links_from(self.links(), &ids).await?,
            // Each of them is looked at.
            suspects: (0..page.marks.len()).collect(),
            page,
        }))
    }

    async fn changed_page(&self, run: &mut Run) -> Result<Option<Marks>, Stop> {
        let since = run.position.as_deref().or(run.since_token.as_deref());
        let changes = match self.engine.changes(&self.mapping.source, since).await {
            Ok(changes) => changes,
            Err(error) if error.kind == CauseKind::Refused && run.position.is_none() => {
                tracing::info!(run = %run.id, source = %self.mapping.source, %error,
                    "the source does not know the change token any more: all of it is looked at");
                return Ok(None);
            }
            Err(error) => return Err(self.unreadable(&self.mapping.source, &error)),
        };
        let mut met = HashSet::new();
        let marks = changes
            .changes
            .into_iter()
            .filter_map(|change| match change {
                Change::Present(found) => self.is_wanted(&found).then(|| Mark {
                    print: fingerprint(&found.attributes),
                    id: found.id,
                    updated_at: None,
                }),
                Change::Gone(id) => Some(Mark {
                    id,
                    print: String::new(),
                    updated_at: None,
                }),
            });
        let marks = marks.filter(|mark| met.insert(mark.id.clone())).collect();
        let next = changes.more.then(|| changes.token.clone());
        run.token = Some(changes.token);
        Ok(Some(Marks {
            marks,
            next,
            divisible: false,
        }))
    }

    /// Whether the source query lets an object through.
    fn is_wanted(&self, found: &TargetObject) -> bool {
        let filter = self.source_query.as_ref();
        filter.is_none_or(|filter| filter.matches(&found.to_object()))
    }

    /// What the mapping's target objects with these ids hold now, as fingerprints.
    pub(super) async fn target_prints(
        &self,
        run: &Run,
        ids: &[String],
    ) -> Result<HashMap<String, String>, Stop> {
        let store = self.engine.store();
        if let Container::Managed(name) = &self.mapping.target {
            return Ok(store.marks_of(name, ids).await?);
        }
        if !self.asks_for_many {
            return Ok(store.listed_of(run.id, ids).await?);
        }
        let found = self.engine.read_many(&self.mapping.target, ids).await;
        let found = found.map_err(|error| self.unreadable(&self.mapping.target, &error))?;
        let print = |object: crate::model::TargetObject| {
            let print = fingerprint(&object.attributes);
            (object.id, print)
        };
        Ok(found.into_iter().flatten().map(print).collect())
    }

    /// Whether the target itself is asked which objects it has, and not what it listed before.
    pub(super) fn asks_target(&self, run: &Run) -> bool {
        matches!(self.mapping.target, Container::System { .. })
            && (self.asks_for_many || !self.compares(run))
    }

    /// The page of target objects at a place; only their ids count.
    pub(super) async fn target_page(
        &self,
        run: &Run,
        position: Option<&str>,
    ) -> Result<Marks, Stop> {
        match (&self.mapping.target, &self.target_query) {
            (Container::Managed(name), None) => self.by_id(name, position).await,
            (Container::Managed(name), Some(filter)) => {
                self.by_filter(name, filter, position).await
            }
            (container, filter) if self.asks_target(run) => {
                self.by_cursor(container, filter.as_ref(), position).await
            }
            _ => {
                let store = self.engine.store();
                let marks = store.listed(run.id, position, PAGE as u64).await?;
                Ok(after_last(marks, |mark| mark.id.clone()))
            }
        }
    }

    /// The next page of what a system lists.
    pub(super) async fn by_cursor(
        &self,
        container: &Container,
        filter: Option<&Filter>,
        cursor: Option<&str>,
    ) -> Result<Marks, Stop> {
        let all = Filter::Literal(true);
        let page = self
            .engine
            .list(
                container,
                filter.unwrap_or(&all),
                cursor.map(str::to_owned),
                PAGE,
            )
            .await
            .map_err(|error| self.unreadable(container, &error))?;
        let marks = page.objects.into_iter().map(|object| Mark {
            print: fingerprint(&object.attributes),
            id: object.id,
            updated_at: None,
        });
        Ok(Marks {
            marks: marks.collect(),
            next: page.cursor,
            divisible: false,
        })
    }

    /// Those of these source objects that are there.
    pub(super) async fn sources_there(
        &self,
        run: &Run,
        ids: &[String],
    ) -> Result<HashMap<String, String>, Stop> {
        let store = self.engine.store();
        Ok(match &self.mapping.source {
            Container::Managed(name) => store.marks_of(name, ids).await?,
            Container::System { .. } => store.listed_of(run.id, ids).await?,
        })
    }

    /// The changes that a partial run looks at.
    pub(super) fn window(&self, run: &Run) -> Option<Changed> {
        let window = run.window.filter(|_| !run.whole)?;
        Some(Changed {
            after: window.start,
            until: window.end,
            first: match self.mapping.reconciliation.direction {
                SyncDirection::Forward => First::Oldest,
                SyncDirection::Backward => First::Newest,
            },
        })
    }

    async fn by_id(&self, name: &str, position: Option<&str>) -> Result<Marks, Stop> {
        let marks = self
            .engine
            .store()
            .marks(name, position, PAGE as u64)
            .await?;
        Ok(after_last(marks, |mark| mark.id.clone()))
    }

    async fn by_time(
        &self,
        name: &str,
        changed: Changed,
        position: Option<&str>,
    ) -> Result<Marks, Stop> {
        let after = position.and_then(place_in_time);
        let after = after.as_ref().map(|(at, id)| (*at, id.as_str()));
        let store = self.engine.store();
        let marks = store
            .marks_changed(name, changed, after, PAGE as u64)
            .await?;
        Ok(after_last(marks, in_time))
    }

    /// The source objects of a page that meet a filter.
    async fn meeting(&self, filter: &Filter, page: Marks) -> Result<Marks, Stop> {
        let mut marks = Vec::new();
        for mark in page.marks {
            let object = self.mapping.source.object(&mark.id);
            let stored = self.engine.store().object(&object).await?;
            if stored.is_some_and(|stored| filter.matches(&stored.object)) {
                marks.push(mark);
            }
        }
        Ok(Marks { marks, ..page })
    }

    async fn by_filter(
        &self,
        name: &str,
        filter: &Filter,
        cookie: Option<&str>,
    ) -> Result<Marks, Stop> {
        let search = Search {
            filter: filter.clone(),
            sort: Vec::new(),
            page_size: Some(PAGE),
            cookie: cookie.map(str::to_owned),
            offset: 0,
            count: Count::None,
        };
        let found = self.engine.store().objects(name, &search).await?;
        let text = |object: &crate::model::Object, name: &str| {
            let value = object.get(name).and_then(serde_json::Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let marks = found.results.iter().map(|stored| Mark {
            id: text(&stored.object, crate::model::object::ID),
            print: text(&stored.object, crate::model::object::REV),
            updated_at: Some(stored.updated_at),
        });
        Ok(Marks {
            marks: marks.collect(),
            next: found.cookie,
            divisible: false,
        })
    }

    pub(super) fn unreadable(
        &self,
        container: &Container,
        error: &crate::connectors::Error,
    ) -> Stop {
        Stop::Failed(format!("{container} cannot be read: {error}"))
    }
}

/// Whether a system gives many objects in one request.
pub(super) async fn asks_for_many(engine: &Engine, container: &Container) -> bool {
    matches!(engine.read_many(container, &[]).await, Ok(Some(_)))
}

/// The source objects that were asked for by their ids, a page at a time.
fn named(run: &Run) -> Marks {
    let from: usize = run
        .position
        .as_deref()
        .and_then(|position| position.parse().ok())
        .unwrap_or_default();
    let ids = run.wanted.ids.iter().skip(from).take(PAGE);
    let marks: Vec<Mark> = ids
        .map(|id| Mark {
            id: id.clone(),
            print: String::new(),
            updated_at: None,
        })
        .collect();
    let end = from + marks.len();
    Marks {
        marks,
        next: (end < run.wanted.ids.len()).then(|| end.to_string()),
        divisible: false,
    }
}

pub(super) fn after_last(marks: Vec<Mark>, place: impl Fn(&Mark) -> String) -> Marks {
    let next = marks.last().filter(|_| marks.len() >= PAGE).map(&place);
    Marks {
        next,
        marks,
        divisible: true,
    }
}

/// Where a run goes on behind an object: at its id, or in a window at its time and id.
pub(super) fn behind(run: &Run, mark: &Mark) -> String {
    if run.whole || run.window.is_none() {
        mark.id.clone()
    } else {
        in_time(mark)
    }
}

fn in_time(mark: &Mark) -> String {
    let at = mark.updated_at.unwrap_or_default().timestamp_micros();
    format!("{at}/{}", mark.id)
}

fn place_in_time(position: &str) -> Option<(DateTime<chrono::Utc>, String)> {
    let (at, id) = position.split_once('/')?;
    let at = DateTime::from_timestamp_micros(at.parse().ok()?)?;
    Some((at, id.to_owned()))
}
