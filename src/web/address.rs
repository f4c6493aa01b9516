//! Addresses of pages, made from names that may hold any character.
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::{OperationId, ResourceName};

/// What stands for itself in one segment of a path and in a query (RFC 3986, unreserved).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text as one segment of a path, or as a value in a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The page of a change.
pub(super) fn change(id: OperationId) -> String {
    format!("/ui/changes/{}", id.0)
}

/// The page of a managed object; none for the name of anything else.
pub(super) fn object(name: &str) -> Option<String> {
    let name: ResourceName = name.parse().ok()?;
    match &name.container {
        crate::model::Container::Managed(kind) => Some(format!(
            "/ui/objects/{}/{}",
            encoded(kind),
            encoded(&name.id)
        )),
        crate::model::Container::System { .. } => None,
    }
}

/// A page with a query behind it.
pub(super) fn with_query(path: &str, query: &str) -> String {
    match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// Whether an address leads to a page of this server: where a sign-in may lead on to.
pub(super) fn is_own(address: &str) -> bool {
    let rest = address.strip_prefix("/ui");
    let inside = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    inside && address.bytes().all(|byte| (0x21..0x7f).contains(&byte)) && !address.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_pages_are_led_on_to() {
        for own in ["/ui", "/ui/changes?outcome=synced", "/ui?x=1"] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "",
            "/",
            "//evil.example",
            "/uix",
            "https://x/ui",
            "/ui/\r\nx",
            "/ui\\x",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn ids_of_any_kind_stay_one_segment() {
        let address = object("managed/user/a/b c?d").unwrap();
        assert_eq!(address, "/ui/objects/user/a%2Fb%20c%3Fd");
        assert_eq!(object("system/crm/account/1"), None);
    }
}
