//! What a connector's file says about a REST service, as written and as used.
use std::collections::BTreeMap;

use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::connectors::{
    http::{RawAuth, RawRule, Rule, Service},
    settings::{Problem, Secret, class_name_problems},
    shape::Shape,
};

/// As written in `conf/connectors/NAME.json`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Raw {
    /// `https://HOST/PREFIX`; `path` follows it.
    base_url: String,
    /// How Recant shows who it is; one of the four.
    auth: Option<RawAuth>,
    /// Headers of every request.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// What answers mean where the service does not keep to the meaning of the statuses; the first
    /// rule about an answer counts.
    #[serde(default)]
    errors: Vec<RawRule>,
    /// The header by which the service knows a repeated POST and carries it out once only, such as
    /// `Idempotency-Key`; it has to remember each for a day.
    idempotency_header: Option<String>,
    /// Which `ETag`s make a write conditional.
    #[serde(default)]
    etags: Etags,
    /// The object classes by name.
    objects: BTreeMap<String, RawClass>,
}

/// Which `ETag`s go back in `If-Match`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Etags {
    /// Strong ones: a service that keeps to RFC 9110, section 13.1.1, lets no weak one match.
    #[default]
    Strong,
    /// Weak ones too, for a service that compares them all the same.
    All,
    /// None.
    Never,
}

impl Etags {
    /// An object's version, out of the `ETag` that the service sent.
    #[must_use]
    pub fn version(self, etag: Option<String>) -> Option<String> {
        etag.filter(|etag| match self {
            Self::Strong => !etag.starts_with("W/"),
            Self::All => true,
            Self::Never => false,
        })
    }
}

/// One object class as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawClass {
    /// Where the collection is, below `baseUrl`.
    path: String,
    /// The member of the body that holds the id.
    #[serde(default = "default_id_attribute")]
    id_attribute: String,
    /// How an object is created.
    #[serde(default)]
    create: Create,
    /// How an object is changed.
    #[serde(default)]
    update: Update,
    /// How the collection is listed; a GET that gives an array where this is left out.
    #[serde(default)]
    list: RawList,
    /// How the service tells what changed.
    changes: Option<RawChanges>,
    /// A script that makes the body of a create or update of `object` (with the id; `operation` is
    /// `create` or `update`): `{"type": "text/rhai", "file": "…"}` or `"source"`.
    on_request: Option<serde_json::Map<String, serde_json::Value>>,
    /// A script that makes of each `object` of an answer the one that Recant sees.
    on_response: Option<serde_json::Map<String, serde_json::Value>>,
}

/// How the service tells what changed, as written: by `cursorParameter` with `cursorPointer`, or by
/// `sinceParameter` with `changedAttribute`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RawChanges {
    /// Where the changes are, below `baseUrl`; the class' own path where this is left out.
    path: Option<String>,
    /// The query parameter that takes the cursor of the answer before.
    cursor_parameter: Option<String>,
    /// Where the answer gives the cursor to come back with (JSON pointer).
    cursor_pointer: Option<String>,
    /// The query parameter that takes the time since which objects changed.
    since_parameter: Option<String>,
    /// The attribute that tells when an object was last changed.
    changed_attribute: Option<String>,
    /// How long after its time a change may become visible, in seconds.
    #[serde(default = "default_overlap")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    overlap: f64,
    /// The attribute that says that an object is gone: not null, not false, not 0.
    deleted_attribute: Option<String>,
}

/// How a service tells what changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// Where, with a slash in front.
    pub path: String,
    /// By what.
    pub by: By,
    /// The attribute that says that an object is gone.
    pub deleted_attribute: Option<String>,
}

/// By what a service tells what changed.
#[derive(Debug, Clone, PartialEq)]
pub enum By {
    /// By a word of its own.
    Cursor {
        /// The query parameter.
        parameter: String,
        /// Where the answer says the next one (JSON pointer).
        pointer: String,
    },
    /// By a time.
    Since {
        /// The query parameter.
        parameter: String,
        /// The attribute that tells when an object was last changed.
        attribute: String,
        /// How long after its time a change may become visible, in seconds.
        overlap: f64,
    },
}

fn default_overlap() -> f64 {
    60.0
}

/// How an object is created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Create {
    /// POST to the collection.
    #[default]
    Post,
    /// PUT to the object's own address with `If-None-Match: *`.
    Put,
}

/// How an object is changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Update {
    /// PUT of the whole object.
    #[default]
    Put,
    /// PATCH with a JSON Merge Patch (RFC 7396).
    Patch,
}

