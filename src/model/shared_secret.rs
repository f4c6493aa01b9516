//! What both ends of a webhook sign with: `whsec_` and base64 is a key's bytes, any other text is the
//! key itself.
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What stands before a secret of Standard Webhooks.
const PREFIX: &str = "whsec_";
/// The fewest bytes that nobody guesses.
const FEWEST: usize = 16;

/// Why a text is no secret; it is never quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Anybody could sign with it.
    #[error("the secret is empty: anybody could sign with it")]
    Empty,
    /// It can be guessed.
    #[error("the secret is short: it needs at least {FEWEST} bytes")]
    Short,
    /// It says that it is base64 and is not.
    #[error("what stands behind `{PREFIX}` is no base64")]
    Encoding,
}

/// The bytes to sign with; never none at all.
///
/// # Errors
/// Where there are none, or they cannot be read. Short ones are taken: [`check`] tells of them.
pub fn key(text: &str) -> Result<Vec<u8>, Problem> {
    let bytes = match text.strip_prefix(PREFIX) {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| Problem::Encoding)?,
        None => text.as_bytes().to_vec(),
    };
    if bytes.is_empty() {
        return Err(Problem::Empty);
    }
    Ok(bytes)
}

/// Whether a text may be a secret.
///
/// # Errors
/// Why not.
pub fn check(text: &str) -> Result<(), Problem> {
    match key(text)?.len() {
        0..FEWEST => Err(Problem::Short),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_bytes_and_enough_of_them() {
        assert_eq!(check(""), Err(Problem::Empty));
        assert_eq!(check("whsec_"), Err(Problem::Empty));
        assert_eq!(check("whsec_MTIz"), Err(Problem::Short));
        assert_eq!(check("whsec_no base64 at all!"), Err(Problem::Encoding));
        assert_eq!(check("fifteen bytes.."), Err(Problem::Short));
        assert_eq!(check("sixteen bytes..."), Ok(()));
        assert_eq!(check("whsec_MDEyMzQ1Njc4OWFiY2RlZg=="), Ok(()));
        assert_eq!(key("whsec_MTIz").unwrap(), b"123");
        assert_eq!(key("123").unwrap(), b"123");
    }
}
