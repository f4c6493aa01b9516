//! What can be looked at: queries, operations, audit, targets, scripts, probes.
use serde_json::{Value, json};

use crate::support::{
    folder::Folder,
    server::{Client, Running, eventually},
};

async fn people(client: &Client, names: &[&str]) {
    for (salary, name) in names.iter().enumerate() {
        let person = json!({"userName": name, "salary": salary, "pin": "0000"});
        client
            .json("PUT", &format!("/managed/user/{name}"), &person)
            .await
            .expect(201);
    }
}

fn names(found: &Value) -> Vec<&str> {
    let list = found["result"].as_array().unwrap();
    list.iter()
        .map(|person| person["userName"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn people_are_found_sorted_and_paged() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    people(client, &["ann", "ben", "cat", "dan", "eve"]).await;
    let get = async |query: &str| {
        client
            .get(&format!("/managed/user?{query}"))
            .await
            .expect(200)
            .json()
    };

    let found = get("_queryFilter=salary+ge+3+or+userName+sw+'a'&_sortKeys=-userName").await;
    assert_eq!(names(&found), ["eve", "dan", "ann"]);
    assert_eq!(found["resultCount"], 3);
    assert_eq!(found["totalPagedResults"], -1);
    assert_eq!(found["remainingPagedResults"], -1);
    assert_eq!(found["totalPagedResultsPolicy"], "NONE");
    assert_eq!(found["pagedResultsCookie"], Value::Null);
    assert!(found["result"][0].get("pin").is_none(), "{found}");

    let mut seen = Vec::new();
    let mut cookie = String::new();
    loop {
        let page = get(&format!(
            "_queryFilter=true&_sortKeys=salary&_pageSize=2&_totalPagedResultsPolicy=EXACT&_pagedResultsCookie={cookie}"
        ))
        .await;
        assert_eq!(page["totalPagedResults"], 5, "{page}");
        seen.extend(names(&page).into_iter().map(str::to_owned));
        match page["pagedResultsCookie"].as_str() {
            Some(next) => {
                cookie =
                    percent_encoding::utf8_percent_encode(next, percent_encoding::NON_ALPHANUMERIC)
                        .to_string()
            }
            None => {
                assert_eq!(page["remainingPagedResults"], 0);
                break;
            }
        }
    }
    assert_eq!(seen, ["ann", "ben", "cat", "dan", "eve"]);

    let skipped = get("_queryFilter=true&_sortKeys=userName&_pageSize=2&_pagedResultsOffset=1&_totalPagedResultsPolicy=EXACT").await;
    assert_eq!(names(&skipped), ["ben", "cat"]);
    assert_eq!(skipped["remainingPagedResults"], 2);
    let ids = get("_queryId=query-all-ids").await;
    assert_eq!(ids["resultCount"], 5);
    assert!(ids["result"][0].get("userName").is_none(), "{ids}");
    let part = get("_queryFilter=userName+eq+%22ann%22&_fields=salary").await;
    assert_eq!(part["result"][0].as_object().unwrap().len(), 3, "{part}");
    server.stop().await;
}

#[tokio::test]
async fn operations_are_found_and_a_divergence_is_healed_or_resolved() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    people(client, &["ann"]).await;
    let diverged = diverge(client, &folder).await;
    let running = client
        .get("/operations?_queryFilter=!(outcome+pr)")
        .await
        .expect(200)
        .json();
    assert_eq!(running["resultCount"], 0, "{running}");
    let found = client
        .get("/operations?_queryFilter=outcome+eq+%22diverged%22+and+depth+eq+0")
        .await
        .expect(200)
        .json();
    assert_eq!(found["result"][0]["_id"], diverged.as_str());
    let all = client.get("/operations").await.expect(200).json();
    assert!(
        all["resultCount"].as_u64().unwrap() >= 2,
        "may be left out: {all}"
    );

    let path = format!("/operations/{diverged}");
    let record = client.get(&path).await.expect(200).json();
    assert_eq!(record["diverged"][0]["target"], "system/payroll/employee");
    let still = client
        .send("POST", &format!("{path}?_action=heal"), &[], "")
        .await
        .expect(409);
    assert_eq!(still.json()["code"], 409);
    mend(&folder).await;
    let healed = client
        .send("POST", &format!("{path}?_action=heal"), &[], "")
        .await
        .expect(200);
    assert_eq!(healed.header("recant-operation"), diverged);
    assert_eq!(healed.header("recant-outcome"), "compensated");
    assert!(healed.json()["healedAt"].is_string());
    assert_eq!(folder.employees().await["ann"]["name"], "ann");

    let again = diverge(client, &folder).await;
    let path = format!("/operations/{again}?_action=resolve");
    client
        .json("POST", &path, &json!({"reason": " "}))
        .await
        .expect(400);
    let resolved = client
        .json("POST", &path, &json!({"reason": "known"}))
        .await
        .expect(200)
        .json();
    assert_eq!(resolved["outcome"], "diverged");
    assert_eq!(resolved["resolution"]["reason"], "known");
    client
        .json("POST", &path, &json!({"reason": "again"}))
        .await
        .expect(409);
    server.stop().await;
}

/// Lets a change of `ann` fail whose compensation fails too; gives the change's id.
async fn diverge(client: &Client, folder: &Folder) -> String {
    mend(folder).await;
    folder.rest.refuse_writes(Some(400));
    // Lets the change in and refuses to let it out.
    folder
        .payroll(
            "create trigger stuck before update on employee when old.name = 'ann2' and new.name = 'ann' \
             begin select raise(abort, 'stuck'); end",
        )
        .await;
    let reply = client
        .json("PUT", "/managed/user/ann", &json!({"userName": "ann2"}))
        .await
        .expect(500);
    assert_eq!(reply.header("recant-outcome"), "diverged");
    folder.rest.refuse_writes(None);
    reply.header("recant-operation").to_owned()
}

async fn mend(folder: &Folder) {
    folder.payroll("drop trigger if exists stuck").await;
    folder.payroll("update employee set name = 'ann' where name = 'ann2' and not exists (select 1 from sqlite_master where name = 'never')").await;
}

#[tokio::test]
async fn the_audit_log_is_read_exported_and_verified() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    people(client, &["ann", "ben", "cat"]).await;
    let entries = client
        .get("/audit/activity?_queryFilter=true&_pageSize=2")
        .await
        .expect(200)
        .json();
    assert_eq!(entries["result"].as_array().unwrap().len(), 2);
    let entry = &entries["result"][0];
    assert_eq!(entry["topic"], "activity");
    let id = entry["_id"].as_str().unwrap();
    let one = client
        .get(&format!("/audit/activity/{id}"))
        .await
        .expect(200)
        .json();
    assert_eq!(&one, entry);
    client.get("/audit/activity/none").await.expect(404);

    let whole = client
        .get("/audit?_totalPagedResultsPolicy=EXACT&_pageSize=1")
        .await
        .expect(200)
        .json();
    let total = usize::try_from(whole["totalPagedResults"].as_u64().unwrap()).unwrap();
    let lines = client
        .send("GET", "/audit", &[("accept", "application/x-ndjson")], "")
        .await
        .expect(200);
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = lines
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() >= total, "{} of {total}", lines.len());
    let positions: Vec<_> = lines
        .iter()
        .map(|line| line["position"].as_i64().unwrap())
        .collect();
    assert!(positions.is_sorted(), "{positions:?}");
    let csv = client.get("/audit/sync?_format=csv").await.expect(200);
    assert!(csv.header("content-type").starts_with("text/csv"));
    let mut rows = csv::Reader::from_reader(csv.text.as_bytes());
    assert!(
        rows.headers()
            .unwrap()
            .iter()
            .any(|name| name == "transactionId")
    );
    assert!(
        rows.records().map(Result::unwrap).count() >= 9,
        "{}",
        csv.text
    );

    let verified = client
        .send("POST", "/audit?_action=verify", &[], "")
        .await
        .expect(200)
        .json();
    assert_eq!(verified["broken"], Value::Null);
    assert!(verified["entries"].as_u64().unwrap() >= 9, "{verified}");
    server.stop().await;
}

