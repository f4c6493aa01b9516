//! The durable store: objects, links, the journal, the audit trail. Only this room knows sea-orm.
//!
//! One task per store writes everything that belongs to a change ([`writer`]); it puts what waits
//! into one transaction ([`round`]), judged in memory first ([`state`]). Everything else reads.
mod admission;
mod adoption;
mod arrivals;
mod audit;
mod audit_delivery;
mod batch;
mod bringers;
mod chain;
mod checkpoints;
mod connection;
mod cookie;
mod decode;
mod deliveries;
mod entity;
mod error;
mod event_rows;
mod events;
mod filter;
mod forget;
mod hook_runs;
mod hook_versions;
mod idempotency;
mod integration_list;
mod integration_rotation;
mod integration_rows;
mod integrations;
mod journal;
mod keeping;
mod keys;
mod links;
mod listed;
mod load;
mod look;
mod migrations;
mod nodes;
mod objects;
mod operations;
mod options;
mod outbound;
mod owner;
mod page;
mod pairs;
mod pending;
mod recon_entries;
mod recon_runs;
mod rotation;
mod round;
mod rows;
mod save;
mod saved_searches;
mod schema;
mod search;
mod sessions;
mod set_aside;
mod state;
mod statistics;
mod syncables;
mod takeover;
mod tally;
mod tokens;
mod unique;
mod unique_fill;
mod verify;
mod witnesses;
mod words;
mod writer;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use connection::{CommitError, Database, Missing};

pub use arrivals::{Arrived, Judge, LiveToken, Sequence};
pub use checkpoints::Pruned;
pub use deliveries::Pumped;
pub use error::{Error, Refusal};
pub use event_rows::Confidential;
pub use events::{EventPage, EventSearch};
pub use hook_runs::RunSearch;
pub use hook_versions::{HookVersion, ListedVersion};
pub use integration_list::IntegrationList;
pub use integration_rows::Arrival;
pub use integrations::{Copied, Ending};
pub use keys::{KeyError, Keyring};
pub use look::{AuditLook, ChangeLook, Looked, OutcomeIs};
pub use options::Options;
pub use owner::Owner;
pub use pairs::{Changed, First, LinkEnd, LinkMark, LinkScope, Mark};
pub use recon_runs::{Kept, RunPage};
pub use saved_searches::{MOST_SEARCHES, SavedSearch};
pub use search::{Count, Found, Search, SortKey};
pub use sessions::BrowserSession;
pub use statistics::Statistics;
pub use tally::{SPEEDS, StuckEvents, Tally};
pub use tokens::Token;
pub use unique::Taken;
pub use verify::{Begun, Break, Proof, Signed, Verification};
pub use words::{
    Admission, Holder, InFlight, JournalEntry, JournalError, ObjectWrite, Settlement, StoredAnswer,
    StoredKey, StoredObject, StoredOperation, Ticket,
};

/// The store of one Recant node. Cheap to clone.
///
/// Dropping the last handle without [`Store::close`] is what a crash does: settlements that are
/// not written yet are given up, and the node stays registered until somebody takes its changes
/// over.
#[derive(Debug, Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    name: Arc<str>,
    core: Arc<Core>,
    commands: UnboundedSender<writer::Command>,
    keeping: tokio::sync::mpsc::Sender<keeping::Keep>,
    abandoned: CancellationToken,
}

/// What the store's handles and its tasks share.
#[derive(Debug)]
struct Core {
    database: Database,
    clock: SharedClock,
    keys: Keyring,
    confidential: ArcSwap<rows::Confidential>,
    rules: ArcSwap<unique::Rules>,
    leases: nodes::Leases,
    pending: pending::Pending,
    gathering: admission::Gathering,
    counters: statistics::Counters,
    /// When an object was stamped last, in microseconds.
    stamped: std::sync::atomic::AtomicI64,
    /// Told whenever an event is stored.
    fed: tokio::sync::Notify,
    /// Told whenever an integration event is stored that is to be carried out.
    queued: tokio::sync::Notify,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.abandoned.cancel();
        self.core.leases.drop_lock();
    }
}

