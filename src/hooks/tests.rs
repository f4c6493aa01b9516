//! Tests of running scripts: variables, verdicts, failures and limits.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::model::{Filter, Object};

/// Knows one object, and one path that never answers.
#[derive(Debug)]
struct OneObject;

#[async_trait]
impl Reader for OneObject {
    async fn read(&self, path: &str) -> Result<Option<Object>, String> {
        match path {
            "managed/user/jo" => Ok(json!({"_id": "jo", "mail": "jo@example.com"})
                .as_object()
                .cloned()),
            "managed/user/slow" => std::future::pending().await,
            "managed/user/broken" => Err("the store does not answer".to_owned()),
            _ => Ok(None),
        }
    }

    async fn query(&self, container: &str, filter: &Filter) -> Result<Vec<Object>, String> {
        let found = self.read(&format!("{container}/jo")).await?;
        Ok(found
            .into_iter()
            .filter(|object| filter.matches(object))
            .collect())
    }
}

fn short() -> Limits {
    Limits {
        wall_time: Duration::from_millis(500),
        ..Limits::default()
    }
}

async fn run_with(limits: Limits, text: &str, variables: Variables) -> Run {
    let runtime = Runtime::new(limits);
    let script = runtime.compile("t.rhai", text, Object::new()).unwrap();
    runtime
        .run(&script, variables, Some(Arc::new(OneObject)))
        .await
}

async fn run(text: &str, variables: Variables) -> Run {
    run_with(Limits::default(), text, variables).await
}

async fn value(text: &str) -> Value {
    run(text, Vec::new()).await.result.unwrap()
}

async fn failure(text: &str) -> Failure {
    run(text, Vec::new()).await.result.unwrap_err()
}

