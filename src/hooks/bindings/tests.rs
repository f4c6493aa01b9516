//! Tests of the functions: each does what its page says.
use std::sync::Arc;

use serde_json::{Value, json};

use crate::hooks::{Limits, Runtime};
use crate::model::Object;

async fn value(text: &str) -> Value {
    let runtime = Runtime::new(Limits::default());
    let script = runtime.compile("t.rhai", text, Object::new()).unwrap();
    runtime.run(&script, Vec::new(), None).await.result.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn helpers_compute_what_their_pages_say() {
    for (text, expected) in [
        ("\" aB \".trim().lower()", json!("ab")),
        ("lower(())", json!(null)),
        ("\"straße\".upper()", json!("STRASSE")),
        ("\"anna-lena OF oz\".title_case()", json!("Anna-Lena Of Oz")),
        ("\"anna lena of-oz\".initials()", json!("ALOO")),
        (
            "\"äöü\".left(2) + \"äöü\".right(1) + \"äöü\".substring(1, 2)",
            json!("äöüö"),
        ),
        (
            "\"7\".pad_left(3, \"0\") + \"7\".pad_right(4, \"ab\")",
            json!("0077aba"),
        ),
        ("let s = \"a\"; s.pad(3, 'x'); s", json!("axx")),
        (
            "let s = \"aba\"; s.replace(\"a\", \"cc\") + s",
            json!("ccbccaba"),
        ),
        (
            "\"jo@x.org\".before(\"@\") + \"jo@x.org\".after(\"@\")",
            json!("jox.org"),
        ),
        ("\"a\\r\\nb\".lines()", json!(["a", "b"])),
        (
            "base64(\"ä\") + base64_decode(\"w6Q=\") + hex(\"ä\")",
            json!("w6Q=äc3a4"),
        ),
        (
            "sha256(\"abc\")",
            json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ),
        (
            "parse_json(to_json(#{a: [1, ()]}))",
            json!({"a": [1, null]}),
        ),
        ("first_non_empty([(), \"\", \" \", 0])", json!(0)),
        ("or_else(\"\", 1) + or_else(2, 1)", json!(3)),
        ("unique([1, 2, 1, \"1\", \"1\"])", json!([1, 2, "1"])),
        ("[\"a\", (), 1].join(\"-\")", json!("a-1")),
        ("as_array(()) + as_array(1) + as_array([2])", json!([1, 2])),
        ("\"a1\".matches(`^[a-z]\\d$`)", json!(true)),
        (
            "days_between(\"2024-02-28\", \"2024-03-01T23:00:00Z\")",
            json!(2),
        ),
        (
            "is_date(now()) && uuid().len() == 36 && uuid() != uuid()",
            json!(true),
        ),
        (
            "[1, 2].contains(2) && \"abc\".contains(\"b\") && \"abc\".starts_with(\"a\")",
            json!(true),
        ),
        ("\"a,b\".split(\",\")", json!(["a", "b"])),
        ("\"a\" in #{a: 1}", json!(true)),
    ] {
        assert_eq!(value(text).await, expected, "{text}");
    }
}

/// Always the same moment and the same id.
#[derive(Debug)]
struct Still;

impl crate::clock::Clock for Still {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::UNIX_EPOCH
    }

    fn fresh_id(&self) -> uuid::Uuid {
        uuid::Uuid::nil()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_ids_come_from_the_clock() {
    let runtime = Runtime::with_clock(Limits::default(), Arc::new(Still));
    let script = runtime
        .compile("t.rhai", "now() + uuid()", Object::new())
        .unwrap();
    let run = runtime.run(&script, Vec::new(), None).await;
    let expected = "1970-01-01T00:00:00.000Z00000000-0000-0000-0000-000000000000";
    assert_eq!(run.result, Ok(json!(expected)));
}
