//! Distinguished names as text (RFC 4514).

/// A distinguished name: its components, the entry's own first, and the text of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dn {
    rdns: Vec<Rdn>,
}

/// One component: what names an entry below its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rdn {
    /// Attributes and their values, not escaped.
    pub parts: Vec<(String, String)>,
    text: String,
}

impl Dn {
    /// Reads a name; none where the text is none. The empty text is the root's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rdns = Vec::new();
        if !text.trim_matches(' ').is_empty() {
            for part in split(text, &[',', ';']) {
                rdns.push(Rdn::parse(part)?);
            }
        }
        Some(Self { rdns })
    }

    /// The entry's own component; none for the root.
    #[must_use]
    pub fn first(&self) -> Option<&Rdn> {
        self.rdns.first()
    }

    /// The parent's name.
    #[must_use]
    pub fn parent(&self) -> String {
        let texts: Vec<&str> = self.rdns.iter().skip(1).map(|rdn| &*rdn.text).collect();
        texts.join(",")
    }

    /// Whether both name the same entry, as far as that can be said without the server's schema:
    /// case and spaces around components do not count.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }

    /// Whether the name is at or below another.
    #[must_use]
    pub fn is_within(&self, top: &Self) -> bool {
        self.folded().ends_with(&top.folded())
    }

    /// The name as a server writes it: nothing around the separators, and what must be escaped by its
    /// number. `attribute` gives the server's own name of one. None where a value is in a form whose
    /// text is not known here.
    #[must_use]
    pub fn rewritten(&self, attribute: impl Fn(&str) -> String) -> Option<String> {
        let rdn = |rdn: &Rdn| -> Option<String> {
            let parts = rdn.parts.iter().map(|(name, value)| {
                (!value.starts_with('#')).then(|| (attribute(name), value.clone()))
            });
            let parts = parts.collect::<Option<Vec<_>>>()?;
            Some(Rdn::new(parts).text)
        };
        let rdns = self.rdns.iter().map(rdn).collect::<Option<Vec<_>>>()?;
        Some(rdns.join(","))
    }

    fn folded(&self) -> Vec<Vec<(String, String)>> {
        self.rdns.iter().map(Rdn::folded).collect()
    }
}

impl Rdn {
    /// A component of these attributes and values.
    #[must_use]
    pub fn new(parts: Vec<(String, String)>) -> Self {
        let texts: Vec<String> = parts
            .iter()
            .map(|(attribute, value)| format!("{attribute}={}", escaped(value)))
            .collect();
        Self {
            parts,
            text: texts.join("+"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let parts = split(text, &['+'])
            .into_iter()
            .map(|part| {
                let (attribute, value) = part.split_once('=')?;
                let attribute = attribute.trim();
                let is_name =
                    |letter: char| letter.is_ascii_alphanumeric() || "-.;_".contains(letter);
                (!attribute.is_empty() && attribute.chars().all(is_name))
                    .then(|| Some((attribute.to_owned(), unescaped(value)?)))
                    .flatten()
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            parts,
            text: trimmed(text).to_owned(),
        })
    }

    /// As text, escaped.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of an attribute in it.
    #[must_use]
    pub fn value(&self, attribute: &str) -> Option<&str> {
        self.parts
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(attribute))
            .map(|(_, value)| value.as_str())
    }

    fn folded(&self) -> Vec<(String, String)> {
        let mut parts: Vec<_> = self
            .parts
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_lowercase()))
            .collect();
        parts.sort_unstable();
        parts
    }
}

/// A value as it stands in a name. What must be escaped is escaped by its number (RFC 4514, 2.4),
/// which every server reads.
#[must_use]
pub fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, letter) in value.chars().enumerate() {
        let at_edge = index == 0 || index == last;
        let special = matches!(letter, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=')
            || letter.is_ascii_control()
            || (letter == ' ' && at_edge)
            || (letter == '#' && index == 0);
        if special {
            text.push_str(&format!("\\{:02X}", u32::from(letter)));
        } else {
            text.push(letter);
        }
    }
    text
}

