//! Attributes that somebody may not see (`viewableBy`): in no answer to them, no question leads there, and
//! what they write leaves it alone unless they name it.
use serde_json::{Value, json};

use super::service::{
    BADGE, ENTERPRISE, GROUP, PATCH, Service, USER, assert_error, devices, groups, id, users,
};
use crate::{
    api::access::client,
    support::{
        server::{Client, Reply},
        target::{Ask, Fault},
    },
};

/// Every property that only auditors see, with its value; each value stands nowhere else.
const HIDDEN: [(&str, &str); 7] = [
    ("title", "Hidden-Title"),
    ("sn", "Hidden-Sn"),
    ("homeMail", "hidden-home@x.example"),
    ("department", "Hidden-Department"),
    ("manager", "hidden-manager"),
    ("skills", "hidden-skill"),
    ("badge", "Hidden-Badge"),
];

struct Office {
    service: Service,
    caller: Client,
    user: String,
}

/// A service that is an admin's, and the client of a caller.
async fn with_tokens(types: &[Value]) -> (Service, Client) {
    let mut service = Service::with(types).await;
    let admin = client(&service.server.app, service.client(), &["admin"]).await;
    let caller = client(&service.server.app, service.client(), &["caller"]).await;
    service.server.client = admin;
    (service, caller)
}

/// Users of whom callers do not see everything, and a team whose members they do not see.
async fn office() -> Office {
    let mut users = users();
    for (name, _) in HIDDEN {
        users["schema"]["properties"][name]["viewableBy"] = json!(["auditor"]);
    }
    let mut teams = groups();
    teams["schema"]["properties"]["members"]["viewableBy"] = json!(["auditor"]);
    let (service, caller) = with_tokens(&[users, teams, devices()]).await;
    let whole = json!({
        "schemas": [USER, ENTERPRISE, BADGE], "userName": "ada", "title": "Hidden-Title",
        "name": {"givenName": "Ada", "familyName": "Hidden-Sn"},
        "emails": [{"type": "work", "value": "ada@x.example"},
            {"type": "home", "value": "hidden-home@x.example"}],
        ENTERPRISE: {"department": "Hidden-Department", "manager": {"value": "hidden-manager"}},
        BADGE: {"number": "Hidden-Badge", "level": 3, "skills": ["hidden-skill"]},
    });
    let user = id(&service.create("Users", whole).await);
    let team = json!({"schemas": [GROUP], "displayName": "all", "members": [{"value": user, "type": "User"}]});
    service.create("Groups", team).await;
    Office {
        service,
        caller,
        user,
    }
}

impl Office {
    async fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        let headers = [("content-type", "application/scim+json")];
        let text = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let path = format!("/scim/v2{path}");
        let reply = self.caller.send(method, &path, &headers, text).await;
        keeps_quiet(&reply);
        reply
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &Value::Null).await
    }

    async fn patch(&self, operations: Value) -> Reply {
        let body = json!({"schemas": [PATCH], "Operations": operations});
        self.send("PATCH", &format!("/Users/{}", self.user), &body)
            .await
    }

    async fn kept(&self) -> Value {
        self.service.kept(&format!("user/{}", self.user)).await
    }
}

fn keeps_quiet(reply: &Reply) {
    for (_, value) in HIDDEN {
        assert!(!reply.text.contains(value), "{reply:#?}");
    }
}

fn query(filter: &str) -> String {
    url::form_urlencoded::byte_serialize(filter.as_bytes()).collect()
}

