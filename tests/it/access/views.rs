//! Who may see which attributes: an attribute that is not for everybody is in no answer to others, and
//! no question leads to it.
use serde_json::{Value, json};

use crate::{
    api::access::client,
    support::{
        folder::Folder,
        server::{Client, Running},
    },
};

const PAY: i64 = 654_321;

struct Office {
    server: Running,
    folder: Folder,
    caller: Client,
    hooks: Client,
    auditor: Client,
    admin: Client,
}

/// A server whose `salary` only the named roles may see, and one user with one.
async fn office(viewers: &[&str]) -> Office {
    let folder = Folder::new().await;
    let path = folder.path().join("conf/managed.json");
    let mut managed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    managed["objects"][0]["schema"]["properties"]["salary"]["viewableBy"] = json!(viewers);
    folder.write_json("conf/managed.json", &managed);
    let server = Running::start(&folder).await;
    let of = async |role: &str| client(&server.app, &server.client, &[role]).await;
    let office = Office {
        caller: of("caller").await,
        hooks: of("hook-admin").await,
        auditor: of("auditor").await,
        admin: of("admin").await,
        server,
        folder,
    };
    let user = json!({"userName": "Ann", "salary": PAY});
    let put = office.caller.json("PUT", "/managed/user/ann", &user).await;
    office.keeps_quiet(&put.clone().expect(201).text);
    office
}

impl Office {
    fn keeps_quiet(&self, text: &str) {
        assert!(!text.contains(&PAY.to_string()), "{text}");
    }
}

#[tokio::test]
async fn a_caller_may_set_what_it_may_not_see() {
    let office = office(&["auditor"]).await;
    let caller = &office.caller;
    let read = caller.get("/managed/user/ann").await.expect(200);
    assert_eq!(read.json()["userName"], "Ann");
    assert!(read.json().get("salary").is_none());
    for address in [
        "/managed/user?_queryFilter=true",
        "/managed/user?_queryFilter=true&_fields=salary",
        "/managed/user/ann?_fields=salary",
        "/events?limit=100&after=0",
    ] {
        office.keeps_quiet(&caller.get(address).await.expect(200).text);
    }
    let path = "/managed/user/ann?_action=plan&operation=update";
    let plan = caller
        .json("POST", path, &json!({"userName": "Bea", "salary": PAY}))
        .await;
    office.keeps_quiet(&plan.expect(200).text);
    let put = caller
        .json("PUT", "/managed/user/ann", &json!({"userName": "Bea"}))
        .await;
    let operation = put.expect(200).header("recant-operation").to_owned();
    let kept = office
        .admin
        .get("/managed/user/ann")
        .await
        .expect(200)
        .json();
    assert_eq!(
        kept["salary"], PAY,
        "leaving it out is no wish to remove it"
    );
    let record = caller
        .get(&format!("/operations/{operation}"))
        .await
        .expect(200);
    office.keeps_quiet(&record.text);
    assert_eq!(office.folder.employees().await["ann"]["salary"], PAY);
    caller
        .json(
            "PUT",
            "/managed/user/ann",
            &json!({"userName": "Bea", "salary": 1}),
        )
        .await
        .expect(200);
    assert_eq!(office.folder.employees().await["ann"]["salary"], 1);
    office.server.stop().await;
}

