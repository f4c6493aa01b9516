//! `/recon` from outside: starting, waiting, looking, exporting, approving, and what is refused.
use serde_json::{Value, json};

use crate::support::{
    folder::Folder,
    server::{Client, Running},
};

async fn person(client: &Client, name: &str) {
    let person = json!({"userName": name, "title": "Dr", "pin": "0000"});
    client
        .json("PUT", &format!("/managed/user/{name}"), &person)
        .await
        .expect(201);
}

async fn start(client: &Client, query: &str, body: &Value) -> Value {
    let path = format!("/recon?_action={query}&waitForCompletion=true");
    client.json("POST", &path, body).await.expect(200).json()
}

#[tokio::test]
async fn a_mapping_is_reconciled_and_what_was_found_is_exported() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    for name in ["ann", "ben"] {
        person(client, name).await;
    }
    let mappings = client.get("/sync/mappings").await.expect(200).json();
    let payroll = mappings["result"][0]["name"].as_str().unwrap().to_owned();
    folder
        .payroll("update employee set title = 'by hand' where id = 'ann'")
        .await;

    let dry = start(
        client,
        &format!("recon&mapping={payroll}&dryRun=true"),
        &json!({}),
    )
    .await;
    assert_eq!(dry["state"], "SUCCESS", "{dry}");
    assert_eq!(dry["progress"]["target"]["updated"], "1");
    assert_eq!(dry["parameters"]["dryRun"], true);
    let id = dry["_id"].as_str().unwrap();
    let entries = client
        .get(&format!("/recon/{id}/entries"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        entries["result"][0]["before"]["title"], "by hand",
        "{entries}"
    );

    let run = start(client, &format!("recon&mapping={payroll}"), &json!({})).await;
    assert_eq!(run["situationSummary"], dry["situationSummary"]);
    let id = run["_id"].as_str().unwrap();
    let same = client.get(&format!("/recon/{id}")).await.expect(200).json();
    assert_eq!(same["_id"], run["_id"]);
    let list = client.get("/recon").await.expect(200).json();
    assert_eq!(
        list["reconciliations"][0]["_id"], run["_id"],
        "newest first"
    );
    let found = client
        .get(&format!(
            "/recon/{id}/entries?_queryFilter=situation+eq+'CONFIRMED'"
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(found["resultCount"], 1, "{found}");
    let change = found["result"][0]["change"].as_str().unwrap();
    let record = client
        .get(&format!("/operations/{change}"))
        .await
        .expect(200)
        .json();
    assert_eq!(record["purpose"], "reconciliation");
    assert_eq!(record["outcome"], "synced");
    let csv = client
        .get(&format!("/recon/{id}/entries?_format=csv"))
        .await
        .expect(200);
    assert!(
        csv.text.starts_with("_id,reconId,reconciling,situation"),
        "{}",
        csv.text
    );
    assert!(
        csv.text.contains("CONFIRMED,UPDATE,update,SUCCESS,ann"),
        "{}",
        csv.text
    );
    let lines = client
        .get(&format!("/recon/{id}/entries?_format=jsonl"))
        .await
        .expect(200);
    assert_eq!(lines.text.lines().count(), 1);

    let one = start(
        client,
        &format!("reconById&mapping={payroll}&ids=ben"),
        &json!({}),
    )
    .await;
    assert_eq!(one["situationSummary"], json!({"CONFIRMED": 1}));
    let syncs = client.get("/recon/syncs").await.expect(200).json();
    assert!(
        syncs["syncs"][0]["dataSyncedThrough"].is_string(),
        "{syncs}"
    );
    let reset = client
        .json(
            "POST",
            "/recon?_action=reset",
            &json!({"scope": "managed/user"}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(reset["reset"].as_array().unwrap().len(), 3, "{reset}");
    let audit = client.get("/audit/recon").await.expect(200).json();
    let kinds: Vec<&str> = audit["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["entryType"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "start", "summary", "start", "entry", "summary", "start", "summary", "reset"
        ]
    );
    server.ask_to_stop();
    server.ended().await;
}

#[tokio::test]
async fn what_cannot_be_reconciled_is_told() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    for (path, body, code, said) in [
        ("/recon?_action=recon", json!({}), 400, "mapping"),
        ("/recon?_action=recon&mapping=nope", json!({}), 404, "nope"),
        (
            "/recon?_action=recon&mapping=nope&dryRun=maybe",
            json!({}),
            400,
            "dryRun",
        ),
        (
            "/recon?_action=reconById&mapping=nope",
            json!({}),
            400,
            "ids",
        ),
        (
            "/recon?_action=recon&mapping=nope",
            json!({"quick": true}),
            400,
            "quick",
        ),
        (
            "/recon?_action=recon&mapping=nope",
            json!([1]),
            400,
            "object",
        ),
        (
            "/recon?_action=reset",
            json!({"scope": "nobody"}),
            404,
            "nobody",
        ),
        (
            "/recon?_action=reset",
            json!({"scope": "all", "since": "soon"}),
            400,
            "since",
        ),
        ("/recon?_action=stop", json!({}), 400, "_action"),
        ("/recon/1?_action=cancel", json!({}), 404, "1"),
    ] {
        let reply = client.json("POST", path, &body).await;
        assert_eq!(reply.status, code, "{path} {body}: {}", reply.text);
        assert!(reply.text.contains(said), "{path}: {}", reply.text);
    }
    let nobody = "00000000-0000-7000-8000-000000000000";
    for path in [
        format!("/recon/{nobody}"),
        format!("/recon/{nobody}/entries"),
    ] {
        assert_eq!(client.get(&path).await.status, 404, "{path}");
    }
    server.ask_to_stop();
    server.ended().await;
}
