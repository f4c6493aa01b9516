//! Which target attributes count as confidential.
use super::*;
use crate::model::secret::Redactor;

fn confidential(bench: &Bench) -> Vec<String> {
    confidential_targets(&bench.mapping, &["password".to_owned(), "pin".to_owned()])
}

fn transformed(bench: &Bench, source: Option<&str>, text: &str) -> Property {
    Property {
        source: source.map(|source| Pointer::parse(source).expect("a pointer")),
        transform: Some(bench.script(text)),
        ..property("x -> out")
    }
}

#[test]
fn properties_are_judged_by_what_they_read() {
    let bench = Bench::new();
    for (source, text, expected) in [
        (Some("mail"), "source", false),
        (Some("password"), "1", true),
        (Some("password/hash"), "1", true),
        (Some("mail"), "read(\"managed/user/7\").password", false),
        (None, "source.mail + source.sn", false),
        (None, "source.mail + source.pin", true),
        (None, "source.values()", true),
        (None, "let s = source; s.mail", true),
        (
            None,
            "`${source.mail}` // not the password of source",
            false,
        ),
        (Some(""), "source.mail", false),
        (Some(""), "source", true),
    ] {
        let property = transformed(&bench, source, text);
        let bench = Bench::new().with_properties(vec![property]);
        assert_eq!(
            !confidential(&bench).is_empty(),
            expected,
            "{source:?} {text}"
        );
    }
    let plain = Bench::new().with_properties(vec![
        property("mail -> a"),
        property("password -> b/c"),
        property("pin -> b/d"),
        property("pin -> e"),
        Property {
            source: None,
            default: Some(json!(1)),
            ..property("x -> f")
        },
        Property {
            source: Some(Pointer::parse("").expect("whole")),
            ..property("x -> g")
        },
    ]);
    assert_eq!(confidential(&plain), ["b", "e", "g"]);
    assert_eq!(
        confidential_targets(&plain.mapping, &[]),
        Vec::<String>::new()
    );
    let whole = Bench::new().with_properties(vec![property("password -> ")]);
    assert_eq!(confidential(&whole), ["*"]);
}

#[test]
fn hooks_are_judged_by_what_they_read_and_set() {
    for (text, expected) in [
        ("target.a = source.mail", vec!["b"]),
        ("target.a = source.pin", vec!["b", "a"]),
        (
            "target[\"a\"] = oldSource.pin; target.c.d = 1",
            vec!["b", "a", "c"],
        ),
        ("target.a = target.b", vec!["b", "a"]),
        ("target.b = source.mail; target.a = 1", vec!["b"]),
        ("target.a = oldTarget.b", vec!["b", "a"]),
        (
            "for name in source.keys() { target[name] = 1 }",
            vec!["b", "*"],
        ),
        ("target.a = read(\"managed/user/7\").password", vec!["b"]),
        ("log_info(source.pin)", vec!["b"]),
    ] {
        let bench = Bench::new()
            .with_properties(vec![property("password -> b"), property("mail -> x")])
            .with_hook(MappingHook::OnUpdate, text);
        assert_eq!(confidential(&bench), expected, "{text}");
    }
}

#[tokio::test]
async fn rows_carry_them() {
    let mut bench = Bench::new();
    bench.mapping.confidential = vec!["email".to_owned()];
    let decision = bench.decide(None, vec![]).await;
    assert_eq!(decision.row.confidential, ["email"]);
    let values = decision.row.confidential_values();
    let redactor = Redactor::new([&json!("pin")]).and(values);
    assert_eq!(
        redactor.text("no mail to ann@example.org with pin"),
        "no mail to *** with ***"
    );
    let shown = bench
        .mapping
        .masked(object(json!({"_id": "7", "email": "a", "b": null})));
    assert_eq!(
        Value::Object(shown),
        json!({"_id": "7", "email": "***", "b": null})
    );
    bench.mapping.confidential = vec!["*".to_owned()];
    let shown = bench
        .mapping
        .masked(object(json!({"_id": "7", "email": "a", "b": null})));
    assert_eq!(
        Value::Object(shown),
        json!({"_id": "7", "email": "***", "b": null})
    );
}
