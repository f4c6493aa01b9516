//! Watches a project folder and takes its changes up: a good one comes into force, a bad one
//! leaves what is in force and shows up as problems.
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    Configuration, Loaded, Problem,
    load::{CONNECTORS, PROJECT},
    problem::{Place, Severity},
    read::files::{bounded, digest},
};
use crate::hooks::{Limits, Runtime};

/// How often the files are looked at. Looking works on network folders too, and unlike the
/// system's reports costs nothing while the store writes its database beside them.
const PACE: Duration = Duration::from_millis(400);
/// An edit that never ends is taken up after this many looks.
const PATIENCE: usize = 4;

/// What is in force, and what keeps the folder's latest content from being in force.
#[derive(Debug, Clone)]
pub struct State {
    /// In force.
    pub configuration: Arc<Configuration>,
    /// Problems of the folder as it is now; with an error among them, `configuration` is older.
    pub problems: Vec<Problem>,
}

/// Watches as long as it lives.
#[derive(Debug)]
pub struct Watcher {
    task: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Watches the folder of `state.configuration`, which is in force at first; `reload` loads it
/// again. Must be called on a Tokio runtime.
#[must_use]
pub fn watch(
    state: State,
    reload: impl Fn() -> Loaded + Send + Sync + 'static,
) -> (watch::Receiver<Arc<State>>, Watcher) {
    let configuration = &state.configuration;
    let folder = configuration.folder.clone();
    let marks = fingerprint(&folder, &configuration.watched);
    // Behind the marks: what is edited from here on changes them.
    let is_as_loaded = marks.iter().all(|(path, _)| is_loaded(configuration, path));
    let seen = Seen {
        // What was edited since it was loaded is found, like any edit, at the first look.
        fingerprint: if is_as_loaded { marks } else { Vec::new() },
        watched: configuration.watched.clone(),
    };
    let (sender, receiver) = watch::channel(Arc::new(state));
    let task = tokio::spawn(follow(folder, seen, Arc::new(reload), sender));
    (receiver, Watcher { task })
}

/// Makes runtimes for [`super::load`]: the same one again while the limits stay the same.
pub fn shared_runtime() -> impl Fn(&Limits) -> Runtime + Send + Sync {
    let last: Mutex<Option<(Limits, Runtime)>> = Mutex::default();
    move |limits| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, runtime)) = last.as_ref()
            && known == limits
        {
            return runtime.clone();
        }
        let runtime = Runtime::new(limits.clone());
        *last = Some((limits.clone(), runtime.clone()));
        runtime
    }
}

/// What the files were like when they were last loaded.
#[derive(Clone)]
struct Seen {
    fingerprint: Vec<Mark>,
    watched: BTreeSet<PathBuf>,
}

/// A file and what changes when it is written.
type Mark = (PathBuf, Option<(u64, Option<std::time::SystemTime>, u64)>);

async fn follow(
    folder: PathBuf,
    mut seen: Seen,
    reload: Arc<dyn Fn() -> Loaded + Send + Sync>,
    sender: watch::Sender<Arc<State>>,
) {
    let mut unsettled: Option<(Vec<Mark>, usize)> = None;
    loop {
        sleep(PACE).await;
        let (folder, reload, before) = (folder.clone(), Arc::clone(&reload), seen.clone());
        let last = unsettled.take();
        let looked = tokio::task::spawn_blocking(move || look(&folder, &before, last, &*reload));
        match looked.await {
            Ok(Look::Same) | Err(_) => {}
            Ok(Look::Unsettled(marks, looks)) => unsettled = Some((marks, looks)),
            Ok(Look::Loaded(loaded, now)) => {
                seen = now;
                let next = next_state(&sender.borrow(), *loaded);
                if sender.send(Arc::new(next)).is_err() {
                    return;
                }
            }
        }
    }
}

/// What a look at the folder found.
enum Look {
    /// It is as it was when it was last loaded.
    Same,
    /// It changed, and may still be changing; how often it was found so.
    Unsettled(Vec<Mark>, usize),
    /// It changed, and was loaded.
    Loaded(Box<Loaded>, Seen),
}

/// Loads the folder where it is not what was seen before and an edit is over: editors write a file
/// in several steps.
fn look(
    folder: &Path,
    before: &Seen,
    last: Option<(Vec<Mark>, usize)>,
    reload: &dyn Fn() -> Loaded,
) -> Look {
    // Taken before loading, so that a change during the load shows at the next look.
    let now = fingerprint(folder, &before.watched);
    if now == before.fingerprint {
        return Look::Same;
    }
    let (settled, looks) = match last {
        Some((marks, looks)) => (marks == now, looks + 1),
        None => (false, 1),
    };
    if !settled && looks < PATIENCE {
        return Look::Unsettled(now, looks);
    }
    let loaded = reload();
    let watched: BTreeSet<_> = before.watched.union(&loaded.watched).cloned().collect();
    let mut fingerprint = fingerprint(folder, &watched);
    for mark in &mut fingerprint {
        if let Some(earlier) = now.iter().find(|earlier| earlier.0 == mark.0) {
            mark.1.clone_from(&earlier.1);
        }
    }
    let seen = Seen {
        fingerprint,
        watched,
    };
    Look::Loaded(Box::new(loaded), seen)
}

