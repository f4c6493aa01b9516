//! Tests of the translation between Recant's words and a REST service's.
use serde_json::json;

use super::*;

#[test]
fn only_an_object_of_the_collection_is_taken_for_the_one_that_was_made() {
    for (location, id) in [
        ("/api/people/7", Some("7")),
        ("http://x/api/people/a%2Fb/", Some("a/b")),
        ("people/7", Some("7")),
        ("http://x/api/people/7?full=1", Some("7")),
        ("/api/people", None),
        ("/api/people/", None),
        ("/api/people/7/mails", None),
        ("/api/peoples/7", None),
        ("http://y/api/people/7", None),
    ] {
        let found = id_below("http://x/api/people", location);
        assert_eq!(found.as_deref(), id, "{location}");
    }
}

use crate::connectors::rest::settings::{Create, Update as UpdateBy};

fn class() -> Class {
    Class {
        changes: None,
        on_request: Default::default(),
        on_response: Default::default(),
        path: "/people".to_owned(),
        id_attribute: "id".to_owned(),
        create: Create::Put,
        update: UpdateBy::Put,
        list: List {
            items_pointer: "/items".to_owned(),
            size_parameter: Some("size".to_owned()),
            paging: Paging::Offset {
                parameter: "from".to_owned(),
            },
        },
    }
}

