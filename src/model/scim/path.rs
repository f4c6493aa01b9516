//! Paths to attributes: `userName`, `name.givenName`, `emails[type eq "work"].value`, each with or
//! without the URN of its schema before it.
use std::fmt;

use super::filter::Filter;
use crate::model::filter::Error;

/// A path to an attribute, or to one of a complex attribute. SCIM's names ignore case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    /// The URN of the schema, where it is named.
    pub schema: Option<String>,
    /// The attribute.
    pub name: String,
    /// The attribute in it.
    pub sub: Option<String>,
}

/// What a PATCH is about: a path, maybe only those of its values that meet a filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The path; its `sub` stands behind the filter.
    pub path: Path,
    /// Which values.
    pub filter: Option<Filter>,
}

impl Path {
    /// The path to a plain attribute.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self {
            schema: None,
            name: name.to_owned(),
            sub: None,
        }
    }

    /// Reads a path.
    ///
    /// # Errors
    /// Says what stands there instead.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| Error {
            position: 0,
            expected: "an attribute, as `userName` or `name.givenName`".to_owned(),
            found: format!("`{}`", text.chars().take(80).collect::<String>()),
        })
    }

    /// The path that a word is, if it is one.
    pub(super) fn read(word: &str) -> Option<Self> {
        let is_urn = word
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("urn:"));
        let (schema, rest) = match word.rsplit_once(':') {
            Some((schema, rest)) if is_urn => (Some(schema.to_owned()), rest),
            Some(_) => return None,
            None => (None, word),
        };
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        (is_name(name) && sub.is_none_or(is_name)).then(|| Self {
            schema,
            name: name.to_owned(),
            sub: sub.map(str::to_owned),
        })
    }
}

impl Target {
    /// Reads what the `path` of a PATCH operation names.
    ///
    /// # Errors
    /// Says where the text stops being a path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        super::read::target(text)
    }
}

/// Whether a text is an attribute's name (RFC 7643, section 2.1, and `$ref`).
pub(super) fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '$');
    let rest = |character: char| character.is_ascii_alphanumeric() || "-_$".contains(character);
    begins && text.chars().all(rest)
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(formatter, "{schema}:")?;
        }
        formatter.write_str(&self.name)?;
        match &self.sub {
            Some(sub) => write!(formatter, ".{sub}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(filter) = &self.filter else {
            return write!(formatter, "{}", self.path);
        };
        let whole = Path {
            sub: None,
            ..self.path.clone()
        };
        write!(formatter, "{whole}[{filter}]")?;
        match &self.path.sub {
            Some(sub) => write!(formatter, ".{sub}"),
            None => Ok(()),
        }
    }
}
