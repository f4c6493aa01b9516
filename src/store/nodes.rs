//! This node's lease on its changes, kept in the store and by a lock on a file.
use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sea_orm::{
    DbErr,
    sea_query::{Expr, ExprTrait as _, Query},
};

use super::{
    connection::{Database, limited},
    entity::node,
    rows::micros,
};
use crate::clock::SharedClock;

/// Who this node is, and until when.
#[derive(Debug)]
pub(super) struct Leases {
    clock: SharedClock,
    lease: Duration,
    lock_folder: Option<PathBuf>,
    current: Mutex<Identity>,
}

/// One life of a node: from its registration to its last renewal.
#[derive(Debug)]
struct Identity {
    id: Arc<str>,
    /// Counted from before the renewal was sent, by a clock that never jumps.
    until: Instant,
    /// The same by the clock that other nodes compare with: it goes on while the machine sleeps.
    until_by_wall: DateTime<Utc>,
    round: i64,
    lock: Option<Lock>,
}

/// A locked file; it is given free when it is dropped, or its process ends.
#[derive(Debug)]
struct Lock {
    _file: File,
    path: PathBuf,
}

/// What a node's lock file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Its process holds it.
    Alive,
    /// It is there, and nobody holds it.
    Dead,
    /// It is not on this machine.
    None,
}

/// When a lease that is asked for now would end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    until: Instant,
    until_by_wall: DateTime<Utc>,
}

impl Leases {
    /// A node that is not registered yet.
    pub(super) fn new(clock: SharedClock, lease: Duration, lock_folder: Option<PathBuf>) -> Self {
        let identity = Identity {
            id: Arc::from(""),
            until: Instant::now(),
            until_by_wall: clock.now(),
            round: 0,
            lock: None,
        };
        Self {
            clock,
            lease,
            lock_folder: lock_folder.map(one_name),
            current: Mutex::new(identity),
        }
    }

    /// Registers this node under a fresh id; an earlier one ends at once, and whoever takes over
    /// next finds its changes.
    pub(super) async fn register(&self, database: &Database) -> Result<(), DbErr> {
        limited(self.begin_life(database)).await
    }

    async fn begin_life(&self, database: &Database) -> Result<(), DbErr> {
        let id: Arc<str> = self.clock.fresh_id().to_string().into();
        let lock = self.lock(&id);
        let term = self.term();
        let before = self.node();
        let mut transaction = database.begin().await?;
        let forget = Query::delete()
            .from_table(node::Entity)
            .and_where(Expr::col(node::Column::Id).eq(&*before))
            .to_owned();
        transaction.execute(&forget).await?;
        let row = Query::insert()
            .into_table(node::Entity)
            .columns([
                node::Column::Id,
                node::Column::LeaseUntil,
                node::Column::StartedAt,
                node::Column::LockFile,
                node::Column::Round,
            ])
            .values([
                (*id).into(),
                micros(term.until_by_wall).into(),
                micros(self.clock.now()).into(),
                lock.as_ref()
                    .map(|lock| lock.path.to_string_lossy().into_owned())
                    .into(),
                0_i64.into(),
            ])
            .map_err(|error| DbErr::Custom(error.to_string()))?
            .to_owned();
        transaction.execute(&row).await?;
        transaction
            .commit()
            .await
            .map_err(super::CommitError::into_cause)?;
        self.release_lock();
        *self.identity() = Identity {
            id,
            until: term.until,
            until_by_wall: term.until_by_wall,
            round: 0,
            lock,
        };
        Ok(())
    }

    /// Renews the lease; a node that lost it begins anew under another id.
    pub(super) async fn renew(&self, database: &Database) -> Result<(), DbErr> {
        let (node, term) = (self.node(), self.term());
        if self.left().is_zero() {
            return self.register(database).await;
        }
        let statement = Query::update()
            .table(node::Entity)
            .value(node::Column::LeaseUntil, term.until_by_wall())
            .and_where(Expr::col(node::Column::Id).eq(&*node))
            .to_owned();
        if database.execute(&statement).await? == 0 {
            self.lose();
            return self.register(database).await;
        }
        self.extend(term);
        Ok(())
    }

