//! REST services that refuse, stumble and vanish.
use std::{net::SocketAddr, path::Path, time::Duration};

use recant::{
    connectors::{Error, Update},
    model::CauseKind::{Refused, Unavailable, Unknown},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    connector,
    suite::{Subject, map, person, refused},
};
use crate::support::{
    people::{Answer, People},
    proxy::{Mode, Proxy},
};

const CLASS: &str = "account";

fn answer(status: u16) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: String::new(),
        carried_out: false,
    }
}

fn subject(people: &People, create: &str, update: &str) -> Subject {
    let settings = People::settings(people.address, create, update);
    Subject {
        connector: connector(&settings, Path::new("/")),
        renames: false,
        versions: true,
        types: true,
    }
}

async fn change(subject: &Subject, id: &str) -> Result<(), Error> {
    let before = subject.existing(id).await;
    let mut after = before.attributes.clone();
    after.insert("name".into(), json!("changed"));
    let update = Update {
        before: &before,
        after: &after,
        rename: None,
    };
    subject.connector.update(CLASS, &update).await.map(drop)
}

#[tokio::test]
async fn each_status_means_what_the_contract_says() {
    let people = People::start().await;
    let subject = subject(&people, "put", "put");
    let before = subject.create("a", &person("A")).await;
    for (status, kind) in [
        (302, Refused),
        (400, Refused),
        (401, Refused),
        (403, Refused),
        (404, Refused),
        (408, Unknown),
        (409, Refused),
        (412, Refused),
        (418, Refused),
        (422, Refused),
        (425, Unavailable),
        (429, Unavailable),
        (500, Unknown),
        (501, Refused),
        (502, Unknown),
        (503, Unavailable),
        (504, Unknown),
        (202, Unknown),
    ] {
        let demand = || people.shop().refusals.push(answer(status));
        demand();
        let error = change(&subject, "a").await.unwrap_err();
        assert_eq!(
            (error.kind, &error.code),
            (kind, &json!(status)),
            "update {status}"
        );
        demand();
        let result = subject
            .connector
            .create(CLASS, Some("b"), &person("B"))
            .await;
        assert_eq!(result.unwrap_err().kind, kind, "create {status}");
        demand();
        let result = subject.delete(&before).await;
        match status {
            404 => result.expect("what is gone is deleted"),
            _ => assert_eq!(result.unwrap_err().kind, kind, "delete {status}"),
        }
        assert_eq!(subject.existing("a").await, before);
    }
}

