//! The calls to a directory.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use ldap3::Scope;
use serde_json::Value;

use super::{
    changes,
    dn::Dn,
    entries::asked_dn,
    filter, memberships, naming,
    pages::Searches,
    refresh::Known,
    server::Server,
    session::{Entry, Pool},
    settings::{Class, Settings},
    wire::{DN, View},
};
use crate::{
    connectors::{
        Capabilities, Changes, Connector, Error, Page, Particulars, Query, Update, Written,
    },
    model::{CauseKind, Follows, Object, TargetObject, TargetWrite},
};

/// How many ids a connector remembers the place of.
const PLACES: usize = 50_000;

/// For how many times the limit of an attempt a listing waits for its next page.
const PATIENCE: u32 = 6;

/// How many ids one search asks for.
const MANY: usize = 100;

/// One directory.
#[derive(Debug)]
pub struct Ldap {
    settings: Settings,
    pub(super) pool: Arc<Pool>,
    /// What the server said about itself; asked again by `test`.
    server: RwLock<Option<Arc<Server>>>,
    /// Where entries were seen last, by class and id: a hint that saves a search of the whole tree.
    places: Mutex<BTreeMap<(String, String), String>>,
    searches: Searches,
    known: Known,
}

impl Ldap {
    /// The directory. `timeout` is that of one attempt.
    ///
    /// # Errors
    /// Refused where the CA file cannot be used.
    pub fn open(settings: Settings, timeout: Duration) -> Result<Self, Error> {
        Ok(Self {
            pool: Arc::new(Pool::new(settings.clone(), timeout)?),
            settings,
            server: RwLock::default(),
            places: Mutex::default(),
            searches: Searches::new(timeout * PATIENCE),
            known: Known::default(),
        })
    }

    fn class(&self, class: &str) -> Result<&Class, Error> {
        let missing = || Error::refused(404, format!("there is no object class `{class}`"));
        self.settings.classes.get(class).ok_or_else(missing)
    }

    /// What the server said about itself; it is asked once.
    async fn server(&self) -> Result<Arc<Server>, Error> {
        let known = self.known_server();
        if let Some(server) = known {
            return Ok(server);
        }
        let server = Server::ask(&self.pool).await?;
        let server = Arc::new(server);
        self.know_server(Arc::clone(&server));
        Ok(server)
    }