/// The value that an escaped text stands for; a value in hexadecimal (`#…`) stays as it is.
fn unescaped(text: &str) -> Option<String> {
    let text = text.trim_start_matches(' ');
    let mut bytes = Vec::with_capacity(text.len());
    // Spaces at the end do not count unless they are escaped.
    let mut kept = 0;
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            if byte != b' ' {
                kept = bytes.len();
            }
            continue;
        }
        let first = rest.next()?;
        match hex(first) {
            Some(high) => bytes.push(high * 16 + hex(rest.next()?)?),
            None => bytes.push(first),
        }
        kept = bytes.len();
    }
    bytes.truncate(kept);
    String::from_utf8(bytes).ok()
}

/// Without the spaces around it that do not count; an escaped one does. No other white space is
/// meant (RFC 4514, section 2.4).
fn trimmed(text: &str) -> &str {
    let text = text.trim_start_matches(' ');
    let bare = text.trim_end_matches(' ');
    let slashes = bare.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if slashes % 2 == 1 && bare.len() < text.len() {
        text.get(..=bare.len()).unwrap_or(text)
    } else {
        bare
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// The parts between separators that are not escaped.
fn split<'a>(text: &'a str, separators: &[char]) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, letter) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if separators.contains(&letter) {
            parts.push(text.get(start..index).unwrap_or_default());
            start = index + letter.len_utf8();
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_rfc_4514_writes_them() {
        let dn = Dn::parse(r"CN=Steve\, Kille+uid=s\2Bk , ou=People,dc=x").unwrap();
        let first = dn.first().unwrap();
        assert_eq!(first.value("cn"), Some("Steve, Kille"));
        assert_eq!(first.value("uid"), Some("s+k"));
        assert_eq!(first.value("sn"), None);
        assert_eq!(dn.parent(), "ou=People,dc=x");
        assert_eq!(
            Dn::parse(r"cn=a\20\ ")
                .unwrap()
                .first()
                .unwrap()
                .value("cn"),
            Some("a  ")
        );
        assert_eq!(Dn::parse("").unwrap().first(), None);
        for wrong in ["people", "=x", "cn=a,,dc=x", r"cn=a\", r"cn=\ZZ\4", "c n=a"] {
            assert!(Dn::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn case_and_spaces_make_no_other_name() {
        let same =
            |left: &str, right: &str| Dn::parse(left).unwrap().is_same(&Dn::parse(right).unwrap());
        assert!(same("uid=A, DC=x", "UID=a,dc=X"));
        assert!(same("cn=a+uid=b,dc=x", "uid=b+cn=a,dc=x"));
        assert!(!same("uid=a,dc=x", "uid=a,dc=y"));
        let within =
            |one: &str, top: &str| Dn::parse(one).unwrap().is_within(&Dn::parse(top).unwrap());
        assert!(within("uid=a,ou=b,dc=x", "OU=B,dc=x"));
        assert!(!within("dc=x", "ou=b,dc=x"));
    }

    #[test]
    fn a_name_is_rewritten_as_a_server_does() {
        let dn = Dn::parse(r"UID=Bo\,b , ou=People+CN=x;dc=x").unwrap();
        let written = dn.rewritten(str::to_lowercase);
        assert_eq!(written.as_deref(), Some(r"uid=Bo\2Cb,ou=People+cn=x,dc=x"));
        let bytes = Dn::parse("1.2.3=#0401ff,dc=x").unwrap();
        assert_eq!(bytes.rewritten(str::to_lowercase), None);
    }

    #[test]
    fn an_escaped_space_at_the_end_stays() {
        let dn = Dn::parse("cn=a\\  , dc=x").unwrap();
        assert_eq!(dn.first().unwrap().value("cn"), Some("a "));
        assert_eq!(dn.first().unwrap().text(), "cn=a\\ ");
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value in "\\PC{1,20}|[ #,+\"\\\\<>;=\u{0}-\u{1f}a]{1,12}") {
            let rdn = Rdn::new(vec![("cn".into(), value.clone()), ("uid".into(), "x".into())]);
            let dn = Dn::parse(&format!("{},dc=x", rdn.text())).unwrap();
            prop_assert_eq!(dn.first().unwrap().value("cn"), Some(&*value));
            prop_assert_eq!(dn.first().unwrap().value("uid"), Some("x"));
            prop_assert_eq!(dn.parent(), "dc=x");
        }
    }
}
