//! Ed25519 signatures over places of the audit chain: a private key signs, the public one verifies.
use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::audit::hexadecimal;

/// What stands before a public key in its SubjectPublicKeyInfo (RFC 8410).
const PUBLIC_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// What stands before the 32 bytes of a private key in the shortest PKCS #8 (RFC 8410).
const PRIVATE_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";

/// Signs.
pub struct Signer {
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

/// Verifies what the signer with this public key signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    key: Vec<u8>,
    id: String,
}

/// Why a text is no key; never shows any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no Ed25519 {0} in PEM form, as `recant audit keygen` makes them")]
pub struct KeyProblem(&'static str);

/// A signed place of the audit chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// 1 for the first, without gaps.
    pub number: i64,
    /// The position of the entry.
    pub position: i64,
    /// The digest of that entry.
    pub digest: String,
    /// When it was signed, in microseconds since 1970.
    pub at: i64,
    /// The signature of the checkpoint before it; empty for the first.
    pub previous: String,
    /// The id of the key.
    pub key: String,
    /// The signature in base64.
    pub signature: String,
}

/// Where the audit chain begins, once what stood before was pruned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Anchor {
    /// The position of the last pruned entry: as many were pruned.
    pub position: i64,
    /// The digest of that entry.
    pub digest: String,
    /// When it was pruned, in microseconds since 1970.
    pub at: i64,
    /// The id of the key that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The signature in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn statement(&self) -> String {
        format!(
            "recant-audit-checkpoint-v1\nnumber {}\nposition {}\ndigest {}\nat {}\nprevious {}\n",
            self.number, self.position, self.digest, self.at, self.previous
        )
    }

    /// Whether the holder of this key signed it.
    #[must_use]
    pub fn is_by(&self, verifier: &Verifier) -> bool {
        verifier.verifies(&self.statement(), &self.signature)
    }
}

impl Anchor {
    /// The text that is signed.
    #[must_use]
    pub fn statement(&self) -> String {
        format!(
            "recant-audit-anchor-v1\nposition {}\ndigest {}\nat {}\n",
            self.position, self.digest, self.at
        )
    }

    /// Whether the holder of this key signed it.
    #[must_use]
    pub fn is_by(&self, verifier: &Verifier) -> bool {
        let signature = self.signature.as_deref().unwrap_or_default();
        verifier.verifies(&self.statement(), signature)
    }
}

impl Signer {
    /// The signer of 32 secret bytes.
    ///
    /// # Errors
    /// They cannot be a key.
    pub fn from_seed(seed: &[u8]) -> Result<Self, KeyProblem> {
        let problem = KeyProblem("private key");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| problem)?;
        let verifier = Verifier::of(pair.public_key().as_ref().to_vec());
        Ok(Self { pair, verifier })
    }

    /// The signer of a private key: PKCS #8 in PEM form, as `openssl genpkey -algorithm ed25519`
    /// makes it too.
    ///
    /// # Errors
    /// The text is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyProblem> {
        let problem = KeyProblem("private key");
        let bytes = zeroize::Zeroizing::new(of_pem(pem, PRIVATE).ok_or(problem)?);
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes).map_err(|_| problem)?;
        let verifier = Verifier::of(pair.public_key().as_ref().to_vec());
        Ok(Self { pair, verifier })
    }

    /// Secret bytes as a private key in PEM form.
    #[must_use]
    pub fn private_pem(seed: &[u8; 32]) -> String {
        pem(PRIVATE, &[PRIVATE_PREFIX.as_slice(), seed].concat())
    }

    /// Who verifies what it signs.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The signature of a text, in base64.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.pair.sign(text.as_bytes()).as_ref())
    }

    /// The anchor, signed.
    #[must_use]
    pub fn anchor(&self, anchor: Anchor) -> Anchor {
        Anchor {
            key: Some(self.verifier.id.clone()),
            signature: Some(self.sign(&anchor.statement())),
            ..anchor
        }
    }

    /// The checkpoint, signed.
    #[must_use]
    pub fn checkpoint(&self, checkpoint: Checkpoint) -> Checkpoint {
        Checkpoint {
            key: self.verifier.id.clone(),
            signature: self.sign(&checkpoint.statement()),
            ..checkpoint
        }
    }
}

