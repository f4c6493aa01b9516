//! Passing pages in which nothing is to be done: one is read while the one before it is compared.
use std::time::{Duration, Instant};

use crate::{
    model::{Container, Filter, recon::Run},
    store::LinkMark,
};

use super::{
    report,
    run::{Stop, Task},
    sides::{Marks, PAGE, after_last},
};

/// For how long a run passes quiet pages before it keeps where it stands: what a crash makes it
/// compare again.
const PASSING: Duration = Duration::from_millis(500);

/// A page of source objects, and which of them somebody must look at.
pub(super) struct Sources {
    pub(super) page: Marks,
    pub(super) links: Vec<LinkMark>,
    /// The places in the page.
    pub(super) suspects: Vec<usize>,
}

/// A page of target objects.
#[derive(Default)]
pub(super) struct Targets {
    /// How many there are.
    pub(super) count: usize,
    /// The ids of those without a link.
    pub(super) loose: Vec<String>,
    /// Where the next page begins; none after the last.
    pub(super) next: Option<String>,
}

impl Task {
    /// Passes source pages whose pairs are all as they were; gives the first other one, or the
    /// one that the run has come to by the time when it keeps where it stands.
    pub(super) async fn next_sources(&self, run: &mut Run) -> Result<Sources, Stop> {
        // What a system lists is kept page by page.
        let passes = self.compares(run) && matches!(self.mapping.source, Container::Managed(_));
        let began = Instant::now();
        let (mut page, mut links) = self.linked_page(run, run.position.as_deref()).await?;
        loop {
            let ahead = page
                .next
                .as_deref()
                .filter(|_| passes && self.goes_on(began));
            let (suspects, following) = tokio::join!(
                self.suspects(run, &page.marks, &links),
                when(ahead, |place| self.linked_page(run, Some(place))),
            );
            let suspects = suspects?;
            let Some(following) = following.filter(|_| suspects.is_empty()) else {
                return Ok(Sources {
                    page,
                    links,
                    suspects,
                });
            };
            self.count_sources_passed(run, page.marks.len(), 0);
            run.position = page.next;
            (page, links) = following?;
        }
    }

    /// Counts source objects of which `suspects` are left to be looked at.
    pub(super) fn count_sources_passed(&self, run: &mut Run, sources: usize, suspects: usize) {
        let pairs = self.qualifiers.len().max(1);
        let quiet = sources.saturating_sub(suspects);
        report::unchanged(run, (quiet * pairs) as u64);
        run.counts.sources_processed += sources as u64;
    }

    /// The same for target pages of which every object has a link.
    pub(super) async fn next_targets(&self, run: &mut Run) -> Result<Targets, Stop> {
        let began = Instant::now();
        let (mut ids, mut next) = self.target_ids(run, run.position.as_deref()).await?;
        loop {
            let ahead = next.as_deref().filter(|_| self.goes_on(began));
            let (loose, following) = tokio::join!(
                self.loose(&ids),
                when(ahead, |place| self.target_ids(run, Some(place))),
            );
            let loose = loose?;
            let Some(following) = following.filter(|_| loose.is_empty()) else {
                return Ok(Targets {
                    count: ids.len(),
                    loose,
                    next,
                });
            };
            run.counts.targets_processed += ids.len() as u64;
            run.position = next;
            (ids, next) = following?;
        }
    }

    fn goes_on(&self, began: Instant) -> bool {
        began.elapsed() < PASSING && !self.cancel.is_cancelled() && !self.stop.is_cancelled()
    }

    async fn linked_page(
        &self,
        run: &Run,
        position: Option<&str>,
    ) -> Result<(Marks, Vec<LinkMark>), Stop> {
        let store = self.engine.store();
        let is_plain =
            run.wanted.ids.is_empty() && self.source_query.is_none() && self.window(run).is_none();
        if let (Container::Managed(name), true) = (&self.mapping.source, is_plain) {
            let page = store.marks_with_links(self.links(), name, position, PAGE as u64);
            let (marks, links) = page.await?;
            return Ok((after_last(marks, |mark| mark.id.clone()), links));
        }
        let page = self.source_page(run, position).await?;
        let ids: Vec<String> = page.marks.iter().map(|mark| mark.id.clone()).collect();
        let links = store.links_from(self.links(), &ids).await?;
        Ok((page, links))
    }

    async fn target_ids(
        &self,
        run: &Run,
        position: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), Stop> {
        if self.asks_target(run) {
            let filter = self.target_query.clone();
            let filter = filter.unwrap_or(Filter::Literal(true));
            let container = &self.mapping.target;
            let cursor = position.map(str::to_owned);
            let listed = self.engine.list_ids(container, &filter, cursor, PAGE).await;
            if let Some(page) = listed.map_err(|error| self.unreadable(container, &error))? {
                return Ok((page.ids, page.cursor));
            }
        }
        let page = self.target_page(run, position).await?;
        let ids = page.marks.into_iter().map(|mark| mark.id).collect();
        Ok((ids, page.next))
    }

    async fn loose(&self, ids: &[String]) -> Result<Vec<String>, Stop> {
        let store = self.engine.store();
        Ok(store.targets_without_link(self.links(), ids).await?)
    }
}

/// What `read` gives for a place, where there is one.
async fn when<'p, T, F: Future<Output = T>>(
    place: Option<&'p str>,
    read: impl FnOnce(&'p str) -> F,
) -> Option<T> {
    match place {
        Some(place) => Some(read(place).await),
        None => None,
    }
}
