//! A directory: what no name may do to a filter, and which entry a write is meant for.
use std::path::Path;

use recant::{
    connectors::{Error, Query, SharedConnector, Update, Written},
    model::{Filter, Object, TargetObject, TargetWrite},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    connector,
    suite::{map, refused},
};
use crate::support::slapd::{PEOPLE, Slapd, person};

const CLASS: &str = "account";

/// A person with a photo, which the server cannot compare.
async fn ann(connector: &SharedConnector) -> TargetObject {
    let mut object = person("ann", "Ann");
    object.extend(map(
        json!({"jpegPhoto": "/9j/4AAQ", "employeeNumber": "71"}),
    ));
    created(connector, &object).await
}

async fn created(connector: &SharedConnector, object: &Object) -> TargetObject {
    let written = connector
        .create(CLASS, None, object)
        .await
        .expect("an entry");
    let found = connector.read(CLASS, &written.id).await.expect("a read");
    found.expect("the entry")
}

async fn changed(
    connector: &SharedConnector,
    before: &TargetObject,
    changes: Value,
) -> Result<Written, Error> {
    let mut after = before.attributes.clone();
    after.extend(map(changes));
    let update = Update {
        before,
        after: &after,
        rename: None,
    };
    connector.update(CLASS, &update).await
}

/// The same server, which no longer says that it knows the assertion control (RFC 4528).
async fn without_assertions(slapd: &Slapd) -> SharedConnector {
    saying(slapd, (b"\x0c1.3.6.1.1.12", b"\x0c1.3.6.1.1.19")).await
}

/// The same server, which says something else for a word of its answers.
pub async fn saying(slapd: &Slapd, words: (&'static [u8], &'static [u8])) -> SharedConnector {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = slapd.address();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(relay(client, server, words));
        }
    });
    let mut settings = slapd.settings(Slapd::people());
    settings["url"] = json!(format!("ldap://{address}"));
    connector(&settings, Path::new("/"))
}

async fn relay(
    client: TcpStream,
    server: std::net::SocketAddr,
    (word, other): (&'static [u8], &'static [u8]),
) {
    let server = TcpStream::connect(server).await.expect("the server");
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = tokio::io::copy(&mut from_client, &mut to_server);
    let answers = async {
        let mut piece = vec![0; 65536];
        while let Ok(length @ 1..) = from_server.read(&mut piece).await {
            for at in 0..length {
                if piece[at..length].starts_with(word) {
                    piece[at..at + word.len()].copy_from_slice(other);
                }
            }
            if to_client.write_all(&piece[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = requests => {}
        () = answers => {}
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_and_changes_nothing() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let connector = connector(&slapd.settings(Slapd::people()), Path::new("/"));
    let before = ann(&connector).await;
    let start = slapd.dump();
    for name in ["mail_address", "given name", "cn=*)(sn"] {
        let error = refused(changed(&connector, &before, json!({name: "x"})).await);
        assert!(
            error.code == 17 && error.message.contains(name),
            "{error:?}"
        );
        let mut after = before.attributes.clone();
        after.insert(name.into(), json!("x"));
        let update = TargetWrite::Update {
            before: before.clone(),
            after,
            rename: None,
        };
        let mut other = person("bob", "Bob");
        other.insert(name.into(), json!("x"));
        assert_eq!(refused(connector.refine(CLASS, update).await).code, 17);
        refused(connector.create(CLASS, None, &other).await);
    }
    assert_eq!(slapd.dump(), start);
}

#[tokio::test]
async fn a_field_of_a_query_is_never_more_than_a_name() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let connector = connector(&slapd.settings(Slapd::people()), Path::new("/"));
    ann(&connector).await;
    let found = async |filter: &str| {
        let query = Query {
            filter: Filter::parse(filter).expect(filter),
            page_size: 10,
            cursor: None,
        };
        let page = connector.query(CLASS, &query).await.expect(filter);
        page.objects.len()
    };
    // Whatever the number is, the answer to this is the same: there is no such attribute.
    for digit in ["7", "8"] {
        let inner = format!("cn;x=*))(employeeNumber={digit}*)(!(cn;y");
        let field: String = inner.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(found(&format!("!({field} pr)")).await, 1, "{digit}");
        assert_eq!(found(&format!("{field} pr")).await, 0, "{digit}");
    }
    // Other names of an attribute, and what it is a kind of, show under none of these.
    for name in [
        "2.16.840.1.113730.3.1.3",
        "EMPLOYEENUMBER",
        "name",
        "surname",
    ] {
        assert_eq!(found(&format!("!({name} pr)")).await, 1, "{name}");
    }
    assert_eq!(found("!(employeeNumber pr)").await, 0);
    assert_eq!(found("!(title pr)").await, 1);
}

#[tokio::test]
async fn a_write_is_for_the_entry_that_was_read_and_for_no_other_in_its_place() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let asserting = connector(&slapd.settings(Slapd::people()), Path::new("/"));
    for connector in [asserting, without_assertions(&slapd).await] {
        let before = ann(&connector).await;
        connector.delete(CLASS, &before).await.expect("a delete");
        let anew = ann(&connector).await;
        assert_ne!(anew.id, before.id);
        let start = slapd.dump();
        for changes in [
            json!({"mail": "x@example.com"}),
            json!({"jpegPhoto": "/9j/4AAR"}),
            json!({"uid": "bob"}),
        ] {
            let error = refused(changed(&connector, &before, changes).await);
            assert_eq!(error.code, 404, "{error:?}");
        }
        // It is gone already, and the other stays.
        connector
            .delete(CLASS, &before)
            .await
            .expect("nothing to do");
        assert_eq!(slapd.dump(), start);
        connector.delete(CLASS, &anew).await.expect("a delete");
    }
}

#[tokio::test]
async fn a_server_without_assertions_is_looked_at_first() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let connector = without_assertions(&slapd).await;
    let before = ann(&connector).await;
    let photo = json!({"jpegPhoto": "/9j/4AAR"});
    changed(&connector, &before, photo).await.expect("a photo");
    let other = json!({"jpegPhoto": "/9j/4AAS"});
    let error = refused(changed(&connector, &before, other).await);
    assert_eq!(error.code, 412, "{error:?}");
    let error = refused(connector.delete(CLASS, &before).await);
    assert_eq!(error.code, 412, "{error:?}");
    // What the mapping gave for a password is part of the pre-image, and no look shows it.
    let now = connector.read(CLASS, &before.id).await.expect("a read");
    let mut now = now.expect("the entry");
    now.attributes
        .insert("userPassword".into(), json!("former-secret"));
    connector.delete(CLASS, &now).await.expect("a delete");
    assert!(!slapd.dump().contains("uid=ann"));
}

#[tokio::test]
async fn where_the_entry_stayed_the_server_says_what_is_missing() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let connector = connector(&slapd.settings(Slapd::people()), Path::new("/"));
    let before = ann(&connector).await;
    let place = json!({"dn": format!("uid=ann,ou=nowhere,{PEOPLE}")});
    let error = refused(changed(&connector, &before, place).await);
    assert_eq!(error.code, 32, "{error:?}");
    let away = json!({"dn": format!("uid=ann,ou=leavers,{PEOPLE}")});
    changed(&connector, &before, away).await.expect("a move");
    let error = refused(changed(&connector, &before, json!({"sn": "Late"})).await);
    assert!(
        error.code == 412 && error.message.contains("moved"),
        "{error:?}"
    );
}
