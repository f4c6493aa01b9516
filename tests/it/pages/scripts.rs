//! Saving scripts: compiled first, put in place at once, noted, kept, and taken back.
use recant::app::{App, ScriptEdit, TakenUp};

use crate::support::folder::Folder;

const GOOD: &str = "if !compensating && !syncResults.success { log_info(\"x\"); revert(); }\n";

fn edit<'a>(text: &'a str, base: Option<&'a str>) -> ScriptEdit<'a> {
    ScriptEdit {
        name: "compensate.rhai",
        text,
        base,
        note: "because",
        caller: "ada",
        transaction_id: "t1",
    }
}

#[tokio::test]
async fn a_save_comes_into_force_with_its_note_and_is_taken_back() {
    let folder = Folder::new().await;
    let app = App::open(folder.path()).await.unwrap();
    let before = app.script_file("compensate.rhai").await.unwrap();
    assert_eq!(before.read_only, None);
    assert_eq!(before.uses.len(), 1);
    let taken = app
        .save_script(edit(GOOD, Some(&before.digest)))
        .await
        .unwrap();
    assert_eq!(taken, TakenUp::InForce);
    assert_eq!(*app.configuration().scripts["compensate.rhai"].text, *GOOD);

    let stale = app
        .save_script(edit("1", Some(&before.digest)))
        .await
        .unwrap_err();
    assert_eq!(stale.code, 409);
    let versions = app.script_versions("compensate.rhai").await.unwrap();
    let told: Vec<_> = versions
        .iter()
        .map(|one| (one.saved_by.as_deref(), one.note.as_str()))
        .collect();
    assert_eq!(
        told,
        [(Some("ada"), "because"), (None, "found in the folder")]
    );
    let found = app.script_version(versions[1].id).await.unwrap();
    assert_eq!(found.text, before.text);

    let back = app.save_script(edit(&found.text, None)).await.unwrap();
    assert_eq!(back, TakenUp::InForce);
    let file = folder.path().join("hooks/compensate.rhai");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before.text);
    let entries = saved_entries(&app).await;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["userId"], "ada");
    assert_eq!(entries[0]["message"], "because");
    assert_eq!(entries[0]["before"]["digest"], before.digest);
    assert_eq!(entries[0]["after"]["digest"], versions[0].digest);
    let left: Vec<_> = std::fs::read_dir(folder.path().join("hooks"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "nothing is left beside the script: {left:?}");
    app.close(std::time::Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_broken_or_unexplained_script_never_reaches_the_folder() {
    let folder = Folder::new().await;
    let app = App::open(folder.path()).await.unwrap();
    let before = app.script_file("compensate.rhai").await.unwrap();
    for text in ["let x = ;", "rever();", "unknown_variable + 1"] {
        let refused = app.save_script(edit(text, None)).await.unwrap_err();
        assert_eq!(refused.code, 400, "{text}: {refused}");
        assert!(refused.detail.unwrap()["line"].is_u64());
    }
    let unexplained = ScriptEdit {
        note: " ",
        ..edit(GOOD, None)
    };
    assert_eq!(app.save_script(unexplained).await.unwrap_err().code, 400);
    for name in [
        "../recant.toml",
        "nothing.rhai",
        "../conf/sync.json",
        "/etc/passwd",
    ] {
        let elsewhere = ScriptEdit {
            name,
            ..edit(GOOD, None)
        };
        assert_eq!(
            app.save_script(elsewhere).await.unwrap_err().code,
            404,
            "{name}"
        );
    }
    assert_eq!(
        app.script_file("compensate.rhai").await.unwrap().text,
        before.text
    );
    assert!(saved_entries(&app).await.is_empty());
    app.close(std::time::Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_folder_that_is_managed_elsewhere_is_only_shown() {
    let folder = Folder::new().await;
    let settings = std::fs::read_to_string(folder.path().join("recant.toml")).unwrap();
    let settings = settings.replace("[server]", "[server]\nread_only_folder = true");
    folder.write("recant.toml", &settings);
    let app = App::open(folder.path()).await.unwrap();
    let file = app.script_file("compensate.rhai").await.unwrap();
    assert!(file.read_only.unwrap().contains("read_only_folder"));
    assert_eq!(
        app.save_script(edit(GOOD, None)).await.unwrap_err().code,
        403
    );
    app.close(std::time::Duration::from_secs(5)).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_is_managed_where_it_leads_to() {
    let folder = Folder::new().await;
    let real = folder.path().join("hooks/real.rhai");
    std::fs::write(&real, "1").unwrap();
    std::os::unix::fs::symlink(&real, folder.path().join("hooks/link.rhai")).unwrap();
    let app = App::open(folder.path()).await.unwrap();
    let file = app.script_file("link.rhai").await.unwrap();
    assert!(file.read_only.unwrap().contains("link"));
    let through = ScriptEdit {
        name: "link.rhai",
        ..edit("2", None)
    };
    assert_eq!(app.save_script(through).await.unwrap_err().code, 403);
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "1");
    app.close(std::time::Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_edit_by_hand_is_in_the_history_too() {
    let folder = Folder::new().await;
    let app = App::open(folder.path()).await.unwrap();
    // The folder is being watched by then.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    folder.write("hooks/compensate.rhai", GOOD);
    for _ in 0..100 {
        let versions = app.script_versions("compensate.rhai").await.unwrap();
        if let [version] = versions.as_slice() {
            let text = app.script_version(version.id).await.unwrap().text;
            assert_eq!((text.as_str(), &version.saved_by), (GOOD, &None));
            app.close(std::time::Duration::from_secs(5)).await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the edit is not in the history");
}

async fn saved_entries(app: &App) -> Vec<serde_json::Value> {
    let look = recant::app::AuditLook {
        event: Some("script".into()),
        ..recant::app::AuditLook::default()
    };
    let looked = app.look_for_entries(&look, 50).await.unwrap();
    let mut entries: Vec<_> = looked
        .results
        .iter()
        .map(|entry| entry.to_value())
        .collect();
    entries.reverse();
    entries
}
