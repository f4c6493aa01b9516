//! What the parts of a change cost: plan, transform, hook call, journal commit, and a whole change.
//!
//! `cargo bench --bench engine`; the targets are in memory, the store is SQLite on disk.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench may fail"
)]

#[path = "../tests/it/support/target.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod target;

use std::{path::Path, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use recant::{
    app::{App, Builder},
    hooks::{Keep, Limits, Runtime, Variable},
    model::{ChangeRequest, Container, Precondition, Requested},
};
use serde_json::{Value, json};
use target::Memory;
use tokio::sync::Semaphore;

const COMPENSATE: &str = include_str!("../hooks/compensate.rhai");
const DISPLAY_NAME: &str = include_str!("../hooks/display_name.rhai");
/// Changes at once where commits are shared.
const AT_ONCE: usize = 64;

fn person(number: u64) -> Value {
    json!({"userName": "ada", "givenName": "Ada", "sn": format!("Lovelace {number}"),
        "mail": "ada@example.org", "department": "d1", "salary": 40_000 + number})
}

fn put(id: &str, number: u64) -> ChangeRequest {
    ChangeRequest {
        unseen: Vec::new(),
        container: Container::managed("user"),
        requested: Requested::Replace {
            id: id.to_owned(),
            content: person(number).as_object().cloned().unwrap(),
            precondition: Precondition::None,
        },
        caller: "bench".to_owned(),
        transaction_id: "bench".to_owned(),
        idempotency: None,
        request: json!({"method": "update"}),
    }
}

fn write_folder(folder: &Path) {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("recant.toml", "");
    let on_sync = json!({"type": "text/rhai", "source": COMPENSATE});
    let managed = json!({"objects": [{"name": "user", "onSync": on_sync,
        "schema": {"type": "object", "properties": {"userName": {"type": "string"}}}}]});
    write("conf/managed.json", &managed.to_string());
    let names = [
        "userName",
        "givenName",
        "sn",
        "mail",
        "department",
        "salary",
    ];
    let properties: Vec<Value> = names
        .iter()
        .map(|name| json!({"source": name, "target": name}))
        .collect();
    let mappings: Vec<Value> = ["t1", "t2", "t3"]
        .iter()
        .map(|name| {
            let connector = json!({"type": "custom", "objects": {"account": {}}});
            write(
                &format!("conf/connectors/{name}.json"),
                &connector.to_string(),
            );
            json!({"name": format!("user_{name}"), "source": "managed/user",
                "target": format!("system/{name}/account"), "properties": properties})
        })
        .collect();
    write("conf/sync.json", &json!({"mappings": mappings}).to_string());
}

async fn open(folder: &Path) -> App {
    write_folder(folder);
    built(folder).await
}

async fn built(folder: &Path) -> App {
    let builder = Builder::new(folder);
    let builder = ["t1", "t2", "t3"].iter().fold(builder, |builder, name| {
        builder.connector(name, Memory::new())
    });
    builder.open().await.unwrap()
}

fn parts(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let app = runtime.block_on(open(folder.path()));
    runtime.block_on(app.change(put("ada", 0))).unwrap();

    criterion.bench_function("plan of a change with three targets", |bench| {
        bench
            .to_async(&runtime)
            .iter(|| app.engine().dry_run(put("ada", 1)));
    });
    scripts(criterion, &runtime);
    let mut number = 0;
    criterion.bench_function("whole change, one at a time, in-memory targets", |bench| {
        bench.to_async(&runtime).iter(|| {
            number += 1;
            let app = app.clone();
            async move { app.change(put("ada", number)).await.unwrap() }
        });
    });
    criterion.bench_function("64 whole changes at once, in-memory targets", |bench| {
        bench.to_async(&runtime).iter(|| {
            number += 1;
            let app = app.clone();
            async move {
                let at_once = Arc::new(Semaphore::new(AT_ONCE));
                let changes = (0..AT_ONCE).map(|object| {
                    let (app, at_once) = (app.clone(), Arc::clone(&at_once));
                    tokio::spawn(async move {
                        let _permit = at_once.acquire().await.unwrap();
                        app.change(put(&format!("u{object}"), number))
                            .await
                            .unwrap()
                    })
                });
                futures::future::join_all(changes).await
            }
        });
    });
    let statistics = app.engine().store().statistics();
    println!("store: {statistics:?}");
}

/// What keeping runs of hooks costs a change, in one run: the same changes with and without, and the
/// same hook call kept and not.
fn keeping(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    for (name, keep_runs) in [("no runs kept", 0), ("100 runs kept", 100)] {
        let folder = tempfile::tempdir().unwrap();
        let app = runtime.block_on(async {
            write_folder(folder.path());
            let settings = format!("[hooks]\nkeep_runs = {keep_runs}\n");
            std::fs::write(folder.path().join("recant.toml"), settings).unwrap();
            built(folder.path()).await
        });
        let mut number = 0;
        criterion.bench_function(&format!("whole change, {name}"), |bench| {
            bench.to_async(&runtime).iter(|| {
                number += 1;
                let app = app.clone();
                async move { app.change(put("ada", number)).await.unwrap() }
            });
        });
        runtime.block_on(app.close(std::time::Duration::from_secs(5)));
    }
    let scripts = Runtime::new(Limits::default());
    let hook = scripts
        .compile("compensate.rhai", COMPENSATE, serde_json::Map::new())
        .unwrap();
    for (name, keep) in [("not kept", Keep::Nothing), ("kept", Keep::Everything)] {
        criterion.bench_function(&format!("onSync hook call, {name}"), |bench| {
            bench.to_async(&runtime).iter(|| async {
                let (run, keeping) = scripts
                    .run_keeping(("managed/user/onSync", keep), &hook, variables(), None)
                    .await;
                keeping.and_then(|keeping| keeping.kept(&hook, &run, None))
            });
        });
    }
}

fn variables() -> Vec<(&'static str, Variable)> {
    let results = json!({"success": true, "action": "notifyUpdate", "preflight": false,
        "syncDetails": []});
    vec![
        ("oldObject", Variable::Constant(person(1))),
        ("newObject", Variable::Constant(person(2))),
        ("syncResults", Variable::Constant(results)),
        ("compensating", Variable::Constant(json!(false))),
        (
            "resourceName",
            Variable::Constant(json!("managed/user/ada")),
        ),
    ]
}

fn scripts(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime) {
    let scripts = Runtime::new(Limits::default());
    let transform = scripts
        .compile("display_name.rhai", DISPLAY_NAME, serde_json::Map::new())
        .unwrap();
    let source = Variable::Constant(person(1));
    criterion.bench_function("transform, variables included", |bench| {
        bench
            .to_async(runtime)
            .iter(|| scripts.run(&transform, vec![("source", source.clone())], None));
    });
    let hook = scripts
        .compile("compensate.rhai", COMPENSATE, serde_json::Map::new())
        .unwrap();
    criterion.bench_function("onSync hook after a success, variables included", |bench| {
        bench
            .to_async(runtime)
            .iter(|| scripts.run(&hook, variables(), None));
    });
}

criterion_group!(benches, parts, keeping);
criterion_main!(benches);
