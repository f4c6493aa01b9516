//! The calls to a REST service.
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderValue, IF_NONE_MATCH},
};
use serde_json::Value;

use super::{
    settings::{Class, Create, Etags, Paging, Settings, Update as UpdateBy},
    wire::{self, LatestPage, Place},
};
use crate::{
    connectors::{
        Capabilities, Changes, Connector, Error, Page, Query, Update, Written,
        http::{Answer, Call, Http, failure, is_addressable, last_segment, only_if},
        signs,
    },
    model::{CauseKind, Object, TargetObject, object::same},
};

/// A service that speaks JSON over HTTP.
#[derive(Debug)]
pub struct Rest {
    pub(super) settings: Settings,
    pub(super) http: Http,
}

impl Rest {
    /// A client for the service; `timeout` is that of one attempt.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn open(settings: Settings, timeout: Duration) -> Result<Self, Error> {
        let http = Http::open(&settings.service, timeout)?;
        Ok(Self { settings, http })
    }

    fn class(&self, name: &str) -> Result<&Class, Error> {
        self.settings
            .classes
            .get(name)
            .ok_or_else(|| Error::refused(404, format!("there is no object class `{name}`")))
    }

    /// The object's address, where it can have one.
    fn address(&self, class: &Class, id: &str) -> Result<String, Error> {
        if is_addressable(id) {
            return Ok(wire::address(&self.settings.service.base_url, class, id));
        }
        let message = format!("the id `{id}` cannot stand in an address");
        Err(Error::refused(400, message))
    }

    async fn read_at(&self, class: &Class, id: &str) -> Result<Option<TargetObject>, Error> {
        if !is_addressable(id) {
            return Ok(None);
        }
        let address = wire::address(&self.settings.service.base_url, class, id);
        let Some(answer) = self
            .http
            .read(self.http.request(Method::GET, address))
            .await?
        else {
            return Ok(None);
        };
        let (_, attributes) = self
            .object(class, &answer.body)
            .await?
            .ok_or_else(|| Error::unavailable(502, "the service answered no JSON object"))?;
        Ok(Some(TargetObject {
            id: id.to_owned(),
            attributes,
            version: self.settings.etags.version(answer.etag),
        }))
    }

    /// The object in an answer, as Recant sees it; none where there is no JSON object.
    async fn object(
        &self,
        class: &Class,
        body: &[u8],
    ) -> Result<Option<(Option<String>, Object)>, Error> {
        match serde_json::from_slice(body) {
            Ok(value @ Value::Object(_)) => {
                let shaped = class.on_response.apply("read", value).await;
                let shaped = shaped.map_err(|text| unfit("onResponse", &text))?;
                Ok(wire::object(class, shaped))
            }
            _ => Ok(None),
        }
    }

    /// The objects in the answer to a list, as Recant sees them.
    pub(super) async fn items(
        &self,
        class: &Class,
        answer: &Value,
    ) -> Result<Vec<TargetObject>, Error> {
        let mut objects = Vec::new();
        for item in wire::items(class, answer)? {
            let shaped = class.on_response.apply("read", item.clone()).await;
            let shaped = shaped.map_err(|text| unfit("onResponse", &text))?;
            objects.push(wire::listed(class, shaped)?);
        }
        Ok(objects)
    }

    /// The body that a script makes of an object; none where no script does.
    async fn shaped(
        &self,
        class: &Class,
        operation: &'static str,
        body: &wire::Body<'_>,
    ) -> Result<Option<Value>, Error> {
        if !class.on_request.is_wanted() {
            return Ok(None);
        }
        let value = serde_json::to_value(body)
            .map_err(|error| Error::refused(400, "the object is no JSON").because(error))?;
        let shaped = class.on_request.apply(operation, value).await;
        shaped.map(Some).map_err(|text| unfit("onRequest", &text))
    }

    /// What changes between the shapes of an object before and after.
    async fn shaped_patch(
        &self,
        class: &Class,
        update: &Update<'_>,
        after: Value,
    ) -> Result<Value, Error> {
        let before = update.before;
        let body = body_of(class, Some(&before.id), &before.attributes);
        let before_shaped = self.shaped(class, "update", &body).await?;
        let (Some(Value::Object(attributes)), Value::Object(after)) = (before_shaped, after) else {
            return Err(unfit("onRequest", "a patch needs an object as the body"));
        };
        let before = TargetObject {
            attributes,
            ..before.clone()
        };
        Ok(wire::merge_patch(&Update {
            before: &before,
            after: &after,
            rename: None,
        }))
    }

    /// One page as the service cuts them, and where the next one begins.
    async fn list(
        &self,
        class: &Class,
        place: &Place,
    ) -> Result<(Vec<TargetObject>, Option<String>), Error> {
        self.list_at(class, place, (&class.path, None)).await
    }

    /// The same at another path, with one more query parameter.
    pub(super) async fn list_at(
        &self,
        class: &Class,
        place: &Place,
        (path, more): (&str, Option<(&str, &str)>),
    ) -> Result<(Vec<TargetObject>, Option<String>), Error> {
        let base = &self.settings.service.base_url;
        let token = place.token.as_deref();
        let address = match (&class.list.paging, token) {
            // A cursor of ours could be anybody's: the address is checked again.
            (Paging::Link { .. }, Some(link)) => wire::next_address(base, base, link)?,
            _ => format!("{base}{path}"),
        };
        let request = self.http.request(Method::GET, &address);
        let request = match (&class.list.paging, token) {
            (Paging::Link { .. }, Some(_)) => request,
            _ => request
                .query(&wire::parameters(&class.list, place))
                .query(&more.into_iter().collect::<Vec<_>>()),
        };
        let is_further = token.is_some() && class.list.paging.is_numbered();
        let answer = match self.http.read(request).await {
            // Services end numbered pages in this way, too (`Invalid page.`).
            Ok(None) if is_further => return Ok((Vec::new(), None)),
            Err(error) if is_further && error.code == 416 => return Ok((Vec::new(), None)),
            answer => answer?.ok_or_else(|| {
                Error::refused(404, format!("there is nothing at `{path}` (`path`)"))
            })?,
        };
        let body: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| Error::unavailable(502, "the service answered no JSON"))?;
        let items = self.items(class, &body).await?;
        let link = answer.link.as_deref();
        let next = wire::next_token(&class.list, token, items.len(), &body, link);
        let next = match (&class.list.paging, next) {
            (Paging::Link { .. }, Some(next)) => Some(wire::next_address(base, &address, &next)?),
            (_, next) => next,
        };
        if next.is_some() && next.as_deref() == token {
            return Err(Error::refused(502, "the list's next page is the same page"));
        }
        Ok((items, next))
    }

    /// A page out of a list that the service gives as a whole: in the order of the ids, so that
    /// it can be taken up after the last one.
    async fn query_whole(&self, class: &Class, query: &Query) -> Result<Page, Error> {
        let (items, _) = self.list(class, &Place::START).await?;
        let after = query.cursor.as_deref();
        let mut objects: Vec<TargetObject> = items
            .into_iter()
            .filter(|object| after.is_none_or(|after| object.id.as_str() > after))
            .filter(|object| query.filter.matches(&object.to_object()))
            .collect();
        objects.sort_by(|left, right| left.id.cmp(&right.id));
        let more = objects.len() > query.page_size;
        objects.truncate(query.page_size);
        let cursor = objects.last().filter(|_| more).map(|last| last.id.clone());
        Ok(Page { objects, cursor })
    }

    /// A page out of a list that the service pages; objects that do not meet the filter are left
    /// out here, since services differ in how they filter.
    async fn query_paged(&self, class: &Class, query: &Query) -> Result<Page, Error> {
        let mut place = match &query.cursor {
            Some(cursor) => Place::from_cursor(cursor)?,
            None => Place::START,
        };
        let mut objects = Vec::new();
        // Each page is read in the same call as the one before it: a call ends within a page.
        let mut latest = LatestPage::default();
        loop {
            let (items, next) = self.list(class, &place).await?;
            latest.turn_to(&items)?;
            for item in items.into_iter().skip(place.skip) {
                if objects.len() == query.page_size {
                    let cursor = Some(place.to_cursor());
                    return Ok(Page { objects, cursor });
                }
                place.skip += 1;
                if query.filter.matches(&item.to_object()) {
                    objects.push(item);
                }
            }
            match next {
                Some(token) => place = place.onward(token)?,
                None => {
                    return Ok(Page {
                        objects,
                        cursor: None,
                    });
                }
            }
        }
    }

    async fn create_keyed(
        &self,
        class: &Class,
        id: Option<&str>,
        object: &Object,
        key: Option<&str>,
    ) -> Result<Written, Error> {
        signs::unsent();
        let request = match (class.create, id) {
            (Create::Put, Some(id)) => self
                .http
                .request(Method::PUT, self.address(class, id)?)
                .header(IF_NONE_MATCH, HeaderValue::from_static("*")),
            (Create::Put, None) => {
                let message = "`create` is `put`: the mapping has to give an `_id`";
                return Err(Error::refused(400, message));
            }
            (Create::Post, _) => self.http.request(
                Method::POST,
                wire::collection(&self.settings.service.base_url, class),
            ),
        };
        let body = body_of(class, id, object);
        let mut request = match self.shaped(class, "create", &body).await? {
            Some(shaped) => request.json(&shaped),
            None => request.json(&body),
        };
        if let (Create::Post, Some(header), Some(key)) =
            (class.create, &self.settings.idempotency_header, key)
        {
            request = request.header(header, key);
        }
        let answer = match (self.http.write_or_see(request).await?, class.create) {
            (Ok(answer), _) => answer,
            (Err(other), Create::Post) => return self.made_elsewhere(class, object, &other).await,
            (Err(other), Create::Put) => return Err(failure(&other, Call::Write)),
        };
        let answered = self.object(class, &answer.body).await;
        let (answered_id, answered) = answered.map_err(unshaped)?.unzip();
        Ok(Written {
            id: id_of_new(class, id, answered_id.flatten(), &answer)?,
            version: self.settings.etags.version(answer.etag),
            attributes: wire::attributes(object, answered),
        })
    }

    /// What a POST made whose answer leads elsewhere: it has to be an object of the class that holds
    /// what was sent, since another one may be there as well.
    async fn made_elsewhere(
        &self,
        class: &Class,
        sent: &Object,
        answer: &Answer,
    ) -> Result<Written, Error> {
        let unknown = || failure(answer, Call::Write);
        let base = &self.settings.service.base_url;
        let id = answer.location.as_deref();
        let id = id.and_then(|location| wire::id_below(&wire::collection(base, class), location));
        let id = id.ok_or_else(unknown)?;
        signs::further();
        let found = self.read_at(class, &id).await.map_err(|_| unknown())?;
        let holds = |found: &TargetObject| {
            let is = |(name, value): (&String, &Value)| {
                let held = found.attributes.get(name);
                held.map_or(value.is_null(), |held| same(held, value))
            };
            sent.iter().all(is)
        };
        let found = found.filter(holds).ok_or_else(unknown)?;
        Ok(Written {
            id: found.id,
            version: found.version,
            attributes: Some(found.attributes),
        })
    }

    async fn test_class(&self, name: &str, class: &Class) -> Result<(), Error> {
        let explain = |mut error: Error| {
            error.message = explain(name, class, &error);
            error
        };
        let request = self
            .http
            .request(
                Method::GET,
                wire::collection(&self.settings.service.base_url, class),
            )
            .query(&wire::parameters(&class.list, &Place::START));
        let answer = self.http.send(request, Call::Read).await.map_err(explain)?;
        self.http.judge(&answer, Call::Read).map_err(explain)?;
        match answer.status {
            // Reachable, and we may: this service just does not list.
            405 | 501 => Ok(()),
            200..=299 if class.list.items_pointer.is_empty() => Ok(()),
            200..=299 => {
                let body = serde_json::from_slice(&answer.body).unwrap_or_default();
                self.items(class, &body).await.map(drop).map_err(explain)
            }
            _ => Err(explain(failure(&answer, Call::Read))),
        }
    }
}