fn constant(value: Value) -> Variable {
    Variable::Constant(value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_sees_its_variables_and_answers_with_a_value() {
    let run = run(
        "source.name.to_upper() + \" \" + (source.age + 1)",
        vec![("source", constant(json!({"name": "Jo", "age": 41})))],
    )
    .await;
    assert_eq!(run.result.unwrap(), json!("JO 42"));
    assert!(run.operations > 0);
}

#[tokio::test]
async fn a_runtime_with_one_thread_runs_scripts_and_reads_too() {
    assert_eq!(
        value("read(\"managed/user/jo\").mail").await,
        json!("jo@example.com")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_attribute_is_unit() {
    let run = run(
        "source.nothing == ()",
        vec![("source", constant(json!({})))],
    )
    .await;
    assert_eq!(run.result.unwrap(), json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_names_of_a_mutable_variable_stand_for_one_value() {
    let variables = || {
        vec![(
            "object",
            Variable::Mutable(vec!["object", "newObject"], json!({"a": 1})),
        )]
    };
    let changed = run("object.b = 2; newObject.c = newObject.b + 1;", variables()).await;
    assert_eq!(changed.variables["object"], json!({"a": 1, "b": 2, "c": 3}));
    let assigned = run("newObject = #{x: object.a};", variables()).await;
    assert_eq!(assigned.variables["object"], json!({"x": 1}));
    let both = run(
        "object = #{x: 1}; newObject.y = 2; object.x += 1;",
        variables(),
    )
    .await;
    assert_eq!(both.variables["object"], json!({"x": 2, "y": 2}));
    let untouched = run("1", variables()).await;
    assert_eq!(untouched.variables["object"], json!({"a": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_and_closures_see_the_variables_too() {
    let variables = vec![
        ("source", constant(json!({"name": "Jo"}))),
        (
            "object",
            Variable::Mutable(vec!["object", "newObject"], json!({"a": 1})),
        ),
    ];
    let text = "fn fill() { object.b = source.name; newObject.c = object.b; }
        fill();
        [\"Jo\", \"Al\"].filter(|name| name == source.name)";
    let run = run(text, variables).await;
    assert_eq!(run.result.unwrap(), json!(["Jo"]));
    assert_eq!(
        run.variables["object"],
        json!({"a": 1, "b": "Jo", "c": "Jo"})
    );
    for text in [
        "fn f() { source.name = 1 } f()",
        "fn f() { source = 1 } f()",
    ] {
        let variables = vec![("source", constant(json!({"name": "Jo"})))];
        let failure = self::run(text, variables).await.result.expect_err(text);
        assert!(matches!(failure, Failure::Error { .. }), "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_script_leaves_what_it_changed_and_asked_for() {
    let run = run(
        "object.a = 2; revert(); delete(\"managed/user/x\"); throw \"no\"",
        vec![("object", Variable::Mutable(vec!["object"], json!({"a": 1})))],
    )
    .await;
    assert!(run.verdict.revert);
    assert_eq!(
        run.verdict.follow_ups,
        [FollowUp::Delete {
            path: "managed/user/x".to_owned()
        }]
    );
    assert_eq!(run.variables["object"], json!({"a": 2}));
    assert_eq!(
        run.result.unwrap_err(),
        Failure::Thrown {
            code: None,
            message: "no".to_owned(),
            detail: None
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn constants_cannot_be_changed() {
    for text in ["source = 1", "source.a = 1", "fixed = 2"] {
        let runtime = Runtime::new(Limits::default());
        let globals = json!({"fixed": 1}).as_object().cloned().unwrap();
        let script = runtime.compile("t.rhai", text, globals).unwrap();
        let variables = vec![("source", constant(json!({"a": 0})))];
        let failure = runtime
            .run(&script, variables, None)
            .await
            .result
            .expect_err(text);
        assert!(
            matches!(failure, Failure::Error { line: 1, .. }),
            "{text}: {failure}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_keep_their_order() {
    let run = run(
        r#"create("managed/user", #{a: 1});
           update("managed/user/1", #{a: 2});
           patch("managed/user/2", [#{operation: "replace", field: "/a", value: 3}]);
           delete("managed/user/3");"#,
        Vec::new(),
    )
    .await;
    run.result.unwrap();
    let kinds: Vec<_> = run
        .verdict
        .follow_ups
        .iter()
        .map(|follow_up| match follow_up {
            FollowUp::Create { path, .. } => format!("create {path}"),
            FollowUp::Update { path, .. } => format!("update {path}"),
            FollowUp::Patch { path, .. } => format!("patch {path}"),
            FollowUp::Delete { path } => format!("delete {path}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "create managed/user",
            "update managed/user/1",
            "patch managed/user/2",
            "delete managed/user/3"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_throws_arrives() {
    let thrown = failure("throw #{code: 403, message: \"not you\", detail: #{why: [1]}}").await;
    assert_eq!(
        thrown,
        Failure::Thrown {
            code: Some(403),
            message: "not you".to_owned(),
            detail: Some(json!({"why": [1]}))
        }
    );
    let inside = failure("fn refuse() { throw \"from inside\" }\nrefuse();").await;
    assert!(matches!(inside, Failure::Thrown { message, .. } if message == "from inside"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caught_error_that_is_thrown_again_is_still_an_error() {
    for text in [
        "try { let a = 1 / 0; } catch (problem) { throw problem }",
        "try { read(\"managed/user/broken\") } catch (problem) { throw problem }",
    ] {
        let failure = failure(text).await;
        assert!(matches!(failure, Failure::Error { .. }), "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_script_and_line() {
    let error = failure("let a = 1;\n\nfn f(x) {\n  x.lower()\n}\nf(a)").await;
    let text = error.to_string();
    assert!(text.starts_with("t.rhai, line 4, column 5: "), "{text}");
    assert!(!text.contains("i64"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_without_a_reader_is_an_error() {
    let runtime = Runtime::new(Limits::default());
    let script = runtime
        .compile("t.rhai", "read(\"managed/user/jo\")", Object::new())
        .unwrap();
    let failure = runtime
        .run(&script, Vec::new(), None)
        .await
        .result
        .unwrap_err();
    assert!(matches!(failure, Failure::Error { .. }), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_answer_maps_or_unit() {
    assert_eq!(
        value("read(\"managed/user/none\") == ()").await,
        json!(true)
    );
    assert_eq!(
        value("query(\"managed/user\", \"_id eq 'jo'\").len()").await,
        json!(1)
    );
    assert_eq!(
        value("query(\"managed/user\", \"_id eq 'x'\")").await,
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_never_answers_ends_with_the_wall_time() {
    let run = run_with(short(), "read(\"managed/user/slow\")", Vec::new()).await;
    assert_limit(&run, "wall time");
}

fn assert_limit(run: &Run, expected: &str) {
    match run.result.as_ref().unwrap_err() {
        Failure::Limit {
            limit,
            script,
            line,
            ..
        } => {
            assert_eq!(*limit, expected);
            assert_eq!(script, "t.rhai");
            assert!(*line > 0);
        }
        other => panic!("expected the limit on {expected}, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_stops_what_breaks_it() {
    for (limit, text) in [
        ("operations", "loop {}"),
        ("operations", "loop { try { throw 1 } catch {} }"),
        ("call depth", "fn f() { f() } f()"),
        ("string size", "let s = \"x\"; loop { s += s; }"),
        ("string size", "let s = \"x\"; s.pad(2000000, 'x');"),
        ("array size", "let a = [1]; loop { a += a; }"),
        ("array size", "let a = []; a.pad(1000000, 0);"),
        ("array size", "let a = [1]; loop { a = [a, a]; }"),
        ("map size", "let m = #{}; loop { m = #{a: m, b: m}; }"),
        ("requested changes", "loop { delete(\"managed/user/x\"); }"),
    ] {
        let run = run(text, Vec::new()).await;
        assert!(run.result.is_err(), "{text}");
        assert_limit(&run, limit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_without_end_ends_with_the_wall_time() {
    let limits = Limits {
        operations: u64::MAX,
        ..short()
    };
    assert_limit(
        &run_with(limits.clone(), "loop {}", Vec::new()).await,
        "wall time",
    );
    let catching = "loop { try { loop {} } catch {} }";
    assert_limit(&run_with(limits, catching, Vec::new()).await, "wall time");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_bounded() {
    let text = "for i in 0..1000 { log_info(i); } print(\"late\");";
    let run = run(text, Vec::new()).await;
    run.result.unwrap();
    assert_eq!(run.log.len(), 200);
    let long = self::run("let s = \"\"; s.pad(100000, 'ä'); log_warn(s)", Vec::new()).await;
    assert!(long.log[0].message.len() <= 4096);
    assert_eq!(long.log[0].level, "warn");
}

#[test]
fn what_reaches_outside_does_not_compile() {
    let runtime = Runtime::new(Limits::default());
    for text in [
        "eval(\"1\")",
        "import \"other\" as other;",
        "export x;",
        "let f = Fn(\"g\"); f.curry(1)",
        "let a = unknown;",
        "log_wran(1)",
        "`${this}`",
        "let = 1",
    ] {
        let error = runtime.compile("t.rhai", text, Object::new()).unwrap_err();
        assert_eq!(error.line, 1, "{text}: {error}");
        assert!(!error.message.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_do_not_fit_are_refused() {
    let run = run(
        "source.n",
        vec![("source", constant(json!({"n": u64::MAX})))],
    )
    .await;
    let text = run.result.unwrap_err().to_string();
    assert!(text.contains("source/n"), "{text}");
    let infinite = failure("1.0 / 0.0").await;
    assert!(matches!(infinite, Failure::Error { .. }), "{infinite:?}");
    assert!(matches!(failure("|x| x").await, Failure::Error { .. }));
}

#[test]
fn definitions_hold_every_function_and_variable() {
    let runtime = Runtime::new(Limits::default());
    let files = runtime.definitions();
    let (name, text) = &files[0];
    assert_eq!(name, "recant.d.rhai");
    for expected in [
        "let syncResults: ?;",
        "fn revert();",
        "fn read(path: text) -> map;",
        "fn trim(text: text) -> text;",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    for missing in ["i64", "ImmutableString", "&", "sleep", "eval", "Dynamic"] {
        let signature = text
            .lines()
            .find(|line| line.starts_with("fn ") && line.contains(missing));
        assert_eq!(signature, None);
    }
    assert!(
        runtime
            .functions()
            .iter()
            .all(|function| !function.signature.is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_a_native_function_keeps_to_itself_still_counts() {
    let text = "fn f(n) { [3, 1, 2].sort_by(|x, y| f(n)) } f(1)";
    let run = run(text, Vec::new()).await;
    assert!(
        matches!(
            run.result,
            Err(Failure::Limit {
                limit: "operations",
                ..
            })
        ),
        "{:?}",
        run.result
    );
}

/// Reads by running a script, as the hooks of an object that is read do.
#[derive(Debug)]
struct Nested(Runtime);

#[async_trait]
impl Reader for Nested {
    async fn read(&self, path: &str) -> Result<Option<Object>, String> {
        let text = "#{path: source}";
        let script = self
            .0
            .compile("inner.rhai", text, Object::new())
            .map_err(|error| error.to_string())?;
        let variables = vec![("source", constant(json!(path)))];
        let run = self.0.run(&script, variables, None).await;
        let value = run.result.map_err(|failure| failure.to_string())?;
        Ok(value.as_object().cloned())
    }

    async fn query(&self, _: &str, _: &Filter) -> Result<Vec<Object>, String> {
        Ok(Vec::new())
    }
}

async fn read_runs_a_script() {
    let runtime = Runtime::new(Limits::default());
    let text = "read(\"managed/user/x\").path";
    let script = runtime.compile("t.rhai", text, Object::new()).unwrap();
    let reader = Arc::new(Nested(runtime.clone()));
    let run = runtime.run(&script, Vec::new(), Some(reader)).await;
    assert_eq!(run.result, Ok(json!("managed/user/x")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_read_may_run_a_script_itself() {
    read_runs_a_script().await;
    tokio::spawn(read_runs_a_script()).await.unwrap();
}

#[tokio::test]
async fn a_read_may_run_a_script_itself_on_one_thread() {
    read_runs_a_script().await;
}

#[test]
fn a_script_runs_without_a_runtime_too() {
    let run = futures::executor::block_on(run("1 + 1", Vec::new()));
    assert_eq!(run.result, Ok(json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_are_handed_in_get_what_they_take() {
    assert_eq!(
        value("[\"a\", \"b\"].map(|x, i| x + i)").await,
        json!(["a0", "b1"])
    );
    assert_eq!(
        value("#{a: 1}.map(|name, n| name + n)").await,
        json!({"a": "a1"})
    );
    assert_eq!(
        value("[1, 2].zip([3, 4, 5], |a, b| a * b)").await,
        json!([3, 8])
    );
    let thrown = failure("[1].map(|x| throw `no ${x}`)").await;
    assert!(matches!(thrown, Failure::Thrown { message, .. } if message == "no 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_say_what_would_be_right() {
    for (text, part) in [
        ("lower(1)", "no function `lower` takes (integer)"),
        ("let a = #{}; a.b.c", "`?.c`"),
        ("source", "the variable `source` is not set here"),
        ("throw ()", "without a message"),
        (
            "create(\"system/crm/account/1\", #{})",
            "hooks change managed objects",
        ),
        ("delete(\"managed/user\")", "expected managed/TYPE/ID"),
        ("patch(\"managed/user/x\", [1])", "operation 0"),
        ("query(\"managed/user\", \"a b c\")", "the filter is wrong"),
        ("let l = [1]; l.filter(|x| l.len() > x)", "copy it"),
    ] {
        let message = failure(text).await.to_string();
        assert!(message.contains(part), "{text}: {message}");
    }
    let runtime = Runtime::new(Limits::default());
    for (text, part) in [
        ("log_wran(1)", "did you mean `log_warn`?"),
        ("newObjct.a", "did you mean `newObject`?"),
        ("eval(\"1\")", "`eval` is not available"),
    ] {
        let error = runtime.compile("t.rhai", text, Object::new()).unwrap_err();
        assert!(error.message.contains(part), "{text}: {error}");
    }
}

#[test]
fn every_variable_and_function_has_its_page() {
    let runtime = Runtime::new(Limits::default());
    let docs = runtime.docs("");
    let bare: Vec<String> = runtime
        .functions()
        .into_iter()
        .filter(|function| function.doc.trim().is_empty())
        .map(|function| function.signature)
        .collect();
    assert_eq!(bare, [""; 0], "functions without a page");
    for function in runtime.functions() {
        assert!(docs.contains(&format!("- `{}`", function.signature)));
    }
    for page in runtime.variables() {
        assert!(docs.contains(&format!("### `{}`\n{}", page.name, page.doc)));
    }
    let only = runtime.docs("syncResults");
    assert!(
        only.contains("preflight") && !only.contains("### `object`"),
        "{only}"
    );
}
