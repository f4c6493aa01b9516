//! Every role at every endpoint: a row for each, or the test fails.
use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    api::access::client,
    support::{
        folder::Folder,
        server::{Client, Running},
    },
};

const ROLES: [&str; 4] = ["caller", "hook-admin", "auditor", "admin"];

/// Method, address, action (or `-`), and who may: `all` is anybody with a role, `world` anybody at
/// all. An admin may always. Addresses are those of the description.
const ROWS: &str = "
GET    /health/live                              -             world
GET    /health/ready                             -             world
GET    /openapi.json                             -             world
GET    /metrics                                  -             all
GET    /managed/{type}                           -             caller
POST   /managed/{type}                           create        caller
POST   /managed/{type}                           plan          caller hook-admin
GET    /managed/{type}/{id}                      -             caller
PUT    /managed/{type}/{id}                      -             caller
PATCH  /managed/{type}/{id}                      -             caller
DELETE /managed/{type}/{id}                      -             caller
POST   /managed/{type}/{id}                      plan          caller hook-admin
POST   /sync                                     notifyCreate  caller
POST   /sync                                     notifyUpdate  caller
POST   /sync                                     notifyDelete  caller
GET    /sync/mappings                            -             caller hook-admin auditor
GET    /sync/queue                               -             hook-admin auditor
GET    /operations                               -             auditor
GET    /operations/{id}                          -             caller auditor
POST   /operations/{id}                          heal          admin
POST   /operations/{id}                          resolve       admin
GET    /events                                   -             caller hook-admin auditor
POST   /events                                   replay        hook-admin
GET    /events/deliveries/{subscription}         -             hook-admin auditor
POST   /events/deliveries/{subscription}/{id}    retry         hook-admin
POST   /events/deliveries/{subscription}/{id}    cancel        hook-admin
GET    /integrations/{connector}/events          -             hook-admin auditor
POST   /integrations/{connector}/events          import        hook-admin
POST   /integrations/{connector}/events          retry         hook-admin
POST   /integrations/{connector}/events          cancel        hook-admin
GET    /integrations/{connector}/events/{id}     -             hook-admin auditor
POST   /integrations/{connector}/events/{id}     retry         hook-admin
POST   /integrations/{connector}/events/{id}     cancel        hook-admin
POST   /integrations/{connector}/webhook         -             world
GET    /recon                                    -             auditor
POST   /recon                                    recon         admin
POST   /recon                                    reconById     admin
POST   /recon                                    reset         admin
GET    /recon/syncs                              -             auditor
GET    /recon/{id}                               -             auditor
POST   /recon/{id}                               cancel        admin
POST   /recon/{id}                               approve       admin
POST   /recon                                    approveSync   admin
GET    /recon/{id}/entries                       -             auditor
GET    /audit                                    -             auditor
POST   /audit                                    verify        auditor
GET    /audit/explain/{id}                       -             auditor
GET    /audit/destinations                       -             auditor
POST   /audit/destinations/{name}                resend        admin
POST   /audit/destinations/{name}                giveUp        admin
GET    /audit/{topic}                            -             auditor
GET    /audit/{topic}/{id}                       -             auditor
POST   /script                                   compile       hook-admin
POST   /script                                   eval          hook-admin
POST   /script                                   trace         hook-admin
POST   /script                                   test          hook-admin
POST   /script                                   backtest      hook-admin
POST   /script                                   record        hook-admin
GET    /script/runs                              -             hook-admin
POST   /system                                   test          hook-admin
POST   /system/{name}                            test          hook-admin
GET    /system/{name}/{class}                    -             hook-admin
GET    /system/{name}/{class}/{id}               -             hook-admin
GET    /config/problems                          -             hook-admin
GET    /tokens                                   -             admin
POST   /tokens                                   create        admin
DELETE /tokens/{id}                              -             admin
POST   /sessions                                 end           admin
";

type Row = (String, String, String, BTreeSet<String>);

fn rows() -> Vec<Row> {
    ROWS.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let who = words[3..].iter().map(|word| (*word).to_owned());
            (
                words[0].into(),
                words[1].into(),
                words[2].into(),
                who.collect(),
            )
        })
        .collect()
}