#[async_trait]
impl Connector for Rest {
    fn capabilities(&self) -> Capabilities {
        let mut classes = self.settings.classes.values();
        Capabilities {
            precondition: self.settings.etags != Etags::Never,
            recreate_with_id: classes.clone().all(|class| class.create == Create::Put),
            changes: classes.all(|class| class.changes.is_some()),
        }
    }

    fn classes(&self) -> Vec<String> {
        self.settings.classes.keys().cloned().collect()
    }

    fn tells_answers(&self) -> bool {
        true
    }

    async fn test(&self) -> Result<(), Error> {
        for (name, class) in &self.settings.classes {
            self.test_class(name, class).await?;
        }
        Ok(())
    }

    async fn read(&self, class: &str, id: &str) -> Result<Option<TargetObject>, Error> {
        self.read_at(self.class(class)?, id).await
    }

    async fn query(&self, class: &str, query: &Query) -> Result<Page, Error> {
        let class = self.class(class)?;
        if let Some(id) = query.filter.wanted_id() {
            let found = self.read_at(class, id).await?;
            let matching = found.filter(|object| query.filter.matches(&object.to_object()));
            return Ok(Page {
                objects: matching.into_iter().collect(),
                cursor: None,
            });
        }
        match class.list.paging {
            Paging::None => self.query_whole(class, query).await,
            _ => self.query_paged(class, query).await,
        }
    }

