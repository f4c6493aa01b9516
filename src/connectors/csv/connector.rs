//! Reading and replacing a CSV file, one at a time.
//!
//! The lock file `NAME.csv.lock` beside it also remembers that the file has been there: a file that
//! is missing although it was there has been moved away, and its rows with it. To take it for an
//! empty table would tell everybody that all rows were deleted.
use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, fchown},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

use super::{
    changes::changes,
    former::Formers,
    settings::{Missing, Settings},
    wire::{Former, Table, refined},
};
use crate::{
    connectors::{
        Capabilities, Changes, Connector, Error, Page, Particulars, Query, Update, Written, signs,
    },
    model::{Object, TargetObject, TargetWrite},
};

/// How often another process' lock is looked at again.
const POLL: Duration = Duration::from_millis(5);

/// What the lock file says once the file has been there.
const SEEN: &[u8] =
    b"The file beside this one has been there: while it is missing, Recant waits for it.\n";

/// A small CSV file. Writers take turns: in this process by a mutex, among processes by a lock on
/// the file `NAME.csv.lock` beside it.
#[derive(Debug)]
pub struct CsvFile {
    settings: Settings,
    /// Whether this process has seen the file.
    seen: Arc<AtomicBool>,
    turn: Arc<Mutex<()>>,
    formers: Arc<Formers>,
    patience: Duration,
}

/// What a change of the table gives, and what the row was that it wrote, by its id.
type Changed<T> = (T, Option<(String, Former)>);

/// The right to touch the file, for as long as it lives.
struct Turn {
    _inside: OwnedMutexGuard<()>,
    /// None where no lock file can be made; the file is then only read.
    outside: Option<File>,
    seen: Arc<AtomicBool>,
}

/// Set when the caller is gone: a write that has not replaced the file yet then leaves it alone.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl CsvFile {
    /// The file. `timeout` is that of one attempt: waiting for the lock gives up before it is over.
    #[must_use]
    pub fn new(settings: Settings, timeout: Duration) -> Self {
        Self {
            settings,
            seen: Arc::default(),
            turn: Arc::default(),
            formers: Arc::default(),
            patience: timeout.mul_f64(0.8),
        }
    }

    fn check_class(&self, class: &str) -> Result<(), Error> {
        if class == self.settings.class {
            return Ok(());
        }
        Err(Error::refused(
            404,
            format!("there is no object class `{class}`"),
        ))
    }

    async fn turn(&self) -> Result<Turn, Error> {
        let deadline = Instant::now() + self.patience;
        let busy = || Error::unavailable(503, "another program holds the file's lock");
        let inside = tokio::time::timeout_at(deadline, self.turn.clone().lock_owned())
            .await
            .map_err(|_| busy())?;
        let turn = |outside| Turn {
            _inside: inside,
            outside,
            seen: Arc::clone(&self.seen),
        };
        let Ok(lock) = lock_file(&self.settings.file) else {
            return Ok(turn(None));
        };
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(turn(Some(lock))),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await;
                }
                Err(TryLockError::WouldBlock) => return Err(busy()),
                Err(TryLockError::Error(error)) => {
                    return Err(Error::unavailable(503, "the file cannot be locked").because(error));
                }
            }
        }
    }

    async fn load(&self) -> Result<Table, Error> {
        let turn = self.turn().await?;
        let settings = self.settings.clone();
        in_background(move || load(&settings, &turn).map(|(table, _)| table))
            .await
            .unwrap_or_else(|_| Err(Error::unavailable(503, "reading the file was interrupted")))
    }

    /// Changes the table and replaces the file, where `change` says that there is a new text.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Table, &Formers) -> Result<Option<Changed<T>>, Error> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        signs::unsent();
        let turn = self.turn().await?;
        signs::sent();
        let settings = self.settings.clone();
        let abandoned = Arc::new(AtomicBool::new(false));
        let _abandon = Abandon(abandoned.clone());
        let formers = Arc::clone(&self.formers);
        in_background(move || {
            // Held until the file is as it will be: who reads next sees the whole write or none.
            let turn = turn;
            if turn.outside.is_none() {
                let made = lock_file(&settings.file);
                made.map_err(|error| unwritten(&settings.file, error))?;
                return Err(Error::unavailable(503, "the file cannot be locked"));
            }
            let (mut table, stamp) = load(&settings, &turn)?;
            let Some((changed, former)) = change(&mut table, &formers)? else {
                return Ok(None);
            };
            replace(&settings.file, &table.render(), stamp, &abandoned)?;
            turn.note_seen();
            if let Some((id, former)) = former {
                formers.keep(&id, former);
            }
            Ok(Some(changed))
        })
        .await
        .unwrap_or_else(|_| Err(Error::unknown(500, "writing the file was interrupted")))
    }
}

