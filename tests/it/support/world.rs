//! A project folder with targets in memory, on which Recant is started, crashed and started again.
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use recant::{
    app::{App, Builder, By, Changed, Count, Error, Search},
    connectors::SharedConnector,
    model::{
        ChangeRequest, Container, Filter, Object, OperationRecord, Precondition, Requested,
        ResourceName,
    },
    sync::checkpoint::{self, Point, Sabotage},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::target::Memory;

/// A folder and its targets; they outlive every process.
pub struct World {
    pub folder: TempDir,
    pub targets: Vec<Arc<Memory>>,
}

/// One run of Recant on a world, on a runtime of its own so that it can die at once.
pub struct Process {
    runtime: Option<Runtime>,
    pub app: App,
}

/// What a world's folder says.
pub struct Shape<'a> {
    /// How many targets there are, `t1`, `t2`, …
    pub targets: usize,
    /// The `onSync` hook's text; none: the type has no hook.
    pub on_sync: Option<&'a str>,
    /// Further keys of the managed type.
    pub managed: Value,
    /// Further keys of each mapping.
    pub mapping: Value,
    /// The store's address; none: SQLite in the folder.
    pub store: Option<String>,
    /// Seconds for which recovery waits for a target that cannot be read.
    pub recovery_wait: u32,
}

/// Who does something by hand.
pub const BY: By<'static> = By {
    caller: "boss",
    transaction_id: "by-hand",
};

/// The standard compensation hook.
pub const COMPENSATE: &str = include_str!("../../../hooks/compensate.rhai");

impl Default for Shape<'_> {
    fn default() -> Self {
        Self {
            targets: 3,
            on_sync: Some(COMPENSATE),
            managed: json!({}),
            mapping: json!({}),
            store: None,
            recovery_wait: 0,
        }
    }
}

impl World {
    pub fn new(shape: &Shape<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = shape.store.as_ref().map_or(String::new(), |url| {
            format!("[store]\nurl = \"{url}\"\n[journal]\nlease_seconds = 2\n")
        });
        let waits = format!(
            "[changes]\nrecovery_wait_seconds = {}\n",
            shape.recovery_wait
        );
        write(folder.path(), "recant.toml", &format!("{store}{waits}"));
        let mut managed = json!({
            "name": "user",
            "schema": {"type": "object", "properties": {
                "name": {"type": "string"}, "mail": {"type": ["string", "null"]},
                "department": {"type": ["string", "null"]},
            }},
        });
        if let Some(text) = shape.on_sync {
            managed["onSync"] = json!({"type": "text/rhai", "source": text});
        }
        extend(&mut managed, &shape.managed);
        let mut mappings = Vec::new();
        for number in 1..=shape.targets {
            let mut mapping = json!({
                "name": format!("user_t{number}"),
                "source": "managed/user",
                "target": format!("system/t{number}/account"),
                "properties": [
                    {"source": "name", "target": "name"},
                    {"source": "mail", "target": "mail"},
                    {"source": "department", "target": "department"},
                ],
            });
            extend(&mut mapping, &shape.mapping);
            mappings.push(mapping);
            let connector = json!({
                "type": "custom", "timeoutMs": 2000, "retry": {"attempts": 3, "baseMs": 1},
                "objects": {"account": {}},
            });
            let file = format!("conf/connectors/t{number}.json");
            write(folder.path(), &file, &connector.to_string());
        }
        write(
            folder.path(),
            "conf/managed.json",
            &json!({"objects": [managed]}).to_string(),
        );
        write(
            folder.path(),
            "conf/sync.json",
            &json!({"mappings": mappings}).to_string(),
        );
        let targets = (0..shape.targets).map(|_| Memory::new()).collect();
        Self { folder, targets }
    }

    /// Starts Recant on a runtime of its own.
    pub fn start(&self) -> Process {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let app = runtime.block_on(self.open());
        Process {
            runtime: Some(runtime),
            app,
        }
    }

    /// Starts Recant on the caller's runtime.
    pub async fn open(&self) -> App {
        let builder = Builder::new(self.folder.path());
        let builder = self
            .targets
            .iter()
            .enumerate()
            .fold(builder, |builder, (index, target)| {
                let connector: SharedConnector = Arc::clone(target) as SharedConnector;
                builder.connector(&format!("t{}", index + 1), connector)
            });
        builder.open().await.unwrap()
    }

