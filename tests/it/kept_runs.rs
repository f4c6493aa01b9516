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

/// A secret is not taken apart and told in pieces by a script that somebody only tries.
#[tokio::test(flavor = "multi_thread")]
async fn a_back_test_sees_no_secret_whole_or_in_pieces() {
    let folder = leaky().await;
    let server = Running::start(&folder).await;
    let person = json!({"userName": "ann", "pin": PIN});
    server
        .client
        .json("PUT", "/managed/user/ann", &person)
        .await
        .expect(201);
    for (source, whole, masked) in [
        ("throw newObject.pin.sub_string(4, 4)", "7391", ""),
        ("throw `${newObject.pin.len()}`", "14", "3"),
        (
            "throw if newObject.pin.starts_with(\"pin\") { \"yes\" } else { \"no\" }",
            "yes",
            "no",
        ),
    ] {
        let asked = json!({"file": "leaky.rhai", "source": source});
        let compared = server
            .client
            .json("POST", "/script?_action=backtest", &asked)
            .await
            .expect(200);
        let after = &compared.json()["results"][0]["after"]["throws"]["message"];
        assert_ne!(after, whole, "{source}");
        assert_eq!(after, masked, "{source}: {}", compared.text);
    }
    server.stop().await;
}

/// What is confidential of a target is known only when its record was read: a run of a mapping's hook
/// is sealed after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_saw_a_targets_secret_hides_it() {
    let folder = Folder::new().await;
    let path = folder.path().join("conf/sync.json");
    let mut sync: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let payroll = &mut sync["mappings"][0];
    payroll["properties"][1] = json!({"source": "pin", "target": "title"});
    let source = "log_info(`it holds ${oldTarget.title}, and gets ${target.title}`);";
    payroll["onUpdate"] = json!({"type": "text/rhai", "source": source});
    folder.write_json("conf/sync.json", &sync);
    let server = Running::start(&folder).await;
    let put = async |pin: &str, status: u16| {
        let person = json!({"userName": "ann", "pin": pin});
        let put = server.client.json("PUT", "/managed/user/ann", &person);
        put.await.expect(status)
    };
    put("pin-first", 201).await;
    // Somebody else set another one, which no managed object holds.
    folder
        .payroll("update employee set title = 'drifted-8812-secret' where id = 'ann'")
        .await;
    put("pin-second", 200).await;
    let runs = server.client.get("/script/runs?limit=50").await.expect(200);
    let told: Vec<Value> = runs.json()["result"].as_array().unwrap().clone();
    let run = told
        .iter()
        .find(|run| run["hook"] == "user_payroll/onUpdate");
    let run = run.unwrap_or_else(|| panic!("{}", runs.text));
    assert_eq!(run["log"], json!(["info: it holds ***, and gets ***"]));
    let asked = json!({"operation": run["operation"]});
    let cases = server
        .client
        .json("POST", "/script?_action=record", &asked)
        .await
        .expect(200);
    let audit = server.client.get("/audit?_pageSize=500").await.expect(200);
    for answer in [&runs, &cases, &audit] {
        assert!(!answer.text.contains("8812"), "{}", answer.text);
        assert!(!answer.text.contains("pin-second"), "{}", answer.text);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_stays_secret_where_a_hook_makes_something_else_of_it() {
    const TYPED: &str = "typed-5521-secret";
    let folder = Folder::new().await;
    let path = folder.path().join("conf/managed.json");
    let mut managed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let hook = |source: &str| json!({"type": "text/rhai", "source": source});
    managed["objects"][0]["onCreate"] = hook("newObject.pin = sha256(newObject.pin);");
    managed["objects"][0]["onValidate"] = hook(
        "log_info(`typed ${request.content.pin}`); \
         if newObject.userName == \"bad\" { throw `not ${request.content.pin}`; }",
    );
    folder.write_json("conf/managed.json", &managed);
    let server = Running::start(&folder).await;
    let mut answers = Vec::new();
    for (id, status) in [("ann", 201), ("bad", 400)] {
        let person = json!({"userName": id, "pin": TYPED});
        let put = server
            .client
            .json("PUT", &format!("/managed/user/{id}"), &person)
            .await
            .expect(status);
        answers.push(put);
    }
    for path in [
        "/script/runs?limit=50",
        "/audit?_pageSize=500",
        "/operations?_queryFilter=true",
    ] {
        answers.push(server.client.get(path).await.expect(200));
    }
    assert!(answers[2].text.contains("typed ***"), "{}", answers[2].text);
    for answer in &answers {
        assert!(!answer.text.contains(TYPED), "{}", answer.text);
    }
    server.stop().await;
    for file in ["recant.db", "recant.db-wal"] {
        let kept = std::fs::read(folder.path().join(file)).unwrap_or_default();
        let holds = kept
            .windows(TYPED.len())
            .any(|part| part == TYPED.as_bytes());
        assert!(!holds, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_too_large_is_not_kept_and_that_is_said() {
    let folder = leaky().await;
    let server = Running::start(&folder).await;
    let mut operations = Vec::new();
    for bytes in [20_000, 300_000] {
        let person = json!({"userName": format!("u{bytes}"), "mail": "x".repeat(bytes)});
        let put = server
            .client
            .json("PUT", &format!("/managed/user/u{bytes}"), &person)
            .await
            .expect(201);
        operations.push(put.header("recant-operation").to_owned());
    }
    let record = async |operation: &str| {
        let asked = json!({"operation": operation, "hook": "onValidate"});
        let record = server.client.json("POST", "/script?_action=record", &asked);
        record.await
    };
    record(&operations[0]).await.expect(200);
    let refused = record(&operations[1]).await.expect(404);
    assert!(
        refused.text.contains("larger than 256 KiB"),
        "{}",
        refused.text
    );
    let metrics = server.client.get("/metrics").await.expect(200);
    assert!(
        metrics.text.contains("recant_hook_runs_not_kept_total"),
        "{}",
        metrics.text
    );
    server.stop().await;
}
