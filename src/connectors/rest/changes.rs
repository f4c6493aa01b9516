//! What changed at a service, by a cursor of its own or by the times of its objects.
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    connector::Rest,
    settings::{By, Class, Feed},
    wire::{self, LatestPage, Place},
};
use crate::{
    connectors::{
        Change, Changes, Error,
        watermark::{Watermark, says_gone, unknown_token},
    },
    model::TargetObject,
};

/// A token of a service that has cursors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    class: String,
    /// None: the service has not given one yet.
    cursor: Option<String>,
}

impl Rest {
    /// The changes of a class since a token; without one, the newest token only.
    pub(super) async fn changes_of(
        &self,
        name: &str,
        class: &Class,
        since: Option<&str>,
    ) -> Result<Changes, Error> {
        let Some(feed) = &class.changes else {
            let message = format!(
                "object class `{name}` cannot tell what changed: say how the service does \
                 (`changes`)"
            );
            return Err(Error::refused(501, message));
        };
        match &feed.by {
            By::Cursor { parameter, pointer } => {
                self.by_cursor((name, class, feed), (parameter, pointer), since)
                    .await
            }
            By::Since {
                parameter,
                attribute,
                overlap,
            } => {
                self.by_time((name, class, feed), (parameter, attribute, *overlap), since)
                    .await
            }
        }
    }

    /// One answer of the service for each call.
    async fn by_cursor(
        &self,
        (name, class, feed): (&str, &Class, &Feed),
        (parameter, pointer): (&str, &str),
        since: Option<&str>,
    ) -> Result<Changes, Error> {
        let token = |cursor: Option<String>| {
            let class = name.to_owned();
            serde_json::to_string(&Cursor { class, cursor }).unwrap_or_default()
        };
        let Some(since) = since else {
            // What has changed so far is of no interest, only where it ends.
            let mut place = Place::START;
            loop {
                let (items, next) = self
                    .changed(class, feed, (parameter, pointer), place.token.as_deref())
                    .await?;
                match next {
                    Some(next) if !items.is_empty() && place.token.as_ref() != Some(&next) => {
                        place = place.onward(next)?;
                    }
                    next => {
                        return Ok(Changes {
                            changes: Vec::new(),
                            token: token(next.or(place.token)),
                            more: false,
                        });
                    }
                }
            }
        };
        let known: Cursor = serde_json::from_str(since).map_err(|_| unknown_token(name))?;
        if known.class != name {
            return Err(unknown_token(name));
        }
        let (items, next) = self
            .changed(class, feed, (parameter, pointer), known.cursor.as_deref())
            .await?;
        let more = !items.is_empty() && next.is_some() && next != known.cursor;
        let changes = items.into_iter().map(|item| change(feed, item)).collect();
        Ok(Changes {
            changes,
            token: token(next.or(known.cursor)),
            more,
        })
    }

    async fn changed(
        &self,
        class: &Class,
        feed: &Feed,
        (parameter, pointer): (&str, &str),
        cursor: Option<&str>,
    ) -> Result<(Vec<TargetObject>, Option<String>), Error> {
        let address = format!("{}{}", self.settings.service.base_url, feed.path);
        let mut request = self.http.request(reqwest::Method::GET, address);
        if let Some(cursor) = cursor {
            request = request.query(&[(parameter, cursor)]);
        }
        let answer = self.http.read(request).await?.ok_or_else(|| {
            let path = &feed.path;
            Error::refused(
                404,
                format!("there is nothing at `{path}` (`changes.path`)"),
            )
        })?;
        let body: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| Error::unavailable(502, "the service answered no JSON"))?;
        let items = self.items(class, &body).await?;
        Ok((items, wire::word_at(&body, pointer)))
    }

    /// All that changed since a time, in one pass.
    async fn by_time(
        &self,
        (name, class, feed): (&str, &Class, &Feed),
        (parameter, attribute, overlap): (&str, &str, f64),
        since: Option<&str>,
    ) -> Result<Changes, Error> {
        let mut mark = match since {
            Some(token) => Watermark::from_token(name, attribute, token)?,
            None => Watermark::new(name, attribute),
        };
        let from = mark.from(overlap).map(|from| match from {
            Value::String(text) => text,
            other => other.to_string(),
        });
        let more = from.as_deref().map(|from| (parameter, from));
        let mut changes = Vec::new();
        let mut place = Place::START;
        let mut latest = LatestPage::default();
        loop {
            let (items, next) = self.list_at(class, &place, (&feed.path, more)).await?;
            latest.turn_to(&items)?;
            for item in items {
                // A service cannot be asked to leave out what lies before the floor.
                if !mark.is_past(&item) && mark.note(&item) && since.is_some() {
                    changes.push(change(feed, item));
                }
            }
            match next {
                Some(token) => place = place.onward(token)?,
                None => break,
            }
        }
        mark.end(overlap);
        Ok(Changes {
            changes,
            token: mark.to_token(),
            more: false,
        })
    }
}

fn change(feed: &Feed, object: TargetObject) -> Change {
    let deleted = feed.deleted_attribute.as_deref();
    if deleted.is_some_and(|name| says_gone(&object.attributes, name)) {
        Change::Gone(object.id)
    } else {
        Change::Present(object)
    }
}