    /// Writes a file of the folder.
    pub fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    /// What all targets hold.
    pub fn dump(&self) -> Vec<BTreeMap<String, Value>> {
        self.targets.iter().map(|target| target.dump()).collect()
    }
}

impl Process {
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(future)
    }

    /// Starts something on the process' runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.as_ref().unwrap().spawn(future)
    }

    /// Waits until an unfinished change says why it waits.
    pub fn until_waiting(&self) -> OperationRecord {
        for _ in 0..2_000 {
            let mut open = self.run(unfinished(&self.app));
            open.retain(|record| record.waits_because.is_some());
            if let Some(record) = open.pop() {
                return record;
            }
            #[expect(clippy::disallowed_methods, reason = "polls on a test's own thread")]
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("nothing waits: {:?}", self.operations());
    }

    pub fn change(&self, request: ChangeRequest) -> Result<Changed, Error> {
        self.run(self.app.change(request))
    }

    /// Begins a change and waits until it has stopped at a point for ever, or ended. Tells whether
    /// it stopped.
    pub fn change_until(
        &self,
        request: ChangeRequest,
        stop: impl Fn(Point) -> bool + Send + Sync + 'static,
    ) -> bool {
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        checkpoint::watch(self.app.engine().store().node(), move |point| {
            let hit = stop(point);
            flag.fetch_or(hit, Ordering::SeqCst);
            hit
        });
        let app = self.app.clone();
        let task = self
            .runtime
            .as_ref()
            .unwrap()
            .spawn(async move { app.change(request).await });
        while !stopped.load(Ordering::SeqCst) && !task.is_finished() {
            #[expect(clippy::disallowed_methods, reason = "polls on a test's own thread")]
            std::thread::sleep(Duration::from_millis(1));
        }
        stopped.load(Ordering::SeqCst)
    }

    pub fn sabotage(&self, part: Sabotage) {
        checkpoint::sabotage(self.app.engine().store().node(), part);
    }

    /// Ends the process as a power cut would: nothing is waited for, nothing is told.
    pub fn crash(mut self) {
        let runtime = self.runtime.take().unwrap();
        drop(self.app);
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// Waits until no change is without an outcome, nor what its hooks asked for.
    pub fn until_settled(&self) {
        for _ in 0..2_000 {
            let open = |record: &OperationRecord| {
                record
                    .follow_ups
                    .iter()
                    .any(|child| child.outcome.is_none())
            };
            if self.run(unfinished(&self.app)).is_empty() && !self.operations().iter().any(open) {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "polls on a test's own thread")]
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("unfinished: {:?}", self.run(unfinished(&self.app)));
    }

    pub fn operations(&self) -> Vec<OperationRecord> {
        self.run(operations(&self.app, Filter::Literal(true)))
    }

    pub fn read(&self, id: &str) -> Option<Object> {
        match self.run(self.app.read(&user(id), "test")) {
            Ok(object) => Some(object),
            Err(error) if error.code == 404 => None,
            Err(error) => panic!("cannot read {id}: {error}"),
        }
    }
}

pub async fn operations(app: &App, filter: Filter) -> Vec<OperationRecord> {
    let search = Search {
        filter,
        sort: Vec::new(),
        page_size: None,
        cookie: None,
        offset: 0,
        count: Count::None,
    };
    app.operations(&search).await.unwrap().results
}

pub async fn unfinished(app: &App) -> Vec<OperationRecord> {
    operations(app, Filter::parse("!(outcome pr)").unwrap()).await
}

pub fn user(id: &str) -> ResourceName {
    Container::managed("user").object(id)
}

pub fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

pub fn request(requested: Requested) -> ChangeRequest {
    ChangeRequest {
        unseen: Vec::new(),
        container: Container::managed("user"),
        requested,
        caller: "test".to_owned(),
        transaction_id: "transaction".to_owned(),
        idempotency: None,
        request: json!({"method": "test"}),
    }
}

pub fn put(id: &str, content: Value) -> ChangeRequest {
    request(Requested::Replace {
        id: id.to_owned(),
        content: object(content),
        precondition: Precondition::None,
    })
}

pub fn delete(id: &str) -> ChangeRequest {
    request(Requested::Delete {
        id: id.to_owned(),
        precondition: Precondition::None,
    })
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

fn extend(value: &mut Value, more: &Value) {
    for (key, member) in more.as_object().unwrap() {
        value[key] = member.clone();
    }
}
