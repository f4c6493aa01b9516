//! Kept runs of hooks over HTTP: encrypted at rest, masked when they leave, bounded, and run again.
use recant::{
    app::App,
    clock::{Clock as _, SystemClock},
    store::RunSearch,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::support::{
    folder::Folder,
    server::{Running, eventually},
};

/// A secret that no other text holds.
const PIN: &str = "pin-7391-zebra";

const LEAKY: &str = "log_info(`the pin is ${newObject.pin}`);
let seen = read(\"managed/user/boss\");
if newObject.userName == \"bad\" {
    throw #{code: 422, message: `no pin ${newObject.pin}`, detail: newObject};
}
";

async fn leaky() -> Folder {
    let folder = Folder::new().await;
    let managed = std::fs::read_to_string(folder.path().join("conf/managed.json")).unwrap();
    let mut managed: Value = serde_json::from_str(&managed).unwrap();
    managed["objects"][0]["onValidate"] = json!({"type": "text/rhai", "file": "leaky.rhai"});
    folder.write_json("conf/managed.json", &managed);
    folder.write("hooks/leaky.rhai", LEAKY);
    folder
}

async fn bodies(folder: &Folder) -> Vec<String> {
    let url = format!("sqlite://{}", folder.path().join("recant.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let rows = sqlx::query("select body from hook_run")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| row.get("body")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_confidential_is_encrypted_at_rest_and_masked_on_its_way_out() {
    let folder = leaky().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let good = json!({"userName": "ann", "pin": PIN});
    client
        .json("PUT", "/managed/user/ann", &good)
        .await
        .expect(201);
    let bad = json!({"userName": "bad", "pin": PIN});
    let refused = client
        .json("PUT", "/managed/user/bad", &bad)
        .await
        .expect(422);
    let operation = refused.header("recant-operation").to_owned();

    let runs = client
        .get("/script/runs?script=leaky.rhai")
        .await
        .expect(200);
    let listed = runs.json()["result"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 2, "{}", runs.text);
    assert_eq!(listed[0]["verdict"], "reject");
    assert_eq!(listed[0]["hook"], "managed/user/onValidate");
    assert_eq!(listed[0]["log"], json!(["info: the pin is ***"]));
    let asked = json!({"operation": operation, "hook": "onValidate"});
    let cases = client
        .json("POST", "/script?_action=record", &asked)
        .await
        .expect(200);
    let case = &cases.json()["result"][0];
    assert_eq!(case["file"], "leaky.cases.json");
    assert_eq!(case["case"]["variables"]["newObject"]["pin"], "***");
    assert_eq!(case["case"]["expect"]["throws"]["message"], "no pin ***");
    assert_eq!(case["case"]["reads"][0]["path"], "managed/user/boss");
    // A changed script shows the clear value in everything that it gives.
    let changed =
        "throw #{code: 400, message: `${newObject.pin}`, detail: read(\"managed/user/boss\")};";
    let asked = json!({"type": "text/rhai", "file": "leaky.rhai", "source": changed});
    let compared = client
        .json("POST", "/script?_action=backtest", &asked)
        .await
        .expect(200);
    assert_eq!(compared.json()["different"], 2, "{}", compared.text);
    assert_eq!(
        compared.json()["results"][0]["after"]["throws"]["message"],
        "***"
    );
    for answer in [&runs, &cases, &compared] {
        assert!(!answer.text.contains(PIN), "{}", answer.text);
    }
    let stored = bodies(&folder).await;
    assert!(stored.len() >= 3, "{}", stored.len());
    assert!(
        stored
            .iter()
            .all(|body| !body.contains(PIN) && !body.contains("userName"))
    );
    // The script as it is decides as before, its reads answered from what was kept.
    let asked = json!({"type": "text/rhai", "file": "leaky.rhai"});
    let same = client
        .json("POST", "/script?_action=backtest", &asked)
        .await
        .expect(200);
    assert_eq!(
        (&same.json()["runs"], &same.json()["same"]),
        (&json!(2), &json!(2))
    );
    // One that does not compile is told with its place; nothing of an unknown one is there.
    let broken = json!({"type": "text/rhai", "file": "leaky.rhai", "source": "if {"});
    let told = client
        .json("POST", "/script?_action=backtest", &broken)
        .await
        .expect(400);
    assert_eq!(told.json()["detail"]["line"], 1);
    let nothing = json!({"operation": SystemClock.fresh_id()});
    client
        .json("POST", "/script?_action=record", &nothing)
        .await
        .expect(404);
    client.get("/script/runs?limit=0").await.expect(400);
    // Cases over HTTP: those that are sent.
    let cases = json!({"file": "leaky.rhai", "cases": {"cases": [{
        "name": "fine", "variables": {"newObject": {"userName": "x", "pin": "1"}},
        "reads": [{"path": "managed/user/boss", "answer": null}], "expect": {"verdict": "accept"},
    }]}});
    let tested = client
        .json("POST", "/script?_action=test", &cases)
        .await
        .expect(200);
    assert_eq!(
        (&tested.json()["cases"], &tested.json()["passed"]),
        (&json!(1), &json!(1))
    );
    // The record and the audit tell time and operations.
    let record = client.get(&format!("/operations/{operation}")).await;
    if record.status == 200 {
        assert!(record.json()["hookRuns"][0]["operations"].as_u64() > Some(0));
    }
    let filter = "eventName%20eq%20%22hook%22";
    let entries = client
        .get(&format!("/audit/activity?_queryFilter={filter}"))
        .await
        .expect(200);
    assert!(
        entries.json()["result"][0]["operations"].as_u64() > Some(0),
        "{}",
        entries.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_bounded_and_can_be_switched_off() {
    let folder = leaky().await;
    let settings = std::fs::read_to_string(folder.path().join("recant.toml")).unwrap();
    folder.write(
        "recant.toml",
        &format!("{settings}\n[hooks]\nkeep_runs = 3\n"),
    );
    let server = Running::start(&folder).await;
    for number in 0..6 {
        let person = json!({"userName": format!("u{number}")});
        let path = format!("/managed/user/u{number}");
        server.client.json("PUT", &path, &person).await.expect(201);
    }
    server.stop().await;
    let app = App::open(folder.path()).await.unwrap();
    let store = app.engine().store();
    let before = chrono::DateTime::UNIX_EPOCH;
    assert!(store.forget_hook_runs(before, 3).await.unwrap() > 0);
    let search = RunSearch {
        script: Some("leaky.rhai".into()),
        limit: 100,
        ..RunSearch::default()
    };
    let kept = store.hook_runs(&search).await.unwrap();
    assert_eq!(kept.len(), 3);
    assert_eq!(kept[0].object.id, "u5", "the newest");
    assert_eq!(kept[0].run.inputs.reads.len(), 1);
    let later = SystemClock.now() + chrono::TimeDelta::days(1);
    assert!(store.forget_hook_runs(later, 100).await.unwrap() > 0);
    assert_eq!(store.hook_runs(&search).await.unwrap().len(), 0);
    folder.write(
        "recant.toml",
        &format!("{settings}\n[hooks]\nkeep_runs = 0\n"),
    );
    eventually("keeping is switched off", || async {
        app.configuration().hooks.keep_runs == 0
    })
    .await;
    app.close(std::time::Duration::from_secs(5)).await;
    let server = Running::start(&folder).await;
    let person = json!({"userName": "late"});
    server
        .client
        .json("PUT", "/managed/user/late", &person)
        .await
        .expect(201);
    let runs = server.client.get("/script/runs").await.expect(200);
    assert_eq!(runs.json()["result"], json!([]));
}
