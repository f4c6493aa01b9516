//! Script files for admins: what is in force and on disk, checking, history. Every version is kept in
//! the store, those that were found in the folder too.
use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    hooks::CompileError,
    model::{Object, audit::hexadecimal},
    store::{HookVersion, ListedVersion},
};

use super::{App, Error, script_uses::ScriptUse};

/// The folder of script files.
pub(super) const FOLDER: &str = "hooks";
/// How many versions of a file are shown.
const LISTED: u64 = 50;
/// The note of a version that was found in the folder.
const FOUND: &str = "found in the folder";
/// What a script without uses may lack: nothing gives it variables yet.
const UNKNOWN_VARIABLE: &str = "there is no variable";

/// A script file as it is.
#[derive(Debug, Clone)]
pub struct ScriptFile {
    /// Its name in the folder of scripts.
    pub name: String,
    /// Its text on disk; the text in force where it cannot be read.
    pub text: String,
    /// Hexadecimal SHA-256 of the file on disk.
    pub digest: String,
    /// The digest of what is in force; none: nothing of this name is.
    pub in_force: Option<String>,
    /// Where it is used.
    pub uses: Vec<ScriptUse>,
    /// Why it cannot be changed here; none: it can.
    pub read_only: Option<String>,
}

impl App {
    /// The names of the script files.
    #[must_use]
    pub fn script_files(&self) -> Vec<String> {
        let configuration = self.configuration();
        let files = configuration.files.keys();
        let scripts = files.filter_map(|file| file.strip_prefix("hooks/"));
        scripts.map(str::to_owned).collect()
    }

    /// One script file.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn script_file(&self, name: &str) -> Result<ScriptFile, Error> {
        let configuration = self.configuration();
        let known = configuration.scripts.get(name);
        let path = self.script_path(name)?;
        let on_disk = read(path.clone()).await;
        let text = match (&on_disk, known) {
            (Some(text), _) => text.clone(),
            (None, Some(script)) => script.text.to_string(),
            (None, None) => return Err(Error::missing(format!("script {name}"))),
        };
        Ok(ScriptFile {
            digest: digest(&text),
            in_force: known.map(|script| script.digest.to_string()),
            uses: self.script_uses().remove(name).unwrap_or_default(),
            read_only: self.why_read_only(path).await,
            name: name.to_owned(),
            text,
        })
    }

    /// What is wrong with a text as this script, for every use of it; nothing: it compiles.
    #[must_use]
    pub fn check_script(&self, name: &str, text: &str) -> Vec<(String, CompileError)> {
        let runtime = self.engine().setup().scripts.clone();
        let uses = self.script_uses().remove(name).unwrap_or_default();
        if uses.is_empty() {
            let checked = runtime.compile(name, text, Object::new());
            let wrong = checked
                .err()
                .filter(|error| !error.message.starts_with(UNKNOWN_VARIABLE));
            return wrong
                .map(|error| (String::new(), error))
                .into_iter()
                .collect();
        }
        let mut found: Vec<(String, CompileError)> = Vec::new();
        for one in uses {
            let globals = one.script.globals.as_ref().clone();
            if let Err(error) = runtime.compile(name, text, globals)
                && found.iter().all(|(_, known)| *known != error)
            {
                found.push((one.place, error));
            }
        }
        found
    }

    /// The latest versions of a script, newest first, without their texts.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn script_versions(&self, name: &str) -> Result<Vec<ListedVersion>, Error> {
        Ok(self.store().hook_versions(name, LISTED).await?)
    }

    /// One version.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn script_version(&self, id: uuid::Uuid) -> Result<HookVersion, Error> {
        let found = self.store().hook_version(id).await?;
        found.ok_or_else(|| Error::missing(format!("version {id}")))
    }

    /// Keeps what an edit by hand made of scripts.
    pub(super) async fn note_found_versions(&self, files: Vec<String>) {
        let configuration = self.configuration();
        for name in files {
            let Some(script) = configuration.scripts.get(&name) else {
                continue;
            };
            let kept = self.keep_found(&name, &script.text, &script.digest).await;
            if let Err(error) = kept {
                tracing::warn!(%error, script = name, "a version of a script could not be kept");
            }
        }
    }

    pub(super) async fn keep_found(
        &self,
        name: &str,
        text: &str,
        digest: &str,
    ) -> Result<(), Error> {
        let latest = self.store().hook_versions(name, 1).await?;
        if latest
            .first()
            .is_some_and(|version| version.digest == digest)
        {
            return Ok(());
        }
        let version = HookVersion {
            id: self.clock().fresh_id(),
            file: name.to_owned(),
            digest: digest.to_owned(),
            saved_at: self.clock().now(),
            saved_by: None,
            note: FOUND.to_owned(),
            text: text.to_owned(),
        };
        Ok(self.store().add_hook_version(&version).await?)
    }

    /// Why a file below the folder cannot be changed here; none: it can.
    pub(super) async fn why_read_only(&self, path: PathBuf) -> Option<String> {
        let configuration = self.configuration();
        if configuration.server.read_only_folder {
            return Some(
                "the folder is managed elsewhere (`[server] read_only_folder`)".to_owned(),
            );
        }
        let folder = configuration.folder.clone();
        let found = tokio::task::spawn_blocking(move || writable(&folder, &path)).await;
        let found = found.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        found.err().map(|error| error.to_string())
    }

    /// Where a script file is: one that is known, so that no name leads anywhere else.
    pub(super) fn script_path(&self, name: &str) -> Result<PathBuf, Error> {
        let configuration = self.configuration();
        let file = format!("{FOLDER}/{name}");
        let known = configuration.files.contains_key(&file) || self.is_a_problem(&file);
        let inside = Path::new(name)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !known || !inside || !name.ends_with(".rhai") {
            return Err(Error::missing(format!("script {name}")));
        }
        Ok(configuration.folder.join(FOLDER).join(name))
    }

    /// Whether a file is on disk and has problems: a new one with an error is in no configuration.
    fn is_a_problem(&self, file: &str) -> bool {
        self.parts
            .problems
            .load()
            .iter()
            .any(|problem| problem.file == file)
    }

    /// The problems of one file: line and message each.
    #[must_use]
    pub fn problems_of(&self, file: &str) -> Vec<(usize, String)> {
        let problems = self.parts.problems.load();
        let own = problems.iter().filter(|problem| problem.file == file);
        own.map(|problem| match serde_json::to_value(&problem.place) {
            Ok(Value::Number(line)) => {
                let line = line.as_u64().and_then(|line| usize::try_from(line).ok());
                (line.unwrap_or(1), problem.message.clone())
            }
            _ => (1, problem.message.clone()),
        })
        .collect()
    }
}

pub(super) fn digest(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

pub(super) async fn read(path: PathBuf) -> Option<String> {
    tokio::fs::read_to_string(path).await.ok()
}

/// Whether a file can be written where it is. Opening it changes nothing; a file that is not there
/// yet needs a folder that can be written.
fn writable(folder: &Path, path: &Path) -> std::io::Result<()> {
    let inside = path
        .strip_prefix(folder)
        .map_err(|_| std::io::Error::other("it is outside the folder"))?;
    let mut place = folder.to_path_buf();
    for part in inside.components() {
        place.push(part);
        match std::fs::symlink_metadata(&place) {
            Ok(data) if data.is_symlink() => {
                let name = place.strip_prefix(folder).unwrap_or(&place);
                return Err(std::io::Error::other(format!(
                    "`{}` is a link: it is managed elsewhere",
                    name.display()
                )));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && place == path => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    OpenOptions::new().append(true).open(path).map(|_| ())
}
