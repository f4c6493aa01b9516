//! Query filters: no text breaks the reader, and what it reads prints as what it read.
use recant::model::Filter;
use serde_json::json;

/// Reads `data` as a filter, evaluates it and prints it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Filter::parse(text) {
        Ok(filter) => {
            let object = json!({"a": 1, "b": ["x", null, {"c": true}], "d": {"e": "f"}});
            let _ = filter.matches(object.as_object().expect("an object"));
            let printed = filter.to_string();
            assert_eq!(Filter::parse(&printed).as_ref(), Ok(&filter), "{printed}");
        }
        Err(error) => assert!(
            error.position <= text.len() && text.is_char_boundary(error.position),
            "{text}: {error}"
        ),
    }
}
