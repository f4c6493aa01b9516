//! SCIM services that differ from the standard, each in the ways that large ones do.
use std::{path::Path, time::Duration};

use recant::{
    connectors::{Change, Error, SharedConnector, Update},
    model::{
        CauseKind::{Refused, Unavailable, Unknown},
        Object, TargetObject,
    },
};
use serde_json::{Value, json};

use super::{
    connector,
    scim_server::ENTERPRISE,
    suite::{Subject, map, refused},
};
use crate::support::{
    people::Answer,
    scim_service::{Habits, ScimService},
};

const CLASS: &str = "account";

fn open(service: &ScimService, more: Value) -> SharedConnector {
    let mut settings = json!({"type": "scim", "baseUrl": format!("http://{}/v2", service.address),
        "objects": {"account": {"resourceType": "User"}, "team": {"resourceType": "Group"}}});
    settings.as_object_mut().unwrap().extend(map(more));
    connector(&settings, Path::new("/"))
}

fn all_announced() -> Value {
    json!({"patch": {"supported": true}, "filter": {"supported": true},
        "etag": {"supported": true}, "sort": {"supported": true}})
}

fn user(name: &str) -> Object {
    map(json!({"userName": name, "active": true, "title": "Dr",
        "name": {"givenName": name, "familyName": "X"}, (format!("{ENTERPRISE}:department")): "IT"}))
}

/// Creates, changes, takes back and deletes a user.
async fn round(connector: &SharedConnector) {
    connector.test().await.expect("a good service");
    let written = connector
        .create(CLASS, Some("a/1"), &user("a"))
        .await
        .unwrap();
    assert_eq!(written.id, "a/1");
    let before = connector.read(CLASS, "a/1").await.unwrap().unwrap();
    assert_eq!(before.attributes, user("a"));
    refused(connector.create(CLASS, Some("a/1"), &user("twin")).await);
    let mut after = before.attributes.clone();
    after.shift_remove("title");
    after.insert("active".into(), json!(false));
    after.insert("name".into(), json!({"givenName": "B", "familyName": "X"}));
    after.insert(format!("{ENTERPRISE}:department"), json!("HR"));
    let now = update(connector, CLASS, &before, &after).await.unwrap();
    assert_eq!(now.attributes, after);
    let back = update(connector, CLASS, &now, &before.attributes)
        .await
        .unwrap();
    assert_eq!(back.attributes, before.attributes);
    connector.delete(CLASS, &back).await.unwrap();
    assert!(connector.read(CLASS, "a/1").await.unwrap().is_none());
}

async fn update(
    connector: &SharedConnector,
    class: &str,
    before: &TargetObject,
    after: &Object,
) -> Result<TargetObject, Error> {
    let update = Update {
        before,
        after,
        rename: None,
    };
    let written = connector.update(class, &update).await?;
    let now = connector
        .read(class, &written.id)
        .await?
        .expect("it is there");
    if let Some(told) = written.attributes {
        assert_eq!(told, now.attributes);
    }
    assert_eq!(written.version, now.version);
    Ok(now)
}

