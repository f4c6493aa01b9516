//! Short digests of what a system holds, by which a pair that has not changed is known again.
use sha2::{Digest, Sha256};

use crate::model::{Object, audit::hexadecimal, object::is_meta};

/// 128 bits of a SHA-256 in hexadecimal.
pub type Fingerprint = String;

/// How many bytes of a digest are kept: no two records of a system will ever share them.
const BYTES: usize = 16;

/// The fingerprint of an object's attributes; their order, `_id` and `_rev` do not count.
#[must_use]
pub fn fingerprint(attributes: &Object) -> Fingerprint {
    let mut members: Vec<_> = attributes
        .iter()
        .filter(|(name, value)| !is_meta(name) && !value.is_null())
        .collect();
    members.sort_unstable_by_key(|(name, _)| name.as_str());
    let mut hasher = Sha256::new();
    let mut text = Vec::with_capacity(256);
    for (name, value) in members {
        text.clear();
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut text, value);
        for part in [name.as_bytes(), &text] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    short(hasher)
}

/// The fingerprint of several parts, in order.
#[must_use]
pub fn combined(parts: &[&str]) -> Fingerprint {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    short(hasher)
}

fn short(hasher: Sha256) -> Fingerprint {
    let digest = hasher.finalize();
    hexadecimal(digest.get(..BYTES).unwrap_or(&digest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_and_meta_attributes_do_not_count_but_every_value_does() {
        let of = |value: serde_json::Value| fingerprint(value.as_object().unwrap());
        let one = of(json!({"a": 1, "b": "x", "_rev": "1", "c": null}));
        assert_eq!(one.len(), 32);
        assert_eq!(one, of(json!({"b": "x", "a": 1, "_rev": "2"})));
        assert_ne!(one, of(json!({"b": "x", "a": 2})));
        assert_ne!(one, of(json!({"b": "x", "a": "1"})));
        assert_ne!(of(json!({"a": "bc"})), of(json!({"ab": "c"})));
        assert_ne!(combined(&["ab", "c"]), combined(&["a", "bc"]));
    }
}