#[tokio::test]
async fn no_answer_shows_what_is_hidden() {
    let office = office().await;
    let path = format!("/Users/{}", office.user);
    let read = office.get(&path).await.expect(200);
    let user = read.json();
    assert_eq!(
        (&user["userName"], &user["name"]),
        (&json!("ada"), &json!({"givenName": "Ada"}))
    );
    assert_eq!(
        user["emails"],
        json!([{"type": "work", "primary": true, "value": "ada@x.example"}])
    );
    assert_eq!(
        user["schemas"],
        json!([USER, BADGE]),
        "nothing is left of the other extension"
    );
    assert_eq!(user[BADGE], json!({"level": 3}));
    for path in [
        "/Users".to_owned(),
        "/".to_owned(),
        "/Users?attributes=title,name,emails,groups,userName".to_owned(),
        format!("{path}?attributes=title,name.familyName,{ENTERPRISE}:manager,groups"),
        format!("{path}?attributes={ENTERPRISE}"),
        "/Groups?attributes=members,members.display".to_owned(),
        "/Groups".to_owned(),
    ] {
        let reply = office.get(&path).await.expect(200);
        assert!(!reply.text.contains("\"groups\""), "{reply:#?}");
        assert!(!reply.text.contains("\"members\""), "{reply:#?}");
    }
    // Who sees everything sees it here.
    let whole = office.service.get(&path).await.expect(200);
    for (_, value) in HIDDEN {
        assert!(whole.text.contains(value), "{value}");
    }
    let tag = whole.header("etag");
    assert_eq!(tag, read.header("etag"));
}

#[tokio::test]
async fn no_question_leads_to_what_is_hidden() {
    let office = office().await;
    let manager = format!("{ENTERPRISE}:manager.value");
    let refused = [
        "title eq \"Hidden-Title\"",
        "title pr",
        "not (title sw \"H\")",
        "name.familyName pr",
        "userName eq \"ada\" or name.familyName co \"x\"",
        &format!("{ENTERPRISE}:department gt \"A\""),
        &format!("{manager} eq \"hidden-manager\""),
        &format!("{BADGE}:skills eq \"hidden-skill\""),
        &format!("{BADGE}:number pr"),
        "groups pr",
    ];
    for filter in refused {
        let path = format!("/Users?filter={}", query(filter));
        let reply = office.get(&path).await;
        assert_eq!(reply.status, 400, "{filter}: {reply:#?}");
    }
    let members = format!(
        "/Groups?filter={}",
        query(&format!("members.value eq \"{}\"", office.user))
    );
    assert_eq!(office.get(&members).await.status, 400);
    for sort in [
        "title",
        "name.familyName",
        &manager,
        &format!("{BADGE}:number"),
    ] {
        let reply = office.get(&format!("/Users?sortBy={sort}")).await;
        assert_eq!(reply.status, 400, "{sort}");
    }
    // What is hidden of a list, of an object or of an extension is as if it was not there.
    let extension = format!("schemas eq \"{ENTERPRISE}\"");
    for (filter, found) in [
        ("emails.type eq \"home\"", 0),
        ("emails[type eq \"home\"]", 0),
        ("emails.value co \"hidden\"", 0),
        ("not (emails.value co \"hidden\")", 1),
        ("emails pr", 1),
        ("name pr", 1),
        (&extension, 0),
    ] {
        let reply = office
            .get(&format!("/Users?filter={}", query(filter)))
            .await
            .expect(200);
        assert_eq!(reply.json()["totalResults"], found, "{filter}");
    }
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "title pr"});
    assert_error(
        &office.send("POST", "/Users/.search", &body).await,
        400,
        Some("sensitive"),
    );
}

#[tokio::test]
async fn a_replacement_keeps_what_its_sender_does_not_see() {
    let office = office().await;
    let before = office.kept().await;
    let path = format!("/Users/{}", office.user);
    let seen = office.get(&path).await.json();
    let mut new = seen.clone();
    new["name"]["givenName"] = json!("Augusta");
    new["emails"] = json!([]);
    new[BADGE] = json!({"level": 4});
    office.send("PUT", &path, &new).await.expect(200);
    let mut expected = before.clone();
    expected["givenName"] = json!("Augusta");
    expected["level"] = json!(4);
    expected.as_object_mut().unwrap().shift_remove("mail");
    assert_eq!(office.kept().await, expected);
    // What its sender names it may set, seen or not.
    new["title"] = json!("New");
    new["emails"] = json!([{"type": "home", "value": "new-home@x.example"}]);
    let replaced = office.send("PUT", &path, &new).await.expect(200).json();
    assert_eq!(
        (replaced.get("title"), replaced.get("emails")),
        (None, None)
    );
    expected["title"] = json!("New");
    expected["homeMail"] = json!("new-home@x.example");
    assert_eq!(office.kept().await, expected);
}