#[tokio::test]
async fn scripts_are_tried_without_changing_anything() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let script =
        |source: &str| json!({"type": "text/rhai", "source": source, "globals": {"n": 20}});
    let compiled = client
        .json("POST", "/script?_action=compile", &script("n + 1"))
        .await
        .expect(200);
    assert_eq!(compiled.json(), true);
    let wrong = client
        .json(
            "POST",
            "/script?_action=compile",
            &script("let x = 1;\nlet y = ;"),
        )
        .await
        .expect(400);
    assert_eq!(wrong.json()["detail"]["line"], 2, "{wrong:?}");
    let value = client
        .json("POST", "/script?_action=eval", &script("#{sum: n + 1}"))
        .await
        .expect(200);
    assert_eq!(value.json(), json!({"sum": 21}));
    let thrown = client
        .json(
            "POST",
            "/script?_action=eval",
            &script("throw #{code: 409, message: \"no\"}"),
        )
        .await;
    assert_eq!(
        (thrown.status, &thrown.json()["message"]),
        (409, &json!("no"))
    );
    let asked = script("create(\"managed/user\", #{userName: \"x\"}); 1");
    client
        .json("POST", "/script?_action=eval", &asked)
        .await
        .expect(200);
    let found = client
        .get("/managed/user?_queryFilter=true")
        .await
        .expect(200)
        .json();
    assert_eq!(found["resultCount"], 0);
    server.stop().await;
}

