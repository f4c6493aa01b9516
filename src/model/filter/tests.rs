//! What filters read, mean and print.
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn compare(field: &str, operator: Operator, value: Value) -> Filter {
    Filter::Compare {
        field: Pointer::parse(field).expect("a pointer"),
        operator,
        value,
    }
}

#[test]
fn reads_every_form() {
    let name = |value: &str| compare("/name", Operator::Equal, json!(value));
    assert_eq!(filter("/name eq \"Ann\""), name("Ann"));
    assert_eq!(filter("name EQ 'Ann'"), name("Ann"));
    assert_eq!(filter(r#"name eq 'it\'s "so"'"#), name("it's \"so\""));
    assert_eq!(
        filter(r#"name eq "\u00e4\ud83d\ude00\n""#),
        name("ä\u{1F600}\n")
    );
    assert_eq!(
        filter("a/b%20c ge -1.5e2"),
        compare("/a/b c", Operator::GreaterOrEqual, json!(-150.0))
    );
    assert_eq!(
        filter("a eq null"),
        compare("a", Operator::Equal, json!(null))
    );
    assert_eq!(
        filter("/true eq true"),
        compare("true", Operator::Equal, json!(true))
    );
    assert_eq!(
        filter("a pr"),
        Filter::Present(Pointer::parse("a").expect("a pointer"))
    );
    assert_eq!(
        filter("!(true)"),
        Filter::Not(Box::new(Filter::Literal(true)))
    );
}

#[test]
fn and_binds_closer_than_or() {
    use Filter::{And, Literal, Or};
    let (yes, no) = (|| Literal(true), || Literal(false));
    assert_eq!(
        filter("true or false and true or false"),
        Or(vec![yes(), And(vec![no(), yes()]), no()])
    );
    assert_eq!(
        filter("( true or false )and(true)"),
        And(vec![Or(vec![yes(), no()]), yes()])
    );
}

#[test]
fn says_where_and_what() {
    for (text, position, found) in [
        ("", 0, "the end"),
        ("name", 4, "the end"),
        ("name is 'x'", 5, "`is`"),
        ("name eq Ann", 8, "`Ann`"),
        ("name eq", 7, "the end"),
        ("name eq [1]", 8, "`[1]`"),
        ("name eq 'Ann", 12, "the end"),
        ("name eq '\\x'", 9, "`\\x`"),
        ("name eq '\\ud800x'", 9, "`\\ud800x`"),
        ("(true", 5, "the end"),
        ("true)", 4, "`)`"),
        ("true false", 5, "`false`"),
        ("true and", 8, "the end"),
        ("a~2 pr", 0, "`a~2`"),
        ("'a' eq 1", 0, "`'`"),
        ("ä is 1", 3, "`is`"),
    ] {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!(
            (error.position, error.found.as_str()),
            (position, found),
            "{text}: {error}"
        );
    }
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(filter(&nested(100)), Filter::Literal(true));
    for text in [
        nested(101),
        "!".repeat(100_000),
        "(".repeat(100_000),
        "!(".repeat(60) + "true",
    ] {
        let error = Filter::parse(&text).expect_err("too deep");
        assert!(error.expected.contains("100") && error.position == 100);
    }
}

#[test]
fn evaluates() {
    let object = json!({
        "name": "Ann Lee", "age": 40, "big": 9_007_199_254_740_993_u64, "active": true, "nothing": null,
        "tags": ["red", "blue"], "numbers": [1, 20], "address": {"city": "Bern"}, "empty": []
    });
    let object = object.as_object().expect("an object");
    for (text, expected) in [
        ("name eq 'Ann Lee'", true),
        ("name eq 'ann lee'", false),
        ("name co 'n L'", true),
        ("name sw 'Ann'", true),
        ("name sw 'Lee'", false),
        ("name gt 'Ann'", true),
        ("age eq 40.0", true),
        ("age lt 40", false),
        ("age le 40", true),
        ("age ge 39.5", true),
        ("age gt '39'", false),
        ("age co 4", false),
        ("big gt 9007199254740992", true),
        ("active eq true", true),
        ("active gt false", false),
        ("nothing pr", false),
        ("nothing eq null", true),
        ("missing eq null", false),
        ("missing pr", false),
        ("missing lt 1", false),
        ("!(missing lt 1)", true),
        ("tags eq 'blue'", true),
        ("tags co 're'", true),
        ("tags/0 eq 'blue'", false),
        ("numbers gt 19", true),
        ("empty pr", true),
        ("empty eq null", false),
        ("address/city eq 'Bern'", true),
        ("name pr and !(age eq 1) or false", true),
    ] {
        assert_eq!(filter(text).matches(object), expected, "{text}");
    }
}

#[test]
fn empty_joins_print_what_they_mean() {
    assert_eq!(Filter::And(Vec::new()).to_string(), "true");
    assert_eq!(Filter::Or(Vec::new()).to_string(), "false");
}

/// Any filter that the reader can produce.
fn filters() -> impl Strategy<Value = Filter> {
    let field = proptest::collection::vec(".{1,6}", 1..4).prop_map(Pointer::from_tokens);
    let value = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Filter::Literal),
        field.clone().prop_map(Filter::Present),
        (field, proptest::sample::select(&Operator::ALL), value).prop_map(
            |(field, operator, value)| Filter::Compare {
                field,
                operator,
                value
            }
        ),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #[test]
    fn printing_and_reading_agree(filter in filters()) {
        prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
    }

    #[test]
    fn no_text_breaks_the_reader(text in r#"([ ()!'"\\/~%0-9a-zé\u{2028}]|eq |pr |and |or |true){0,40}"#) {
        match Filter::parse(&text) {
            Ok(filter) => prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter)),
            Err(error) => prop_assert!(error.position <= text.len()),
        }
    }
}
