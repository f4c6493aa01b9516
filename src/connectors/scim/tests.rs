//! Tests of the translation between Recant's objects and a SCIM service's resources.
use serde_json::json;

use super::*;
use crate::{
    connectors::scim::{
        Dialect, RawDeviations, Removal,
        dialect::Filtering,
        discovery::{Discovery, entries},
        filter::{matches, narrowed},
        groups::Batches,
        list::List,
        patch,
    },
    model::Filter,
};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

struct World {
    class: Class,
    shape: Shape,
    deviations: Deviations,
}

impl World {
    fn of(resource_type: &str) -> Self {
        let class = Class {
            name: "account".to_owned(),
            resource_type: resource_type.to_owned(),
            path: None,
            schema: None,
            key: "externalId".to_owned(),
            delete: Removal::Delete,
            members_of: None,
            write_only: vec!["password".to_owned()],
        };
        let types = json!([{"name": "User", "endpoint": "/Users",
            "schema": "urn:ietf:params:scim:schemas:core:2.0:User",
            "schemaExtensions": [{"schema": ENTERPRISE}]}]);
        let discovery = Discovery {
            announced: None,
            types: entries(types.to_string().as_bytes()),
            schemas: Vec::new(),
        };
        Self {
            shape: Shape::of(&class, &discovery),
            class,
            deviations: Deviations::of(Dialect::Standard, RawDeviations::default()),
        }
    }

    fn site(&self) -> Site<'_> {
        Site {
            class: &self.class,
            shape: &self.shape,
            deviations: &self.deviations,
        }
    }
}

fn map(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

#[test]
fn what_is_the_services_own_never_shows() {
    let world = World::of("User");
    let resource = world
        .site()
        .resource(json!({
            "schemas": ["x", ENTERPRISE], "id": "7", "externalId": "ann",
            "meta": {"version": "W/\"1\"", "lastModified": "2026-01-01T00:00:00Z"},
            "userName": "ann", "active": "True", "nickName": null, "roles": [],
            "name": {"givenName": "Ann", "middleName": null},
            "groups": [{"value": "1"}],
            (ENTERPRISE): {"department": "IT",
                "manager": {"value": "9", "$ref": "../Users/9", "displayName": "Bob"}},
        }))
        .unwrap();
    assert_eq!(
        (resource.id.as_str(), resource.key.as_deref()),
        ("7", Some("ann"))
    );
    assert_eq!(resource.version.as_deref(), Some("W/\"1\""));
    assert_eq!(
        Value::Object(resource.attributes),
        json!({"userName": "ann", "active": true, "name": {"givenName": "Ann"},
            (format!("{ENTERPRISE}:department")): "IT",
            (format!("{ENTERPRISE}:manager")): {"value": "9"}})
    );
    assert!(world.site().resource(json!({"userName": "x"})).is_err());
}

#[test]
fn a_body_has_its_extensions_where_they_belong() {
    let world = World::of("User");
    let object = map(json!({"userName": "ann", "nickName": null,
        (format!("{ENTERPRISE}:department")): "IT", "urn:x:y:2.0:User:badge": 7}));
    assert_eq!(
        world.site().body(Some("7"), Some("ann"), &object),
        json!({"id": "7", "externalId": "ann", "userName": "ann",
            (ENTERPRISE): {"department": "IT"}, "urn:x:y:2.0:User": {"badge": 7},
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE, "urn:x:y:2.0:User"]})
    );
}

#[test]
fn what_is_read_and_sent_again_is_what_was_there() {
    let world = World::of("Group");
    let read = json!({"id": "1", "externalId": "g", "displayName": "G",
        "members": [{"value": "b", "display": "B", "type": "User"}, {"value": "a", "$ref": "x"}]});
    let resource = world.site().resource(read).unwrap();
    assert_eq!(resource.attributes["members"], json!(["a", "b"]));
    let body = world.site().body(None, Some("g"), &resource.attributes);
    assert_eq!(body["members"], json!([{"value": "a"}, {"value": "b"}]));
}

#[test]
fn a_plan_compares_what_the_service_will_hold() {
    let world = World::of("Group");
    let after = map(json!({"displayName": "G", "members": [{"value": "b"}, "a", "b"], "x": []}));
    assert_eq!(
        Value::Object(world.site().refined(&after)),
        json!({"displayName": "G", "members": ["a", "b"]})
    );
    let world = World::of("User");
    let after = map(
        json!({"nickName": null, "name": {"givenName": "A", "middleName": null},
        "groups": [], "password": "x"}),
    );
    assert_eq!(
        Value::Object(world.site().refined(&after)),
        json!({"name": {"givenName": "A"}, "password": "x"})
    );
    let shown = json!({"id": "1", "userName": "a", "password": "{SSHA}x"});
    assert_eq!(
        Value::Object(world.site().resource(shown).unwrap().attributes),
        json!({"userName": "a"})
    );
}

