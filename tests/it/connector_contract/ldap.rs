//! A directory: what is special about entries, and that each fault is called what it is.
use std::path::Path;

use recant::{
    connectors::{Change, Error, Query, SharedConnector, Update},
    model::{CauseKind, Filter, Object, TargetObject, TargetWrite},
};
use serde_json::{Value, json};

use super::{
    connector,
    suite::{self, Subject, map, refused},
};
use crate::support::{
    proxy::{Mode, Proxy},
    slapd::{GROUPS, PEOPLE, Slapd, person},
};

const CLASS: &str = "account";

fn subject(settings: &Value) -> Subject {
    Subject {
        connector: connector(settings, Path::new("/")),
        renames: true,
        versions: false,
        types: false,
    }
}

/// People by `entryUUID`.
fn people(slapd: &Slapd) -> SharedConnector {
    connector(&slapd.settings(Slapd::people()), Path::new("/"))
}

async fn create(connector: &SharedConnector, object: &Object) -> TargetObject {
    let written = connector
        .create(CLASS, None, object)
        .await
        .expect("an entry");
    existing(connector, &written.id).await
}

async fn existing(connector: &SharedConnector, id: &str) -> TargetObject {
    let found = connector.read(CLASS, id).await.expect(id);
    found.unwrap_or_else(|| panic!("`{id}` is missing"))
}

async fn update(
    connector: &SharedConnector,
    before: &TargetObject,
    changes: Value,
) -> Result<TargetObject, Error> {
    let mut after = before.attributes.clone();
    for (name, value) in map(changes) {
        if value.is_null() {
            after.shift_remove(&name);
        } else {
            after.insert(name, value);
        }
    }
    let update = Update {
        before,
        after: &after,
        rename: None,
    };
    let written = connector.update(CLASS, &update).await?;
    let now = existing(connector, &written.id).await;
    assert_eq!(written.attributes.as_ref(), Some(&now.attributes));
    Ok(now)
}

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    suite::run(&subject(&slapd.settings(Slapd::testers()))).await;
}

#[tokio::test]
async fn values_are_text_numbers_truths_bytes_and_lists() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let mut class = Slapd::people();
    class["objectClasses"] = json!(["inetOrgPerson", "posixAccount", "staff"]);
    class["multiValued"] = json!(["mail"]);
    let connector = connector(&slapd.settings(class), Path::new("/"));
    let mut object = person("ann", "Ann");
    object.extend(map(json!({
        "uidNumber": 1000, "gidNumber": "100", "homeDirectory": "/home/ann", "isStaff": true,
        "jpegPhoto": "/9j/4AAQ", "telephoneNumber": ["3", "1", "2"],
    })));
    let before = create(&connector, &object).await;
    let held = &before.attributes;
    assert_eq!(held["uidNumber"], 1000);
    assert_eq!(held["gidNumber"], 100);
    assert_eq!(held["isStaff"], true);
    assert_eq!(held["jpegPhoto"], "/9j/4AAQ");
    assert_eq!(held["telephoneNumber"], json!(["1", "2", "3"]));
    assert_eq!(held["mail"], json!(["ann@example.com"]));
    assert_eq!(held["cn"], "Ann");
    assert_eq!(held["dn"], format!("uid=ann,{PEOPLE}"));
    // Only what differs is sent: somebody adds a value meanwhile, and it stays.
    update(
        &connector,
        &before,
        json!({"telephoneNumber": ["1", "2", "3", "4"]}),
    )
    .await
    .expect("another value");
    let now = update(
        &connector,
        &before,
        json!({"telephoneNumber": ["2", "3", "5"]}),
    )
    .await
    .expect("other values");
    assert_eq!(
        now.attributes["telephoneNumber"],
        json!(["2", "3", "4", "5"])
    );
    let error = refused(update(&connector, &before, json!({"telephoneNumber": ["2", "3"]})).await);
    assert_eq!(error.code, 412, "the value is gone already: {error:?}");
    // What cannot be compared by the server is guarded by the whole entry.
    let error = refused(update(&connector, &before, json!({"jpegPhoto": "/9j/4AAR"})).await);
    assert_eq!(error.code, 412, "{error:?}");
    let now = update(
        &connector,
        &now,
        json!({"jpegPhoto": "/9j/4AAR", "isStaff": false}),
    )
    .await
    .expect("another photo");
    assert_eq!(now.attributes["isStaff"], false);
    // An attribute that was not there must not be there now.
    let fresh = update(&connector, &now, json!({"title": "Dr"}))
        .await
        .expect("a title");
    let error = refused(update(&connector, &now, json!({"title": "Prof"})).await);
    assert_eq!(error.code, 412, "{error:?}");
    assert_eq!(existing(&connector, &fresh.id).await, fresh);
}

