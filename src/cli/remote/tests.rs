//! What is sent to a server, and what is made of its answers.
use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::json;

use super::*;
use crate::cli::{output::Exit, service::PatchForm};

/// Method, address, headers and body of the last request.
type Seen = Arc<Mutex<Option<(String, HeaderMap, String)>>>;

/// A server that answers everything alike.
async fn server(status: u16, headers: &'static [(&str, &str)], body: &'static str) -> (Url, Seen) {
    let seen = Seen::default();
    let app = Router::new()
        .fallback(async move |State(seen): State<Seen>, request: Request| {
            let line = format!("{} {}", request.method(), request.uri());
            let sent = request.headers().clone();
            let bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await;
            let text = String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            *seen.lock().unwrap() = Some((line, sent, text));
            let mut answer = HeaderMap::new();
            for (name, value) in headers {
                answer.insert(*name, value.parse().unwrap());
            }
            (StatusCode::from_u16(status).unwrap(), answer, body)
        })
        .with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url.parse().unwrap(), seen)
}

fn ask(id: Option<&str>, wish: Wish, if_match: Option<&str>) -> Ask {
    Ask {
        managed_type: "user".into(),
        id: id.map(str::to_owned),
        wish,
        if_match: if_match.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_change_is_sent_as_the_api_wants_it() {
    let (url, seen) = server(200, &[], "{}").await;
    let remote = Remote::new(url, Some("secret".into())).unwrap();
    let object = || json!({"a": 1});
    for (ask, line, header, value) in [
        (
            ask(None, Wish::Create(object()), None),
            "POST /base/managed/user?_action=create",
            "authorization",
            "Bearer secret",
        ),
        (
            ask(Some("a/b c"), Wish::Create(object()), None),
            "PUT /base/managed/user/a%2Fb%20c",
            "if-none-match",
            "*",
        ),
        (
            ask(Some("1"), Wish::Update(object()), None),
            "PUT /base/managed/user/1",
            "if-match",
            "*",
        ),
        (
            ask(
                Some("1"),
                Wish::Patch(PatchForm::Merge, object()),
                Some("7"),
            ),
            "PATCH /base/managed/user/1",
            "content-type",
            "application/merge-patch+json",
        ),
        (
            ask(Some("1"), Wish::Delete, Some("7")),
            "DELETE /base/managed/user/1",
            "if-match",
            "7",
        ),
    ] {
        remote.change(&ask).await.unwrap();
        let (sent, headers, body) = seen.lock().unwrap().take().unwrap();
        assert_eq!(sent, line);
        assert_eq!(headers[header], value, "{line}");
        let content = ask.wish.content().map(ToString::to_string);
        assert_eq!(body, content.unwrap_or_default());
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_body_and_its_outcome() {
    const ID: &str = "01900000-0000-7000-8000-000000000001";
    let (url, _) = server(
        409,
        &[("recant-operation", ID), ("recant-outcome", "compensated")],
        r#"{"code": 409, "message": "no"}"#,
    )
    .await;
    let remote = Remote::new(url, None).unwrap();
    let failure = remote
        .change(&ask(Some("1"), Wish::Delete, None))
        .await
        .unwrap_err();
    assert_eq!(failure.exit(), Exit::TakenBack);
    assert_eq!(failure.to_string(), "no");
    let Failure::Refused {
        body, operation, ..
    } = failure
    else {
        panic!("{failure}");
    };
    assert_eq!(body["code"], 409);
    assert_eq!(operation.unwrap().to_string(), ID);
}

#[tokio::test]
async fn an_answer_of_somebody_else_is_told() {
    for (status, body) in [(404, "<html>"), (200, "hello"), (500, "{}")] {
        let (url, _) = server(status, &[], body).await;
        let remote = Remote::new(url, None).unwrap();
        let failure = remote.verify(None).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Failed);
        assert!(failure.to_string().contains("Recant server"), "{failure}");
    }
}

#[tokio::test]
async fn a_page_is_asked_for_and_read() {
    let body = r#"{"result": [{"_id": "1"}], "pagedResultsCookie": "next"}"#;
    let (url, seen) = server(200, &[], body).await;
    let remote = Remote::new(url, None).unwrap();
    let search = Search {
        filter: Some("a eq \"b\"".into()),
        sort: Some("-position"),
        size: 2,
        cursor: Some("c".into()),
    };
    let page = remote.audit(Some(Topic::Sync), &search).await.unwrap();
    assert_eq!(
        (page.results.len(), page.cursor.as_deref()),
        (1, Some("next"))
    );
    let (line, ..) = seen.lock().unwrap().take().unwrap();
    assert_eq!(
        line,
        "GET /base/audit/sync?_queryFilter=a+eq+%22b%22&_pageSize=2&_sortKeys=-position&_pagedResultsCookie=c"
    );
}