#[tokio::test]
async fn a_patch_sets_and_removes_without_seeing() {
    let office = office().await;
    let manager = format!("{ENTERPRISE}:manager");
    let skills = format!("{BADGE}:skills");
    for (operations, changed) in [
        (
            json!([{"op": "replace", "path": "title", "value": "T2"}]),
            json!({"title": "T2"}),
        ),
        (
            json!([{"op": "remove", "path": "title"}]),
            json!({"title": null}),
        ),
        (
            json!([{"op": "add", "path": "name.familyName", "value": "S2"}]),
            json!({"sn": "S2"}),
        ),
        (
            json!([{"op": "remove", "path": "name.familyName"}]),
            json!({"sn": null}),
        ),
        (
            json!([{"op": "replace", "path": "name", "value": {"givenName": "B"}}]),
            json!({"givenName": "B"}),
        ),
        (
            json!([{"op": "replace", "path": "emails[type eq \"home\"].value", "value": "h2@x.example"}]),
            json!({"homeMail": "h2@x.example"}),
        ),
        (
            json!([{"op": "remove", "path": "emails[type eq \"work\"]"}]),
            json!({"mail": null}),
        ),
        (json!([{"op": "remove", "path": "emails"}]), json!({})),
        (
            json!([{"op": "remove", "path": "emails[type eq \"home\"]"}]),
            json!({"homeMail": null}),
        ),
        (
            json!([{"op": "replace", "path": manager, "value": {"value": "m2"}}]),
            json!({"manager": "m2"}),
        ),
        (
            json!([{"op": "remove", "path": manager}]),
            json!({"manager": null}),
        ),
        (
            json!([{"op": "replace", "path": skills, "value": ["s2"]}]),
            json!({"skills": ["s2"]}),
        ),
        (
            json!([{"op": "remove", "path": skills}]),
            json!({"skills": null}),
        ),
        (
            json!([{"op": "add", "path": skills, "value": ["s1"]}, {"op": "add", "path": skills, "value": ["s0"]}]),
            json!({"skills": ["s1", "s0"]}),
        ),
        (
            json!([{"op": "add", "path": skills, "value": ["s3"]}]),
            json!({"skills": ["s1", "s0", "s3"]}),
        ),
        (
            json!([{"op": "add", "path": skills, "value": ["s4"]}, {"op": "replace", "path": skills, "value": ["s5"]}]),
            json!({"skills": ["s5"]}),
        ),
        (
            json!([{"op": "add", "path": skills, "value": []}, {"op": "add", "path": "title", "value": ""}]),
            json!({}),
        ),
        (json!([{"op": "remove", "path": ENTERPRISE}]), json!({})),
        (
            json!([{"op": "replace", "value": {"title": "T3", "active": true}}]),
            json!({"title": "T3", "active": true}),
        ),
    ] {
        let before = office.kept().await;
        let reply = office.patch(operations.clone()).await;
        assert_eq!(reply.status, 200, "{operations}: {reply:#?}");
        let mut expected = before.as_object().unwrap().clone();
        for (name, value) in changed.as_object().unwrap() {
            match value {
                Value::Null => expected.shift_remove(name),
                value => expected.insert(name.clone(), value.clone()),
            };
        }
        assert_eq!(office.kept().await, Value::Object(expected), "{operations}");
    }
    for operations in [
        json!([{"op": "remove", "path": skills, "value": ["hidden-skill"]}]),
        json!([{"op": "remove", "path": format!("{skills}[value eq \"hidden-skill\"]")}]),
    ] {
        let reply = office.patch(operations).await;
        assert_error(&reply, 400, Some("mutability"));
    }
}