#[tokio::test]
async fn an_entry_moves_and_comes_back_under_its_id() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let connector = people(&slapd);
    let before = create(&connector, &person("a, \"b\"+c", "Ann")).await;
    let start = slapd.dump();
    for changes in [
        json!({"uid": "bob"}),
        json!({"uid": ["bob", "a, \"b\"+c"], "sn": "Other"}),
        json!({"dn": format!("uid=bob,ou=leavers,{PEOPLE}")}),
        json!({"dn": format!("cn=Ann,{PEOPLE}"), "mail": null}),
    ] {
        let now = update(&connector, &before, changes.clone())
            .await
            .expect("a move");
        assert_eq!(now.id, before.id, "{changes}");
        let error = refused(update(&connector, &before, json!({"sn": "Late"})).await);
        assert!(
            error.code == 412 || changes["uid"].is_array(),
            "{changes}: {error:?}"
        );
        let mut back = before.attributes.clone();
        if !changes["uid"].is_array() {
            back.insert("dn".into(), before.attributes["dn"].clone());
        }
        let back = Update {
            before: &now,
            after: &back,
            rename: None,
        };
        connector.update(CLASS, &back).await.expect("the way back");
        assert_eq!(slapd.dump(), start, "{changes}");
    }
    // A name that is taken is refused, and what was to change besides has not changed.
    create(&connector, &person("bob", "Bob")).await;
    let start = slapd.dump();
    let now = existing(&connector, &before.id).await;
    refused(update(&connector, &now, json!({"uid": "bob", "sn": "Late"})).await);
    assert_eq!(slapd.dump(), start);
    // A change that is refused after the entry was renamed is taken back.
    let policy = json!({"uid": "ann", "mail": "nobody@elsewhere.org"});
    let error = refused(update(&connector, &now, policy).await);
    assert_eq!(error.code, 19, "{error:?}");
    assert_eq!(slapd.dump(), start);
}

#[tokio::test]
async fn a_group_holds_members_one_by_one_and_may_have_none() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let nobody = "cn=nobody,dc=example,dc=com";
    let class = json!({"baseDn": GROUPS, "objectClasses": ["groupOfNames"],
        "rdnAttribute": "cn", "emptyMember": nobody});
    let connector = connector(&slapd.settings(class), Path::new("/"));
    let member = |name: &str| format!("uid={name},{PEOPLE}");
    let before = create(&connector, &map(json!({"cn": "staff"}))).await;
    assert!(!before.attributes.contains_key("member"), "{before:?}");
    assert!(slapd.dump().contains(nobody));
    let one = update(&connector, &before, json!({"member": [member("a")]}))
        .await
        .expect("a member");
    assert_eq!(one.attributes["member"], json!([member("a")]));
    assert!(!slapd.dump().contains(nobody));
    // Two add a member at once: both stay.
    let two = update(
        &connector,
        &one,
        json!({"member": [member("a"), member("b")]}),
    );
    two.await.expect("a second member");
    let three = update(
        &connector,
        &one,
        json!({"member": [member("a"), member("c")]}),
    )
    .await
    .expect("a third member");
    let all: Vec<String> = ["a", "b", "c"].map(member).to_vec();
    assert_eq!(three.attributes["member"], json!(all));
    let none = update(&connector, &three, json!({"member": null}))
        .await
        .expect("no member");
    assert!(!none.attributes.contains_key("member"), "{none:?}");
    // Without a stand-in the directory keeps the last member.
    let class = json!({"baseDn": GROUPS, "objectClasses": ["groupOfNames"], "rdnAttribute": "cn"});
    let strict = super::connector(&slapd.settings(class), Path::new("/"));
    let alone = map(json!({"cn": "alone", "member": member("a")}));
    let before = create(&strict, &alone).await;
    let error = refused(update(&strict, &before, json!({"member": null})).await);
    assert_eq!(error.code, 65, "{error:?}");
    assert_eq!(existing(&strict, &before.id).await, before);
}

