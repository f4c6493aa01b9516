//! Saving scripts, and runs of them as cases: one save at a time, whole or not at all.
//!
//! A save never brings a broken script into force: it is compiled as each of its uses needs it. Its
//! version is kept first, with who and why; then the text is written beside the file and put in its
//! place at once, and the audit told. Where that cannot be told, the file gets its old text back. The
//! live reload takes it up from there, like an edit by hand. All of it happens in a task of its own:
//! whoever asked may go away.
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    audit,
    hooks::cases::{Case, CaseFile},
    store::{HookVersion, RunSearch, Settlement},
};

use super::{
    App, Error,
    script_files::{FOLDER, digest, read},
};

/// How long a save waits until it is in force: the reload takes edits up within two seconds.
const IN_FORCE: Duration = Duration::from_secs(4);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
/// The longest note.
const LONGEST_NOTE: usize = 500;
/// The longest name of a case.
const LONGEST_NAME: usize = 200;
/// Most cases in a file that are saved from runs.
const MOST_CASES: usize = 500;
/// The largest file of cases, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;
/// What is told where the file is not what the save began from.
const CHANGED: &str = "somebody else has changed the file since this edit began";

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

/// A kept run that is to become a case beside its script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseWanted {
    /// The script.
    pub script: String,
    /// The change that it ran for.
    pub operation: String,
    /// The run's id.
    pub run: String,
    /// What the case is to be called; none: what the run did.
    pub name: Option<String>,
}

/// Whether a saved script works already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenUp {
    /// It is in force.
    InForce,
    /// Not yet: the folder may have other errors.
    Waiting,
}

/// The same edit in a task of its own.
struct Edit {
    name: String,
    text: String,
    base: Option<String>,
    note: String,
    by: Who,
}

/// Who saves.
struct Who {
    caller: String,
    transaction_id: String,
}

/// Why a file was not put in place.
enum Placing {
    /// It is not what it was.
    Changed,
    Io(std::io::Error),
}

impl App {
    /// Saves a script: compiles it, keeps the version, puts the file in place, notes it in the audit
    /// and waits until it is in force. Goes on though nobody waits for it any more.
    ///
    /// # Errors
    /// 400 with `detail {line, column}` where it does not compile or there is no note, 403 where the
    /// folder is read-only, 409 where somebody else has changed the file meanwhile.
    pub async fn save_script(&self, edit: ScriptEdit<'_>) -> Result<TakenUp, Error> {
        let app = self.clone();
        let edit = Edit {
            name: edit.name.to_owned(),
            text: edit.text.to_owned(),
            base: edit.base.map(str::to_owned),
            note: edit.note.trim().to_owned(),
            by: Who {
                caller: edit.caller.to_owned(),
                transaction_id: edit.transaction_id.to_owned(),
            },
        };
        in_task(async move {
            let after = app.save_whole(&edit).await?;
            Ok(app.wait_until_in_force(&edit.name, &after).await)
        })
        .await
    }

    /// A kept run of a script as a case: the file that it belongs to, below the folder `hooks`, and
    /// the case as it would be written.
    ///
    /// # Errors
    /// 404 where no such run is kept.
    pub async fn case_of_run(&self, wanted: &CaseWanted) -> Result<(String, String), Error> {
        let (file, case) = self.recorded_case(wanted).await?;
        let text = serde_json::to_string_pretty(&case).unwrap_or_default();
        Ok((format!("{FOLDER}/{file}"), text))
    }

    /// Adds a kept run as a case to the file beside its script; tells the file. Goes on though nobody
    /// waits for it any more.
    ///
    /// # Errors
    /// 404 where no such run is kept, 403 where the folder is read-only, 409 where the file of cases
    /// cannot be read, holds the case already, or is full.
    pub async fn save_case(
        &self,
        wanted: CaseWanted,
        caller: &str,
        transaction_id: &str,
    ) -> Result<String, Error> {
        let app = self.clone();
        let by = Who {
            caller: caller.to_owned(),
            transaction_id: transaction_id.to_owned(),
        };
        in_task(async move { app.add_case(&wanted, &by).await }).await
    }

    async fn save_whole(&self, edit: &Edit) -> Result<String, Error> {
        if edit.note.is_empty() || edit.note.chars().count() > LONGEST_NOTE {
            let message = format!(
                "a note is missing: say in at most {LONGEST_NOTE} characters what the change is for"
            );
            return Err(Error::new(400, message));
        }
        let _alone = self.parts.saving.lock().await;
        let before = self.script_file(&edit.name).await?;
        if let Some(why) = before.read_only {
            return Err(Error::new(403, why));
        }
        if edit
            .base
            .as_ref()
            .is_some_and(|base| *base != before.digest)
        {
            return Err(Error::new(409, CHANGED));
        }
        self.check_compiles(edit)?;
        let after = digest(&edit.text);
        if after == before.digest {
            return Err(Error::new(400, "nothing was changed"));
        }
        let path = self.script_path(&edit.name)?;
        self.keep_found(&edit.name, &before.text, &before.digest)
            .await?;
        let version = HookVersion {
            id: self.clock().fresh_id(),
            file: edit.name.clone(),
            digest: after.clone(),
            saved_at: self.clock().now(),
            saved_by: Some(edit.by.caller.clone()),
            note: edit.note.clone(),
            text: edit.text.clone(),
        };
        self.store().add_hook_version(&version).await?;
        let file = format!("{FOLDER}/{}", edit.name);
        let saved = Saved {
            path,
            file: &file,
            note: &edit.note,
            before: Some(&before.text),
            after: &edit.text,
        };
        let placed = self.put_and_tell(saved, &edit.by).await;
        if placed.is_err()
            && let Err(error) = self.store().remove_hook_version(version.id).await
        {
            tracing::warn!(%error, script = edit.name, "a version that was not saved is still listed");
        }
        placed.map(|()| after)
    }

