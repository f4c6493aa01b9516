//! A folder as `recant init` makes it, from its first change to its audit, with and without a server.
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::{code, json as json_of, recant, text};

/// An employee whom both targets take.
pub fn ada(title: &str) -> String {
    json!({
        "userName": "ada", "givenName": "Ada", "sn": "Quill", "title": title, "active": true,
        "mail": "ada@lantern.example",
    })
    .to_string()
}

/// A folder that `recant init` made.
pub fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = recant(folder.path(), &["init"]);
    assert_eq!(code(&made), 0, "{}", text(&made.stderr));
    folder
}

fn badges(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("targets/badges.csv")).unwrap()
}

/// A title that the payroll refuses, after the badge has been written.
pub fn refused() -> String {
    json!({"title": "x".repeat(41), "department": "Moonshots"}).to_string()
}

#[test]
fn a_new_folder_is_checked_and_never_made_twice() {
    let folder = made();
    let report = json_of(&recant(folder.path(), &["check", "--json"]), 0);
    assert_eq!(report, json!({"problems": []}));
    let again = recant(folder.path(), &["init"]);
    assert_eq!(code(&again), 1);
    assert!(text(&again.stderr).contains("recant.toml"));
}

#[test]
fn a_change_lands_or_is_taken_back_and_the_audit_tells() {
    let folder = made();
    let run = |arguments: &[&str]| recant(folder.path(), arguments);

    let plan = run(&[
        "plan",
        "create",
        "user/ada",
        "--data",
        &ada("Engineer"),
        "--json",
    ]);
    assert_eq!(json_of(&plan, 0)["writes"].as_array().unwrap().len(), 2);
    assert!(!badges(folder.path()).contains("ada"), "a plan wrote");

    let made = run(&[
        "change",
        "create",
        "user/ada",
        "--data",
        &ada("Engineer"),
        "--json",
    ]);
    assert_eq!(json_of(&made, 0)["outcome"], "synced");
    let before = badges(folder.path());
    assert!(before.contains("Ada Quill"), "{before}");

    let back = run(&[
        "change",
        "patch",
        "user/ada",
        "--data",
        &refused(),
        "--json",
    ]);
    let back = json_of(&back, 3);
    assert_eq!(back["outcome"], "compensated");
    assert_eq!(back["error"]["code"], 409);
    assert_eq!(
        badges(folder.path()),
        before,
        "the badge was not taken back"
    );

    let stale = ["change", "delete", "user/ada", "--if-match", "stale"];
    assert_eq!(code(&run(&stale)), 3);

    let id = back["operation"].as_str().unwrap();
    let record = json_of(&run(&["ops", "show", id, "--json"]), 0);
    assert_eq!(record["outcome"], "compensated");
    assert!(!record["hookRuns"].as_array().unwrap().is_empty());
    for human in [
        &["ops", "show", id][..],
        &["ops", "list"],
        &["audit", "list"],
    ] {
        let output = run(human);
        assert_eq!(code(&output), 0, "{human:?}: {}", text(&output.stderr));
        let shown = text(&output.stdout);
        assert!(shown.contains("compensated"), "{human:?}: {shown}");
        assert!(!shown.contains('\u{1b}'), "colours without a terminal");
    }
    let outcomes = |word: &str| {
        let list = json_of(&run(&["ops", "list", "--outcome", word, "--json"]), 0);
        list["result"].as_array().unwrap().len()
    };
    // The change that landed, and the nested one that took the other back.
    assert_eq!((outcomes("synced"), outcomes("diverged")), (2, 0));
    assert!(outcomes("compensated") >= 1);

    let of_it = ["audit", "list", "--operation", id, "--json"];
    let entries = json_of(&run(&of_it), 0);
    assert!(!entries["result"].as_array().unwrap().is_empty());
    assert_eq!(
        json_of(&run(&["audit", "verify", "--json"]), 0)["broken"],
        Value::Null
    );
}

