//! Roles: what somebody may be to Recant (SPEC 8).
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What somebody may be to Recant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Asks for changes and reads objects.
    Caller,
    /// Edits scripts, looks after configuration and connectors.
    HookAdmin,
    /// Reads what happened.
    Auditor,
    /// May do everything.
    Admin,
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Roles(u8);

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Caller, Self::HookAdmin, Self::Auditor, Self::Admin];

    /// The word for it in tokens, settings and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::HookAdmin => "hook-admin",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// The role with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Roles {
    /// No role at all.
    pub const NONE: Self = Self(0);
    /// Every role.
    pub const ALL: Self = Self::of(&Role::ALL);

    /// These roles.
    #[must_use]
    pub const fn of(roles: &[Role]) -> Self {
        let (mut bits, mut rest) = (0, roles);
        while let [first, others @ ..] = rest {
            bits |= first.bit();
            rest = others;
        }
        Self(bits)
    }

    /// The roles with these words; words that mean nothing give nothing.
    pub fn named<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Self {
        words
            .into_iter()
            .filter_map(|word| Role::parse(word.as_ref()))
            .fold(Self::NONE, |roles, role| roles.or(Self::of(&[role])))
    }

    /// Those of either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether both have a role in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether this role is among them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// The set as a number below 16.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    /// Their words.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        self.iter().map(Role::as_str).collect()
    }
}

/// As a list of words.
impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.words().serialize(serializer)
    }
}

/// From a list of words, each of which must be a role.
impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        match words.iter().find(|word| Role::parse(word).is_none()) {
            Some(word) => Err(D::Error::custom(format!("`{word}` is no role"))),
            None => Ok(Self::named(words)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_roles_are_the_same_both_ways() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert!(Roles::ALL.has(role));
            assert!(!Roles::NONE.has(role));
        }
        let some = Roles::named(["auditor", "root", "", "caller"]);
        assert_eq!(some.words(), ["caller", "auditor"]);
        assert!(some.meets(Roles::of(&[Role::Caller])));
        assert!(!some.meets(Roles::of(&[Role::Admin, Role::HookAdmin])));
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<Roles>(&text).unwrap(), some);
        assert!(serde_json::from_str::<Roles>("[\"root\"]").is_err());
    }
}
