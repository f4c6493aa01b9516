//! What changed in a directory by the server's own cookie, and values that come in pieces.
use std::{collections::BTreeSet, path::Path};

use recant::{
    connectors::{Change, Query, SharedConnector, Update},
    model::{Filter, Object, TargetObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::connector;
use crate::support::slapd::{Slapd, person};

const CLASS: &str = "account";

fn people(slapd: &Slapd, id: &str) -> SharedConnector {
    let mut class = Slapd::people();
    class["idAttribute"] = json!(id);
    connector(&slapd.settings(class), Path::new("/"))
}

async fn create(target: &SharedConnector, name: &str) -> TargetObject {
    let written = target
        .create(CLASS, None, &person(name, name))
        .await
        .expect(name);
    target.read(CLASS, &written.id).await.unwrap().unwrap()
}

/// What is told since a token: ids of those that are there with a name, and of those that are gone.
async fn told(target: &SharedConnector, token: &mut String) -> BTreeSet<(String, Option<String>)> {
    let mut all = BTreeSet::new();
    loop {
        let changes = target.changes(CLASS, Some(token)).await.expect("changes");
        for change in changes.changes {
            let new = all.insert(match change {
                Change::Present(object) => (
                    object.id,
                    object.attributes["sn"].as_str().map(str::to_owned),
                ),
                Change::Gone(id) => (id, None),
            });
            assert!(new, "told twice");
        }
        *token = changes.token;
        if !changes.more {
            return all;
        }
    }
}

async fn rename(target: &SharedConnector, before: &TargetObject, name: &str) {
    let mut after = before.attributes.clone();
    after.insert("sn".into(), json!(name));
    let update = Update {
        before,
        after: &after,
        rename: None,
    };
    target.update(CLASS, &update).await.expect("a change");
}

fn set<const N: usize>(told: [(&str, Option<&str>); N]) -> BTreeSet<(String, Option<String>)> {
    let owned = |(id, name): (&str, Option<&str>)| (id.to_owned(), name.map(str::to_owned));
    told.into_iter().map(owned).collect()
}

#[tokio::test]
async fn a_server_that_synchronizes_tells_deletions_too() {
    for log in ["", "syncprov-sessionlog 100\n"] {
        for id in ["entryUUID", "uid"] {
            let Some(slapd) = Slapd::start_with(&format!("overlay syncprov\n{log}")).await else {
                return;
            };
            let target = people(&slapd, id);
            let (ann, bob) = (create(&target, "ann").await, create(&target, "bob").await);
            let mut token = target.changes(CLASS, None).await.unwrap().token;
            assert!(token.contains("sync"), "{token}");
            assert_eq!(told(&target, &mut token).await, set([]));
            let old = token.clone();
            let cid = create(&target, "cid").await;
            rename(&target, &ann, "Ann").await;
            target.delete(CLASS, &bob).await.unwrap();
            let news = set([
                (&ann.id, Some("Ann")),
                (&cid.id, Some("cid")),
                (&bob.id, None),
            ]);
            assert_eq!(told(&target, &mut token).await, news, "{log} {id}");
            assert_eq!(told(&target, &mut token).await, set([]));
            // A consumer that crashed before it kept its token comes back with the one before.
            assert_eq!(told(&target, &mut old.clone()).await, news);
            // One that came and went in between was never there.
            let dan = create(&target, "dan").await;
            target.delete(CLASS, &dan).await.unwrap();
            target.delete(CLASS, &cid).await.unwrap();
            assert_eq!(
                told(&target, &mut token).await,
                set([(&cid.id, None)]),
                "{log} {id}"
            );
            // Another process goes on: changes always, deletions from now on at the latest.
            let other = people(&slapd, id);
            let eve = create(&target, "eve").await;
            assert_eq!(
                told(&other, &mut token).await,
                set([(&eve.id, Some("eve"))])
            );
            target.delete(CLASS, &eve).await.unwrap();
            assert_eq!(
                told(&other, &mut token).await,
                set([(&eve.id, None)]),
                "{log} {id}"
            );
            let third = people(&slapd, "entryUUID");
            let now = target.read(CLASS, &ann.id).await.unwrap().unwrap();
            target.delete(CLASS, &now).await.unwrap();
            let gone = told(&third, &mut token).await;
            if !log.is_empty() && id == "entryUUID" {
                assert_eq!(
                    gone,
                    set([(&ann.id, None)]),
                    "the session log tells it to anybody"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_listing_that_nobody_goes_on_with_gives_its_connection_back() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let mut settings = slapd.settings(Slapd::people());
    settings["timeoutMs"] = json!(300);
    let target = connector(&settings, Path::new("/"));
    for name in ["ann", "bob", "cid"] {
        create(&target, name).await;
    }
    let query = |cursor| Query {
        filter: Filter::Literal(true),
        page_size: 1,
        cursor,
    };
    let mut cursors = Vec::new();
    for _ in 0..4 {
        cursors.push(target.query(CLASS, &query(None)).await.unwrap().cursor);
    }
    let most = connections(&slapd);
    assert!(most >= 4, "{most}");
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        if connections(&slapd) < 4 {
            break;
        }
    }
    assert!(
        connections(&slapd) < 4,
        "{} are still open",
        connections(&slapd)
    );
    // Who comes back after all finds its place again.
    let page = target
        .query(CLASS, &query(cursors.remove(0)))
        .await
        .unwrap();
    assert_eq!(page.objects.len(), 1);
}

/// How many connections a server holds, as the system tells.
fn connections(slapd: &Slapd) -> usize {
    let port = format!(":{:04X}", slapd.address().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1].ends_with(&port) && row[3] == "01")
        .count()
}

// ---- a server that gives values in pieces

/// How many values it gives at once.
const PIECE: usize = 4;
const GROUP: &str = "cn=staff,ou=groups,dc=example,dc=com";

fn members() -> Vec<String> {
    let numbers = 0..11;
    numbers
        .map(|number| format!("uid=p{number:02},ou=people,dc=example,dc=com"))
        .collect()
}

/// A server of one group that gives its members in pieces, as Active Directory does.
async fn piecemeal() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let mut waiting = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        waiting.extend_from_slice(&piece[..length]);
        while let Some((message, used)) = whole(&waiting) {
            let answers = answer(&message);
            waiting.drain(..used);
            if stream.write_all(&answers).await.is_err() {
                return;
            }
        }
    }
}

/// Tag, content, and how long both are (X.690, as far as LDAP needs it).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (tag, first) = (*bytes.first()?, usize::from(*bytes.get(1)?));
    let (length, begin) = match first {
        0..=127 => (first, 2),
        _ => {
            let count = first - 128;
            let digits = bytes.get(2..2 + count)?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length * 256 + usize::from(*digit));
            (length, 2 + count)
        }
    };
    Some((tag, bytes.get(begin..begin + length)?, begin + length))
}

