//! Bearer tokens of a provider: which are believed, and what happens while it changes its keys or is
//! silent.
use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use recant::{
    app::{App, Arrival, Builder},
    model::Roles,
};
use serde_json::{Value, json};

use crate::support::{
    clock::MovedClock,
    folder::{Folder, KEY},
    issuer::{Issuer, Key},
    server::Running,
};

async fn folder(issuer: &Issuer, more: &str) -> Folder {
    let folder = Folder::new().await;
    folder.write(
        "recant.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\n[secrets]\nkey = \"{KEY}\"\n\n[auth.oidc]\n\
             issuer = \"{}\"\naudience = \"recant\"\n{more}",
            issuer.address
        ),
    );
    folder
}

struct Opened {
    app: App,
    clock: MovedClock,
    _folder: Folder,
}

async fn opened(issuer: &Issuer, more: &str) -> Opened {
    let folder = folder(issuer, more).await;
    let clock = MovedClock::default();
    let builder = Builder::new(folder.path()).clock(Arc::new(clock.clone()));
    Opened {
        app: builder.open().await.unwrap(),
        clock,
        _folder: folder,
    }
}

impl Opened {
    /// The name of whoever presents a token, or the status that they get.
    async fn who(&self, token: &str) -> Result<String, u16> {
        let found = self.app.identify(&Arrival::default(), Some(token)).await;
        found
            .map(|identity| identity.name)
            .map_err(|error| error.code)
    }
}

