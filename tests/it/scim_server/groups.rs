//! Groups, their members, and the groups of a user.
use serde_json::{Value, json};

use super::service::{GROUP, Service, assert_error, id, users};

async fn group(service: &Service, name: &str, members: Value) -> String {
    let body = json!({"schemas": [GROUP], "displayName": name, "members": members});
    id(&service.create("Groups", body).await)
}

async fn members(service: &Service, group: &str) -> Vec<String> {
    let group = service
        .get(&format!("/Groups/{group}"))
        .await
        .expect(200)
        .json();
    let members = group["members"].as_array().cloned().unwrap_or_default();
    members
        .iter()
        .map(|it| it["value"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn members_are_users_and_groups_with_names_and_addresses() {
    let service = Service::start().await;
    let (ada, bob) = (service.user("ada").await, service.user("bob").await);
    let inner = group(&service, "inner", json!([{"value": ada}])).await;
    let outer = group(
        &service,
        "outer",
        json!([
        {"value": inner, "type": "Group"}, {"$ref": format!("../Users/{bob}"), "type": "User"},
        {"value": "nobody"}, {"value": bob}]),
    )
    .await;
    let shown = service.get(&format!("/Groups/{outer}")).await.json();
    let base = format!("http://{}/scim/v2", service.server.address);
    assert_eq!(
        shown["members"],
        json!([
            {"value": inner, "type": "Group", "$ref": format!("{base}/Groups/{inner}")},
            {"value": bob, "type": "User", "$ref": format!("{base}/Users/{bob}")},
            {"value": "nobody"},
            // Told by its id alone, it is the same member.
        ])
    );
    let named = service
        .get(&format!(
            "/Groups/{outer}?attributes=members.display,members.value"
        ))
        .await
        .json();
    assert_eq!(
        named["members"],
        json!([{"value": inner, "display": "inner"}, {"value": bob, "display": "bob"}, {"value": "nobody"}])
    );
    let user = service
        .get(&format!("/Users/{ada}?attributes=groups"))
        .await
        .json();
    let mut groups: Vec<Value> = user["groups"].as_array().unwrap().clone();
    groups.sort_by_key(|it| it["display"].to_string());
    assert_eq!(
        groups,
        [
            json!({"value": inner, "$ref": format!("{base}/Groups/{inner}"), "type": "direct", "display": "inner"}),
            json!({"value": outer, "$ref": format!("{base}/Groups/{outer}"), "type": "indirect", "display": "outer"}),
        ]
    );
    assert_eq!(
        service
            .get(&format!("/Users/{ada}"))
            .await
            .json()
            .get("groups"),
        None
    );
    let without = service
        .get(&format!("/Groups/{outer}?excludedAttributes=members"))
        .await
        .json();
    assert_eq!(
        (without.get("members"), &without["displayName"]),
        (None, &json!("outer"))
    );
    for (filter, expected) in [
        (format!("members.value eq \"{ada}\""), "inner"),
        (format!("members eq \"{bob}\""), "outer"),
        (format!("members[value eq \"{bob}\"]"), "outer"),
        (
            format!("displayName eq \"OUTER\" and members.value eq \"{bob}\""),
            "outer",
        ),
        ("members pr".to_owned(), "inner outer"),
        ("members.type eq \"group\"".to_owned(), "outer"),
    ] {
        assert_eq!(
            service.found("Groups", &filter).await.join(" "),
            expected,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn members_come_and_go_in_every_form() {
    let service = Service::start().await;
    let all = group(
        &service,
        "all",
        json!([{"value": "a"}, {"value": "b"}, {"value": "c"}]),
    )
    .await;
    let path = format!("/Groups/{all}");
    for (what, operations, expected) in [
        (
            "Entra: one more",
            json!([{"op": "Add", "path": "members", "value": [{"value": "d"}]}]),
            "a b c d",
        ),
        (
            "one that is there",
            json!([{"op": "add", "path": "members", "value": [{"value": "d", "display": "D"}]}]),
            "a b c d",
        ),
        (
            "Entra: by value",
            json!([{"op": "Remove", "path": "members", "value": [{"value": "d"}, {"value": "nobody"}]}]),
            "a b c",
        ),
        (
            "by filter",
            json!([{"op": "remove", "path": "members[value eq \"a\"]"}]),
            "b c",
        ),
        (
            "by filter, not there",
            json!([{"op": "remove", "path": "members[value eq \"a\"]"}]),
            "b c",
        ),
        (
            "of two",
            json!([{"op": "remove", "path": "members[value eq \"b\" or value eq \"x\"]"}]),
            "c",
        ),
        (
            "an empty list removes nothing",
            json!([{"op": "remove", "path": "members", "value": []}]),
            "c",
        ),
        (
            "no path",
            json!([{"op": "add", "value": {"members": [{"value": "e"}]}}]),
            "c e",
        ),
        (
            "all others",
            json!([{"op": "replace", "path": "members", "value": [{"value": "f"}, {"value": "f"}]}]),
            "f",
        ),
        (
            "plain ids",
            json!([{"op": "add", "path": "members", "value": ["g"]}]),
            "f g",
        ),
        (
            "nobody",
            json!([{"op": "replace", "path": "members", "value": []}]),
            "",
        ),
        (
            "somebody",
            json!([{"op": "add", "path": "members", "value": {"value": "h"}}]),
            "h",
        ),
        (
            "nobody again",
            json!([{"op": "remove", "path": "members"}]),
            "",
        ),
    ] {
        let patched = service.patch(&path, operations).await;
        assert_eq!(patched.status, 200, "{what}: {patched:#?}");
        assert_eq!(members(&service, &all).await.join(" "), expected, "{what}");
    }
    assert_error(
        &service
            .send("POST", "/Groups", &json!({"schemas": [GROUP]}))
            .await,
        400,
        Some("invalidValue"),
    );
}

#[tokio::test]
async fn members_are_kept_as_the_type_keeps_them() {
    for (items, kept) in [
        (json!({"type": "string"}), json!(["u1"])),
        (
            json!({"type": "object", "properties": {"_ref": {"type": "string"}}}),
            json!([{"_ref": "managed/user/u1"}]),
        ),
        (
            json!({"type": "object", "properties": {"value": {"type": "string"}}}),
            json!([{"value": "u1", "type": "User"}]),
        ),
    ] {
        let group_type = json!({
            "name": "team", "schema": {"type": "object", "properties": {
                "name": {"type": "string"}, "members": {"type": "array", "items": items}}},
            "scim": {"resourceType": "Group", "attributes": {
                "displayName": "name", "members": {"property": "members", "references": ["User"]}}}
        });
        let service = Service::with(&[users(), group_type]).await;
        let id = group(&service, "all", json!([{"value": "u1", "type": "User"}])).await;
        assert_eq!(
            service.kept(&format!("team/{id}")).await["members"],
            kept,
            "{items}"
        );
        assert_eq!(members(&service, &id).await, ["u1"]);
        assert_eq!(
            service.found("Groups", "members.value eq \"u1\"").await,
            ["all"],
            "{items}"
        );
        assert!(
            service
                .found("Groups", "members.value eq \"U1\"")
                .await
                .is_empty()
        );
    }
}
