//! Opening a project folder: configuration, store, connectors, engine, and what runs beside them.
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{SharedClock, SystemClock},
    config::{self, Configuration, Loaded, State},
    connectors::{self, SharedConnector},
    hooks::{Limits, Runtime},
    recon::Reconciler,
    store::{self, Keyring, Store},
    sync::{Bounds, CallPolicy, Engine, Setup, Target},
};

use super::{
    App, Parts,
    access::{NoRandomness, TokenBook},
    changes::KeysAtWork,
    deliveries::subscriptions,
    door::Door,
    inbound::policies,
};

/// The folder below the project folder in which living processes hold a lock each.
const NODES: &str = ".recant/nodes";

/// Connectors that an embedding program brings, by name.
#[derive(Clone, Default)]
pub(super) struct OwnConnectors(BTreeMap<String, SharedConnector>);

/// What an [`App`] is opened with.
#[derive(Debug, Clone)]
pub struct Builder {
    folder: PathBuf,
    own: OwnConnectors,
    clock: SharedClock,
}

/// Why a folder does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder has errors; one line each.
    #[error("the folder has {} problems:\n{}", .0.len(), .0.join("\n"))]
    Problems(Vec<String>),
    /// A key for data at rest is wrong.
    #[error("a key of [secrets] cannot be used")]
    Key(#[source] store::KeyError),
    /// A connector cannot be made.
    #[error("connector `{name}` cannot be opened")]
    Connector {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<connectors::Error>,
    },
    /// The provider of sign-ins cannot be used.
    #[error("[auth.oidc] cannot be used")]
    Provider(#[from] crate::oidc::FetchError),
    /// There is nothing to make secrets from.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Builder {
    /// A builder for a project folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            own: OwnConnectors::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// Uses the program's own connector under a name; the folder describes it in
    /// `conf/connectors/NAME.json` with `"type": "custom"`.
    #[must_use]
    pub fn connector(mut self, name: &str, connector: SharedConnector) -> Self {
        self.own.0.insert(name.to_owned(), connector);
        self
    }

    /// Takes time and ids from another clock.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Loads the folder, opens its store (migrating it), takes up what a crash left and watches
    /// the folder for changes.
    ///
    /// # Errors
    /// Where the folder has errors or its store cannot be opened; nothing has begun then.
    pub async fn open(self) -> Result<App, StartError> {
        let load = loader(self.folder.clone());
        let (configuration, problems) = usable(load())?;
        let configuration = Arc::new(configuration);
        let store = open_store(&configuration, Arc::clone(&self.clock)).await?;
        store.set_confidential(configuration.confidential());
        Box::pin(store.guard_unique(configuration.unique())).await?;
        let setup = setup(&configuration, &self.own, None)?;
        let bounds = Bounds {
            waiting: configuration.changes.max_waiting,
            patience: configuration.changes.max_wait,
            recovery: configuration.changes.recovery_wait,
        };
        let engine = Engine::new(store, Arc::clone(&self.clock), setup, bounds);
        let app = App {
            parts: Arc::new(Parts {
                reconciler: Reconciler::new(engine.clone(), Arc::clone(&self.clock)),
                engine,
                clock: self.clock,
                configuration: ArcSwap::new(Arc::clone(&configuration)),
                problems: ArcSwap::from_pointee(problems.clone()),
                tokens: ArcSwap::from_pointee(TokenBook::default()),
                door: Door::new()?,
                veils: ArcSwap::default(),
                provider: arc_swap::ArcSwapOption::empty(),
                notices: Mutex::default(),
                keys: KeysAtWork::default(),
                counted: super::insight::Counted::default(),
                own: self.own,
                subscriptions: Arc::new(ArcSwap::new(subscriptions(&configuration))),
                policies: Arc::new(ArcSwap::new(policies(&configuration))),
                stop: CancellationToken::new(),
                background: Mutex::default(),
                verified: Mutex::default(),
                signed: Mutex::default(),
                walking: Mutex::default(),
                saving: tokio::sync::Mutex::default(),
                destinations: crate::audit::delivery::Statuses::default(),
            }),
        };
        let began = tokio::time::Instant::now();
        let tokens = Box::pin(app.store().tokens()).await?;
        app.keep_token_book(TokenBook::new(tokens, began));
        app.keep_provider(app.provider_of(&configuration)?);
        app.start(
            State {
                configuration,
                problems,
            },
            load,
        );
        Ok(app)
    }
}

impl App {
    /// Opens a project folder as it is: [`Builder::open`] without anything of the program's own.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub async fn open(folder: &Path) -> Result<Self, StartError> {
        Builder::new(folder).open().await
    }
}

