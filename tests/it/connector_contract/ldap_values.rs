//! A directory: values that it holds for the same, names that mean more than one attribute, cursors of
//! somebody else, and answers that nobody can read.
use std::path::Path;

use recant::{
    connectors::{Query, SharedConnector, Update},
    model::{CauseKind, Filter, Object, TargetObject, TargetWrite},
};
use serde_json::{Value, json};

use super::{
    connector,
    ldap_guards::saying,
    suite::{map, refused},
};
use crate::support::slapd::{PEOPLE, Slapd, TOP, person};

const CLASS: &str = "account";

fn people(slapd: &Slapd) -> SharedConnector {
    connector(&slapd.settings(Slapd::people()), Path::new("/"))
}

async fn created(connector: &SharedConnector, object: &Object) -> TargetObject {
    let written = connector.create(CLASS, None, object).await;
    let id = written.expect("an entry").id;
    let found = connector.read(CLASS, &id).await.expect("a read");
    found.expect("the entry")
}

fn with(uid: &str, more: Value) -> Object {
    let mut object = person(uid, uid);
    object.extend(map(more));
    object
}

fn update(before: &TargetObject, changes: Value) -> TargetWrite {
    let mut after = before.attributes.clone();
    after.extend(map(changes));
    TargetWrite::Update {
        before: before.clone(),
        after,
        rename: None,
    }
}

#[tokio::test]
async fn a_name_in_another_spelling_is_no_change_and_is_planned_as_it_will_read() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let target = people(&slapd);
    let manager = format!("UID=Zoë\\, B , OU=People,{TOP}");
    let create = TargetWrite::Create {
        id: None,
        after: with("bob", json!({"manager": manager})),
    };
    let planned = target.refine(CLASS, create).await.expect("a plan");
    let planned = planned.after().expect("an object");
    let bob = created(&target, &with("bob", json!({"manager": manager}))).await;
    assert_eq!(planned["manager"], bob.attributes["manager"]);
    for changes in [
        json!({"dn": format!("UID=bob, ou=People,{TOP}")}),
        json!({"manager": manager}),
        json!({"manager": format!("uid=zoë\\2c b,ou=people,{TOP}")}),
    ] {
        let planned = target.refine(CLASS, update(&bob, changes.clone())).await;
        let difference = planned.expect("a plan").difference();
        assert!(difference.is_empty(), "{changes}: {difference:?}");
    }
    let away = json!({"dn": format!("UID=bob, OU=Leavers, {PEOPLE}")});
    let planned = target.refine(CLASS, update(&bob, away)).await;
    let after = planned.expect("a plan").after().expect("an object");
    let moved = Update {
        before: &bob,
        after: &after,
        rename: None,
    };
    let moved = target.update(CLASS, &moved).await.expect("a move");
    let shown = moved.attributes.expect("the entry")["dn"].clone();
    assert!(shown.as_str().unwrap().starts_with("uid=bob,"), "{shown}");
}

#[tokio::test]
async fn values_that_are_one_to_the_server_are_planned_once() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let target = people(&slapd);
    let bob = created(&target, &person("bob", "Bob")).await;
    let twins = json!({"mail": ["b@example.com", "B@example.com"]});
    let planned = target.refine(CLASS, update(&bob, twins.clone())).await;
    let after = planned.expect("a plan").after().expect("an object");
    assert_eq!(after["mail"], "b@example.com");
    // Who plans nothing hears the server's own words, and nothing of somebody else.
    let TargetWrite::Update { before, after, .. } = update(&bob, twins) else {
        panic!("an update");
    };
    let twins = Update {
        before: &before,
        after: &after,
        rename: None,
    };
    let error = refused(target.update(CLASS, &twins).await);
    assert_eq!(error.code, 20, "{error:?}");
    assert!(!error.message.contains("what was read"), "{error}");
    // Where somebody else was faster, it is that.
    let other = json!({"description": "theirs"});
    let TargetWrite::Update { after, .. } = update(&bob, other) else {
        panic!("an update");
    };
    let theirs = Update {
        before: &bob,
        after: &after,
        rename: None,
    };
    target.update(CLASS, &theirs).await.expect("a change");
    let error = refused(target.update(CLASS, &theirs).await);
    assert_eq!(error.code, 412, "{error:?}");
}

