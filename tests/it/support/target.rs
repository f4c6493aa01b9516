//! A target in memory whose faults are scripted, and which remembers what it was asked.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use recant::{
    connectors::{
        Capabilities, Change, Changes, Connector, Error, Page, Particulars, Query, Update, Written,
    },
    model::{Object, TargetObject},
};
use serde_json::Value;

/// What a target is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    Read,
    Create,
    Update,
    Delete,
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The target says no.
    Refused,
    /// The target is not there.
    Unavailable,
    /// The call never arrived, and nobody can tell.
    LostBefore,
    /// The call took effect, and nobody can tell.
    LostAfter,
    /// Somebody else writes another value into the object first; the answer is lost.
    Overtaken,
}

/// A fault that waits for its call.
#[derive(Debug, Clone)]
struct Planned {
    /// Which calls it meets; writes of any kind where it is none.
    ask: Option<Ask>,
    /// How many such calls pass before.
    after: usize,
    /// How many it meets.
    times: usize,
    fault: Fault,
}

/// A target in memory.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
    /// Whether it assigns the ids of what is created from now on.
    pub assigns_ids: std::sync::atomic::AtomicBool,
    /// Whether its lists show names only, and no versions.
    pub summarizes: std::sync::atomic::AtomicBool,
    /// Objects that its lists leave out, though they are there.
    pub unlisted: Mutex<Vec<String>>,
    /// Whether it carries a create out once only, however often it is asked under one key.
    pub remembers_keys: std::sync::atomic::AtomicBool,
    /// Whether it gives many objects in one request.
    pub reads_many: std::sync::atomic::AtomicBool,
    /// Writes of one object at the same time mean that its lane leaks.
    pub overlaps: Mutex<usize>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, TargetObject>,
    versions: u64,
    /// Every change of an object with the version that it made.
    changes: Vec<(u64, String)>,
    /// Changes up to this version are forgotten.
    forgotten: u64,
    /// How often it was asked what changed since a token.
    asked_for_changes: usize,
    faults: Vec<Planned>,
    /// Every write that took effect, in order: what, id, attributes after.
    log: Vec<(Ask, String, Option<Object>)>,
    writing: BTreeMap<String, usize>,
    /// How long a write takes.
    pause: Duration,
    /// How long the answer to a read is on its way.
    read_pause: Duration,
    /// What it makes of what it is given.
    normalises: Option<fn(&mut Object)>,
    asked: BTreeMap<String, usize>,
    /// What came of creates, by their keys.
    created: BTreeMap<String, Written>,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What it holds: id to attributes.
    pub fn dump(&self) -> BTreeMap<String, Value> {
        let state = self.state.lock().unwrap();
        state
            .objects
            .iter()
            .map(|(id, object)| (id.clone(), Value::Object(object.attributes.clone())))
            .collect()
    }

    /// Puts an object there, past Recant.
    pub fn put(&self, id: &str, attributes: Value) {
        let mut state = self.state.lock().unwrap();
        state.store(id, attributes.as_object().cloned().unwrap());
    }

    /// Removes an object, past Recant.
    pub fn remove(&self, id: &str) {
        let mut state = self.state.lock().unwrap();
        state.objects.remove(id);
        state.touch(id);
    }

    /// Every write that took effect so far.
    pub fn log(&self) -> Vec<(Ask, String, Option<Object>)> {
        self.state.lock().unwrap().log.clone()
    }

    /// How often it was asked.
    pub fn asked(&self, ask: Ask) -> usize {
        let state = self.state.lock().unwrap();
        state
            .asked
            .get(&format!("{ask:?}"))
            .copied()
            .unwrap_or_default()
    }

    /// The next `times` calls of this kind (none: any write) after `after` ones go wrong.
    pub fn fail(&self, ask: Option<Ask>, after: usize, times: usize, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.faults.push(Planned {
            ask,
            after,
            times,
            fault,
        });
    }

    /// Forgets what changed: tokens from before mean nothing any more.
    pub fn forget_changes(&self) {
        let mut state = self.state.lock().unwrap();
        state.versions += 1;
        state.forgotten = state.versions;
        state.changes.clear();
    }

    /// How often it was asked what changed since a token.
    pub fn asked_for_changes(&self) -> usize {
        self.state.lock().unwrap().asked_for_changes
    }

    /// No fault any more.
    pub fn mend(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// From now on it gives created objects ids of its own.
    pub fn assign_ids(&self) {
        self.assigns_ids
            .store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Makes each write take this long.
    pub fn slow_down(&self, pause: Duration) {
        self.state.lock().unwrap().pause = pause;
    }

    /// Makes the answer to each read come this late, with what was there when it was asked.
    pub fn slow_down_reads(&self, pause: Duration) {
        self.state.lock().unwrap().read_pause = pause;
    }

    /// From now on it keeps not quite what it is given.
    pub fn normalise(&self, how: fn(&mut Object)) {
        self.state.lock().unwrap().normalises = Some(how);
    }

    /// Loses objects, and tells nobody that they are gone.
    pub fn lose(&self, which: impl Fn(&str) -> bool) {
        let mut state = self.state.lock().unwrap();
        state.objects.retain(|id, _| !which(id));
    }

    /// From now on it gives many objects in one request.
    pub fn read_many_at_once(&self) {
        self.reads_many
            .store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// From now on it makes no second object of a create that is repeated.
    pub fn remember_keys(&self) {
        self.remembers_keys
            .store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn remembers_keys(&self) -> bool {
        self.remembers_keys
            .load(std::sync::atomic::Ordering::SeqCst)
    }

    fn summarizes(&self) -> bool {
        self.summarizes.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn assigns(&self) -> bool {
        self.assigns_ids.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn fault(&self, ask: Ask) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        *state.asked.entry(format!("{ask:?}")).or_default() += 1;
        let met = state.faults.iter_mut().find(|planned| match planned.ask {
            Some(wanted) => wanted == ask,
            None => ask != Ask::Read,
        })?;
        if met.after > 0 {
            met.after -= 1;
            return None;
        }
        let fault = met.fault;
        met.times -= 1;
        state.faults.retain(|planned| planned.times > 0);
        Some(fault)
    }

    async fn write(
        &self,
        ask: Ask,
        id: &str,
        change: impl FnOnce(&mut State) -> Result<Written, Error>,
    ) -> Result<Written, Error> {
        let pause = {
            let mut state = self.state.lock().unwrap();
            let writing = state.writing.entry(id.to_owned()).or_default();
            *writing += 1;
            if *writing > 1 {
                *self.overlaps.lock().unwrap() += 1;
            }
            state.pause
        };
        // Gives others the chance to come between, as a network does.
        if pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(pause).await;
        }
        let fault = self.fault(ask);
        let mut state = self.state.lock().unwrap();
        if let Some(writing) = state.writing.get_mut(id) {
            *writing -= 1;
        }
        match fault {
            None => change(&mut state),
            Some(Fault::Refused) => Err(Error::refused(409, "refused by policy")),
            Some(Fault::Unavailable) => Err(Error::unavailable(503, "out of service")),
            Some(Fault::LostBefore) => Err(Error::unknown(504, "no answer")),
            Some(Fault::LostAfter) => {
                let _ = change(&mut state);
                Err(Error::unknown(504, "no answer"))
            }
            Some(Fault::Overtaken) => {
                let mut other = Object::new();
                other.insert("name".into(), "somebody else".into());
                state.store(id, other);
                Err(Error::unknown(504, "no answer"))
            }
        }
    }
}

impl State {
    fn touch(&mut self, id: &str) {
        self.versions += 1;
        self.changes.push((self.versions, id.to_owned()));
    }

    fn store(&mut self, id: &str, mut attributes: Object) -> Written {
        self.touch(id);
        if let Some(normalise) = self.normalises {
            normalise(&mut attributes);
        }
        let version = Some(format!("v{}", self.versions));
        let object = TargetObject {
            id: id.to_owned(),
            attributes: attributes.clone(),
            version: version.clone(),
        };
        self.objects.insert(id.to_owned(), object);
        Written {
            id: id.to_owned(),
            version,
            attributes: Some(attributes),
        }
    }

    fn check(&self, before: &TargetObject) -> Result<(), Error> {
        match self.objects.get(&before.id) {
            None => Err(Error::refused(404, format!("there is no {}", before.id))),
            Some(now) if before.version.is_some() && now.version != before.version => {
                Err(Error::refused(412, "somebody else has changed it"))
            }
            Some(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Connector for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            precondition: true,
            recreate_with_id: !self.assigns(),
            changes: true,
        }
    }

    fn classes(&self) -> Vec<String> {
        vec!["account".to_owned()]
    }

    fn particulars(&self, _class: &str) -> Particulars {
        Particulars {
            lists_whole: !self.summarizes(),
            ..Particulars::default()
        }
    }

    async fn test(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn read(&self, _class: &str, id: &str) -> Result<Option<TargetObject>, Error> {
        tokio::task::yield_now().await;
        if let Some(fault) = self.fault(Ask::Read) {
            return Err(match fault {
                Fault::Refused => Error::refused(403, "no read access"),
                _ => Error::unavailable(503, "out of service"),
            });
        }
        let (found, pause) = {
            let state = self.state.lock().unwrap();
            (state.objects.get(id).cloned(), state.read_pause)
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(found)
    }

    async fn read_many(
        &self,
        _class: &str,
        ids: &[String],
    ) -> Result<Option<Vec<TargetObject>>, Error> {
        if !self.reads_many.load(std::sync::atomic::Ordering::SeqCst) {
            return Ok(None);
        }
        let state = self.state.lock().unwrap();
        let found = ids.iter().filter_map(|id| state.objects.get(id));
        Ok(Some(found.cloned().collect()))
    }

    async fn query(&self, _class: &str, query: &Query) -> Result<Page, Error> {
        if self.fault(Ask::Read).is_some() {
            return Err(Error::unavailable(503, "out of service"));
        }
        let state = self.state.lock().unwrap();
        let after = query.cursor.as_deref();
        let unlisted = self.unlisted.lock().unwrap();
        let mut objects: Vec<TargetObject> = state
            .objects
            .values()
            .filter(|object| after.is_none_or(|after| object.id.as_str() > after))
            .filter(|object| query.filter.matches(&object.to_object()))
            .filter(|object| !unlisted.contains(&object.id))
            .take(query.page_size + 1)
            .cloned()
            .collect();
        let more = objects.len() > query.page_size;
        objects.truncate(query.page_size);
        let cursor = objects.last().filter(|_| more).map(|last| last.id.clone());
        for object in objects.iter_mut().filter(|_| self.summarizes()) {
            object.attributes.retain(|name, _| name == "name");
            object.version = None;
        }
        Ok(Page { objects, cursor })
    }

    async fn create(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        self.create_once(class, id, object, "").await
    }

    fn repeats_creates(&self, _class: &str) -> bool {
        self.remembers_keys()
    }

    async fn create_once(
        &self,
        _class: &str,
        id: Option<&str>,
        object: &Object,
        key: &str,
    ) -> Result<Written, Error> {
        let given = match id.filter(|_| !self.assigns()) {
            Some(id) => id.to_owned(),
            None => {
                let mut state = self.state.lock().unwrap();
                state.versions += 1;
                format!("assigned-{}", state.versions)
            }
        };
        let (object, key) = (object.clone(), key.to_owned());
        let remembers = self.remembers_keys() && !key.is_empty();
        self.write(Ask::Create, &given.clone(), move |state| {
            if let Some(written) = state.created.get(&key).filter(|_| remembers) {
                return Ok(written.clone());
            }
            if state.objects.contains_key(&given) {
                return Err(Error::refused(409, format!("{given} exists already")));
            }
            state
                .log
                .push((Ask::Create, given.clone(), Some(object.clone())));
            let written = state.store(&given, object);
            state.created.insert(key, written.clone());
            Ok(written)
        })
        .await
    }

    async fn update(&self, _class: &str, update: &Update<'_>) -> Result<Written, Error> {
        let before = update.before.clone();
        let after = update.after.clone();
        let id = update.rename.unwrap_or(&update.before.id).to_owned();
        self.write(Ask::Update, &before.id.clone(), move |state| {
            state.check(&before)?;
            state.objects.remove(&before.id);
            state
                .log
                .push((Ask::Update, id.clone(), Some(after.clone())));
            Ok(state.store(&id, after))
        })
        .await
    }

    async fn delete(&self, _class: &str, before: &TargetObject) -> Result<(), Error> {
        let before = before.clone();
        self.write(Ask::Delete, &before.id.clone(), move |state| {
            if state.objects.contains_key(&before.id) {
                state.check(&before)?;
                state.objects.remove(&before.id);
                state.log.push((Ask::Delete, before.id.clone(), None));
            }
            Ok(Written {
                id: before.id,
                version: None,
                attributes: None,
            })
        })
        .await
        .map(|_| ())
    }

    async fn changes(&self, _class: &str, since: Option<&str>) -> Result<Changes, Error> {
        let mut state = self.state.lock().unwrap();
        let mut changes = Changes {
            token: state.versions.to_string(),
            ..Changes::default()
        };
        let Some(since) = since.map(|since| since.parse::<u64>().unwrap()) else {
            return Ok(changes);
        };
        state.asked_for_changes += 1;
        if since < state.forgotten {
            return Err(Error::refused(410, "the token is too old"));
        }
        for (_, id) in state.changes.iter().filter(|(version, _)| *version > since) {
            changes.changes.push(match state.objects.get(id) {
                Some(object) => Change::Present(object.clone()),
                None => Change::Gone(id.clone()),
            });
        }
        Ok(changes)
    }
}