impl Store {
    /// Connects. The tables must have been migrated; a database in memory is migrated here, for
    /// nothing else can reach it.
    ///
    /// # Errors
    /// The database cannot be reached, or its tables are not up to date.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let database = Database::connect(&options.url, Missing::Fail).await?;
        if connection::is_in_memory(&options.url) {
            schema::migrate(&database).await?;
        } else {
            schema::check(&database).await?;
        }
        let core = Arc::new(Core {
            database,
            leases: nodes::Leases::new(options.clock.clone(), options.lease, options.lock_folder),
            clock: options.clock,
            keys: options.keys,
            confidential: ArcSwap::default(),
            rules: ArcSwap::default(),
            pending: pending::Pending::default(),
            gathering: admission::Gathering::default(),
            counters: statistics::Counters::default(),
            stamped: std::sync::atomic::AtomicI64::default(),
            fed: tokio::sync::Notify::new(),
            queued: tokio::sync::Notify::new(),
        });
        core.leases
            .register(&core.database)
            .await
            .map_err(Error::at("register this node"))?;
        Ok(Self::start(core))
    }

    fn start(core: Arc<Core>) -> Self {
        let (commands, receiver) = tokio::sync::mpsc::unbounded_channel();
        let abandoned = CancellationToken::new();
        let writer = writer::Writer::new(core.clone(), receiver, abandoned.clone());
        tokio::spawn(writer.run());
        tokio::spawn(keep_lease(core.clone(), abandoned.clone()));
        let keeping = keeping::start(core.clone(), commands.downgrade(), abandoned.clone());
        Self {
            handle: Arc::new(Handle {
                name: core.leases.node(),
                core,
                commands,
                keeping,
                abandoned,
            }),
        }
    }

    /// Brings the tables of the store at `url` up to date; tells how many migrations ran.
    ///
    /// # Errors
    /// The database cannot be reached, or a migration fails.
    pub async fn migrate(url: &str) -> Result<usize, Error> {
        let database = Database::connect(url, Missing::Create).await?;
        let count = schema::migrate(&database).await;
        database.close().await;
        count
    }

    /// Writes everything that was handed over, ends this node's registration and closes the
    /// connections. Changes that are still in flight are left to whoever takes them over.
    ///
    /// # Errors
    /// What was handed over could not be written.
    pub async fn close(&self) -> Result<(), Error> {
        self.keep_what_waits().await;
        let flushed = self.flush().await;
        self.handle.abandoned.cancel();
        let _ = self.core().leases.unregister(&self.core().database).await;
        self.core().leases.release_lock();
        self.core().database.close().await;
        flushed
    }

    /// Says which attributes are encrypted at rest, by managed type; taken up at once, for what
    /// is written from now on.
    pub fn set_confidential(&self, attributes: BTreeMap<String, Vec<String>>) {
        self.core().confidential.store(Arc::new(attributes));
    }

    /// This node's name, as long as the store is open.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.handle.name
    }

    /// The id under which this node holds its changes now: its name, until it loses its lease and
    /// goes on under another.
    #[must_use]
    pub fn identity(&self) -> Arc<str> {
        self.core().leases.node()
    }

    /// How long a lease lasts that was just renewed.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.core().leases.length()
    }

    /// How much of this node's lease is left; zero once it is lost, until there is a new one.
    #[must_use]
    pub fn lease_left(&self) -> Duration {
        self.core().leases.left()
    }

    /// How much of the lease is left to the life of this node that [`Store::identity`] named: zero for
    /// ever once that lease was lost, whatever this node is called since.
    #[must_use]
    pub fn lease_left_of(&self, node: &str) -> Duration {
        self.core().leases.left_of(node)
    }

    /// Whether the task that writes still lives; without it nothing can be changed any more.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        !self.handle.commands.is_closed()
    }

    /// What the writer has done since the store was opened.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.core().counters.read()
    }

    fn core(&self) -> &Core {
        &self.handle.core
    }
}

/// Renews the lease whenever a good part of it has passed; each round of the writer renews it too.
async fn keep_lease(core: Arc<Core>, abandoned: CancellationToken) {
    let work = async {
        loop {
            tokio::time::sleep(core.leases.pace()).await;
            if core.leases.is_old()
                && let Err(error) = core.leases.renew(&core.database).await
            {
                tracing::warn!(%error, "this node's lease could not be renewed");
            }
        }
    };
    abandoned.run_until_cancelled(work).await;
}