#[tokio::test]
async fn an_attribute_with_an_option_is_another_one() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let target = people(&slapd);
    let bob = created(
        &target,
        &with("bob", json!({"description;lang-de": "Bauherr"})),
    )
    .await;
    let query = Query {
        filter: Filter::parse("!(description pr)").unwrap(),
        page_size: 10,
        cursor: None,
    };
    let found = target.query(CLASS, &query).await.expect("a page").objects;
    assert_eq!(found.len(), 1, "it has no plain description");
    let TargetWrite::Update { after, .. } = update(&bob, json!({"description": "Builder"})) else {
        panic!("an update");
    };
    let plain = Update {
        before: &bob,
        after: &after,
        rename: None,
    };
    target.update(CLASS, &plain).await.expect("a plain one");
    let now = target.read(CLASS, &bob.id).await.unwrap().unwrap();
    assert_eq!(now.attributes["description"], "Builder");
    assert_eq!(now.attributes["description;lang-de"], "Bauherr");
    // Somebody else was faster.
    assert_eq!(refused(target.update(CLASS, &plain).await).code, 412);
}

#[tokio::test]
async fn a_cursor_goes_on_with_its_own_search_and_no_other() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let (one, other) = (people(&slapd), people(&slapd));
    for uid in ["a1", "a2", "a3", "b1", "b2", "b3"] {
        created(&one, &person(uid, uid)).await;
    }
    let page = async |target: &SharedConnector, start: &str, cursor: Option<String>| {
        let query = Query {
            filter: Filter::parse(&format!("uid sw \"{start}\"")).unwrap(),
            page_size: 1,
            cursor,
        };
        let page = target.query(CLASS, &query).await.expect("a page");
        let uids = page.objects.iter().map(|one| one.attributes["uid"].clone());
        (uids.collect::<Vec<_>>(), page.cursor)
    };
    let (_, of_one) = page(&one, "a", None).await;
    let (_, of_other) = page(&other, "b", None).await;
    assert!(of_one.is_some() && of_other.is_some());
    // Each process hears the cursor of the other one.
    assert_eq!(page(&other, "a", of_one.clone()).await.0, [json!("a2")]);
    assert_eq!(page(&one, "b", of_other.clone()).await.0, [json!("b2")]);
    assert_eq!(page(&one, "a", of_one).await.0, [json!("a2")]);
    let (number, _) = of_other.as_deref().unwrap().split_once(':').unwrap();
    let third = Query {
        filter: Filter::parse("uid sw \"b\"").unwrap(),
        page_size: 1,
        cursor: Some(format!("{number}:nobody")),
    };
    assert_eq!(
        refused(one.query(CLASS, &third).await).code,
        410,
        "that place is nowhere"
    );
}

#[tokio::test]
async fn an_entry_that_cannot_be_shown_is_there() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let target = people(&slapd);
    let bob = created(&target, &with("bob", json!({"jpegPhoto": "/9j/4AAQ"}))).await;
    let blind = saying(&slapd, (b"subschemaSubentry", b"subschemaSubentrX")).await;
    for id in [bob.id.as_str(), "bob"] {
        let error = refused(blind.read(CLASS, id).await);
        assert_eq!(error.code, 422, "{error:?}");
        assert!(error.message.contains("binary"), "{error}");
    }
}

#[tokio::test]
async fn ids_in_another_spelling_are_the_same_and_none_finds_nothing() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let target = people(&slapd);
    let bob = created(&target, &person("bob", "Bob")).await;
    let found = target.read_many(CLASS, &[bob.id.to_uppercase()]).await;
    assert_eq!(found.unwrap().unwrap(), [bob]);
    let mut class = Slapd::people();
    class["binary"] = json!(["entryUUID"]);
    let bytes = connector(&slapd.settings(class), Path::new("/"));
    let found = bytes.read_many(CLASS, &["no base64".to_owned()]).await;
    assert!(found.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_an_error_and_no_end() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let odd = saying(&slapd, (b"entryDN", b"\xffntryDN")).await;
    let error = odd.read(CLASS, "bob").await;
    assert_eq!(error.expect("nobody is there"), None);
    let error = odd.create(CLASS, None, &person("bob", "Bob")).await;
    assert_eq!(error.unwrap_err().kind, CauseKind::Unknown);
    assert!(slapd.dump().contains("uid: bob"));
    let error = odd.read(CLASS, "bob").await.unwrap_err();
    assert_eq!(error.kind, CauseKind::Unavailable, "{error:?}");
}
