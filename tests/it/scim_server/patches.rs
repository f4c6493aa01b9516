//! PATCH in the forms that identity providers really send.
use serde_json::{Value, json};

use super::service::{BADGE, ENTERPRISE, Service, USER, assert_error, id};

/// What a user is before each case, as it is kept.
async fn begun(service: &Service, name: &str) -> String {
    let user = json!({
        "schemas": [USER, ENTERPRISE], "userName": name, "title": "Countess", "active": true,
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": "ada@work.example"}],
        ENTERPRISE: {"department": "Engines", "manager": {"value": "boss"}},
        BADGE: {"skills": ["maths"]},
    });
    id(&service.create("Users", user).await)
}

/// Operations, and what they change in the kept object; null: removed.
fn cases() -> Vec<(&'static str, Value, Value)> {
    let manager = format!("{ENTERPRISE}:manager");
    let department = format!("{ENTERPRISE}:department");
    vec![
        (
            "Entra: capitals and truth as text",
            json!([{"op": "Replace", "path": "active", "value": "False"}]),
            json!({"active": false}),
        ),
        (
            "Entra: add of what is there",
            json!([{"op": "Add", "path": "title", "value": "Lady"}]),
            json!({"title": "Lady"}),
        ),
        (
            "Entra: a value by its type",
            json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "a@x.example"}]),
            json!({"mail": "a@x.example"}),
        ),
        (
            "Entra: a value by a type that is not there yet",
            json!([{"op": "Add", "path": "emails[type eq \"home\"].value", "value": "a@h.example"}]),
            json!({"homeMail": "a@h.example"}),
        ),
        (
            "Entra: a phone number",
            json!([{"op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+1 555"}]),
            json!({"mobile": "+1 555"}),
        ),
        (
            "Entra: an address",
            json!([{"op": "Add", "path": "addresses[type eq \"work\"].locality", "value": "Bern"}]),
            json!({"city": "Bern"}),
        ),
        (
            "Entra: a manager as plain text",
            json!([{"op": "Replace", "path": manager, "value": "chief"}]),
            json!({"manager": "chief"}),
        ),
        (
            "a manager as an object",
            json!([{"op": "replace", "path": manager, "value": {"value": "chief", "displayName": "C"}}]),
            json!({"manager": "chief"}),
        ),
        (
            "a manager by its id",
            json!([{"op": "replace", "path": format!("{manager}.value"), "value": "chief"}]),
            json!({"manager": "chief"}),
        ),
        (
            "Entra: no manager any more",
            json!([{"op": "Replace", "path": manager, "value": ""}]),
            json!({"manager": null}),
        ),
        (
            "no manager any more",
            json!([{"op": "remove", "path": manager}]),
            json!({"manager": null}),
        ),
        (
            "Entra: no path, dotted and full names",
            json!([{"op": "Replace", "value": {
                "displayName": "Ada L", "name.givenName": "Augusta", department: "Looms",
                "emails[type eq \"work\"].value": "b@x.example", "active": "False"}}]),
            json!({"displayName": "Ada L", "givenName": "Augusta", "department": "Looms",
                "mail": "b@x.example", "active": false}),
        ),
        (
            "Okta: no path, one attribute",
            json!([{"op": "replace", "value": {"active": false}}]),
            json!({"active": false}),
        ),
        (
            "no path, with what has no place or is the service's",
            json!([{"op": "add", "value": {"schemas": [USER], "id": "x", "locale": "en", "a b": 1,
                "groups": [], "meta": {}, "title": "Lady", "name": {"familyName": "King"}}}]),
            json!({"title": "Lady", "sn": "King"}),
        ),
        (
            "an extension by its own name in a pathless value",
            json!([{"op": "add", "value": {ENTERPRISE: {"department": "Looms"}, BADGE: {"level": 4}}}]),
            json!({"department": "Looms", "level": 4}),
        ),
        (
            "an extension as a path",
            json!([{"op": "replace", "path": BADGE, "value": {"number": "B1", "skills": ["poetry"]}}]),
            json!({"badge": "B1", "skills": ["poetry"]}),
        ),
        (
            "an extension taken away",
            json!([{"op": "remove", "path": ENTERPRISE}]),
            json!({"department": null, "manager": null}),
        ),
        (
            "a value added where one stands",
            json!([{"op": "add", "path": "emails", "value": [{"type": "work", "value": "new@x.example"}]}]),
            json!({"mail": "new@x.example"}),
        ),
        (
            "values added to a list, each once",
            json!([{"op": "add", "path": format!("{BADGE}:skills"), "value": ["maths", "poetry"]}]),
            json!({"skills": ["maths", "poetry"]}),
        ),
        (
            "values taken out of a list",
            json!([{"op": "remove", "path": format!("{BADGE}:skills"), "value": ["maths"]}]),
            json!({"skills": null}),
        ),
        (
            "a complex attribute leaves alone what it does not name",
            json!([{"op": "replace", "path": "name", "value": {"givenName": "Augusta"}}]),
            json!({"givenName": "Augusta"}),
        ),
        (
            "a part set to null",
            json!([{"op": "replace", "path": "name", "value": {"givenName": null}}]),
            json!({"givenName": null}),
        ),
        (
            "a part removed",
            json!([{"op": "REMOVE", "path": "NAME.GIVENNAME"}]),
            json!({"givenName": null}),
        ),
        (
            "null means gone",
            json!([{"op": "replace", "path": "title", "value": null}]),
            json!({"title": null}),
        ),
        (
            "a list replaced",
            json!([{"op": "replace", "path": "emails", "value": [
                {"value": "n@x.example", "type": "home"}]}]),
            json!({"mail": null, "homeMail": "n@x.example"}),
        ),
        (
            "a list without its brackets",
            json!([{"op": "add", "path": "emails", "value": {"value": "n@x.example", "type": "home"}}]),
            json!({"homeMail": "n@x.example"}),
        ),
        (
            "a chosen value removed",
            json!([{"op": "remove", "path": "emails[value sw \"ada@\"]"}]),
            json!({"mail": null}),
        ),
        (
            "a value of every element",
            json!([{"op": "replace", "path": "emails.value", "value": "all@x.example"}]),
            json!({"mail": "all@x.example"}),
        ),
        (
            "operations build on each other",
            json!([{"op": "add", "path": "title", "value": "A"}, {"op": "remove", "path": "title"},
                {"op": "add", "path": "nickName", "value": "Ada"}]),
            json!({"title": null, "nick": "Ada"}),
        ),
        (
            "a password that nobody sees",
            json!([{"op": "replace", "path": "password", "value": "s3cret-word"}]),
            json!({}),
        ),
        (
            "full names of one's own schema",
            json!([{"op": "replace", "path": format!("{USER}:title"), "value": "Lady"}]),
            json!({"title": "Lady"}),
        ),
        (
            "the list of schemas is not ours to keep",
            json!([{"op": "add", "path": "schemas", "value": [BADGE]}]),
            json!({}),
        ),
    ]
}

