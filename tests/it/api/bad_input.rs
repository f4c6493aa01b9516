//! What is wrong with a request is told with its place, and changes nothing.
use serde_json::{Value, json};

use crate::support::{
    folder::Folder,
    server::{Client, Running},
};

/// Method, path, headers, body; then status and what the message must hold.
type Case<'a> = (
    &'a str,
    &'a str,
    &'a [(&'a str, &'a str)],
    &'a [u8],
    u16,
    &'a str,
);

const JSON: (&str, &str) = ("content-type", "application/json");
const PATCH: (&str, &str) = ("content-type", "application/json-patch+json");
const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");
const USER: &str = "/managed/user/known";

#[rustfmt::skip]
const CASES: &[Case<'static>] = &[
    // Bodies.
    ("PUT", USER, &[JSON], b"", 400, "empty"),
    ("PUT", USER, &[JSON], b"{\"userName\": ", 400, "line 1 column 13"),
    ("PUT", USER, &[JSON], b"{\"userName\": \"x\"} trailing", 400, "line 1 column 19"),
    ("PUT", USER, &[JSON], b"[]", 400, "a list"),
    ("PUT", USER, &[JSON], b"\"text\"", 400, "a text"),
    ("PUT", USER, &[JSON], b"null", 400, "null"),
    ("PUT", USER, &[JSON], b"{\"userName\": \"\xff\"}", 400, "line 1"),
    ("PUT", USER, &[JSON], b"{\"userName\": \"x\", \"userName\": \"y\"}", 400, "`userName` is given twice"),
    ("PUT", USER, &[("content-type", "text/plain")], b"{}", 415, "application/json"),
    ("PUT", USER, &[("content-type", "application/x-www-form-urlencoded")], b"a=b", 415, "application/json"),
    ("PUT", USER, &[JSON, ("content-encoding", "gzip")], b"{}", 415, "compressed"),
    ("PUT", USER, &[PATCH], b"{}", 415, "application/json"),
    ("PUT", USER, &[JSON], b"{\"_id\": \"other\", \"userName\": \"x\"}", 400, "`other`"),
    ("PUT", USER, &[JSON], b"{\"_id\": 7, \"userName\": \"x\"}", 400, "a number"),
    ("POST", "/managed/user?_action=create", &[JSON], b"{\"_id\": \"\", \"userName\": \"x\"}", 400, "empty"),
    ("POST", "/managed/user?_action=create", &[JSON], b"{\"_id\": \"a\\u0000b\", \"userName\": \"x\"}", 400, "control"),
    // What the schema says.
    ("PUT", USER, &[JSON], b"{\"mail\": \"x\"}", 403, ""),
    ("PUT", USER, &[JSON], b"{\"userName\": \"x\", \"salary\": \"much\"}", 403, ""),
    // Addresses.
    ("GET", "/managed/user/%zz", &[], b"", 400, "%"),
    ("GET", "/managed/user/%ff", &[], b"", 400, "UTF-8"),
    ("PUT", "/managed/user/a%00b", &[JSON], b"{\"userName\": \"x\"}", 400, "control"),
    ("GET", "/managed/user/nobody", &[], b"", 404, ""),
    ("GET", "/managed/nothing/1", &[], b"", 404, ""),
    ("PUT", "/managed/nothing/1", &[JSON], b"{}", 404, ""),
    ("GET", "/nowhere", &[], b"", 404, "nothing at this address"),
    ("GET", "/", &[], b"", 404, ""),
    ("GET", "/managed", &[], b"", 404, ""),
    ("DELETE", "/managed/user", &[], b"", 405, "GET, POST"),
    ("POST", "/health/live", &[], b"", 405, "GET"),
    ("PUT", "/audit/activity", &[JSON], b"{}", 405, "GET"),
    ("BREW", USER, &[], b"", 405, "PUT"),
    // Actions.
    ("POST", "/managed/user", &[JSON], b"{}", 400, "`_action` is missing"),
    ("POST", "/managed/user?_action=explode", &[JSON], b"{}", 400, "`explode`"),
    ("POST", "/managed/user?_action=plan", &[JSON], b"{}", 400, "`operation`"),
    ("POST", "/managed/user?_action=plan&operation=update", &[JSON], b"{}", 400, "`update`"),
    ("POST", "/managed/user/known?_action=plan&operation=move", &[JSON], b"{}", 400, "`move`"),
    ("POST", "/operations/x?_action=forget", &[], b"", 400, "heal, resolve"),
    // Queries.
    ("GET", "/managed/user", &[], b"", 400, "_queryFilter"),
    ("GET", "/managed/user?_queryFilter=", &[], b"", 400, "_queryFilter"),
    ("GET", "/managed/user?_queryFilter=userName+is+%22x%22", &[], b"", 400, "at 9"),
    ("GET", "/managed/user?_queryFilter=userName+eq+%22x", &[], b"", 400, "_queryFilter"),
    ("GET", "/managed/user?_queryFilter=(true", &[], b"", 400, "_queryFilter"),
    ("GET", "/managed/user?_queryFilter=true&_queryFilter=true", &[], b"", 400, "twice"),
    ("GET", "/managed/user?_queryFilter=%zz", &[], b"", 400, "%"),
    ("GET", "/managed/user?_queryFilter=%ff", &[], b"", 400, "UTF-8"),
    ("GET", "/managed/user?_queryFilter=true&_pageSize=some", &[], b"", 400, "_pageSize"),
    ("GET", "/managed/user?_queryFilter=true&_pageSize=99999999999", &[], b"", 400, "_pageSize"),
    ("GET", "/managed/user?_queryFilter=true&_pageSize=1&_pagedResultsCookie=forged", &[], b"", 400, "cookie"),
    ("GET", "/managed/user?_queryFilter=true&_prettyPrint=yes", &[], b"", 400, "_prettyPrint"),
    ("GET", "/managed/user/known?_fields=a~b", &[], b"", 400, "_fields"),
    ("PUT", "/managed/user/known?_fields=a~b", &[JSON], b"{\"userName\": \"changed\"}", 400, "_fields"),
    ("GET", "/operations?_queryFilter=)", &[], b"", 400, "_queryFilter"),
    ("GET", "/audit/activity?_format=xml", &[], b"", 400, "_format"),
    ("GET", "/audit/gossip", &[], b"", 404, "gossip"),
    // Patches.
    ("PATCH", USER, &[JSON], b"{}", 400, "list"),
    ("PATCH", USER, &[JSON], b"[{\"operation\": \"explode\", \"field\": \"a\"}]", 400, "operation 0"),
    ("PATCH", USER, &[JSON], b"[{\"operation\": \"add\", \"value\": 1}]", 400, "operation 0"),
    ("PATCH", USER, &[PATCH], b"[{\"op\": \"add\", \"path\": \"/title\", \"value\": 1}, {\"op\": \"fly\"}]", 400, "operation 1"),
    ("PATCH", USER, &[PATCH], b"[{\"op\": \"test\", \"path\": \"/userName\", \"value\": \"y\"}]", 400, "operation 0"),
    ("PATCH", USER, &[MERGE], b"[]", 400, "object"),
    ("PATCH", USER, &[("if-none-match", "*"), JSON], b"[]", 400, "If-None-Match"),
    ("PATCH", "/managed/user/nobody", &[JSON], b"[]", 404, ""),
    // Headers.
    ("PUT", USER, &[JSON, ("if-none-match", "\"1\"")], b"{\"userName\": \"x\"}", 400, "If-None-Match"),
    ("PUT", USER, &[JSON, ("if-match", "\"1\", \"2\"")], b"{\"userName\": \"x\"}", 400, "If-Match"),
    ("PUT", USER, &[JSON, ("if-match", "1"), ("if-none-match", "*")], b"{\"userName\": \"x\"}", 400, "exclude"),
    ("PUT", USER, &[JSON, ("idempotency-key", "a b")], b"{\"userName\": \"x\"}", 400, "Idempotency-Key"),
    ("PUT", USER, &[JSON, ("if-match", "nope")], b"{\"userName\": \"x\"}", 412, ""),
    // Notifications.
    ("POST", "/sync?_action=notifyCreate", &[JSON], b"{}", 400, "resourceContainer"),
    ("POST", "/sync?_action=notifyCreate&resourceContainer=managed/user", &[JSON], b"{}", 400, "resourceId"),
    ("POST", "/sync?_action=notifyMaybe&resourceContainer=managed/user&resourceId=1", &[JSON], b"{}", 400, "notifyMaybe"),
    ("POST", "/sync?_action=notifyCreate&resourceContainer=managed/nothing&resourceId=1", &[JSON], b"{\"newValue\": {}}", 404, ""),
    ("POST", "/sync?_action=notifyCreate&resourceContainer=nowhere&resourceId=1", &[JSON], b"{\"newValue\": {}}", 404, "nowhere"),
    ("POST", "/sync?_action=notifyCreate&resourceContainer=managed/user&resourceId=1", &[JSON], b"{}", 400, "newValue"),
    ("POST", "/sync?_action=notifyDelete&resourceContainer=managed/user&resourceId=1", &[JSON], b"{\"oldValue\": 1}", 400, "oldValue"),
    // Operations, scripts, targets.
    ("GET", "/operations/none", &[], b"", 404, "none"),
    ("GET", "/operations/00000000-0000-7000-8000-000000000000", &[], b"", 404, ""),
    ("POST", "/operations/00000000-0000-7000-8000-000000000000?_action=heal", &[], b"", 404, ""),
    ("POST", "/operations/00000000-0000-7000-8000-000000000000?_action=resolve", &[JSON], b"{}", 400, "reason"),
    ("POST", "/script?_action=compile", &[JSON], b"{\"type\": \"text/rhai\", \"source\": \"let x = ;\"}", 400, ""),
    ("POST", "/script?_action=eval", &[JSON], b"{\"type\": \"text/javascript\", \"source\": \"1\"}", 400, ""),
    ("POST", "/script?_action=eval", &[JSON], b"[]", 400, "a list"),
    ("POST", "/system/nobody?_action=test", &[], b"", 404, ""),
    ("GET", "/system/nobody/x/1", &[], b"", 404, ""),
    ("GET", "/system/payroll/nothing?_queryFilter=true", &[], b"", 404, ""),
];

