//! The program as its users start it: verbs, output and exit codes.
mod cases;
mod demo;
mod folder;
mod integrations;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// Runs `recant` in a folder.
fn recant(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_recant"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RECANT_URL")
        .env_remove("RECANT_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The JSON that the program printed; it must have ended with `expected`.
fn json(output: &Output, expected: i32) -> Value {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(output), expected, "stdout: {out}\nstderr: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\nstderr: {err}"))
}

#[test]
fn a_wrong_command_line_is_2_and_help_is_0() {
    let here = tempfile::tempdir().unwrap();
    for wrong in [
        &["chnge"][..],
        &["change", "delete", "user"],
        &["change", "create", "user", "--data", "{"],
        &["ops", "show", "not-an-id", "--url", "http://127.0.0.1:1"],
        &["ops", "list", "--url", "ftp://127.0.0.1"],
    ] {
        let output = recant(here.path(), wrong);
        assert_eq!(code(&output), 2, "{wrong:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{wrong:?}");
        assert!(!output.stderr.is_empty(), "{wrong:?}");
    }
    let help = recant(here.path(), &["--help"]);
    assert_eq!(code(&help), 0);
    assert!(text(&help.stdout).contains("Exit codes"));
}

#[test]
fn a_server_that_does_not_answer_is_1_and_named() {
    let here = tempfile::tempdir().unwrap();
    let unanswered = ["ops", "list", "--url", "http://127.0.0.1:1/"];
    let output = recant(here.path(), &unanswered);
    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("127.0.0.1:1"));
    let output = recant(here.path(), &[&unanswered[..], &["--json"]].concat());
    assert_eq!(code(&output), 1);
    let report: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(report["message"].is_string());
}

#[test]
fn a_folder_that_is_none_is_told_without_a_store() {
    let here = tempfile::tempdir().unwrap();
    let output = recant(here.path(), &["--dir", "nowhere", "check", "--json"]);
    let report = json(&output, 1);
    assert_eq!(report["problems"][0]["severity"], "error");
    let output = recant(here.path(), &["--dir", "nowhere", "check"]);
    assert!(text(&output.stdout).starts_with("error "));
    assert_eq!(
        here.path().read_dir().unwrap().count(),
        0,
        "nothing was made"
    );
}

#[test]
fn there_are_completions_for_every_shell() {
    let here = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = recant(here.path(), &["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(text(&output.stdout).contains("heal"), "{shell}");
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let here = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_recant"))
        .args(["completions", "bash"])
        .current_dir(here.path())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(code(&output), 0);
}

#[test]
fn scripts_are_checked_with_their_place() {
    let here = tempfile::tempdir().unwrap();
    let hooks = here.path().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    std::fs::write(hooks.join("good.rhai"), "1 + 1").unwrap();
    assert_eq!(code(&recant(here.path(), &["hooks", "check"])), 0);
    std::fs::write(hooks.join("bad.rhai"), "let a = 1;\nlet b = ;\n").unwrap();
    let report = json(&recant(here.path(), &["hooks", "check", "--json"]), 1);
    assert_eq!(report["scripts"], 2);
    assert_eq!(report["problems"][0]["line"], 2);
    let named = recant(here.path(), &["hooks", "check", "good.rhai"]);
    assert_eq!(code(&named), 0, "{}", text(&named.stderr));
}
