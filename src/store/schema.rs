//! Bringing the tables up to date, one process at a time.
use std::time::Duration;

use recant_migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, TransactionTrait as _};

use super::{Error, Refusal, connection::Database};

/// How often it is tried while another process is at it.
const TRIES: u64 = 8;
/// The number of PostgreSQL's advisory lock: the letters `recant`.
const LOCK_POSTGRES: &str = "select pg_advisory_xact_lock(125779768604276)";
/// MySQL's lock belongs to its connection, so it is given back by name.
const LOCK_MYSQL: &str = "do get_lock('recant_migration', 60)";
const UNLOCK_MYSQL: &str = "do release_lock('recant_migration')";

/// Runs the missing migrations and tells how many there were. Who comes while another process runs
/// them waits and finds them done.
pub(super) async fn migrate(database: &Database) -> Result<usize, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match migrate_alone(database).await {
            Err(_) if tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(50 * tries)).await;
            }
            result => return result.map_err(Error::at("migrate its tables")),
        }
    }
}

/// Says whether the tables are up to date.
pub(super) async fn check(database: &Database) -> Result<(), Error> {
    let missing = missing(database).await;
    match missing.map_err(Error::at("check its tables"))? {
        0 => Ok(()),
        missing => Err(Error::at("check its tables")(Refusal::NotMigrated(missing))),
    }
}

async fn migrate_alone(database: &Database) -> Result<usize, DbErr> {
    let lock = lock(database).await?;
    let result = migrate_missing(database).await;
    if let Some(lock) = lock {
        if database.backend() == DbBackend::MySql {
            lock.execute_unprepared(UNLOCK_MYSQL).await?;
        }
        lock.rollback().await?;
    }
    result
}

async fn migrate_missing(database: &Database) -> Result<usize, DbErr> {
    let missing = missing(database).await?;
    if missing > 0 {
        Migrator::up(database.writer(), None).await?;
    }
    Ok(missing)
}

async fn missing(database: &Database) -> Result<usize, DbErr> {
    Ok(Migrator::get_pending_migrations(database.writer())
        .await?
        .len())
}

/// A lock among processes, held by a connection of its own. SQLite needs none: a migration is one
/// transaction there, and of two that begin only one ends well.
async fn lock(database: &Database) -> Result<Option<DatabaseTransaction>, DbErr> {
    let statement = match database.backend() {
        DbBackend::Postgres => LOCK_POSTGRES,
        DbBackend::MySql => LOCK_MYSQL,
        _ => return Ok(None),
    };
    let connection = database.snapshots().begin().await?;
    connection.execute_unprepared(statement).await?;
    Ok(Some(connection))
}