/// How a collection is listed, as written. At most one of `pageParameter`, `offsetParameter`,
/// `cursorParameter`, `linkHeader` and `linkPointer` says how the service pages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct RawList {
    /// Where the array of objects is in the answer (JSON pointer); the answer itself where this is
    /// left out.
    items_pointer: String,
    /// The query parameter that takes the size of a page.
    size_parameter: Option<String>,
    /// The query parameter that takes the number of a page.
    page_parameter: Option<String>,
    /// The number of the first page, 1 where this is left out.
    first_page: Option<u64>,
    /// The query parameter that takes how many objects to leave out.
    offset_parameter: Option<String>,
    /// The query parameter that takes the place where the next page begins.
    cursor_parameter: Option<String>,
    /// Where the answer says where the next page begins (JSON pointer).
    cursor_pointer: Option<String>,
    /// Whether the next page is at the address in the `Link` header with `rel="next"` (RFC 8288).
    link_header: bool,
    /// Where the answer gives the address of the next page (JSON pointer).
    link_pointer: Option<String>,
}

/// A service as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where it is, and how Recant shows who it is.
    pub service: Service,
    /// The header that makes a repeated POST safe.
    pub idempotency_header: Option<HeaderName>,
    /// Which `ETag`s make a write conditional.
    pub etags: Etags,
    /// The object classes by name.
    pub classes: BTreeMap<String, Class>,
}

/// One collection as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// Below the service's address, with a slash in front and none at the end.
    pub path: String,
    /// The member of the body that holds the id.
    pub id_attribute: String,
    /// How an object is created.
    pub create: Create,
    /// How an object is changed.
    pub update: Update,
    /// How the collection is listed.
    pub list: List,
    /// How it tells what changed.
    pub changes: Option<Feed>,
    /// What makes the body of a create or update.
    pub on_request: Shape,
    /// What makes the object that Recant sees.
    pub on_response: Shape,
}

/// How a collection is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// Where the array of objects is in the answer (JSON pointer).
    pub items_pointer: String,
    /// The query parameter that takes the size of a page.
    pub size_parameter: Option<String>,
    /// How the service pages.
    pub paging: Paging,
}

/// How a service pages.
#[derive(Debug, Clone, PartialEq)]
pub enum Paging {
    /// One answer holds everything.
    None,
    /// By the number of the page.
    Page {
        /// The query parameter.
        parameter: String,
        /// The number of the first page.
        first: u64,
    },
    /// By how many objects to leave out.
    Offset {
        /// The query parameter.
        parameter: String,
    },
    /// By a word of the service's own.
    Cursor {
        /// The query parameter.
        parameter: String,
        /// Where the answer says the next one (JSON pointer); absent, null or empty after the last.
        pointer: String,
    },
    /// By the address of the next page.
    Link {
        /// Where the answer gives it (JSON pointer); none: in the `Link` header.
        pointer: Option<String>,
    },
}

impl Paging {
    /// Whether a page is asked for by a number, so that one may be asked for that is not there.
    #[must_use]
    pub fn is_numbered(&self) -> bool {
        matches!(self, Self::Page { .. } | Self::Offset { .. })
    }
}

fn default_id_attribute() -> String {
    "id".to_owned()
}

impl Settings {
    /// What was written, checked.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn validate(raw: Raw) -> Result<Self, Vec<Problem>> {
        let mut problems = class_name_problems(raw.objects.keys());
        let mut service = Service::validate(&raw.base_url, raw.auth, raw.headers, &mut problems);
        service.rules = Rule::validate(raw.errors, &mut problems);
        let header = raw.idempotency_header.map(HeaderName::try_from).transpose();
        if header.is_err() {
            let message = "expected the name of a header, such as `Idempotency-Key`";
            problems.push(Problem::new("/idempotencyHeader", message));
        }
        let classes = raw
            .objects
            .into_iter()
            .map(|(name, class)| {
                let class = Class::validate(&name, class, &mut problems);
                (name, class)
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            service,
            idempotency_header: header.ok().flatten(),
            etags: raw.etags,
            classes,
        })
    }
}

impl Class {
    fn validate(name: &str, raw: RawClass, problems: &mut Vec<Problem>) -> Self {
        let path = raw.path.trim_matches('/');
        if path.contains(['?', '#', ' ']) {
            let message = "expected a path without query and fragment";
            problems.push(Problem::of_class(name, "path", message));
        }
        if raw.id_attribute.is_empty() {
            let message = "expected the member of the body that holds the id";
            problems.push(Problem::of_class(name, "idAttribute", message));
        }
        let path = slashed(path);
        let changes = raw
            .changes
            .and_then(|raw| Feed::validate(name, &path, raw, problems));
        let named = |is_named: bool| if is_named { Shape::Named } else { Shape::Plain };
        Self {
            changes,
            on_request: named(raw.on_request.is_some()),
            on_response: named(raw.on_response.is_some()),
            path,
            id_attribute: raw.id_attribute,
            create: raw.create,
            update: raw.update,
            list: List::validate(name, raw.list, problems),
        }
    }
}

