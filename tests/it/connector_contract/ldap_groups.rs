//! The groups of an account as an attribute of the account.
use std::path::Path;

use recant::{
    connectors::{SharedConnector, Update},
    model::{Object, TargetObject, TargetWrite},
};
use serde_json::{Value, json};

use super::{
    connector,
    suite::{map, refused},
};
use crate::support::slapd::{GROUPS, PEOPLE, Slapd, person};

const CLASS: &str = "account";
const NOBODY: &str = "cn=nobody,dc=example,dc=com";

/// People who know their groups.
fn people(slapd: &Slapd) -> SharedConnector {
    let mut class = Slapd::people();
    class["memberships"] = json!({"baseDn": GROUPS, "emptyMember": NOBODY});
    connector(&slapd.settings(class), Path::new("/"))
}

fn dn(group: &str) -> String {
    format!("cn={group},{GROUPS}")
}

/// Three groups: `staff` and `board` without members, `chess` with one whom no change concerns.
async fn groups(slapd: &Slapd) {
    let class = json!({"baseDn": GROUPS, "objectClasses": ["groupOfNames"],
        "rdnAttribute": "cn", "emptyMember": NOBODY});
    let target = connector(&slapd.settings(class), Path::new("/"));
    for (name, members) in [
        ("staff", json!([])),
        ("board", json!([])),
        ("chess", json!([PEOPLE])),
    ] {
        let group = map(json!({"cn": name, "member": members}));
        target.create(CLASS, None, &group).await.expect(name);
    }
}

async fn create(target: &SharedConnector, object: &Object) -> TargetObject {
    let written = target
        .create(CLASS, None, object)
        .await
        .expect("an account");
    read(target, &written.id).await
}

async fn read(target: &SharedConnector, id: &str) -> TargetObject {
    target.read(CLASS, id).await.expect("a read").expect(id)
}

async fn change(target: &SharedConnector, before: &TargetObject, changes: Value) -> TargetObject {
    try_change(target, before, changes).await.expect("a change")
}

async fn try_change(
    target: &SharedConnector,
    before: &TargetObject,
    changes: Value,
) -> Result<TargetObject, recant::connectors::Error> {
    let mut after = before.attributes.clone();
    for (name, value) in map(changes) {
        match value {
            Value::Null => drop(after.shift_remove(&name)),
            value => drop(after.insert(name, value)),
        }
    }
    let update = Update {
        before,
        after: &after,
        rename: None,
    };
    let written = target.update(CLASS, &update).await?;
    let now = read(target, &written.id).await;
    assert_eq!(written.attributes.as_ref(), Some(&now.attributes));
    Ok(now)
}

fn with_groups(groups: &[&str]) -> Object {
    let mut ann = person("ann", "Ann");
    let groups: Vec<String> = groups.iter().map(|group| dn(group)).collect();
    ann.insert("groups".into(), json!(groups));
    ann
}

#[tokio::test]
async fn an_account_joins_and_leaves_groups_and_all_goes_back_exactly() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    groups(&slapd).await;
    let target = people(&slapd);
    target.test().await.expect("good settings");
    let empty = slapd.dump();
    let ann = create(&target, &with_groups(&["staff", "chess"])).await;
    assert_eq!(ann.attributes["groups"], json!([dn("chess"), dn("staff")]));
    let member = format!("member: uid=ann,{PEOPLE}");
    let one = slapd.dump();
    assert_eq!(one.matches(&member).count(), 2, "{one}");
    assert_eq!(
        one.matches(NOBODY).count(),
        1,
        "only the board is empty: {one}"
    );
    // One group left and one joined, a new name, another attribute, and all of it at once.
    for changes in [
        json!({"groups": [dn("board"), dn("chess")]}),
        json!({"groups": null}),
        json!({"uid": "anna"}),
        json!({"dn": format!("uid=ann,ou=leavers,{PEOPLE}")}),
        json!({"uid": "anna", "sn": "Smith", "groups": [dn("board"), dn("chess")]}),
    ] {
        let now = change(&target, &ann, changes.clone()).await;
        let shown = map(changes.clone());
        for (name, value) in &shown {
            let held = now.attributes.get(name).cloned().unwrap_or_default();
            assert_eq!(held, *value, "{changes}");
        }
        assert_ne!(slapd.dump(), one, "{changes}");
        let update = Update {
            before: &now,
            after: &ann.attributes,
            rename: None,
        };
        target.update(CLASS, &update).await.expect("the way back");
        assert_eq!(slapd.dump(), one, "{changes}");
        assert_eq!(read(&target, &ann.id).await.attributes, ann.attributes);
    }
    let page = target
        .query(
            CLASS,
            &recant::connectors::Query {
                filter: recant::model::Filter::parse(&format!("groups eq \"{}\"", dn("staff")))
                    .unwrap(),
                page_size: 10,
                cursor: None,
            },
        )
        .await
        .unwrap();
    assert!(page.objects.len() <= 1);
    let many = target
        .read_many(CLASS, std::slice::from_ref(&ann.id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(many[0].attributes, ann.attributes);
    let ann = read(&target, &ann.id).await;
    target.delete(CLASS, &ann).await.expect("a deletion");
    assert_eq!(slapd.dump(), empty);
}

#[tokio::test]
async fn groups_that_are_not_there_or_have_changed_are_refused() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    groups(&slapd).await;
    let target = people(&slapd);
    let plan = |groups: Value| {
        let mut after = person("ann", "Ann");
        after.insert("groups".into(), groups);
        TargetWrite::Create { id: None, after }
    };
    for wrong in [dn("ghosts"), PEOPLE.to_owned(), "no name".to_owned()] {
        let error = refused(target.refine(CLASS, plan(json!([wrong]))).await);
        assert!(error.message.contains("memberships"), "{error}");
    }
    let written = format!("CN=Staff, {GROUPS}");
    let refined = target
        .refine(CLASS, plan(json!([written, dn("staff")])))
        .await;
    let after = refined.unwrap().after().unwrap();
    assert_eq!(
        after["groups"],
        json!([dn("staff")]),
        "by the directory's own name, once"
    );
    let ann = create(&target, &with_groups(&["staff"])).await;
    // Somebody else sends her away: what was planned is not what is.
    change(&target, &ann, json!({"groups": null})).await;
    let before = slapd.dump();
    let error = try_change(
        &target,
        &ann,
        json!({"groups": [dn("board")], "sn": "Smith"}),
    );
    assert_eq!(refused(error.await).code, 412);
    assert_eq!(slapd.dump(), before, "nothing is left of a half change");
    assert_eq!(refused(target.delete(CLASS, &ann).await).code, 412);
    assert_eq!(slapd.dump(), before);
}
