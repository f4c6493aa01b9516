//! Sessions of browsers: begun with a token, known by a secret, ended by time, sign-out and revocation.
use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use recant::{
    app::{App, Arrival, Builder, By, Reach, Session, SignedIn, access},
    model::Roles,
};
use secrecy::ExposeSecret as _;

use crate::support::{clock::MovedClock, folder::Folder};

const HOST: &str = "127.0.0.1:8480";

fn arrival() -> Arrival<'static> {
    Arrival {
        host: Some(HOST),
        ..Arrival::default()
    }
}

async fn token(app: &App, name: &str, role: &str) -> (String, String) {
    let (text, token) = app.make_token(name, &[role.into()], None).await.unwrap();
    (text.expose_secret().to_owned(), token.id)
}

async fn open(folder: &Folder, clock: &MovedClock) -> App {
    let builder = Builder::new(folder.path()).clock(Arc::new(clock.clone()));
    builder.open().await.unwrap()
}

async fn at(app: &App, signed_in: &SignedIn) -> Option<Session> {
    let secret = signed_in.secret.expose_secret();
    app.session(&arrival(), Some(secret)).await.unwrap()
}

#[tokio::test]
async fn a_token_begins_a_session_that_ends_by_signing_out() {
    let folder = Folder::new().await;
    let app = open(&folder, &MovedClock::default()).await;
    let (text, _) = token(&app, "ann", "auditor").await;
    let refused = app.sign_in("recant_wrong", &arrival()).await.unwrap_err();
    assert_eq!(refused.code, 401);
    let signed_in = app.sign_in(&text, &arrival()).await.unwrap();
    let session = at(&app, &signed_in).await.unwrap();
    assert_eq!(session.identity.name, "ann");
    assert_eq!(session.identity.roles, Roles::named(["auditor"]));
    assert_eq!(session.form_token, signed_in.session.form_token);
    assert!(app.session(&arrival(), None).await.unwrap().is_none());
    let guessed = app.session(&arrival(), Some("guess")).await.unwrap();
    assert!(guessed.is_none());
    let other = app.sign_in(&text, &arrival()).await.unwrap();
    assert_ne!(other.session.form_token, session.form_token);
    let secret = signed_in.secret.expose_secret();
    app.sign_out(secret, &arrival()).await.unwrap();
    assert!(at(&app, &signed_in).await.is_none());
    assert!(at(&app, &other).await.is_some(), "only that one ended");
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_session_ends_idle_in_any_case_and_with_its_token() {
    let folder = Folder::new().await;
    let clock = MovedClock::default();
    let app = open(&folder, &clock).await;
    let (text, id) = token(&app, "ann", "admin").await;

    let idle = app.sign_in(&text, &arrival()).await.unwrap();
    clock.pass(TimeDelta::minutes(31));
    assert!(at(&app, &idle).await.is_none(), "idle for half an hour");

    let used = app.sign_in(&text, &arrival()).await.unwrap();
    for _ in 0..25 {
        clock.pass(TimeDelta::minutes(28));
        assert!(at(&app, &used).await.is_some(), "in use");
    }
    clock.pass(TimeDelta::minutes(28));
    assert!(at(&app, &used).await.is_none(), "twelve hours at most");

    let revoked = app.sign_in(&text, &arrival()).await.unwrap();
    app.revoke_token(&id).await.unwrap();
    assert!(at(&app, &revoked).await.is_none(), "its token is revoked");
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn all_sessions_of_a_caller_end_at_once_and_the_audit_says_so() {
    let folder = Folder::new().await;
    let app = open(&folder, &MovedClock::default()).await;
    let (ann, _) = token(&app, "ann", "auditor").await;
    let (bob, _) = token(&app, "bob", "admin").await;
    let anns = [
        app.sign_in(&ann, &arrival()).await.unwrap(),
        app.sign_in(&ann, &arrival()).await.unwrap(),
    ];
    let bobs = app.sign_in(&bob, &arrival()).await.unwrap();
    let by = By {
        caller: "bob",
        transaction_id: "",
    };
    assert_eq!(app.end_sessions("ann", by).await.unwrap(), 2);
    for session in &anns {
        assert!(at(&app, session).await.is_none());
    }
    assert!(at(&app, &bobs).await.is_some());
    let search = recant::app::Search {
        filter: recant::model::Filter::Literal(true),
        sort: Vec::new(),
        page_size: Some(100),
        cookie: None,
        offset: 0,
        count: recant::app::Count::None,
    };
    let entries = app.audit(None, &search).await.unwrap().results;
    let requests: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry.entry.body.get("request"))
        .collect();
    assert!(
        requests.contains(&&"end the sessions of ann".into()),
        "{requests:?}"
    );
    let signed_in = requests.iter().filter(|request| **request == "sign in");
    assert_eq!(signed_in.count(), 3, "{requests:?}");
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_store_keeps_no_secret_of_a_session() {
    let folder = Folder::new().await;
    let app = open(&folder, &MovedClock::default()).await;
    let (text, _) = token(&app, "ann", "auditor").await;
    let signed_in = app.sign_in(&text, &arrival()).await.unwrap();
    app.close(Duration::from_secs(5)).await;
    let mut kept = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            kept.extend(std::fs::read(path).unwrap());
        }
    }
    let holds = |text: &str| kept.windows(text.len()).any(|part| part == text.as_bytes());
    let secret = signed_in.secret.expose_secret();
    assert!(holds(&access::hash(secret)), "the session is there");
    assert!(!holds(secret));
    assert!(!holds(&signed_in.session.form_token));
    assert!(!holds(&text));
}

#[tokio::test]
async fn forms_of_other_sites_are_refused() {
    let folder = Folder::new().await;
    let app = open(&folder, &MovedClock::default()).await;
    let (text, _) = token(&app, "ann", "auditor").await;
    let session = app.sign_in(&text, &arrival()).await.unwrap().session;
    let form = Some(session.form_token.as_str());
    session.check_form(&arrival(), form).unwrap();
    for (site, sent) in [
        (None, None),
        (None, Some("")),
        (None, Some("guess")),
        (Some("cross-site"), form),
        (Some("same-site"), form),
    ] {
        let from = Arrival {
            fetch_site: site,
            ..arrival()
        };
        let refused = session.check_form(&from, sent).unwrap_err();
        assert_eq!(refused.code, 403, "{site:?} {sent:?}");
    }
    let evil = Arrival {
        origin: Some("https://evil.example"),
        ..arrival()
    };
    assert_eq!(app.sign_in(&text, &evil).await.unwrap_err().code, 403);
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn without_tokens_everybody_at_this_machine_is_let_in_but_no_foreign_page() {
    let folder = Folder::new().await;
    let app = open(&folder, &MovedClock::default()).await;
    let session = app.session(&arrival(), None).await.unwrap().unwrap();
    assert_eq!(session.identity.name, "anonymous");
    assert_eq!(session.identity.roles, Roles::ALL);
    let form = Some(session.form_token.as_str());
    session.check_form(&arrival(), form).unwrap();
    let bent = Arrival {
        host: Some("evil.example"),
        fetch_site: Some("same-origin"),
        ..Arrival::default()
    };
    let elsewhere = Arrival {
        reach: Reach::Network,
        ..arrival()
    };
    for (from, code) in [(bent, 403), (elsewhere, 401)] {
        assert_eq!(app.session(&from, None).await.unwrap_err().code, code);
    }
    token(&app, "ann", "admin").await;
    assert!(app.session(&arrival(), None).await.unwrap().is_none());
    app.close(Duration::from_secs(5)).await;
}
