//! SCIM services that know no case in the names of their users.
use std::path::Path;

use recant::{
    connectors::{Query, SharedConnector},
    model::{CauseKind, Filter, TargetWrite},
};
use serde_json::{Value, json};

use super::{
    connector,
    suite::{map, refused},
};
use crate::support::{
    people::Answer,
    scim_service::{Habits, ScimService},
};

const CLASS: &str = "account";

async fn service() -> ScimService {
    let habits = Habits {
        lower_names: true,
        ..Habits::default()
    };
    let config = json!({"patch": {"supported": true}, "filter": {"supported": true}});
    ScimService::start(Some(config), habits).await
}

fn open(service: &ScimService, key: &str) -> SharedConnector {
    let value = json!({"type": "scim", "baseUrl": format!("http://{}/v2", service.address),
        "objects": {"account": {"resourceType": "User", "key": key},
            "team": {"resourceType": "Group", "membersOf": "account"}}});
    connector(&value, Path::new("/"))
}

fn user() -> recant::model::Object {
    map(json!({"title": "Dr"}))
}

async fn hits(connector: &SharedConnector, filter: &str) -> usize {
    let query = Query {
        filter: Filter::parse(filter).unwrap(),
        page_size: 10,
        cursor: None,
    };
    connector.query(CLASS, &query).await.unwrap().objects.len()
}

#[tokio::test]
async fn a_key_is_found_in_whatever_case() {
    let service = service().await;
    let connector = open(&service, "userName");
    let written = connector.create(CLASS, Some("Bob"), &user()).await.unwrap();
    assert_eq!(written.id, "bob");
    for fresh in [false, true] {
        let connector = match fresh {
            true => open(&service, "userName"),
            false => connector.clone(),
        };
        let found = connector.read(CLASS, "BOB").await.unwrap().expect("bob");
        assert_eq!(found.id, "bob");
        assert_eq!(hits(&connector, "_id eq \"Bob\"").await, 1);
        refused(connector.create(CLASS, Some("bOb"), &user()).await);
    }
    assert!(
        open(&service, "userName")
            .read(CLASS, "Bo")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_found() {
    let service = service().await;
    let connector = open(&service, "userName");
    service.shop().refusals.push(Answer {
        status: 500,
        headers: Vec::new(),
        body: String::new(),
        carried_out: true,
    });
    let created = connector.create(CLASS, Some("Bob"), &user()).await;
    assert_eq!(created.unwrap_err().kind, CauseKind::Unknown);
    let found = connector.read(CLASS, "Bob").await.unwrap();
    assert_eq!(found.expect("it was made").id, "bob");
}

#[tokio::test]
async fn another_case_is_no_rename() {
    let service = service().await;
    let connector = open(&service, "userName");
    connector.create(CLASS, Some("Bob"), &user()).await.unwrap();
    let before = connector.read(CLASS, "bob").await.unwrap().unwrap();
    let renamed = async |to: &str| {
        let write = TargetWrite::Update {
            before: before.clone(),
            after: before.attributes.clone(),
            rename: Some(to.to_owned()),
        };
        match connector.refine(CLASS, write).await.unwrap() {
            TargetWrite::Update { rename, .. } => rename,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(renamed("Bob").await, None);
    assert_eq!(renamed("Rob").await.as_deref(), Some("Rob"));
}

#[tokio::test]
async fn members_are_called_as_the_service_calls_them() {
    let service = service().await;
    let connector = open(&service, "userName");
    for name in ["Ann", "Bob"] {
        connector.create(CLASS, Some(name), &user()).await.unwrap();
    }
    let wanted = json!({"displayName": "G", "members": ["Ann", "Bob"]});
    connector
        .create("team", Some("g"), &map(wanted.clone()))
        .await
        .unwrap();
    let before = connector.read("team", "g").await.unwrap().unwrap();
    assert_eq!(before.attributes["members"], json!(["ann", "bob"]));
    for connector in [connector, open(&service, "userName")] {
        let write = TargetWrite::Update {
            before: before.clone(),
            after: map(wanted.clone()),
            rename: None,
        };
        let refined = connector.refine("team", write).await.unwrap();
        assert!(refined.difference().is_empty(), "{refined:?}");
    }
}

#[tokio::test]
async fn the_case_of_other_keys_counts_unless_the_service_says_otherwise() {
    let service = service().await;
    let connector = open(&service, "externalId");
    for id in ["x1", "X1"] {
        let name = if id == "x1" { "ann" } else { "bob" };
        let object = map(json!({"userName": name, "title": id}));
        connector.create(CLASS, Some(id), &object).await.unwrap();
    }
    for id in ["x1", "X1"] {
        let found = connector.read(CLASS, id).await.unwrap().unwrap();
        assert_eq!(found.attributes["title"], Value::from(id));
    }
}