#[tokio::test]
async fn what_a_target_says_of_a_hidden_value_is_not_told() {
    let office = office().await;
    office.service.world.targets[1].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    let reply = office
        .patch(json!([{"op": "replace", "path": "userName", "value": "eve"}]))
        .await;
    assert_error(&reply, 409, None);
    assert_eq!(reply.header("recant-outcome"), "compensated");
    let many = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        {"method": "PATCH", "path": format!("/Users/{}", office.user), "data": {"Operations": [
            {"op": "replace", "path": "active", "value": false}]}},
        {"method": "POST", "path": "/Users", "bulkId": "b", "data": {"schemas": [USER], "userName": "ada"}}]});
    let done = office.send("POST", "/Bulk", &many).await.expect(200).json();
    assert_eq!(done["Operations"][0]["status"], "200");
    assert_eq!(done["Operations"][1]["response"]["scimType"], "uniqueness");
}

/// Who may not see a unique attribute would learn from a refusal who has which value.
#[tokio::test]
async fn what_must_be_unique_and_is_hidden_is_for_others_to_set() {
    let mut devices = devices();
    devices["schema"]["properties"]["serial"]["viewableBy"] = json!(["auditor"]);
    devices["schema"]
        .as_object_mut()
        .unwrap()
        .shift_remove("required");
    let (service, caller) = with_tokens(&[users(), devices]).await;
    let schema = "urn:recant:scim:schemas:2.0:Device";
    let device = |serial: &str| json!({"schemas": [schema], "serial": serial});
    let id = id(&service.create("Devices", device("x1")).await);
    let headers = [("content-type", "application/scim+json")];
    for serial in ["x1", "x2"] {
        let reply = caller
            .send(
                "POST",
                "/scim/v2/Devices",
                &headers,
                device(serial).to_string(),
            )
            .await;
        assert_error(&reply, 403, None);
        let patch = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "serial", "value": serial}]});
        let path = format!("/scim/v2/Devices/{id}");
        let reply = caller
            .send("PATCH", &path, &headers, patch.to_string())
            .await;
        assert_error(&reply, 403, None);
    }
    let heavy = json!({"schemas": [schema], "weight": 2.5});
    let path = format!("/scim/v2/Devices/{id}");
    let put = caller
        .send("PUT", &path, &headers, heavy.to_string())
        .await
        .expect(200);
    assert!(!put.text.contains("x1"), "{put:#?}");
    assert_eq!(service.kept(&format!("device/{id}")).await["serial"], "x1");
}

#[tokio::test]
async fn members_that_are_not_shown_can_be_added() {
    let office = office().await;
    let list = office.get("/Groups").await.expect(200).json();
    let team = id(&list["Resources"][0]);
    let bob = office.service.user("bob").await;
    let patch = async |operation: Value| {
        let body = json!({"schemas": [PATCH], "Operations": [operation]});
        office
            .send("PATCH", &format!("/Groups/{team}"), &body)
            .await
    };
    patch(json!({"op": "Add", "path": "members", "value": [{"value": bob}]}))
        .await
        .expect(200);
    let kept = office.service.kept(&format!("team/{team}")).await;
    let of = |id: &str| json!({"value": id, "type": "User"});
    assert_eq!(kept["members"], json!([of(&office.user), of(&bob)]));
    let one = patch(json!({"op": "remove", "path": format!("members[value eq \"{bob}\"]")})).await;
    assert_error(&one, 400, Some("mutability"));
    patch(json!({"op": "remove", "path": "members"}))
        .await
        .expect(200);
    let kept = office.service.kept(&format!("team/{team}")).await;
    assert_eq!(kept.get("members"), None);
}
