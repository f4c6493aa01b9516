//! Users: created, read, replaced, deleted; versions, errors, secrets and how changes end.
use serde_json::{Value, json};

use super::service::{BADGE, ENTERPRISE, Service, USER, assert_error, id};
use crate::support::target::{Ask, Fault};

fn ada() -> Value {
    json!({
        "schemas": [USER, ENTERPRISE, BADGE], "userName": "Ada", "externalId": "e-1",
        "NAME": {"givenname": "Ada", "familyName": "Lovelace"}, "active": "True",
        "emails": [
            {"value": "ada@home.example", "type": "home"},
            {"value": "ada@work.example", "type": "work", "primary": true},
            {"value": "ada@elsewhere.example", "type": "other"},
        ],
        "password": "correct horse", "title": "Countess", "locale": "en", "id": "mine",
        "groups": [{"value": "g"}], "meta": {"version": "x"},
        ENTERPRISE: {"department": "Engines", "manager": {"value": "boss"}},
        BADGE: {"number": "B7", "level": "3", "skills": ["maths", "poetry"], "hired": "1833-06-05T10:00:00Z"},
    })
}

#[tokio::test]
async fn a_user_goes_to_every_target_and_comes_back_as_sent() {
    let service = Service::start().await;
    let created = service.send("POST", "/Users", &ada()).await.expect(201);
    let user = created.json();
    let id = id(&user);
    assert_ne!(id, "mine");
    assert_eq!(created.header("recant-outcome"), "synced");
    assert!(
        created
            .header("recant-operation")
            .parse::<uuid::Uuid>()
            .is_ok()
    );
    let location = format!("http://{}/scim/v2/Users/{id}", service.server.address);
    assert_eq!(created.header("location"), location);
    assert_eq!(
        created.header("etag"),
        user["meta"]["version"].as_str().unwrap()
    );
    assert_eq!(user["meta"]["location"], location);
    assert_eq!(user["meta"]["resourceType"], "User");
    assert_eq!(user["schemas"], json!([USER, ENTERPRISE, BADGE]));
    assert_eq!(user["externalId"], "e-1");
    assert_eq!(user["active"], true);
    assert_eq!(
        user["name"],
        json!({"givenName": "Ada", "familyName": "Lovelace"})
    );
    assert_eq!(
        user["emails"],
        json!([
            {"type": "work", "primary": true, "value": "ada@work.example"},
            {"type": "home", "value": "ada@home.example"},
        ])
    );
    assert_eq!(user[BADGE]["level"], 3);
    assert_eq!(user[ENTERPRISE]["manager"]["value"], "boss");
    assert_eq!((user.get("locale"), user.get("password")), (None, None));
    assert!(!created.text.contains("correct horse"));
    assert_eq!(
        service.kept(&format!("user/{id}")).await,
        json!({
            "externalId": "e-1", "userName": "Ada", "givenName": "Ada", "sn": "Lovelace",
            "title": "Countess", "active": true, "mail": "ada@work.example",
            "homeMail": "ada@home.example", "department": "Engines", "manager": "boss",
            "badge": "B7", "level": 3, "skills": ["maths", "poetry"], "hired": "1833-06-05T10:00:00Z",
        })
    );
    for target in service.world.dump() {
        assert_eq!(target[&id]["name"], "Ada");
    }
    let read = service.get(&format!("/Users/{id}")).await.expect(200);
    assert_eq!(read.json(), user);
    assert_eq!(read.header("etag"), created.header("etag"));
}

#[tokio::test]
async fn a_replacement_keeps_what_clients_neither_see_nor_write() {
    let service = Service::start().await;
    let user = service.create("Users", ada()).await;
    let path = format!("/Users/{}", id(&user));
    let managed = format!("user/{}", id(&user));
    let note = json!([{"operation": "add", "field": "/secretNote", "value": "only HR"}]);
    service
        .client()
        .json("PATCH", &format!("/managed/{managed}"), &note)
        .await
        .expect(200);
    let shorter = json!({"schemas": [USER], "userName": "ada", "title": "Lady",
        "emails": [{"value": "a@x.example"}]});
    let replaced = service
        .send("PUT", &path, &shorter)
        .await
        .expect(200)
        .json();
    assert_eq!(
        replaced["emails"],
        json!([{"type": "work", "primary": true, "value": "a@x.example"}])
    );
    assert_eq!(
        replaced[BADGE],
        json!({"hired": "1833-06-05T10:00:00Z"}),
        "immutable"
    );
    assert_eq!(
        service.kept(&managed).await,
        json!({"userName": "ada", "title": "Lady", "mail": "a@x.example", "secretNote": "only HR",
            "hired": "1833-06-05T10:00:00Z"})
    );
    let other =
        json!({"schemas": [USER], "userName": "ada", BADGE: {"hired": "2001-01-01T00:00:00Z"}});
    let refused = service.send("PUT", &path, &other).await;
    assert_error(&refused, 400, Some("mutability"));
    let nobody = service.send("PUT", "/Users/nobody", &shorter).await;
    assert_error(&nobody, 404, None);
}

