//! The SCIM server from PyPI: the contract, faults, groups, extensions and changes.
use std::{path::Path, time::Duration};

use recant::{
    connectors::{Change, Error, SharedConnector, Update},
    model::{
        CauseKind::{Refused, Unavailable, Unknown},
        Object, TargetObject,
    },
};
use serde_json::{Value, json};

use super::{
    connector,
    suite::{self, Subject, map, refused},
};
use crate::support::{
    proxy::{Mode, Proxy},
    scim::{Options, ScimServer, TOKEN, person_type},
};

const CLASS: &str = "account";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn settings(url: &str, resource_type: &str) -> Value {
    json!({"type": "scim", "baseUrl": url, "auth": {"bearer": TOKEN},
        "objects": {"account": {"resourceType": resource_type}}})
}

fn subject(settings: &Value) -> Subject {
    Subject {
        connector: connector(settings, Path::new("/")),
        renames: true,
        versions: true,
        types: true,
    }
}

async fn people(config: Option<Value>) -> Option<ScimServer> {
    let schemas = Some(person_type());
    ScimServer::start(Options { schemas, config }).await
}

fn config(features: Value) -> Value {
    let mut config = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true}, "filter": {"supported": true, "maxResults": 1000},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "sort": {"supported": false}, "etag": {"supported": true},
        "changePassword": {"supported": false}, "authenticationSchemes": []});
    config.as_object_mut().unwrap().extend(map(features));
    config
}

#[tokio::test]
async fn a_scim_server_keeps_the_contract() {
    let Some(server) = people(None).await else {
        return;
    };
    suite::run(&subject(&settings(&server.url(), "Person"))).await;
}

#[tokio::test]
async fn a_scim_server_without_patch_filters_and_index_keeps_the_contract() {
    let features = json!({"patch": {"supported": false},
        "filter": {"supported": false, "maxResults": 1000},
        "pagination": {"cursor": true, "index": false, "defaultPageSize": 7, "maxPageSize": 7,
            "defaultPaginationMethod": "cursor"}});
    let Some(server) = people(Some(config(features))).await else {
        return;
    };
    suite::run(&subject(&settings(&server.url(), "Person"))).await;
}

fn user(name: &str) -> Object {
    map(
        json!({"userName": name, "displayName": name, "active": true,
        "name": {"givenName": name, "familyName": "X"},
        "emails": [{"value": format!("{name}@x.org"), "type": "work"}],
        (format!("{ENTERPRISE}:department")): "IT"}),
    )
}

async fn users() -> Option<(ScimServer, Subject)> {
    let server = ScimServer::start(Options::default()).await?;
    let subject = subject(&settings(&server.url(), "User"));
    Some((server, subject))
}

async fn change(subject: &Subject, before: &TargetObject, name: &str) -> Result<(), Error> {
    let mut after = before.attributes.clone();
    after.insert("displayName".into(), json!(name));
    let update = Update {
        before,
        after: &after,
        rename: None,
    };
    subject.connector.update(CLASS, &update).await.map(drop)
}

#[tokio::test]
async fn extensions_and_complex_attributes_change_alone() {
    let Some((server, subject)) = users().await else {
        return;
    };
    let before = subject.create("ann", &user("ann")).await;
    assert_eq!(
        before.attributes,
        user("ann"),
        "what was sent is what is read"
    );
    let mut after = before.attributes.clone();
    after.insert(format!("{ENTERPRISE}:employeeNumber"), json!("7"));
    after.insert("name".into(), json!({"givenName": "Ann"}));
    after.shift_remove(&format!("{ENTERPRISE}:department"));
    let now = subject.update(&before, &after, None).await.unwrap();
    assert_eq!(now.attributes, after);
    let raw = server.dump("Users").await.remove(0);
    assert_eq!(raw["externalId"], "ann");
    assert_eq!(raw[ENTERPRISE], json!({"employeeNumber": "7"}));
    let back = subject
        .update(&now, &before.attributes, None)
        .await
        .unwrap();
    assert_eq!(back.attributes, before.attributes);
    assert_eq!(
        subject.all("emails/value eq \"ann@x.org\"", 5).await.len(),
        1
    );
}