/// What is in force after a load.
fn next_state(state: &State, loaded: Loaded) -> State {
    let in_force = &state.configuration;
    let mut problems = loaded.problems;
    let Some(mut configuration) = loaded.configuration else {
        return State {
            configuration: Arc::clone(in_force),
            problems,
        };
    };
    if in_force.files.contains_key(PROJECT) && !configuration.files.contains_key(PROJECT) {
        let message = "the file was deleted; what it said is still in force";
        problems.push(Problem::of_file(PROJECT, message));
        return State {
            configuration: Arc::clone(in_force),
            problems,
        };
    }
    problems.extend(keep_until_restart(in_force, &mut configuration));
    State {
        configuration: Arc::new(configuration),
        problems,
    }
}

/// Keeps what a running server cannot change, with a warning for each.
fn keep_until_restart(in_force: &Configuration, new: &mut Configuration) -> Vec<Problem> {
    let mut kept = Vec::new();
    let mut keep = |section: &'static str, differs: bool| {
        if differs {
            kept.push(section);
        }
    };
    keep("server", new.server != in_force.server);
    keep("store", new.store != in_force.store);
    keep("auth", new.auth != in_force.auth);
    keep("secrets", !same_keys(new, in_force));
    keep("journal", new.journal != in_force.journal);
    keep("changes", new.changes != in_force.changes);
    keep("telemetry", new.telemetry != in_force.telemetry);
    new.server = in_force.server.clone();
    new.store = in_force.store.clone();
    new.auth = in_force.auth.clone();
    new.secrets.clone_from(&in_force.secrets);
    new.journal = in_force.journal.clone();
    new.changes = in_force.changes.clone();
    new.telemetry = in_force.telemetry.clone();
    let text = bounded(&new.folder.join(PROJECT)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    kept.into_iter()
        .map(|section| Problem {
            severity: Severity::Warning,
            file: PROJECT.to_owned(),
            place: Place::Line(line_of(&text, section)),
            message: format!("the change of `[{section}]` needs a restart to be in force"),
        })
        .collect()
}

fn same_keys(one: &Configuration, other: &Configuration) -> bool {
    use secrecy::ExposeSecret as _;
    let texts = |configuration: &Configuration| -> Vec<String> {
        let keys = configuration.secrets.iter();
        keys.map(|key| key.expose_secret().to_owned()).collect()
    };
    texts(one) == texts(other)
}

fn line_of(text: &str, section: &str) -> usize {
    let header = format!("[{section}");
    let found = text
        .lines()
        .position(|line| line.trim_start().starts_with(&header));
    found.map_or(1, |index| index + 1)
}

/// Whether a file holds what it held when the configuration was loaded. One that was not read by then
/// is none of its files, unless it came into the folder since.
fn is_loaded(configuration: &Configuration, path: &Path) -> bool {
    let now = bounded(path).ok();
    let now = now.map(|bytes| digest(&bytes));
    match configuration.read.get(path) {
        Some(then) => now == *then,
        None => !is_of_configuration(&configuration.folder, path),
    }
}

/// Whether a file, where it is there, is read when the folder is loaded.
fn is_of_configuration(folder: &Path, path: &Path) -> bool {
    let within = |inner: &str, extension: &str| {
        path.starts_with(folder.join(inner))
            && path.extension().is_some_and(|found| found == extension)
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let is_hidden = name.is_some_and(|name| name.starts_with('.'));
    !is_hidden && path.is_file() && (within(CONNECTORS, "json") || within("hooks", "rhai"))
}

/// What the files are like now: those of the folder, and others that it names.
fn fingerprint(folder: &Path, watched: &BTreeSet<PathBuf>) -> Vec<Mark> {
    let mut paths = watched.clone();
    paths.insert(folder.join(PROJECT));
    let mut folders = vec![folder.join("conf"), folder.join("hooks")];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(&inner).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => {
                    paths.insert(entry.path());
                }
            }
        }
    }
    paths
        .into_iter()
        .map(|path| {
            let data = std::fs::metadata(&path).ok();
            let mark = data.map(|data| (data.len(), data.modified().ok(), inode(&data)));
            (path, mark)
        })
        .collect()
}

/// Tells a replaced file from an unchanged one of the same size and time.
#[cfg(unix)]
fn inode(data: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(data)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}