#[tokio::test]
async fn a_service_that_says_nothing_about_itself_is_used_with_care() {
    for etags in [false, true] {
        let habits = Habits {
            etags,
            no_patch: true,
            ..Habits::default()
        };
        let service = ScimService::start(None, habits).await;
        let connector = open(&service, json!({}));
        round(&connector).await;
        let seen = service.shop().seen.clone();
        let asked = |path: &str| seen.iter().filter(|it| it.ends_with(path)).count();
        assert_eq!(asked("/ServiceProviderConfig"), 1, "{seen:?}");
        assert!(seen.iter().any(|it| it.starts_with("PUT")));
        assert_eq!(connector.read(CLASS, "none").await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_etag_that_was_not_announced_is_heeded_all_the_same() {
    let habits = Habits {
        etags: true,
        ..Habits::default()
    };
    let service = ScimService::start(None, habits).await;
    let connector = open(&service, json!({}));
    connector
        .create(CLASS, Some("a"), &user("a"))
        .await
        .unwrap();
    let before = connector.read(CLASS, "a").await.unwrap().unwrap();
    assert!(before.version.is_some());
    let after = user("b");
    update(&connector, CLASS, &before, &after).await.unwrap();
    let error = refused(update(&connector, CLASS, &before, &user("c")).await);
    assert_eq!(error.code, 412);
    assert_eq!(refused(connector.delete(CLASS, &before).await).code, 412);
    let careless = open(&service, json!({"deviations": {"etags": "never"}}));
    assert!(!careless.capabilities().precondition);
    let before = careless.read(CLASS, "a").await.unwrap().unwrap();
    assert_eq!(before.version, None);
}

#[tokio::test]
async fn each_dialect_keeps_to_what_its_service_takes() {
    let cases = [
        (
            "okta",
            Habits {
                no_paths: true,
                ..Habits::default()
            },
        ),
        (
            "entra",
            Habits {
                no_put: true,
                page: Some(2),
                ..Habits::default()
            },
        ),
        (
            "github",
            Habits {
                no_path_filters: true,
                ..Habits::default()
            },
        ),
        (
            "aws",
            Habits {
                hides_members: true,
                most_members: Some(100),
                ..Habits::default()
            },
        ),
    ];
    for (dialect, habits) in cases {
        let service = ScimService::start(Some(all_announced()), habits).await;
        let connector = open(&service, json!({"dialect": dialect}));
        round(&connector).await;
        if dialect == "aws" {
            continue;
        }
        let three = group(&["a", "b", "c"]);
        connector.create("team", Some("g"), &three).await.unwrap();
        let before = connector.read("team", "g").await.unwrap().unwrap();
        let other = group(&["b", "d"]);
        let now = update(&connector, "team", &before, &other).await.unwrap();
        assert_eq!(now.attributes, other);
        let seen = service.shop().seen.clone();
        let by_put = |it: &String| it.starts_with("PUT /v2/Groups");
        assert!(!seen.iter().any(by_put), "{dialect}: {seen:?}");
    }
}

#[tokio::test]
async fn services_that_deactivate_show_nobody_who_is_deleted() {
    for (dialect, path) in [
        ("slack", "ServiceProviderConfig"),
        ("salesforce", "ServiceProviderConfigs"),
    ] {
        let habits = Habits {
            no_paths: dialect == "salesforce",
            text_booleans: true,
            ..Habits::default()
        };
        let service = ScimService::start(Some(all_announced()), habits).await;
        service.shop().config_path = path.to_owned();
        let more = json!({"dialect": dialect, "deviations": {"booleansAsText": true}});
        let connector = open(&service, more);
        let mut object = user("a");
        object.shift_remove("active");
        connector.create(CLASS, Some("a"), &object).await.unwrap();
        let before = connector.read(CLASS, "a").await.unwrap().unwrap();
        assert_eq!(before.attributes, object);
        connector.delete(CLASS, &before).await.unwrap();
        assert_eq!(connector.read(CLASS, "a").await.unwrap(), None);
        assert_eq!(service.holds("Users", "a").unwrap()["active"], false);
        let seen = service.shop().seen.clone();
        assert!(!seen.iter().any(|it| it.starts_with("DELETE")), "{seen:?}");
        connector.create(CLASS, Some("a"), &object).await.unwrap();
        assert_eq!(service.holds("Users", "a").unwrap()["active"], true);
        assert_eq!(service.shop().resources["Users"].len(), 1);
    }
}

#[tokio::test]
async fn a_service_without_deletes_keeps_a_deactivated_account() {
    let service = ScimService::start(Some(all_announced()), Habits::default()).await;
    service.shop().no_delete = true;
    let connector = open(&service, json!({"deviations": {"delete": "deactivate"}}));
    let mut object = user("ann");
    object.shift_remove("active");
    connector
        .create("account", Some("ann"), &object)
        .await
        .unwrap();
    let made = connector.read("account", "ann").await.unwrap().unwrap();
    connector.uncreate("account", &made, None).await.unwrap();
    assert!(connector.read("account", "ann").await.unwrap().is_none());
    assert_eq!(service.holds("Users", "ann").unwrap()["active"], false);
}

#[tokio::test]
async fn a_token_comes_from_the_token_service_and_is_fetched_again_where_it_is_refused() {
    let service = ScimService::start(Some(all_announced()), Habits::default()).await;
    service.shop().client = Some(("recant".to_owned(), "hush".to_owned()));
    let token_url = format!("http://{}/token", service.address);
    let connector = open(
        &service,
        json!({"auth": {"oauth2": {"tokenUrl": token_url, "clientId": "recant",
            "clientSecret": "hush", "scope": "scim"}}}),
    );
    round(&connector).await;
    assert_eq!(service.shop().tokens, 1, "one token for all requests");
    service.shop().revoke();
    round(&connector).await;
    assert_eq!(service.shop().tokens, 2);
    let wrong = open(
        &service,
        json!({"auth": {"oauth2": {"tokenUrl": token_url, "clientId": "recant",
            "clientSecret": "wrong"}}}),
    );
    let error = refused(wrong.read("account", "ann").await);
    assert!(error.message.contains("auth.oauth2"), "{error}");
    assert!(!format!("{error:?}").contains("hush"));
}

#[tokio::test]
async fn truth_values_go_and_come_as_text_where_the_service_wants_it() {
    let habits = Habits {
        text_booleans: true,
        ..Habits::default()
    };
    let service = ScimService::start(Some(all_announced()), habits).await;
    let connector = open(&service, json!({"deviations": {"booleansAsText": true}}));
    round(&connector).await;
    assert_eq!(service.shop().bodies[0]["active"], "True");
}

#[tokio::test]
async fn a_service_without_filters_is_walked_whatever_pages_it_gives() {
    for (announced, paging) in [
        (
            json!({"patch": {"supported": true}, "filter": {"supported": false}}),
            "index",
        ),
        (
            json!({"patch": {"supported": true}, "filter": {"supported": true}}),
            "index",
        ),
        (
            json!({"patch": {"supported": true}, "pagination": {"cursor": true}}),
            "announced",
        ),
    ] {
        let habits = Habits {
            no_filters: true,
            page: Some(3),
            ..Habits::default()
        };
        let service = ScimService::start(Some(announced), habits).await;
        let connector = open(&service, json!({"deviations": {"paging": paging}}));
        let subject = Subject {
            connector,
            renames: true,
            versions: false,
            types: true,
        };
        for number in 0..10 {
            let name = format!("p{number}");
            let object = user(&name);
            let written = subject.connector.create(CLASS, Some(&name), &object);
            written.await.unwrap();
        }
        for size in [1, 4, 100] {
            assert_eq!(subject.all("true", size).await.len(), 10, "pages of {size}");
        }
        assert_eq!(subject.all("userName eq \"p7\"", 5).await.len(), 1);
        assert_eq!(subject.all("title eq \"Dr\"", 4).await.len(), 10);
        let fresh = open(&service, json!({"deviations": {"paging": paging}}));
        assert!(fresh.read(CLASS, "p9").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_silent_service_is_read_back() {
    let habits = Habits {
        silent: true,
        etags: true,
        ..Habits::default()
    };
    let service = ScimService::start(Some(all_announced()), habits).await;
    round(&open(&service, json!({}))).await;
}

fn group(members: &[&str]) -> Object {
    map(json!({"displayName": "G", "members": members}))
}

fn bad(status: u16) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: String::new(),
        carried_out: false,
    }
}

#[tokio::test]
async fn members_arrive_in_pieces_or_not_at_all() {
    let habits = Habits {
        most_members: Some(2),
        etags: true,
        ..Habits::default()
    };
    let service = ScimService::start(Some(all_announced()), habits).await;
    let connector = open(&service, json!({"deviations": {"membersPerRequest": 2}}));
    let five = group(&["a", "b", "c", "d", "e"]);
    connector.create("team", Some("g"), &five).await.unwrap();
    let before = connector.read("team", "g").await.unwrap().unwrap();
    assert_eq!(before.attributes, five);
    let other = group(&["c", "v", "w", "x", "y", "z"]);
    // The first request is carried out, the second is refused: nothing is left of the first. (One that
    // is to come later is in `scim_pieces`.)
    for (status, kind) in [(403, Refused), (400, Refused)] {
        let mut good = bad(200);
        good.carried_out = true;
        service.shop().refusals = vec![bad(status), good];
        let error = update(&connector, "team", &before, &other)
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.code), (kind, json!(status)));
        let now = connector.read("team", "g").await.unwrap().unwrap();
        assert_eq!(now.attributes, five, "{status}");
        // Its version moved on: what is wanted now is planned anew.
        let same = update(&connector, "team", &now, &five).await.unwrap();
        assert_eq!(same.version, now.version, "no difference, no write");
        service.shop().refusals.clear();
        let version = json!(before.version.clone());
        service.shop().resources.get_mut("Groups").unwrap()[0]["meta"]["version"] = version;
    }
    // Where nobody knows what a request did, or it cannot be taken back, nobody claims that nothing
    // happened.
    for refusals in [vec![bad(500)], vec![bad(403), bad(403)]] {
        let mut good = bad(200);
        good.carried_out = true;
        service.shop().refusals = refusals;
        service.shop().refusals.push(good);
        let error = update(&connector, "team", &before, &other)
            .await
            .unwrap_err();
        assert_eq!(error.kind, Unknown, "{error:?}");
        let now = connector.read("team", "g").await.unwrap().unwrap();
        let half = map(json!({"displayName": "G", "members": ["c", "d", "e"]}));
        assert_eq!(now.attributes, half, "what the first request did stands");
        let back = update(&connector, "team", &now, &five).await.unwrap();
        assert_eq!(back.attributes, five);
        service.shop().refusals.clear();
        let version = json!(before.version.clone());
        service.shop().resources.get_mut("Groups").unwrap()[0]["meta"]["version"] = version;
    }
    let now = connector.read("team", "g").await.unwrap().unwrap();
    let now = update(&connector, "team", &now, &other).await.unwrap();
    assert_eq!(now.attributes, other);
    connector.delete("team", &now).await.unwrap();
    service.shop().refusals = vec![bad(403)];
    let mut first = bad(201);
    first.carried_out = true;
    first
        .headers
        .push(("location", "/v2/Groups/s-99".to_owned()));
    let error = connector
        .create("team", Some("h"), &five)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Refused);
    assert!(service.shop().resources["Groups"].is_empty());
}

#[tokio::test]
async fn a_member_whom_the_service_leaves_out_is_a_refusal() {
    let habits = Habits {
        strangers: vec!["ghost".to_owned()],
        ..Habits::default()
    };
    let service = ScimService::start(Some(all_announced()), habits).await;
    let connector = open(&service, json!({}));
    let error = refused(
        connector
            .create("team", Some("g"), &group(&["a", "ghost"]))
            .await,
    );
    assert!(error.message.contains("`ghost`"), "{error}");
    assert!(service.shop().resources["Groups"].is_empty());
    connector
        .create("team", Some("g"), &group(&["a"]))
        .await
        .unwrap();
    let before = connector.read("team", "g").await.unwrap().unwrap();
    refused(update(&connector, "team", &before, &group(&["b", "ghost"])).await);
    let now = connector.read("team", "g").await.unwrap().unwrap();
    assert_eq!(now.attributes, group(&["a"]));
}

#[tokio::test]
async fn members_that_are_never_shown_cannot_be_mapped() {
    let service = ScimService::start(Some(all_announced()), Habits::default()).await;
    let connector = open(&service, json!({"dialect": "aws"}));
    let error = refused(connector.create("team", Some("g"), &group(&["a"])).await);
    assert!(error.message.contains("membersShown"), "{error}");
    let bare = map(json!({"displayName": "G"}));
    connector.create("team", Some("g"), &bare).await.unwrap();
}

#[tokio::test]
async fn each_status_means_what_the_contract_says() {
    let service = ScimService::start(Some(all_announced()), Habits::default()).await;
    let connector = open(&service, json!({}));
    connector
        .create(CLASS, Some("a"), &user("a"))
        .await
        .unwrap();
    let before = connector.read(CLASS, "a").await.unwrap().unwrap();
    for (status, kind) in [
        (401, Refused),
        (403, Refused),
        (408, Unknown),
        (409, Refused),
        (422, Refused),
        (429, Unavailable),
        (500, Unknown),
        (501, Refused),
        (503, Unavailable),
    ] {
        let demand = || {
            let mut refusal = bad(status);
            refusal.headers.push(("retry-after", "7".to_owned()));
            refusal.body = json!({"detail": "not today", "scimType": "mutability"}).to_string();
            service.shop().refusals.push(refusal);
        };
        demand();
        let error = update(&connector, CLASS, &before, &user("b"))
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.code), (kind, json!(status)), "update");
        assert_eq!(error.message, "not today");
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
        demand();
        let result = connector.create(CLASS, Some("b"), &user("b")).await;
        assert_eq!(result.unwrap_err().kind, kind, "create {status}");
        demand();
        let result = connector.delete(CLASS, &before).await;
        assert_eq!(result.unwrap_err().kind, kind, "delete {status}");
        assert_eq!(connector.read(CLASS, "a").await.unwrap().unwrap(), before);
    }
}

