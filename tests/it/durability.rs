//! One durable commit is waited for per change, whatever the number of targets; concurrent changes share them.
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;

use crate::support::world::{Shape, World, put};

const CHANGES: u64 = 40;

#[test]
fn the_number_of_targets_does_not_change_the_number_of_commits() {
    let commits = |targets: usize| {
        let world = World::new(&Shape {
            targets,
            ..Shape::default()
        });
        let process = world.start();
        let before = process.app.engine().store().statistics().commits;
        for number in 0..CHANGES {
            process
                .change(put("x", json!({"name": format!("n{number}")})))
                .unwrap();
        }
        let commits = process.app.engine().store().statistics().commits - before;
        process.crash();
        commits
    };
    for targets in [1, 6] {
        let commits = commits(targets);
        // The journal's commit of each change carries the end of the one before it; now and then
        // a slow machine lets an end go by itself.
        assert!(
            (CHANGES..CHANGES + CHANGES / 2).contains(&commits),
            "{commits} for {CHANGES}"
        );
    }
}

#[test]
fn concurrent_changes_share_commits() {
    let world = World::new(&Shape::default());
    let process = world.start();
    let before = process.app.engine().store().statistics().commits;
    process.run(async {
        let changes = (0..256).map(|number| {
            let (app, id) = (process.app.clone(), format!("u{}", number % 64));
            tokio::spawn(async move {
                app.change(put(&id, json!({"name": format!("n{number}")})))
                    .await
                    .unwrap()
            })
        });
        futures::future::join_all(changes).await
    });
    let commits = process.app.engine().store().statistics().commits - before;
    assert!(commits < 128, "{commits} commits for 256 changes");
    process.crash();
}

/// Counts what the operating system is asked to flush, if `strace` is there to count it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_flushes_the_disk_once() {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        assert_ne!(
            std::env::var("RECANT_TEST_REQUIRE").as_deref(),
            Ok("1"),
            "strace is missing"
        );
        let left_out = "LEFT OUT: a_change_flushes_the_disk_once: there is no strace\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), left_out.as_bytes());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let target = crate::support::rest::RestTarget::start().await;
    write_folder(folder.path(), port, &target.url());
    let trace = folder.path().join("trace");
    let mut server = traced(folder.path(), &trace);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    until_ready(&http, &url).await;
    let address = format!("{url}/managed/user/x");
    let change = async |number: u64| {
        let body = json!({"name": format!("n{number}")});
        let answer = http.put(&address).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    };
    change(0).await;
    let before = flushes(&trace);
    for number in 1..=CHANGES {
        change(number).await;
    }
    let flushed = flushes(&trace) - before;
    server.kill().unwrap();
    server.wait().unwrap();
    // A checkpoint of the write-ahead log, a renewed lease or a late end may add a few.
    assert!(
        (CHANGES..CHANGES * 3 / 2 + 8).contains(&flushed),
        "{flushed} for {CHANGES} changes"
    );
}

fn traced(folder: &Path, trace: &Path) -> Child {
    Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(trace)
        .arg(env!("CARGO_BIN_EXE_recant"))
        .args(["serve", "--dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn flushes(trace: &Path) -> u64 {
    let text = std::fs::read_to_string(trace).unwrap();
    let calls = text
        .lines()
        .filter(|line| line.contains("sync(") && !line.contains("resumed"));
    calls.count() as u64
}

async fn until_ready(http: &reqwest::Client, url: &str) {
    for _ in 0..1_000 {
        let ready = http.get(format!("{url}/health/ready")).send().await;
        if ready.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not become ready");
}

fn write_folder(folder: &Path, port: u16, target: &str) {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write(
        "recant.toml",
        &format!("[server]\nlisten = \"127.0.0.1:{port}\"\n"),
    );
    let managed = json!({"objects": [{"name": "user",
        "schema": {"type": "object", "properties": {"name": {"type": "string"}}}}]});
    write("conf/managed.json", &managed.to_string());
    let mappings: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| {
            let connector = json!({"type": "rest", "baseUrl": target, "objects": {"person":
                {"path": "/people", "idAttribute": "id", "create": "put", "update": "put"}}});
            write(
                &format!("conf/connectors/{name}.json"),
                &connector.to_string(),
            );
            // One service stands for three targets, so each has ids of its own.
            let id = json!({"type": "text/rhai", "source": format!("source._id + \"-{name}\"")});
            json!({"name": format!("user_{name}"), "source": "managed/user",
                "target": format!("system/{name}/person"), "properties": [
                    {"source": "", "target": "_id", "transform": id},
                    {"source": "name", "target": "name"}]})
        })
        .collect();
    write("conf/sync.json", &json!({"mappings": mappings}).to_string());
}