#[tokio::test]
async fn every_form_is_understood() {
    let service = Service::start().await;
    for (number, (what, operations, changed)) in cases().into_iter().enumerate() {
        let id = begun(&service, &format!("ada{number}")).await;
        let mut expected = service.kept(&format!("user/{id}")).await;
        for (name, value) in changed.as_object().unwrap() {
            match value {
                Value::Null => drop(expected.as_object_mut().unwrap().shift_remove(name)),
                value => expected[name] = value.clone(),
            }
        }
        let patched = service.patch(&format!("/Users/{id}"), operations).await;
        assert_eq!(patched.status, 200, "{what}: {patched:#?}");
        assert_eq!(patched.header("recant-outcome"), "synced", "{what}");
        assert!(!patched.text.contains("s3cret"), "{what}");
        assert_eq!(
            service.kept(&format!("user/{id}")).await,
            expected,
            "{what}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_patched_is_told() {
    let service = Service::start().await;
    let id = begun(&service, "ada").await;
    let path = format!("/Users/{id}");
    let before = service.kept(&format!("user/{id}")).await;
    for (operations, scim_type) in [
        (json!([{"op": "move", "path": "title"}]), "invalidSyntax"),
        (json!([]), "invalidSyntax"),
        (json!([{"op": "remove"}]), "noTarget"),
        (json!([{"op": "replace", "value": "x"}]), "invalidSyntax"),
        (json!([{"op": "add", "path": "title"}]), "invalidValue"),
        (
            json!([{"op": "add", "path": "locale", "value": "en"}]),
            "invalidPath",
        ),
        (
            json!([{"op": "add", "path": "emails[type eq", "value": "en"}]),
            "invalidPath",
        ),
        (
            json!([{"op": "add", "path": "name.nothing", "value": "en"}]),
            "invalidPath",
        ),
        (
            json!([{"op": "add", "path": "title[a eq 1]", "value": "en"}]),
            "invalidPath",
        ),
        (
            json!([{"op": "replace", "path": "id", "value": "x"}]),
            "mutability",
        ),
        (
            json!([{"op": "replace", "path": "meta.created", "value": "x"}]),
            "mutability",
        ),
        (
            json!([{"op": "add", "path": "groups", "value": [{"value": "g"}]}]),
            "mutability",
        ),
        (json!([{"op": "remove", "path": "userName"}]), "mutability"),
        (
            json!([{"op": "replace", "path": "active", "value": "maybe"}]),
            "invalidValue",
        ),
        (
            json!([{"op": "replace", "path": "title", "value": {"a": 1}}]),
            "invalidValue",
        ),
        (
            json!([{"op": "add", "path": "emails", "value": [{"type": "other", "value": "x@y.example"}]}]),
            "invalidValue",
        ),
        (
            json!([{"op": "replace", "path": "emails[value co \"nobody\"].value", "value": "x@y.example"}]),
            "noTarget",
        ),
        // The first operation does not stay where the second one fails.
        (
            json!([{"op": "replace", "path": "title", "value": "Lady"}, {"op": "remove", "path": "nothing"}]),
            "invalidPath",
        ),
    ] {
        let refused = service.patch(&path, operations.clone()).await;
        assert_eq!(refused.status, 400, "{operations}: {refused:#?}");
        assert_error(&refused, 400, Some(scim_type));
        assert_eq!(
            service.kept(&format!("user/{id}")).await,
            before,
            "{operations}"
        );
    }
    assert_error(
        &service
            .patch("/Users/nobody", json!([{"op": "remove", "path": "title"}]))
            .await,
        404,
        None,
    );
}

#[tokio::test]
async fn patches_at_the_same_time_all_take_effect() {
    let service = Service::start().await;
    let id = begun(&service, "ada").await;
    let path = format!("/Users/{id}");
    let add = |number: usize| {
        let skill = json!([{"op": "add", "path": format!("{BADGE}:skills"), "value": [format!("s{number}")]}]);
        let (service, path) = (&service, &path);
        async move { service.patch(path, skill).await.status }
    };
    let statuses = futures::future::join_all((0..12).map(add)).await;
    assert_eq!(statuses, [200; 12]);
    let kept = service.kept(&format!("user/{id}")).await;
    assert_eq!(kept["skills"].as_array().unwrap().len(), 13, "{kept}");
}