fn map(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

#[test]
fn an_id_in_an_address_keeps_only_unreserved_characters() {
    assert_eq!(
        address("http://x/api", &class(), "a/b %é~-._'\"?#"),
        "http://x/api/people/a%2Fb%20%25%C3%A9~-._%27%22%3F%23"
    );
}

#[test]
fn the_id_travels_in_its_own_member() {
    let object = map(json!({"a": 1, "id": "wrong"}));
    let body = |id| {
        serde_json::to_string(&Body {
            id_attribute: "id",
            id,
            object: &object,
        })
        .unwrap()
    };
    assert_eq!(body(Some("x")), r#"{"id":"x","a":1}"#);
    assert_eq!(body(None), r#"{"a":1,"id":"wrong"}"#);
    assert_eq!(
        super::object(&class(), json!({"id": 7, "a": null})),
        Some((Some("7".to_owned()), map(json!({"a": null}))))
    );
    assert_eq!(super::object(&class(), json!([])), None);
}

#[test]
fn a_merge_patch_clears_what_goes_away_at_every_depth() {
    let before = TargetObject {
        id: "x".to_owned(),
        attributes: map(json!({"a": 1, "b": 2, "c": {"d": 1, "e": {"f": 1}}, "g": [1]})),
        version: None,
    };
    let after = map(json!({"a": 1, "c": {"e": {"h": 2}}, "g": [2]}));
    let update = Update {
        before: &before,
        after: &after,
        rename: None,
    };
    let patch = merge_patch(&update);
    assert_eq!(
        patch,
        json!({"c": {"e": {"h": 2, "f": null}, "d": null}, "g": [2], "b": null})
    );
    let mut patched = Value::Object(before.attributes.clone());
    json_patch::merge(&mut patched, &patch);
    assert_eq!(patched, Value::Object(after));
}

#[test]
fn only_a_whole_answer_counts_as_the_new_state() {
    let sent = map(json!({"a": 1, "b": null}));
    assert!(attributes(&sent, Some(map(json!({"a": "1", "c": 2})))).is_some());
    assert!(attributes(&sent, Some(map(json!({"status": "ok"})))).is_none());
    assert!(attributes(&sent, None).is_none());
}

#[test]
fn a_list_is_walked_to_an_empty_page() {
    let list = class().list;
    assert_eq!(
        parameters(&list, &Place::START),
        [
            ("size".to_owned(), "100".to_owned()),
            ("from".to_owned(), "0".to_owned())
        ]
    );
    assert_eq!(
        next_token(&list, None, 40, &Value::Null, None).as_deref(),
        Some("40")
    );
    assert_eq!(
        next_token(&list, Some("40"), 2, &Value::Null, None).as_deref(),
        Some("42")
    );
    assert_eq!(next_token(&list, Some("42"), 0, &Value::Null, None), None);
    let paged = List {
        paging: Paging::Cursor {
            parameter: "c".to_owned(),
            pointer: "/next".to_owned(),
        },
        ..list
    };
    assert_eq!(
        next_token(&paged, None, 0, &json!({"next": "z:1"}), None).as_deref(),
        Some("z:1")
    );
    assert_eq!(
        next_token(&paged, None, 5, &json!({"next": null}), None),
        None
    );
}

#[test]
fn a_cursor_is_read_back_as_it_was_written() {
    for place in [
        Place::START,
        Place {
            skip: 3,
            token: Some("a:b".to_owned()),
            number: 5,
            landmark: Some("é:".to_owned()),
        },
        Place {
            token: Some("7".to_owned()),
            ..Place::START
        },
    ] {
        assert_eq!(Place::from_cursor(&place.to_cursor()).unwrap(), place);
    }
    for unknown in ["x", "1:a", "1.2:a", "1.2.9:a", "1.2.1:é"] {
        assert!(Place::from_cursor(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn a_list_that_goes_round_in_circles_or_has_no_end_is_refused() {
    for circle in [1, 2, 3, 7, 100] {
        let mut place = Place::START;
        let mut pages = 0;
        let error = loop {
            // Some pages come before the circle.
            let token = if pages < 5 {
                1_000 + pages
            } else {
                pages % circle
            };
            // Queries go on from their cursors.
            place = Place::from_cursor(&place.to_cursor()).unwrap();
            match place.onward(token.to_string()) {
                Ok(next) => place = next,
                Err(error) => break error,
            }
            pages += 1;
            assert!(pages < 1_000, "a circle of {circle} is never found");
        };
        assert_eq!(error.code, 502);
    }
    let late = Place {
        number: MOST_PAGES - 1,
        ..Place::START
    };
    let last = late.onward("x".to_owned()).unwrap();
    assert!(last.onward("y".to_owned()).is_err());
}

#[test]
fn a_page_with_the_same_objects_again_is_refused() {
    let page = |ids: &[&str]| -> Vec<TargetObject> {
        let object = |id: &&str| TargetObject {
            id: (*id).to_owned(),
            attributes: Object::new(),
            version: None,
        };
        ids.iter().map(object).collect()
    };
    let mut latest = LatestPage::default();
    for other in [&["a", "b"][..], &["b", "c"], &[], &[], &["b", "c"]] {
        latest.turn_to(&page(other)).unwrap();
    }
    // A service that orders nothing may give them in another order.
    let error = latest.turn_to(&page(&["c", "b"])).unwrap_err();
    assert!(error.message.contains("paging parameter"), "{error}");
}

#[test]
fn the_next_page_is_the_link_with_that_relation() {
    for (header, next) in [
        (
            r#"<https://x/p?page=2>; rel="next""#,
            Some("https://x/p?page=2"),
        ),
        (
            r#"<https://x/a,b>; rel=prev; title="a, <b>", </p?c=2>; title="x;y"; rel="last next""#,
            Some("/p?c=2"),
        ),
        (r#"<?c=3>;REL=Next"#, Some("?c=3")),
        (r#"<https://x/p>; rel="prev""#, None),
        (r#"<https://x/p>; relation="next""#, None),
        ("", None),
        ("<broken", None),
    ] {
        assert_eq!(next_link(header).as_deref(), next, "{header}");
    }
}

#[test]
fn the_next_page_is_sought_at_the_same_service_only() {
    let base = "https://x.example/api";
    let next = |link: &str| next_address(base, "https://x.example/api/people?page=1", link);
    assert_eq!(
        next("?page=2").unwrap(),
        "https://x.example/api/people?page=2"
    );
    assert_eq!(next("/other").unwrap(), "https://x.example/other");
    for elsewhere in [
        "https://evil.example/",
        "//evil.example/x",
        "http://x.example/api",
    ] {
        assert_eq!(next(elsewhere).unwrap_err().code, 502, "{elsewhere}");
    }
}
