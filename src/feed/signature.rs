//! Signatures of webhooks: the convention of Standard Webhooks, or one header with an HMAC. Pure.
use aws_lc_rs::{constant_time, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};

use crate::model::shared_secret;

/// How old, or how far ahead, a signed time may be.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// Where a signature stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`, over id, time and body.
    Standard,
    /// One header with the hexadecimal HMAC-SHA256 of the body behind a prefix.
    Header {
        /// The header's name.
        name: String,
        /// What stands before the digits.
        prefix: String,
    },
}

/// Why a request is not taken for what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A header is missing.
    #[error("the signature is missing")]
    Missing,
    /// The signed time is too far away.
    #[error("the signed time is more than five minutes away")]
    Late,
    /// It was signed with something else, or changed on its way.
    #[error("the signature does not fit")]
    Wrong,
}

/// The signature of a message under one secret, as the header `webhook-signature` lists it; none where
/// the secret is no key.
#[must_use]
pub fn sign(secret: &SecretString, id: &str, time: DateTime<Utc>, body: &[u8]) -> Option<String> {
    let message = signed(id, &time.timestamp().to_string(), body);
    let tag = hmac::sign(&key(secret)?, &message);
    Some(format!("v1,{}", STANDARD.encode(tag)))
}

/// Checks a request; gives the id of the delivery, where the scheme has one.
///
/// # Errors
/// Why it is not taken for what it says.
pub fn verify<'h>(
    scheme: &Scheme,
    secrets: &[SecretString],
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<&'h str>, Unsigned> {
    match scheme {
        Scheme::Standard => {
            let need = |name| header(name).ok_or(Unsigned::Missing);
            let (id, time) = (need("webhook-id")?, need("webhook-timestamp")?);
            let given = need("webhook-signature")?;
            let seconds = time.parse().map_err(|_| Unsigned::Late)?;
            let at = DateTime::from_timestamp(seconds, 0).ok_or(Unsigned::Late)?;
            if (now - at).abs() > TOLERANCE {
                return Err(Unsigned::Late);
            }
            let message = signed(id, time, body);
            let tags = given
                .split(' ')
                .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
            fits(secrets, tags, &message)
                .then_some(Some(id))
                .ok_or(Unsigned::Wrong)
        }
        Scheme::Header { name, prefix } => {
            let given = header(&name.to_ascii_lowercase()).ok_or(Unsigned::Missing)?;
            let digits = given.strip_prefix(prefix.as_str()).ok_or(Unsigned::Wrong)?;
            let tag = bytes_of(digits).ok_or(Unsigned::Wrong)?;
            fits(secrets, [tag], body)
                .then_some(None)
                .ok_or(Unsigned::Wrong)
        }
    }
}

/// Whether any of the signatures was made with any of the secrets.
fn fits(secrets: &[SecretString], tags: impl IntoIterator<Item = Vec<u8>>, message: &[u8]) -> bool {
    let keys: Vec<hmac::Key> = secrets.iter().filter_map(key).collect();
    let mut tags = tags.into_iter();
    tags.any(|tag| {
        keys.iter().any(|key| {
            let right = hmac::sign(key, message);
            constant_time::verify_slices_are_equal(right.as_ref(), &tag).is_ok()
        })
    })
}

fn signed(id: &str, time: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{id}.{time}.").into_bytes();
    message.extend(body);
    message
}

/// The key of a secret; none where anybody could sign with it, or it cannot be read.
fn key(secret: &SecretString) -> Option<hmac::Key> {
    let bytes = shared_secret::key(secret.expose_secret()).ok()?;
    Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn the_convention_is_kept_to_the_letter() {
        // The example of the Standard Webhooks specification's libraries.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at(1_614_265_330),
            body,
        );
        let signature = signature.unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_request_is_taken_with_any_of_the_keys_and_only_as_it_was_signed() {
        let [old, new, other] = ["whsec_b2xk", "new", "other"].map(SecretString::from);
        let secrets = [new.clone(), old.clone()];
        let check = |secret: &SecretString, id: &str, body: &[u8], now| {
            let signature = format!("v1a,xx {}", sign(secret, "m1", at(1_000), b"body").unwrap());
            let header = |name: &str| match name {
                "webhook-id" => Some(id),
                "webhook-timestamp" => Some("1000"),
                "webhook-signature" => Some(signature.as_str()),
                _ => None,
            };
            let result = verify(&Scheme::Standard, &secrets, header, body, now);
            result.map(|id| id.map(str::to_owned))
        };
        assert_eq!(check(&old, "m1", b"body", at(1_000)), Ok(Some("m1".into())));
        assert_eq!(check(&new, "m1", b"body", at(1_300)), Ok(Some("m1".into())));
        assert_eq!(check(&new, "m1", b"body", at(1_301)), Err(Unsigned::Late));
        assert_eq!(check(&new, "m1", b"body", at(699)), Err(Unsigned::Late));
        assert_eq!(check(&new, "m2", b"body", at(1_000)), Err(Unsigned::Wrong));
        assert_eq!(check(&new, "m1", b"Body", at(1_000)), Err(Unsigned::Wrong));
        assert_eq!(
            check(&other, "m1", b"body", at(1_000)),
            Err(Unsigned::Wrong)
        );
        let nothing = verify(&Scheme::Standard, &secrets, |_| None, b"", at(0));
        assert_eq!(nothing, Err(Unsigned::Missing));
    }

    #[test]
    fn what_is_no_key_fits_nothing() {
        let forged = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, b""),
            &signed("m1", "1000", b"body"),
        );
        let forged = format!("v1,{}", STANDARD.encode(forged));
        let header = |name: &str| match name {
            "webhook-id" => Some("m1"),
            "webhook-timestamp" => Some("1000"),
            "webhook-signature" => Some(forged.as_str()),
            _ => None,
        };
        for empty in ["", "whsec_", "whsec_?"] {
            let secrets = [SecretString::from(empty)];
            let taken = verify(&Scheme::Standard, &secrets, header, b"body", at(1_000));
            assert_eq!(taken, Err(Unsigned::Wrong), "`{empty}`");
            assert_eq!(sign(&secrets[0], "m1", at(1_000), b"body"), None);
        }
    }

    #[test]
    fn a_header_with_an_hmac_is_checked() {
        let scheme = Scheme::Header {
            name: "X-Hub-Signature-256".into(),
            prefix: "sha256=".into(),
        };
        let secrets = [SecretString::from("It's a Secret to Everybody")];
        // The example of GitHub's documentation.
        let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let check = |given: Option<&'static str>, body: &[u8]| {
            let header = |name: &str| given.filter(|_| name == "x-hub-signature-256");
            verify(&scheme, &secrets, header, body, at(0))
        };
        assert_eq!(check(Some(right), b"Hello, World!"), Ok(None));
        assert_eq!(check(Some(right), b"Hello, World"), Err(Unsigned::Wrong));
        assert_eq!(
            check(Some("757107ea"), b"Hello, World!"),
            Err(Unsigned::Wrong)
        );
        assert_eq!(
            check(Some("sha256=zz"), b"Hello, World!"),
            Err(Unsigned::Wrong)
        );
        assert_eq!(check(None, b"Hello, World!"), Err(Unsigned::Missing));
    }
}
