//! Script files for admins: what is in force and on disk, checking, saving with a note, history.
//!
//! A save never brings a broken script into force: it is compiled as each of its uses needs it, then
//! written beside the file and put in its place at once. The live reload takes it up from there, like
//! an edit by hand. Every version is kept in the store, those that were found in the folder too.
use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    audit,
    hooks::CompileError,
    model::{Object, audit::hexadecimal},
    store::{HookVersion, Settlement},
};

use super::{App, Error, script_uses::ScriptUse};

/// The folder of script files.
const FOLDER: &str = "hooks";
/// How many versions of a file are shown.
const LISTED: u64 = 50;
/// How long a save waits until it is in force: the reload takes edits up within two seconds.
const IN_FORCE: Duration = Duration::from_secs(4);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
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

/// A change of a script file as somebody asks for it.
#[derive(Debug, Clone, Copy)]
pub struct ScriptEdit<'a> {
    /// The file's name.
    pub name: &'a str,
    /// The new text.
    pub text: &'a str,
    /// The digest of what the edit began from; none: nobody looks.
    pub base: Option<&'a str>,
    /// Why.
    pub note: &'a str,
    /// Who.
    pub caller: &'a str,
    /// What ties audit entries together.
    pub transaction_id: &'a str,
}

/// Whether a saved script works already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenUp {
    /// It is in force.
    InForce,
    /// Not yet: the folder may have other errors.
    Waiting,
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

    /// Saves a script: compiles it, keeps the version, notes it in the audit, puts the file in place
    /// and waits until it is in force.
    ///
    /// # Errors
    /// 400 with `detail {line, column}` where it does not compile or there is no note, 403 where the
    /// folder is read-only, 409 where somebody else has changed the file meanwhile.
    pub async fn save_script(&self, edit: ScriptEdit<'_>) -> Result<TakenUp, Error> {
        if edit.note.trim().is_empty() {
            return Err(Error::new(
                400,
                "a note is missing: say what the change is for",
            ));
        }
        let before = self.script_file(edit.name).await?;
        if let Some(why) = before.read_only {
            return Err(Error::new(403, why));
        }
        if edit.base.is_some_and(|base| base != before.digest) {
            let message = "somebody else has changed the file since this edit began";
            return Err(Error::new(409, message));
        }
        if let Some((place, error)) = self.check_script(edit.name, edit.text).into_iter().next() {
            let of = if place.is_empty() {
                String::new()
            } else {
                format!(" ({place})")
            };
            let mut told = Error::new(400, format!("{error}{of}"));
            told.detail = Some(serde_json::json!({"line": error.line, "column": error.column}));
            return Err(told);
        }
        let after = digest(edit.text);
        if after == before.digest {
            return Err(Error::new(400, "nothing was changed"));
        }
        let path = self.script_path(edit.name)?;
        let beside = path.with_extension(format!("{}.new", self.clock().fresh_id().simple()));
        let text = edit.text.to_owned();
        let written = beside.clone();
        blocking(move || write_beside(&written, &path_mode(&written), &text)).await?;
        let kept = self
            .keep_versions(&edit, &before.text, &before.digest, &after)
            .await;
        if let Err(error) = kept {
            let _ = blocking(move || std::fs::remove_file(&beside)).await;
            return Err(error);
        }
        blocking(move || put_in_place(&beside, &path)).await?;
        Ok(self.wait_until_in_force(edit.name, &after).await)
    }

    /// The latest versions of a script, newest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn script_versions(&self, name: &str) -> Result<Vec<HookVersion>, Error> {
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

    /// The version before, where it was not kept yet, and the new one, with its audit entry.
    async fn keep_versions(
        &self,
        edit: &ScriptEdit<'_>,
        before: &str,
        old: &str,
        new: &str,
    ) -> Result<(), Error> {
        self.keep_found(edit.name, before, old).await?;
        let version = HookVersion {
            id: self.clock().fresh_id(),
            file: edit.name.to_owned(),
            digest: new.to_owned(),
            saved_at: self.clock().now(),
            saved_by: Some(edit.caller.to_owned()),
            note: edit.note.trim().to_owned(),
            text: edit.text.to_owned(),
        };
        self.store().add_hook_version(&version).await?;
        let file = format!("{FOLDER}/{}", edit.name);
        let entry = audit::about_saved_script(
            self.clock(),
            edit.transaction_id,
            edit.caller,
            (&file, edit.note.trim()),
            (old, new),
        );
        let settlement = Settlement {
            audit: vec![entry],
            ..Settlement::default()
        };
        self.store().settle(settlement).wait().await?;
        Ok(())
    }

    async fn keep_found(&self, name: &str, text: &str, digest: &str) -> Result<(), Error> {
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

    async fn wait_until_in_force(&self, name: &str, digest: &str) -> TakenUp {
        let waiting = async {
            loop {
                let configuration = self.configuration();
                let script = configuration.scripts.get(name);
                if script.is_some_and(|script| *script.digest == *digest) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(IN_FORCE, waiting).await {
            Ok(()) => TakenUp::InForce,
            Err(_) => TakenUp::Waiting,
        }
    }

    async fn why_read_only(&self, path: PathBuf) -> Option<String> {
        if self.configuration().server.read_only_folder {
            return Some(
                "the folder is managed elsewhere (`[server] read_only_folder`)".to_owned(),
            );
        }
        blocking(move || writable(&path))
            .await
            .err()
            .map(|error| error.message)
    }

    /// Where a script file is: one that is known, so that no name leads anywhere else.
    fn script_path(&self, name: &str) -> Result<PathBuf, Error> {
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

fn digest(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

async fn read(path: PathBuf) -> Option<String> {
    tokio::fs::read_to_string(path).await.ok()
}

/// Whether the file can be written where it is. Opening it changes nothing.
fn writable(path: &Path) -> std::io::Result<()> {
    if std::fs::symlink_metadata(path)?.is_symlink() {
        return Err(std::io::Error::other(
            "the file is a link: it is managed elsewhere",
        ));
    }
    OpenOptions::new().append(true).open(path).map(|_| ())
}

fn path_mode(beside: &Path) -> Option<std::fs::Permissions> {
    // `x.rhai` beside `x.ID.new`: the new file gets the rights of the old one.
    let name = beside.file_name()?.to_str()?;
    let stem = name.strip_suffix(".new")?.rsplit_once('.')?.0;
    let old = beside.with_file_name(format!("{stem}.rhai"));
    std::fs::metadata(old).ok().map(|data| data.permissions())
}

fn write_beside(
    path: &Path,
    mode: &Option<std::fs::Permissions>,
    text: &str,
) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(mode) = mode {
        file.set_permissions(mode.clone())?;
    }
    file.sync_all()
}

fn put_in_place(beside: &Path, path: &Path) -> std::io::Result<()> {
    if let Err(error) = std::fs::rename(beside, path) {
        let _ = std::fs::remove_file(beside);
        return Err(error);
    }
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Work on files, on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|error| Error::new(403, format!("the script's file cannot be written: {error}")))
}
