//! Signing in at the pages through a provider: the browser that left comes back, nobody else.
use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use recant::app::{App, Arrival, Builder, Return};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::support::{
    clock::MovedClock,
    folder::{Folder, KEY},
    issuer::Issuer,
};

struct Pages {
    issuer: Issuer,
    app: App,
    clock: MovedClock,
    folder: Folder,
}

/// What a browser brings back.
struct Back {
    cookie: String,
    code: String,
    state: String,
    issuer: String,
}

async fn pages() -> Pages {
    let issuer = Issuer::start().await;
    let folder = Folder::new().await;
    folder.write(
        "recant.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://recant.example\"\n\n\
             [secrets]\nkey = \"{KEY}\"\n\n[auth.oidc]\nissuer = \"{}\"\naudience = \"recant\"\n\
             client_id = \"recant-pages\"\nclient_secret = \"hush hush\"\n",
            issuer.address
        ),
    );
    let clock = MovedClock::default();
    let builder = Builder::new(folder.path()).clock(Arc::new(clock.clone()));
    Pages {
        issuer,
        app: builder.open().await.unwrap(),
        clock,
        folder,
    }
}

fn arrival() -> Arrival<'static> {
    Arrival {
        host: Some("recant.example"),
        fetch_site: Some("cross-site"),
        ..Arrival::default()
    }
}