    fn known_server(&self) -> Option<Arc<Server>> {
        let known = self.server.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn know_server(&self, server: Arc<Server>) {
        *self.server.write().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    fn place(&self, class: &str, id: &str) -> Option<String> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(&(class.to_owned(), id.to_owned())).cloned()
    }

    fn remember(&self, class: &str, object: &TargetObject) {
        let Some(Value::String(dn)) = object.attributes.get(DN) else {
            return;
        };
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= PLACES {
            places.clear();
        }
        places.insert((class.to_owned(), object.id.clone()), dn.clone());
    }

    /// The entry that goes by this id: by its value, by its whole name, or by what names it below
    /// its parent.
    pub(super) async fn find(
        &self,
        view: &View<'_>,
        class: &str,
        id: &str,
    ) -> Result<Option<TargetObject>, Error> {
        let found = match self.by_id(view, class, id).await? {
            Some(found) => Some(found),
            None => self.by_name(view, id).await?,
        };
        match found {
            Some(entry) => self.shown(view, class, &entry).await.map(Some),
            None => Ok(None),
        }
    }

    /// An entry as an object, with the groups that hold it.
    async fn shown(
        &self,
        view: &View<'_>,
        class: &str,
        entry: &Entry,
    ) -> Result<TargetObject, Error> {
        let mut objects = [view.object(entry)?];
        memberships::show_all(&self.pool, view, &mut objects).await?;
        let [object] = objects;
        self.remember(class, &object);
        Ok(object)
    }

    async fn by_id(&self, view: &View<'_>, class: &str, id: &str) -> Result<Option<Entry>, Error> {
        let name = &view.class.id_attribute;
        // A server takes a wrong value for one that nothing has, or complains.
        if name.eq_ignore_ascii_case("entryUUID") && uuid::Uuid::parse_str(id).is_err() {
            return Ok(None);
        }
        let Ok(value) = view.bytes(name, &Value::String(id.to_owned())) else {
            return Ok(None);
        };
        let filter = equal(view, name, &value);
        if let Some(dn) = self.place(class, id)
            && let Some(entry) = exact(view, self.at(view, &dn, &filter).await?, id)
        {
            return Ok(Some(entry));
        }
        Ok(exact(view, self.below(view, &filter).await?, id))
    }

    async fn by_name(&self, view: &View<'_>, id: &str) -> Result<Option<Entry>, Error> {
        if let Some(dn) = naming::own_dn(view.class, id) {
            return Ok(self.at(view, &dn, &view.class.filter).await?.pop());
        }
        if view.class.is_id_the_name() {
            return Ok(None);
        }
        let name = &view.class.rdn_attribute;
        let value = view.bytes(name, &Value::String(id.to_owned()))?;
        let entries = self.below(view, &equal(view, name, &value)).await?;
        let named = |entry: &Entry| {
            let dn = Dn::parse(&entry.dn);
            dn.is_some_and(|dn| dn.first().and_then(|rdn| rdn.value(name)) == Some(id))
        };
        let mut entries: Vec<Entry> = entries.into_iter().filter(named).collect();
        // Of several with that name none is meant for certain.
        let found = entries.pop();
        Ok(found.filter(|_| entries.is_empty()))
    }

    pub(super) async fn at(
        &self,
        view: &View<'_>,
        dn: &str,
        filter: &str,
    ) -> Result<Vec<Entry>, Error> {
        let wanted = view.wanted();
        self.pool.search(dn, Scope::Base, filter, &wanted).await
    }

    async fn below(&self, view: &View<'_>, filter: &str) -> Result<Vec<Entry>, Error> {
        let (base, wanted) = (&view.class.base, view.wanted());
        self.pool
            .search(base, Scope::Subtree, filter, &wanted)
            .await
    }

    /// What the target says after a write: what came with the answer, or what a look shows.
    pub(super) async fn written(
        &self,
        view: &View<'_>,
        class: &str,
        dn: &str,
        told: Option<Entry>,
    ) -> Result<Written, Error> {
        let entry = match told {
            Some(entry) => Ok(Some(entry)),
            None => self
                .at(view, dn, "(objectClass=*)")
                .await
                .map(|mut entries| entries.pop()),
        };
        let object = match entry {
            Ok(Some(entry)) => self.shown(view, class, &entry).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match object {
            Ok(Some(object)) => Ok(as_written(object)),
            Ok(None) => {
                let message = format!("{dn} cannot be found again after it was written");
                Err(Error::unknown(504, message))
            }
            Err(error) => {
                let message = format!("{dn} was written, but cannot be read: {}", error.message);
                Err(Error::unknown(504, message).because(error))
            }
        }
    }

    /// The entry that goes by exactly this id now.
    pub(super) async fn itself(
        &self,
        view: &View<'_>,
        class: &str,
        before: &TargetObject,
    ) -> Result<Option<TargetObject>, Error> {
        let found = self.find(view, class, &before.id).await?;
        Ok(found.filter(|now| now.id == before.id))
    }

    /// Where an object was read, or is now where that is not known.
    pub(super) async fn dn(
        &self,
        view: &View<'_>,
        class: &str,
        object: &TargetObject,
    ) -> Result<Option<String>, Error> {
        if let Some(Value::String(dn)) = object.attributes.get(DN) {
            return Ok(Some(dn.clone()));
        }
        let found = self.find(view, class, &object.id).await?;
        let dn = found.and_then(|mut found| found.attributes.shift_remove(DN));
        Ok(dn.and_then(|dn| dn.as_str().map(str::to_owned)))
    }

    /// An entry with a note of each attribute that it holds and nobody may read: null stands for a
    /// value that is not known.
    async fn with_unread(
        &self,
        view: &View<'_>,
        mut before: TargetObject,
    ) -> Result<TargetObject, Error> {
        let Some(Value::String(dn)) = before.attributes.get(DN).cloned() else {
            return Ok(before);
        };
        let schema = &view.server.schema;
        let may_be = |name: &&String| !schema.is_known() || schema.attribute(name).is_some();
        for name in view.class.write_only.iter().filter(may_be) {
            let filter = format!("({name}=*)");
            let found = self.pool.search(&dn, Scope::Base, &filter, &["1.1"]).await;
            match found {
                Ok(found) if found.is_empty() => {}
                Ok(_) => {
                    before.attributes.entry(name.clone()).or_insert(Value::Null);
                }
                // Who may not even ask for it cannot tell.
                Err(error) if error.kind == CauseKind::Refused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(before)
    }

    async fn test_class(&self, name: &str, class: &Class) -> Result<(), Error> {
        let server = self.server().await?;
        let view = View {
            class,
            server: &server,
        };
        let everything = "(objectClass=*)";
        let there = self
            .pool
            .search(&class.base, Scope::Base, everything, &["1.1"])
            .await?;
        if there.is_empty() {
            let message = format!(
                "object class `{name}`: there is no entry `{}` (`baseDn`), or `bindDn` may not \
                 see it",
                class.base
            );
            return Err(Error::refused(32, message));
        }
        server.knows_words(name, class)?;
        let none = filter::of_class(&view, "(!(objectClass=*))");
        self.pool
            .search(&class.base, Scope::Subtree, &none, &["1.1"])
            .await
            .map(drop)
    }
}

#[async_trait]
impl Connector for Ldap {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            precondition: true,
            recreate_with_id: true,
            changes: true,
        }
    }

    fn classes(&self) -> Vec<String> {
        self.settings.classes.keys().cloned().collect()
    }

    fn particulars(&self, class: &str) -> Particulars {
        let class = self.settings.classes.get(class);
        class.map_or_else(Particulars::default, |class| Particulars {
            assigns_ids: !class.is_id_the_name(),
            write_only: class.write_only.clone(),
            sets: class.sets(),
            revives: false,
        })
    }

    async fn refine(&self, class: &str, write: TargetWrite) -> Result<TargetWrite, Error> {
        let (settings, server) = (self.class(class)?, self.server().await?);
        let view = View {
            class: settings,
            server: &server,
        };
        match write {
            TargetWrite::Delete { before } => Ok(TargetWrite::Delete {
                before: self.with_unread(&view, before).await?,
            }),
            write => {
                let write = naming::refined(&view, write)?;
                memberships::known(&self.pool, &view, write).await
            }
        }
    }

    fn follows(&self, class: &str, write: &TargetWrite) -> Option<Follows> {
        let (class, server) = (self.settings.classes.get(class)?, self.known_server()?);
        let groups = class.memberships.as_ref()?;
        let TargetWrite::Update {
            before,
            after,
            rename,
        } = write
        else {
            return None;
        };
        let names_none = |object| memberships::groups(groups, object).is_empty();
        if names_none(&before.attributes) && names_none(after) {
            return None;
        }
        let view = View {
            class,
            server: &server,
        };
        let dn = before.attributes.get(DN)?.as_str()?;
        let update = Update {
            before,
            after,
            rename: rename.as_deref(),
        };
        // What cannot be named is refused when it is written.
        let to = naming::new_dn(&view, dn, &update).ok().flatten()?;
        Some(Follows {
            by: DN.to_owned(),
            to,
            attributes: vec![groups.name.clone()],
        })
    }

    fn tells_answers(&self) -> bool {
        true
    }

    async fn test(&self) -> Result<(), Error> {
        self.pool.forget();
        // What is known stays until there is something better.
        let server = Server::ask(&self.pool).await?;
        self.know_server(Arc::new(server));
        for (name, class) in &self.settings.classes {
            self.test_class(name, class).await?;
        }
        Ok(())
    }

    async fn read(&self, class: &str, id: &str) -> Result<Option<TargetObject>, Error> {
        let (settings, server) = (self.class(class)?, self.server().await?);
        let view = View {
            class: settings,
            server: &server,
        };
        self.find(&view, class, id).await
    }

    async fn query(&self, class: &str, query: &Query) -> Result<Page, Error> {
        let (settings, server) = (self.class(class)?, self.server().await?);
        let view = View {
            class: settings,
            server: &server,
        };
        if let Some(dn) = asked_dn(&query.filter) {
            let found = self.find(&view, class, dn).await?;
            let meets = |object: &TargetObject| query.filter.matches(&object.to_object());
            return Ok(Page {
                objects: found.into_iter().filter(meets).collect(),
                cursor: None,
            });
        }
        let wider = filter::wider(&view, &query.filter);
        let text = filter::of_class(&view, &wider.text);
        self.searches.page(&view, query, &self.pool, &text).await
    }

    async fn read_many(
        &self,
        class: &str,
        ids: &[String],
    ) -> Result<Option<Vec<TargetObject>>, Error> {
        let (settings, server) = (self.class(class)?, self.server().await?);
        let view = View {
            class: settings,
            server: &server,
        };
        let name = &settings.id_attribute;
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(MANY) {
            let mut parts = String::new();
            for id in some {
                if let Ok(value) = view.bytes(name, &Value::String(id.clone())) {
                    parts.push_str(&format!("({name}={})", filter::escaped(&value)));
                }
            }
            let filter = filter::of_class(&view, &format!("(|{parts})"));
            for entry in self.below(&view, &filter).await? {
                let object = view.object(&entry)?;
                self.remember(class, &object);
                found.push(object);
            }
        }
        found.retain(|object| ids.contains(&object.id));
        memberships::show_all(&self.pool, &view, &mut found).await?;
        Ok(Some(found))
    }

    async fn create(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        let (settings, server) = (self.class(class)?, self.server().await?);
        let view = View {
            class: settings,
            server: &server,
        };
        self.create_entry(&view, class, (id, object)).await
    }

    async fn update(&self, class: &str, update: &Update<'_>) -> Result<Written, Error> {
        let (settings, server) = (self.class(class)?, self.server().await?);
        let view = View {
            class: settings,
            server: &server,
        };
        self.update_entry(&view, class, update).await
    }

    async fn changes(&self, class: &str, since: Option<&str>) -> Result<Changes, Error> {
        let (settings, server) = (self.class(class)?, self.server().await?);
        let view = View {
            class: settings,
            server: &server,
        };
        changes::changes(&self.pool, &self.known, &view, (class, since)).await
    }

    async fn delete(&self, class: &str, before: &TargetObject) -> Result<(), Error> {
        let (settings, server) = (self.class(class)?, self.server().await?);
        let view = View {
            class: settings,
            server: &server,
        };
        self.delete_entry(&view, class, before).await
    }
}

pub(super) fn as_written(object: TargetObject) -> Written {
    Written {
        id: object.id,
        version: object.version,
        attributes: Some(object.attributes),
    }
}

/// The class' entries with this value.
fn equal(view: &View<'_>, name: &str, value: &[u8]) -> String {
    filter::of_class(view, &format!("({name}={})", filter::escaped(value)))
}

/// The entry whose id is exactly this; the server may hold more ids for equal than Recant does.
fn exact(view: &View<'_>, entries: Vec<Entry>, id: &str) -> Option<Entry> {
    let same = |entry: &Entry| {
        view.object(entry).is_ok_and(|object| {
            object.id == id
                || (uuid::Uuid::parse_str(id).is_ok() && object.id.eq_ignore_ascii_case(id))
        })
    };
    entries.into_iter().find(same)
}
