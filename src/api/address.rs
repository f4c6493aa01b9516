//! The address of a request, decoded strictly: path segments and query parameters.
use super::error::{Failure, Result};

/// The longest id, in bytes, that an address or a body may give an object.
const LONGEST_ID: usize = 255;

/// The segments of a path, each decoded on its own, so that an id may hold an encoded slash.
pub(super) fn segments(path: &str) -> Result<Vec<String>> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| decode(segment, Plus::Literal))
        .collect()
}

/// The parameters of a query, in order.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, Plus::Space)?, decode(value, Plus::Space)?))
        })
        .collect()
}

/// An object's id as a client may choose it.
pub(super) fn checked_id(id: &str) -> Result<&str> {
    if id.is_empty() {
        return Err(Failure::bad("an id must not be empty"));
    }
    if id.len() > LONGEST_ID {
        return Err(Failure::bad(format!(
            "an id may have at most {LONGEST_ID} bytes, this one has {}",
            id.len()
        )));
    }
    if let Some(at) = id.chars().position(char::is_control) {
        return Err(Failure::bad(format!(
            "an id must not hold control characters, this one has one at character {at}"
        )));
    }
    Ok(id)
}

/// What `+` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plus {
    /// Itself, as in paths.
    Literal,
    /// A space, as in queries.
    Space,
}

fn decode(text: &str, plus: Plus) -> Result<String> {
    let has_plus = plus == Plus::Space && text.contains('+');
    if !has_plus && !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes().enumerate();
    while let Some((at, byte)) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = (hexadecimal(rest.next()), hexadecimal(rest.next()));
                let (Some(high), Some(low)) = digits else {
                    return Err(Failure::bad(format!(
                        "`{text}` is not percent-encoded: expected two hexadecimal digits after `%` at {at}"
                    )));
                };
                high * 16 + low
            }
            b'+' if plus == Plus::Space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        Failure::bad(format!(
            "`{text}` does not decode to UTF-8: byte {} is wrong",
            error.utf8_error().valid_up_to()
        ))
    })
}

fn hexadecimal(byte: Option<(usize, u8)>) -> Option<u8> {
    let (_, byte) = byte?;
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_keep_encoded_slashes_and_pluses() {
        assert_eq!(
            segments("/managed/user/a%2Fb+%c3%A4").unwrap(),
            ["managed", "user", "a/b+ä"]
        );
    }

    #[test]
    fn queries_are_decoded_as_forms() {
        assert_eq!(
            pairs("_queryFilter=name+eq+%22a%26b%22&x&&_pageSize=1=2").unwrap(),
            [
                ("_queryFilter".into(), "name eq \"a&b\"".into()),
                ("x".into(), String::new()),
                ("_pageSize".into(), "1=2".into())
            ]
        );
    }

    #[test]
    fn wrong_encodings_are_told_with_their_place() {
        for (text, told) in [
            ("/managed/user/%", "at 0"),
            ("/managed/user/ab%g1", "at 2"),
            ("/managed/user/a%2", "at 1"),
            ("/managed/user/a%ff", "byte 1"),
            ("/managed/user/%c3%28", "byte 0"),
        ] {
            let failure = segments(text).unwrap_err();
            assert_eq!(failure.code(), 400);
            assert!(failure.message().contains(told), "{}", failure.message());
        }
    }

    #[test]
    fn ids_are_bounded_and_printable() {
        assert!(checked_id("a/b c").is_ok());
        for id in ["", "a\0", "a\nb", &"x".repeat(256)] {
            assert_eq!(checked_id(id).unwrap_err().code(), 400);
        }
    }
}
