//! Properties: conditions, transforms, defaults, nulls, nested places.
use super::*;

/// What one property makes of the source object and a target object.
async fn laid(change: impl FnOnce(&Bench, &mut Property), mapped: &str, before: Value) -> Decision {
    let mut bench = Bench::new().linked("t");
    bench.new = Some(object(json!({
        "_id": "7", "_rev": "3", "mail": "ann@example.org", "active": true, "nothing": null,
        "name": {"first": "Ann"}, "phones": ["1", "2"]
    })));
    let mut property = property(mapped);
    change(&bench, &mut property);
    let bench = bench.with_properties(vec![property]);
    bench.decide(Some(target("t", before)), vec![]).await
}

fn after(decision: &Decision) -> Option<Value> {
    match &decision.row.step {
        Step::Nothing => None,
        Step::Write {
            write: TargetWrite::Update { after, .. },
        } => Some(Value::Object(after.clone())),
        other => panic!("neither an update nor nothing: {other:?}"),
    }
}

#[tokio::test]
async fn plain_values_are_laid_over_what_is_there() {
    for (mapped, before, expected) in [
        (
            "mail -> m",
            json!({}),
            Some(json!({"m": "ann@example.org"})),
        ),
        ("mail -> m", json!({"m": "ann@example.org"}), None),
        (
            "missing -> m",
            json!({"m": 1, "n": 2}),
            Some(json!({"n": 2})),
        ),
        ("missing -> m", json!({"n": 2}), None),
        ("nothing -> m", json!({"m": null}), None),
        (
            "name/first -> n/f",
            json!({"n": {"l": "Lee"}}),
            Some(json!({"n": {"l": "Lee", "f": "Ann"}})),
        ),
        ("name/first -> n/f", json!({"n": {"f": "Ann"}}), None),
        (
            "missing -> n/f",
            json!({"n": {"f": "Ann", "l": 1}}),
            Some(json!({"n": {"l": 1}})),
        ),
        (
            "phones -> p",
            json!({"p": ["2", "1"]}),
            Some(json!({"p": ["1", "2"]})),
        ),
        (
            "phones/0 -> p/0/v",
            json!({}),
            Some(json!({"p": [{"v": "1"}]})),
        ),
        (
            "name -> ",
            json!({"own": 1}),
            Some(json!({"own": 1, "first": "Ann"})),
        ),
    ] {
        let decision = laid(|_, _| {}, mapped, before.clone()).await;
        assert_eq!(after(&decision), expected, "{mapped} over {before}");
    }
    let whole = laid(
        |_, property| property.source = Some(Pointer::parse("").expect("whole")),
        "x -> all",
        json!({}),
    )
    .await;
    let copied = after(&whole).expect("a write");
    assert_eq!(copied["all"]["name"], json!({"first": "Ann"}));
    assert_eq!(
        (copied["all"].get("_id"), copied["all"].get("_rev")),
        (None, None)
    );
}

#[tokio::test]
async fn condition_comes_first_then_transform_then_default() {
    struct Rule(Option<&'static str>, Option<&'static str>, Option<Value>);
    for (rule, expected) in [
        (Rule(Some("/object/active eq false"), None, None), None),
        (
            Rule(Some("active eq true"), None, None),
            Some(json!("ann@example.org")),
        ),
        (
            Rule(Some("/target/m eq \"old\""), Some("source + \"!\""), None),
            Some(json!("ann@example.org!")),
        ),
        (
            Rule(Some("/target/m eq \"new\""), None, Some(json!(1))),
            None,
        ),
        (Rule(None, Some("()"), Some(json!(1))), Some(json!(1))),
        (
            Rule(None, Some("source + linkQualifier"), Some(json!(1))),
            Some(json!("ann@example.orgdefault")),
        ),
        (Rule(None, Some("()"), None), Some(json!(null))),
    ] {
        let decision = laid(
            |bench, property| {
                property.condition = rule.0.map(filter);
                property.transform = rule.1.map(|text| bench.script(text));
                property.default.clone_from(&rule.2);
            },
            "mail -> m",
            json!({"m": "old", "n": 1}),
        )
        .await;
        let found = after(&decision).map(|after| after.get("m").cloned().unwrap_or_default());
        assert_eq!(found, expected, "{:?} {:?} {:?}", rule.0, rule.1, rule.2);
    }
}

#[tokio::test]
async fn without_source_a_transform_sees_the_whole_object_and_a_default_stands_alone() {
    let transform = laid(
        |bench, property| {
            property.source = None;
            property.transform = Some(bench.script("source.name.first + source.phones.len()"));
        },
        "x -> m",
        json!({}),
    )
    .await;
    assert_eq!(after(&transform), Some(json!({"m": "Ann2"})));
    let constant = laid(
        |_, property| {
            property.source = None;
            property.default = Some(json!("fixed"));
        },
        "x -> m",
        json!({}),
    )
    .await;
    assert_eq!(after(&constant), Some(json!({"m": "fixed"})));
}

#[tokio::test]
async fn conditions_by_script_see_source_and_target() {
    for (text, applies) in [
        (
            "object.active && target.m == \"old\" && oldSource.active && oldTarget.m == \"old\"",
            true,
        ),
        ("linkQualifier != \"default\"", false),
    ] {
        let decision = laid(
            |bench, property| property.condition = Some(Condition::Script(bench.script(text))),
            "mail -> m",
            json!({"m": "old"}),
        )
        .await;
        assert_eq!(after(&decision).is_some(), applies, "{text}");
    }
}

#[tokio::test]
async fn what_does_not_fit_fails_the_row_without_its_value() {
    for (mapped, reason) in [
        (
            "mail -> n/x",
            "400 mapping crm: property /n/x `/n/x` cannot be set",
        ),
        (
            "mail -> _rev",
            "400 mapping crm: property /_rev belongs to the target",
        ),
        (
            "mail -> ",
            "400 mapping crm: property  stands for the whole object",
        ),
    ] {
        let decision = laid(|_, _| {}, mapped, json!({"n": 7})).await;
        let message = message(&decision);
        assert!(message.starts_with(reason), "{message}");
        assert!(!message.contains("ann@"), "{message}");
    }
    let throwing = laid(
        |bench, property| property.transform = Some(bench.script("throw \"no mail\"")),
        "mail -> m",
        json!({}),
    )
    .await;
    assert_eq!(
        message(&throwing),
        "400 transform of /m of mapping crm: no mail"
    );
    let wrong = laid(
        |bench, property| property.transform = Some(bench.script("source.x.y.z")),
        "active -> m",
        json!({}),
    )
    .await;
    assert!(message(&wrong).starts_with("500 transform of /m of mapping crm: test, line 1"));
}