#[tokio::test]
async fn a_resource_without_a_key_can_be_found_and_changed() {
    let Some((server, subject)) = users().await else {
        return;
    };
    let mut stray = user("stray");
    stray.retain(|name, _| !name.starts_with("urn:"));
    let mut body = stray.clone();
    body.insert(
        "schemas".into(),
        json!(["urn:ietf:params:scim:schemas:core:2.0:User"]),
    );
    let url = format!("{}/Users", server.url());
    let made = crate::support::scim::client()
        .post(url)
        .bearer_auth(TOKEN)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    let found = subject.all("userName eq \"stray\"", 5).await.remove(0);
    assert!(found.id.starts_with("id:"), "{found:?}");
    let before = subject.existing(&found.id).await;
    change(&subject, &before, "found").await.unwrap();
    let now = subject.existing(&found.id).await;
    assert_eq!(now.attributes["displayName"], "found");
    subject.delete(&now).await.unwrap();
    assert!(server.dump("Users").await.is_empty());
}

#[tokio::test]
async fn the_services_own_ids_can_be_used() {
    let Some(server) = ScimServer::start(Options::default()).await else {
        return;
    };
    let mut settings = settings(&server.url(), "User");
    settings["objects"]["account"]["key"] = json!("id");
    let connector = connector(&settings, Path::new("/"));
    assert!(!connector.capabilities().recreate_with_id);
    let mut object = user("ann");
    object.insert("externalId".into(), json!("hr-1"));
    let written = connector
        .create(CLASS, Some("wish"), &object)
        .await
        .unwrap();
    assert_ne!(written.id, "wish");
    let read = connector.read(CLASS, &written.id).await.unwrap().unwrap();
    assert_eq!(read.attributes, object);
    object.insert("userName".into(), json!("other"));
    let error = refused(connector.create(CLASS, None, &object).await);
    assert_eq!(
        error.code, 409,
        "a repeated create finds the first one: {error}"
    );
    assert_eq!(server.dump("Users").await.len(), 1);
}

