//! `recant migrate`: the tables of the folder's store, up and down.
use std::path::Path;

use serde_json::json;

use super::{
    arguments::Migrate,
    output::{Exit, Failure, Output, Result, Tone, with_causes},
    table::Table,
};
use crate::{
    config,
    hooks::Runtime,
    store::{self, Store},
};

/// Does what `recant migrate` asks for.
///
/// # Errors
/// The folder has errors, or the store cannot be reached or changed.
pub async fn run(folder: &Path, verb: Migrate, output: &mut Output) -> Result {
    let url = store_url(folder)?;
    match verb {
        Migrate::Up => {
            let count = Store::migrate(&url).await.map_err(failure)?;
            told(count, "up", output)?;
        }
        Migrate::Down { steps } => {
            let count = Store::migrate_down(&url, steps).await.map_err(failure)?;
            told(count, "down", output)?;
        }
        Migrate::Status => status(&url, output).await?,
    }
    Ok(Exit::Done)
}

fn told(count: usize, direction: &str, output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.json(&json!({"direction": direction, "migrations": count}));
    }
    output.line(match count {
        0 => "nothing to do".to_owned(),
        1 => format!("1 migration {direction}"),
        count => format!("{count} migrations {direction}"),
    })
}

async fn status(url: &str, output: &mut Output) -> Result<()> {
    let migrations = Store::migrations(url).await.map_err(failure)?;
    if output.is_json() {
        return output.json(&json!({"migrations": migrations}));
    }
    let mut table = Table::new(output, &["migration", "state"]);
    for migration in migrations {
        let (tone, state) = if migration.applied {
            (Tone::Good, "up")
        } else {
            (Tone::Warn, "pending")
        };
        table.row([(Tone::Normal, migration.name), (tone, state.to_owned())]);
    }
    table.print(output, 0)
}

fn store_url(folder: &Path) -> Result<String> {
    let loaded = config::load(
        folder,
        &|limits| Runtime::new(limits.clone()),
        &config::process_environment,
    );
    match loaded.configuration {
        Some(configuration) => Ok(configuration.store.url),
        None => Err(Failure::Other(
            "the folder has errors: `recant check` lists them".to_owned(),
        )),
    }
}

fn failure(error: store::Error) -> Failure {
    Failure::Other(with_causes(&error))
}
