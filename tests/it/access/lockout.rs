//! Failed sign-ins: answered more and more slowly, and never at the cost of others.
use serde_json::json;

use crate::{
    api::access::client,
    support::{folder::Folder, server::Running},
};

#[tokio::test]
async fn who_fails_too_often_is_sent_away_and_others_are_not() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let right = client(&server.app, &server.client, &["admin"]).await;
    let mut statuses = Vec::new();
    for number in 0..30 {
        let guess = server.client.token(&format!("recant_guess-{number}"));
        let reply = guess.get("/operations").await;
        if reply.status == 429 {
            let seconds: u64 = reply.header("retry-after").parse().unwrap();
            assert!((1..=900).contains(&seconds), "{seconds}");
        }
        statuses.push(reply.status);
    }
    assert_eq!(&statuses[..10], [401; 10], "{statuses:?}");
    assert!(statuses[11..].contains(&429), "{statuses:?}");
    right.get("/operations").await.expect(200);
    let put = server
        .client
        .token("recant_guess")
        .json("PUT", "/managed/user/x", &json!({}))
        .await;
    assert!([401, 429].contains(&put.status));
    assert_eq!(put.header("recant-outcome"), "rejected");
    let without = server.client.get("/operations").await;
    without.expect(401);
    server.stop().await;
}

#[tokio::test]
async fn a_token_made_after_many_failures_opens_at_once() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    client(&server.app, &server.client, &["admin"]).await;
    for _ in 0..20 {
        server.client.token("recant_wrong").get("/operations").await;
    }
    let fresh = client(&server.app, &server.client, &["admin", "auditor"]).await;
    fresh.get("/operations").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn no_endpoint_takes_more_than_the_limit() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let document = server.client.get("/openapi.json").await.expect(200).json();
    let long = vec![b' '; (1 << 20) + 1];
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        for method in item.as_object().unwrap().keys() {
            let actions = &item[method]["parameters"];
            let action = actions
                .as_array()
                .into_iter()
                .flatten()
                .find_map(|parameter| {
                    (parameter["name"] == "_action")
                        .then(|| parameter["schema"]["enum"][0].as_str())?
                });
            let address = match action {
                Some(action) => format!("{path}?_action={action}"),
                None => path.clone(),
            };
            let headers = [("content-type", "application/json")];
            let reply = server
                .client
                .send(&method.to_uppercase(), &address, &headers, long.clone())
                .await;
            assert_eq!(reply.status, 413, "{method} {address}: {}", reply.text);
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
    server.stop().await;
}
