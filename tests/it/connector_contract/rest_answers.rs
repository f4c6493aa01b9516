//! REST services whose answers need a second look: weak versions, results elsewhere, pages that are
//! not there, a token that does not come.
use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query as Parameters, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use recant::{
    connectors::{Query, Update},
    model::{
        CauseKind::{Refused, Unavailable, Unknown},
        Filter,
    },
};
use serde_json::{Value, json};

use super::{
    connector,
    suite::{Subject, map, person},
};
use crate::support::people::{Answer, People};

const CLASS: &str = "account";

fn subject(settings: &Value) -> Subject {
    Subject {
        connector: connector(settings, Path::new("/")),
        renames: false,
        versions: false,
        types: true,
    }
}

/// A router on a free port; its address.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

#[tokio::test]
async fn a_weak_etag_is_no_precondition() {
    let people = People::start().await;
    people.shop().has_weak_etags = true;
    let mut settings = People::settings(people.address, "put", "put");
    let plain = subject(&settings);
    let before = plain.create("a", &person("A")).await;
    assert_eq!(before.version, None);
    let after = map(json!({"name": "B"}));
    plain.update(&before, &after, None).await.expect("a change");
    // Whoever says so sends it all the same, and this service lets none match.
    settings["etags"] = json!("all");
    let strict = subject(&settings);
    let before = strict.existing("a").await;
    assert!(before.version.is_some());
    let error = strict.update(&before, &after, None).await.unwrap_err();
    assert_eq!((error.kind, error.code), (Refused, json!(412)));
    people.shop().has_weak_etags = false;
    settings["etags"] = json!("never");
    let careless = subject(&settings);
    assert!(!careless.connector.capabilities().precondition);
    assert_eq!(careless.existing("a").await.version, None);
}

#[tokio::test]
async fn a_write_whose_result_is_elsewhere_was_not_refused() {
    let see = |location: Option<&str>, carried_out| Answer {
        status: 303,
        headers: location
            .map(|location| ("location", location.to_owned()))
            .into_iter()
            .collect(),
        body: String::new(),
        carried_out,
    };
    let people = People::start().await;
    let subject = subject(&People::settings(people.address, "post", "put"));
    let demand = |answer| people.shop().refusals.push(answer);
    demand(see(Some("/api/people/a"), true));
    let ann = person("A");
    let created = subject.connector.create(CLASS, Some("a"), &ann);
    let written = created.await.expect("it was made");
    assert_eq!(written.id, "a");
    assert!(written.version.is_some());
    let bea = person("B");
    // Nothing there, another one there, somewhere else, nowhere.
    for location in [
        Some("/api/people/b"),
        Some("/api/people/a"),
        Some("/status/7"),
        None,
    ] {
        demand(see(location, false));
        let created = subject.connector.create(CLASS, Some("b"), &bea);
        assert_eq!(created.await.unwrap_err().kind, Unknown, "{location:?}");
    }
    let before = subject.existing("a").await;
    let update = Update {
        before: &before,
        after: &map(json!({"name": "B"})),
        rename: None,
    };
    demand(see(Some("/api/people/a"), true));
    let error = subject.connector.update(CLASS, &update).await.unwrap_err();
    assert_eq!((error.kind, error.code), (Unknown, json!(303)));
}

/// Pages of three, and this status where there is none.
async fn pages(
    State(status): State<u16>,
    Parameters(parameters): Parameters<std::collections::HashMap<String, usize>>,
) -> Response {
    let page = parameters.get("page").copied().unwrap_or(1);
    let all: Vec<Value> = (0..7).map(|id| json!({"id": format!("p{id}")})).collect();
    match all.chunks(3).nth(page - 1) {
        Some(items) => Json(json!(items)).into_response(),
        None => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, Json(json!({"detail": "Invalid page."}))).into_response()
        }
    }
}

#[tokio::test]
async fn a_page_that_is_not_there_ends_a_list() {
    for (status, ends) in [(404, true), (416, true), (403, false)] {
        let router = Router::new()
            .route("/people", get(pages))
            .with_state(status);
        let base = serve(router).await;
        let settings = |first: u64| {
            json!({"type": "rest", "baseUrl": base, "objects": {"account": {
                "path": "/people", "list": {"pageParameter": "page", "firstPage": first}}}})
        };
        let query = Query {
            filter: Filter::parse("true").unwrap(),
            page_size: 100,
            cursor: None,
        };
        let listed = subject(&settings(1)).connector.query(CLASS, &query).await;
        match ends {
            true => assert_eq!(listed.unwrap().objects.len(), 7, "{status}"),
            false => assert_eq!(listed.unwrap_err().kind, Refused),
        }
        // The first page is there, or there is no list.
        let none = subject(&settings(9)).connector.query(CLASS, &query).await;
        assert_eq!(none.unwrap_err().kind, Refused, "{status}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_come_leaves_the_target_alone() {
    let people = People::start().await;
    let token = Router::new().route("/token", post(std::future::pending::<()>));
    let token = serve(token).await;
    let mut settings = People::settings(people.address, "put", "put");
    settings["timeoutMs"] = json!(400);
    settings["auth"] = json!({"oauth2": {"tokenUrl": format!("{token}/token"),
        "clientId": "recant", "clientSecret": "hush", "parameters": {"resource": "whisper"}}});
    let subject = Arc::new(subject(&settings));
    let ann = person("A");
    let created = subject.connector.create(CLASS, Some("a"), &ann);
    let created = tokio::time::timeout(Duration::from_millis(380), created).await;
    let error = created.expect("it gives up before its time is over");
    let error = error.unwrap_err();
    assert_eq!(error.kind, Unavailable, "{error:?}");
    assert!(error.message.contains("auth.oauth2.tokenUrl"), "{error}");
    assert!(people.shop().seen.is_empty());
    let shown = format!("{settings:?}").len() + format!("{:?}", subject.connector).len();
    assert!(shown > 0 && !format!("{:?}", subject.connector).contains("whisper"));
}