#[test]
fn a_patch_holds_only_what_differs() {
    let world = World::of("User");
    let before = map(
        json!({"title": "Dr", "nickName": "A", "name": {"givenName": "Ann",
        "middleName": "B"}, "emails": [{"value": "a@x"}], (format!("{ENTERPRISE}:department")): "IT"}),
    );
    let after = map(
        json!({"title": "Dr", "displayName": "Ann", "name": {"givenName": "Anna"},
        "emails": [{"value": "b@x"}], (format!("{ENTERPRISE}:department")): "HR"}),
    );
    let operations = patch::operations(&world.site(), &before, &after);
    assert_eq!(
        json!(operations),
        json!([
            {"op": "remove", "path": "name.middleName"},
            {"op": "remove", "path": "nickName"},
            {"op": "add", "path": "displayName", "value": "Ann"},
            {"op": "replace", "path": "name.givenName", "value": "Anna"},
            {"op": "replace", "path": "emails", "value": [{"value": "b@x"}]},
            {"op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "HR"},
        ])
    );
    assert!(patch::operations(&world.site(), &after, &after).is_empty());
}

#[test]
fn a_service_without_paths_gets_one_piece() {
    let mut world = World::of("User");
    world.deviations = Deviations {
        booleans_as_text: true,
        ..Dialect::Salesforce.profile()
    };
    let before = map(json!({"title": "Dr", "name": {"givenName": "Ann"}}));
    let after = map(json!({"active": false, "name": {"givenName": "Anna"},
        (format!("{ENTERPRISE}:department")): "HR"}));
    let operations = patch::operations(&world.site(), &before, &after);
    assert_eq!(
        json!(operations),
        json!([{"op": "remove", "path": "title"}, {"op": "replace", "value": {"active": "False",
            "name": {"givenName": "Anna"}, (ENTERPRISE): {"department": "HR"}}}])
    );
}

#[test]
fn members_come_and_go_in_pieces() {
    let mut world = World::of("Group");
    world.deviations.members_per_request = 2;
    let group =
        |name: &str, members: &[&str]| map(json!({"displayName": name, "members": members}));
    let before = group("G", &["a", "b"]);
    let after = group("H", &["b", "c", "d", "e"]);
    let Batches(batches) = Batches::between(&world.site(), &before, &after, None);
    assert_eq!(
        json!(batches),
        json!([
            [{"op": "replace", "path": "displayName", "value": "H"},
             {"op": "remove", "path": "members[value eq \"a\"]"},
             {"op": "add", "path": "members", "value": [{"value": "c"}]}],
            [{"op": "add", "path": "members", "value": [{"value": "d"}, {"value": "e"}]}],
        ])
    );
    world.deviations.patch_filters = false;
    let Batches(batches) = Batches::between(&world.site(), &before, &group("G", &["b"]), None);
    assert_eq!(
        json!(batches),
        json!([[{"op": "remove", "path": "members", "value": [{"value": "a"}]}]])
    );
    let (first, rest) = Batches::of_new(&world.site(), &after);
    assert_eq!((&first["members"], rest), (&json!(["b", "c"]), true));
}

#[test]
fn a_filter_is_narrowed_by_what_the_service_knows_for_certain() {
    let world = World::of("User");
    let narrow =
        |filtering, text: &str| narrowed(&world.site(), filtering, &Filter::parse(text).unwrap());
    for (text, wanted) in [
        ("_id eq \"a\\\"b\"", Some("externalId eq \"a\\\"b\"")),
        ("_id eq \"id:7\"", None),
        ("name/givenName sw \"A\"", Some("name.givenName sw \"A\"")),
        ("emails/0/value co \"x\"", Some("emails.value co \"x\"")),
        (
            "userName eq \"a\" and active eq true",
            Some("userName eq \"a\""),
        ),
        ("userName eq \"a\" or active eq true", None),
        (
            "userName eq \"a\" or userName eq \"b\"",
            Some("(userName eq \"a\" or userName eq \"b\")"),
        ),
        ("!(userName eq \"a\")", None),
        ("userName gt \"a\"", None),
        ("members eq \"a\"", None),
        ("a~1b eq \"x\"", None),
        ("userName eq null", None),
    ] {
        assert_eq!(
            narrow(Filtering::Announced, text).as_deref(),
            wanted,
            "{text}"
        );
    }
    assert_eq!(
        narrow(Filtering::Equal, "userName sw \"a\" and _id eq \"b\"").as_deref(),
        Some("externalId eq \"b\"")
    );
    assert_eq!(narrow(Filtering::None, "userName eq \"a\""), None);
}

#[test]
fn a_field_leads_into_the_elements_of_a_list() {
    let object = map(json!({"emails": [{"value": "a@x"}, {"value": "b@x"}]}));
    let holds = |text: &str| matches(&Filter::parse(text).unwrap(), &object);
    assert!(holds("emails/value eq \"b@x\"") && holds("emails/1/value eq \"b@x\""));
    assert!(!holds("emails/value eq \"c@x\"") && !holds("emails/kind pr"));
}

#[test]
fn pages_follow_one_another_whatever_their_size() {
    use crate::connectors::scim::Paging::{Cursor, Index};
    let page = |value: Value| List::read(value.to_string().as_bytes()).unwrap();
    let three = page(json!({"totalResults": 7, "startIndex": 1, "Resources": [1, 2, 3]}));
    assert_eq!(three.next(Index, None).unwrap().as_deref(), Some("4"));
    let rest = page(json!({"totalResults": 7, "startIndex": 4, "Resources": [4, 5, 6, 7]}));
    assert_eq!(rest.next(Index, Some("4")).unwrap(), None);
    assert!(three.next(Index, Some("4")).is_err(), "the same page again");
    assert_eq!(
        page(json!({"totalResults": 0})).next(Index, None).unwrap(),
        None
    );
    let open = page(json!({"Resources": [1], "nextCursor": "x"}));
    assert_eq!(open.next(Index, None).unwrap().as_deref(), Some("2"));
    assert_eq!(open.next(Cursor, Some("w")).unwrap().as_deref(), Some("x"));
    assert!(open.next(Cursor, Some("x")).is_err());
}