    async fn create(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        self.create_keyed(self.class(class)?, id, object, None)
            .await
    }

    async fn create_once(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
        key: &str,
    ) -> Result<Written, Error> {
        self.create_keyed(self.class(class)?, id, object, Some(key))
            .await
    }

    fn repeats_creates(&self, class: &str) -> bool {
        let posts = |class: &Class| class.create == Create::Post;
        self.settings.idempotency_header.is_some()
            && self.settings.classes.get(class).is_some_and(posts)
    }

    async fn update(&self, class: &str, update: &Update<'_>) -> Result<Written, Error> {
        signs::unsent();
        let class = self.class(class)?;
        let id = update.before.id.as_str();
        if update.rename.is_some_and(|rename| rename != id) {
            let message = "a REST service keeps the ids of its objects";
            return Err(Error::refused(400, message));
        }
        let address = self.address(class, id)?;
        let after = body_of(class, Some(id), update.after);
        let shaped = self.shaped(class, "update", &after).await?;
        let request = match class.update {
            UpdateBy::Put => {
                let request = self.http.request(Method::PUT, address);
                match &shaped {
                    Some(shaped) => request.json(shaped),
                    None => request.json(&after),
                }
            }
            UpdateBy::Patch => {
                let patch = match shaped {
                    Some(shaped) => self.shaped_patch(class, update, shaped).await?,
                    None => wire::merge_patch(update),
                };
                let kind = HeaderValue::from_static("application/merge-patch+json");
                self.http
                    .request(Method::PATCH, address)
                    .header(CONTENT_TYPE, kind)
                    .json(&patch)
            }
        };
        let answer = self.http.write(only_if(request, update.before)).await?;
        let answered = self.object(class, &answer.body).await.map_err(unshaped)?;
        let answered = answered.map(|(_, attributes)| attributes);
        Ok(Written {
            id: id.to_owned(),
            version: self.settings.etags.version(answer.etag),
            attributes: wire::attributes(update.after, answered),
        })
    }

