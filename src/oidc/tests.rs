//! Claims and addresses, without a provider.
use std::{collections::BTreeMap, time::Duration};

use chrono::DateTime;
use serde_json::{Value, json};

use super::{claims, *};
use crate::model::pointer::Pointer;

fn settings() -> Settings {
    Settings {
        issuer: "https://id.example".into(),
        audience: "recant".into(),
        name_claim: Pointer::attribute("sub"),
        roles_claim: Pointer::attribute("roles"),
        role_mapping: None,
        algorithms: ALGORITHMS.map(str::to_owned).to_vec(),
        clock_skew: Duration::from_secs(60),
        authorized_parties: Vec::new(),
        authority: None,
        client: None,
    }
}

fn person_of(claims: Value, settings: &Settings) -> Result<Person, Rejection> {
    claims::person(claims.as_object().unwrap(), settings)
}

fn timed(claims: &Value) -> Result<(), Rejection> {
    let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
    claims::check_issuer_and_time(claims.as_object().unwrap(), &settings(), now)
}

#[test]
fn times_are_taken_with_the_skew_and_not_a_second_more() {
    let issuer = "https://id.example";
    for (claims, good) in [
        (json!({"iss": issuer, "exp": 1_000_001}), true),
        (json!({"iss": issuer, "exp": 999_941}), true),
        (json!({"iss": issuer, "exp": 999_940}), false),
        (json!({"iss": issuer, "exp": 1_000_001.5}), true),
        (json!({"iss": issuer}), false),
        (json!({"iss": issuer, "exp": "1000001"}), false),
        (json!({"iss": issuer, "exp": -1}), false),
        (json!({"iss": issuer, "exp": 1e300}), false),
        (
            json!({"iss": issuer, "exp": 2_000_000, "nbf": 1_000_060}),
            true,
        ),
        (
            json!({"iss": issuer, "exp": 2_000_000, "nbf": 1_000_061}),
            false,
        ),
        (
            json!({"iss": issuer, "exp": 2_000_000, "iat": 1_000_061}),
            false,
        ),
        (
            json!({"iss": "https://id.example/", "exp": 2_000_000}),
            false,
        ),
        (json!({"exp": 2_000_000}), false),
    ] {
        assert_eq!(timed(&claims).is_ok(), good, "{claims}");
    }
}

#[test]
fn a_bearer_token_must_be_made_for_recant_and_given_to_a_known_client() {
    let mut settings = settings();
    let good = |claims: &Value, settings: &Settings| {
        claims::check_bearer(claims.as_object().unwrap(), settings).is_ok()
    };
    assert!(good(&json!({"aud": "recant"}), &settings));
    assert!(good(&json!({"aud": ["x", "recant"]}), &settings));
    assert!(!good(&json!({"aud": "x"}), &settings));
    assert!(!good(&json!({}), &settings));
    settings.authorized_parties = vec!["hr".into()];
    assert!(good(&json!({"aud": "recant", "azp": "hr"}), &settings));
    assert!(good(
        &json!({"aud": "recant", "client_id": "hr"}),
        &settings
    ));
    assert!(!good(
        &json!({"aud": "recant", "azp": "x", "client_id": "hr"}),
        &settings
    ));
    assert!(!good(&json!({"aud": "recant"}), &settings));
}

#[test]
fn roles_come_from_the_claim_and_only_from_what_is_mapped() {
    let mut settings = settings();
    let roles = |claims: &Value, settings: &Settings| {
        let person = claims::person(claims.as_object().unwrap(), settings).unwrap();
        person.roles.words().join(" ")
    };
    let claims =
        json!({"sub": "ann", "roles": ["auditor", "root", 7], "realm": {"groups": "admin,x"}});
    assert_eq!(roles(&claims, &settings), "auditor");
    settings.roles_claim = Pointer::parse("/realm/groups").unwrap();
    assert_eq!(roles(&claims, &settings), "admin");
    let mapping = [("x".to_owned(), Roles::named(["caller"]))];
    settings.role_mapping = Some(BTreeMap::from(mapping));
    assert_eq!(roles(&claims, &settings), "caller", "`admin` is not mapped");
    settings.roles_claim = Pointer::attribute("none");
    assert_eq!(roles(&claims, &settings), "");
    let person = claims::person(claims.as_object().unwrap(), &settings).unwrap();
    assert_eq!(person.name, "oidc:ann");
    assert!(person_of(json!({"sub": " "}), &settings).is_err());
    assert!(person_of(json!({}), &settings).is_err());
}

#[test]
fn a_browser_returns_to_these_pages_only() {
    for good in [
        "/ui",
        "/ui/changes",
        "/ui/changes?outcome=diverged&x=%2F",
        "/ui?x=1",
        "/ui/a#b",
    ] {
        assert_eq!(safe_return(good), good);
    }
    for bad in [
        "",
        "/",
        "ui",
        "/uix",
        "/managed/user",
        "//evil.example/ui",
        "/ui/..//evil.example",
        "/ui/../managed",
        "/ui/%2e%2e/managed",
        "https://evil.example/ui",
        "/\\evil.example",
        "\\\\evil.example",
        "/ui/\\evil",
        "/ui/\r\nSet-Cookie: x=1",
        "/ui/ x",
        "javascript:alert(1)",
        "/ui/<script>",
        "/\t/evil.example",
    ] {
        assert_eq!(safe_return(bad), "/ui", "{bad}");
    }
    assert_eq!(safe_return(&format!("/ui/{}", "x".repeat(2000))), "/ui");
}

#[test]
fn tokens_signed_in_a_way_that_is_not_allowed_are_not_looked_at() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let allowed = ALGORITHMS.map(str::to_owned);
    let token = |header: Value, claims: Value| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(header), part(claims))
    };
    let read = |token: &str| token::Parsed::read(token, &allowed).map(|_| ());
    assert!(read(&token(json!({"alg": "RS256"}), json!({}))).is_ok());
    assert!(read(&token(json!({"alg": "ES256", "typ": "at+jwt"}), json!({}))).is_ok());
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": "HS256"}),
        json!({"alg": "HS512"}),
        json!({"alg": "ES512"}),
        json!({"alg": ""}),
        json!({}),
        json!({"alg": "RS256", "crit": ["exp"]}),
        json!({"alg": "RS256", "typ": "logout+jwt"}),
        json!([]),
    ] {
        assert!(read(&token(header.clone(), json!({}))).is_err(), "{header}");
    }
    for odd in ["", ".", "..", "a.b.c", "recant_abc"] {
        assert!(read(odd).is_err(), "{odd}");
    }
    assert!(read(&token(json!({"alg": "RS256"}), json!([]))).is_err());
    assert!(read(&format!("{}.x.y", "a".repeat(20_000))).is_err());
}