#[tokio::test]
async fn versions_guard_against_lost_updates() {
    let service = Service::start().await;
    let user = service.create("Users", ada()).await;
    let path = format!("/Users/{}", id(&user));
    let version = user["meta"]["version"].as_str().unwrap().to_owned();
    let held = service
        .send_with("GET", &path, &[("if-none-match", &version)], &Value::Null)
        .await;
    assert_eq!((held.status, held.text.as_str()), (304, ""));
    let body = json!({"schemas": [super::service::PATCH],
        "Operations": [{"op": "replace", "path": "title", "value": "Lady"}]});
    let guard = [("if-match", version.as_str())];
    let patched = service
        .send_with("PATCH", &path, &guard, &body)
        .await
        .expect(200);
    assert_ne!(patched.header("etag"), version);
    let stale = service.send_with("PATCH", &path, &guard, &body).await;
    assert_error(&stale, 412, None);
    assert_eq!(stale.header("recant-outcome"), "rejected");
    let several = format!("\"nothing\", {}", patched.header("etag"));
    service
        .send_with("PATCH", &path, &[("if-match", &several)], &body)
        .await
        .expect(200);
    let stale = service
        .send_with("DELETE", &path, &guard, &Value::Null)
        .await;
    assert_error(&stale, 412, None);
    let gone = service
        .send_with("DELETE", &path, &[("if-match", "*")], &Value::Null)
        .await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(gone.header("recant-outcome"), "synced");
    assert_error(&service.get(&path).await, 404, None);
    assert_error(
        &service.send("DELETE", &path, &Value::Null).await,
        404,
        None,
    );
}

#[tokio::test]
async fn user_names_are_unique_whatever_their_case() {
    let service = Service::start().await;
    let first = service.user("ada").await;
    service.user("Élodie").await;
    let body = |name: &str| json!({"schemas": [USER], "userName": name});
    for name in ["ADA", "ada", "éLODIE"] {
        let taken = service.send("POST", "/Users", &body(name)).await;
        assert_error(&taken, 409, Some("uniqueness"));
        assert_eq!(taken.header("recant-outcome"), "rejected");
    }
    let second = service.user("bob").await;
    let taken = service
        .send("PUT", &format!("/Users/{second}"), &body("Ada"))
        .await;
    assert_error(&taken, 409, Some("uniqueness"));
    service
        .send("PUT", &format!("/Users/{first}"), &body("Ada"))
        .await
        .expect(200);
    let together =
        (0..8).map(|_| async { service.send("POST", "/Users", &body("eve")).await.status });
    let mut statuses = futures::future::join_all(together).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    let device =
        |serial: &str| json!({"schemas": ["urn:recant:scim:schemas:2.0:Device"], "serial": serial});
    service.create("Devices", device("x1")).await;
    service.create("Devices", device("X1")).await;
    assert_error(
        &service.send("POST", "/Devices", &device("x1")).await,
        409,
        Some("uniqueness"),
    );
}

