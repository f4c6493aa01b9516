//! Values that come in pieces: a server may give the first of many only, and say so in the
//! attribute's name (`member;range=0-1499`), as Active Directory does.
use super::session::Entry;

/// A piece of an attribute's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The attribute as the server wrote it.
    pub shown: String,
    /// The attribute's name without the range.
    pub name: String,
    /// The number of the first value that is still missing; none where this was the last piece.
    pub next: Option<u64>,
}

impl Piece {
    /// Reads the name of an attribute; none where it is no piece of one.
    #[must_use]
    pub fn parse(shown: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut range = None;
        for part in shown.split(';') {
            match part.to_ascii_lowercase().strip_prefix("range=") {
                Some(text) => range = Some(text.to_owned()),
                None => parts.push(part),
            }
        }
        let range = range?;
        let (first, last) = range.split_once('-')?;
        first.parse::<u64>().ok()?;
        let next = match last {
            "*" => None,
            last => Some(last.parse::<u64>().ok()?.checked_add(1)?),
        };
        Some(Self {
            shown: shown.to_owned(),
            name: parts.join(";"),
            next,
        })
    }

    /// The first piece among an entry's attributes.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Self> {
        entry.attributes.keys().find_map(|name| Self::parse(name))
    }

    /// What to ask for to get the values from this number on.
    #[must_use]
    pub fn from(&self, next: u64) -> String {
        format!("{};range={next}-*", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_piece_says_where_the_next_one_begins() {
        for (shown, name, next) in [
            ("member;range=0-1499", "member", Some(1500)),
            ("member;Range=1500-*", "member", None),
            ("cn;lang-de;range=0-4;x-a", "cn;lang-de;x-a", Some(5)),
        ] {
            let piece = Piece::parse(shown).unwrap();
            assert_eq!((piece.name.as_str(), piece.next), (name, next), "{shown}");
        }
        for whole in ["member", "cn;lang-de", "member;range=x-1", "member;range=1"] {
            assert_eq!(Piece::parse(whole), None, "{whole}");
        }
        let piece = Piece::parse("member;range=0-1499").unwrap();
        assert_eq!(piece.from(1500), "member;range=1500-*");
    }
}
