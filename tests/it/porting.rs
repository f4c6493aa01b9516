//! The porting guide: every script on it compiles, and does what stands behind it.
use std::{fs, path::Path};

use recant::{
    hooks::{
        Limits,
        cases::{Bench, differences},
    },
    model::{
        Object,
        hook_run::{Ended, Inputs, Read},
    },
};
use serde_json::{Value, json};

fn hooks() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks")
}

/// Each script of the page with the comment behind it.
fn scripts(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in page.split("```rhai\n").skip(1) {
        let (script, rest) = part.split_once("```\n").unwrap();
        let comment = rest.lines().next().unwrap();
        let comment = comment
            .strip_prefix("<!-- ")
            .and_then(|text| text.strip_suffix(" -->"));
        let comment = comment.unwrap_or_else(|| panic!("nothing is said about\n{script}"));
        found.push((script.to_owned(), comment.to_owned()));
    }
    found
}

async fn ended(script: &str, given: &Value) -> Ended {
    let bench = Bench::new(Limits::default());
    let compiled = bench.compile("page", script, Object::new());
    let compiled = compiled.unwrap_or_else(|error| panic!("{error}\n{script}"));
    let mut variables = given.as_object().cloned().unwrap();
    let reads = variables.remove("read").unwrap_or(json!({}));
    let reads = reads
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, answer)| Read {
            path: path.clone(),
            filter: None,
            answer: answer.clone(),
            error: None,
        });
    let inputs = Inputs {
        mutable: variables
            .keys()
            .filter(|name| *name == "object")
            .cloned()
            .collect(),
        variables,
        reads: reads.collect(),
    };
    let (run, _) = bench.run(&compiled, &inputs, None).await.unwrap();
    run.ended()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_script_of_the_guide_does_what_stands_behind_it() {
    let page = fs::read_to_string(hooks().join("PORTING.md")).unwrap();
    let scripts = scripts(&page);
    assert!(scripts.len() > 8, "only {} scripts", scripts.len());
    for (script, comment) in &scripts {
        let Some((given, expected)) = comment.split_once(" gives ") else {
            assert_eq!(comment, "the compensation");
            continue;
        };
        let given: Value = serde_json::from_str(given).unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        let ended = ended(script, &given).await;
        assert_eq!(ended.verdict, "accept", "{script}\n{ended:?}");
        assert_eq!(ended.result, expected, "{script}");
        if script.contains("create(") {
            assert_eq!(ended.asks[0]["path"], "managed/badge");
            assert_eq!(ended.changed["object"]["displayName"], "Ada King");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worked_example_decides_as_the_hook_that_ships() {
    let page = fs::read_to_string(hooks().join("PORTING.md")).unwrap();
    let example = scripts(&page)
        .into_iter()
        .find(|(_, comment)| comment == "the compensation");
    let (example, _) = example.unwrap();
    let shipped = fs::read_to_string(hooks().join("compensate.rhai")).unwrap();
    let mut verdicts = Vec::new();
    for (success, preflight, compensating) in [
        (true, false, false),
        (false, true, false),
        (false, false, false),
        (false, false, true),
    ] {
        let given = json!({
            "syncResults": {"success": success, "preflight": preflight, "action": "notifyUpdate",
                "syncDetails": [{"mapping": "m", "result": "FAILED", "cause": null}]},
            "compensating": compensating,
            "resourceName": "managed/user/ann",
        });
        let (ours, theirs) = (ended(&example, &given).await, ended(&shipped, &given).await);
        assert_eq!(differences(&ours, &theirs), []);
        verdicts.push(ours.verdict);
    }
    assert_eq!(verdicts, ["accept", "accept", "revert", "accept"]);
}

/// The words of the table are functions that there are.
#[test]
fn every_function_of_the_table_is_there() {
    let page = fs::read_to_string(hooks().join("PORTING.md")).unwrap();
    let (_, table) = page.split_once("| JavaScript | Rhai |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let known: Vec<String> = recant::hooks::Runtime::new(Limits::default())
        .functions()
        .into_iter()
        .map(|function| function.name)
        .collect();
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        let rhai = row.rsplit(" | ").next().unwrap();
        for (before, _) in rhai.match_indices('(').map(|(at, _)| rhai.split_at(at)) {
            let word: String = before
                .chars()
                .rev()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect();
            let name: String = word.chars().rev().collect();
            // The one that the language itself knows, and the one of the table.
            let own = ["", "f", "type_of"].contains(&name.as_str());
            assert!(own || known.contains(&name), "`{name}` in {row}");
        }
    }
}
