//! Changes over HTTP: forms, headers, outcomes.
use serde_json::{Value, json};

use crate::support::{
    folder::Folder,
    server::{Reply, Running, eventually},
};

/// The outcome and a change's id, as the headers tell them.
fn change_of(reply: &Reply) -> (String, String) {
    let operation = reply.header("recant-operation").to_owned();
    assert!(operation.parse::<uuid::Uuid>().is_ok(), "{reply:#?}");
    (reply.header("recant-outcome").to_owned(), operation)
}

#[tokio::test]
async fn a_person_is_created_read_changed_and_deleted_everywhere() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;

    let person =
        json!({"userName": "ada", "mail": "a@x", "title": "Countess", "salary": 7, "pin": "1234"});
    let created = client
        .json("POST", "/managed/user?_action=create", &person)
        .await
        .expect(201);
    assert_eq!(change_of(&created).0, "synced");
    let body = created.json();
    let id = body["_id"].as_str().unwrap();
    assert!(id.parse::<uuid::Uuid>().is_ok(), "{body}");
    assert!(body.get("pin").is_none(), "confidential: {body}");
    assert_eq!(created.header("location"), format!("/managed/user/{id}"));
    assert_eq!(
        created.header("etag"),
        format!("\"{}\"", body["_rev"].as_str().unwrap())
    );
    assert_eq!(
        folder.employees().await[id],
        json!({"name": "ada", "title": "Countess", "salary": 7})
    );
    assert_eq!(folder.badges(), [format!("{id},ada")]);
    assert_eq!(folder.rest.people()[id]["mail"], "a@x");

    let path = format!("/managed/user/{id}");
    let read = client.get(&path).await.expect(200);
    assert_eq!(read.json(), body);
    assert_eq!(read.header("etag"), created.header("etag"));
    assert_eq!(read.header("recant-operation"), "", "a read is no change");
    let held = [("if-none-match", read.header("etag"))];
    let unchanged = client.send("GET", &path, &held, "").await.expect(304);
    assert_eq!(unchanged.text, "");
    let part = client
        .get(&format!("{path}?_fields=/title&_prettyPrint=true"))
        .await
        .expect(200);
    assert_eq!(
        part.json(),
        json!({"_id": id, "_rev": body["_rev"], "title": "Countess"})
    );
    assert!(part.text.contains("\n  "), "{}", part.text);

    let patch = json!([{"operation": "replace", "field": "/title", "value": "Analyst"}]);
    let patched = client.json("PATCH", &path, &patch).await.expect(200);
    assert_eq!(patched.json()["title"], "Analyst");
    assert_ne!(patched.header("etag"), created.header("etag"));
    assert_eq!(folder.employees().await[id]["title"], "Analyst");

    let put = json!({"_id": id, "_rev": "whatever", "userName": "ada", "salary": 8});
    let replaced = client.json("PUT", &path, &put).await.expect(200);
    assert_eq!(replaced.json().get("title"), None);
    assert_eq!(
        folder.employees().await[id],
        json!({"name": "ada", "title": null, "salary": 8})
    );

    let deleted = client.send("DELETE", &path, &[], "").await.expect(200);
    assert_eq!(deleted.json()["userName"], "ada");
    assert_eq!(change_of(&deleted).0, "synced");
    client.get(&path).await.expect(404);
    assert!(folder.employees().await.is_empty());
    assert!(folder.badges().is_empty());
    assert!(folder.rest.people().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn patches_come_in_three_forms() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let person = json!({"userName": "bo", "salary": 1, "title": "x"});
    client
        .json("PUT", "/managed/user/bo", &person)
        .await
        .expect(201);
    let merge = [("content-type", "application/merge-patch+json")];
    let merged = client
        .send(
            "PATCH",
            "/managed/user/bo",
            &merge,
            r#"{"title": null, "salary": 2}"#,
        )
        .await
        .expect(200)
        .json();
    assert_eq!((merged.get("title"), &merged["salary"]), (None, &json!(2)));
    let patch = [("content-type", "application/json-patch+json")];
    let text = r#"[{"op": "test", "path": "/salary", "value": 2}, {"op": "add", "path": "/title", "value": "y"}]"#;
    let patched = client
        .send("PATCH", "/managed/user/bo", &patch, text)
        .await
        .expect(200);
    assert_eq!(patched.json()["title"], "y");
    let crest = json!([{"operation": "increment", "field": "salary", "value": 5}]);
    let counted = client
        .json("PATCH", "/managed/user/bo", &crest)
        .await
        .expect(200);
    assert_eq!(counted.json()["salary"], 7);
    assert_eq!(folder.employees().await["bo"]["salary"], 7);
    server.stop().await;
}