#[tokio::test]
async fn the_services_own_words_and_wishes_come_through() {
    let people = People::start().await;
    let subject = subject(&people, "put", "patch");
    subject.create("a", &person("A")).await;
    let mut busy = answer(503);
    busy.headers.push(("retry-after", "7".to_owned()));
    busy.body = json!({"error": {"message": "tired"}}).to_string();
    people.shop().refusals.push(busy);
    let error = change(&subject, "a").await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(error.message, "tired");
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_lost_service_unavailable() {
    let people = People::start().await;
    let proxy = Proxy::before(people.address).await;
    let settings = People::settings(proxy.address(), "put", "put");
    let through = Subject {
        connector: connector(&settings, Path::new("/")),
        renames: false,
        versions: true,
        types: true,
    };
    let direct = subject(&people, "put", "put");
    through.create("a", &person("A")).await;
    for (mode, name) in [(Mode::CutRequest, "A"), (Mode::CutAnswer, "changed")] {
        let before = direct.existing("a").await;
        let mut after = before.attributes.clone();
        after.insert("name".into(), json!("changed"));
        let update = Update {
            before: &before,
            after: &after,
            rename: None,
        };
        proxy.set(mode);
        let error = through.connector.update(CLASS, &update).await.unwrap_err();
        assert_eq!(error.kind, Unknown, "{mode:?}: {error:?}");
        let error = through.connector.read(CLASS, "a").await.unwrap_err();
        assert_eq!(error.kind, Unavailable, "{mode:?}: {error:?}");
        proxy.set(Mode::Pass);
        assert_eq!(direct.existing("a").await.attributes["name"], name);
        assert_eq!(through.existing("a").await.attributes["name"], name);
    }
    let address = proxy.address();
    drop(proxy);
    // Connections that the proxy's tasks still hold are left behind by a new client.
    let down = connector(&People::settings(address, "put", "put"), Path::new("/"));
    let error = wait_until_closed(&down).await;
    assert_eq!(error.kind, Unavailable, "{error:?}");
    let before = direct.existing("a").await;
    let update = Update {
        before: &before,
        after: &before.attributes,
        rename: None,
    };
    assert_eq!(
        down.update(CLASS, &update).await.unwrap_err().kind,
        Unavailable
    );
}

async fn wait_until_closed(connector: &recant::connectors::SharedConnector) -> Error {
    for _ in 0..500 {
        if let Err(error) = connector.read(CLASS, "a").await {
            return error;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the proxy never closed");
}

#[tokio::test]
async fn tests_of_a_service_say_what_is_wrong() {
    let people = People::start().await;
    let good = People::settings(people.address, "put", "put");
    for (pointer, value, part) in [
        ("/auth/bearer", json!("hush"), "credentials"),
        ("/objects/account/path", json!("/persons"), "/persons"),
        (
            "/objects/account/list/itemsPointer",
            json!("/rows"),
            "/rows",
        ),
        ("/baseUrl", json!("http://127.0.0.1:1"), "reached"),
    ] {
        let mut settings = good.clone();
        *settings.pointer_mut(pointer).unwrap() = value;
        let connector = connector(&settings, Path::new("/"));
        let error = connector.test().await.unwrap_err();
        assert!(error.message.contains(part), "{pointer}: {error}");
        assert!(!format!("{connector:?} {error:?}").contains("hush"));
    }
}

#[tokio::test]
async fn a_service_may_give_the_id() {
    let people = People::start().await;
    let subject = subject(&people, "post", "put");
    let written = subject
        .connector
        .create(CLASS, None, &person("A"))
        .await
        .unwrap();
    assert_eq!(subject.existing(&written.id).await.attributes["name"], "A");
    let mut located = answer(201);
    located
        .headers
        .push(("location", "/api/people/b%2Fc".to_owned()));
    people.shop().refusals.push(located);
    let written = subject
        .connector
        .create(CLASS, None, &person("B"))
        .await
        .unwrap();
    assert_eq!(written.id, "b/c");
    assert_eq!(written.attributes, None);
    people.shop().refusals.push(answer(201));
    let error = subject
        .connector
        .create(CLASS, None, &person("C"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Unknown, "{error:?}");
}

/// A service that answers each request with this head, and is cut off within the body.
async fn cut_within_the_body(head: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = Vec::new();
            // What is left unread would take the answer away with it.
            while !request.ends_with(b"}") && client.read_buf(&mut request).await.unwrap() > 0 {}
            let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 50\r\n\r\n{{\"id\": \"p");
            client.write_all(answer.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_lost_body_says_nothing_about_the_id_that_the_service_gave() {
    for (head, create, id, made) in [
        ("201 Created", "post", None, None),
        // The service may have given another id than the one that was sent.
        ("201 Created", "post", Some("a"), None),
        (
            "201 Created\r\nlocation: /api/people/p7",
            "post",
            Some("a"),
            Some("p7"),
        ),
        ("201 Created", "put", Some("a"), Some("a")),
    ] {
        let address = cut_within_the_body(head).await;
        let settings = People::settings(address, create, "put");
        let connector = connector(&settings, Path::new("/"));
        match (connector.create(CLASS, id, &person("A")).await, made) {
            (Ok(written), Some(made)) => assert_eq!(written.id, made, "{head} {create}"),
            (Err(error), None) => {
                assert_eq!(
                    (error.kind, &error.code),
                    (Unknown, &json!(201)),
                    "{error:?}"
                );
                assert!(error.message.contains("lost"), "{error}");
            }
            (result, _) => panic!("{head} {create}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_lost_body_that_a_rule_asks_for_is_unknown() {
    for (head, kind) in [
        ("200 OK", Some(Unknown)),
        ("409 Conflict", Some(Unknown)),
        ("201 Created", None),
    ] {
        let address = cut_within_the_body(head).await;
        let mut settings = People::settings(address, "put", "put");
        settings["errors"] = json!([
            {"status": [200, 409], "body": "\"ok\": *false", "means": "refused"}]);
        let connector = connector(&settings, Path::new("/"));
        let result = connector.create(CLASS, Some("a"), &person("A")).await;
        assert_eq!(result.err().map(|error| error.kind), kind, "{head}");
    }
}

#[tokio::test]
async fn a_service_without_etags_is_written_all_the_same() {
    let people = People::start().await;
    people.shop().has_etags = false;
    let subject = subject(&people, "put", "patch");
    let before = subject.create("a", &person("A")).await;
    assert_eq!(before.version, None);
    change(&subject, "a").await.unwrap();
    let after = map(json!({"name": "again"}));
    let now = subject.update(&before, &after, None).await.unwrap();
    assert_eq!(now.attributes, after);
}

#[tokio::test]
async fn one_question_for_an_id_is_one_request() {
    let people = People::start().await;
    let subject = subject(&people, "put", "put");
    subject.create("a", &person("A")).await;
    people.shop().seen.clear();
    assert_eq!(
        subject
            .all("_id eq \"a\" and name eq \"A\"", 10)
            .await
            .len(),
        1
    );
    assert_eq!(
        subject
            .all("_id eq \"a\" and name eq \"B\"", 10)
            .await
            .len(),
        0
    );
    assert_eq!(people.shop().seen, ["GET a", "GET a"]);
    refused(
        subject
            .connector
            .create(CLASS, Some(".."), &person("A"))
            .await,
    );
    assert!(subject.read("..").await.is_none());
}