#[tokio::test]
async fn targets_and_mappings_are_looked_at() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    people(client, &["ann", "ben"]).await;
    let tests = client
        .send("POST", "/system?_action=test", &[], "")
        .await
        .expect(200)
        .json();
    assert_eq!(tests.as_array().unwrap().len(), 3, "{tests}");
    assert!(
        tests
            .as_array()
            .unwrap()
            .iter()
            .all(|test| test["ok"] == true),
        "{tests}"
    );
    let test = client
        .send("POST", "/system/payroll?_action=test", &[], "")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&test["name"], &test["ok"]),
        (&json!("payroll"), &json!(true))
    );
    let employee = client
        .get("/system/payroll/employee/ann")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&employee["_id"], &employee["name"]),
        (&json!("ann"), &json!("ann"))
    );
    client
        .get("/system/payroll/employee/nobody")
        .await
        .expect(404);
    for place in ["payroll/employee", "badges/badge", "directory/person"] {
        let found = client
            .get(&format!("/system/{place}?_queryFilter=true"))
            .await
            .expect(200)
            .json();
        assert_eq!(found["resultCount"], 2, "{place}: {found}");
    }
    let mappings = client.get("/sync/mappings").await.expect(200).json();
    let names: Vec<_> = mappings["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mapping| &mapping["name"])
        .collect();
    assert_eq!(names, ["user_payroll", "user_badges", "user_directory"]);
    let one = client
        .get("/sync/mappings?_queryFilter=name+eq+%22user_badges%22")
        .await
        .expect(200)
        .json();
    assert_eq!(one["resultCount"], 1);
    assert_eq!(
        client.get("/sync/queue").await.expect(200).json()["resultCount"],
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn a_bad_edit_is_listed_and_does_not_come_into_force() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let problems = async || client.get("/config/problems").await.expect(200).json();
    assert_eq!(problems().await["problems"], json!([]));
    folder.write("conf/sync.json", "{\"mappings\": [");
    eventually("the problem is listed", || async {
        problems().await["problems"]
            .as_array()
            .is_some_and(|list| !list.is_empty())
    })
    .await;
    assert!(
        problems().await["problems"][0]["file"]
            .as_str()
            .unwrap()
            .contains("sync.json")
    );
    client
        .json("PUT", "/managed/user/ann", &json!({"userName": "ann"}))
        .await
        .expect(201);
    assert_eq!(
        folder.badges().len(),
        1,
        "the last good mappings are in force"
    );
    server.stop().await;
}

#[tokio::test]
async fn probes_metrics_and_the_description_are_there() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    people(client, &["ann"]).await;
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(
            client.get(path).await.expect(200).json(),
            json!({"status": "ok"})
        );
    }
    let head = client
        .send("HEAD", "/health/live", &[], "")
        .await
        .expect(200);
    assert_eq!(head.text, "");
    assert_eq!(head.header("x-content-type-options"), "nosniff");
    assert_eq!(head.header("cache-control"), "no-store");
    let metrics = client.get("/metrics").await.expect(200);
    assert!(metrics.header("content-type").starts_with("text/plain"));
    let counted =
        "recant_http_requests_total{method=\"PUT\",route=\"/managed/{type}/{id}\",status=\"2xx\"}";
    assert!(metrics.text.contains(counted), "{}", metrics.text);
    let description = client.get("/openapi.json").await.expect(200).json();
    assert_eq!(description["info"]["title"], "Recant");
    folder.rest.refuse_reads(Some(503));
    client.get("/health/ready").await.expect(200);
    server.stop().await;
}