/// Every method, address and action of the description.
fn described(document: &Value) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned();
            let actions = parameters.unwrap_or_default().into_iter().find_map(|one| {
                (one["name"] == "_action").then(|| one["schema"]["enum"].as_array().cloned())?
            });
            let actions = actions.map_or_else(
                || vec!["-".to_owned()],
                |all| all.iter().map(|one| one.as_str().unwrap().into()).collect(),
            );
            for action in actions {
                found.insert((method.to_uppercase(), path.clone(), action));
            }
        }
    }
    found
}

/// An address of the description with something in its places.
fn filled(path: &str, action: &str) -> String {
    let mut path = path.to_owned();
    for (name, value) in [
        ("{type}", "user"),
        ("{topic}", "access"),
        ("{name}", "badges"),
        ("{class}", "badge"),
        ("{connector}", "directory"),
        ("{subscription}", "nobody"),
        ("{id}", "018f0000-0000-7000-8000-000000000001"),
    ] {
        path = path.replace(name, value);
    }
    assert!(!path.contains('{'), "say what stands in {path}");
    match action {
        "-" => path,
        action => format!("{path}?_action={action}&operation=create"),
    }
}

async fn status(client: &Client, method: &str, address: &str) -> u16 {
    let headers = [("content-type", "application/json")];
    let reply = client.send(method, address, &headers, "{}").await;
    if reply.status == 403 && reply.text.contains("has no role that may do this") {
        return 403;
    }
    // What a handler says for itself is another matter.
    if reply.status == 403 {
        200
    } else {
        reply.status
    }
}

#[tokio::test]
async fn every_role_gets_what_its_row_says_at_every_endpoint() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let document = server.client.get("/openapi.json").await.expect(200).json();
    let rows = rows();
    let named: BTreeSet<_> = rows
        .iter()
        .map(|(method, path, action, _)| (method.clone(), path.clone(), action.clone()))
        .collect();
    let described = described(&document);
    let missing: Vec<_> = described.difference(&named).collect();
    assert!(missing.is_empty(), "endpoints without a row: {missing:?}");
    let gone: Vec<_> = named.difference(&described).collect();
    assert!(gone.is_empty(), "rows without an endpoint: {gone:?}");
    let mut wrong = Vec::new();
    let root = client(&server.app, &server.client, &["admin"]).await;
    for role in ROLES {
        let holder = client(&server.app, &server.client, &[role]).await;
        for (method, path, action, who) in &rows {
            let address = filled(path, action);
            let found = status(&holder, method, &address).await;
            let may = role == "admin"
                || who.contains("all")
                || who.contains("world")
                || who.contains(role);
            if (found != 403) != may || found == 401 || found >= 500 && found != 503 {
                wrong.push(format!("{role}: {method} {address}: {found}"));
            }
        }
    }
    for (method, path, action, who) in &rows {
        let address = filled(path, action);
        let found = status(&server.client, method, &address).await;
        if (found == 401) == who.contains("world") {
            wrong.push(format!("nobody: {method} {address}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    root.get("/tokens").await.expect(200);
    server.stop().await;
}

/// What no row names is nobody's: new routes are denied until somebody says who may.
#[tokio::test]
async fn an_address_that_is_in_no_table_is_denied_or_not_there() {
    let folder = Folder::new().await;
    let server = Running::start(&folder).await;
    let root = client(&server.app, &server.client, &["admin"]).await;
    for path in [
        "/",
        "/managed",
        "/operations/a/b",
        "/admin",
        "/.git/config",
        "/managed/user/a/b",
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let reply = server.client.send(method, path, &[], "").await;
            assert!(
                [401, 404, 405].contains(&reply.status),
                "{method} {path}: {}",
                reply.text
            );
            let reply = root.send(method, path, &[], "").await;
            assert!(
                [404, 405].contains(&reply.status),
                "{method} {path}: {}",
                reply.text
            );
        }
    }
    for method in ["OPTIONS", "TRACE", "CONNECT", "PROPFIND"] {
        let reply = root.send(method, "/managed/user", &[], "").await;
        assert!(
            (400..500).contains(&reply.status),
            "{method}: {}",
            reply.text
        );
    }
    server.stop().await;
}