#[tokio::test]
async fn refusals_carry_the_services_words() {
    let Some((_server, subject)) = users().await else {
        return;
    };
    subject.create("ann", &user("ann")).await;
    let error = refused(
        subject
            .connector
            .create(CLASS, Some("b"), &user("ANN"))
            .await,
    );
    assert_eq!(error.code, 409, "{error:?}");
    assert!(subject.read("b").await.is_none());
    let mut nameless = user("c");
    nameless.shift_remove("userName");
    let error = refused(subject.connector.create(CLASS, Some("c"), &nameless).await);
    assert_eq!(error.code, 400);
    assert!(error.message.contains("userName"), "{error}");
    let mut own = user("d");
    own.insert("groups".into(), json!([]));
    refused(subject.connector.create(CLASS, Some("d"), &own).await);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_lost_server_unavailable() {
    let Some((mut server, direct)) = users().await else {
        return;
    };
    let proxy = Proxy::before(server.address).await;
    let through = subject(&settings(&format!("http://{}/v2", proxy.address()), "User"));
    through.create("a", &user("a")).await;
    for (mode, happened) in [(Mode::CutRequest, false), (Mode::CutAnswer, true)] {
        let before = direct.existing("a").await;
        let name = format!("{mode:?}");
        proxy.set(mode);
        let error = change(&through, &before, &name).await.unwrap_err();
        assert_eq!(error.kind, Unknown, "{mode:?}: {error:?}");
        let error = through.connector.read(CLASS, "a").await.unwrap_err();
        assert_eq!(error.kind, Unavailable, "{mode:?}: {error:?}");
        proxy.set(Mode::Pass);
        let now = direct.existing("a").await;
        assert_eq!(
            now.attributes["displayName"] == json!(name),
            happened,
            "{mode:?}"
        );

        // A create that is repeated finds what the first one made; its first request is the POST.
        let mut by_name = settings(&format!("http://{}/v2", proxy.address()), "User");
        by_name["objects"]["account"]["key"] = json!("userName");
        let by_name = connector(&by_name, Path::new("/"));
        by_name.test().await.unwrap();
        let id = format!("new-{mode:?}");
        let mut object = user(&id);
        object.shift_remove("userName");
        proxy.set(mode);
        let error = by_name.create(CLASS, Some(&id), &object).await;
        assert_eq!(error.unwrap_err().kind, Unknown, "{mode:?}");
        proxy.set(Mode::Pass);
        let again = by_name.create(CLASS, Some(&id), &object).await;
        assert_eq!(again.is_err(), happened, "{again:?}");
        let found = by_name.read(CLASS, &id).await.unwrap().unwrap();
        assert_eq!(found.attributes, object);
    }
    let before = direct.existing("a").await;
    server.kill();
    for result in [
        change(&direct, &before, "late").await,
        direct.delete(&before).await,
        direct.connector.read(CLASS, "a").await.map(drop),
        direct.connector.test().await,
    ] {
        assert_eq!(result.unwrap_err().kind, Unavailable);
    }
    server.restart().await;
    direct.connector.test().await.expect("a good server");
    assert!(direct.read("a").await.is_none(), "it keeps nothing");
    direct
        .delete(&before)
        .await
        .expect("what is gone is deleted");
    let error = change(&direct, &before, "late").await.unwrap_err();
    assert_eq!((error.kind, error.code), (Refused, json!(404)));
}

#[tokio::test]
async fn a_server_that_stands_still_leaves_the_outcome_open() {
    let Some((server, subject)) = users().await else {
        return;
    };
    let before = subject.create("a", &user("a")).await;
    server.signal("-STOP");
    // The time limit is the engine's; a call that it drops leaves nothing behind.
    let call = change(&subject, &before, "late");
    let dropped = tokio::time::timeout(Duration::from_millis(300), call).await;
    server.signal("-CONT");
    assert!(dropped.is_err());
    // The request had left: it is carried out when the server goes on.
    let mut now = subject.existing("a").await;
    while now.attributes["displayName"] != "late" {
        tokio::time::sleep(Duration::from_millis(20)).await;
        now = subject.existing("a").await;
    }
    change(&subject, &now, "again").await.unwrap();
}

#[tokio::test]
async fn a_test_of_a_scim_server_says_what_is_wrong() {
    let Some(server) = ScimServer::start(Options::default()).await else {
        return;
    };
    let good = settings(&server.url(), "User");
    for (pointer, value, part) in [
        ("/auth/bearer", json!("hush"), "credentials"),
        (
            "/objects/account/resourceType",
            json!("Person"),
            "`User`, `Group`",
        ),
        ("/baseUrl", json!("http://127.0.0.1:1"), "reached"),
        (
            "/baseUrl",
            json!(format!("http://{}/v3", server.address)),
            "/Users",
        ),
    ] {
        let mut settings = good.clone();
        *settings.pointer_mut(pointer).unwrap() = value;
        let connector = connector(&settings, Path::new("/"));
        let error = connector.test().await.unwrap_err();
        assert!(error.message.contains(part), "{pointer}: {error}");
        assert!(!format!("{connector:?} {error:?}").contains("hush"));
    }
    let mut settings = good;
    settings["objects"]["account"]["key"] = json!("badge");
    let error = connector(&settings, Path::new("/"))
        .test()
        .await
        .unwrap_err();
    assert!(error.message.contains("`badge`"), "{error}");
}

fn group(name: &str, members: &[&str]) -> Object {
    map(json!({"displayName": name, "members": members}))
}

async fn members_of(connector: &SharedConnector, id: &str) -> Value {
    let group = connector.read("team", id).await.unwrap().unwrap();
    group.attributes.get("members").cloned().unwrap_or_default()
}

#[tokio::test]
async fn groups_hold_the_people_that_recant_knows() {
    let Some(server) = ScimServer::start(Options::default()).await else {
        return;
    };
    let mut settings = settings(&server.url(), "User");
    settings["objects"]["team"] = json!({"resourceType": "Group", "membersOf": "account"});
    settings["deviations"] = json!({"membersPerRequest": 2});
    let one = connector(&settings, Path::new("/"));
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        one.create(CLASS, Some(name), &user(name)).await.unwrap();
    }
    let written = one
        .create("team", Some("t"), &group("T", &names))
        .await
        .unwrap();
    assert_eq!(written.attributes, Some(group("T", &names)));
    // One that has not seen these people yet.
    let other = connector(&settings, Path::new("/"));
    let before = other.read("team", "t").await.unwrap().unwrap();
    assert_eq!(before.attributes, group("T", &names));
    let after = group("U", &["b"]);
    let update = Update {
        before: &before,
        after: &after,
        rename: None,
    };
    let written = other.update("team", &update).await.unwrap();
    assert_eq!(written.attributes, Some(after.clone()));
    let stale = one.update("team", &update).await.unwrap_err();
    assert_eq!((stale.kind, stale.code), (Refused, json!(412)));
    let now = one.read("team", "t").await.unwrap().unwrap();
    let strangers = group("U", &["b", "nobody"]);
    let update = Update {
        before: &now,
        after: &strangers,
        rename: None,
    };
    let error = refused(one.update("team", &update).await);
    assert!(error.message.contains("`nobody`"), "{error}");
    assert_eq!(members_of(&one, "t").await, json!(["b"]));
    one.delete("team", &now).await.unwrap();
    assert!(one.read("team", "t").await.unwrap().is_none());
}