impl Pages {
    /// Goes to the provider and back.
    async fn travel(&self, wanted: &str) -> Back {
        let departure = self.app.begin_sign_in(wanted).await.unwrap();
        let cookie = departure.cookie.expose_secret().to_owned();
        let asked = url::Url::parse(&departure.address).unwrap();
        for (_, value) in asked.query_pairs() {
            assert!(!cookie.contains(value.as_ref()), "{value} is in the cookie");
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let reply = client.get(asked).send().await.unwrap();
        let back = url::Url::parse(reply.headers()["location"].to_str().unwrap()).unwrap();
        assert_eq!(back.path(), "/ui/sign-in/callback");
        let value = |name: &str| {
            let found = back.query_pairs().find(|(key, _)| key == name);
            found.unwrap().1.into_owned()
        };
        Back {
            cookie,
            code: value("code"),
            state: value("state"),
            issuer: value("iss"),
        }
    }

    async fn arrive(&self, back: &Back) -> Result<(recant::app::SignedIn, String), u16> {
        let returned = Return {
            code: Some(&back.code),
            state: Some(&back.state),
            issuer: Some(&back.issuer),
            error: None,
        };
        let arrived = self
            .app
            .finish_sign_in(Some(&back.cookie), &returned, &arrival())
            .await;
        arrived.map_err(|error| error.code)
    }
}

#[tokio::test]
async fn a_browser_signs_in_through_the_provider_and_out_again() {
    let pages = pages().await;
    assert!(pages.app.has_provider());
    let back = pages.travel("/ui/changes?outcome=diverged").await;
    let (signed_in, page) = pages.arrive(&back).await.unwrap();
    assert_eq!(page, "/ui/changes?outcome=diverged");
    assert_eq!(signed_in.session.identity.name, "oidc:ann");
    let secret = signed_in.secret.expose_secret();
    let session = pages.app.session(&arrival(), Some(secret)).await.unwrap();
    assert_eq!(session.unwrap().identity.roles.words(), ["auditor"]);
    assert_eq!(
        pages.arrive(&back).await.unwrap_err(),
        401,
        "a code is good once"
    );
    let away = pages
        .app
        .sign_out(secret, &arrival())
        .await
        .unwrap()
        .unwrap();
    assert!(
        away.starts_with(&format!("{}/logout?", pages.issuer.address)),
        "{away}"
    );
    let session = pages.app.session(&arrival(), Some(secret)).await.unwrap();
    assert!(session.is_none());
    pages.app.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn another_browser_or_another_sign_in_does_not_arrive() {
    let pages = pages().await;
    let (mine, other) = (pages.travel("/ui").await, pages.travel("/ui").await);
    let with = |cookie: &str, state: &str, issuer: &str| Back {
        cookie: cookie.to_owned(),
        code: mine.code.clone(),
        state: state.to_owned(),
        issuer: issuer.to_owned(),
    };
    let tampered = mine.cookie.replacen('.', "x.", 1);
    let (_, rest) = mine.cookie.split_once('.').unwrap();
    let moved = format!("{}.9{rest}", mine.cookie.split('.').next().unwrap());
    for (what, back) in [
        (
            "another browser",
            with(&other.cookie, &mine.state, &mine.issuer),
        ),
        (
            "another state",
            with(&mine.cookie, &other.state, &mine.issuer),
        ),
        ("no state", with(&mine.cookie, "", &mine.issuer)),
        (
            "a made-up cookie",
            with("x.1.eA", &mine.state, &mine.issuer),
        ),
        (
            "a changed cookie",
            with(&tampered, &mine.state, &mine.issuer),
        ),
        ("a changed time", with(&moved, &mine.state, &mine.issuer)),
        (
            "another provider",
            with(&mine.cookie, &mine.state, "https://evil.example"),
        ),
    ] {
        assert_eq!(pages.arrive(&back).await.unwrap_err(), 401, "{what}");
    }
    // The other sign-in's code, in this browser: its nonce and its verifier are not this one's.
    let mixed = Back {
        code: other.code.clone(),
        ..with(&mine.cookie, &mine.state, &mine.issuer)
    };
    assert_eq!(pages.arrive(&mixed).await.unwrap_err(), 401);
    assert!(
        pages.arrive(&mine).await.is_ok(),
        "the right one still does"
    );
    let refused = Return {
        error: Some("access_denied"),
        state: Some(&mine.state),
        issuer: Some(&mine.issuer),
        code: None,
    };
    let error = pages
        .app
        .finish_sign_in(Some(&mine.cookie), &refused, &arrival())
        .await;
    assert_eq!(error.unwrap_err().code, 401);
    let late = pages.travel("/ui").await;
    pages.clock.pass(TimeDelta::minutes(11));
    assert_eq!(pages.arrive(&late).await.unwrap_err(), 401, "too late");
    pages.app.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn strangers_do_not_make_recant_ask_the_provider_without_end() {
    let pages = pages().await;
    // Whoever begins a sign-in has a cookie and a state that fit; the code is made up.
    let begun = pages.travel("/ui").await;
    let forged = |number: usize| Back {
        cookie: begun.cookie.clone(),
        code: format!("made-up-{number}"),
        state: begun.state.clone(),
        issuer: begun.issuer.clone(),
    };
    let mut held_back = 0;
    for number in 0..200 {
        match pages.arrive(&forged(number)).await.unwrap_err() {
            401 => {}
            429 => held_back += 1,
            other => panic!("{other}"),
        }
    }
    let asked = pages.issuer.redeemed();
    assert!((10..=70).contains(&asked), "asked {asked} times");
    assert!(held_back > 100, "{held_back}");
    // From one address that failed often it is fewer still.
    let peer = Arrival {
        peer: Some("192.0.2.7".parse().unwrap()),
        ..arrival()
    };
    pages.clock.pass(TimeDelta::minutes(2));
    let begun = pages.travel("/ui").await;
    for number in 0..50 {
        let code = format!("made-up-{number}");
        let returned = Return {
            code: Some(&code),
            state: Some(&begun.state),
            issuer: Some(&begun.issuer),
            error: None,
        };
        let arrived = pages
            .app
            .finish_sign_in(Some(&begun.cookie), &returned, &peer);
        arrived.await.unwrap_err();
    }
    assert!(pages.issuer.redeemed() - asked <= 13);
    // Right ones from there pass a little later, and from elsewhere at once.
    assert!(pages.arrive(&pages.travel("/ui").await).await.is_ok());
    pages.clock.pass(TimeDelta::seconds(11));
    let begun = pages.travel("/ui").await;
    let returned = Return {
        code: Some(&begun.code),
        state: Some(&begun.state),
        issuer: Some(&begun.issuer),
        error: None,
    };
    let arrived = pages
        .app
        .finish_sign_in(Some(&begun.cookie), &returned, &peer);
    assert!(arrived.await.is_ok());
    pages.app.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_providers_answer_must_be_for_recant_and_this_sign_in() {
    let pages = pages().await;
    for (claims, code) in [
        (json!({"nonce": "other"}), 401),
        (json!({"nonce": null}), 401),
        (json!({"aud": "other"}), 401),
        (json!({"aud": ["recant-pages", "other"]}), 401),
        (
            json!({"aud": ["recant-pages", "other"], "azp": "other"}),
            401,
        ),
        (json!({"iss": "https://evil.example"}), 401),
        (json!({"exp": 1000}), 401),
        (json!({"roles": []}), 403),
    ] {
        pages.issuer.claim(claims.clone());
        let back = pages.travel("/ui").await;
        assert_eq!(pages.arrive(&back).await.unwrap_err(), code, "{claims}");
    }
    pages
        .issuer
        .claim(json!({"aud": ["recant-pages", "other"], "azp": "recant-pages"}));
    assert!(pages.arrive(&pages.travel("/ui").await).await.is_ok());
    let back = pages.travel("//evil.example").await;
    assert_eq!(
        pages.arrive(&back).await.unwrap().1,
        "/ui",
        "no open redirect"
    );
    pages.issuer.be_silent(true);
    pages.app.close(Duration::from_secs(5)).await;
    let entries = std::fs::read(pages.folder.path().join("recant.db")).unwrap();
    let holds = |text: &str| {
        entries
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(!holds("hush hush") && !holds(&back.code) && !holds(&back.cookie));
}
