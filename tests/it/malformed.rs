//! Malformed input of every kind: the checks of the fuzz targets, on input made from fragments.
#[path = "../../fuzz/checks/binding.rs"]
mod binding;
#[path = "../../fuzz/checks/config.rs"]
mod config;
#[path = "../../fuzz/checks/filter.rs"]
mod filter;
#[path = "../../fuzz/checks/patch.rs"]
mod patch;
#[path = "../../fuzz/checks/scim.rs"]
mod scim;
#[path = "../../fuzz/checks/script.rs"]
mod script;

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

/// Texts put together from these fragments and a few characters of any kind.
fn from_fragments(
    fragments: &'static [&'static str],
    most: usize,
) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => select(fragments).prop_map(str::to_owned),
        1 => ".{0,3}",
    ];
    vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

const FILTER: &[&str] = &[
    "a", "/a/b", "~", "%20", " eq ", " pr", " and ", " or ", "!", "(", ")", "'x'", "\"", "\\", "1",
    "-1e9", "null", "true", "\\u12", "/",
];
const SCIM: &[&str] = &[
    "a",
    "name.givenName",
    "urn:a:b:1.0:c",
    ".value",
    " eq ",
    " ne ",
    " pr",
    " and ",
    " or ",
    "not ",
    "(",
    ")",
    "[",
    "]",
    "\"x\"",
    "\"",
    "\\",
    "1",
    "-1e9",
    "null",
    "True",
    "$ref",
];
const PATCH: &[&str] = &[
    "[{\"a\":[1,2],\"_id\":\"7\"},[",
    "{\"operation\":\"add\",",
    "{\"operation\":\"remove\",",
    "{\"operation\":\"increment\",",
    "{\"operation\":\"move\",\"from\":\"/a/0\",",
    "{\"op\":\"copy\",\"from\":\"\",",
    "{\"op\":\"test\",",
    "\"field\":\"/a/-\",",
    "\"field\":\"_id\",",
    "\"path\":\"/a/1\",",
    "\"path\":\"\",",
    "\"value\":[{}]}",
    "\"value\":1}",
    "}",
    ",",
    "]]",
    "]",
    "[",
];
const SCRIPT: &[&str] = &[
    "let x = source;",
    "x.name",
    "object.list[0]",
    "+",
    "-",
    "*",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "#{a: 1}",
    "fn f(x) {",
    "f(1);",
    "loop {",
    "while true {",
    "if x {",
    "throw",
    " 1",
    "\"text\"",
    "`${x}`",
    ";",
    "\n",
    "=",
    ".",
    "?.",
    "|x|",
    "for i in 0..9 {",
    "return ",
    "object.a = ",
    "revert();",
    "create(\"managed/user\", #{});",
    "switch x {",
    "=>",
    "x",
    "try {",
    "} catch (e) {",
    "'c'",
    "9223372036854775807",
    "1e308",
    "%",
    "<<",
    "read(\"managed/user/1\")",
    "trim(x)",
];

/// A folder that loads, file by file.
const FOLDER: [&str; 5] = [
    "[server]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite://recant.db\"\n",
    r#"{"objects": [{"name": "user", "schema": {"properties": {"mail": {"type": "string"}}},
        "scim": {"resourceType": "User", "attributes": {"userName": "mail",
            "emails[type eq \"work\"].value": {"property": "mail", "required": false}},
            "extensions": {"urn:x:y": {"nick": "mail"}}},
        "onSync": {"type": "text/rhai", "file": "hook.rhai"}}]}"#,
    r#"{"mappings": [{"name": "crm", "source": "managed/user", "target": "system/crm/account",
        "properties": [{"source": "mail", "target": "_id", "condition": "/object/mail pr"}],
        "policies": [{"situation": "ABSENT", "action": "CREATE"}]}]}"#,
    r#"{"type": "csv", "file": "crm.csv", "objects": {"account": {"key": "mail"}}}"#,
    "if !syncResults.success { revert(); }",
];

fn folder(files: &[String]) -> Vec<u8> {
    files.join("\0").into_bytes()
}

#[test]
fn the_folder_that_is_damaged_below_is_whole() {
    let found = config::problems(&folder(&FOLDER.map(str::to_owned)));
    assert_eq!(found, Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn filters(text in from_fragments(FILTER, 30)) {
        filter::check(text.as_bytes());
    }

    #[test]
    fn scim_filters_and_paths(text in from_fragments(SCIM, 30)) {
        scim::check(text.as_bytes());
    }

    #[test]
    fn patches(text in from_fragments(PATCH, 16)) {
        patch::check(text.as_bytes());
    }

    #[test]
    fn scripts(text in from_fragments(SCRIPT, 20)) {
        script::check(text.as_bytes());
    }

    #[test]
    fn bindings(value in values()) {
        binding::check_value(&value);
        binding::check(value.to_string().as_bytes());
    }

    #[test]
    fn folders(
        number in 0..FOLDER.len(), at in any::<prop::sample::Index>(), cut in 0..40_usize, put in "\\PC{0,4}|null|\\[\\]|\\{\\}|7"
    ) {
        let mut files = FOLDER.map(str::to_owned);
        let file = &mut files[number];
        let mut characters: Vec<char> = file.chars().collect();
        let at = at.index(characters.len());
        let end = characters.len().min(at + cut);
        characters.splice(at..end, put.chars());
        *file = characters.into_iter().collect();
        config::check(&folder(&files));
    }

    #[test]
    fn values_of_the_wrong_kind_in_any_place(
        number in 1..4_usize, place in any::<prop::sample::Index>(), value in values()
    ) {
        let mut files = FOLDER.map(str::to_owned);
        let mut document: Value = serde_json::from_str(&files[number]).expect("JSON");
        let places = places(&document, "");
        *document.pointer_mut(&places[place.index(places.len())]).expect("a place") = value;
        files[number] = document.to_string();
        config::check(&folder(&files));
    }
}

/// Every place in a document.
fn places(value: &Value, at: &str) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (format!("{at}/{index}"), item))
            .collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (format!("{at}/{name}"), member))
            .collect(),
        _ => Vec::new(),
    };
    let below = inner.iter().flat_map(|(at, inner)| places(inner, at));
    std::iter::once(at.to_owned()).chain(below).collect()
}
