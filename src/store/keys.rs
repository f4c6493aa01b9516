//! Keys for data at rest: what they seal they bind to its place, and each sealed text names its key.
use std::{fmt, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::Refusal;
use crate::model::audit::hexadecimal;

/// Keys for data at rest, by id. The first encrypts, all decrypt.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Arc<[Key]>,
}

struct Key {
    id: String,
    cipher: RandomizedNonceKey,
}

/// Why a text holds no keys; never shows any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not base64.
    #[error("key {0} is not base64")]
    NotBase64(usize),
    /// Not 32 bytes.
    #[error(
        "key {position} has {length} bytes; expected 32 (as `openssl rand -base64 32` makes them)"
    )]
    WrongLength {
        /// 1 for the first key.
        position: usize,
        /// How many bytes it has.
        length: usize,
    },
    /// The id in front of a key is unusable.
    #[error("the id of key {0} must be 1 to 32 letters, digits, `-` or `_`")]
    BadId(usize),
    /// Two keys with one id.
    #[error("key {0} has the id of a key before it")]
    SameId(usize),
}

impl Keyring {
    /// Reads keys: 32 bytes in base64 each, separated by spaces, commas or line breaks; the first
    /// encrypts, all decrypt. A key may have an id before it (`2026:BASE64`); without one its id is
    /// the first eight hexadecimal digits of its SHA-256. An empty text is an empty ring.
    ///
    /// # Errors
    /// Names the key by its position, from 1, and says what is wrong with it.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let mut keys: Vec<Key> = Vec::new();
        let words = text
            .split(|letter: char| letter.is_whitespace() || letter == ',')
            .filter(|word| !word.is_empty());
        for (position, word) in words.enumerate().map(|(index, word)| (index + 1, word)) {
            let key = Key::read(word, position)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(KeyError::SameId(position));
            }
            keys.push(key);
        }
        Ok(Self { keys: keys.into() })
    }

    /// Whether there is nothing to encrypt with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The ids of the keys, the one that encrypts first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// Encrypts under the first key and binds the result to its place. None without a key.
    pub(super) fn seal(&self, place: &Place<'_>, clear: &str) -> Result<Option<Sealed>, Refusal> {
        let Some(key) = self.keys.first() else {
            return Ok(None);
        };
        let mut bytes = clear.as_bytes().to_vec();
        let nonce = key
            .cipher
            .seal_in_place_append_tag(Aad::from(place.bound_to(&key.id)), &mut bytes)
            .map_err(|_| Refusal::Encryption)?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut bytes);
        Ok(Some(Sealed {
            key: key.id.clone(),
            data: STANDARD.encode(whole),
        }))
    }

    /// Decrypts what [`Keyring::seal`] made for this place.
    pub(super) fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<String, Refusal> {
        let key = self
            .keys
            .iter()
            .find(|key| key.id == sealed.key)
            .ok_or_else(|| Refusal::UnknownKey(sealed.key.clone()))?;
        let wrong = || Refusal::WrongKey(sealed.key.clone());
        let whole = STANDARD.decode(&sealed.data).map_err(|_| wrong())?;
        let (nonce, bytes) = whole.split_at_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut bytes = bytes.to_vec();
        let clear = key
            .cipher
            .open_in_place(nonce, Aad::from(place.bound_to(&key.id)), &mut bytes)
            .map_err(|_| wrong())?;
        String::from_utf8(clear.to_vec()).map_err(|_| wrong())
    }
}

/// Where a sealed value stands; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row: its key's columns.
    pub row: &'a [&'a str],
    /// The column or attribute.
    pub attribute: &'a str,
}

/// An encrypted text and the id of its key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Sealed {
    /// Which key opens it.
    pub key: String,
    /// Nonce, cipher text and tag in base64.
    pub data: String,
}