#[tokio::test]
async fn preconditions_hold_or_nothing_happens() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let path = "/managed/user/cy";
    let body = r#"{"userName": "cy"}"#;
    let put = async |headers: &[(&str, &str)]| {
        let json = ("content-type", "application/json");
        let headers: Vec<_> = headers.iter().copied().chain([json]).collect();
        client.send("PUT", path, &headers, body).await
    };
    let missing = put(&[("if-match", "*")]).await;
    assert!([404, 412].contains(&missing.status), "{missing:#?}");
    assert_eq!(change_of(&missing).0, "rejected");
    let created = put(&[("if-none-match", "*")]).await.expect(201);
    let again = put(&[("if-none-match", "*")]).await.expect(412);
    assert_eq!(change_of(&again).0, "rejected");
    assert_eq!(again.json()["detail"]["outcome"], "rejected");
    put(&[("if-match", "\"nope\"")]).await.expect(412);
    let revision = created.json()["_rev"].as_str().unwrap().to_owned();
    let weak = format!("W/\"{revision}\"");
    put(&[("if-match", &weak)]).await.expect(200);
    let headers = [("if-match", revision.as_str())];
    client
        .send("DELETE", path, &[("if-match", "nope")], "")
        .await
        .expect(412);
    // An update that changes nothing may keep the revision; a change of the person may not.
    client
        .json(
            "PATCH",
            path,
            &json!([{"operation": "add", "field": "title", "value": "T"}]),
        )
        .await
        .expect(200);
    client.send("DELETE", path, &headers, "").await.expect(412);
    client
        .send("DELETE", path, &[("if-match", "*")], "")
        .await
        .expect(200);
    server.stop().await;
}

#[tokio::test]
async fn ids_may_hold_any_printable_character() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    for (encoded, id) in [
        ("a%2Fb", "a/b"),
        ("with%20space", "with space"),
        ("50%25", "50%"),
        ("%C3%A9t%C3%A9", "été"),
        ("q%3Fx%23y", "q?x#y"),
        ("plus+plus", "plus+plus"),
        ("%22quoted%22", "\"quoted\""),
    ] {
        let path = format!("/managed/user/{encoded}");
        let created = client
            .json("PUT", &path, &json!({"userName": "x"}))
            .await
            .expect(201);
        assert_eq!(created.json()["_id"], id);
        let location = created.header("location").to_owned();
        assert_eq!(client.get(&location).await.expect(200).json()["_id"], id);
        assert!(folder.rest.people().contains_key(id), "{id}");
        client.send("DELETE", &path, &[], "").await.expect(200);
    }
    let chosen = json!({"_id": "a/b", "userName": "x"});
    let created = client
        .json("POST", "/managed/user?_action=create", &chosen)
        .await
        .expect(201);
    assert_eq!(created.header("location"), "/managed/user/a%2Fb");
    server.stop().await;
}

