//! What can happen to a CSV file: it is missing, moved away, locked, unwritable, no table.
use std::path::Path;

use recant::{
    connectors::{Query, SharedConnector},
    model::{CauseKind, Filter},
};
use serde_json::{Value, json};

use super::{
    connector,
    suite::{Subject, map, person, refused},
};

const CLASS: &str = "account";

fn subject(connector: SharedConnector) -> Subject {
    Subject {
        connector,
        renames: true,
        versions: false,
        types: false,
    }
}

fn everything() -> Query {
    Query {
        filter: Filter::parse("true").unwrap(),
        page_size: 10,
        cursor: None,
    }
}

fn csv(folder: &Path, file: &str) -> Subject {
    csv_with(folder, json!({"file": file}))
}

fn csv_with(folder: &Path, mut value: Value) -> Subject {
    value["type"] = json!("csv");
    value["timeoutMs"] = json!(500);
    value["objects"] = json!({"account": {"key": "login"}});
    subject(connector(&value, folder))
}

fn unavailable<T: std::fmt::Debug>(result: Result<T, recant::connectors::Error>) -> String {
    let error = result.expect_err("it is not there");
    assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
    error.message
}

#[tokio::test]
async fn a_csv_file_that_cannot_be_written_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.csv");
    std::fs::write(&file, "name,mail\nx,y\n").unwrap();
    let wrong = csv(folder.path(), "wrong.csv");
    assert!(
        refused(wrong.connector.test().await)
            .message
            .contains("`login`")
    );
    refused(wrong.connector.create(CLASS, Some("x"), &person("X")).await);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "name,mail\nx,y\n");

    std::fs::create_dir(folder.path().join("folder.csv")).unwrap();
    let is_folder = csv(folder.path(), "folder.csv");
    let error = is_folder
        .connector
        .create(CLASS, Some("x"), &person("X"))
        .await
        .unwrap_err();
    assert_ne!(error.kind, CauseKind::Unknown, "{error:?}");
}

#[tokio::test]
async fn writers_of_a_csv_file_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    // Two connectors, as two processes would have.
    let (one, other) = (csv(folder.path(), "a.csv"), csv(folder.path(), "a.csv"));
    let writes = (0..40).map(|number| {
        let subject = if number % 2 == 0 { &one } else { &other };
        async move {
            let id = format!("{number:02}");
            loop {
                let result = subject
                    .connector
                    .create(CLASS, Some(&id), &person(&id))
                    .await;
                match result {
                    Ok(_) => return,
                    Err(error) => assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}"),
                }
            }
        }
    });
    futures::future::join_all(writes).await;
    assert_eq!(one.all("true", 1000).await.len(), 40);

    let lock = std::fs::File::create(folder.path().join("a.csv.lock")).unwrap();
    lock.lock().unwrap();
    let error = one
        .connector
        .create(CLASS, Some("late"), &person("late"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
    lock.unlock().unwrap();
    assert!(other.read("late").await.is_none());
}

#[tokio::test]
async fn a_csv_file_is_made_with_its_first_row() {
    let folder = tempfile::tempdir().unwrap();
    let subject = csv(folder.path(), "new.csv");
    assert!(subject.all("true", 10).await.is_empty());
    subject.create("a", &map(json!({"name": "A"}))).await;
    let text = std::fs::read_to_string(folder.path().join("new.csv")).unwrap();
    assert_eq!(text, "login,name\na,A\n");
    let error = refused(
        subject
            .connector
            .create(CLASS, Some("b"), &person("B"))
            .await,
    );
    assert!(error.message.contains("`mail`"), "{error}");
}

#[tokio::test]
async fn a_csv_file_that_was_moved_away_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (file, elsewhere) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
    std::fs::write(&file, "login,name\nada,Ada\n").unwrap();
    // Seen by one process, missed by that one and by the next.
    let before = csv(folder.path(), "a.csv");
    assert!(before.read("ada").await.is_some());
    std::fs::rename(&file, &elsewhere).unwrap();
    for subject in [before, csv(folder.path(), "a.csv")] {
        let target = &subject.connector;
        let message = unavailable(target.read(CLASS, "ada").await);
        assert!(message.contains("put it back"), "{message}");
        assert!(message.contains("createFile"), "{message}");
        unavailable(target.query(CLASS, &everything()).await);
        unavailable(target.create(CLASS, Some("bob"), &person("Bob")).await);
        let message = unavailable(target.test().await);
        assert!(message.contains("a.csv"), "{message}");
        assert!(!file.exists());
    }
    std::fs::rename(&elsewhere, &file).unwrap();
    assert!(csv(folder.path(), "a.csv").read("ada").await.is_some());
}

