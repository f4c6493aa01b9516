//! The scripts in `hooks/`, run as a project would run them, and scripts that mean harm.
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use recant::{
    hooks::{Failure, Limits, Run, Runtime, Script, Variable},
    model::Object,
};
use serde_json::{Value, json};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks")
}

fn runtime() -> Runtime {
    Runtime::new(Limits::default())
}

fn shipped(runtime: &Runtime, name: &str) -> Script {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    runtime.compile(name, &text, Object::new()).unwrap()
}

async fn transformed(name: &str, source: Value) -> Result<Value, Failure> {
    let runtime = runtime();
    let script = shipped(&runtime, name);
    let variables = vec![("source", Variable::Constant(source))];
    runtime.run(&script, variables, None).await.result
}

/// Each transform with sources and what it makes of them.
fn examples() -> BTreeMap<&'static str, Vec<(Value, Value)>> {
    BTreeMap::from([
        (
            "display_name.rhai",
            vec![
                (
                    json!({"givenName": " Jo ", "sn": "Müller"}),
                    json!("Jo Müller"),
                ),
                (json!({"sn": "Müller"}), json!("Müller")),
                (json!({"givenName": "", "sn": null}), json!(null)),
            ],
        ),
        (
            "login_name.rhai",
            vec![
                (
                    json!({"givenName": "Jürgen", "sn": "Groß-Kreutz"}),
                    json!("j.grosskreutz"),
                ),
                (json!({"userName": " JO ", "sn": "X"}), json!("jo")),
                (
                    json!({"sn": "Abcdefghijklmnopqrstuvwxyz"}),
                    json!("abcdefghijklmnopqrst"),
                ),
                (json!({}), json!(null)),
            ],
        ),
        (
            "mail_address.rhai",
            vec![
                (json!({"mail": " Jo@Example.COM "}), json!("jo@example.com")),
                (
                    json!({"givenName": "Anna Lena", "sn": "Weiß"}),
                    json!("anna-lena.weiss@example.com"),
                ),
                (json!({"sn": "Weiß"}), json!(null)),
            ],
        ),
        (
            "phone_number.rhai",
            vec![
                (json!("(030) 123 45-67"), json!("+49301234567")),
                (json!("0041 44 123 45 67"), json!("+41441234567")),
                (json!("+1 212 555 0100"), json!("+12125550100")),
                (json!("none"), json!(null)),
                (json!(null), json!(null)),
            ],
        ),
        (
            "date_only.rhai",
            vec![
                (json!("2024-05-01T22:15:00Z"), json!("2024-05-01")),
                (json!("20240501221500Z"), json!("2024-05-01")),
                (json!(null), json!(null)),
            ],
        ),
        (
            "date_from_german.rhai",
            vec![
                (json!("01.05.2024"), json!("2024-05-01")),
                (json!("1.5.2024"), json!("2024-05-01")),
                (json!(""), json!(null)),
            ],
        ),
        (
            "date_to_ldap.rhai",
            vec![
                (json!("2024-05-01T22:15:00Z"), json!("20240501221500Z")),
                (
                    json!("2024-05-01T22:15:00.123+02:00"),
                    json!("20240501201500Z"),
                ),
                (json!("2024-05-01"), json!("20240501000000Z")),
                (json!(null), json!(null)),
            ],
        ),
        (
            "expiry_date.rhai",
            vec![
                (json!("2024-05-01"), json!("2024-07-29")),
                (json!("2024-05-01T10:00:00Z"), json!("2024-07-29")),
                (json!(null), json!(null)),
            ],
        ),
        (
            "is_active.rhai",
            vec![
                (json!("Active"), json!(true)),
                (json!("disabled"), json!(false)),
                (json!(1), json!(true)),
                (json!(false), json!(false)),
                (json!(null), json!(false)),
            ],
        ),
        (
            "status_text.rhai",
            vec![
                (json!(true), json!("active")),
                (json!(false), json!("inactive")),
                (json!(null), json!("inactive")),
            ],
        ),
        (
            "group_names.rhai",
            vec![
                (
                    json!(["staff", {"_ref": "managed/group/admins"}, "staff"]),
                    json!(["admins", "staff"]),
                ),
                (json!("b, a,,b"), json!(["a", "b"])),
                (
                    json!([{"name": "x", "_id": "1"}, {"_id": "2"}]),
                    json!(["2", "x"]),
                ),
                (json!(null), json!([])),
            ],
        ),
        (
            "group_members.rhai",
            vec![
                (
                    json!(["jo", "a,l"]),
                    json!([
                        "uid=jo,ou=people,dc=example,dc=com",
                        "uid=a\\,l,ou=people,dc=example,dc=com"
                    ]),
                ),
                (json!(null), json!([])),
            ],
        ),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_transform_does_what_its_header_says() {
    for (name, cases) in examples() {
        for (source, expected) in cases {
            let result = transformed(name, source.clone()).await;
            assert_eq!(result, Ok(expected), "{name} of {source}");
        }
    }
    let wrong = transformed("mail_address.rhai", json!({"mail": "nobody"})).await;
    assert!(
        matches!(
            wrong,
            Err(Failure::Thrown {
                code: Some(400),
                ..
            })
        ),
        "{wrong:?}"
    );
}

#[test]
fn every_shipped_script_is_tested_and_explained() {
    let known = examples();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".rhai") {
            continue;
        }
        shipped(&runtime(), &name);
        let text = fs::read_to_string(folder().join(&name)).unwrap();
        if name == "compensate.rhai" {
            continue;
        }
        assert!(
            known.contains_key(name.as_str()),
            "{name} has no examples here"
        );
        for part in ["// Source ", "// Result ", "// Example "] {
            assert!(text.contains(part), "{name} does not say `{part}`");
        }
    }
}