#[tokio::test]
async fn what_a_service_can_do_is_asked_again_after_a_failure() {
    let service = ScimService::start(Some(all_announced()), Habits::default()).await;
    let connector = open(&service, json!({}));
    connector
        .create(CLASS, Some("a"), &user("a"))
        .await
        .unwrap();
    let before = connector.read(CLASS, "a").await.unwrap().unwrap();
    // The service was replaced by one that knows no PATCH.
    service.shop().habits.no_patch = true;
    service.shop().config = Some(json!({"patch": {"supported": false}}));
    let error = refused(update(&connector, CLASS, &before, &user("b")).await);
    assert_eq!(error.code, 501);
    let now = update(&connector, CLASS, &before, &user("b"))
        .await
        .unwrap();
    assert_eq!(now.attributes, user("b"));
}

#[tokio::test]
async fn changes_within_one_second_are_told_once_each() {
    let service = ScimService::start(Some(all_announced()), Habits::default()).await;
    let connector = open(&service, json!({"deviations": {"filter": "equal"}}));
    connector
        .create(CLASS, Some("a"), &user("a"))
        .await
        .unwrap();
    let mut token = connector.changes(CLASS, None).await.unwrap().token;
    for step in 0..4 {
        let before = connector.read(CLASS, "a").await.unwrap().unwrap();
        let changed = user(&format!("a{step}"));
        update(&connector, CLASS, &before, &changed).await.unwrap();
        let told = connector.changes(CLASS, Some(&token)).await.unwrap();
        match told.changes.as_slice() {
            [Change::Present(object)] => assert_eq!(object.attributes, changed),
            other => panic!("{other:?}"),
        }
        let quiet = connector.changes(CLASS, Some(&told.token)).await.unwrap();
        assert!(quiet.changes.is_empty());
        token = quiet.token;
    }
}
