//! The tables of a store, back to an earlier state, and which migrations they have.
use recant_migration::{MigrationStatus, Migrator, MigratorTrait as _};

use super::{
    Error, Store,
    connection::{Database, Missing},
};

/// A migration of the store's tables.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// Its name; names sort in the order of migrations.
    pub name: String,
    /// Whether the tables have it.
    pub applied: bool,
}

impl Store {
    /// Takes the latest migrations of the store at `url` back; tells how many. What the tables held
    /// is lost.
    ///
    /// # Errors
    /// The database cannot be reached, or a migration fails.
    pub async fn migrate_down(url: &str, steps: u32) -> Result<usize, Error> {
        let database = Database::connect(url, Missing::Fail).await?;
        let taken_back = async {
            let before = applied(&database).await?;
            Migrator::down(database.writer(), Some(steps))
                .await
                .map_err(Error::at("take its tables back"))?;
            Ok(before.saturating_sub(applied(&database).await?))
        };
        let count = taken_back.await;
        database.close().await;
        count
    }

    /// Every migration, in order, and whether the store at `url` has it.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn migrations(url: &str) -> Result<Vec<Migration>, Error> {
        let database = Database::connect(url, Missing::Fail).await?;
        let migrations = status(&database).await;
        database.close().await;
        migrations
    }
}

async fn applied(database: &Database) -> Result<usize, Error> {
    let migrations = status(database).await?;
    Ok(migrations.iter().filter(|each| each.applied).count())
}

async fn status(database: &Database) -> Result<Vec<Migration>, Error> {
    let migrations = Migrator::get_migration_with_status(database.writer())
        .await
        .map_err(Error::at("check its tables"))?;
    Ok(migrations
        .iter()
        .map(|migration| Migration {
            name: migration.name().to_owned(),
            applied: matches!(migration.status(), MigrationStatus::Applied),
        })
        .collect())
}