async fn compensate(results: Value, compensating: bool) -> Run {
    let runtime = runtime();
    let script = shipped(&runtime, "compensate.rhai");
    let variables = vec![
        ("syncResults", Variable::Constant(results)),
        ("compensating", Variable::Constant(json!(compensating))),
        ("resourceName", Variable::Constant(json!("managed/user/jo"))),
    ];
    runtime.run(&script, variables, None).await
}

fn failed(preflight: bool) -> Value {
    json!({
        "success": false,
        "action": "notifyUpdate",
        "preflight": preflight,
        "syncDetails": [
            {"mapping": "to_crm", "result": "SUCCESSFUL"},
            {"mapping": "to_mail", "result": "FAILED", "cause": {"code": 400, "message": "no room"}},
            {"mapping": "to_shop", "result": "SKIPPED"}
        ]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compensation_hook_asks_for_a_revert_only_after_a_failed_sync() {
    let run = compensate(failed(false), false).await;
    assert_eq!(run.result, Ok(Value::Null));
    assert!(run.verdict.revert);
    assert_eq!(run.log.len(), 1);
    assert_eq!(
        run.log[0].message,
        "managed/user/jo: to_mail failed (no room); asking for a revert"
    );

    for (results, compensating, level) in [
        (json!({"success": true, "syncDetails": []}), false, None),
        (failed(false), true, Some("warn")),
        (failed(true), false, Some("info")),
    ] {
        let run = compensate(results, compensating).await;
        assert_eq!(run.result, Ok(Value::Null));
        assert!(!run.verdict.revert);
        assert_eq!(run.log.first().map(|line| line.level), level);
    }
}

/// Scripts that try to take the process, a thread or the memory, and the limit that stops each.
const HARMFUL: [(&str, &str); 18] = [
    ("loop {}", "operations"),
    ("loop { try { loop {} } catch {} }", "operations"),
    (
        "fn f(n) { [3, 1, 2].sort_by(|x, y| f(n)) } f(1)",
        "operations",
    ),
    ("fn f() { f() } f()", "call depth"),
    ("fn f(n) { [1].map(|x| f(n)) } f(1)", "call depth"),
    ("let a = []; loop { a = [a]; }", "nesting"),
    (
        "let a = []; loop { a = [[[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]]]; a == a; }",
        "nesting",
    ),
    ("let a = #{}; loop { a.x = a; a.to_string(); }", "nesting"),
    (
        "let a = []; a.pad(9999, 0); a.reduce(|x, y| [x], [])",
        "nesting",
    ),
    (
        "let f = || 1; loop { let g = f; f = || g.call(); }",
        "nesting",
    ),
    (
        "let a = []; let s = \"\"; s.pad(1000000, \"x\"); loop { let t = s + \"y\"; a.push(|| t); }",
        "memory",
    ),
    ("let s = \"x\"; loop { s += s; }", "string size"),
    (
        "let s = \"\"; s.pad(1000000, \"x\"); s.replace(\"x\", s)",
        "string size",
    ),
    ("\"x\".pad_left(9223372036854775807, \"ab\")", "string size"),
    (
        "let a = []; a.pad(99999, \"abcdefghijk\"); to_json(a)",
        "string size",
    ),
    (
        "let s = \"\"; s.pad(1000000, \"x\"); s.split(\"\")",
        "array size",
    ),
    (
        "let a = []; a.pad(300, 0); a.map(|x| { let s = \"\"; s.pad(1000000, \"x\"); s })",
        "array size",
    ),
    ("let m = #{}; loop { m = #{a: m, b: m}; }", "map size"),
];

#[tokio::test(flavor = "multi_thread")]
async fn harmful_scripts_are_stopped_by_a_limit() {
    let runtime = runtime();
    for (text, expected) in HARMFUL {
        let script = runtime.compile("harm.rhai", text, Object::new()).unwrap();
        // On a worker, whose stack is the smallest that scripts get.
        let worker = runtime.clone();
        let run = tokio::spawn(async move { worker.run(&script, Vec::new(), None).await });
        match run.await.unwrap().result {
            Err(Failure::Limit { limit, script, .. }) => {
                assert_eq!((limit, script.as_str()), (expected, "harm.rhai"), "{text}");
            }
            other => panic!("{text}: expected the limit on {expected}, got {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_is_within_reach() {
    let runtime = runtime();
    for text in [
        "eval(\"1\")",
        "import \"/etc/passwd\" as x;",
        "let f = |x| x; f.curry(1)",
        "timestamp()",
        "open_file(\"/etc/passwd\")",
        "let x = 1; fn f() { this }",
    ] {
        let compiled = runtime.compile("reach.rhai", text, Object::new());
        assert!(compiled.is_err(), "{text} compiles");
    }
    for text in ["sleep(1)", "sleep(0.5)", "read(\"managed/user/jo\")"] {
        let script = runtime.compile("reach.rhai", text, Object::new()).unwrap();
        let result = runtime.run(&script, Vec::new(), None).await.result;
        assert!(
            matches!(result, Err(Failure::Error { .. })),
            "{text}: {result:?}"
        );
    }
}

/// Scripts that never end keep no worker of the runtime from other work.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_long_script_does_not_hold_the_runtime() {
    let runtime = Runtime::new(Limits {
        operations: u64::MAX,
        wall_time: Duration::from_millis(700),
        ..Limits::default()
    });
    let script = Arc::new(
        runtime
            .compile("long.rhai", "loop {}", Object::new())
            .unwrap(),
    );
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (runtime, script) = (runtime.clone(), Arc::clone(&script));
            tokio::spawn(async move { runtime.run(&script, Vec::new(), None).await })
        })
        .collect();
    let quick = runtime
        .compile("quick.rhai", "1 + 1", Object::new())
        .unwrap();
    let other = runtime.clone();
    let quick = tokio::spawn(async move { other.run(&quick, Vec::new(), None).await });
    assert_eq!(quick.await.unwrap().result, Ok(json!(2)));
    assert!(runs.iter().any(|run| !run.is_finished()));
    for run in runs {
        assert!(matches!(
            run.await.unwrap().result,
            Err(Failure::Limit {
                limit: "wall time",
                ..
            })
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_at_once_do_not_disturb_one_another() {
    let runtime = runtime();
    let text = "log_info(source); object.n = source; delete(`managed/user/${source}`); source * 2";
    let script = Arc::new(runtime.compile("many.rhai", text, Object::new()).unwrap());
    let runs: Vec<_> = (0..200)
        .map(|number| {
            let (runtime, script) = (runtime.clone(), Arc::clone(&script));
            tokio::spawn(async move {
                let variables = vec![
                    ("source", Variable::Constant(json!(number))),
                    ("object", Variable::Mutable(vec!["object"], json!({}))),
                ];
                (number, runtime.run(&script, variables, None).await)
            })
        })
        .collect();
    for run in runs {
        let (number, run) = run.await.unwrap();
        assert_eq!(run.result, Ok(json!(number * 2)));
        assert_eq!(run.variables["object"], json!({"n": number}));
        assert_eq!(run.log[0].message, number.to_string());
        assert_eq!(run.verdict.follow_ups.len(), 1);
    }
}

/// `cargo test … -- --ignored --nocapture keeping_runs_costs_little`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
#[expect(clippy::print_stdout, reason = "it measures")]
async fn keeping_runs_costs_little() {
    const RUNS: usize = 20_000;
    let details: Vec<Value> = (0..3)
        .map(|number| {
            json!({"mapping": format!("m{number}"), "result": "SUCCESSFUL", "situation": "CONFIRMED",
                "oldTargetValue": {"name": "Ann", "title": "Engineer"},
                "newTargetValue": {"name": "Ann", "title": "Director"}})
        })
        .collect();
    let object =
        json!({"_id": "1", "_rev": "2", "userName": "ann", "title": "Director", "mail": "a@x"});
    for most in [0, 100, 0, 100] {
        let runtime = runtime();
        runtime.keeper().keep(most);
        let script = shipped(&runtime, "compensate.rhai");
        let begun = std::time::Instant::now();
        let mut kept = 0;
        for _ in 0..RUNS {
            let results = json!({"success": true, "preflight": false, "syncDetails": details});
            let variables = vec![
                ("oldObject", Variable::Constant(object.clone())),
                ("newObject", Variable::Constant(object.clone())),
                ("syncResults", Variable::Constant(results)),
                ("compensating", Variable::Constant(json!(false))),
            ];
            let hook = "managed/user/onSync";
            let keep = runtime.keeper().begin(hook);
            let (run, keeping) = runtime
                .run_keeping((hook, keep), &script, variables, None)
                .await;
            kept += usize::from(
                keeping
                    .and_then(|it| it.kept(&script, &run, None))
                    .is_some(),
            );
        }
        let each = begun.elapsed() / u32::try_from(RUNS).unwrap();
        println!("keep_runs {most}: {each:?} a run, {kept} of {RUNS} kept");
    }
}