    async fn delete(&self, class: &str, before: &TargetObject) -> Result<(), Error> {
        signs::unsent();
        let class = self.class(class)?;
        let request = self
            .http
            .request(Method::DELETE, self.address(class, &before.id)?);
        match self.http.write(only_if(request, before)).await {
            Err(error) if is_gone(&error) => Ok(()),
            // What is gone has no version that could match (RFC 9110, section 13.1.1).
            Err(error) if error.code == 412 => match self.read_at(class, &before.id).await {
                Ok(None) => Ok(()),
                _ => Err(error),
            },
            other => other.map(drop),
        }
    }

    async fn changes(&self, class: &str, since: Option<&str>) -> Result<Changes, Error> {
        self.changes_of(class, self.class(class)?, since).await
    }
}

/// The id of an object that was created: `asked` is the one that was sent, `answered` the one in the
/// answer's body.
///
/// # Errors
/// *Unknown* where nobody can tell. A service may give an id of its own whatever was sent, so the one
/// that was sent does not stand in for one that was lost with the body.
fn id_of_new(
    class: &Class,
    asked: Option<&str>,
    answered: Option<String>,
    answer: &Answer,
) -> Result<String, Error> {
    let located = || answer.location.as_deref().and_then(last_segment);
    let sent = || asked.filter(|_| !answer.body_lost).map(str::to_owned);
    let id = match class.create {
        Create::Put => asked.map(str::to_owned),
        Create::Post => answered.or_else(located).or_else(sent),
    };
    id.ok_or_else(|| {
        let attribute = &class.id_attribute;
        let message = match answer.body_lost {
            true => format!("it was created, but the answer with its `{attribute}` was lost"),
            false => format!("it was created, but the answer has no `{attribute}`"),
        };
        Error::unknown(answer.status, message)
    })
}

fn unfit(hook: &str, text: &str) -> Error {
    Error::refused(500, format!("`{hook}`: {text}"))
}

/// The write was answered with a success, but what came of it cannot be told.
fn unshaped(error: Error) -> Error {
    Error::unknown(error.code.clone(), error.message)
}

fn is_gone(error: &Error) -> bool {
    error.kind == CauseKind::Refused && (error.code == 404 || error.code == 410)
}

fn body_of<'a>(class: &'a Class, id: Option<&'a str>, object: &'a Object) -> wire::Body<'a> {
    wire::Body {
        id_attribute: &class.id_attribute,
        id,
        object,
    }
}

/// What an administrator can do about a failed test.
fn explain(name: &str, class: &Class, error: &Error) -> String {
    let said = &error.message;
    let path = &class.path;
    // The token service's trouble is told in full already.
    if said.contains("`auth.oauth2") {
        return said.clone();
    }
    match error.code.as_u64() {
        Some(401 | 403) => format!("the service does not accept the credentials (`auth`): {said}"),
        Some(404) => format!("object class `{name}`: there is nothing at `{path}` (`path`)"),
        _ if error.source.is_some() => format!("{said} (`baseUrl`)"),
        _ => format!("object class `{name}`: {said}"),
    }
}
