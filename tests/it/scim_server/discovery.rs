//! What the service says about itself, and what `recant check` says about its configuration.
use recant::{config, hooks::Runtime};
use serde_json::{Value, json};

use super::service::{BADGE, ENTERPRISE, Service, USER, assert_error, devices, users};

fn attribute<'a>(schema: &'a Value, path: &[&str]) -> &'a Value {
    let (first, rest) = path.split_first().unwrap();
    let list = schema
        .get("attributes")
        .or(schema.get("subAttributes"))
        .unwrap();
    let found = list
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"] == *first);
    let found = found.unwrap_or_else(|| panic!("no {first} in {schema}"));
    if rest.is_empty() {
        found
    } else {
        attribute(found, rest)
    }
}

#[tokio::test]
async fn schemas_say_what_types_keep() {
    let service = Service::start().await;
    let config = service
        .get("/ServiceProviderConfig")
        .await
        .expect(200)
        .json();
    for feature in ["patch", "bulk", "filter", "sort", "etag", "changePassword"] {
        assert_eq!(config[feature]["supported"], true, "{feature}");
    }
    assert_eq!(
        (
            &config["bulk"]["maxOperations"],
            &config["filter"]["maxResults"]
        ),
        (&json!(20), &json!(50))
    );
    assert_eq!(config["pagination"]["cursor"], true);
    let kinds = service.get("/ResourceTypes").await.expect(200).json();
    let kind = &kinds["Resources"][0];
    assert_eq!(
        (&kind["id"], &kind["endpoint"], &kind["schema"]),
        (&json!("User"), &json!("/Users"), &json!(USER))
    );
    let extensions: Vec<&str> = kind["schemaExtensions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["schema"].as_str().unwrap())
        .collect();
    assert_eq!(extensions, [ENTERPRISE, BADGE]);
    assert_eq!(&service.get("/ResourceTypes/User").await.json(), kind);
    let list = service.get("/Schemas").await.expect(200).json();
    assert_eq!(list["totalResults"], 5);
    let user = service
        .get(&format!("/Schemas/{USER}"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        user["meta"]["location"],
        format!("http://{}/scim/v2/Schemas/{USER}", service.server.address)
    );
    let name = attribute(&user, &["userName"]);
    assert_eq!(
        (&name["required"], &name["uniqueness"], &name["caseExact"]),
        (&json!(true), &json!("server"), &json!(false))
    );
    let password = attribute(&user, &["password"]);
    assert_eq!(
        (&password["mutability"], &password["returned"]),
        (&json!("writeOnly"), &json!("never"))
    );
    assert_eq!(
        attribute(&user, &["emails", "type"])["canonicalValues"],
        json!(["work", "home"])
    );
    let parts = attribute(&user, &["name"])["subAttributes"]
        .as_array()
        .unwrap();
    assert_eq!(parts.len(), 2);
    let groups = attribute(&user, &["groups"]);
    assert_eq!(
        (&groups["mutability"], &groups["returned"]),
        (&json!("readOnly"), &json!("request"))
    );
    assert!(!user["attributes"].to_string().contains("externalId"));
    let badge = service
        .get(&format!("/Schemas/{BADGE}"))
        .await
        .expect(200)
        .json();
    assert_eq!(attribute(&badge, &["level"])["type"], "integer");
    assert_eq!(attribute(&badge, &["hired"])["type"], "dateTime");
    assert_eq!(attribute(&badge, &["hired"])["mutability"], "immutable");
    assert_eq!(attribute(&badge, &["skills"])["multiValued"], true);
    let device = service
        .get("/Schemas/urn:recant:scim:schemas:2.0:Device")
        .await
        .expect(200)
        .json();
    assert_eq!(attribute(&device, &["ports", "speed"])["type"], "integer");
    assert_error(&service.get("/Schemas?filter=id%20pr").await, 403, None);
    assert_error(&service.get("/Schemas/nothing").await, 404, None);
    assert_error(
        &service.send("POST", "/Schemas", &json!({})).await,
        405,
        None,
    );
}

/// What `recant check` says of these types.
fn problems(types: Value) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    write("recant.toml", &format!("[secrets]\nkey = \"{key}\"\n"));
    write("conf/managed.json", &json!({"objects": types}).to_string());
    write("conf/sync.json", "{\"mappings\": []}");
    let runtime = |limits: &recant::hooks::Limits| Runtime::new(limits.clone());
    let loaded = config::load(folder.path(), &runtime, &|_| None);
    loaded.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn configurations_without_fault_have_no_problems() {
    assert_eq!(
        problems(json!([users(), super::service::groups(), devices()])),
        [""; 0]
    );
}

#[test]
fn mistakes_are_told_with_their_place() {
    let with = |attributes: Value| {
        let mut user = users();
        user["scim"]["attributes"]
            .as_object_mut()
            .unwrap()
            .extend(attributes.as_object().unwrap().clone());
        json!([user])
    };
    for (types, place, told) in [
        (
            with(json!({"emails": "mail"})),
            "attributes/emails",
            "kept elsewhere",
        ),
        (
            with(json!({"ims": "mail"})),
            "attributes/ims",
            "ims[type eq",
        ),
        (
            with(json!({"userType": "skills"})),
            "attributes/userType",
            "one value",
        ),
        (
            with(json!({"a b": "mail"})),
            "attributes/a b",
            "names no attribute",
        ),
        (
            with(json!({"locale": "nothing"})),
            "attributes/locale",
            "no property `/nothing`",
        ),
        (
            with(json!({"id": "mail"})),
            "attributes/id",
            "service's own",
        ),
        (with(json!({"locale": "_id"})), "attributes/locale", "`_id`"),
        (
            with(json!({"photos[type co \"x\"].value": "mail"})),
            "photos",
            "equal to",
        ),
        (
            with(json!({"locale": {"property": "mail", "mutability": "never"}})),
            "locale/mutability",
            "`readOnly`",
        ),
        (
            with(json!({"locale": "active"})),
            "attributes/locale",
            "expected \"type\": \"string\"",
        ),
        (
            json!([{"name": "user", "schema": {"properties": {}}, "scim": {"attributes": {}}}]),
            "/objects/0/scim",
            "userName",
        ),
        (
            json!([{"name": "x", "schema": {"properties": {}}, "scim": {"endpoint": "Schemas"}}]),
            "endpoint",
            "keeps `Schemas`",
        ),
        (
            json!([{"name": "x", "schema": {"properties": {}}, "scim": {"schema": "x"}}]),
            "schema",
            "no URN",
        ),
        (
            json!([{"name": "x", "schema": {"properties": {}}, "scim": {}}, {"name": "y", "schema": {"properties": {}}, "scim": {"resourceType": "X"}}]),
            "resourceType",
            "already",
        ),
        (
            json!([{"name": "team", "schema": {"properties": {"members": {"type": "array"}}}, "scim": {
                "attributes": {"members": {"property": "members", "references": ["User"]}}}}]),
            "scim",
            "refers to User",
        ),
    ] {
        let found = problems(types);
        let fits = found
            .iter()
            .any(|it| it.starts_with("error") && it.contains(place) && it.contains(told));
        assert!(fits, "{place}, {told}: {found:#?}");
    }
}