#[test]
fn the_audit_is_exported_whole() {
    let folder = made();
    let run = |arguments: &[&str]| recant(folder.path(), arguments);
    let made = run(&["change", "create", "user/ada", "--data", &ada("Engineer")]);
    assert_eq!(code(&made), 0, "{}", text(&made.stderr));
    let count = json_of(&run(&["audit", "verify", "--json"]), 0)["entries"]
        .as_u64()
        .unwrap();
    assert!(count >= 3);
    let lines = text(&run(&["audit", "export"]).stdout);
    assert_eq!(lines.lines().count() as u64, count);
    assert!(
        lines
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
    let file = folder.path().join("audit.csv");
    let name = file.to_str().unwrap();
    let exported = run(&["audit", "export", "--format", "csv", "-o", name]);
    assert_eq!(code(&exported), 0, "{}", text(&exported.stderr));
    let rows = csv::Reader::from_path(&file)
        .unwrap()
        .into_records()
        .count();
    assert_eq!(rows as u64, count);
    let sync = text(&run(&["audit", "export", "sync"]).stdout);
    assert_eq!(sync.lines().count(), 2);
}

#[test]
fn tokens_are_shown_once() {
    let folder = made();
    let run = |arguments: &[&str]| recant(folder.path(), arguments);
    let made = run(&[
        "token",
        "create",
        "hr",
        "--role",
        "caller",
        "--expires",
        "30d",
        "--json",
    ]);
    let made = json_of(&made, 0);
    let secret = made["token"].as_str().unwrap();
    let id = made["id"].as_str().unwrap();
    let list = run(&["token", "list"]);
    assert!(text(&list.stdout).contains(id));
    assert!(!text(&list.stdout).contains(secret));
    assert_eq!(code(&run(&["token", "revoke", id])), 0);
    assert_eq!(code(&run(&["token", "revoke", "nobody"])), 1);
    assert_eq!(code(&run(&["token", "create", "hr", "--role", "king"])), 2);
}

#[test]
fn targets_scripts_and_tables_are_looked_at() {
    let folder = made();
    let run = |arguments: &[&str]| recant(folder.path(), arguments);
    let tested = json_of(&run(&["connectors", "test", "--json"]), 0);
    assert_eq!(tested["result"].as_array().unwrap().len(), 2);
    std::fs::remove_file(folder.path().join("targets/payroll.db")).unwrap();
    let broken = run(&["connectors", "test", "payroll"]);
    assert_eq!(code(&broken), 1, "{}", text(&broken.stdout));

    let data = json!({"source": {"givenName": "Ada", "sn": "Quill"}}).to_string();
    let value = run(&["hooks", "run", "display_name.rhai", "--data", &data]);
    assert_eq!(json_of(&value, 0), "Ada Quill");

    let status = json_of(&run(&["migrate", "status", "--json"]), 0);
    assert_eq!(status["migrations"][0]["applied"], true);
    assert_eq!(code(&run(&["migrate", "down", "--steps", "99"])), 0);
    let status = json_of(&run(&["migrate", "status", "--json"]), 0);
    assert_eq!(status["migrations"][0]["applied"], false);
}

#[test]
fn a_running_server_answers_the_same_verbs() {
    let folder = made();
    let settings = folder.path().join("recant.toml");
    let text_of = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text_of.replace("127.0.0.1:8480", "127.0.0.1:0")).unwrap();
    let server = Serving::start(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let url = ["--url", server.url.as_str()];
        recant(elsewhere.path(), &[&url, arguments].concat())
    };
    let made = run(&[
        "change",
        "create",
        "user/ada",
        "--data",
        &ada("Engineer"),
        "--json",
    ]);
    assert_eq!(json_of(&made, 0)["outcome"], "synced");
    let back = run(&[
        "change",
        "patch",
        "user/ada",
        "--data",
        &refused(),
        "--json",
    ]);
    let back = json_of(&back, 3);
    assert_eq!(back["outcome"], "compensated");
    let id = back["operation"].as_str().unwrap();
    let plan = json!([{"operation": "replace", "field": "/sn", "value": "King"}]).to_string();
    for (verb, expected) in [
        (&["ops", "show", id][..], 0),
        (&["ops", "list", "--outcome", "compensated"], 0),
        (&["plan", "patch", "user/ada", "--data", &plan], 0),
        (&["audit", "list", "--limit", "3"], 0),
        (&["audit", "list", "sync"], 0),
        (&["audit", "verify"], 0),
        (&["connectors", "test"], 0),
        (&["connectors", "test", "payroll"], 0),
        (&["change", "delete", "user/nobody"], 3),
        (&["ops", "heal", id], 1),
    ] {
        for form in [&[][..], &["--json"]] {
            let output = run(&[verb, form].concat());
            let told = text(&output.stderr);
            assert_eq!(code(&output), expected, "{verb:?} {form:?}: {told}");
        }
    }
    let listed = json_of(&run(&["connectors", "test", "--json"]), 0);
    assert_eq!(listed["result"].as_array().unwrap().len(), 2);
    let beside = recant(folder.path(), &["audit", "verify"]);
    assert_eq!(
        code(&beside),
        0,
        "beside the server: {}",
        text(&beside.stderr)
    );
}

/// `recant serve` on a free port.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_recant"))
            .arg("serve")
            .current_dir(folder)
            .env("RECANT_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let url = loop {
            let line = lines.next().unwrap_or_else(|| panic!("{said}")).unwrap();
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split_whitespace().next().unwrap().to_owned();
            }
            said.push_str(&line);
        };
        std::thread::spawn(move || lines.count());
        Self { child, url }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
