//! Makes a project folder that runs at once: one type, two targets in files, the hooks they need.
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use sqlx::{
    ConnectOptions as _, Connection as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

use super::schemas;

/// The files and what they hold. `README.md` in the folder explains them.
const FILES: &[(&str, &str)] = &[
    ("recant.toml", include_str!("template/recant.toml")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", include_str!("template/gitignore")),
    (
        "conf/managed.json",
        include_str!("template/conf/managed.json"),
    ),
    ("conf/sync.json", include_str!("template/conf/sync.json")),
    (
        "conf/connectors/badges.json",
        include_str!("template/conf/connectors/badges.json"),
    ),
    (
        "conf/connectors/payroll.json",
        include_str!("template/conf/connectors/payroll.json"),
    ),
    (
        "conf/connectors/directory.json.example",
        include_str!("template/conf/connectors/directory.json.example"),
    ),
    (
        "conf/connectors/people.json.example",
        include_str!("template/conf/connectors/people.json.example"),
    ),
    (
        "hooks/compensate.rhai",
        include_str!("../../hooks/compensate.rhai"),
    ),
    (
        "hooks/display_name.rhai",
        include_str!("../../hooks/display_name.rhai"),
    ),
    (
        "targets/badges.csv",
        include_str!("template/targets/badges.csv"),
    ),
];

/// The target database and what makes its table.
const PAYROLL: &str = "targets/payroll.db";
const PAYROLL_TABLE: &str = include_str!("template/targets/payroll.sql");

/// What stands in a folder that is in use already.
const TAKEN: [&str; 3] = ["recant.toml", "conf", "hooks"];

/// Why a folder was not made. What was made before that stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a project in the folder already.
    #[error("`{0}` is there already: name a folder without a project in it")]
    Taken(PathBuf),
    /// A file or folder cannot be made.
    #[error("`{path}` cannot be made")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The target database cannot be made.
    #[error("`{path}` cannot be made")]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

/// Makes a project folder and gives the files it made, in order. The folder may exist and hold
/// other things; no file is overwritten.
///
/// # Errors
/// Where there is a project already, or something cannot be written.
pub async fn init(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let taken = TAKEN.iter().map(|name| folder.join(name));
    if let Some(path) = taken.into_iter().find(|path| path.exists()) {
        return Err(Error::Taken(path));
    }
    let mut made = Vec::new();
    for (name, text) in FILES {
        made.push(write(folder.join(name), text.as_bytes())?);
    }
    made.extend(write_schemas(folder)?);
    made.push(payroll(folder.join(PAYROLL)).await?);
    Ok(made)
}

/// Writes the JSON Schemas of a folder's files into it, replacing older ones; gives the files.
///
/// # Errors
/// Where one cannot be written.
pub fn write_schemas(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut made = Vec::new();
    for (name, schema) in schemas::schemas() {
        let path = folder.join(schemas::FOLDER).join(name);
        make_parent(&path)?;
        fs::write(&path, format!("{schema:#}\n")).map_err(|source| file_error(&path, source))?;
        made.push(path);
    }
    Ok(made)
}

/// Writes a file that is not there yet.
fn write(path: PathBuf, content: &[u8]) -> Result<PathBuf, Error> {
    make_parent(&path)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(content))
        .map_err(|source| file_error(&path, source))?;
    Ok(path)
}

fn make_parent(path: &Path) -> Result<(), Error> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    fs::create_dir_all(parent).map_err(|source| file_error(parent, source))
}

fn file_error(path: &Path, source: std::io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        source,
    }
}

/// Makes the target database with its table.
async fn payroll(path: PathBuf) -> Result<PathBuf, Error> {
    let made = async {
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .create_if_missing(true);
        let mut connection = options.connect().await?;
        sqlx::query(PAYROLL_TABLE).execute(&mut connection).await?;
        connection.close().await
    };
    made.await.map_err(|source| Error::Database {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}