#[tokio::test]
async fn a_csv_file_that_was_made_here_is_waited_for_too() {
    let folder = tempfile::tempdir().unwrap();
    let subject = csv(folder.path(), "a.csv");
    subject.create("ada", &map(json!({"name": "Ada"}))).await;
    std::fs::remove_file(folder.path().join("a.csv")).unwrap();
    for subject in [subject, csv(folder.path(), "a.csv")] {
        unavailable(subject.connector.read(CLASS, "ada").await);
    }
}

#[tokio::test]
async fn settings_say_whether_a_missing_csv_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    let never = csv_with(folder.path(), json!({"file": "a.csv", "createFile": false}));
    unavailable(never.connector.read(CLASS, "ada").await);
    let message = unavailable(never.connector.test().await);
    assert!(message.contains("`createFile` is false"), "{message}");

    let always = csv_with(folder.path(), json!({"file": "a.csv", "createFile": true}));
    for _ in 0..2 {
        always.create("ada", &person("Ada")).await;
        std::fs::remove_file(&file).unwrap();
        assert!(always.read("ada").await.is_none());
    }
    always.connector.test().await.expect("a good target");
}

#[tokio::test]
async fn a_csv_file_in_a_folder_that_is_not_mounted_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [json!({}), json!({"createFile": true})] {
        let mut value = settings;
        value["file"] = json!("no/such/folder.csv");
        let nowhere = csv_with(folder.path(), value);
        let target = &nowhere.connector;
        unavailable(target.read(CLASS, "x").await);
        unavailable(target.create(CLASS, Some("x"), &person("X")).await);
        let message = unavailable(target.test().await);
        assert!(message.contains("no/such"), "{message}");
    }
}

#[tokio::test]
async fn a_csv_file_is_made_with_the_columns_that_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let value = json!({"type": "csv", "file": "new.csv",
        "objects": {"account": {"key": "login", "columns": ["mail", "name"]}}});
    let subject = subject(connector(&value, folder.path()));
    subject.create("a", &map(json!({"name": "A"}))).await;
    let text = std::fs::read_to_string(folder.path().join("new.csv")).unwrap();
    assert_eq!(text, "login,mail,name\na,,A\n");
    subject.create("b", &map(json!({"mail": "b@x"}))).await;
}

/// A file system of 64 KB, where this machine lets us mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder.path())
            .output();
        mount
            .is_ok_and(|done| done.status.success())
            .then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg(self.0.path())
            .output();
    }
}

#[tokio::test]
async fn a_csv_file_on_a_full_disk_stays_as_it_is() {
    let Some(disk) = SmallDisk::mount() else {
        let left_out = "LEFT OUT: a full disk: no file system can be mounted here\n";
        std::io::Write::write_all(&mut std::io::stderr(), left_out.as_bytes()).unwrap();
        return;
    };
    let file = disk.0.path().join("a.csv");
    let subject = csv(disk.0.path(), "a.csv");
    let before = subject
        .create("a", &map(json!({"note": "x".repeat(20_000)})))
        .await;
    let text = std::fs::read_to_string(&file).unwrap();
    let more = map(json!({"note": "y".repeat(30_000)}));
    let message = unavailable(subject.connector.create(CLASS, Some("b"), &more).await);
    assert!(message.contains("no space is left"), "{message}");
    assert!(message.contains("a.csv"), "{message}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    // There is place again for what takes less: the draft was removed.
    subject.delete(&before).await.unwrap();
    subject.create("c", &map(json!({"note": "z"}))).await;
}
