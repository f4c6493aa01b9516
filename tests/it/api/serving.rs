//! Starting, stopping, TLS.
use std::{fs, net::SocketAddr, sync::Arc};

use recant::{
    app::App,
    clock::SystemClock,
    config::{self, Configuration},
    server::{Ended, Error, Server},
};
use serde_json::json;

use crate::support::{
    folder::{Folder, KEY},
    server::{Client, Running, eventually},
};

fn configuration(folder: &Folder) -> Configuration {
    let runtime = |limits: &recant::hooks::Limits| recant::hooks::Runtime::new(limits.clone());
    let loaded = config::load(folder.path(), &runtime, &|_| None);
    loaded
        .configuration
        .unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

#[tokio::test]
async fn a_stopping_server_settles_what_is_in_flight() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    folder.rest.hold_writes();
    let client = server.client.clone();
    let waiting = tokio::spawn(async move {
        client
            .json("PUT", "/managed/user/ann", &json!({"userName": "ann"}))
            .await
    });
    eventually("the write arrives", || async {
        !folder.rest.writes().is_empty()
    })
    .await;
    server.ask_to_stop();
    let address = server.address;
    eventually("no new connections", || async {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    folder.rest.release();
    let reply = waiting.await.unwrap().expect(201);
    assert_eq!(reply.header("recant-outcome"), "synced");
    assert_eq!(server.ended().await, Ended::Settled);
}

#[tokio::test]
async fn a_second_stop_ends_at_once_and_the_next_start_finishes_the_change() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    folder.rest.hold_writes();
    let client = server.client.clone();
    let waiting = tokio::spawn(async move {
        client
            .json("PUT", "/managed/user/ann", &json!({"userName": "ann"}))
            .await
    });
    eventually("the write arrives", || async {
        !folder.rest.writes().is_empty()
    })
    .await;
    server.ask_to_stop();
    server.ask_to_stop();
    folder.rest.release();
    assert_eq!(server.ended().await, Ended::AtOnce);
    waiting.abort();
    let server = Running::start(&folder).await;
    let client = &server.client;
    eventually("the change has ended", || async {
        let unfinished = client
            .get("/operations?_queryFilter=!(outcome+pr)")
            .await
            .expect(200)
            .json();
        unfinished["resultCount"] == 0
    })
    .await;
    let person = client.get("/managed/user/ann").await;
    assert_eq!(
        person.status == 200,
        folder.rest.people().contains_key("ann")
    );
    assert_eq!(
        person.status == 200,
        folder.employees().await.contains_key("ann")
    );
    server.stop().await;
}

#[tokio::test]
async fn without_tokens_nothing_listens_to_the_network() {
    let folder = Folder::new().await;
    let mut settings = configuration(&folder).server;
    settings.listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let app = App::open(folder.path()).await.unwrap();
    let refused = Server::bind(app.clone(), Arc::new(SystemClock), &settings).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::Unprotected(_)), "{error}");
    assert!(error.to_string().contains("recant token"), "{error}");
    app.make_token("t", &["admin".to_owned()], None)
        .await
        .unwrap();
    let bound = Server::bind(app.clone(), Arc::new(SystemClock), &settings).await;
    assert_ne!(bound.unwrap().address().port(), 0);
    app.close(std::time::Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_taken_address_is_told() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let mut settings = configuration(&folder).server;
    settings.listen = server.address;
    let refused = Server::bind(server.app.clone(), Arc::new(SystemClock), &settings).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains(&server.address.to_string()), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn certificates_are_followed() {
    let first = [
        include_str!("../support/certificates/first.pem"),
        include_str!("../support/certificates/first.key"),
    ];
    let second = [
        include_str!("../support/certificates/second.pem"),
        include_str!("../support/certificates/second.key"),
    ];
    let folder = Folder::new().await;
    folder.write("tls.pem", first[0]);
    folder.write("tls.key", first[1]);
    folder.write(
        "recant.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ntls_cert = \"tls.pem\"\ntls_key = \"tls.key\"\n\n[secrets]\nkey = \"{KEY}\"\n"
        ),
    );
    let server = Running::start(&folder).await;
    let base = format!("https://{}", server.address);
    let answered = async |certificate: &str| {
        let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([trusted])
            .no_proxy()
            .build()
            .unwrap();
        http.get(format!("{base}/health/live"))
            .send()
            .await
            .is_ok_and(|reply| reply.status() == 200)
    };
    assert!(answered(first[0]).await);
    assert!(!answered(second[0]).await);
    fs::write(folder.path().join("tls.pem"), "no certificate").unwrap();
    fs::write(folder.path().join("tls.key"), second[1]).unwrap();
    assert!(answered(first[0]).await, "a bad pair changes nothing");
    fs::write(folder.path().join("tls.pem"), second[0]).unwrap();
    eventually("the second certificate is shown", || answered(second[0])).await;
    assert!(!answered(first[0]).await);
    let plain = Client::new(&format!("http://{}", server.address));
    let refused = tokio::spawn(async move { plain.get("/health/live").await }).await;
    assert!(refused.is_err(), "no plain HTTP beside TLS");
    server.stop().await;
}
