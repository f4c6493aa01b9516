//! The story of a change in plain sentences: of every outcome, of nested changes, and when the journal
//! has forgotten it.
use recant::{
    app::{App, Changed, Error, Story},
    clock::{Clock as _, SystemClock},
    model::{ChangeRequest, Container, OperationId, Precondition, Requested},
};
use serde_json::{Value, json};

use crate::support::folder::Folder;

fn request(requested: Requested) -> ChangeRequest {
    ChangeRequest {
        unseen: Vec::new(),
        container: Container::managed("user"),
        requested,
        caller: "hr".into(),
        transaction_id: SystemClock.fresh_id().to_string(),
        idempotency: None,
        request: json!({}),
    }
}

fn put(id: &str, content: Value) -> ChangeRequest {
    request(Requested::Replace {
        id: id.into(),
        content: content.as_object().cloned().unwrap(),
        precondition: Precondition::None,
    })
}

fn operation(result: &Result<Changed, Error>) -> OperationId {
    match result {
        Ok(changed) => changed.operation,
        Err(error) => error.operation.unwrap(),
    }
}

/// The story without what differs from run to run.
async fn story(app: &App, result: &Result<Changed, Error>) -> (Story, String) {
    let story = app.explain(operation(result)).await.unwrap();
    let text = story.text();
    (story, text)
}

fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(part) else {
            panic!("`{part}` is missing, or not there in order:\n{text}");
        };
        rest = &rest[at + part.len()..];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_told_in_plain_sentences() {
    let folder = Folder::new().await;
    let app = App::open(folder.path()).await.unwrap();
    let ann = json!({"userName": "ann", "title": "Engineer", "mail": "a@x", "pin": "1234"});
    let created = app.change(put("ann", ann)).await;
    let (told, text) = story(&app, &created).await;
    assert_eq!(told.outcome.as_deref(), Some("synced"));
    assert_eq!(told.object, "managed/user/ann");
    in_order(
        &text,
        &[
            "hr asked to create managed/user/ann with userName “ann”, title “Engineer”",
            "pin a hidden value",
            "user_payroll created system/payroll/employee/ann with name “ann”",
            "user_directory created system/directory/person/ann",
            "The hook onSync (compensate.rhai, version ",
            "let the change stand",
            "It ended synced",
        ],
    );
    assert!(!text.contains("1234"), "{text}");

    // Only the confidential attribute changes: that is told, not its values.
    let ann = json!({"userName": "ann", "title": "Engineer", "mail": "a@x", "pin": "9876"});
    let (_, text) = story(&app, &app.change(put("ann", ann)).await).await;
    in_order(
        &text,
        &[
            "change managed/user/ann: pin (its values are hidden)",
            "No target had",
        ],
    );
    assert!(!text.contains("9876"), "{text}");

    let rejected = app.change(put("bob", json!({"title": "Nobody"}))).await;
    let (told, text) = story(&app, &rejected).await;
    assert_eq!(told.outcome.as_deref(), Some("rejected"));
    in_order(
        &text,
        &[
            "hr asked to create managed/user/bob",
            "It ended rejected",
            "nothing was written",
            "403",
        ],
    );

    folder.rest.refuse_bodies_with("Director");
    let director = json!({"userName": "Director", "title": "Director", "mail": "d@x"});
    let compensated = app.change(put("ann", director)).await;
    let (told, text) = story(&app, &compensated).await;
    assert_eq!(told.outcome.as_deref(), Some("compensated"));
    in_order(
        &text,
        &[
            "hr asked to change managed/user/ann: ",
            "user_payroll changed system/payroll/employee/ann: name from “ann” to “Director”",
            "user_badges changed system/badges/badge/ann",
            "user_directory: system/directory/person/ann refused the update",
            "told to refuse (409)",
            "asked for the change to be taken back",
            "  Recant took the change back",
            "user_badges gave system/badges/badge/ann back what it held",
            "user_payroll gave system/payroll/employee/ann back what it held: name from “Director” to “ann”",
            "It ended compensated",
            "The caller was answered 409",
        ],
    );

    // The target that fails is the first: what comes after it is not tried.
    folder
        .payroll("create trigger no before update on employee when new.title = 'Boss' begin select raise(abort, 'no bosses'); end")
        .await;
    let boss = json!({"userName": "boss", "title": "Boss", "mail": "a@x"});
    let (_, text) = story(&app, &app.change(put("ann", boss)).await).await;
    in_order(
        &text,
        &[
            "user_payroll: system/payroll/employee/ann refused the update",
            "no bosses",
            "After that failure Recant did not try system/badges/badge/ann (user_badges) and system/directory/person/ann (user_directory).",
        ],
    );
    app.close(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn divergence_healing_and_resolution_are_told() {
    let folder = Folder::new().await;
    let app = App::open(folder.path()).await.unwrap();
    let ann = json!({"userName": "ann", "title": "Engineer", "mail": "a@x"});
    app.change(put("ann", ann)).await.unwrap();
    folder.rest.refuse_bodies_with("Director");
    folder
        .payroll("create trigger back before update on employee when new.title = 'Engineer' begin select raise(abort, 'no way back'); end")
        .await;
    let director = json!({"userName": "Director", "title": "Director", "mail": "d@x"});
    let diverged = app.change(put("ann", director)).await;
    let (told, text) = story(&app, &diverged).await;
    assert_eq!(told.outcome.as_deref(), Some("diverged"));
    in_order(
        &text,
        &[
            "user_payroll could not put system/payroll/employee/ann back",
            "no way back",
            "So system/payroll/employee/ann differs: it should have been set back: name from “Director” to “ann”",
            "asked again because taking the change back had failed",
            "It ended diverged",
            "1 target waited for `heal`",
        ],
    );
    let id = operation(&diverged);
    assert!(app.heal(id, "ops").await.is_err());
    folder.payroll("drop trigger back").await;
    app.heal(id, "ops").await.unwrap();
    // The journal forgets; the audit trail does not.
    let later = SystemClock.now() + chrono::TimeDelta::days(1);
    assert!(app.engine().store().forget_intents(later).await.unwrap() > 0);
    let (told, text) = story(&app, &diverged).await;
    assert_eq!(told.outcome.as_deref(), Some("compensated"));
    in_order(
        &text,
        &[
            "It ended diverged",
            "what was missing was tried again",
            "could not put system/payroll/employee/ann back",
            "what was missing was tried again",
            "gave system/payroll/employee/ann back what it held",
            "ops healed it: every target holds the old data again",
        ],
    );

    folder
        .payroll("create trigger back before update on employee when new.title = 'Engineer' begin select raise(abort, 'no way back'); end")
        .await;
    let director = json!({"userName": "Director", "title": "Director", "mail": "e@x"});
    let second = app.change(put("ann", director)).await;
    app.resolve(operation(&second), "agreed with payroll.", "ops")
        .await
        .unwrap();
    let (told, text) = story(&app, &second).await;
    assert_eq!(told.outcome.as_deref(), Some("diverged"));
    in_order(
        &text,
        &["ops resolved it as it was, for this reason: agreed with payroll."],
    );
    app.close(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_changes_nested_ones_and_parts_are_told_with_the_whole() {
    let folder = Folder::new().await;
    folder.write(
        "hooks/compensate.rhai",
        "if oldObject == () && newObject.userName == \"ann\" {\n    log_info(\"bringing bob along\");\n    create(\"managed/user/bob\", #{userName: \"bob\"});\n}\n",
    );
    let app = App::open(folder.path()).await.unwrap();
    let created = app.change(put("ann", json!({"userName": "ann"}))).await;
    let (told, text) = story(&app, &created).await;
    in_order(
        &text,
        &[
            "hr asked to create managed/user/ann",
            "It logged “info: bringing bob along”.",
            "It ended synced",
            "  A hook asked to create managed/user/bob with userName “bob”.",
            "  user_payroll created system/payroll/employee/bob",
            "  It ended synced",
        ],
    );
    let nested = told
        .sentences
        .iter()
        .find(|sentence| sentence.depth == 1)
        .unwrap();
    assert!(nested.at.is_some() && nested.entry.is_some());
    let record = app.operation(operation(&created)).await.unwrap();
    let part = app.explain(record.nested[0]).await.unwrap();
    assert_eq!(part.operation, told.operation);
    assert!(
        part.text()
            .starts_with(&format!("{} is a part of the change", record.nested[0]))
    );

    folder.rest.refuse_bodies_with("zoe");
    let partial = app.change(put("zoe", json!({"userName": "zoe"}))).await;
    let (told, text) = story(&app, &partial).await;
    assert_eq!(told.outcome.as_deref(), Some("partial"));
    in_order(
        &text,
        &[
            "user_directory: system/directory/person/zoe refused the create",
            "let the change stand",
            "It ended partial",
            "nobody asked for it to be taken back",
        ],
    );
    let nobody = app.explain(OperationId(SystemClock.fresh_id())).await;
    assert_eq!(nobody.unwrap_err().code, 404);
    app.close(std::time::Duration::from_secs(5)).await;
}
