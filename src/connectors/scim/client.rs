//! Requests to a SCIM service, and what is known of it from one to the next.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{
    Method, RequestBuilder,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue, IF_MATCH},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    dialect::{Etags, Paging},
    discovery::{Discovery, entries},
    filter::{can_find, equals},
    known::Known,
    list::{List, is_filter_refusal},
    settings::{Class, Settings},
    shape::Shape,
    wire::{Resource, Site, service_id},
};
use crate::connectors::{
    Error,
    http::{Answer, Call, Http, failure, is_addressable, segment},
    signs,
};

/// The media type of SCIM (RFC 7644, section 8.1).
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/scim+json");
/// How many ids are remembered at most.
const MOST_IDS: usize = 200_000;

/// A service that speaks SCIM 2.0.
#[derive(Debug)]
pub struct Scim {
    pub(super) settings: Settings,
    http: Http,
    /// How long the service may take for each part of its description.
    patience: Duration,
    known: tokio::sync::Mutex<Option<Arc<Known>>>,
    /// Whether a failure makes it worth asking again what the service can do.
    is_doubtful: AtomicBool,
    pub(super) has_versions: AtomicBool,
    ids: Mutex<Ids>,
}

/// Which resource has which key: the service's ids by class and key, and the other way round.
#[derive(Debug, Default)]
struct Ids {
    by_key: HashMap<(String, String), String>,
    by_id: HashMap<(String, String), String>,
}

