//! Importing, and looking at events and deliveries, from the command line.
use std::path::Path;

use serde_json::json;

use super::{code, json as json_of, recant, text};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("recant.toml", "");
    write("people.csv", "id,name\n1,Ann\n2,Bob\n");
    write("badges.csv", "id,name\n");
    let text = json!({"type": "string"});
    let managed = json!({"objects": [{"name": "user", "schema": {"type": "object",
        "properties": {"name": text}}}]});
    write("conf/managed.json", &managed.to_string());
    let properties = json!([{"source": "name", "target": "name"}]);
    let sync = json!({"mappings": [
        {"name": "in", "source": "system/hr/person", "target": "managed/user",
            "properties": properties},
        {"name": "out", "source": "managed/user", "target": "system/badges/badge",
            "properties": properties},
    ]});
    write("conf/sync.json", &sync.to_string());
    for (name, file, class) in [
        ("hr", "people.csv", "person"),
        ("badges", "badges.csv", "badge"),
    ] {
        let connector = json!({"type": "csv", "file": file, "objects": {class: {"key": "id"}}});
        write(
            &format!("conf/connectors/{name}.json"),
            &connector.to_string(),
        );
    }
    let file = json!({"subscriptions": [{"name": "crm", "url": "http://127.0.0.1:1/",
        "secrets": ["a secret of the CRM"], "retries": 0, "retryDelay": 1}]});
    write("conf/integrations.json", &file.to_string());
    folder
}

fn badges(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("badges.csv")).unwrap()
}

#[test]
fn records_are_imported_once_and_events_are_listed_and_moved() {
    let folder = folder();
    let run = |arguments: &[&str]| recant(folder.path(), arguments);
    let import = ["integrations", "import", "hr", "person", "--json"];
    let first = json_of(&run(&import), 0);
    assert_eq!(
        (&first["fetched"], &first["stored"]),
        (&json!(2), &json!(2))
    );
    assert!(
        badges(folder.path()).contains("Ann"),
        "{}",
        badges(folder.path())
    );
    assert_eq!(json_of(&run(&import), 0)["fetched"], 0);
    let one = [&import[..], &["--force-id", "1"]].concat();
    assert_eq!(json_of(&run(&one), 0)["fetched"], 1);

    let listed = json_of(&run(&["integrations", "list", "hr", "--json"]), 0);
    let listed = listed["result"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|event| event["direction"] == "inbound"));
    let shown = run(&["integrations", "list", "hr", "--state", "completed"]);
    assert!(
        text(&shown.stdout).contains("completed"),
        "{}",
        text(&shown.stdout)
    );
    let dead = json_of(&run(&["integrations", "list", "hr", "--dead", "--json"]), 0);
    assert_eq!(dead["result"], json!([]));
    let queue = run(&["integrations", "queue"]);
    assert_eq!((code(&queue), text(&queue.stdout).trim()), (0, "no events"));
    let id = listed[0]["_id"].as_str().unwrap();
    let over = run(&["integrations", "cancel", "hr", id]);
    assert_eq!(code(&over), 1, "it is completed");
    assert!(
        text(&over.stderr).contains("completed"),
        "{}",
        text(&over.stderr)
    );
    assert_eq!(code(&run(&["integrations", "retry", "hr"])), 2, "which?");
    assert_eq!(code(&run(&["integrations", "list", "nobody"])), 1);

    let syncs = json_of(&run(&["recon", "syncs", "--json"]), 0);
    let class = &syncs["syncs"][0];
    assert_eq!(class["name"], "system/hr/person");
    assert!(
        class["dataSyncedThrough"].is_string() && class["token"].is_null(),
        "{class}"
    );
    let reset = ["recon", "--reset", "system/hr/person", "--json"];
    assert_eq!(
        json_of(&run(&reset), 0)["reset"],
        json!(["in", "system/hr/person"])
    );
    let syncs = json_of(&run(&["recon", "syncs", "--json"]), 0);
    let mut all = syncs["syncs"].as_array().unwrap().iter();
    let class = all.find(|one| one["name"] == "system/hr/person").unwrap();
    assert!(class["dataSyncedThrough"].is_null(), "{class}");

    // The subscription begins with the first command that sees it; nobody listens there.
    let changed = ["change", "patch", "user/1", "--data", "{\"name\": \"Ada\"}"];
    assert_eq!(code(&run(&changed)), 0);
    let mut letters = json!([]);
    for _ in 0..100 {
        let dead = ["deliveries", "list", "crm", "--dead", "--json"];
        letters = json_of(&run(&dead), 0)["result"].clone();
        if letters != json!([]) {
            break;
        }
    }
    assert!(
        letters[0]["lastError"]
            .as_str()
            .unwrap()
            .contains("reached"),
        "{letters}"
    );
    let again = json_of(&run(&["deliveries", "retry", "crm", "--dead", "--json"]), 0);
    assert_eq!(again["result"][0]["state"], "queued");
    let audit = json_of(&run(&["audit", "list", "sync", "--json"]), 0);
    let entries = audit["result"].as_array().unwrap().iter();
    let by_hand: Vec<_> = entries
        .filter(|entry| entry["eventName"] == "integration")
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert!(
        by_hand.starts_with(&["import", "import", "import"]),
        "{by_hand:?}"
    );
    assert!(by_hand.contains(&"retry"));
}