#[async_trait]
impl Connector for CsvFile {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            precondition: true,
            recreate_with_id: true,
            changes: true,
        }
    }

    fn classes(&self) -> Vec<String> {
        vec![self.settings.class.clone()]
    }

    async fn refine(&self, class: &str, write: TargetWrite) -> Result<TargetWrite, Error> {
        self.check_class(class)?;
        Ok(refined(write))
    }

    fn particulars(&self, _class: &str) -> Particulars {
        Particulars {
            lists_whole: true,
            ..Particulars::default()
        }
    }

    async fn test(&self) -> Result<(), Error> {
        let folder = folder(&self.settings.file);
        if !folder.is_dir() {
            return Err(no_folder(folder));
        }
        lock_file(&self.settings.file).map_err(|error| unwritten(&self.settings.file, error))?;
        self.load().await.map(drop).map_err(|mut error| {
            let file = self.settings.file.display();
            error.message = format!("`{file}`: {}", error.message);
            error
        })
    }

    async fn read(&self, class: &str, id: &str) -> Result<Option<TargetObject>, Error> {
        self.check_class(class)?;
        self.load().await?.object(id)
    }

    async fn query(&self, class: &str, query: &Query) -> Result<Page, Error> {
        self.check_class(class)?;
        let after = query.cursor.as_deref();
        let table = self.load().await?;
        let mut objects: Vec<TargetObject> = table
            .objects()
            .filter(|object| after.is_none_or(|after| object.id.as_str() > after))
            .filter(|object| query.filter.matches(&object.to_object()))
            .collect();
        objects.sort_by(|left, right| left.id.cmp(&right.id));
        let more = objects.len() > query.page_size;
        objects.truncate(query.page_size);
        let cursor = objects.last().filter(|_| more).map(|last| last.id.clone());
        Ok(Page { objects, cursor })
    }

    async fn create(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        self.check_class(class)?;
        let (id, object) = (id.map(str::to_owned), object.clone());
        // What the first row leaves empty is a column of the file all the same.
        let columns = self.settings.columns.clone();
        let columns = columns.unwrap_or_else(|| object.keys().cloned().collect());
        let created = self
            .change(move |table, formers| {
                let former = id.as_deref().and_then(|id| formers.of(id));
                let made = table.create(id.as_deref(), &object, &columns, former.as_ref());
                made.map(|made| Some((made, None)))
            })
            .await?;
        written(created)
    }

    async fn update(&self, class: &str, update: &Update<'_>) -> Result<Written, Error> {
        self.check_class(class)?;
        let (before, after) = (update.before.clone(), update.after.clone());
        let rename = update.rename.map(str::to_owned);
        let changed = self
            .change(move |table, formers| {
                let update = Update {
                    before: &before,
                    after: &after,
                    rename: rename.as_deref(),
                };
                let former = formers.of(rename.as_deref().unwrap_or(&before.id));
                let (changed, was) = table.update(&update, former.as_ref())?;
                Ok(Some((changed, was.map(|was| (before.id.clone(), was)))))
            })
            .await?;
        written(changed)
    }

    async fn delete(&self, class: &str, before: &TargetObject) -> Result<(), Error> {
        self.check_class(class)?;
        let before = before.clone();
        let deleted = self
            .change(move |table, _| {
                let was = table.delete(&before)?;
                Ok(was.map(|was| ((), Some((before.id.clone(), was)))))
            })
            .await;
        deleted.map(drop)
    }

    async fn changes(&self, class: &str, since: Option<&str>) -> Result<Changes, Error> {
        self.check_class(class)?;
        let turn = self.turn().await?;
        let (settings, since) = (self.settings.clone(), since.map(str::to_owned));
        in_background(move || {
            let (table, _) = load(&settings, &turn)?;
            changes(&settings.file, &table, &settings.class, since.as_deref())
        })
        .await
        .unwrap_or_else(|_| Err(Error::unavailable(503, "reading the file was interrupted")))
    }
}