#[tokio::test]
async fn a_plan_does_not_tell_whether_a_guess_is_right() {
    let office = office(&["auditor"]).await;
    let path = "/managed/user/ann?_action=plan&operation=";
    let merged = async |client: &Client, patch: Value| {
        let headers = [("content-type", "application/merge-patch+json")];
        let path = format!("{path}patch");
        client
            .send("POST", &path, &headers, patch.to_string())
            .await
    };
    for client in [&office.caller, &office.hooks] {
        let mut told = Vec::new();
        for guess in [1, PAY - 1, PAY, PAY + 1] {
            let whole = json!({"userName": "Ann", "salary": guess});
            let update = client.json("POST", &format!("{path}update"), &whole).await;
            let merge = merged(client, json!({"salary": guess})).await;
            let operations = json!([{"operation": "replace", "field": "/salary", "value": guess}]);
            let crest = client
                .json("POST", &format!("{path}patch"), &operations)
                .await;
            for reply in [update, merge, crest] {
                let plan = reply.expect(200);
                office.keeps_quiet(&plan.text);
                let plan = plan.json();
                assert_eq!(plan["hidden"], json!(["salary"]));
                told.push((plan["writes"].clone(), plan["skipped"].clone()));
            }
        }
        assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    }
    // What is seen is planned as ever, and who sees it learns it.
    let plan = merged(&office.caller, json!({"userName": "Bea"})).await;
    assert_eq!(
        plan.expect(200).json()["writes"].as_array().unwrap().len(),
        3
    );
    let plan = merged(&office.admin, json!({"salary": PAY + 1})).await;
    let plan = plan.expect(200).json();
    assert_eq!(plan["writes"].as_array().unwrap().len(), 1, "{plan}");
    assert!(plan.get("hidden").is_none());
    office.server.stop().await;
}

#[tokio::test]
async fn no_question_leads_to_what_is_hidden() {
    let office = office(&["auditor"]).await;
    for filter in [
        "salary+gt+1",
        "salary+pr",
        "!(salary+eq+1)",
        "userName+eq+'x'+or+salary+lt+5",
    ] {
        let path = format!("/managed/user?_queryFilter={filter}");
        office.caller.get(&path).await.expect(400);
        office.admin.get(&path).await.expect(200);
    }
    for sort in ["salary", "-salary"] {
        let path = format!("/managed/user?_queryFilter=true&_sortKeys={sort}");
        office.caller.get(&path).await.expect(400);
    }
    let patch = async |headers: &str, body: Value| {
        let headers = [("content-type", headers)];
        let reply = office
            .caller
            .send("PATCH", "/managed/user/ann", &headers, body.to_string())
            .await;
        reply.status
    };
    let test = json!([{"op": "test", "path": "/salary", "value": PAY}]);
    assert_eq!(patch("application/json-patch+json", test).await, 400);
    let copy = json!([{"op": "copy", "from": "/salary", "path": "/title"}]);
    assert_eq!(patch("application/json-patch+json", copy).await, 400);
    let count = json!([{"operation": "increment", "field": "salary", "value": 1}]);
    assert_eq!(patch("application/json", count).await, 400);
    assert_eq!(
        patch("application/merge-patch+json", json!({"salary": 7})).await,
        200
    );
    office.server.stop().await;
}

#[tokio::test]
async fn a_hook_admin_sees_neither_targets_nor_objects_whole() {
    let office = office(&["auditor"]).await;
    let hooks = &office.hooks;
    let row = hooks.get("/system/payroll/employee/ann").await.expect(200);
    assert_eq!(row.json()["salary"], "***");
    let rows = hooks
        .get("/system/payroll/employee?_queryFilter=true")
        .await;
    office.keeps_quiet(&rows.expect(200).text);
    hooks
        .get("/system/payroll/employee?_queryFilter=salary+gt+1")
        .await
        .expect(400);
    hooks
        .get("/system/payroll/employee?_queryFilter=SALARY+gt+1")
        .await
        .expect(400);
    for (source, expected) in [
        ("read(\"managed/user/ann\").salary", json!(null)),
        ("read(\"system/payroll/employee/ann\").salary", json!("***")),
    ] {
        let script = json!({"type": "text/rhai", "source": source});
        let reply = hooks.json("POST", "/script?_action=eval", &script).await;
        assert_eq!(reply.expect(200).json(), expected, "{source}");
    }
    for source in [
        "query(\"managed/user\", \"salary gt 1\").len()",
        "query(\"system/payroll/employee\", \"salary gt 1\").len()",
    ] {
        let script = json!({"type": "text/rhai", "source": source});
        let reply = hooks.json("POST", "/script?_action=eval", &script).await;
        assert!(reply.status >= 400, "{source}: {}", reply.text);
    }
    let path = "/managed/user/ann?_action=plan&operation=update";
    let plan = hooks.json("POST", path, &json!({"userName": "Bea"})).await;
    office.keeps_quiet(&plan.expect(200).text);
    office.server.stop().await;
}

