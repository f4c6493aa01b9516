//! The server's schema, as its subschema entry tells it (RFC 4512, 4.2).
use std::collections::{BTreeMap, BTreeSet};

/// Attribute types and object classes; empty where the server does not show them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    /// By every name and number, in lower case.
    attributes: BTreeMap<String, Attribute>,
    classes: BTreeSet<String>,
}

/// What is known of an attribute type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its first name.
    pub name: String,
    /// What its values are.
    pub syntax: Syntax,
    /// Whether one of its values can be named: compared, removed, searched for.
    pub has_equality: bool,
    /// Whether two values that differ in case only are one.
    pub ignores_case: bool,
    /// Whether its values are names of entries.
    pub holds_names: bool,
    /// Whether parts of its values can be searched for.
    pub has_substrings: bool,
    /// Whether users may write it.
    pub is_writable: bool,
    /// Whether other types are kinds of it, which a search for it finds too.
    pub has_kinds: bool,
}

/// What an attribute's values are, as far as JSON tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Text.
    Text,
    /// `TRUE` or `FALSE`.
    Boolean,
    /// A whole number.
    Integer,
    /// Bytes that are no text.
    Binary,
}

/// A definition as written, before what it inherits is filled in.
#[derive(Debug, Default)]
struct Definition {
    names: Vec<String>,
    superior: Option<String>,
    /// The matching rule; none: it has none of its own.
    equality: Option<String>,
    substrings: bool,
    syntax: Option<String>,
    unwritable: bool,
}

impl Schema {
    /// Reads the values of `attributeTypes` and `objectClasses`. What cannot be read is left out.
    #[must_use]
    pub fn parse(attribute_types: &[String], object_classes: &[String]) -> Self {
        let definitions: Vec<Definition> = attribute_types
            .iter()
            .filter_map(|text| definition(text))
            .collect();
        let superiors: BTreeSet<String> = definitions
            .iter()
            .filter_map(|definition| Some(definition.superior.as_ref()?.to_lowercase()))
            .collect();
        // Active Directory names no matching rules at all, and has them all the same.
        let tells_rules = definitions
            .iter()
            .any(|definition| definition.equality.is_some());
        let mut by_name = BTreeMap::new();
        for (index, definition) in definitions.iter().enumerate() {
            for name in &definition.names {
                by_name.insert(name.to_lowercase(), index);
            }
        }
        let attributes = by_name
            .iter()
            .filter_map(|(name, index)| {
                let mut attribute = attribute(*index, &definitions, &by_name)?;
                let mut names = definitions.get(*index)?.names.iter();
                attribute.has_equality |= !tells_rules && attribute.syntax != Syntax::Binary;
                attribute.has_kinds = names.any(|own| superiors.contains(&own.to_lowercase()));
                Some((name.clone(), attribute))
            })
            .collect();
        let classes = object_classes
            .iter()
            .filter_map(|text| definition(text))
            .flat_map(|definition| definition.names)
            .map(|name| name.to_lowercase())
            .collect();
        Self {
            attributes,
            classes,
        }
    }

    /// Whether the server shows its schema.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.attributes.is_empty()
    }

    /// The type of an attribute; options after its name (`;lang-de`) make no difference.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        let base = name.split(';').next().unwrap_or(name);
        self.attributes.get(&base.to_lowercase())
    }

    /// Whether there is an object class of this name.
    #[must_use]
    pub fn has_class(&self, name: &str) -> bool {
        self.classes.contains(&name.to_lowercase())
    }
}

fn attribute(
    index: usize,
    definitions: &[Definition],
    by_name: &BTreeMap<String, usize>,
) -> Option<Attribute> {
    let own = definitions.get(index)?;
    let mut found = Attribute {
        name: own.names.first()?.clone(),
        syntax: Syntax::Text,
        has_equality: false,
        ignores_case: false,
        holds_names: false,
        has_substrings: own.substrings,
        is_writable: !own.unwritable,
        has_kinds: false,
    };
    let mut equality = own.equality.clone();
    let mut syntax = own.syntax.clone();
    let mut superior = own.superior.clone();
    // A chain that is longer than this is a circle.
    for _ in 0..32 {
        let Some(parent) = superior
            .and_then(|name| by_name.get(&name.to_lowercase()))
            .and_then(|index| definitions.get(*index))
        else {
            break;
        };
        equality = equality.or_else(|| parent.equality.clone());
        found.has_substrings |= parent.substrings;
        syntax = syntax.or_else(|| parent.syntax.clone());
        superior = parent.superior.clone();
    }
    found.syntax = syntax_of(syntax.as_deref());
    found.has_equality = equality.is_some();
    found.ignores_case = equality.is_some_and(|rule| {
        let rule = rule.to_ascii_lowercase();
        CASE_IGNORING.iter().any(|known| *known == rule)
    });
    found.holds_names = syntax.as_deref() == Some(DISTINGUISHED_NAME);
    Some(found)
}

/// The matching rules of RFC 4517, 4.2, that see no case, by name and by number, in lower case.
const CASE_IGNORING: [&str; 6] = [
    "caseignorematch",
    "2.5.13.2",
    "caseignoreia5match",
    "1.3.6.1.4.1.1466.109.114.2",
    "caseignorelistmatch",
    "2.5.13.11",
];