/// What loads the folder again and again; scripts keep their runtime while the limits stay.
fn loader(folder: PathBuf) -> impl Fn() -> Loaded + Clone + Send + Sync + 'static {
    let runtime: Arc<dyn Fn(&Limits) -> Runtime + Send + Sync> = Arc::new(config::shared_runtime());
    move || config::load(&folder, &*runtime, &config::process_environment)
}

fn usable(loaded: Loaded) -> Result<(Configuration, Vec<config::Problem>), StartError> {
    match loaded.configuration {
        Some(configuration) => Ok((configuration, loaded.problems)),
        None => Err(StartError::Problems(
            loaded.problems.iter().map(ToString::to_string).collect(),
        )),
    }
}

async fn open_store(
    configuration: &Configuration,
    clock: SharedClock,
) -> Result<Store, StartError> {
    let keys: Vec<&str> = configuration
        .secrets
        .iter()
        .map(|key| key.expose_secret())
        .collect();
    let keys = Keyring::from_base64(&keys.join(" ")).map_err(StartError::Key)?;
    // Boxed: the futures of the store nest deep, and every caller's future would hold them whole.
    Box::pin(Store::migrate(&configuration.store.url)).await?;
    let options = store::Options {
        url: configuration.store.url.clone(),
        keys,
        clock,
        lease: configuration.journal.lease,
        lock_folder: Some(configuration.folder.join(NODES)),
    };
    Ok(Box::pin(Store::open(options)).await?)
}

/// What the engine works with. A connector whose settings are those of `before` is kept, with its
/// pooled connections.
pub(super) fn setup(
    configuration: &Configuration,
    own: &OwnConnectors,
    before: Option<(&Configuration, &Setup)>,
) -> Result<Setup, StartError> {
    let keeper = configuration.runtime.keeper();
    keeper.keep(configuration.hooks.keep_runs);
    let mut targets = BTreeMap::new();
    for (name, settings) in &configuration.connectors {
        let calls = CallPolicy {
            timeout: settings.timeout,
            attempts: settings.attempts,
            base: settings.base,
        };
        let kept = before
            .filter(|(old, _)| old.connectors.get(name) == Some(settings))
            .and_then(|(_, setup)| setup.targets.get(name))
            .map(|target| Arc::clone(&target.connector));
        let connector = match kept {
            Some(kept) => kept,
            None => connect(name, settings, own)?,
        };
        targets.insert(name.clone(), Target::new(connector, calls));
    }
    Ok(Setup {
        types: configuration.types.clone(),
        mappings: configuration.mappings.clone(),
        targets,
        scripts: configuration.runtime.clone(),
    })
}

fn connect(
    name: &str,
    settings: &connectors::Settings,
    own: &OwnConnectors,
) -> Result<SharedConnector, StartError> {
    let connector = match own.0.get(name) {
        Some(own) => Arc::clone(own),
        None => {
            let opened = connectors::open(settings).map_err(|source| StartError::Connector {
                name: name.to_owned(),
                source: Box::new(source),
            })?;
            connectors::measured(name, opened)
        }
    };
    let (health, timeout) = (&settings.health, settings.timeout);
    Ok(connectors::guarded(name, connector, health, timeout))
}

impl fmt::Debug for OwnConnectors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.keys()).finish()
    }
}
