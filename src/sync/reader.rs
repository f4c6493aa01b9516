//! What hooks may read: managed objects and targets, without what is confidential.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;

use crate::{
    connectors::health::{Health, State},
    hooks,
    model::{Container, Filter, Object, ResourceName, pointer::Pointer},
    store::{Count, Search, Store},
};

use super::{
    calls,
    setup::{Setup, Target},
};

/// How many objects a hook's `query` gives at most; more is an error, not a silent cut.
const MOST: usize = 1_000;

/// Reads for the hooks of one change, under the configuration that it was admitted under.
#[derive(Debug)]
pub(super) struct HookReader {
    store: Store,
    setup: Arc<Setup>,
    /// Whether a script looked at more than its variables.
    varied: AtomicBool,
}

impl HookReader {
    pub(super) fn new(store: Store, setup: Arc<Setup>) -> Self {
        Self {
            store,
            setup,
            varied: AtomicBool::new(false),
        }
    }

    /// Whether a script that ran so far looked at more than its variables: then what it gave may be
    /// something else the next time, though source and target are as they were.
    pub(super) fn has_varied(&self) -> bool {
        self.varied.load(Ordering::SeqCst)
    }

    async fn managed(&self, container: &Container, filter: &Filter) -> Result<Vec<Object>, String> {
        let Container::Managed(name) = container else {
            return Ok(Vec::new());
        };
        let managed = self
            .setup
            .managed(container)
            .ok_or_else(|| unknown(container))?;
        // The store knows what is confidential by the folder's word; here more may be.
        let hidden = |field: &&Pointer| match field.first() {
            Some(name) => managed.confidential.iter().any(|one| one == name),
            None => !managed.confidential.is_empty(),
        };
        if let Some(field) = filter.fields().into_iter().find(hidden) {
            return Err(format!(
                "`{field}` is confidential in {container}: nothing is sought by it"
            ));
        }
        let search = Search {
            filter: filter.clone(),
            sort: Vec::new(),
            page_size: Some(MOST + 1),
            cookie: None,
            offset: 0,
            count: Count::None,
        };
        let found = self
            .store
            .objects(name, &search)
            .await
            .map_err(|error| error.to_string())?;
        Ok(found
            .results
            .iter()
            .map(|stored| managed.visible(&stored.object))
            .collect())
    }

    async fn system(&self, container: &Container, filter: &Filter) -> Result<Vec<Object>, String> {
        let (target, class) = self
            .setup
            .target(container)
            .ok_or_else(|| unknown(container))?;
        if let Some(field) = self.setup.confidential_field(container, filter.fields()) {
            return Err(format!(
                "`{field}` is confidential in {container}: nothing is sought by it"
            ));
        }
        let query = crate::connectors::Query {
            filter: filter.clone(),
            page_size: MOST + 1,
            cursor: None,
        };
        answering(container, target)?;
        let call = target.connector.query(class, &query);
        let page = calls::limited(&target.calls, call)
            .await
            .map_err(|error| error.to_string())?;
        Ok(page
            .objects
            .iter()
            .map(|found| self.hide(container, found.to_object()))
            .collect())
    }

    /// Masks what any mapping writes there from a confidential attribute.
    fn hide(&self, container: &Container, object: Object) -> Object {
        self.setup
            .mappings
            .iter()
            .filter(|mapping| mapping.target == *container)
            .fold(object, |object, mapping| mapping.masked(object))
    }
}

#[async_trait]
impl hooks::Reader for HookReader {
    async fn read(&self, path: &str) -> Result<Option<Object>, String> {
        self.varies();
        let name: ResourceName = path.parse().map_err(|error| format!("{error}"))?;
        if let Some((target, class)) = self.setup.target(&name.container) {
            answering(&name.container, target)?;
            let found = calls::read(target, class, &name.id)
                .await
                .map_err(|error| format!("{name} cannot be read: {error}"))?;
            return Ok(found.map(|found| self.hide(&name.container, found.to_object())));
        }
        let managed = self
            .setup
            .managed(&name.container)
            .ok_or_else(|| unknown(&name.container))?;
        let stored = self
            .store
            .object(&name)
            .await
            .map_err(|error| error.to_string())?;
        Ok(stored.map(|stored| managed.visible(&stored.object)))
    }

    async fn query(&self, container: &str, filter: &Filter) -> Result<Vec<Object>, String> {
        self.varies();
        let container: Container = container.parse().map_err(|error| format!("{error}"))?;
        let found = match &container {
            Container::Managed(_) => self.managed(&container, filter).await?,
            Container::System { .. } => self.system(&container, filter).await?,
        };
        if found.len() > MOST {
            return Err(format!(
                "{container} holds more than {MOST} such objects; narrow the filter"
            ));
        }
        Ok(found)
    }

    fn varies(&self) {
        self.varied.store(true, Ordering::SeqCst);
    }
}

/// A hook does not wait for a target that is known to be down.
fn answering(container: &Container, target: &Target) -> Result<(), String> {
    let is_down = |health: &Health| health.circuit == State::Open;
    match target.connector.health().filter(is_down) {
        Some(_) => Err(format!("{container} cannot be read: the target is down")),
        None => Ok(()),
    }
}

fn unknown(container: &Container) -> String {
    format!("there is no {container}")
}