    fn check_compiles(&self, edit: &Edit) -> Result<(), Error> {
        let wrong = self.check_script(&edit.name, &edit.text);
        let Some((place, error)) = wrong.into_iter().next() else {
            return Ok(());
        };
        let of = match place.as_str() {
            "" => String::new(),
            place => format!(" ({place})"),
        };
        let mut told = Error::new(400, format!("{error}{of}"));
        told.detail = Some(serde_json::json!({"line": error.line, "column": error.column}));
        Err(told)
    }

    async fn recorded_case(&self, wanted: &CaseWanted) -> Result<(String, Case), Error> {
        let missing = || Error::missing(format!("kept run {}", wanted.run));
        let search = RunSearch {
            operation: Some(wanted.operation.clone()),
            script: Some(wanted.script.clone()),
            limit: 1_000,
            ..RunSearch::default()
        };
        let runs = self.store().hook_runs(&search).await?;
        let run = runs.into_iter().find(|run| run.id == wanted.run);
        let case = self.case(&run.ok_or_else(missing)?);
        let file = case.get("file").and_then(serde_json::Value::as_str);
        let file = file.unwrap_or_default().to_owned();
        let case = case.get("case").cloned().unwrap_or_default();
        let mut case: Case = serde_json::from_value(case)
            .map_err(|error| Error::new(500, format!("the run is no case: {error}")))?;
        if let Some(name) = &wanted.name {
            case.name = name.chars().take(LONGEST_NAME).collect();
        }
        Ok((file, case))
    }

    async fn add_case(&self, wanted: &CaseWanted, by: &Who) -> Result<String, Error> {
        let (name, case) = self.recorded_case(wanted).await?;
        let plain = Path::new(&name).components().count() == 1 && name.ends_with(".cases.json");
        if !plain {
            return Err(Error::missing(format!(
                "file of cases for {}",
                wanted.script
            )));
        }
        let _alone = self.parts.saving.lock().await;
        let file = format!("{FOLDER}/{name}");
        let path = self.configuration().folder.join(&file);
        if let Some(why) = self.why_read_only(path.clone()).await {
            return Err(Error::new(403, why));
        }
        let before = match tokio::fs::metadata(&path).await {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            _ => Some(read(path.clone()).await.ok_or_else(|| {
                Error::new(409, format!("{file} cannot be read: put it right first"))
            })?),
        };
        let after = with_case(&file, before.as_deref(), &wanted.script, &case)?;
        let note = format!("case of change {}: {}", wanted.operation, case.name);
        let saved = Saved {
            path,
            file: &file,
            note: &note,
            before: before.as_deref(),
            after: &after,
        };
        self.put_and_tell(saved, by).await?;
        Ok(file)
    }

    /// Puts a file in place and notes it in the audit, or leaves it as it was.
    async fn put_and_tell(&self, saved: Saved<'_>, by: &Who) -> Result<(), Error> {
        let fresh = || self.clock().fresh_id().simple().to_string();
        let (old, new) = (saved.before.map(digest), digest(saved.after));
        let (path, text) = (saved.path.clone(), saved.after.to_owned());
        let (was, mark) = (old.clone(), fresh());
        placed(move || replace(&path, was.as_deref(), &text, &mark)).await?;
        let entry = audit::about_saved_script(
            self.clock(),
            &by.transaction_id,
            &by.caller,
            (saved.file, saved.note),
            (old.as_deref(), &new),
        );
        let settlement = Settlement {
            audit: vec![entry],
            ..Settlement::default()
        };
        let Err(error) = self.store().settle(settlement).wait().await else {
            return Ok(());
        };
        let (path, before, mark) = (saved.path, saved.before.map(str::to_owned), fresh());
        let undone = placed(move || put_back(&path, &new, before.as_deref(), &mark)).await;
        if let Err(undo) = undone {
            tracing::error!(
                error = undo.message,
                file = saved.file,
                "a file was saved, the audit could not be told, and the file has no old text back"
            );
        }
        Err(error.into())
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
}

/// A file that is to hold another text.
struct Saved<'a> {
    path: PathBuf,
    file: &'a str,
    note: &'a str,
    before: Option<&'a str>,
    after: &'a str,
}

