//! Saves of scripts and cases: exclusive, whole, and told as they happened.
use std::time::Duration;

use recant::app::{App, AuditLook, CaseWanted, RunSearch, ScriptEdit, TakenUp};
use serde_json::{Value, json};

use crate::support::{folder::Folder, server::Running};

fn script(text: &str) -> String {
    format!("if !compensating && !syncResults.success {{ log_info(\"{text}\"); revert(); }}\n")
}

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

async fn saved(app: &App) -> Vec<Value> {
    let look = AuditLook {
        event: Some("script".into()),
        ..AuditLook::default()
    };
    let looked = app.look_for_entries(&look, 50).await.unwrap();
    looked.results.iter().map(|one| one.to_value()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_saves_from_one_base_one_wins() {
    let folder = Folder::new().await;
    let app = App::open(folder.path()).await.unwrap();
    for round in 0..3 {
        let before = app.script_file("compensate.rhai").await.unwrap();
        let texts: Vec<String> = (0..6).map(|at| script(&format!("{round}-{at}"))).collect();
        let saves = texts
            .iter()
            .map(|text| app.save_script(edit(text, Some(&before.digest))));
        let done = futures::future::join_all(saves).await;
        let won: Vec<usize> = (0..6).filter(|at| done[*at].is_ok()).collect();
        assert_eq!(won.len(), 1, "{done:?}");
        for lost in done.iter().filter_map(|one| one.as_ref().err()) {
            assert_eq!(lost.code, 409, "{lost}");
            assert!(lost.message.contains("somebody else has changed"), "{lost}");
        }
        let file = folder.path().join("hooks/compensate.rhai");
        assert_eq!(std::fs::read_to_string(file).unwrap(), texts[won[0]]);
        assert_eq!(saved(&app).await.len(), round + 1, "one entry for one save");
        let versions = app.script_versions("compensate.rhai").await.unwrap();
        assert_eq!(versions.len(), round + 2, "{versions:?}");
    }
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_is_whole_though_whoever_asked_goes_away() {
    let folder = Folder::new().await;
    let app = App::open(folder.path()).await.unwrap();
    for pause in [0, 1, 3, 10, 30] {
        let text = script(&format!("after {pause}"));
        let save = app.save_script(edit(&text, None));
        let gone = tokio::time::timeout(Duration::from_millis(pause), save).await;
        drop(gone);
        let in_place = async || {
            let file = folder.path().join("hooks/compensate.rhai");
            std::fs::read_to_string(file).unwrap() == text
        };
        crate::support::server::eventually("the save went on", in_place).await;
        let told = async || saved(&app).await[0]["after"]["digest"] == digest(&app).await;
        crate::support::server::eventually("the audit tells it", told).await;
    }
    assert_eq!(saved(&app).await.len(), 5);
    let left = std::fs::read_dir(folder.path().join("hooks")).unwrap();
    assert_eq!(left.count(), 1, "nothing is left beside the script");
    app.close(Duration::from_secs(5)).await;
}

async fn digest(app: &App) -> String {
    app.script_file("compensate.rhai").await.unwrap().digest
}

#[cfg(unix)]
#[tokio::test]
async fn a_linked_folder_is_managed_where_it_leads_to() {
    let folder = Folder::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("inner.rhai"), "1").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("hooks/shared")).unwrap();
    let app = App::open(folder.path()).await.unwrap();
    if let Ok(file) = app.script_file("shared/inner.rhai").await {
        let why = file.read_only.unwrap();
        assert!(why.contains("`hooks/shared` is a link"), "{why}");
    }
    let through = ScriptEdit {
        name: "shared/inner.rhai",
        ..edit("2", None)
    };
    let refused = app.save_script(through).await.unwrap_err();
    assert!([403, 404].contains(&refused.code), "{refused}");
    let text = std::fs::read_to_string(elsewhere.path().join("inner.rhai")).unwrap();
    assert_eq!(text, "1");
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_save_that_cannot_be_put_in_place_leaves_no_trace() {
    let folder = Folder::new().await;
    let app = App::open(folder.path()).await.unwrap();
    let before = app.script_file("compensate.rhai").await.unwrap();
    let text = script("x");
    // A note that is too long, a text that is the same, a base that is another: nothing is kept.
    let long = "x".repeat(501);
    let refused = ScriptEdit {
        note: &long,
        ..edit(&text, None)
    };
    assert_eq!(app.save_script(refused).await.unwrap_err().code, 400);
    let same = app.save_script(edit(&before.text, None)).await;
    assert_eq!(same.unwrap_err().code, 400);
    let late = app.save_script(edit(&text, Some("another"))).await;
    assert_eq!(late.unwrap_err().code, 409);
    assert!(saved(&app).await.is_empty());
    assert!(
        app.script_versions("compensate.rhai")
            .await
            .unwrap()
            .is_empty()
    );
    let done = app.save_script(edit(&text, Some(&before.digest))).await;
    assert_eq!(done.unwrap(), TakenUp::InForce);
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_run_becomes_a_case_that_holds() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let app = &server.app;
    folder.rest.refuse_writes(Some(400));
    let person = json!({"userName": "ann", "pin": "4711"});
    let put = server
        .client
        .json("PUT", "/managed/user/ann", &person)
        .await;
    let operation = put.expect(409).header("recant-operation").to_owned();
    let kept = async || !app.hook_runs(&of(&operation)).await.unwrap().is_empty();
    crate::support::server::eventually("the run is kept", kept).await;
    let runs = app.hook_runs(&of(&operation)).await.unwrap();
    let wanted = CaseWanted {
        script: "compensate.rhai".into(),
        operation,
        run: runs[0]["_id"].as_str().unwrap().to_owned(),
        name: Some("a refusal is taken back".into()),
    };
    let page = format!(
        "/ui/hooks/case?file=compensate.rhai&operation={}&run={}",
        wanted.operation, wanted.run
    );
    let page = server.client.get(&page).await.expect(200);
    assert!(
        page.text.contains("Save in hooks/compensate.cases.json"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("4711"));
    let body = format!(
        "form_token={}&file=compensate.rhai&operation={}&run={}&name=a+refusal+is+taken+back",
        super::form_token(&page.text),
        wanted.operation,
        wanted.run
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let client = server.client.without_redirects();
    let done = client
        .send("POST", "/ui/hooks/case", &headers, body)
        .await
        .expect(303);
    assert!(
        done.header("location").ends_with("done=case-saved"),
        "{done:?}"
    );
    let file = folder.path().join("hooks/compensate.cases.json");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("a refusal is taken back") && !text.contains("4711"),
        "{text}"
    );
    let entries = saved(app).await;
    assert_eq!(entries[0]["objectId"], "hooks/compensate.cases.json");
    assert!(
        entries[0]["before"].is_null(),
        "it was not there: {entries:?}"
    );
    let tested = app
        .test_cases(&json!({"file": "compensate.rhai"}))
        .await
        .unwrap();
    assert_eq!(
        (&tested["cases"], &tested["passed"]),
        (&json!(1), &json!(1)),
        "{tested}"
    );
    let again = app.save_case(wanted.clone(), "ada", "t").await.unwrap_err();
    assert_eq!(again.code, 409, "{again}");
    let missing = CaseWanted {
        run: "nothing".into(),
        ..wanted
    };
    assert_eq!(
        app.save_case(missing, "ada", "t").await.unwrap_err().code,
        404
    );
    server.stop().await;
}

fn of(operation: &str) -> RunSearch {
    RunSearch {
        operation: Some(operation.to_owned()),
        script: Some("compensate.rhai".into()),
        limit: 10,
        ..RunSearch::default()
    }
}