#[tokio::test]
async fn a_query_asks_the_server_and_goes_on_where_it_stopped() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let connector = people(&slapd);
    for number in 0..30 {
        create(
            &connector,
            &person(&format!("p{number:02}"), &format!("Name {number}")),
        )
        .await;
    }
    let query = |filter: &str, cursor| Query {
        filter: Filter::parse(filter).expect(filter),
        page_size: 7,
        cursor,
    };
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        // Another process goes on after the first page: it knows nothing of the search.
        let reader = if seen.len() == 7 {
            people(&slapd)
        } else {
            connector.clone()
        };
        let page = reader
            .query(CLASS, &query("mail sw \"p\"", cursor))
            .await
            .expect("a page");
        seen.extend(page.objects.into_iter().map(|object| object.id));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 30);
    let lost = connector
        .query(CLASS, &query("true", Some("99:nobody".into())))
        .await;
    assert_eq!(refused(lost).code, 410);
    let dn = format!("dn eq \"uid=p07,{PEOPLE}\"");
    let page = connector
        .query(CLASS, &query(&dn, None))
        .await
        .expect("a page");
    assert_eq!(page.objects.len(), 1);
}

#[tokio::test]
async fn a_connection_that_is_cut_while_writing_is_unknown() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let proxy = Proxy::before(slapd.address()).await;
    let mut settings = slapd.settings(Slapd::people());
    settings["url"] = json!(format!("ldap://{}", proxy.address()));
    let (connector, direct) = (connector(&settings, Path::new("/")), people(&slapd));
    let mut before = create(&connector, &person("ann", "Ann")).await;
    for (mode, happened) in [(Mode::CutRequest, false), (Mode::CutAnswer, true)] {
        let name = format!("{mode:?}");
        proxy.set(mode);
        let error = update(&connector, &before, json!({"sn": name}))
            .await
            .unwrap_err();
        assert_eq!(error.kind, CauseKind::Unknown, "{mode:?}: {error:?}");
        let error = connector.read(CLASS, &before.id).await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Unavailable, "{mode:?}: {error:?}");
        proxy.set(Mode::Pass);
        let mut now = existing(&direct, &before.id).await;
        for _ in 0..200 {
            if (now.attributes["sn"] == name) == happened {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            now = existing(&direct, &before.id).await;
        }
        assert_eq!(now.attributes["sn"] == name, happened, "{mode:?}");
        // It goes on by itself, on a new connection.
        before = update(&connector, &now, json!({"sn": format!("after {name}")}))
            .await
            .expect("a new connection");
    }
}