fn written(object: Option<TargetObject>) -> Result<Written, Error> {
    let object = object.ok_or_else(|| Error::unknown(500, "the row is not there"))?;
    Ok(Written {
        id: object.id,
        version: None,
        attributes: Some(object.attributes),
    })
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<Result<T, Error>, tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}

impl Turn {
    /// Whether the file was there at any time that Recant remembers.
    fn has_seen(&self) -> bool {
        let noted = |lock: &File| lock.metadata().is_ok_and(|lock| lock.len() > 0);
        self.seen.load(Ordering::SeqCst) || self.outside.as_ref().is_some_and(noted)
    }

    /// Remembers that the file is there: in this process, and in the lock file for those that come.
    fn note_seen(&self) {
        if self.seen.swap(true, Ordering::SeqCst) {
            return;
        }
        let noted = self
            .outside
            .as_ref()
            .map_or(Ok(()), |mut lock| match lock.metadata()?.len() {
                0 => lock.write_all(SEEN),
                _ => Ok(()),
            });
        if let Err(error) = noted {
            tracing::warn!(%error, "after a restart it will not be known that a CSV file was there");
        }
    }
}

/// What tells one state of a file from another: device, inode, length and times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(u64, u64, u64, [i64; 4]);

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = [
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ];
        Self(metadata.dev(), metadata.ino(), metadata.len(), changed)
    }
}

/// The table, and what tells whether the file still is what it was read from.
fn load(settings: &Settings, turn: &Turn) -> Result<(Table, Option<Stamp>), Error> {
    let (text, stamp) = match text_of(&settings.file) {
        Ok((text, stamp)) => {
            turn.note_seen();
            (text, Some(stamp))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => (missing(settings, turn)?, None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(Error::refused(403, "the file may not be read").because(error));
        }
        Err(error) if error.kind() == ErrorKind::IsADirectory => {
            return Err(Error::refused(400, "this is a folder (`file`)").because(error));
        }
        Err(error) => {
            return Err(Error::unavailable(503, "the file cannot be read").because(error));
        }
    };
    let table = Table::parse(&text, &settings.key, settings.delimiter)?;
    Ok((table, stamp))
}

fn text_of(file: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    let mut handle = File::open(file)?;
    // Before it is read: who writes while it is read is seen as well.
    let stamp = Stamp::of(&handle.metadata()?);
    let mut text = Vec::new();
    handle.read_to_end(&mut text)?;
    Ok((text, stamp))
}

/// The text of a file that is not there: none, where its first row may make it.
fn missing(settings: &Settings, turn: &Turn) -> Result<Vec<u8>, Error> {
    let folder = folder(&settings.file);
    if !folder.is_dir() {
        return Err(no_folder(folder));
    }
    let what = match settings.missing {
        Missing::Make => return Ok(Vec::new()),
        Missing::MakeFirst if !turn.has_seen() => return Ok(Vec::new()),
        Missing::MakeFirst => {
            "the file was there and is gone: put it back, or say `\"createFile\": true` where it \
             shall begin anew with no rows"
        }
        Missing::Wait => {
            "the file does not exist (`file`), and `createFile` is false: put it there with a header"
        }
    };
    Err(Error::unavailable(503, what))
}

fn no_folder(folder: &Path) -> Error {
    let folder = folder.display();
    let message = format!("the folder `{folder}` does not exist or is not mounted (`file`)");
    Error::unavailable(503, message)
}

/// Replaces a file whole: a crash leaves the old text or the new one. What a program has written
/// there since it was read (`stamp`) stays, as far as the file's times tell.
fn replace(
    file: &Path,
    text: &[u8],
    stamp: Option<Stamp>,
    abandoned: &AtomicBool,
) -> Result<(), Error> {
    // A symbolic link stays one: what it points to is replaced.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let draft = beside(&file, ".", ".tmp");
    let put = write_draft(&file, &draft, text).and_then(|()| {
        if abandoned.load(Ordering::SeqCst) {
            return Err(io::Error::from(ErrorKind::Interrupted));
        }
        if stamp_now(&file)? != stamp {
            return Ok(false);
        }
        fs::rename(&draft, &file).map(|()| true)
    });
    if !matches!(put, Ok(true)) {
        // What is left of the draft would be removed next time; nothing depends on it.
        let _ = fs::remove_file(&draft);
    }
    match put {
        Ok(true) => {}
        Ok(false) => {
            let name = file.display();
            let message = format!("another program has written to `{name}` meanwhile");
            return Err(Error::unavailable(503, message));
        }
        Err(error) => return Err(unwritten(&file, error)),
    }
    File::open(folder(&file))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| {
            Error::unknown(500, "the new file may not outlive a power failure").because(error)
        })
}