#[tokio::test]
async fn a_change_that_a_target_refuses_is_taken_back_and_told() {
    let service = Service::start().await;
    let id = service.user("ada").await;
    let path = format!("/Users/{id}");
    let before = service.world.dump();
    let title = json!([{"op": "replace", "path": "title", "value": "Lady"}]);
    for (fault, times, status, outcome) in [
        (Fault::Refused, 1, 409, "compensated"),
        (Fault::Unavailable, 3, 503, "compensated"),
    ] {
        service.world.targets[1].fail(Some(Ask::Update), 0, times, fault);
        let refused = service.patch(&path, title.clone()).await;
        assert_error(&refused, status, None);
        assert_eq!(refused.header("recant-outcome"), outcome);
        let told = refused.json()["detail"].as_str().unwrap().to_owned();
        let operation = refused.header("recant-operation");
        assert!(
            told.contains("system/t2/account") && told.contains(operation),
            "{told}"
        );
        assert_eq!(service.world.dump(), before);
        service.world.targets[1].mend();
    }
    let user = service.get(&path).await.json();
    assert_eq!(user.get("title"), None);
    service.world.targets[1].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    service.world.targets[0].fail(Some(Ask::Update), 1, 99, Fault::Refused);
    let diverged = service.patch(&path, title).await;
    assert_error(&diverged, 500, None);
    assert_eq!(diverged.header("recant-outcome"), "diverged");
    service.world.targets[1].fail(Some(Ask::Create), 0, 1, Fault::Refused);
    let body = json!({"schemas": [USER], "userName": "eve"});
    let refused = service.send("POST", "/Users", &body).await;
    assert_error(&refused, 409, None);
    assert!(
        service
            .found("Users", "userName eq \"eve\"")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_in_scims_words() {
    let service = Service::start().await;
    let post = async |body: Value| service.send("POST", "/Users", &body).await;
    let user = |more: Value| {
        let mut body = json!({"schemas": [USER], "userName": "ada"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for (body, scim_type) in [
        (json!({"not": "a resource"}), "invalidSyntax"),
        (json!([]), "invalidSyntax"),
        (json!({"schemas": [USER]}), "invalidValue"),
        (user(json!({"userName": "a"})), "invalidValue"),
        (
            user(json!({"emails": [{"type": "work", "value": "no address"}]})),
            "invalidValue",
        ),
        (user(json!({"active": "maybe"})), "invalidValue"),
        (user(json!({"name": "Ada"})), "invalidValue"),
        (user(json!({"USERNAME": "x"})), "invalidSyntax"),
        (user(json!({BADGE: {"level": "high"}})), "invalidValue"),
        (user(json!({BADGE: {"hired": "yesterday"}})), "invalidValue"),
        (
            user(json!({"emails": [
            {"type": "work", "primary": true, "value": "a@x.example"},
            {"type": "home", "primary": true, "value": "b@x.example"}]})),
            "invalidValue",
        ),
    ] {
        let refused = post(body.clone()).await;
        assert_error(&refused, 400, Some(scim_type));
        assert_eq!(refused.header("recant-outcome"), "rejected", "{body}");
    }
    let sent = |content_type: &'static str, text: &'static str| {
        let headers = [("content-type", content_type)];
        let client = service.client().clone();
        async move { client.send("POST", "/scim/v2/Users", &headers, text).await }
    };
    assert_error(
        &sent("application/json", "{").await,
        400,
        Some("invalidSyntax"),
    );
    assert_error(
        &sent("application/json", "{\"a\":1,\"a\":2}").await,
        400,
        Some("invalidSyntax"),
    );
    assert_error(&sent("text/plain", "{}").await, 415, None);
    assert_error(&service.get("/Nothing").await, 404, None);
    assert_error(&service.get("/Users/a/b").await, 404, None);
    assert_error(&service.get("/Me").await, 501, None);
    let wrong = service.send("DELETE", "/Users", &Value::Null).await;
    assert_error(&wrong, 405, None);
    assert_eq!(wrong.header("allow"), "GET, POST");
    let long = "x".repeat(1 << 20);
    assert_error(&post(user(json!({"title": long}))).await, 413, None);
}

#[tokio::test]
async fn only_callers_and_admins_get_in() {
    let service = Service::start().await;
    let app = &service.server.app;
    let mut tokens = Vec::new();
    for role in ["caller", "admin", "auditor", "hook-admin"] {
        let (token, _) = app
            .make_token(role, &[role.to_owned()], None)
            .await
            .unwrap();
        tokens.push(secrecy::ExposeSecret::expose_secret(&token).to_owned());
    }
    let body = json!({"schemas": [USER], "userName": "ada"}).to_string();
    let headers = [("content-type", "application/scim+json")];
    let client = service.client();
    let stranger = client.get("/scim/v2/Users").await;
    assert_error(&stranger, 401, None);
    assert_eq!(stranger.header("www-authenticate"), "Bearer");
    assert_error(&client.get("/scim/v2/Schemas").await, 401, None);
    for (token, status) in tokens.iter().zip([200, 200, 403, 403]) {
        let client = client.token(token);
        assert_eq!(client.get("/scim/v2/Users").await.status, status);
        assert_eq!(
            client.get("/scim/v2/ServiceProviderConfig").await.status,
            200
        );
        let post = client
            .send("POST", "/scim/v2/Users", &headers, body.clone())
            .await;
        match status {
            200 => assert!([201, 409].contains(&post.status), "{post:#?}"),
            _ => assert_error(&post, 403, None),
        }
    }
    let admin = client.token(&tokens[1]);
    let denied = admin
        .get("/audit/access?_queryFilter=true")
        .await
        .expect(200)
        .text;
    assert!(denied.contains("scim/v2/Users"), "{denied}");
}

#[tokio::test]
async fn one_key_means_one_change() {
    let service = Service::start().await;
    let key = [("idempotency-key", "k-1")];
    let body = json!({"schemas": [USER], "userName": "ada"});
    let first = service
        .send_with("POST", "/Users", &key, &body)
        .await
        .expect(201);
    let again = service
        .send_with("POST", "/Users", &key, &body)
        .await
        .expect(201);
    assert_eq!(first.json(), again.json());
    assert_eq!(
        first.header("recant-operation"),
        again.header("recant-operation")
    );
    let other = json!({"schemas": [USER], "userName": "eve"});
    assert_error(
        &service.send_with("POST", "/Users", &key, &other).await,
        422,
        None,
    );
    assert_eq!(service.found("Users", "userName pr").await, ["ada"]);
}