    /// Forgets this node's row.
    pub(super) async fn unregister(&self, database: &Database) -> Result<(), DbErr> {
        let forget = Query::delete()
            .from_table(node::Entity)
            .and_where(Expr::col(node::Column::Id).eq(&*self.node()))
            .to_owned();
        database.execute(&forget).await?;
        self.lose();
        Ok(())
    }

    /// When a lease that is asked for now would end.
    pub(super) fn term(&self) -> Term {
        let now = Instant::now();
        Term {
            until: now.checked_add(self.lease).unwrap_or(now),
            until_by_wall: self
                .clock
                .now()
                .checked_add_signed(chrono::Duration::from_std(self.lease).unwrap_or_default())
                .unwrap_or_default(),
        }
    }

    /// The lease was renewed until the end of this term.
    pub(super) fn extend(&self, term: Term) {
        let mut identity = self.identity();
        identity.until = Ord::max(identity.until, term.until);
        identity.until_by_wall = Ord::max(identity.until_by_wall, term.until_by_wall);
    }

    /// The lease is lost, as another node said.
    pub(super) fn lose(&self) {
        self.identity().until = Instant::now();
    }

    /// How long a lease lasts.
    pub(super) fn length(&self) -> Duration {
        self.lease
    }

    /// How much of the lease is left.
    pub(super) fn left(&self) -> Duration {
        let identity = self.identity();
        let by_wall = (identity.until_by_wall - self.clock.now())
            .to_std()
            .unwrap_or_default();
        identity
            .until
            .saturating_duration_since(Instant::now())
            .min(by_wall)
    }

    /// How much of the lease is left to the life of this node that has the given id.
    pub(super) fn left_of(&self, node: &str) -> Duration {
        if *self.identity().id == *node {
            self.left()
        } else {
            Duration::ZERO
        }
    }

    /// Whether the lease should be renewed soon.
    pub(super) fn is_old(&self) -> bool {
        self.left() < self.lease.mul_f64(0.7)
    }

    /// How often renewal is looked at.
    pub(super) fn pace(&self) -> Duration {
        (self.lease / 6).clamp(Duration::from_millis(5), Duration::from_secs(30))
    }

    /// This node's id.
    pub(super) fn node(&self) -> Arc<str> {
        self.identity().id.clone()
    }

    /// The number of the round that is to be written next.
    pub(super) fn next_round(&self) -> i64 {
        let mut identity = self.identity();
        identity.round += 1;
        identity.round
    }

    /// Ends this node's life: its lock is given free and its file removed.
    pub(super) fn release_lock(&self) {
        if let Some(lock) = self.identity().lock.take() {
            let _ = std::fs::remove_file(&lock.path);
        }
    }

    /// Gives the lock free, but leaves the file: what a crash does.
    pub(super) fn drop_lock(&self) {
        self.identity().lock = None;
    }

    /// What the lock file of another node tells. Only files in our own folder are looked at: the
    /// same path on another machine is another file.
    pub(super) fn sign_of(&self, lock_file: Option<&str>) -> Sign {
        let Some((path, folder)) = lock_file.map(Path::new).zip(self.lock_folder.as_deref()) else {
            return Sign::None;
        };
        if path.parent() != Some(folder) {
            return Sign::None;
        }
        let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else {
            return Sign::None;
        };
        match file.try_lock() {
            Ok(()) => Sign::Dead,
            Err(std::fs::TryLockError::WouldBlock) => Sign::Alive,
            Err(std::fs::TryLockError::Error(_)) => Sign::None,
        }
    }

    fn lock(&self, id: &str) -> Option<Lock> {
        let folder = self.lock_folder.as_deref()?;
        let path = folder.join(id);
        let locked = std::fs::create_dir_all(folder)
            .and_then(|()| File::create(&path))
            .and_then(|file| file.try_lock().map_err(Into::into).map(|()| file));
        match locked {
            Ok(file) => Some(Lock { _file: file, path }),
            Err(error) => {
                tracing::warn!(
                    path = %path.display(),
                    %error,
                    "no lock file: after a crash this node's changes wait for its lease to end"
                );
                None
            }
        }
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which every process of this machine knows the folder.
fn one_name(folder: PathBuf) -> PathBuf {
    let _ = std::fs::create_dir_all(&folder);
    folder.canonicalize().unwrap_or(folder)
}

impl Term {
    /// The end as it is stored.
    pub(super) fn until_by_wall(self) -> i64 {
        micros(self.until_by_wall)
    }
}
