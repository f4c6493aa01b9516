//! What the engine works with: types, mappings, targets and scripts of one configuration.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    connectors::SharedConnector,
    hooks::Runtime,
    managed::ManagedType,
    mapping::Mapping,
    model::{Container, object::ID, pointer::Pointer, secret::EVERY_ATTRIBUTE},
};

/// One configuration in force. A change uses the one that was in force when it was admitted.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Managed types by name.
    pub types: BTreeMap<String, Arc<ManagedType>>,
    /// Mappings in sync order.
    pub mappings: Vec<Arc<Mapping>>,
    /// Targets by connector name.
    pub targets: BTreeMap<String, Target>,
    /// What runs scripts.
    pub scripts: Runtime,
}

/// A target and how it is called.
#[derive(Debug, Clone)]
pub struct Target {
    /// The connector.
    pub connector: SharedConnector,
    /// Limits of a call.
    pub calls: CallPolicy,
    /// Object classes in which a create was seen to keep or not to keep the id that we gave.
    habits: Arc<Mutex<BTreeMap<String, bool>>>,
}

impl Target {
    /// A target that is called under this policy.
    #[must_use]
    pub fn new(connector: SharedConnector, calls: CallPolicy) -> Self {
        Self {
            connector,
            calls,
            habits: Arc::default(),
        }
    }

    /// Whether an object that is created with an id certainly gets that id.
    pub(super) fn keeps_ids(&self, class: &str) -> bool {
        let habits = self.habits.lock().unwrap_or_else(PoisonError::into_inner);
        self.connector.capabilities().recreate_with_id || habits.get(class) == Some(&true)
    }

    /// Remembers which id a created object got.
    pub(super) fn note_id(&self, class: &str, asked: &str, given: &str) {
        let mut habits = self.habits.lock().unwrap_or_else(PoisonError::into_inner);
        habits.insert(class.to_owned(), asked == given);
    }
}

/// Time limit and retries of calls to one target.
#[derive(Debug, Clone, PartialEq)]
pub struct CallPolicy {
    /// How long one attempt may take (`timeoutMs`).
    pub timeout: Duration,
    /// How many attempts there are, the first one included (`retry.attempts`).
    pub attempts: u32,
    /// The pause before the second attempt; it doubles each time (`retry.baseMs`).
    pub base: Duration,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            attempts: 3,
            base: Duration::from_millis(50),
        }
    }
}

impl Setup {
    /// The first of these fields that names a confidential attribute of a target: what a mapping
    /// writes there from one. Whoever may ask a target which objects hold a given value there
    /// learns the value.
    pub fn confidential_field<'a>(
        &self,
        container: &Container,
        fields: impl IntoIterator<Item = &'a Pointer>,
    ) -> Option<&'a Pointer> {
        let mappings = self.mappings.iter();
        let hidden: Vec<&str> = mappings
            .filter(|mapping| mapping.target == *container)
            .flat_map(|mapping| mapping.confidential.iter().map(String::as_str))
            .collect();
        // A target may know no case, and take what follows a `;` for no part of the name.
        let base = |name: &str| name.split(';').next().unwrap_or_default().to_lowercase();
        fields.into_iter().find(|field| match field.first() {
            Some(ID) => false,
            Some(name) => hidden
                .iter()
                .any(|one| base(one) == base(name) || *one == EVERY_ATTRIBUTE),
            None => !hidden.is_empty(),
        })
    }

    /// The type with this name.
    #[must_use]
    pub fn managed(&self, container: &Container) -> Option<&Arc<ManagedType>> {
        match container {
            Container::Managed(name) => self.types.get(name),
            Container::System { .. } => None,
        }
    }

    /// The target that holds `container`, with the object class' name.
    #[must_use]
    pub fn target<'a>(&'a self, container: &'a Container) -> Option<(&'a Target, &'a str)> {
        match container {
            Container::System { connector, class } => self
                .targets
                .get(connector)
                .map(|target| (target, class.as_str())),
            Container::Managed(_) => None,
        }
    }
}