#[tokio::test]
async fn a_refused_change_is_taken_back_and_explained() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let person = json!({"userName": "di", "title": "old", "pin": "s3cr3t"});
    client
        .json("PUT", "/managed/user/di", &person)
        .await
        .expect(201);
    let before = (
        folder.employees().await,
        folder.badges(),
        folder.rest.people(),
    );
    folder.rest.refuse_writes(Some(422));
    let changed = json!({"userName": "dina", "title": "new", "pin": "s3cr3t2"});
    let reply = client
        .json("PUT", "/managed/user/di", &changed)
        .await
        .expect(409);
    let (outcome, operation) = change_of(&reply);
    assert_eq!(outcome, "compensated");
    assert_eq!(
        reply.header("retry-after"),
        "",
        "a sync conflict does not pass by itself"
    );
    let body = reply.json();
    assert_eq!(
        (&body["code"], &body["reason"]),
        (&json!(409), &json!("Conflict"))
    );
    let detail = &body["detail"];
    assert_eq!(detail["operation"], operation);
    assert_eq!(detail["outcome"], "compensated");
    assert_eq!(detail["mapping"], "user_directory");
    assert_eq!(detail["target"], "system/directory/person/di");
    assert_eq!(detail["cause"]["code"], 422);
    let results: Vec<_> = detail["syncDetails"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["SUCCESSFUL", "SUCCESSFUL", "FAILED"]);
    assert!(!reply.text.contains("s3cr3t"), "{}", reply.text);
    folder.rest.refuse_writes(None);
    assert_eq!(
        (
            folder.employees().await,
            folder.badges(),
            folder.rest.people()
        ),
        before
    );
    let now = client.get("/managed/user/di").await.expect(200).json();
    assert_eq!(now["title"], "old");

    let record = client
        .get(&format!("/operations/{operation}"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&record["outcome"], &record["phase"]),
        (&json!("compensated"), &json!("ended"))
    );
    assert_eq!(record["nested"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_plan_shows_the_writes_and_makes_none() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let person = json!({"userName": "ed", "title": "T"});
    let plan = client
        .json(
            "POST",
            "/managed/user?_action=plan&operation=create",
            &person,
        )
        .await
        .expect(200);
    assert_eq!(
        plan.header("recant-operation"),
        "",
        "a dry run is no change"
    );
    let plan = plan.json();
    assert_eq!(plan["operation"], "create");
    let targets: Vec<_> = plan["writes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|write| &write["target"])
        .collect();
    assert_eq!(
        targets,
        [
            "system/payroll/employee",
            "system/badges/badge",
            "system/directory/person"
        ]
    );
    client
        .json("PUT", "/managed/user/ed", &person)
        .await
        .expect(201);
    let change = json!([{"operation": "replace", "field": "title", "value": "U"}]);
    let plan = client
        .json(
            "POST",
            "/managed/user/ed?_action=plan&operation=patch",
            &change,
        )
        .await
        .expect(200)
        .json();
    let payroll = &plan["writes"][0];
    assert_eq!(payroll["operation"], "update");
    assert_eq!(
        (&payroll["before"]["title"], &payroll["after"]["title"]),
        (&json!("T"), &json!("U"))
    );
    let plan = client
        .send(
            "POST",
            "/managed/user/ed?_action=plan&operation=delete",
            &[],
            "",
        )
        .await
        .expect(200)
        .json();
    assert_eq!(plan["writes"].as_array().unwrap().len(), 3);
    client
        .json(
            "POST",
            "/managed/user/ed?_action=plan&operation=create",
            &person,
        )
        .await
        .expect(412);
    folder.rest.refuse_reads(Some(503));
    client
        .json(
            "POST",
            "/managed/user/ed?_action=plan&operation=update",
            &person,
        )
        .await
        .expect(503);
    assert_eq!(folder.employees().await["ed"]["title"], "T");
    server.stop().await;
}

#[tokio::test]
async fn a_record_that_its_platform_keeps_is_synchronized() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let address = |action: &str| {
        format!("/sync?_action={action}&resourceContainer=managed/user&resourceId=f1")
    };
    let new = json!({"_id": "f1", "userName": "flo"});
    let body = json!({"oldValue": null, "newValue": new});
    let created = client
        .json("POST", &address("notifyCreate"), &body)
        .await
        .expect(200);
    assert_eq!(change_of(&created).0, "synced");
    let rows = created.json();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(
        (&rows[0]["mapping"], &rows[0]["result"]),
        (&json!("user_payroll"), &json!("SUCCESSFUL"))
    );
    assert_eq!(folder.employees().await["f1"]["name"], "flo");
    client.get("/managed/user/f1").await.expect(404);
    let gone = json!({"oldValue": new, "newValue": null});
    client
        .json("POST", &address("notifyDelete"), &gone)
        .await
        .expect(200);
    assert!(folder.employees().await.is_empty());
    folder.rest.refuse_writes(Some(400));
    let refused = client
        .json("POST", &address("notifyCreate"), &body)
        .await
        .expect(409);
    assert_eq!(change_of(&refused).0, "compensated");
    assert!(folder.employees().await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn an_impatient_caller_gets_an_address_to_look_at() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    folder.rest.hold_writes();
    let headers = [
        ("content-type", "application/json"),
        ("prefer", "wait=1, respond-async"),
    ];
    let reply = client
        .send(
            "PUT",
            "/managed/user/gus",
            &headers,
            r#"{"userName": "gus"}"#,
        )
        .await
        .expect(202);
    assert_eq!(reply.header("recant-outcome"), "");
    assert_eq!(reply.header("preference-applied"), "respond-async");
    let location = reply.header("location").to_owned();
    assert_eq!(
        location,
        format!("/operations/{}", reply.header("recant-operation"))
    );
    let record = client.get(&location).await.expect(200).json();
    assert_eq!(record.get("outcome"), None, "{record}");
    folder.rest.release();
    eventually("the change ends", || async {
        client.get(&location).await.expect(200).json()["outcome"] == "synced"
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_its_change() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    folder.rest.hold_writes();
    let client = server.client.clone();
    let waiting = tokio::spawn(async move {
        client
            .json("PUT", "/managed/user/hal", &json!({"userName": "hal"}))
            .await
    });
    eventually("the write arrives", || async {
        !folder.rest.writes().is_empty()
    })
    .await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    folder.rest.release();
    let client = &server.client;
    eventually("the change ends", || async {
        let found = client
            .get("/operations?_queryFilter=outcome+eq+%22synced%22")
            .await
            .expect(200)
            .json();
        found["resultCount"] == 1
    })
    .await;
    assert!(folder.rest.people().contains_key("hal"));
    client.get("/managed/user/hal").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_request_with_a_key_has_one_effect() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let send = async |key: &str, body: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        client
            .send(
                "POST",
                "/managed/user?_action=create",
                &headers,
                body.to_owned(),
            )
            .await
    };
    let first = send("k1", r#"{"userName": "ida"}"#).await.expect(201);
    let again = send("k1", r#"{"userName": "ida"}"#).await.expect(201);
    assert_eq!(first.text, again.text);
    for header in ["recant-operation", "recant-outcome", "etag", "location"] {
        assert_eq!(first.header(header), again.header(header), "{header}");
    }
    let other = send("k1", r#"{"userName": "ivo"}"#).await.expect(422);
    assert_eq!(change_of(&other).0, "rejected");
    folder.rest.refuse_writes(Some(400));
    let failed = send("k2", r#"{"userName": "jon"}"#).await.expect(409);
    folder.rest.refuse_writes(None);
    let failed_again = send("k2", r#"{"userName": "jon"}"#).await.expect(409);
    assert_eq!(failed.text, failed_again.text);
    assert_eq!(
        failed.header("recant-outcome"),
        failed_again.header("recant-outcome")
    );
    for key in ["", " ", &"k".repeat(256)] {
        let reply = send(key, r#"{"userName": "x"}"#).await.expect(400);
        assert!(reply.text.contains("Idempotency-Key"), "{}", reply.text);
    }
    assert_eq!(folder.employees().await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn unknown_parameters_reach_hooks_and_nothing_else() {
    let folder = Folder::new().await;
    let mut managed: Value = serde_json::from_str(
        &std::fs::read_to_string(folder.path().join("conf/managed.json")).unwrap(),
    )
    .unwrap();
    managed["objects"][0]["onCreate"] = json!({"type": "text/rhai", "source":
        "object.title = request.method + \" \" + request.resourcePath + \" \" + request.additionalParameters.who;"});
    folder.write_json("conf/managed.json", &managed);
    let server = Running::start(&folder).await;
    let created = server
        .client
        .json(
            "PUT",
            "/managed/user/kim?who=me&compensating=true",
            &json!({"userName": "kim"}),
        )
        .await
        .expect(201)
        .json();
    assert_eq!(created["title"], "update managed/user/kim me");
    server.stop().await;
}

#[tokio::test]
async fn what_is_confidential_can_be_removed_but_not_sought_at_a_target() {
    let folder = Folder::new().await;
    let file = folder.path().join("conf/sync.json");
    let mut sync: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let properties = sync["mappings"][2]["properties"].as_array_mut().unwrap();
    properties.push(json!({"source": "pin", "target": "pin"}));
    folder.write_json("conf/sync.json", &sync);
    let server = Running::start(&folder).await;
    let client = &server.client;
    let person = json!({"userName": "fay", "pin": "1234"});
    let path = "/managed/user/fay";
    client.json("PUT", path, &person).await.expect(201);
    assert_eq!(folder.rest.people()["fay"]["pin"], "1234");
    for query in ["pin+sw+'1'", "userName+eq+'x'+or+!(pin+pr)"] {
        let asked = format!("/system/directory/person?_queryFilter={query}");
        let refused = client.get(&asked).await.expect(400);
        assert!(refused.text.contains("confidential"), "{}", refused.text);
    }
    // A PUT without it keeps it; a patch removes it.
    let kept = json!({"userName": "fay"});
    client.json("PUT", path, &kept).await.expect(200);
    assert_eq!(folder.rest.people()["fay"]["pin"], "1234");
    let patch = json!([{"operation": "remove", "field": "/pin"}]);
    client.json("PATCH", path, &patch).await.expect(200);
    let held = folder.rest.people()["fay"].get("pin").cloned();
    assert!(held.is_none_or(|pin| pin.is_null()), "removed everywhere");
    server.stop().await;
}