impl Place<'_> {
    /// Every part behind its length, so that no two places can be read as one.
    fn bound_to(&self, key: &str) -> Vec<u8> {
        let parts = [self.table, self.attribute, key];
        let mut bytes = Vec::new();
        for part in parts.iter().chain(self.row) {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}

impl Key {
    fn read(word: &str, position: usize) -> Result<Self, KeyError> {
        let (id, encoded) = match word.split_once(':') {
            Some((id, encoded)) => (Some(id), encoded),
            None => (None, word),
        };
        let bytes = STANDARD
            .decode(encoded)
            .map(Zeroizing::new)
            .map_err(|_| KeyError::NotBase64(position))?;
        let wrong_length = || KeyError::WrongLength {
            position,
            length: bytes.len(),
        };
        let cipher = match bytes.len() {
            32 => RandomizedNonceKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| wrong_length())?,
            _ => return Err(wrong_length()),
        };
        let id = match id {
            Some(id) if is_id(id) => id.to_owned(),
            Some(_) => return Err(KeyError::BadId(position)),
            None => hexadecimal(&Sha256::digest(&*bytes))
                .chars()
                .take(8)
                .collect(),
        };
        Ok(Self { id, cipher })
    }
}

fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_')
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    const TWO: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=";

    fn place<'a>(row: &'a [&'a str], attribute: &'a str) -> Place<'a> {
        Place {
            table: "table",
            row,
            attribute,
        }
    }

    #[test]
    fn keys_are_read_with_and_without_ids() {
        let ring = Keyring::from_base64(&format!("{ONE}, b:{TWO}\n")).unwrap();
        let ids: Vec<&str> = ring.ids().collect();
        assert_eq!(ids, ["861009ec", "b"]);
        assert!(Keyring::from_base64(" ").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        let error = |text: &str| Keyring::from_base64(text).unwrap_err();
        assert_eq!(error("secret!"), KeyError::NotBase64(1));
        let short = KeyError::WrongLength {
            position: 2,
            length: 6,
        };
        assert_eq!(error(&format!("{ONE} c2VjcmV0")), short);
        assert_eq!(error(&format!("a b:{TWO}")), KeyError::NotBase64(1));
        assert_eq!(error(&format!(":{TWO}")), KeyError::BadId(1));
        assert_eq!(error(&format!("{ONE} {ONE}")), KeyError::SameId(2));
        let ring = Keyring::from_base64(ONE).unwrap();
        assert_eq!(format!("{ring:?}"), "[\"861009ec\"]");
    }

    #[test]
    fn what_is_sealed_opens_only_in_its_place_and_untouched() {
        let ring = Keyring::from_base64(&format!("a:{ONE} b:{TWO}")).unwrap();
        let sealed = ring
            .seal(&place(&["x", "y"], "z"), "clear")
            .unwrap()
            .unwrap();
        assert_eq!(sealed.key, "a");
        let again = ring
            .seal(&place(&["x", "y"], "z"), "clear")
            .unwrap()
            .unwrap();
        assert_ne!(sealed, again, "a fresh nonce each time");
        assert_eq!(
            ring.open(&place(&["x", "y"], "z"), &sealed).unwrap(),
            "clear"
        );
        let wrong = Err(Refusal::WrongKey("a".into()));
        assert_eq!(ring.open(&place(&["xy"], "z"), &sealed), wrong);
        assert_eq!(ring.open(&place(&["x", "y"], "w"), &sealed), wrong);
        for data in ["", "AAAA", "%", &sealed.data.replace('A', "B")] {
            let changed = Sealed {
                key: "a".into(),
                data: format!("{data}AAAA"),
            };
            assert_eq!(ring.open(&place(&["x", "y"], "z"), &changed), wrong);
        }
        let other = Sealed {
            key: "b".into(),
            ..sealed.clone()
        };
        let wrong = Err(Refusal::WrongKey("b".into()));
        assert_eq!(ring.open(&place(&["x", "y"], "z"), &other), wrong);
        let none = Keyring::default();
        let unknown = Err(Refusal::UnknownKey("a".into()));
        assert_eq!(none.open(&place(&["x", "y"], "z"), &sealed), unknown);
        assert_eq!(none.seal(&place(&["x"], "z"), "clear"), Ok(None));
    }
}
