//! Many changes in one request.
use serde_json::{Value, json};

use super::service::{GROUP, Service, USER, assert_error, id};
use crate::support::target::{Ask, Fault};

async fn bulk(service: &Service, fail_on_errors: Option<u64>, operations: Value) -> Vec<Value> {
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "failOnErrors": fail_on_errors, "Operations": operations});
    let done = service
        .send("POST", "/Bulk", &body)
        .await
        .expect(200)
        .json();
    assert_eq!(
        done["schemas"],
        json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"])
    );
    done["Operations"].as_array().unwrap().clone()
}

fn post_user(bulk_id: &str, name: &str) -> Value {
    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id,
        "data": {"schemas": [USER], "userName": name}})
}

fn post_group(bulk_id: &str, name: &str, member: &str) -> Value {
    json!({"method": "post", "path": "/Groups", "bulkId": bulk_id,
        "data": {"schemas": [GROUP], "displayName": name, "members": [{"value": format!("bulkId:{member}")}]}})
}

fn statuses(done: &[Value]) -> Vec<&str> {
    done.iter()
        .map(|it| it["status"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn operations_refer_to_each_other_in_any_order() {
    let service = Service::start().await;
    let done = bulk(&service, None, json!([
        post_group("g", "all", "u"),
        post_user("u", "ada"),
        {"method": "PATCH", "path": "/Users/bulkId:u", "data": {"Operations": [{"op": "add", "path": "title", "value": "Lady"}]}},
        {"method": "PUT", "path": "/Groups/bulkId:g", "data": {"schemas": [GROUP], "displayName": "every", "members": [{"value": "bulkId:u"}]}},
    ])).await;
    assert_eq!(statuses(&done), ["201", "201", "200", "200"]);
    let location = done[1]["location"].as_str().unwrap();
    let user = location.rsplit('/').next().unwrap();
    assert_eq!(
        (&done[1]["bulkId"], &done[1]["method"]),
        (&json!("u"), &json!("POST"))
    );
    let shown = service.get(&format!("/Users/{user}")).await.json();
    assert_eq!(
        (&shown["title"], &shown["meta"]["version"]),
        (&json!("Lady"), &done[2]["version"])
    );
    let group = service.get("/Groups").await.json();
    assert_eq!(group["Resources"][0]["displayName"], "every");
    assert_eq!(group["Resources"][0]["members"][0]["value"], user);
    let done = bulk(
        &service,
        None,
        json!([
            {"method": "DELETE", "path": format!("/Users/{user}"), "version": "W/\"0\""},
            {"method": "DELETE", "path": format!("/Users/{user}"), "version": done[2]["version"]},
        ]),
    )
    .await;
    assert_eq!(statuses(&done), ["412", "204"]);
    assert_eq!(done[0]["response"]["status"], "412");
}

#[tokio::test]
async fn failures_stop_a_request_where_it_says_so() {
    let service = Service::start().await;
    let many = json!([
        post_user("a", "ada"), post_user("b", "ADA"), post_user("c", "x"), post_user("d", "dora"),
        post_group("g", "lost", "b"), post_group("h", "none", "nothing"),
        post_group("p", "circle", "q"), post_group("q", "circle", "p"),
        {"method": "DELETE", "path": "/Schemas/x"},
    ]);
    let done = bulk(&service, None, many.clone()).await;
    assert_eq!(
        statuses(&done),
        [
            "201", "409", "400", "201", "400", "400", "409", "409", "400"
        ]
    );
    assert_eq!(done[1]["response"]["scimType"], "uniqueness");
    assert_eq!(service.found("Users", "userName pr").await, ["ada", "dora"]);
    let service = Service::start().await;
    let done = bulk(&service, Some(2), many).await;
    assert_eq!(statuses(&done), ["201", "409", "400"]);
    assert_eq!(service.found("Users", "userName pr").await, ["ada"]);
}

#[tokio::test]
async fn each_operation_is_a_change_of_its_own() {
    let service = Service::start().await;
    let ada = service.user("ada").await;
    service.world.targets[1].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    let rename = |name: &str| {
        json!({"method": "PUT", "path": format!("/scim/v2/Users/{ada}"),
        "data": {"schemas": [USER], "userName": name}})
    };
    let done = bulk(&service, None, json!([rename("eve"), rename("eva")])).await;
    assert_eq!(statuses(&done), ["409", "200"]);
    let told = done[0]["response"]["detail"].as_str().unwrap();
    assert!(
        told.contains("compensated") && told.contains("system/t2/account"),
        "{told}"
    );
    assert_eq!(service.world.dump()[0][&ada]["name"], "eva");
}

#[tokio::test]
async fn requests_beyond_the_limits_are_refused_whole() {
    let service = Service::start().await;
    let message = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    let many: Vec<Value> = (0..21)
        .map(|n| post_user(&n.to_string(), &format!("user{n}")))
        .collect();
    let send = async |body: Value| service.send("POST", "/Bulk", &body).await;
    let refused = send(json!({"schemas": [message], "Operations": many})).await;
    assert_error(&refused, 413, Some("tooMany"));
    for body in [
        json!({"Operations": []}),
        json!({"schemas": [message]}),
        json!({"schemas": [message], "failOnErrors": 0, "Operations": []}),
        json!({"schemas": [message], "Operations": [{"method": "GET", "path": "/Users"}]}),
        json!({"schemas": [message], "Operations": [{"method": "POST", "path": "/Users"}]}),
        json!({"schemas": [message], "Operations": [post_user("a", "ada"), post_user("a", "eve")]}),
    ] {
        assert_error(&send(body).await, 400, Some("invalidSyntax"));
    }
    let user = service
        .create("Users", json!({"schemas": [USER], "userName": "ada"}))
        .await;
    assert!(!id(&user).is_empty());
}

#[tokio::test]
async fn a_refusal_inside_is_written_down_like_any_other() {
    let service = Service::start().await;
    let ada = service.user("ada").await;
    let path = format!("/Users/{ada}");
    let patch = json!({"Operations": [{"op": "add", "path": "title", "value": "x"}]});
    let done = bulk(
        &service,
        None,
        json!([
            {"method": "PATCH", "path": path, "data": {"Operations": []}},
            {"method": "DELETE", "path": "/Users/nobody"},
            {"method": "PATCH", "path": path, "version": "W/\"a b", "data": patch},
            {"method": "PATCH", "path": path, "version": 7, "data": patch},
            {"method": "DELETE", "path": path, "version": ""},
            {"method": "PATCH", "path": path, "version": "*", "data": patch},
        ]),
    )
    .await;
    assert_eq!(statuses(&done), ["400", "404", "400", "400", "400", "200"]);
    let entries = service
        .client()
        .get("/audit/activity?_queryFilter=outcome+eq+'rejected'")
        .await
        .expect(200)
        .json();
    let told: Vec<String> = entries["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("action"), text("objectId"))
        })
        .collect();
    let count = |wanted: &str| told.iter().filter(|it| it.contains(wanted)).count();
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!(count(&format!("patch scim/v2/Users/{ada}")), 3, "{told:?}");
    assert_eq!(count(&format!("delete scim/v2/Users/{ada}")), 1, "{told:?}");
}
