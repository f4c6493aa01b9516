//! Targets and providers that answer with too much, too deep, or not what was asked.
use std::time::{Duration, Instant};

use axum::{Router, body::Body, http::Request, response::Response};
use serde_json::json;

use crate::support::{folder::Folder, server::Running};

/// A service that answers everything with this.
async fn service(answer: fn() -> Response) -> String {
    let app = Router::new().fallback(move |_: Request<Body>| async move { answer() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn endless() -> Response {
    let chunks = futures::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(axum::body::Bytes::from(vec![b'a'; 1 << 20]))
    });
    let body = futures::StreamExt::chain(
        futures::stream::once(async { Ok(axum::body::Bytes::from_static(b"{\"x\": \"")) }),
        chunks,
    );
    Response::new(Body::from_stream(body))
}

fn deep() -> Response {
    let text = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    Response::new(Body::from(text))
}

fn odd() -> Response {
    Response::new(Body::from(
        "[{\"_id\": 7}, null, \"<script>alert(1)</script>\"]",
    ))
}

fn redirect() -> Response {
    let response = Response::builder().status(302);
    response
        .header("location", "http://127.0.0.1:1/steal")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn a_target_that_answers_with_too_much_or_nonsense_harms_nobody() {
    for (what, answer) in [
        ("endless", endless as fn() -> Response),
        ("deep", deep),
        ("odd", odd),
        ("a redirect", redirect),
    ] {
        let folder = Folder::new().await;
        let address = service(answer).await;
        folder.write_json(
            "conf/connectors/directory.json",
            &json!({
                "type": "rest",
                "baseUrl": address,
                "timeoutMs": 3000,
                "retry": {"attempts": 1},
                "objects": {"person": {"path": "/people", "idAttribute": "id", "create": "put", "update": "put"}},
            }),
        );
        let server = Running::start(&folder).await;
        let began = Instant::now();
        let put = server
            .client
            .json("PUT", "/managed/user/ann", &json!({"userName": "Ann"}))
            .await;
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{what}: {:?}",
            began.elapsed()
        );
        assert!(put.status >= 400, "{what}: {}", put.text);
        assert!(put.text.len() < 100_000, "{what}: {} bytes", put.text.len());
        assert!(
            ["rejected", "compensated"].contains(&put.header("recant-outcome")),
            "{what}: {put:?}"
        );
        assert!(folder.employees().await.is_empty(), "{what}");
        server.client.get("/health/ready").await.expect(200);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_provider_that_answers_with_too_much_or_nonsense_lets_nobody_in() {
    for (what, answer) in [
        ("endless", endless as fn() -> Response),
        ("deep", deep),
        ("odd", odd),
        ("a redirect", redirect),
    ] {
        let folder = Folder::new().await;
        let toml = std::fs::read_to_string(folder.path().join("recant.toml")).unwrap();
        let issuer = service(answer).await;
        folder.write(
            "recant.toml",
            &format!("{toml}\n[auth.oidc]\nissuer = \"{issuer}\"\naudience = \"recant\"\n"),
        );
        let server = Running::start(&folder).await;
        let other = crate::support::issuer::Issuer::start().await;
        let holder = server.client.token(&other.token(json!({"iss": issuer})));
        holder.get("/operations").await.expect(503);
        server.client.get("/health/ready").await.expect(200);
        assert_eq!(holder.get("/operations").await.status, 503, "{what}");
        server.stop().await;
    }
}
