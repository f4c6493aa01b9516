//! Hooks on the command line: cases that hold or not, recorded runs, and a changed hook before it goes live.
use std::path::Path;

use serde_json::{Value, json};

use super::{code, folder, json as json_of, recant, text};

fn write(folder: &Path, file: &str, content: &str) {
    std::fs::write(folder.join(file), content).unwrap();
}

const GREETING: &str = "log_info(`for ${newObject.userName}`);
object.displayName = prefix + lower(object.userName);
if read(\"managed/group/staff\") == () { throw #{code: 403, message: \"no staff\"}; }
";

fn greeting_cases(prefix: &str) -> String {
    json!({"cases": [
        {
            "name": "a name is made",
            "hook": "managed/user/onCreate",
            "globals": {"prefix": prefix},
            "variables": {"object": {"userName": "ANN"}},
            "reads": [{"path": "managed/group/staff", "answer": {"_id": "staff"}}],
            "expect": {
                "verdict": "accept",
                "changed": {"object": {"userName": "ANN", "displayName": "x-ann"}},
                "log": ["info: for ANN"],
            },
        },
        {
            "name": "without staff it is refused",
            "hook": "managed/user/onCreate",
            "globals": {"prefix": prefix},
            "variables": {"object": {"userName": "ANN"}},
            "reads": [{"path": "managed/group/staff", "answer": null}],
            "expect": {"verdict": "reject", "throws": {"code": 403}},
        },
    ]})
    .to_string()
}

#[test]
fn cases_beside_a_script_hold_or_tell_where_they_do_not() {
    let folder = folder::made();
    let here = folder.path();
    write(here, "hooks/greeting.rhai", GREETING);
    write(here, "hooks/greeting.cases.json", &greeting_cases("x-"));
    let report = json_of(&recant(here, &["hooks", "test", "--json"]), 0);
    assert_eq!(
        (&report["cases"], &report["failed"]),
        (&json!(2), &json!(0))
    );

    write(here, "hooks/greeting.cases.json", &greeting_cases("y-"));
    let failed = recant(here, &["hooks", "test", "greeting.rhai"]);
    let printed = text(&failed.stdout);
    assert_eq!(code(&failed), 1, "{printed}");
    for part in [
        "FAILED",
        "a name is made",
        "changed.object.displayName",
        "expected  \"x-ann\"",
        "found     \"y-ann\"",
        "log  info: for ANN",
        "1 passed, 1 failed",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let only = recant(
        here,
        &["hooks", "test", "--case", "without staff", "--json"],
    );
    assert_eq!(json_of(&only, 0)["cases"], 1);

    // A read that the case does not answer, a script that is wrong, a file that is no cases.
    let unanswered = greeting_cases("x-").replace("managed/group/staff", "managed/group/other");
    write(here, "hooks/greeting.cases.json", &unanswered);
    let told = recant(here, &["hooks", "test"]);
    assert!(text(&told.stdout).contains("read(\"managed/group/staff\") has no answer"));
    write(here, "hooks/greeting.rhai", "object.name = ;");
    let told = recant(here, &["hooks", "test"]);
    assert_eq!(code(&told), 1);
    assert!(
        text(&told.stdout).contains("greeting.rhai:1:15"),
        "{}",
        text(&told.stdout)
    );
    for wrong in [
        "{}",
        r#"{"cases": [{"name": "x", "expects": {}}]}"#,
        r#"{"cases": [{"name": "x", "expect": {}}]}"#,
    ] {
        write(here, "hooks/greeting.cases.json", wrong);
        assert_eq!(code(&recant(here, &["hooks", "test"])), 1, "{wrong}");
    }
    assert_eq!(code(&recant(here, &["hooks", "test", "nothing.rhai"])), 1);
}

#[test]
fn recorded_runs_become_cases_and_a_changed_hook_is_tried_on_them() {
    let folder = folder::made();
    let here = folder.path();
    let ada = folder::ada("Engineer");
    let made = json_of(
        &recant(
            here,
            &["change", "create", "user/ada", "--data", &ada, "--json"],
        ),
        0,
    );
    let refused = folder::refused();
    let back = recant(
        here,
        &["change", "patch", "user/ada", "--data", &refused, "--json"],
    );
    let back = json_of(&back, 3);
    let operation = back["operation"].as_str().unwrap();

    let runs = json_of(&recant(here, &["hooks", "runs", "--json"]), 0);
    let runs = runs["result"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "{runs:#?}");
    assert_eq!(
        (&runs[0]["verdict"], &runs[1]["verdict"]),
        (&json!("revert"), &json!("accept"))
    );
    assert!(runs[0]["operations"].as_u64().unwrap() > 0);
    assert_eq!(runs[0]["hook"], "managed/user/onSync");

    // A case is written beside the script, twice if asked twice, and holds.
    for _ in 0..2 {
        let written = recant(
            here,
            &[
                "hooks",
                "record",
                operation,
                "--hook",
                "onSync",
                "--name",
                "a refusal is taken back",
            ],
        );
        assert_eq!(code(&written), 0, "{}", text(&written.stderr));
    }
    let cases = std::fs::read_to_string(here.join("hooks/compensate.cases.json")).unwrap();
    assert_eq!(cases.matches("a refusal is taken back").count(), 2);
    let held = recant(here, &["hooks", "test"]);
    assert_eq!(code(&held), 0, "{}", text(&held.stdout));
    let unknown = made["operation"].as_str().unwrap().replace('1', "2");
    assert_eq!(code(&recant(here, &["hooks", "record", &unknown])), 1);

    // The hook as it is decides as before; one that lets everything stand does not.
    let same = json_of(
        &recant(here, &["hooks", "backtest", "compensate.rhai", "--json"]),
        0,
    );
    assert_eq!((&same["runs"], &same["same"]), (&json!(2), &json!(2)));
    write(
        here,
        "lenient.rhai",
        "if syncResults.success { return; }\nlog_info(\"left\");\n",
    );
    let lenient = [
        "hooks",
        "backtest",
        "lenient.rhai",
        "--as",
        "compensate.rhai",
    ];
    let otherwise = recant(here, &lenient);
    let printed = text(&otherwise.stdout);
    assert_eq!(code(&otherwise), 1, "{printed}");
    assert!(
        printed.contains("verdict: \"revert\" before, \"accept\" now"),
        "{printed}"
    );
    assert!(
        printed.contains("2 runs: 1 as before, 1 otherwise"),
        "{printed}"
    );
    let one = json_of(
        &recant(
            here,
            &[&lenient[..], &["--against", "1", "--json"]].concat(),
        ),
        1,
    );
    assert_eq!((&one["runs"], &one["different"]), (&json!(1), &json!(1)));
    // What the runs did not read cannot be told.
    write(
        here,
        "reading.rhai",
        "if read(\"managed/user/boss\") == () { revert(); }\n",
    );
    let reading = [
        "hooks",
        "backtest",
        "reading.rhai",
        "--as",
        "compensate.rhai",
        "--json",
    ];
    let reading = json_of(&recant(here, &reading), 1);
    assert_eq!(reading["unknown"], 2);
    assert!(
        reading["results"][0]["unknown"]
            .as_str()
            .unwrap()
            .contains("managed/user/boss")
    );
    write(here, "broken.rhai", "if {");
    let broken = [
        "hooks",
        "backtest",
        "broken.rhai",
        "--as",
        "compensate.rhai",
    ];
    assert_eq!(code(&recant(here, &broken)), 1);
    // Nothing was carried out.
    let changes = json_of(&recant(here, &["ops", "list", "--json"]), 0);
    assert_eq!(changes["result"].as_array().map_or(0, Vec::len), 3);
}

#[test]
fn a_run_tells_what_it_logged_and_took_and_docs_are_there() {
    let here = tempfile::tempdir().unwrap();
    let folder = folder::made();
    write(folder.path(), "hooks/try.rhai", "log_warn(\"look\"); n + 1");
    let ran = recant(
        folder.path(),
        &["hooks", "run", "try.rhai", "--data", r#"{"n": 4}"#],
    );
    assert_eq!(text(&ran.stdout).trim(), "5");
    let aside = text(&ran.stderr);
    assert!(
        aside.contains("warn: look") && aside.contains("operations"),
        "{aside}"
    );
    let traced = [
        "hooks",
        "run",
        "try.rhai",
        "--data",
        r#"{"n": 4}"#,
        "--trace",
    ];
    let traced = json_of(&recant(folder.path(), &traced), 0);
    assert_eq!(
        (&traced["result"], &traced["log"]),
        (&json!(5), &json!(["warn: look"]))
    );
    write(folder.path(), "wrong.rhai", "let a = ();\na.b");
    let wrong = recant(folder.path(), &["hooks", "run", "wrong.rhai"]);
    assert_eq!(code(&wrong), 1);
    assert!(
        text(&wrong.stderr).contains("line 2, column 3"),
        "{}",
        text(&wrong.stderr)
    );

    let docs = text(&recant(here.path(), &["hooks", "docs"]).stdout);
    assert!(docs.contains("### `syncResults`") && docs.contains("### `format_date`"));
    let plain = ["hooks", "docs", "revert", "--format", "plain"];
    let plain = text(&recant(here.path(), &plain).stdout);
    assert!(
        plain.contains("revert()") && !plain.contains('#'),
        "{plain}"
    );
    let list = ["hooks", "docs", "compensating", "--json"];
    assert_eq!(
        json_of(&recant(here.path(), &list), 0)["variables"][0]["name"],
        "compensating"
    );
    let files = recant(here.path(), &["hooks", "definitions", "d", "--json"]);
    assert_eq!(json_of(&files, 0)["files"].as_array().unwrap().len(), 3);
    let schema = std::fs::read(here.path().join("d/cases.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let cases: Value = serde_json::from_str(&greeting_cases("x-")).unwrap();
    assert!(validator.is_valid(&cases));
    assert!(!validator.is_valid(&json!({"cases": [{"name": "x"}]})));
}
