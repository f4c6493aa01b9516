//! What an attribute is (RFC 7643, section 7).
use serde_json::{Value, json};

use crate::model::filter::Texts;

/// An attribute, or one of a complex attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// Whether it has a list of values.
    pub multi_valued: bool,
    /// What it is, for people.
    pub description: String,
    /// Whether every resource has one.
    pub required: bool,
    /// Whether the case of its texts matters.
    pub case_exact: bool,
    /// Who may write it.
    pub mutability: Mutability,
    /// When it is shown.
    pub returned: Returned,
    /// How far its values are unique.
    pub uniqueness: Uniqueness,
    /// Values that are suggested.
    pub canonical: Vec<String>,
    /// What a reference leads to: names of resource types, `external`, `uri`.
    pub references: Vec<String>,
    /// What a complex attribute consists of.
    pub sub: Vec<Attribute>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident => $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$inner])* $variant,)* }

        impl $name {
            /// Every one with its word.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$variant, $word),)*];

            /// The word in schemas.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What a word means.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().find(|(_, known)| *known == word).map(|(one, _)| *one)
            }
        }
    };
}

words! {
    /// What values are.
    Kind {
        /// Text.
        String => "string",
        /// True or false.
        Boolean => "boolean",
        /// A number.
        Decimal => "decimal",
        /// A whole number.
        Integer => "integer",
        /// A moment.
        DateTime => "dateTime",
        /// Bytes in base64.
        Binary => "binary",
        /// An address.
        Reference => "reference",
        /// Made of other attributes.
        Complex => "complex",
    }
}

words! {
    /// Who may write an attribute.
    Mutability {
        /// The service alone.
        ReadOnly => "readOnly",
        /// Everybody.
        ReadWrite => "readWrite",
        /// Everybody, once.
        Immutable => "immutable",
        /// Everybody, and nobody reads it.
        WriteOnly => "writeOnly",
    }
}

words! {
    /// When an attribute is shown.
    Returned {
        /// Always.
        Always => "always",
        /// Never.
        Never => "never",
        /// Unless something else is asked for.
        Default => "default",
        /// Where it is asked for by name.
        Request => "request",
    }
}

words! {
    /// How far values are unique.
    Uniqueness {
        /// Not at all.
        None => "none",
        /// Among the resources of the type.
        Server => "server",
        /// Everywhere.
        Global => "global",
    }
}

impl Attribute {
    /// An optional attribute that everybody writes and reads.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            multi_valued: false,
            description: String::new(),
            required: false,
            case_exact: false,
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            uniqueness: Uniqueness::None,
            canonical: Vec::new(),
            references: Vec::new(),
            sub: Vec::new(),
        }
    }

    /// Whether this is its name; names ignore case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// One of the attributes that it consists of.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Self> {
        self.sub.iter().find(|part| part.is(name))
    }

    /// Whether clients may write it.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.mutability != Mutability::ReadOnly
    }

    /// Whether anybody may see it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.returned != Returned::Never && self.mutability != Mutability::WriteOnly
    }

    /// What its texts stand for in comparisons.
    #[must_use]
    pub fn texts(&self) -> Texts {
        match self.kind {
            Kind::DateTime => Texts::Moments,
            Kind::Reference | Kind::Binary => Texts::Exact,
            _ if self.case_exact => Texts::Exact,
            _ => Texts::Folded,
        }
    }

    /// As `/Schemas` describes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut described = json!({
            "name": self.name,
            "type": self.kind.as_str(),
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
            "caseExact": self.case_exact,
            "mutability": self.mutability.as_str(),
            "returned": self.returned.as_str(),
            "uniqueness": self.uniqueness.as_str(),
        });
        let Some(members) = described.as_object_mut() else {
            return described;
        };
        if !self.canonical.is_empty() {
            members.insert("canonicalValues".into(), json!(self.canonical));
        }
        if self.kind == Kind::Reference {
            members.insert("referenceTypes".into(), json!(self.references));
        }
        if self.kind == Kind::Complex {
            members.shift_remove("caseExact");
            members.shift_remove("uniqueness");
            let sub: Vec<Value> = self.sub.iter().map(Self::to_json).collect();
            members.insert("subAttributes".into(), Value::Array(sub));
        }
        described
    }
}
