//! Whose signatures over the audit chain count: the keys one after another, and how one hands over to
//! the next.
use std::fmt;

use serde::{Deserialize, Serialize};

use super::signing::{Anchor, Checkpoint, KeyProblem, Signer, Verifier};

/// The keys whose signatures count, oldest first: each was used until the next one was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust(Vec<Verifier>);

/// A key says which one comes after it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// The next public key, in PEM form.
    pub key: String,
    /// The id of the key that says so.
    pub from: String,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Its signature in base64.
    pub signature: String,
}

/// Why a handover does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandoverProblem {
    /// The key in it is none.
    #[error("the next key {0}")]
    Key(#[from] KeyProblem),
    /// The key before it is not trusted.
    #[error("it is by the key {0}, which is not among those given")]
    Unknown(String),
    /// It was not made by that key.
    #[error("the key {0} did not sign it")]
    Forged(String),
}

impl Handover {
    /// `from` says that `next` comes after it.
    #[must_use]
    pub fn new(from: &Signer, next: &Verifier, at: i64) -> Self {
        let unsigned = Self {
            key: next.pem(),
            from: from.verifier().id().to_owned(),
            at,
            signature: String::new(),
        };
        Self {
            signature: from.sign(&unsigned.statement()),
            ..unsigned
        }
    }

    /// The text that is signed.
    #[must_use]
    pub fn statement(&self) -> String {
        format!(
            "recant-audit-handover-v1\nkey {}\nfrom {}\nat {}\n",
            self.key.split_whitespace().collect::<Vec<_>>().join(" "),
            self.from,
            self.at
        )
    }
}

impl Trust {
    /// Trusts these keys, oldest first; one that comes twice counts where it comes first.
    #[must_use]
    pub fn of(keys: impl IntoIterator<Item = Verifier>) -> Self {
        let mut trust = Self::default();
        keys.into_iter().for_each(|key| trust.add(key));
        trust
    }

    /// Trusts every public key of these texts in PEM form.
    ///
    /// # Errors
    /// One of them holds no key, or something that is none.
    pub fn from_pems<'a>(pems: impl IntoIterator<Item = &'a str>) -> Result<Self, KeyProblem> {
        let mut trust = Self::default();
        for pem in pems {
            Verifier::all_from_pem(pem)?
                .into_iter()
                .for_each(|key| trust.add(key));
        }
        Ok(trust)
    }

    /// Trusts one more key, the newest.
    pub fn add(&mut self, key: Verifier) {
        if !self.0.contains(&key) {
            self.0.push(key);
        }
    }

    /// Trusts the next key, by the word of the one before it.
    ///
    /// # Errors
    /// The one before it is not trusted, or did not say so.
    pub fn accept(&mut self, handover: &Handover) -> Result<(), HandoverProblem> {
        let next = Verifier::from_pem(&handover.key)?;
        let known = self.0.iter().position(|key| key.id() == handover.from);
        let from = || handover.from.chars().take(64).collect::<String>();
        let Some(known) = known else {
            return Err(HandoverProblem::Unknown(from()));
        };
        let by = self.0.get(known);
        if !by.is_some_and(|key| key.verifies(&handover.statement(), &handover.signature)) {
            return Err(HandoverProblem::Forged(from()));
        }
        if !self.0.contains(&next) {
            self.0.insert(known + 1, next);
        }
        Ok(())
    }

    /// Whether no key is trusted: signatures are not looked at then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The place among the keys of the one that signed a checkpoint.
    #[must_use]
    pub fn signer_of(&self, checkpoint: &Checkpoint) -> Option<usize> {
        let named = |key: &Verifier| key.id() == checkpoint.key;
        self.0
            .iter()
            .position(|key| named(key) && checkpoint.is_by(key))
    }

    /// Whether a key with the id that a checkpoint names is among them.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id() == id)
    }

    /// Whether one of the keys signed an anchor.
    #[must_use]
    pub fn has_signed(&self, anchor: &Anchor) -> bool {
        self.0.iter().any(|key| anchor.is_by(key))
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Handover(from {})", self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(seed: u8) -> Signer {
        Signer::from_seed(&[seed; 32]).unwrap()
    }

    fn checkpoint(by: &Signer) -> Checkpoint {
        by.checkpoint(Checkpoint {
            number: 1,
            position: 1,
            digest: "d".into(),
            at: 1,
            previous: String::new(),
            key: String::new(),
            signature: String::new(),
        })
    }

    #[test]
    fn a_key_is_trusted_by_the_word_of_the_one_before_it_only() {
        let (first, second, third) = (signer(1), signer(2), signer(3));
        let to_second = Handover::new(&first, second.verifier(), 5);
        let to_third = Handover::new(&second, third.verifier(), 6);
        let mut trust = Trust::of([first.verifier().clone()]);
        assert!(matches!(
            trust.accept(&to_third),
            Err(HandoverProblem::Unknown(_))
        ));
        trust.accept(&to_second).unwrap();
        trust.accept(&to_third).unwrap();
        trust.accept(&to_third).unwrap();
        assert_eq!(trust.signer_of(&checkpoint(&first)), Some(0));
        assert_eq!(trust.signer_of(&checkpoint(&third)), Some(2));
        assert_eq!(trust.signer_of(&checkpoint(&signer(4))), None);
        // Somebody else says so in its name, or bends what it said.
        let mut forged = Handover::new(&signer(4), signer(5).verifier(), 5);
        forged.from = first.verifier().id().to_owned();
        let bent = Handover {
            key: signer(5).verifier().pem(),
            ..to_second
        };
        for wrong in [forged, bent] {
            assert!(matches!(
                trust.accept(&wrong),
                Err(HandoverProblem::Forged(_))
            ));
        }
        assert!(!trust.knows(signer(5).verifier().id()));
    }

    #[test]
    fn several_keys_stand_in_one_text() {
        let text = format!(
            "{}\n{}",
            signer(1).verifier().pem(),
            signer(2).verifier().pem()
        );
        let trust = Trust::from_pems([text.as_str()]).unwrap();
        assert_eq!(trust.signer_of(&checkpoint(&signer(2))), Some(1));
        assert!(Trust::from_pems(["nothing"]).is_err());
    }
}
