//! Queries of a SCIM service: its own filters where they help, and Recant's own eyes in any case.
use serde_json::json;

use super::{
    client::Scim,
    filter::{matches, narrowed},
    known::Known,
    list::is_filter_refusal,
    wire::Site,
};
use crate::{
    connectors::{Error, Page, Query, rest::Place},
    model::{TargetObject, object::ID},
};

/// What a query's cursor begins with where the service refused the filter.
const WHOLE: &str = "whole:";

impl Scim {
    /// A page of the resources that meet a filter.
    pub(super) async fn query_in(
        &self,
        known: &Known,
        site: &Site<'_>,
        query: &Query,
    ) -> Result<Page, Error> {
        if let Some(id) = query.filter.wanted_id() {
            let found = match self.locate(known, site, id).await? {
                Some(found) => self.seen(known, site, found).await?,
                None => None,
            };
            let is_meant = |object: &TargetObject| {
                let mut shown = object.to_object();
                if site.is_same_key(&object.id, id) {
                    shown.insert(ID.to_owned(), json!(id));
                }
                matches(&query.filter, &shown)
            };
            let found = found.filter(is_meant);
            return Ok(Page {
                objects: found.into_iter().collect(),
                cursor: None,
            });
        }
        if let Some(cursor) = query
            .cursor
            .as_deref()
            .and_then(|it| it.strip_prefix(WHOLE))
        {
            return self.walk_all(known, site, query, Some(cursor)).await;
        }
        let filter = narrowed(site, known.filtering(&self.settings), &query.filter);
        let cursor = query.cursor.as_deref();
        match self
            .walk(known, site, query, (filter.as_deref(), cursor))
            .await
        {
            // A cursor counts what the filter lets through.
            Err(error) if filter.is_some() && cursor.is_none() && is_filter_refusal(&error) => {
                self.walk_all(known, site, query, None).await
            }
            page => page,
        }
    }

    /// A page out of the whole list, which says so in its cursor.
    async fn walk_all(
        &self,
        known: &Known,
        site: &Site<'_>,
        query: &Query,
        cursor: Option<&str>,
    ) -> Result<Page, Error> {
        let mut page = self.walk(known, site, query, (None, cursor)).await?;
        page.cursor = page.cursor.map(|cursor| format!("{WHOLE}{cursor}"));
        Ok(page)
    }

    async fn walk(
        &self,
        known: &Known,
        site: &Site<'_>,
        query: &Query,
        (filter, cursor): (Option<&str>, Option<&str>),
    ) -> Result<Page, Error> {
        let mut place = match cursor {
            Some(cursor) => Place::from_cursor(cursor)?,
            None => Place::START,
        };
        let mut objects = Vec::new();
        loop {
            let (page, next) = self
                .page(known, site, filter, place.token.as_deref())
                .await?;
            for resource in page.into_iter().skip(place.skip) {
                if objects.len() == query.page_size {
                    let cursor = Some(place.to_cursor());
                    return Ok(Page { objects, cursor });
                }
                place.skip += 1;
                if let Some(object) = self.seen(known, site, resource).await?
                    && matches(&query.filter, &object.to_object())
                {
                    objects.push(object);
                }
            }
            let Some(token) = next else {
                return Ok(Page {
                    objects,
                    cursor: None,
                });
            };
            place = place.onward(token)?;
        }
    }
}