#[tokio::test]
async fn a_token_of_the_provider_opens_what_its_roles_open() {
    let issuer = Issuer::start().await;
    let folder = folder(&issuer, "").await;
    let server = Running::start(&folder).await;
    server.client.get("/operations").await.expect(401);
    let auditor = server.client.token(&issuer.token(json!({})));
    auditor.get("/operations").await.expect(200);
    auditor.get("/tokens").await.expect(403);
    let roleless = server.client.token(&issuer.token(json!({"roles": []})));
    roleless.get("/operations").await.expect(403);
    let caller = server
        .client
        .token(&issuer.token(json!({"sub": "bob", "roles": ["caller"]})));
    let put = caller
        .json("PUT", "/managed/user/x", &json!({"userName": "x"}))
        .await
        .expect(201);
    let path = format!("/operations/{}", put.header("recant-operation"));
    let record = caller.get(&path).await.expect(200).json();
    assert_eq!(record["caller"], "oidc:bob");
    let own = server.app.make_token("t", &["admin".into()], None).await;
    let own = secrecy::ExposeSecret::expose_secret(&own.unwrap().0).to_owned();
    server.client.token(&own).get("/tokens").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn only_what_the_provider_made_for_recant_and_now_is_believed() {
    let issuer = Issuer::start().await;
    let opened = opened(&issuer, "clock_skew_seconds = 30\n").await;
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    for (over, expected) in [
        (json!({}), Ok("oidc:ann")),
        (json!({"aud": ["x", "recant"]}), Ok("oidc:ann")),
        (json!({"exp": now - 20}), Ok("oidc:ann")),
        (json!({"exp": now - 40}), Err(401)),
        (json!({"exp": null}), Err(401)),
        (json!({"nbf": now + 20}), Ok("oidc:ann")),
        (json!({"nbf": now + 60}), Err(401)),
        (json!({"aud": "other"}), Err(401)),
        (json!({"aud": null}), Err(401)),
        (json!({"iss": "https://evil.example"}), Err(401)),
        (json!({"sub": null}), Err(401)),
    ] {
        let found = opened.who(&issuer.token(over.clone())).await;
        assert_eq!(found, expected.map(str::to_owned), "{over}");
    }
    for key in [Key::rs256("rsa"), Key::ed25519("ed")] {
        issuer.rotate(key);
        opened.clock.pass(TimeDelta::seconds(15));
        let token = issuer.token(json!({"nbf": null, "iat": null}));
        assert_eq!(opened.who(&token).await, Ok("oidc:ann".to_owned()));
    }
}

#[tokio::test]
async fn forged_tokens_are_not_believed() {
    let issuer = Issuer::start().await;
    let rsa = Key::rs256("rsa");
    issuer.rotate(rsa.clone());
    let shared =
        json!({"kty": "oct", "kid": "shared", "k": URL_SAFE_NO_PAD.encode("hush"), "alg": "HS256"});
    issuer.publish(shared);
    let opened = opened(&issuer, "").await;
    let good = issuer.token(json!({}));
    assert!(opened.who(&good).await.is_ok());
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = issuer.claims(json!({"roles": ["admin"]}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let mut forged = vec![
        format!("{header}.{}.{signature}", part(claims.clone())),
        format!("{}.{}.", part(json!({"alg": "none"})), part(claims.clone())),
        format!(
            "{}.{}.",
            part(json!({"alg": "none", "kid": "rsa"})),
            part(claims.clone())
        ),
        format!("{signed}."),
        signed.to_owned(),
        format!("{good}x"),
        format!("{good}.x"),
    ];
    // The provider's public key as the secret of a signature with a shared one.
    let public = rsa.jwk();
    for secret in [public["n"].as_str().unwrap(), "hush"] {
        for kid in ["rsa", "shared"] {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some(kid.to_owned());
            let key = EncodingKey::from_secret(secret.as_bytes());
            forged.push(encode(&header, &claims, &key).unwrap());
        }
    }
    // A key of one's own, under the id of the provider's and under one that nobody knows.
    for id in ["rsa", "first", "nobody"] {
        let own = Key::es256(id);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(id.to_owned());
        header.jwk = Some(serde_json::from_value(own.jwk()).unwrap());
        forged.push(encode(&header, &claims, &own.encoding).unwrap());
    }
    for token in forged {
        let found = opened.who(&token).await;
        assert!(matches!(found, Err(401 | 429)), "{token}: {found:?}");
    }
    assert!(opened.who(&good).await.is_ok(), "failures lock nobody out");
}

#[tokio::test]
async fn keys_are_followed_but_not_at_everybodys_whim() {
    let issuer = Issuer::start().await;
    let opened = opened(&issuer, "").await;
    assert!(opened.who(&issuer.token(json!({}))).await.is_ok());
    assert_eq!(issuer.asked(), 1);
    let stranger = Key::es256("stranger");
    for number in 0..20 {
        issuer.sign_with(Key {
            id: format!("made-up-{number}"),
            ..stranger.clone()
        });
        assert!(opened.who(&issuer.token(json!({}))).await.is_err());
    }
    assert_eq!(issuer.asked(), 1, "it was asked only just now");
    issuer.rotate(Key::es256("second"));
    let rotated = issuer.token(json!({}));
    opened.clock.pass(TimeDelta::seconds(11));
    assert_eq!(opened.who(&rotated).await, Ok("oidc:ann".to_owned()));
    assert_eq!(issuer.asked(), 2);
    assert!(opened.who(&rotated).await.is_ok());
    assert_eq!(issuer.asked(), 2, "it is remembered");
    issuer.withdraw();
    issuer.rotate(Key::es256("third"));
    opened.clock.pass(TimeDelta::minutes(11));
    let withdrawn = opened.who(&rotated).await;
    assert_eq!(withdrawn, Err(401), "a key that is withdrawn opens nothing");
}

#[tokio::test]
async fn a_silent_provider_is_no_wrong_token() {
    let issuer = Issuer::start().await;
    issuer.be_silent(true);
    let folder = folder(&issuer, "").await;
    let server = Running::start(&folder).await;
    let token = issuer.token(json!({}));
    let holder = server.client.token(&token);
    let refused = holder.get("/operations").await.expect(503);
    assert_eq!(refused.header("retry-after"), "10");
    assert!(!refused.text.contains(&issuer.address), "{}", refused.text);
    let put = holder
        .json("PUT", "/managed/user/x", &json!({"userName": "x"}))
        .await
        .expect(503);
    assert_eq!(put.header("recant-outcome"), "rejected");
    server.stop().await;

    issuer.be_silent(false);
    let opened = opened(&issuer, "").await;
    assert!(opened.who(&token).await.is_ok());
    issuer.be_silent(true);
    opened.clock.pass(TimeDelta::minutes(30));
    assert!(
        opened
            .who(&issuer.token(json!({"exp": 4_000_000_000_u64})))
            .await
            .is_ok()
    );
    opened.clock.pass(TimeDelta::hours(12));
    let late = opened
        .who(&issuer.token(json!({"exp": 4_000_000_000_u64})))
        .await;
    assert_eq!(late, Err(503), "keys do not serve for ever");
}

#[tokio::test]
async fn clients_and_words_are_those_that_the_settings_name() {
    let issuer = Issuer::start().await;
    let more = "authorized_parties = [\"hr\"]\nname_claim = \"email\"\nroles_claim = \"/realm/groups\"\n\
                [auth.oidc.role_mapping]\nstaff = [\"caller\", \"auditor\"]\n";
    let opened = opened(&issuer, more).await;
    let good =
        json!({"azp": "hr", "email": "ann@example", "realm": {"groups": ["staff", "admin"]}});
    let found = opened
        .app
        .identify(&Arrival::default(), Some(&issuer.token(good.clone())))
        .await
        .unwrap();
    assert_eq!(found.name, "oidc:ann@example");
    assert_eq!(found.roles, Roles::named(["caller", "auditor"]));
    let mut foreign = good;
    foreign["azp"] = json!("x");
    assert_eq!(opened.who(&issuer.token(foreign)).await, Err(401));
}