/// The text of a file of cases with one more.
fn with_case(file: &str, before: Option<&str>, script: &str, case: &Case) -> Result<String, Error> {
    let mut cases = match before {
        Some(text) => CaseFile::read(text).map_err(|error| {
            Error::new(
                409,
                format!("{file} is no file of cases, put it right first: {error}"),
            )
        })?,
        None => CaseFile::default(),
    };
    let own = file
        .strip_prefix(FOLDER)
        .unwrap_or(file)
        .trim_start_matches('/');
    let beside = own.replace(".cases.json", ".rhai");
    // A script elsewhere than beside its cases is named in them.
    if before.is_none() && script.ends_with(".rhai") && beside != script {
        cases.script = Some(script.to_owned());
    }
    if cases.cases.iter().any(|known| known == case) {
        return Err(Error::new(409, format!("{file} holds this case already")));
    }
    if cases.cases.len() >= MOST_CASES {
        let message = format!("{file} holds {MOST_CASES} cases: take some out first");
        return Err(Error::new(409, message));
    }
    cases.cases.push(case.clone());
    let text = cases.text();
    if text.len() > LARGEST {
        let message = format!("{file} would be larger than {LARGEST} bytes: take cases out first");
        return Err(Error::new(409, message));
    }
    Ok(text)
}

/// Work that goes on though nobody waits for it.
async fn in_task<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a save broke off by a fault");
        Err(Error::new(
            500,
            "the save broke off by a fault; the log says more",
        ))
    })
}

/// Work on files, on a thread that may wait.
async fn placed(work: impl FnOnce() -> Result<(), Placing> + Send + 'static) -> Result<(), Error> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(Placing::Io(std::io::Error::other(error))));
    done.map_err(|placing| match placing {
        Placing::Changed => Error::new(409, CHANGED),
        Placing::Io(error) => Error::new(403, format!("the file cannot be written: {error}")),
    })
}

/// Puts another text in a file's place at once, if it holds what it did (none: it is not there).
fn replace(path: &Path, was: Option<&str>, text: &str, mark: &str) -> Result<(), Placing> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    // No reader of the folder takes it for a script or a file of cases.
    let beside = path.with_extension(format!("{}.{mark}.new", ending.unwrap_or_default()));
    let mode = std::fs::metadata(path).ok().map(|data| data.permissions());
    let done = write_beside(&beside, mode, text).and_then(|()| {
        let is = match std::fs::read_to_string(path) {
            Ok(text) => Some(digest(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Placing::Io(error)),
        };
        if is.as_deref() != was {
            return Err(Placing::Changed);
        }
        std::fs::rename(&beside, path)?;
        Ok(())
    });
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
        return done;
    }
    let folder = path.parent().map(File::open).transpose();
    if let Err(error) = folder.and_then(|folder| folder.map_or(Ok(()), |open| open.sync_all())) {
        // It is in its place; only a failure of the machine within moments could undo that.
        tracing::warn!(%error, file = %path.display(), "a folder could not be synced");
    }
    Ok(())
}

/// Gives a file back what it held; a file that was not there goes.
fn put_back(path: &Path, is: &str, before: Option<&str>, mark: &str) -> Result<(), Placing> {
    match before {
        Some(text) => replace(path, Some(is), text, mark),
        None => Ok(std::fs::remove_file(path)?),
    }
}

fn write_beside(
    path: &Path,
    mode: Option<std::fs::Permissions>,
    text: &str,
) -> Result<(), Placing> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(mode) = mode {
        file.set_permissions(mode)?;
    }
    Ok(file.sync_all()?)
}

impl From<std::io::Error> for Placing {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_what_it_was_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.rhai");
        std::fs::write(&path, "by hand").unwrap();
        let begun = digest("as it was");
        for was in [Some(begun.as_str()), None] {
            let done = replace(&path, was, "mine", "m");
            assert!(matches!(done, Err(Placing::Changed)), "{was:?}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "by hand");
        let is = digest("by hand");
        assert!(replace(&path, Some(&is), "mine", "m").is_ok());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        assert!(put_back(&path, &digest("mine"), Some("by hand"), "m").is_ok());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "by hand");
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_of_cases_takes_each_case_once_and_not_without_end() {
        let case = |name: &str| Case {
            name: name.to_owned(),
            expect: crate::hooks::cases::Expectation {
                verdict: Some("accept".into()),
                ..Default::default()
            },
            ..Case::default()
        };
        let add = |before: Option<&str>, name: &str| {
            with_case("hooks/a.b.cases.json", before, "a/b.rhai", &case(name))
        };
        let first = add(None, "one").unwrap();
        assert_eq!(
            CaseFile::read(&first).unwrap().script.as_deref(),
            Some("a/b.rhai")
        );
        let both = add(Some(&first), "two").unwrap();
        assert_eq!(CaseFile::read(&both).unwrap().cases.len(), 2);
        assert_eq!(add(Some(&both), "two").unwrap_err().code, 409);
        assert_eq!(add(Some("{"), "two").unwrap_err().code, 409);
        let full = CaseFile {
            cases: (0..MOST_CASES).map(|at| case(&at.to_string())).collect(),
            ..CaseFile::default()
        };
        assert_eq!(add(Some(&full.text()), "two").unwrap_err().code, 409);
    }
}