#[tokio::test]
async fn a_server_that_was_restarted_is_met_on_a_new_connection() {
    let Some(mut slapd) = Slapd::start().await else {
        return;
    };
    let connector = people(&slapd);
    let mut before = create(&connector, &person("ann", "Ann")).await;
    for round in 0..3 {
        slapd.kill();
        let error = update(&connector, &before, json!({"sn": "down"}))
            .await
            .unwrap_err();
        assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
        let error = connector.test().await.unwrap_err();
        assert!(error.message.contains("cannot be reached"), "{error}");
        // What the server said about itself is known all the same: a plan need not ask.
        let write = TargetWrite::Create {
            id: None,
            after: person("bob", "Bob"),
        };
        connector.refine(CLASS, write).await.expect("a plan");
        slapd.restart().await;
        // The first call after it is a write: nothing is left of the old connections.
        before = update(&connector, &before, json!({"sn": format!("round {round}")}))
            .await
            .expect("a new connection");
    }
}

#[tokio::test]
async fn a_server_that_answers_nobody_is_unavailable_before_a_write_was_sent() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let mut settings = slapd.settings(Slapd::people());
    settings["timeoutMs"] = json!(900);
    let connector = connector(&settings, Path::new("/"));
    let before = create(&connector, &person("ann", "Ann")).await;
    // Long enough for a pooled connection to be asked before it is trusted.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    slapd.pause();
    let error = update(&connector, &before, json!({"sn": "late"}))
        .await
        .unwrap_err();
    slapd.resume();
    assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
    let now = existing(&people(&slapd), &before.id).await;
    assert_eq!(now.attributes["sn"], "Ann");
}

#[tokio::test]
async fn a_directory_that_takes_no_writes_refuses_them() {
    let Some(slapd) = Slapd::start_with("readonly on").await else {
        return;
    };
    let connector = people(&slapd);
    connector.test().await.expect("a good target");
    let error = refused(connector.create(CLASS, None, &person("ann", "Ann")).await);
    assert_eq!(error.code, 53, "{error:?}");
    // So does one that gives the account no right to write.
    let mut settings = slapd.settings(Slapd::people());
    settings.as_object_mut().unwrap().shift_remove("bindDn");
    settings
        .as_object_mut()
        .unwrap()
        .shift_remove("bindPassword");
    let anonymous = super::connector(&settings, Path::new("/"));
    refused(anonymous.create(CLASS, None, &person("ann", "Ann")).await);
}

#[tokio::test]
async fn policies_are_refusals_with_the_servers_code_and_words() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let connector = people(&slapd);
    let before = create(&connector, &person("ann", "Ann")).await;
    let with = |name: &str, value: Value| {
        let mut object = person("bob", "Bob");
        object.insert(name.into(), value);
        object
    };
    for (object, code, words) in [
        (with("mail", json!("x@elsewhere.org")), 19, "mail"),
        (with("mail", json!("ann@example.com")), 19, "unique"),
        (with("userPassword", json!("short")), 19, "too short"),
        (with("shoeSize", json!("44")), 17, "shoeSize"),
        (with("uid", json!("ann")), 68, "entryAlreadyExists"),
        (
            with("dn", json!(format!("uid=x,ou=nowhere,{PEOPLE}"))),
            32,
            "noSuchObject",
        ),
        (map(json!({"uid": "bob", "cn": "Bob"})), 65, "sn"),
    ] {
        let error = refused(connector.create(CLASS, None, &object).await);
        assert_eq!(error.code, code, "{error:?}");
        assert!(error.message.contains(words), "{error}");
    }
    let error = refused(update(&connector, &before, json!({"userPassword": "short"})).await);
    assert!(error.message.contains("too short"), "{error}");
    assert_eq!(existing(&connector, &before.id).await, before);
}

