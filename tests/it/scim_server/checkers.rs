//! Two conformance checkers from PyPI, let loose on the service.
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::service::{ENTERPRISE, Service, users};
use crate::support::servers;

/// Users and groups that keep lists whole, as a system would that was made for SCIM.
fn types() -> Vec<Value> {
    let text = || json!({"type": "string"});
    let list = |of: &[&str]| {
        let mut properties = json!({"primary": {"type": "boolean"}});
        for name in of {
            properties[*name] = text();
        }
        json!({"type": "array", "items": {"type": "object", "properties": properties}})
    };
    let values = || list(&["value", "display", "type"]);
    let address = list(&[
        "formatted",
        "streetAddress",
        "locality",
        "region",
        "postalCode",
        "country",
        "type",
    ]);
    let name = json!({"type": "object", "properties": {
        "formatted": text(), "familyName": text(), "givenName": text(), "middleName": text(),
        "honorificPrefix": text(), "honorificSuffix": text()}});
    let user = json!({
        "name": "user",
        "schema": {"type": "object", "required": ["userName"], "properties": {
            "userName": text(), "name": name, "displayName": text(), "nickName": text(),
            "profileUrl": text(), "title": text(), "userType": text(), "preferredLanguage": text(),
            "locale": text(), "timezone": text(), "active": {"type": "boolean"},
            "password": {"type": "string", "confidential": true}, "emails": values(),
            "phoneNumbers": values(), "ims": values(), "photos": values(), "addresses": address,
            "entitlements": values(), "roles": values(), "employeeNumber": text(),
            "costCenter": text(), "organization": text(), "division": text(), "department": text(),
            "manager": text(),
        }},
        "scim": {"attributes": {
            "externalId": "externalId", "userName": "userName", "name": "name",
            "displayName": "displayName", "nickName": "nickName", "profileUrl": "profileUrl",
            "title": "title", "userType": "userType", "preferredLanguage": "preferredLanguage",
            "locale": "locale", "timezone": "timezone", "active": "active", "password": "password",
            "emails": "emails", "phoneNumbers": "phoneNumbers", "ims": "ims", "photos": "photos",
            "addresses": "addresses", "entitlements": "entitlements", "roles": "roles",
        }, "extensions": {ENTERPRISE: {
            "employeeNumber": "employeeNumber", "costCenter": "costCenter",
            "organization": "organization", "division": "division", "department": "department",
            "manager": "manager",
        }}}
    });
    // scim2-tester sends texts where a schema says `decimal`, so the devices have no weight.
    let mut device = super::service::devices();
    device["scim"]["attributes"]
        .as_object_mut()
        .unwrap()
        .shift_remove("weight");
    vec![user, super::service::groups(), device]
}

/// Runs a checker against the service; none where it is left out.
async fn run(service: &Service, program: &str, arguments: &[&str]) -> Option<Output> {
    let folder = servers::scim_checkers()?;
    let (token, _) = service
        .server
        .app
        .make_token("checker", &["caller".to_owned()], None)
        .await
        .unwrap();
    let token = secrecy::ExposeSecret::expose_secret(&token).to_owned();
    let url = format!("http://{}/scim/v2", service.server.address);
    let arguments: Vec<String> = arguments
        .iter()
        .map(|it| it.replace("{url}", &url).replace("{token}", &token))
        .collect();
    let program = format!("{folder}/{program}");
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program).args(arguments).output().unwrap()
    });
    Some(output.await.unwrap())
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}\n{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

async fn scim2_tester(types: &[Value]) {
    let service = Service::with(types).await;
    let arguments = [
        "--url",
        "{url}",
        "-h",
        "Authorization: Bearer {token}",
        "test",
        "-v",
    ];
    let Some(output) = run(&service, "scim2", &arguments).await else {
        return;
    };
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let count = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    assert!(count("SUCCESS") > 50, "{text}");
    assert_eq!((count("ERROR"), count("CRITICAL")), (0, 0), "{text}");
}

async fn scim_sanity(types: &[Value]) {
    let service = Service::with(types).await;
    let arguments = [
        "probe",
        "{url}",
        "--token",
        "{token}",
        "--strict",
        "--json-output",
        "--i-accept-side-effects",
    ];
    let Some(output) = run(&service, "scim-sanity", &arguments).await else {
        return;
    };
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let report: Value = serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("{text}"));
    let summary = &report["summary"];
    assert!(summary["passed"].as_u64().unwrap() > 20, "{text}");
    for bad in ["failed", "errors", "warnings"] {
        assert!(
            summary[bad].as_u64().unwrap_or_default() == 0,
            "{bad}: {text}"
        );
    }
}

#[tokio::test]
async fn scim2_tester_finds_nothing_wrong() {
    scim2_tester(&types()).await;
}

#[tokio::test]
async fn scim_sanity_finds_nothing_wrong() {
    scim_sanity(&types()).await;
}

#[tokio::test]
async fn scim_sanity_finds_nothing_wrong_with_flat_properties() {
    scim_sanity(&[users(), super::service::groups(), super::service::devices()]).await;
}
