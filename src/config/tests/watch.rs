//! A watched folder: good comes into force, bad never does.
use std::{sync::Arc, time::Duration};

use super::Folder;
use crate::config::{State, Watcher, watch};

const TYPE: &str = r#"{"objects": [{"name": "user", "schema": {"properties": {}},
    "onSync": {"type": "text/rhai", "file": "sync.rhai"}}]}"#;

type Receiver = tokio::sync::watch::Receiver<Arc<State>>;

fn watched(folder: &Arc<Folder>) -> (Receiver, Watcher) {
    let loaded = folder.load();
    let state = State {
        configuration: Arc::new(loaded.configuration.expect("a good folder")),
        problems: loaded.problems,
    };
    let again = Arc::clone(folder);
    watch(state, move || again.load())
}

/// The first state that is as wanted.
async fn until(receiver: &mut Receiver, wanted: impl Fn(&State) -> bool) -> Arc<State> {
    let found = receiver.wait_for(|state| wanted(state));
    let found = tokio::time::timeout(Duration::from_secs(60), found).await;
    Arc::clone(&found.expect("taken up in time").expect("still watched"))
}

fn has_error(state: &State) -> bool {
    state.problems.iter().any(crate::config::Problem::is_error)
}

#[tokio::test]
async fn good_bad_good() {
    let folder = Arc::new(
        Folder::new()
            .with("conf/managed.json", TYPE)
            .with("hooks/sync.rhai", "1"),
    );
    let (mut receiver, _watcher) = watched(&folder);
    let script = |state: &State| state.configuration.scripts["sync.rhai"].text.to_string();

    folder.write("hooks/sync.rhai", "2");
    until(&mut receiver, |state| script(state) == "2").await;

    folder.write("hooks/sync.rhai", "2 +");
    let bad = until(&mut receiver, has_error).await;
    assert_eq!(script(&bad), "2");
    assert!(bad.configuration.types.contains_key("user"));

    folder.write("hooks/sync.rhai", "3");
    let good = until(&mut receiver, |state| !has_error(state)).await;
    assert_eq!(script(&good), "3");
}

#[tokio::test]
async fn what_was_edited_between_load_and_watch_is_taken_up() {
    let environment = r#"{"objects": [{"name": "user", "schema": {"properties": {},
        "title": "${file:title.txt}"}, "onSync": {"type": "text/rhai", "file": "sync.rhai"}}]}"#;
    type Edit = fn(&Folder);
    let edits: [Edit; 4] = [
        |folder| folder.write("hooks/sync.rhai", "2"),
        |folder| folder.write("title.txt", "b"),
        |folder| folder.write("hooks/other.rhai", "1"),
        |folder| std::fs::remove_file(folder.path("hooks/sync.rhai")).unwrap(),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let folder = Arc::new(
            Folder::new()
                .with("conf/managed.json", environment)
                .with("title.txt", "a")
                .with("hooks/sync.rhai", "1"),
        );
        let loaded = folder.load();
        let before = loaded.configuration.expect("a good folder");
        let state = State {
            configuration: Arc::new(before),
            problems: loaded.problems,
        };
        let then = Arc::clone(&state.configuration);
        edit(&folder);
        let again = Arc::clone(&folder);
        let (mut receiver, _watcher) = watch(state, move || again.load());
        let is_taken_up =
            |state: &State| has_error(state) || !Arc::ptr_eq(&state.configuration, &then);
        until(&mut receiver, is_taken_up).await;
        assert!(number < 4);
    }
    // Without an edit nothing is loaded again.
    let folder = Arc::new(
        Folder::new()
            .with("conf/managed.json", TYPE)
            .with("hooks/sync.rhai", "1"),
    );
    let (mut receiver, _watcher) = watched(&folder);
    let changed = tokio::time::timeout(Duration::from_secs(2), receiver.changed());
    assert!(changed.await.is_err());
}

#[tokio::test]
async fn a_deleted_file_counts_as_bad() {
    let folder = Arc::new(Folder::new().with("recant.toml", "[limits]\noperations = 5000\n"));
    let (mut receiver, _watcher) = watched(&folder);
    for file in ["conf/sync.json", "recant.toml"] {
        let text = std::fs::read_to_string(folder.path(file)).unwrap();
        std::fs::remove_file(folder.path(file)).unwrap();
        let state = until(&mut receiver, has_error).await;
        assert_eq!(state.problems[0].file, file);
        assert_eq!(state.configuration.limits.operations, 5000);
        folder.write(file, &text);
        until(&mut receiver, |state| !has_error(state)).await;
    }
}

#[tokio::test]
async fn what_needs_a_restart_stays_and_is_told() {
    let folder = Arc::new(Folder::new().with("recant.toml", "[journal]\n[server]\n"));
    let (mut receiver, _watcher) = watched(&folder);
    let old = receiver.borrow().configuration.server.clone();
    folder.write(
        "recant.toml",
        "[limits]\noperations = 7000\n[server]\nlisten = \"127.0.0.1:1\"\n",
    );
    let state = until(&mut receiver, |state| !state.problems.is_empty()).await;
    assert_eq!(
        state.problems[0].to_string(),
        "warning recant.toml:3: the change of `[server]` needs a restart to be in force"
    );
    assert_eq!(state.problems.len(), 1);
    assert_eq!(state.configuration.server, old);
    assert_eq!(state.configuration.limits.operations, 7000);
}

#[tokio::test]
async fn a_file_that_is_put_in_is_watched_too() {
    let folder = Arc::new(
        Folder::new()
            .with(
                "conf/sync.json",
                r#"{"mappings": [], "// now": 1, "x": "${file:secret}"}"#,
            )
            .with("secret", "one"),
    );
    let (mut receiver, _watcher) = watched(&folder);
    std::fs::remove_file(folder.path("secret")).unwrap();
    until(&mut receiver, has_error).await;
}