#[tokio::test]
async fn who_is_deactivated_counts_as_deleted_until_created_again() {
    let Some(server) = ScimServer::start(Options::default()).await else {
        return;
    };
    let mut settings = settings(&server.url(), "User");
    settings["objects"]["account"]["delete"] = json!("deactivate");
    let subject = subject(&settings);
    let mut object = user("ann");
    refused(subject.connector.create(CLASS, Some("ann"), &object).await);
    object.shift_remove("active");
    let before = subject.create("ann", &object).await;
    assert_eq!(before.attributes, object);
    subject.delete(&before).await.unwrap();
    let raw = server.dump("Users").await.remove(0);
    assert_eq!(raw["active"], false);
    assert!(subject.read("ann").await.is_none());
    assert!(subject.all("true", 5).await.is_empty());
    subject
        .delete(&before)
        .await
        .expect("what is deleted already");
    object.insert("title".into(), json!("Dr"));
    let again = subject.create("ann", &object).await;
    assert_eq!(again.attributes, object);
    assert_eq!(server.dump("Users").await[0]["id"], raw["id"]);
    refused(subject.connector.create(CLASS, Some("ann"), &object).await);
}

#[tokio::test]
async fn a_create_that_is_taken_back_leaves_no_account_but_the_one_it_found() {
    let Some(server) = ScimServer::start(Options::default()).await else {
        return;
    };
    let mut settings = settings(&server.url(), "User");
    settings["objects"]["account"]["delete"] = json!("deactivate");
    let subject = subject(&settings);
    let target = &subject.connector;
    let mut object = user("ann");
    object.shift_remove("active");
    assert_eq!(
        target.dormant(CLASS, Some("ann"), &object).await.unwrap(),
        None
    );
    let made = subject.create("ann", &object).await;
    target.uncreate(CLASS, &made, None).await.unwrap();
    assert!(server.dump("Users").await.is_empty(), "its own, removed");
    target.uncreate(CLASS, &made, None).await.expect("again");
    // What was out of use before goes out of use again, with what it held.
    let made = subject.create("ann", &object).await;
    subject.delete(&made).await.unwrap();
    let before = server.dump("Users").await.remove(0);
    let mut other = object.clone();
    other.insert("title".into(), json!("Dr"));
    other.insert("displayName".into(), json!("Anna"));
    let dormant = target.dormant(CLASS, Some("ann"), &other).await.unwrap();
    assert_eq!(dormant.as_ref(), Some(&object));
    let made = subject.create("ann", &other).await;
    assert_eq!(server.dump("Users").await[0]["active"], true);
    target
        .uncreate(CLASS, &made, dormant.as_ref())
        .await
        .unwrap();
    let mut after = server.dump("Users").await.remove(0);
    after["meta"] = before["meta"].clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn changes_are_told_once_each() {
    let Some((_server, subject)) = users().await else {
        return;
    };
    let connector = &subject.connector;
    assert!(connector.capabilities().changes);
    subject.create("a", &user("a")).await;
    let first = connector.changes(CLASS, None).await.unwrap();
    assert!(first.changes.is_empty());
    let quiet = connector.changes(CLASS, Some(&first.token)).await.unwrap();
    assert!(quiet.changes.is_empty() && !quiet.more, "{quiet:?}");
    subject.create("b", &user("b")).await;
    let before = subject.existing("a").await;
    change(&subject, &before, "A").await.unwrap();
    let told = connector.changes(CLASS, Some(&quiet.token)).await.unwrap();
    let ids: Vec<&str> = told
        .changes
        .iter()
        .map(|change| match change {
            Change::Present(object) => object.id.as_str(),
            Change::Gone(id) => id.as_str(),
        })
        .collect();
    assert_eq!(ids, ["b", "a"]);
    // The same second, and again nothing is told twice or lost.
    let before = subject.existing("b").await;
    change(&subject, &before, "B").await.unwrap();
    let told = connector.changes(CLASS, Some(&told.token)).await.unwrap();
    assert_eq!(told.changes.len(), 1, "{told:?}");
    let end = connector.changes(CLASS, Some(&told.token)).await.unwrap();
    assert!(end.changes.is_empty());
    refused(connector.changes(CLASS, Some("yesterday")).await);
}
