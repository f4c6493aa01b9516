//! Certificates: the server's, that change while it runs, and the clients', that stand for callers.
use std::fs;

use serde_json::json;

use crate::support::{
    folder::{Folder, KEY},
    server::{Client, Running, eventually},
};

const FIRST: [&str; 2] = [
    include_str!("../support/certificates/first.pem"),
    include_str!("../support/certificates/first.key"),
];
const SECOND: [&str; 2] = [
    include_str!("../support/certificates/second.pem"),
    include_str!("../support/certificates/second.key"),
];
const ENDED: &str = include_str!("../support/certificates/ended.pem");
const AUTHORITY: &str = include_str!("../support/certificates/authority.pem");
const CLIENT: [&str; 2] = [
    include_str!("../support/certificates/client.pem"),
    include_str!("../support/certificates/client.key"),
];
const OTHER: [&str; 2] = [
    include_str!("../support/certificates/other.pem"),
    include_str!("../support/certificates/other.key"),
];
const STRANGER: [&str; 2] = [
    include_str!("../support/certificates/stranger.pem"),
    include_str!("../support/certificates/stranger.key"),
];

async fn folder(server: &str, auth: &str) -> Folder {
    let folder = Folder::new().await;
    folder.write("tls.pem", FIRST[0]);
    folder.write("tls.key", FIRST[1]);
    folder.write("clients.pem", AUTHORITY);
    folder.write(
        "recant.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ntls_cert = \"tls.pem\"\ntls_key = \"tls.key\"\n\
             {server}\n\n[secrets]\nkey = \"{KEY}\"\n{auth}"
        ),
    );
    folder
}

const HR: &str = "\n[[auth.certificates]]\nholder = \"DNS:HR.example\"\nname = \"hr\"\nroles = [\"caller\"]\n\
    [[auth.certificates]]\nholder = \"CN=nobody\"\nname = \"boss\"\nroles = [\"admin\"]\n";

/// A client that trusts the server's certificates and shows one of its own, or none.
fn client(server: &Running, own: Option<[&str; 2]>) -> Client {
    let mut builder = reqwest::Client::builder();
    let trusted =
        [FIRST[0], SECOND[0]].map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).unwrap());
    builder = builder.tls_certs_only(trusted);
    if let Some(own) = own {
        let identity = reqwest::Identity::from_pem(own.concat().as_bytes()).unwrap();
        builder = builder.identity(identity);
    }
    Client::with(builder, &format!("https://{}", server.address))
}

async fn is_answered(client: Client) -> bool {
    tokio::spawn(async move { client.get("/health/live").await.status == 200 })
        .await
        .unwrap_or(false)
}

#[tokio::test]
async fn a_client_certificate_stands_for_the_caller_it_is_mapped_to() {
    let folder = folder("tls_client_ca = \"clients.pem\"", HR).await;
    let server = Running::start(&folder).await;
    let hr = client(&server, Some(CLIENT));
    let put = hr
        .json("PUT", "/managed/user/x", &json!({"userName": "x"}))
        .await
        .expect(201);
    let path = format!("/operations/{}", put.header("recant-operation"));
    assert_eq!(hr.get(&path).await.expect(200).json()["caller"], "hr");
    hr.get("/tokens").await.expect(403);
    let elsewhere = [("sec-fetch-site", "cross-site")];
    hr.send("GET", "/managed/user/x", &elsewhere, "")
        .await
        .expect(403);
    hr.token("recant_wrong")
        .get("/managed/user/x")
        .await
        .expect(401);
    for nobody in [client(&server, Some(OTHER)), client(&server, None)] {
        nobody.get("/managed/user/x").await.expect(401);
        nobody.get("/health/live").await.expect(200);
    }
    assert!(
        !is_answered(client(&server, Some(STRANGER))).await,
        "another authority"
    );
    server.stop().await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate_where_it_is_required() {
    let settings = "tls_client_ca = \"clients.pem\"\ntls_client_auth = \"required\"";
    let folder = folder(settings, HR).await;
    let server = Running::start(&folder).await;
    assert!(is_answered(client(&server, Some(CLIENT))).await);
    assert!(is_answered(client(&server, Some(OTHER))).await);
    assert!(!is_answered(client(&server, Some(STRANGER))).await);
    assert!(!is_answered(client(&server, None)).await);
    server.stop().await;
}

#[tokio::test]
async fn a_bad_certificate_never_replaces_a_good_one_and_is_listed() {
    let folder = folder("", "").await;
    let server = Running::start(&folder).await;
    let client = client(&server, None);
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    let listed = async || {
        let problems = client.get("/config/problems").await.expect(200);
        problems.text.contains("the last good ones stay in force")
    };
    assert!(!listed().await);
    for (what, certificate, key) in [
        ("a key of another certificate", FIRST[0], SECOND[1]),
        (
            "no key",
            FIRST[0],
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ),
        ("a certificate that has ended", ENDED, FIRST[1]),
        (
            "no certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            FIRST[1],
        ),
    ] {
        write("tls.pem", certificate);
        write("tls.key", key);
        eventually(what, &listed).await;
        client.get("/health/live").await.expect(200);
        write("tls.pem", FIRST[0]);
        write("tls.key", FIRST[1]);
        eventually("the problem is gone", async || !listed().await).await;
    }
    let told = client.get("/config/problems").await.expect(200);
    assert!(!told.text.contains("PRIVATE"), "{}", told.text);
    server.stop().await;
}
