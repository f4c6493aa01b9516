//! What a property keeps beyond what SCIM shows of it stays, and references lead to the kind that is meant.
use serde_json::{Value, json};

use super::service::{GROUP, PATCH, Service, USER, assert_error, groups, id, users};

/// Users whose lists and names have more to them than SCIM's attributes say.
fn rich_users() -> Value {
    let text = || json!({"type": "string"});
    json!({
        "name": "user",
        "schema": {"type": "object", "properties": {
            "userName": text(),
            "name": {"type": "object", "properties": {"givenName": text(), "familyName": text()}},
            "emails": {"type": "array", "items": {"type": "object", "properties": {
                "value": text(), "type": text(), "primary": {"type": "boolean"}}}},
            "manager": {"type": "object", "properties": {"_ref": text()}},
        }},
        "scim": {"attributes": {"userName": "userName", "name": "name", "emails": "emails",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager": "manager"}}
    })
}

fn groups_of(items: Value) -> Value {
    let mut groups = groups();
    groups["schema"]["properties"]["members"]["items"] = items;
    groups
}

#[tokio::test]
async fn lists_keep_what_scim_does_not_show_of_them() {
    let path = json!({"type": "object", "properties": {"_ref": {"type": "string"}}});
    let service = Service::with(&[rich_users(), groups_of(path)]).await;
    let put = async |path: &str, body: Value| {
        let reply = service
            .client()
            .json("PUT", &format!("/managed/{path}"), &body)
            .await;
        assert!([200, 201].contains(&reply.status), "{reply:#?}");
    };
    put("user/a", json!({
        "userName": "ada",
        "name": {"givenName": "Ada", "familyName": "L", "maiden": "Byron"},
        "emails": [{"value": "a@x", "type": "work", "verified": true}, {"value": "b@x", "type": "home", "since": 1999},
            {"note": "no address"}],
        "manager": {"_ref": "managed/user/boss", "_refProperties": {"since": 2001}},
    })).await;
    let patch = async |operations: Value| {
        service.patch("/Users/a", operations).await.expect(200);
        service.kept("user/a").await
    };
    let kept = patch(json!([
        {"op": "add", "path": "emails", "value": [{"value": "c@x", "type": "other"}]},
        {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "n@x"},
        {"op": "replace", "path": "name.familyName", "value": "King"},
        {"op": "replace", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
            "value": {"value": "boss"}},
    ])).await;
    assert_eq!(
        kept["emails"],
        json!([
        {"value": "n@x", "type": "work", "verified": true}, {"value": "b@x", "type": "home", "since": 1999},
        {"value": "c@x", "type": "other"}, {"note": "no address"}])
    );
    assert_eq!(
        kept["name"],
        json!({"givenName": "Ada", "familyName": "King", "maiden": "Byron"})
    );
    assert_eq!(
        kept["manager"],
        json!({"_ref": "managed/user/boss", "_refProperties": {"since": 2001}})
    );
    let replacement =
        json!({"schemas": [USER], "userName": "ada", "emails": [{"value": "b@x", "type": "work"}]});
    service
        .send("PUT", "/Users/a", &replacement)
        .await
        .expect(200);
    let kept = service.kept("user/a").await;
    assert_eq!(
        kept["emails"],
        json!([{"value": "b@x", "type": "work", "since": 1999}, {"note": "no address"}])
    );
    assert_eq!(kept["name"], json!({"maiden": "Byron"}), "what nobody saw");
    put("team/t", json!({"name": "all", "members": [
        {"_ref": "managed/user/a", "_refProperties": {"role": "lead"}}, {"_ref": "managed/robot/r"}, {"by": "rule"}]})).await;
    let more = json!([{"op": "add", "path": "members", "value": [{"value": "b", "type": "User"}]}]);
    service.patch("/Groups/t", more).await.expect(200);
    assert_eq!(
        service.kept("team/t").await["members"],
        json!([
        {"_ref": "managed/user/a", "_refProperties": {"role": "lead"}}, {"_ref": "managed/robot/r"},
        {"_ref": "managed/user/b"}, {"by": "rule"}])
    );
    let fewer = json!([{"op": "remove", "path": "members[value eq \"b\"]"}]);
    service.patch("/Groups/t", fewer).await.expect(200);
    assert_eq!(
        service.kept("team/t").await["members"],
        json!([
        {"_ref": "managed/user/a", "_refProperties": {"role": "lead"}}, {"_ref": "managed/robot/r"}, {"by": "rule"}])
    );
}

#[tokio::test]
async fn a_member_is_of_the_kind_that_it_is() {
    let text = || json!({"type": "string"});
    for (items, user, group) in [
        (
            json!({"type": "object", "properties": {"_ref": text()}}),
            json!({"_ref": "managed/user/ID"}),
            json!({"_ref": "managed/team/ID"}),
        ),
        (
            json!({"type": "object", "properties": {"value": text(), "type": text()}}),
            json!({"value": "ID", "type": "User"}),
            json!({"value": "ID", "type": "Group"}),
        ),
        (text(), json!("ID"), json!("ID")),
    ] {
        let is_path = items["properties"]["_ref"].is_object();
        let service = Service::with(&[users(), groups_of(items.clone())]).await;
        let ada = service.user("ada").await;
        let body = json!({"schemas": [GROUP], "displayName": "inner"});
        let inner = id(&service.create("Groups", body).await);
        let of = |form: &Value, id: &str| -> Value {
            serde_json::from_str(&form.to_string().replace("ID", id)).unwrap()
        };
        let post = async |members: Value| {
            let body = json!({"schemas": [GROUP], "displayName": "outer", "members": members});
            service.send("POST", "/Groups", &body).await
        };
        let made = post(json!([{"value": inner}, {"value": ada}]))
            .await
            .expect(201)
            .json();
        let outer = id(&made);
        let kept = service.kept(&format!("team/{outer}")).await;
        let (user, group) = (of(&user, &ada), of(&group, &inner));
        assert_eq!(kept["members"], json!([group, user]), "{items}");
        let types: Vec<&Value> = made["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["type"])
            .collect();
        assert_eq!(types, [&json!("Group"), &json!("User")], "{items}");
        // Nobody may be added as an id, but not as something that names its kind.
        let nobody = post(json!([{"value": "nobody"}])).await;
        match is_path {
            true => assert_error(&nobody, 400, Some("invalidValue")),
            false => assert_eq!(nobody.status, 201, "{nobody:#?}"),
        }
        for wrong in [
            json!([{"value": ada, "type": "User", "$ref": format!("../Groups/{ada}")}]),
            json!([{"value": ada, "$ref": "https://x.example/scim/v2/Devices/1"}]),
        ] {
            let refused = post(wrong.clone()).await;
            let is_known = wrong[0]["type"].is_string();
            assert!(!is_known || refused.status == 400, "{refused:#?}");
        }
        // The same id as a user and as a group.
        service
            .client()
            .json("PUT", "/managed/user/same", &json!({"userName": "same"}))
            .await
            .expect(201);
        service
            .client()
            .json("PUT", "/managed/team/same", &json!({"name": "same"}))
            .await
            .expect(201);
        assert_error(
            &post(json!([{"value": "same"}])).await,
            400,
            Some("invalidValue"),
        );
        assert_eq!(
            post(json!([{"value": "same", "type": "group"}]))
                .await
                .status,
            201
        );
        let add = json!({"schemas": [PATCH], "Operations": [{"op": "add", "path": "members", "value": [{"value": "same"}]}]});
        assert_error(
            &service
                .send("PATCH", &format!("/Groups/{outer}"), &add)
                .await,
            400,
            Some("invalidValue"),
        );
    }
}
