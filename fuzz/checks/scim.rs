//! SCIM filters and paths: no text breaks the readers, and what they read prints as what they read.
use recant::model::{
    filter::Texts,
    scim::{Filter, Target},
};
use serde_json::json;

/// Reads `data` as a filter and as the path of a PATCH, evaluates and prints them.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Filter::parse(text) {
        Ok(filter) => {
            let _ = filter.meets(
                &json!({"type": "work", "value": "a@x", "primary": true}),
                Texts::Folded,
            );
            let printed = filter.to_string();
            assert_eq!(Filter::parse(&printed).as_ref(), Ok(&filter), "{printed}");
        }
        Err(error) => assert!(
            error.position <= text.len() && text.is_char_boundary(error.position),
            "{text}: {error}"
        ),
    }
    if let Ok(target) = Target::parse(text) {
        let printed = target.to_string();
        assert_eq!(Target::parse(&printed).as_ref(), Ok(&target), "{printed}");
    }
}