#[tokio::test]
async fn an_auditor_sees_that_it_changed_and_not_what_it_is() {
    let office = office(&["admin"]).await;
    let change = json!({"userName": "Ann", "salary": PAY + 1, "pin": "1234"});
    office
        .caller
        .json("PUT", "/managed/user/ann", &change)
        .await
        .expect(200);
    let quiet = |text: &str| {
        office.keeps_quiet(text);
        assert!(
            !text.contains(&(PAY + 1).to_string()) && !text.contains("1234"),
            "{text}"
        );
    };
    let auditor = &office.auditor;
    for address in [
        "/audit?_queryFilter=true",
        "/audit/activity?_queryFilter=true",
        "/audit/sync?_queryFilter=true&_fields=before,after",
        "/audit/sync?_queryFilter=true&_fields=after/salary",
        "/audit?_queryFilter=true&_format=jsonl",
        "/audit?_queryFilter=true&_format=jsonl&_fields=after",
        "/audit?_queryFilter=true&_format=csv",
        "/operations",
        "/operations?_fields=writes",
        "/events?after=0",
    ] {
        quiet(&auditor.get(address).await.expect(200).text);
    }
    let activity = auditor
        .get("/audit/activity?_queryFilter=eventName+eq+'change'")
        .await;
    let entries = activity.expect(200).json();
    let last = entries["result"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    let changed = last["changedFields"].to_string();
    assert!(
        changed.contains("salary") && changed.contains("pin"),
        "{last}"
    );
    assert_eq!(last["after"]["salary"], "***");
    assert_eq!(last["after"]["pin"], "***");
    let record = office.admin.get("/audit/activity?_queryFilter=true").await;
    assert!(
        record.expect(200).text.contains(&PAY.to_string()),
        "an admin sees it"
    );
    for filter in [
        "after/salary+eq+654321",
        "before/salary+pr",
        "after+co+'6'",
        "message+co+'6'",
    ] {
        auditor
            .get(&format!("/audit?_queryFilter={filter}"))
            .await
            .expect(400);
        auditor
            .get(&format!("/audit?_queryFilter={filter}&_format=csv"))
            .await
            .expect(400);
    }
    auditor
        .get("/operations?_queryFilter=writes/0/after/salary+pr")
        .await
        .expect(400);
    auditor
        .get("/audit?_queryFilter=true&_sortKeys=after/salary")
        .await
        .expect(400);
    auditor
        .get("/audit?_queryFilter=after/userName+eq+'Ann'")
        .await
        .expect(200);
    office.server.stop().await;
}

#[tokio::test]
async fn wrong_viewers_are_told() {
    let folder = Folder::new().await;
    let problems = |viewers: Value| {
        let path = folder.path().join("conf/managed.json");
        let mut managed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        managed["objects"][0]["schema"]["properties"]["salary"] = viewers;
        folder.write_json("conf/managed.json", &managed);
        let runtime = |limits: &recant::hooks::Limits| recant::hooks::Runtime::new(limits.clone());
        let loaded = recant::config::load(folder.path(), &runtime, &|_| None);
        let told: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        told.join("\n")
    };
    let place = "conf/managed.json#/objects/0/schema/properties/salary";
    let told = problems(json!({"viewableBy": ["king"]}));
    assert!(
        told.contains(&format!("error {place}/viewableBy")),
        "{told}"
    );
    let told = problems(json!({"viewableBy": "admin"}));
    assert!(told.contains("expected a list of the roles"), "{told}");
    let told = problems(json!({"properties": {"net": {"viewableBy": ["admin"]}}}));
    assert!(told.contains("only the whole attribute `salary`"), "{told}");
    assert_eq!(problems(json!({"type": "integer", "viewableBy": []})), "");
}