impl Feed {
    fn validate(
        class: &str,
        path: &str,
        raw: RawChanges,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let by = match (
            (raw.cursor_parameter, raw.cursor_pointer),
            (raw.since_parameter, raw.changed_attribute),
        ) {
            ((Some(parameter), Some(pointer)), (None, None)) if pointer.starts_with('/') => {
                By::Cursor { parameter, pointer }
            }
            ((None, None), (Some(parameter), Some(attribute))) => By::Since {
                parameter,
                attribute,
                overlap: raw.overlap,
            },
            _ => {
                let message = "expected `cursorParameter` with `cursorPointer` (a JSON pointer), or \
                               `sinceParameter` with `changedAttribute`";
                problems.push(Problem::of_class(class, "changes", message));
                return None;
            }
        };
        let own = raw.path.map(|path| slashed(path.trim_matches('/')));
        Some(Self {
            path: own.unwrap_or_else(|| path.to_owned()),
            by,
            deleted_attribute: raw.deleted_attribute,
        })
    }
}

fn slashed(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    }
}

impl List {
    fn validate(class: &str, raw: RawList, problems: &mut Vec<Problem>) -> Self {
        let pointers = [
            ("list/itemsPointer", Some(&raw.items_pointer)),
            ("list/cursorPointer", raw.cursor_pointer.as_ref()),
            ("list/linkPointer", raw.link_pointer.as_ref()),
        ];
        for (key, pointer) in pointers {
            if pointer.is_some_and(|it| !it.is_empty() && !it.starts_with('/')) {
                let message = "expected a JSON pointer such as `/items`";
                problems.push(Problem::of_class(class, key, message));
            }
        }
        let ways = [
            raw.page_parameter.is_some(),
            raw.offset_parameter.is_some(),
            raw.cursor_parameter.is_some(),
            raw.link_header,
            raw.link_pointer.is_some(),
        ];
        if ways.iter().filter(|is_given| **is_given).count() > 1 {
            let message = "expected at most one of `pageParameter`, `offsetParameter`, \
                           `cursorParameter`, `linkHeader`, `linkPointer`";
            problems.push(Problem::of_class(class, "list", message));
        }
        if raw.cursor_parameter.is_some() && raw.cursor_pointer.is_none() {
            let message = "`cursorParameter` needs `cursorPointer`";
            problems.push(Problem::of_class(class, "list", message));
        }
        let first = raw.first_page.unwrap_or(1);
        let paging = if let Some(parameter) = raw.page_parameter {
            Paging::Page { parameter, first }
        } else if let Some(parameter) = raw.offset_parameter {
            Paging::Offset { parameter }
        } else if let Some(parameter) = raw.cursor_parameter {
            let pointer = raw.cursor_pointer.unwrap_or_default();
            Paging::Cursor { parameter, pointer }
        } else if raw.link_header || raw.link_pointer.is_some() {
            Paging::Link {
                pointer: raw.link_pointer,
            }
        } else {
            Paging::None
        };
        Self {
            items_pointer: raw.items_pointer,
            size_parameter: raw.size_parameter,
            paging,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn validate(value: Value) -> Result<Settings, Vec<Problem>> {
        Settings::validate(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let settings = validate(json!({"baseUrl": "http://x/api/", "objects": {
            "a": {"path": "people/"}}}))
        .unwrap();
        let class = &settings.classes["a"];
        assert_eq!(settings.service.base_url, "http://x/api");
        assert_eq!(class.path, "/people");
        assert_eq!(class.id_attribute, "id");
        assert_eq!((class.create, class.update), (Create::Post, Update::Put));
        assert_eq!(class.list.paging, Paging::None);
        assert_eq!(settings.etags, Etags::Strong);
    }

    #[test]
    fn a_weak_etag_is_a_version_only_where_the_file_says_so() {
        let version = |etags: Etags, text: &str| etags.version(Some(text.to_owned())).is_some();
        assert!(version(Etags::Strong, "\"1\"") && !version(Etags::Strong, "W/\"1\""));
        assert!(version(Etags::All, "\"1\"") && version(Etags::All, "W/\"1\""));
        assert!(!version(Etags::Never, "\"1\"") && !version(Etags::Never, "W/\"1\""));
    }

    #[test]
    fn every_problem_is_reported() {
        let problems = validate(json!({"baseUrl": "http://u:p@x", "headers": {"a b": "c"},
            "auth": {"bearer": "x", "header": {"name": "a", "value": "b"}},
            "objects": {"a": {"path": "p?q", "idAttribute": "", "list": {
                "itemsPointer": "items", "pageParameter": "p", "linkHeader": true}}},
            "errors": [{"means": "refused"}], "idempotencyHeader": "a b"}))
        .unwrap_err();
        let places: Vec<&str> = problems.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(
            places,
            [
                "/baseUrl",
                "/headers/a b",
                "/auth",
                "/errors/0",
                "/idempotencyHeader",
                "/objects/a/path",
                "/objects/a/idAttribute",
                "/objects/a/list/itemsPointer",
                "/objects/a/list",
            ]
        );
    }
}