/// The syntax of names of entries (RFC 4517, 3.3.9).
const DISTINGUISHED_NAME: &str = "1.3.6.1.4.1.1466.115.121.1.12";

/// The syntaxes of RFC 4517, 3.3, that are neither text nor written as text.
fn syntax_of(number: Option<&str>) -> Syntax {
    let Some(last) = number.and_then(|number| number.strip_prefix("1.3.6.1.4.1.1466.115.121.1."))
    else {
        return Syntax::Text;
    };
    match last {
        "7" => Syntax::Boolean,
        "27" => Syntax::Integer,
        // Audio, Binary, Certificate, Certificate List, Certificate Pair, Fax, JPEG, Octet String.
        "4" | "5" | "8" | "9" | "10" | "23" | "28" | "40" => Syntax::Binary,
        _ => Syntax::Text,
    }
}

/// Reads `( OID NAME … )` as far as it is of use here.
fn definition(text: &str) -> Option<Definition> {
    let mut tokens = tokens(text).into_iter().peekable();
    (tokens.next()? == "(").then_some(())?;
    let number = tokens.next()?;
    let mut found = Definition::default();
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "NAME" => {
                if tokens.next_if(|token| token == "(").is_some() {
                    found
                        .names
                        .extend(tokens.by_ref().take_while(|token| token != ")"));
                } else {
                    found.names.extend(tokens.next());
                }
            }
            "SUP" => found.superior = tokens.next(),
            "EQUALITY" => found.equality = tokens.next(),
            "SUBSTR" => found.substrings = tokens.next().is_some(),
            "SYNTAX" => {
                let syntax = tokens.next()?;
                found.syntax = syntax.split('{').next().map(str::to_owned);
            }
            "NO-USER-MODIFICATION" => found.unwritable = true,
            "DESC" => drop(tokens.next()),
            _ => {}
        }
    }
    found.names.push(number);
    Some(found)
}

/// Parentheses, words, and texts in single quotes without these.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, left) = match first {
            '(' | ')' => rest.split_at(1),
            '\'' => {
                let inner = rest.get(1..).unwrap_or_default();
                inner.split_once('\'').unwrap_or((inner, ""))
            }
            _ => {
                let ends = |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')');
                rest.split_at(rest.find(ends).unwrap_or(rest.len()))
            }
        };
        tokens.push(token.to_owned());
        rest = left.trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_inherit_what_they_do_not_say() {
        let types = [
            "( 2.5.4.41 NAME 'name' DESC 'a (odd) one' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{32768} )",
            "( 2.5.4.4 NAME ( 'sn' 'surname' ) SUP name )",
            "( 1.3.6.1.1.1.1.0 NAME 'uidNumber' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )",
            "( 0.9.2342.19200300.100.1.60 NAME 'jpegPhoto' SYNTAX 1.3.6.1.4.1.1466.115.121.1.28 )",
            "( 1.3.6.1.1.16.4 NAME 'entryUUID' EQUALITY UUIDMatch SYNTAX 1.3.6.1.1.16.1 SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )",
            "( 1.1 NAME 'self' SUP self )",
            "no definition",
        ]
        .map(str::to_owned);
        let classes = ["( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST ( sn $ cn ) )".to_owned()];
        let schema = Schema::parse(&types, &classes);
        let surname = schema.attribute("SURNAME;lang-de").unwrap();
        assert_eq!(surname.name, "sn");
        assert!(surname.has_equality && surname.has_substrings && surname.is_writable);
        assert!(surname.ignores_case && !schema.attribute("uidNumber").unwrap().ignores_case);
        assert_eq!(schema.attribute("2.5.4.4"), Some(surname));
        assert_eq!(
            schema.attribute("uidnumber").unwrap().syntax,
            Syntax::Integer
        );
        let photo = schema.attribute("jpegPhoto").unwrap();
        assert!(photo.syntax == Syntax::Binary && !photo.has_equality);
        assert!(!schema.attribute("entryUUID").unwrap().is_writable);
        assert!(schema.attribute("self").is_some());
        assert!(schema.attribute("name").unwrap().has_kinds && !surname.has_kinds);
        assert!(schema.has_class("PERSON") && schema.has_class("2.5.6.6"));
        assert!(!schema.has_class("ghost"));
        assert!(!Schema::default().is_known());
    }

    #[test]
    fn where_no_rule_is_told_what_is_no_bytes_can_be_compared() {
        let types = [
            "( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' SINGLE-VALUE )",
            "( 2.5.4.31 NAME 'member' SYNTAX '1.3.6.1.4.1.1466.115.121.1.12' )",
            "( 2.5.4.35 NAME 'userPassword' SYNTAX '1.3.6.1.4.1.1466.115.121.1.40' )",
        ]
        .map(str::to_owned);
        let schema = Schema::parse(&types, &[]);
        for (name, can) in [
            ("sAMAccountName", true),
            ("member", true),
            ("userPassword", false),
        ] {
            assert_eq!(schema.attribute(name).unwrap().has_equality, can, "{name}");
            let holds_names = schema.attribute(name).unwrap().holds_names;
            assert_eq!(holds_names, name == "member", "{name}");
        }
    }
}