impl Scim {
    /// A client for the service; `timeout` is that of one attempt.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn open(settings: Settings, timeout: Duration) -> Result<Self, Error> {
        let http = Http::open(&settings.service, timeout)?;
        let has_versions = settings.deviations.etags == Etags::Announced;
        Ok(Self {
            settings,
            http,
            patience: timeout.mul_f64(0.5),
            known: tokio::sync::Mutex::new(None),
            is_doubtful: AtomicBool::new(false),
            has_versions: AtomicBool::new(has_versions),
            ids: Mutex::default(),
        })
    }

    pub(super) fn class(&self, name: &str) -> Result<&Class, Error> {
        self.settings
            .classes
            .get(name)
            .ok_or_else(|| Error::refused(404, format!("there is no object class `{name}`")))
    }

    pub(super) fn site<'a>(
        &'a self,
        known: &'a Known,
        class: &'a Class,
    ) -> Result<Site<'a>, Error> {
        let shape = known.shapes.get(&class.name);
        Ok(Site {
            class,
            shape: shape.ok_or_else(|| Error::refused(404, "there is no such object class"))?,
            deviations: &self.settings.deviations,
        })
    }

    // ---- what the service says about itself

    /// Forgets what the service said about itself.
    pub(super) async fn ask_again(&self) {
        *self.known.lock().await = None;
    }

    /// What is known of the service; it is asked at the first call, and again after a failure.
    pub(super) async fn known(&self) -> Result<Arc<Known>, Error> {
        let mut known = self.known.lock().await;
        let old = known.clone();
        if let (Some(old), false) = (&old, self.is_doubtful.load(Ordering::Relaxed)) {
            return Ok(Arc::clone(old));
        }
        match (self.discover().await, old) {
            (Ok(found), _) => {
                let found = Arc::new(found);
                self.is_doubtful.store(false, Ordering::Relaxed);
                self.has_versions
                    .store(found.has_versions(&self.settings), Ordering::Relaxed);
                *known = Some(Arc::clone(&found));
                Ok(found)
            }
            (Err(_), Some(old)) => Ok(old),
            (Err(error), None) => Err(error),
        }
    }

    async fn discover(&self) -> Result<Known, Error> {
        let mut discovery = Discovery::default();
        if self.settings.deviations.discovery {
            let config = self.describe(&self.settings.deviations.config_path).await?;
            discovery.announced = config.and_then(|body| serde_json::from_slice(&body).ok());
            if let Some(body) = self.describe("/ResourceTypes").await? {
                discovery.types = entries(&body);
            }
            if let Some(body) = self.describe("/Schemas").await? {
                discovery.schemas = entries(&body);
            }
        }
        let classes = self.settings.classes.values();
        let shapes = classes.map(|class| (class.name.clone(), Shape::of(class, &discovery)));
        Ok(Known {
            shapes: shapes.collect(),
            types: discovery.types.into_iter().map(|it| it.name).collect(),
            announced: discovery.announced,
        })
    }

    /// A description; none where the service has no such address, or keeps it to itself.
    async fn describe(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let asked = self.http.send(self.ask(Method::GET, path), Call::Read);
        let late = |_| {
            let waited = self.patience.as_millis();
            let message = format!("the service did not give `{path}` within {waited} ms");
            Err(Error::unavailable(504, message))
        };
        let answer = timeout(self.patience, asked).await.unwrap_or_else(late)?;
        signs::further();
        match answer.status {
            200..=299 => Ok(Some(answer.body)),
            400 | 403..=405 | 410 | 501 => Ok(None),
            _ => Err(failure(&answer, Call::Read)),
        }
    }

    // ---- requests

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let address = format!("{}{path}", self.settings.service.base_url);
        self.http
            .request(method, address)
            .header(ACCEPT, MEDIA_TYPE)
    }

    /// Sends a write that holds only if the resource still has this version.
    pub(super) async fn write(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        version: Option<&str>,
    ) -> Result<Answer, Error> {
        let mut request = self.ask(method, path);
        if let Some(version) = version {
            request = request.header(IF_MATCH, version);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, MEDIA_TYPE).json(body);
        }
        let answer = self.http.write(request).await;
        if let Err(error) = &answer {
            self.doubt(error);
        }
        answer
    }

    fn doubt(&self, error: &Error) {
        // A service that is only busy is not asked even more.
        if matches!(error.code.as_u64(), Some(405 | 415 | 501)) {
            self.is_doubtful.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn path_of(site: &Site<'_>, id: &str) -> Result<String, Error> {
        if is_addressable(id) {
            return Ok(format!("{}/{}", site.shape.path, segment(id)));
        }
        let message = format!("the id `{id}` cannot stand in an address");
        Err(Error::refused(400, message))
    }

    // ---- reading

    /// The resource with one of the service's own ids.
    pub(super) async fn get(
        &self,
        known: &Known,
        site: &Site<'_>,
        id: &str,
    ) -> Result<Option<Resource>, Error> {
        let Ok(path) = Self::path_of(site, id) else {
            return Ok(None);
        };
        let answer = self.http.read(self.ask(Method::GET, &path)).await;
        match answer.inspect_err(|error| self.doubt(error))? {
            Some(answer) => self.read_answer(known, site, &answer).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn read_answer(
        &self,
        known: &Known,
        site: &Site<'_>,
        answer: &Answer,
    ) -> Result<Resource, Error> {
        let value = serde_json::from_slice(&answer.body)
            .map_err(|_| Error::unavailable(502, "the service answered no JSON"))?;
        let mut resource = site.resource(value)?;
        let told = resource.version.take();
        resource.version = known.version(&self.settings, answer.etag.clone(), told);
        self.note(site, &resource);
        Ok(resource)
    }

    /// The resource with an id of Recant's, whether it is in use or not.
    pub(super) async fn locate(
        &self,
        known: &Known,
        site: &Site<'_>,
        id: &str,
    ) -> Result<Option<Resource>, Error> {
        let given = match site.class.uses_service_ids() {
            true => Some(id.to_owned()),
            false => service_id(id).map(str::to_owned),
        };
        if let Some(own) = given {
            return self.get(known, site, &own).await;
        }
        if let Some(own) = self.noted(site, id) {
            match self.get(known, site, &own).await? {
                Some(found)
                    if found
                        .key
                        .as_deref()
                        .is_some_and(|key| site.is_same_key(key, id)) =>
                {
                    return Ok(Some(found));
                }
                _ => self.forget(site, id),
            }
        }
        self.search(known, site, &site.class.key, id).await
    }

    /// The resource whose attribute has this value.
    pub(super) async fn search(
        &self,
        known: &Known,
        site: &Site<'_>,
        attribute: &str,
        value: &str,
    ) -> Result<Option<Resource>, Error> {
        let filtering = known.filtering(&self.settings);
        let filter = can_find(site, filtering, attribute).then(|| equals(attribute, value));
        let is_key = attribute == site.class.key;
        let mut found = self
            .collect(known, site, filter.as_deref(), |resource| {
                let has = match is_key {
                    true => {
                        let key = resource.key.as_deref();
                        key.is_some_and(|key| site.is_same_key(key, value))
                    }
                    false => resource.attributes.get(attribute) == Some(&json!(value)),
                };
                has.then_some(resource)
            })
            .await?;
        // Where keys that differ only in case are there all the same, the exact one is meant.
        let is_exact = |it: &Resource| is_key && it.key.as_deref() == Some(value);
        if found.len() > 1 && found.iter().filter(|it| is_exact(it)).count() == 1 {
            found.retain(is_exact);
        }
        let first = found.pop();
        if !found.is_empty() {
            let message = format!("more than one resource has the {attribute} `{value}`");
            return Err(Error::refused(409, message));
        }
        match first {
            // A list may leave out members, which a group can have many of.
            Some(group) if site.shape.is_group() => self.get(known, site, &group.id).await,
            other => Ok(other),
        }
    }

    /// What `pick` takes of every resource of a list. Where the service refuses the filter, it takes
    /// of all that there is.
    pub(super) async fn collect<T: Send>(
        &self,
        known: &Known,
        site: &Site<'_>,
        mut filter: Option<&str>,
        pick: impl Fn(Resource) -> Option<T> + Send,
    ) -> Result<Vec<T>, Error> {
        let mut token: Option<String> = None;
        let mut found = Vec::new();
        loop {
            let (page, next) = match self.page(known, site, filter, token.as_deref()).await {
                Err(error) if filter.is_some() && is_filter_refusal(&error) => {
                    (filter, token) = (None, None);
                    found.clear();
                    continue;
                }
                other => other?,
            };
            found.extend(page.into_iter().filter_map(&pick));
            signs::further();
            match next {
                Some(next) => token = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// One page as the service cuts them, and where the next one begins.
    pub(super) async fn page(
        &self,
        known: &Known,
        site: &Site<'_>,
        filter: Option<&str>,
        token: Option<&str>,
    ) -> Result<(Vec<Resource>, Option<String>), Error> {
        let paging = known.paging(&self.settings);
        let mut parameters: Vec<(&str, String)> = Vec::new();
        if let Some(filter) = filter {
            parameters.push(("filter", filter.to_owned()));
        }
        let place = token.map(str::to_owned);
        match paging {
            Paging::Cursor => parameters.push(("cursor", place.unwrap_or_default())),
            Paging::None => {}
            _ => parameters.push(("startIndex", place.unwrap_or_else(|| "1".to_owned()))),
        }
        if paging != Paging::None {
            parameters.push(("count", known.page_size(&self.settings).to_string()));
        }
        let request = self.ask(Method::GET, &site.shape.path).query(&parameters);
        let answer = self.http.read(request).await;
        let answer = answer.inspect_err(|error| self.doubt(error))?;
        let answer = answer.ok_or_else(|| {
            let path = &site.shape.path;
            Error::refused(
                404,
                format!("there is nothing at `{path}` (`baseUrl`, `path`)"),
            )
        })?;
        let list = List::read(&answer.body)?;
        let next = list.next(paging, token)?;
        let mut resources = Vec::with_capacity(list.resources.len());
        for value in list.resources {
            let mut resource = site.resource(value)?;
            resource.version = known.version(&self.settings, None, resource.version.take());
            self.note(site, &resource);
            resources.push(resource);
        }
        Ok((resources, next))
    }

    // ---- ids

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, site: &Site<'_>, resource: &Resource) {
        if site.class.uses_service_ids() {
            return;
        }
        let class = &site.class.name;
        let mut ids = self.ids();
        if ids.by_id.len() >= MOST_IDS {
            *ids = Ids::default();
        }
        let own = (class.clone(), resource.id.clone());
        match &resource.key {
            Some(key) => {
                let place = (class.clone(), site.folded_key(key));
                ids.by_key.insert(place, resource.id.clone());
                ids.by_id.insert(own, key.clone());
            }
            None => {
                ids.by_id.remove(&own);
            }
        }
    }

    pub(super) fn noted(&self, site: &Site<'_>, key: &str) -> Option<String> {
        let place = (site.class.name.clone(), site.folded_key(key));
        self.ids().by_key.get(&place).cloned()
    }

    /// The id of Recant's for one of the service's own, where it has been seen.
    pub(super) fn noted_key(&self, site: &Site<'_>, id: &str) -> Option<String> {
        let place = (site.class.name.clone(), id.to_owned());
        self.ids().by_id.get(&place).cloned()
    }

    pub(super) fn forget(&self, site: &Site<'_>, key: &str) {
        let place = (site.class.name.clone(), site.folded_key(key));
        self.ids().by_key.remove(&place);
    }

    /// The service's own id of a resource that was read.
    ///
    /// # Errors
    /// Refused where it is gone.
    pub(super) async fn own_id(
        &self,
        known: &Known,
        site: &Site<'_>,
        id: &str,
    ) -> Result<String, Error> {
        if site.class.uses_service_ids() {
            return Ok(id.to_owned());
        }
        if let Some(own) = service_id(id) {
            return Ok(own.to_owned());
        }
        if let Some(own) = self.noted(site, id) {
            return Ok(own);
        }
        let found = self.locate(known, site, id).await?;
        let gone = || Error::refused(404, format!("there is no `{id}`"));
        found.map(|found| found.id).ok_or_else(gone)
    }
}
