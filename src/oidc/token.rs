//! A token's three parts, and whether a key of the provider signed it.
use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    crypto::verify,
    jwk::{AlgorithmParameters, Jwk},
};
use serde::Deserialize;
use serde_json::Value;

use super::{Rejection, keys::Known};
use crate::model::Object;

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 16 * 1024;

/// A token, taken apart and not believed yet.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    header: Header,
    algorithm: Algorithm,
    claims: Object,
    signed: &'a str,
    signature: &'a str,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

impl<'a> Parsed<'a> {
    /// Takes a token apart. Its own word counts for nothing but which of the allowed algorithms and
    /// which of the provider's keys are tried.
    pub(super) fn read(token: &'a str, allowed: &[String]) -> Result<Self, Rejection> {
        let wrong = Rejection::Invalid("the bearer token is not valid");
        if token.len() > LONGEST {
            return Err(Rejection::Invalid("the bearer token is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(wrong.clone())?;
        let (header, claims) = signed.split_once('.').ok_or(wrong.clone())?;
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong.clone());
        let header: Header = serde_json::from_slice(&part(header)?).map_err(|_| wrong.clone())?;
        let claims: Object = serde_json::from_slice(&part(claims)?).map_err(|_| wrong)?;
        if header.crit.is_some() {
            return Err(Rejection::Invalid(
                "the bearer token asks for extensions that are not known",
            ));
        }
        if !header.is_for_us() {
            return Err(Rejection::Invalid("the token is no bearer token"));
        }
        let unwanted =
            Rejection::Invalid("the bearer token is signed in a way that is not accepted");
        if !allowed.contains(&header.alg) {
            return Err(unwanted);
        }
        let algorithm = Algorithm::from_str(&header.alg).map_err(|_| unwanted)?;
        Ok(Self {
            header,
            algorithm,
            claims,
            signed,
            signature,
        })
    }

    /// The id of the key that it says it was signed with.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Whether one of the provider's keys signed it.
    pub(super) fn verify(&self, keys: &Known) -> Result<(), Rejection> {
        let signed = keys
            .candidates(self.key_id())
            .filter(|key| fits(key, self.algorithm))
            .filter_map(|key| DecodingKey::from_jwk(key).ok())
            .any(|key| {
                verify(self.signature, self.signed.as_bytes(), &key, self.algorithm)
                    .unwrap_or(false)
            });
        if signed {
            Ok(())
        } else {
            Err(Rejection::Invalid("the bearer token is not valid"))
        }
    }

    pub(super) fn into_claims(self) -> Object {
        self.claims
    }
}

impl Header {
    /// Whether the token's type may be presented: tokens for signing out and the like may not.
    fn is_for_us(&self) -> bool {
        self.typ.as_ref().is_none_or(|kind| {
            let kind = kind.to_ascii_lowercase();
            let kind = kind.strip_prefix("application/").unwrap_or(&kind);
            matches!(kind, "jwt" | "at+jwt")
        })
    }
}

/// Whether a key is of the kind that an algorithm needs, and says nothing else of itself. A key that
/// is a shared secret never fits.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
        ),
        AlgorithmParameters::EllipticCurve(_) => {
            matches!(algorithm, Algorithm::ES256 | Algorithm::ES384)
        }
        AlgorithmParameters::OctetKeyPair(_) => algorithm == Algorithm::EdDSA,
        _ => false,
    };
    let named = key.common.key_algorithm;
    kind && named.is_none_or(|named| format!("{named:?}") == format!("{algorithm:?}"))
}