#[tokio::test]
async fn every_wrong_request_is_told_its_place_and_changes_nothing() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let known = json!({"userName": "known"});
    client.json("PUT", USER, &known).await.expect(201);
    let before = everything(client, &folder).await;
    let mut wrong = Vec::new();
    for case in CASES {
        wrong.extend(complaint(client, case).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(everything(client, &folder).await, before);
    client.get("/health/ready").await.expect(200);
    server.stop().await;
}

/// What is wrong with the answer to a wrong request.
async fn complaint(client: &Client, case: &Case<'_>) -> Option<String> {
    let (method, path, headers, body, status, told) = *case;
    let reply = client.send(method, path, headers, body.to_vec()).await;
    let error: Value = serde_json::from_str(&reply.text).unwrap_or_default();
    let message = error["message"].as_str().unwrap_or_default();
    let mut wrong = Vec::new();
    if reply.status != status || error["code"] != status || !error["reason"].is_string() {
        wrong.push(format!("status is not {status}"));
    }
    if message.is_empty() || !message.contains(told) {
        wrong.push(format!("does not say `{told}`"));
    }
    // What means none of the changes that there are at an address was an attempt at one.
    let at_changes = path.starts_with("/managed/") || path.starts_with("/sync?");
    let changes = method != "GET" && at_changes && !path.contains("_action=plan");
    if changes && status != 404 {
        let named = error["detail"]["operation"] == reply.header("recant-operation");
        if reply.header("recant-outcome") != "rejected" || !named {
            wrong.push("does not name a rejected change".to_owned());
        }
    }
    if status == 405 && reply.header("allow").is_empty() {
        wrong.push("does not say what is allowed".to_owned());
    }
    let body = String::from_utf8_lossy(body);
    let asked = format!("{method} {path} {headers:?} {body}");
    (!wrong.is_empty()).then(|| {
        format!(
            "{asked}: {}: {} {}",
            wrong.join(", "),
            reply.status,
            reply.text
        )
    })
}

#[tokio::test]
async fn what_is_too_large_or_too_deep_is_refused() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let large = json!({"userName": "x".repeat(3 << 20)});
    let reply = client.json("PUT", USER, &large).await.expect(413);
    assert_eq!(reply.header("recant-outcome"), "rejected");
    let deep = format!("{{\"userName\": {}", "[".repeat(50_000));
    client.send("PUT", USER, &[JSON], deep).await.expect(400);
    let filter = format!("{}true{}", "(".repeat(3000), ")".repeat(3000));
    let reply = client
        .get(&format!("/managed/user?_queryFilter={filter}"))
        .await;
    assert!([200, 400].contains(&reply.status), "{}", reply.status);
    let patch: Vec<Value> =
        vec![json!({"operation": "add", "field": "/a".repeat(2000), "value": 1})];
    let reply = client
        .json("PATCH", "/managed/user/nobody", &json!(patch))
        .await;
    assert!([400, 404].contains(&reply.status), "{}", reply.status);
    client.get("/health/live").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn every_refused_change_is_in_the_audit_log() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let client = &server.client;
    let reply = client.send("PUT", USER, &[JSON], "{").await.expect(400);
    let operation = reply.header("recant-operation").to_owned();
    let found = client
        .get(&format!(
            "/audit/activity?_queryFilter=operation+eq+%22{operation}%22"
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(found["resultCount"], 1, "{found}");
    assert_eq!(found["result"][0]["outcome"], "rejected");
    server.stop().await;
}

async fn everything(client: &Client, folder: &Folder) -> (Value, Value) {
    let objects = client
        .get("/managed/user?_queryFilter=true")
        .await
        .expect(200)
        .json();
    let targets = json!([
        folder.employees().await,
        folder.badges(),
        folder.rest.people()
    ]);
    (objects, targets)
}