fn stamp_now(file: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(file) {
        Ok(metadata) => Ok(Some(Stamp::of(&metadata))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the new text beside the file, with its owner and its rights.
fn write_draft(file: &Path, draft: &Path, text: &[u8]) -> io::Result<()> {
    // One that a crash left; nobody else writes one while we hold the lock.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A new file: never through a link that somebody has put there.
    let mut handle = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(draft)?;
    if let Ok(metadata) = fs::metadata(file) {
        let own = handle.metadata()?;
        if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
            match fchown(&handle, Some(metadata.uid()), Some(metadata.gid())) {
                // Only root may give files away; the new file is then ours, as it ever was.
                Err(error) if error.kind() != ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        handle.set_permissions(metadata.permissions())?;
    }
    handle.write_all(text)?;
    handle.sync_all()
}

/// What it means that the file was not replaced: it is as it was.
fn unwritten(file: &Path, error: io::Error) -> Error {
    let name = file.display();
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::refused(403, format!("`{name}` may not be written")).because(error)
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => no_folder(folder(file)).because(error),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Error::unavailable(507, format!("no space is left for `{name}`")).because(error)
        }
        _ => Error::unavailable(503, format!("`{name}` cannot be written")).because(error),
    }
}

fn lock_file(file: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside(file, "", ".lock"))
}

fn beside(file: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!("{prefix}{name}{suffix}"))
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CauseKind;

    #[test]
    fn what_another_program_wrote_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        let never = AtomicBool::new(false);
        let kept = |stamp: Option<Stamp>| {
            let error = replace(&file, b"id\nours\n", stamp, &never).unwrap_err();
            assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
            assert_eq!(fs::read(&file).unwrap(), b"id\ntheirs\n");
            assert!(!folder.path().join(".a.csv.tmp").exists());
        };
        fs::write(&file, b"id\n").unwrap();
        let (_, stamp) = text_of(&file).unwrap();
        // In place, as a file of its own, and where there was none.
        fs::write(&file, b"id\ntheirs\n").unwrap();
        kept(Some(stamp));
        let (_, stamp) = text_of(&file).unwrap();
        let other = folder.path().join("other");
        fs::write(&other, b"id\ntheirs\n").unwrap();
        fs::rename(&other, &file).unwrap();
        kept(Some(stamp));
        kept(None);
        let (_, stamp) = text_of(&file).unwrap();
        replace(&file, b"id\nours\n", Some(stamp), &never).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"id\nours\n");
    }
}
