//! A server with users, groups and devices as SCIM resources, and two targets in memory.
use serde_json::{Value, json};

use crate::support::{
    server::{Client, Reply, Running},
    world::{COMPENSATE, Shape, World},
};

/// The schema of users.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The schema of groups.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// What enterprises add to users.
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// A schema of one's own.
pub const BADGE: &str = "urn:example:params:scim:schemas:badge:1.0:User";
/// What a PATCH says that it is.
pub const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A running service.
pub struct Service {
    pub world: World,
    pub server: Running,
}

/// Users as an HR system has them: flat, with one property for each thing.
pub fn users() -> Value {
    let text = || json!({"type": "string"});
    json!({
        "name": "user",
        "schema": {
            "type": "object", "required": ["userName"], "additionalProperties": false,
            "properties": {
                "userName": {"type": "string", "minLength": 2}, "givenName": text(), "sn": text(),
                "displayName": text(), "title": text(), "nick": text(),
                "mail": {"type": "string", "format": "email"}, "homeMail": text(), "mobile": text(),
                "active": {"type": "boolean"}, "hired": {"type": "string", "format": "date-time"},
                "department": text(), "manager": text(), "badge": text(), "level": {"type": "integer"},
                "externalId": text(), "secretNote": text(),
                "password": {"type": "string", "confidential": true},
                "skills": {"type": "array", "items": {"type": "string"}},
                "city": text(),
            }
        },
        "onSync": {"type": "text/rhai", "source": COMPENSATE},
        "scim": {
            "attributes": {
                "externalId": "externalId", "userName": "userName", "name.givenName": "givenName",
                "name.familyName": "sn", "displayName": "displayName", "nickName": "nick",
                "title": "title", "active": "active", "password": "password",
                "emails[type eq \"work\" and primary eq true].value": "mail",
                "emails[type eq \"home\"].value": "homeMail",
                "phoneNumbers[type eq \"mobile\"].value": "mobile",
                "addresses[type eq \"work\"].locality": "city",
                format!("{ENTERPRISE}:department"): "department",
                format!("{ENTERPRISE}:manager"): "manager",
            },
            "extensions": {
                BADGE: {
                    "number": "badge", "level": "level", "skills": "skills",
                    "hired": {"property": "hired", "mutability": "immutable"},
                }
            }
        }
    })
}

/// Groups of users and groups.
pub fn groups() -> Value {
    json!({
        "name": "team",
        "schema": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "externalId": {"type": "string"},
            "members": {"type": "array", "items": {"type": "object", "properties": {
                "value": {"type": "string"}, "type": {"type": "string"}
            }}}
        }},
        "onSync": {"type": "text/rhai", "source": COMPENSATE},
        "scim": {"resourceType": "Group", "endpoint": "Groups"}
    })
}

/// Something of one's own.
pub fn devices() -> Value {
    json!({
        "name": "device",
        "schema": {"type": "object", "required": ["serial"], "properties": {
            "serial": {"type": "string"}, "weight": {"type": "number"},
            "ports": {"type": "array", "items": {"type": "object", "properties": {
                "name": {"type": "string"}, "speed": {"type": "integer"}
            }}}
        }},
        "scim": {"attributes": {
            "serial": {"property": "serial", "uniqueness": "server", "caseExact": true},
            "weight": "weight", "ports": "ports"
        }}
    })
}

impl Service {
    pub async fn start() -> Self {
        Self::with(&[users(), groups(), devices()]).await
    }

    /// Starts a service with these types; users go to both targets.
    pub async fn with(types: &[Value]) -> Self {
        let world = World::new(&Shape {
            targets: 2,
            ..Shape::default()
        });
        let project = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[secrets]\nkey = \"{KEY}\"\n[scim]\npage_size = 50\nbulk_operations = 20\n"
        );
        world.write("recant.toml", &project);
        world.write("conf/managed.json", &json!({"objects": types}).to_string());
        let mappings: Vec<Value> = (1..=2)
            .map(|number| {
                json!({
                    "name": format!("user_t{number}"), "source": "managed/user",
                    "target": format!("system/t{number}/account"),
                    "properties": [
                        {"source": "userName", "target": "name"},
                        {"source": "title", "target": "title"},
                    ],
                })
            })
            .collect();
        world.write("conf/sync.json", &json!({"mappings": mappings}).to_string());
        let app = world.open().await;
        let settings = app.configuration().server.clone();
        let server = Running::serve(app, &settings).await.unwrap();
        Self { world, server }
    }

    pub fn client(&self) -> &Client {
        &self.server.client
    }

    /// A request with a SCIM body; the path begins below `/scim/v2`.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.send_with(method, path, &[], body).await
    }

    pub async fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Reply {
        let mut all = vec![("content-type", "application/scim+json")];
        all.extend_from_slice(headers);
        let path = format!("/scim/v2{path}");
        let text = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let reply = self.client().send(method, &path, &all, text).await;
        let is_empty = [204, 304].contains(&reply.status);
        if !is_empty {
            assert_eq!(
                reply.header("content-type"),
                "application/scim+json",
                "{reply:#?}"
            );
        }
        reply
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &Value::Null).await
    }

    /// The ids of what a filter finds, by user name.
    pub async fn found(&self, endpoint: &str, filter: &str) -> Vec<String> {
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let list = self
            .get(&format!("/{endpoint}?filter={filter}&sortBy=id"))
            .await
            .expect(200)
            .json();
        let names = list["Resources"].as_array().unwrap().iter().map(|it| {
            let name = it
                .get("userName")
                .or(it.get("displayName"))
                .or(it.get("serial"));
            name.and_then(Value::as_str).unwrap().to_owned()
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        assert_eq!(list["totalResults"], names.len());
        names
    }

    /// Creates a resource and gives it.
    pub async fn create(&self, endpoint: &str, body: Value) -> Value {
        let path = format!("/{endpoint}");
        self.send("POST", &path, &body).await.expect(201).json()
    }

    /// Creates a user and gives its id.
    pub async fn user(&self, name: &str) -> String {
        let user = self
            .create("Users", json!({"schemas": [USER], "userName": name}))
            .await;
        id(&user)
    }

    /// Sends a PATCH with these operations.
    pub async fn patch(&self, path: &str, operations: Value) -> Reply {
        let body = json!({"schemas": [PATCH], "Operations": operations});
        self.send("PATCH", path, &body).await
    }

    /// A managed object as it is kept.
    pub async fn kept(&self, path: &str) -> Value {
        let mut object = self
            .client()
            .get(&format!("/managed/{path}"))
            .await
            .expect(200)
            .json();
        object.as_object_mut().unwrap().shift_remove("_rev");
        object.as_object_mut().unwrap().shift_remove("_id");
        object
    }
}

pub fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

/// That an answer is an error in SCIM's form.
pub fn assert_error(reply: &Reply, status: u16, scim_type: Option<&str>) {
    let body = reply.json();
    assert_eq!(reply.status, status, "{reply:#?}");
    assert_eq!(
        body["schemas"],
        json!(["urn:ietf:params:scim:api:messages:2.0:Error"])
    );
    assert_eq!(body["status"], status.to_string(), "{body}");
    assert_eq!(
        body.get("scimType").and_then(Value::as_str),
        scim_type,
        "{body}"
    );
    assert!(!body["detail"].as_str().unwrap().is_empty());
}