#[tokio::test]
async fn an_encrypted_connection_needs_the_right_authority() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let other =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/certificates/first.pem");
    let with = |url: String, start_tls: bool, ca: Option<&Path>| {
        let mut settings = slapd.settings(Slapd::people());
        settings["url"] = json!(url);
        settings["startTls"] = json!(start_tls);
        if let Some(ca) = ca {
            settings["caFile"] = json!(ca);
        }
        connector(&settings, Path::new("/"))
    };
    let own = slapd.ca_file();
    with(slapd.ldaps_url(), false, Some(&own))
        .test()
        .await
        .expect("ldaps");
    let encrypted = with(slapd.url(), true, Some(&own));
    encrypted.test().await.expect("StartTLS");
    create(&encrypted, &person("ann", "Ann")).await;
    for (url, start_tls, ca) in [
        (slapd.ldaps_url(), false, None),
        (slapd.ldaps_url(), false, Some(other.as_path())),
        (slapd.url(), true, Some(other.as_path())),
    ] {
        let connector = with(url, start_tls, ca);
        let error = connector.test().await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
        assert!(error.message.contains("`caFile`"), "{error}");
        let write = connector.create(CLASS, None, &person("bob", "Bob")).await;
        assert_eq!(write.unwrap_err().kind, CauseKind::Unavailable);
    }
}

#[tokio::test]
async fn a_test_says_what_is_wrong() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    for (key, value, part) in [
        ("baseDn", json!("ou=nobody,dc=example,dc=com"), "ou=nobody"),
        (
            "objectClasses",
            json!(["inetOrgPerson", "alien"]),
            "`alien`",
        ),
        ("rdnAttribute", json!("shoeSize"), "`shoeSize`"),
        ("idAttribute", json!("badge"), "`badge`"),
        ("operational", json!(["memberOff"]), "`memberOff`"),
    ] {
        let mut class = Slapd::people();
        class[key] = value;
        let error = connector(&slapd.settings(class), Path::new("/"))
            .test()
            .await
            .unwrap_err();
        assert_eq!(error.kind, CauseKind::Refused, "{error:?}");
        assert!(
            error.message.contains(part) && error.message.contains(key),
            "{error}"
        );
    }
    let mut settings = slapd.settings(Slapd::people());
    settings["bindPassword"] = json!("hush-hush");
    let error = connector(&settings, Path::new("/"))
        .test()
        .await
        .unwrap_err();
    assert_eq!(error.kind, CauseKind::Refused, "{error:?}");
    assert!(error.message.contains("credentials"), "{error}");
    assert!(!format!("{error:?}").contains("hush"), "{error:?}");
}

#[tokio::test]
async fn changes_are_told_once_even_within_one_second() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let connector = people(&slapd);
    let ann = create(&connector, &person("ann", "Ann")).await;
    let first = connector.changes(CLASS, None).await.expect("a token");
    assert!(first.changes.is_empty());
    let again = connector
        .changes(CLASS, Some(&first.token))
        .await
        .expect("no change");
    assert!(again.changes.is_empty(), "{again:?}");
    let mut token = again.token;
    // All of this happens within the same second, or about it.
    let bob = create(&connector, &person("bob", "Bob")).await;
    let mut now = ann;
    for round in 0..3 {
        now = update(&connector, &now, json!({"sn": format!("Ann {round}")}))
            .await
            .expect("a change");
        let told = connector
            .changes(CLASS, Some(&token))
            .await
            .expect("changes");
        token = told.token;
        let ids: Vec<String> = told
            .changes
            .into_iter()
            .map(|change| match change {
                Change::Present(object) => object.id,
                Change::Gone(id) => panic!("{id} is there"),
            })
            .collect();
        let mut expected = vec![now.id.clone()];
        if round == 0 {
            expected.insert(0, bob.id.clone());
        }
        assert_eq!(ids, expected, "round {round}");
    }
    let none = connector
        .changes(CLASS, Some(&token))
        .await
        .expect("no change");
    assert!(none.changes.is_empty() && !none.more, "{none:?}");
    assert_eq!(refused(connector.changes(CLASS, Some("x")).await).code, 400);
    let ids = [now.id.clone(), "nobody".into(), bob.id.clone()];
    let many = connector
        .read_many(CLASS, &ids)
        .await
        .expect("objects")
        .expect("at once");
    assert_eq!(many.len(), 2);
}