impl Verifier {
    fn of(key: Vec<u8>) -> Self {
        let id = hexadecimal(&Sha256::digest(&key))
            .chars()
            .take(16)
            .collect();
        Self { key, id }
    }

    /// The verifier of a public key in PEM form.
    ///
    /// # Errors
    /// The text is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyProblem> {
        let bytes = of_pem(pem, PUBLIC);
        let key = bytes
            .as_deref()
            .and_then(|bytes| bytes.strip_prefix(&PUBLIC_PREFIX))
            .filter(|key| key.len() == 32);
        key.map(|key| Self::of(key.to_vec()))
            .ok_or(KeyProblem("public key"))
    }

    /// The verifiers of all public keys of a text in PEM form, in their order.
    ///
    /// # Errors
    /// There is none, or one that is no such key.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, KeyProblem> {
        let begin = format!("-----BEGIN {PUBLIC}-----");
        let (_, rest) = text
            .split_once(begin.as_str())
            .ok_or(KeyProblem("public key"))?;
        rest.split(begin.as_str())
            .map(|one| Self::from_pem(&format!("{begin}{one}")))
            .collect()
    }

    /// The public key in PEM form.
    #[must_use]
    pub fn pem(&self) -> String {
        pem(PUBLIC, &[PUBLIC_PREFIX.as_slice(), &self.key].concat())
    }

    /// The first digits of the key's SHA-256.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the signature, in base64, is that of the text.
    #[must_use]
    pub fn verifies(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, &self.key)
            .verify(text.as_bytes(), &signature)
            .is_ok()
    }
}

fn pem(label: &str, bytes: &[u8]) -> String {
    // A key of this kind fits into one line.
    let body = STANDARD.encode(bytes);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn of_pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let (_, rest) = text.split_once(begin.as_str())?;
    let (body, _) = rest.split_once(end.as_str())?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok()
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer({})", self.verifier.id)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Verifier({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_through_pem_and_only_the_right_one_verifies() {
        let seed = [7_u8; 32];
        let signer = Signer::from_pem(&Signer::private_pem(&seed)).unwrap();
        let verifier = Verifier::from_pem(&signer.verifier().pem()).unwrap();
        assert_eq!(&verifier, signer.verifier());
        let signature = signer.sign("text");
        assert!(verifier.verifies("text", &signature));
        assert!(!verifier.verifies("other", &signature));
        assert!(!verifier.verifies("text", ""));
        let other = Signer::from_seed(&[8; 32]).unwrap();
        assert!(!other.verifier().verifies("text", &signature));
        for wrong in ["", "secret", &signer.verifier().pem()] {
            let problem = Signer::from_pem(wrong).unwrap_err().to_string();
            assert!(!problem.contains("secret"), "{problem}");
        }
        assert!(Verifier::from_pem(&Signer::private_pem(&seed)).is_err());
        assert!(!format!("{signer:?}").contains("BwcH"));
    }

    /// The key and the signature of RFC 8032, section 7.1, test 1.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let private = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let bytes = |text: &str| -> Vec<u8> {
            (0..text.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                .collect()
        };
        let signer = Signer::from_seed(&bytes(private)).unwrap();
        assert_eq!(hexadecimal(&signer.verifier().key), public);
        let signature = STANDARD.decode(signer.sign("")).unwrap();
        assert!(hexadecimal(&signature).starts_with("e5564300c360ac729086e2cc806e828a"));
    }

    #[test]
    fn every_part_of_a_checkpoint_is_signed() {
        let signer = Signer::from_seed(&[1; 32]).unwrap();
        let checkpoint = signer.checkpoint(Checkpoint {
            number: 2,
            position: 10,
            digest: "d".into(),
            at: 5,
            previous: "p".into(),
            key: String::new(),
            signature: String::new(),
        });
        assert!(checkpoint.is_by(signer.verifier()));
        let changes: [fn(&mut Checkpoint); 5] = [
            |one| one.number += 1,
            |one| one.position += 1,
            |one| one.digest.push('x'),
            |one| one.at += 1,
            |one| one.previous.push('x'),
        ];
        for change in changes {
            let mut changed = checkpoint.clone();
            change(&mut changed);
            assert!(!changed.is_by(signer.verifier()));
        }
    }
}
