//! Groups that are written in pieces, where a service has no time or does not show what came of one.
use std::{path::Path, time::Duration};

use recant::{
    connectors::{Error, SharedConnector, Update, Written},
    model::{CauseKind, Object},
};
use serde_json::json;

use super::{connector, suite::map};
use crate::support::{
    people::Answer,
    scim_service::{Habits, ScimService},
};

async fn service() -> ScimService {
    let habits = Habits {
        etags: true,
        silent: true,
        ..Habits::default()
    };
    let config = json!({"patch": {"supported": true}, "filter": {"supported": true},
        "etag": {"supported": true}});
    ScimService::start(Some(config), habits).await
}

fn open(service: &ScimService) -> SharedConnector {
    let value = json!({"type": "scim", "baseUrl": format!("http://{}/v2", service.address),
        "deviations": {"membersPerRequest": 2},
        "objects": {"team": {"resourceType": "Group"}}});
    connector(&value, Path::new("/"))
}

fn group(members: std::ops::Range<usize>) -> Object {
    let members: Vec<String> = members.map(|number| format!("m{number}")).collect();
    map(json!({"displayName": "G", "members": members}))
}

/// Brings six more members in, in three pieces.
async fn grow(connector: &SharedConnector) -> Result<Written, Error> {
    let before = connector.read("team", "g").await?.expect("the group");
    let update = Update {
        before: &before,
        after: &group(0..8),
        rename: None,
    };
    connector.update("team", &update).await
}

fn busy() -> Answer {
    Answer {
        status: 429,
        headers: vec![("retry-after", "3".to_owned())],
        body: String::new(),
        carried_out: false,
    }
}

#[tokio::test]
async fn a_service_without_time_in_the_middle_is_left_in_peace() {
    let service = service().await;
    let connector = open(&service);
    let small = group(0..2);
    connector.create("team", Some("g"), &small).await.unwrap();
    // Before anything was written, nothing happened.
    service.shop().later = Some((0, busy()));
    let error = grow(&connector).await.unwrap_err();
    assert_eq!(error.kind, CauseKind::Unavailable);
    let writes = service.shop().bodies.len();
    service.shop().later = Some((1, busy()));
    let error = grow(&connector).await.unwrap_err();
    assert_eq!(error.kind, CauseKind::Unknown, "{error:?}");
    assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
    assert_eq!(
        service.shop().bodies.len(),
        writes + 2,
        "nothing is taken back"
    );
    let now = connector.read("team", "g").await.unwrap().unwrap();
    assert_eq!(now.attributes, group(0..4));
    // The same for a new one.
    service.shop().later = Some((1, busy()));
    let created = connector.create("team", Some("h"), &group(0..4)).await;
    let error = created.unwrap_err();
    assert_eq!(error.kind, CauseKind::Unknown);
    assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn every_piece_has_its_precondition() {
    let service = service().await;
    let connector = open(&service);
    let small = group(0..2);
    connector.create("team", Some("g"), &small).await.unwrap();
    service.shop().matches.clear();
    // The first piece cannot be read back at once.
    let before = connector.read("team", "g").await.unwrap().unwrap();
    let after = group(0..8);
    let update = Update {
        before: &before,
        after: &after,
        rename: None,
    };
    service.shop().failing_reads = 1;
    connector.update("team", &update).await.expect("all pieces");
    let matches = service.shop().matches.clone();
    assert_eq!(matches.len(), 3);
    assert!(matches.iter().all(Option::is_some), "{matches:?}");
    // Nor at the second try: what comes of the first piece is not known.
    let before = connector.read("team", "g").await.unwrap().unwrap();
    let update = Update {
        before: &before,
        after: &small,
        rename: None,
    };
    service.shop().matches.clear();
    service.shop().failing_reads = 2;
    let error = connector.update("team", &update).await.unwrap_err();
    assert_eq!(error.kind, CauseKind::Unknown, "{error:?}");
    assert_eq!(service.shop().matches.len(), 1);
}

#[tokio::test]
async fn a_service_that_does_not_describe_itself_in_time_is_not_written() {
    let service = service().await;
    service.shop().hides_itself = true;
    let value = json!({"type": "scim", "baseUrl": format!("http://{}/v2", service.address),
        "timeoutMs": 400, "objects": {"team": {"resourceType": "Group"}}});
    let connector = connector(&value, Path::new("/"));
    let group = map(json!({"displayName": "G"}));
    let created = connector.create("team", Some("g"), &group);
    let created = tokio::time::timeout(Duration::from_millis(380), created).await;
    let error = created.expect("it gives up before its time is over");
    let error = error.unwrap_err();
    assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
    assert!(error.message.contains("ServiceProviderConfig"), "{error}");
}
