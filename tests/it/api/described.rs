//! The API keeps to its description, whatever is sent: schemathesis from PyPI tries every endpoint.
use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;

use super::access::client;
use crate::support::{folder::Folder, server::Running, servers};

/// What is looked at in every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,\
    allow_header_conformance";
/// How long it may try, in seconds.
const BUDGET: u64 = 60;

/// Names that lead somewhere, so that more is reached than the first refusal.
const NAMES: &str = r#"
[parameters]
"path.type" = ["user", "nobody"]
"path.id" = ["ann", "018f0000-0000-7000-8000-000000000001", "%2F", "é"]
"path.topic" = ["access", "activity", "sync", "compensation", "recon", "config"]
"path.name" = ["payroll", "badges"]
"path.class" = ["employee", "badge"]
"path.connector" = ["directory", "payroll"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_breaks_the_server_or_its_word() {
    let Some(program) = servers::schemathesis() else {
        return;
    };
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let root = client(&server.app, &server.client, &["admin"]).await;
    let user = json!({"userName": "Ann", "salary": 1});
    root.json("PUT", "/managed/user/ann", &user)
        .await
        .expect(201);
    let (token, _) = server
        .app
        .make_token("fuzz", &["admin".into()], None)
        .await
        .unwrap();
    let header = format!(
        "Authorization: Bearer {}",
        secrecy::ExposeSecret::expose_secret(&token)
    );
    for (settings, seed) in [("", "1"), (NAMES, "2")] {
        folder.write("schemathesis.toml", settings);
        let mut command = Command::new(&program);
        command
            .arg("--config-file")
            .arg(folder.path().join("schemathesis.toml"))
            .args(["run", &format!("http://{}/openapi.json", server.address)])
            .args([
                "--phases",
                "examples,coverage,fuzzing",
                "--max-examples",
                "4",
            ])
            .args(["--max-time", &(BUDGET / 2).to_string(), "--seed", seed])
            .args(["--continue-on-failure", "--no-shrink", "--warnings", "off"])
            .args([
                "--request-timeout",
                "20",
                "--checks",
                CHECKS,
                "--header",
                &header,
            ])
            .current_dir(folder.path())
            .stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || command.output()).await;
        let ran = ran.unwrap().unwrap();
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(
            ran.status.success(),
            "{told}\n{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        assert!(
            told.contains("passed") && !told.contains(" failed"),
            "{told}"
        );
    }
    tokio::time::timeout(Duration::from_secs(30), root.get("/health/ready"))
        .await
        .unwrap()
        .expect(200);
    server.stop().await;
}