fn whole(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    element(bytes).map(|(_, content, used)| (content.to_vec(), used))
}

fn elements(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((tag, content, used)) = element(bytes) {
        all.push((tag, content.to_vec()));
        bytes = &bytes[used..];
    }
    all
}

fn encoded(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84][..], &length, content].concat()
}

fn text(text: &str) -> Vec<u8> {
    encoded(4, text.as_bytes())
}

fn attribute(name: &str, values: &[String]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| text(value)).collect();
    encoded(0x30, &[text(name), encoded(0x31, &values)].concat())
}

fn answer(message: &[u8]) -> Vec<u8> {
    let parts = elements(message);
    let id = encoded(2, &parts[0].1);
    let reply =
        |tag: u8, content: &[u8]| encoded(0x30, &[id.clone(), encoded(tag, content)].concat());
    let done = |tag: u8| reply(tag, &[encoded(10, &[0]), text(""), text("")].concat());
    match parts[1].0 {
        0x60 => done(0x61),
        0x63 => {
            let search = elements(&parts[1].1);
            let base = String::from_utf8(search[0].1.clone()).unwrap();
            let wanted = elements(&search[7].1).into_iter();
            let wanted: Vec<String> = wanted
                .map(|(_, name)| String::from_utf8(name).unwrap())
                .collect();
            [
                found(&base, &wanted).map_or(Vec::new(), |entry| reply(0x64, &entry)),
                done(0x65),
            ]
            .concat()
        }
        _ => Vec::new(),
    }
}

fn found(base: &str, wanted: &[String]) -> Option<Vec<u8>> {
    if !base.ends_with("dc=com") {
        return None;
    }
    let all = members();
    let asked = wanted
        .iter()
        .find_map(|name| name.strip_prefix("member;range="));
    let first: usize = asked.map_or(0, |range| range.split('-').next().unwrap().parse().unwrap());
    let last = (first + PIECE).min(all.len());
    let end = if last == all.len() {
        "*".to_owned()
    } else {
        (last - 1).to_string()
    };
    let piece = attribute(&format!("member;range={first}-{end}"), &all[first..last]);
    let mut attributes = vec![piece];
    if asked.is_none() {
        attributes.push(attribute("member", &[]));
        attributes.push(attribute("cn", &["staff".to_owned()]));
        attributes.push(attribute("objectClass", &["group".to_owned()]));
    }
    Some([text(GROUP), encoded(0x30, &attributes.concat())].concat())
}

#[tokio::test]
async fn values_that_come_in_pieces_are_read_as_a_whole() {
    let address = piecemeal().await;
    let settings = json!({"type": "ldap", "url": format!("ldap://{address}"),
        "objects": {"account": {"baseDn": "ou=groups,dc=example,dc=com", "objectClasses": ["group"],
            "rdnAttribute": "cn", "idAttribute": "cn"}}});
    let target = connector(&settings, Path::new("/"));
    let group = target.read(CLASS, "staff").await.unwrap().unwrap();
    let expected: Object = [
        ("dn".to_owned(), json!(GROUP)),
        ("cn".to_owned(), json!("staff")),
        ("member".to_owned(), json!(members())),
        ("objectClass".to_owned(), json!(["group"])),
    ]
    .into_iter()
    .collect();
    let sorted = |object: &Object| {
        object
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<std::collections::BTreeMap<String, Value>>()
    };
    assert_eq!(sorted(&group.attributes), sorted(&expected));
    let all = Query {
        filter: Filter::Literal(true),
        page_size: 10,
        cursor: None,
    };
    let page = target.query(CLASS, &all).await.unwrap();
    assert_eq!(page.objects[0].attributes["member"], json!(members()));
}
