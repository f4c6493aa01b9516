//! What a write leaves of a CSV file as it was: its bytes, its owner, what somebody else wrote.
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
};

use recant::connectors::SharedConnector;
use serde_json::json;

use super::{
    connector,
    suite::{Subject, map},
};

/// Quotes that are not needed, both kinds of line ends, blank lines, none at the end.
const ODD: &str = "note,login,name\r\n\n\"keep\",a,\"A, a\"\r\n,b,\"B\"\n\n\nx,c,C\r\n\"\",d,D";

fn open(folder: &Path) -> SharedConnector {
    let value = json!({"type": "csv", "file": "odd.csv", "timeoutMs": 500,
        "objects": {"account": {"key": "login"}}});
    connector(&value, folder)
}

fn subject(connector: SharedConnector) -> Subject {
    Subject {
        connector,
        renames: true,
        versions: false,
        types: false,
    }
}

#[tokio::test]
async fn an_undo_brings_every_byte_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.csv");
    fs::write(&file, ODD).unwrap();
    let subject = subject(open(folder.path()));
    let text = || fs::read_to_string(&file).unwrap();
    for id in ["a", "b", "c", "d"] {
        let before = subject.existing(id).await;
        subject.delete(&before).await.unwrap();
        assert_ne!(text(), ODD);
        let back = subject.create(id, &before.attributes).await;
        assert_eq!((text().as_str(), &back), (ODD, &before), "{id} deleted");
        let after = map(json!({"name": "other", "note": "n"}));
        let now = subject.update(&before, &after, Some("z")).await.unwrap();
        let back = subject.update(&now, &before.attributes, Some(id)).await;
        back.expect("the way back");
        assert_eq!(text(), ODD, "{id} changed");
    }
    let new = subject.create("new", &map(json!({"name": "N"}))).await;
    subject.delete(&new).await.unwrap();
    assert_eq!(text(), ODD, "created");
}

#[tokio::test]
async fn only_the_row_that_changes_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.csv");
    fs::write(&file, ODD).unwrap();
    let subject = subject(open(folder.path()));
    let before = subject.existing("c").await;
    let after = map(json!({"name": "C, c", "note": "x"}));
    subject.update(&before, &after, None).await.unwrap();
    let expected = ODD.replace("x,c,C", "x,c,\"C, c\"");
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
}

#[tokio::test]
async fn the_file_keeps_its_owner_and_its_rights() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.csv");
    fs::write(&file, ODD).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may give files away.
    let owner = match chown(&file, Some(4_242), Some(4_243)) {
        Ok(()) => (4_242, 4_243),
        Err(_) => {
            let own = fs::metadata(&file).unwrap();
            (own.uid(), own.gid())
        }
    };
    let subject = subject(open(folder.path()));
    subject.create("e", &map(json!({"name": "E"}))).await;
    let now = fs::metadata(&file).unwrap();
    assert_eq!((now.uid(), now.gid()), owner);
    assert_eq!(now.mode() & 0o777, 0o640);
}

#[tokio::test]
async fn a_draft_that_was_left_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.csv");
    fs::write(&file, ODD).unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "not ours").unwrap();
    symlink(&other, folder.path().join(".odd.csv.tmp")).unwrap();
    let subject = subject(open(folder.path()));
    subject.create("e", &map(json!({"name": "E"}))).await;
    assert_eq!(fs::read_to_string(&other).unwrap(), "not ours");
    assert!(!file.is_symlink());
    assert!(fs::read_to_string(&file).unwrap().ends_with("\n,e,E"));
}
