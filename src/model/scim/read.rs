//! The reader of SCIM's filters and paths: recursive descent with a limit on nesting.
use serde_json::Value;

use super::{
    filter::{Filter, RELATIONS},
    path::{Path, Target},
};
use crate::model::filter::{Error, Relation};

/// How deep parentheses, brackets and `not` may nest, so that no text can exhaust the stack.
const NESTING: usize = 50;
const OPERATORS: &str = "an operator (eq, ne, co, sw, ew, lt, le, gt, ge or pr)";
const VALUE: &str = "a value (a text in double quotes, a number, true, false or null)";
const PATH: &str = "an attribute, as `userName` or `name.givenName`";

/// Reads a whole text as a filter.
pub(super) fn filter(text: &str) -> Result<Filter, Error> {
    let mut reader = Reader::new(text);
    let filter = reader.any()?;
    match reader.rest() {
        "" => Ok(filter),
        _ => Err(reader.expected("`and`, `or` or the end")),
    }
}

/// Reads a whole text as what a PATCH is about.
pub(super) fn target(text: &str) -> Result<Target, Error> {
    let mut reader = Reader::new(text);
    let mut path = reader.path()?;
    let mut filter = None;
    if reader.rest().starts_with('[') {
        if path.sub.is_some() {
            return Err(reader.expected("the end: only an attribute's own values are chosen from"));
        }
        let (inner, sub) = reader.brackets()?;
        filter = Some(inner);
        path.sub = sub;
    }
    match reader.rest() {
        "" => Ok(Target { path, filter }),
        _ => Err(reader.expected("`[`, `.` or the end")),
    }
}

fn ends_word(character: char) -> bool {
    character.is_whitespace() || matches!(character, '(' | ')' | '[' | ']' | '"')
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            position: 0,
            depth: 0,
        }
    }

    fn any(&mut self) -> Result<Filter, Error> {
        self.chain("or", Self::all, Filter::Or)
    }

    fn all(&mut self) -> Result<Filter, Error> {
        self.chain("and", Self::one, Filter::And)
    }

    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Filter, Error>,
        join: fn(Vec<Filter>) -> Filter,
    ) -> Result<Filter, Error> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.peek_word().eq_ignore_ascii_case(word) {
            self.take_word();
            parts.push(part(self)?);
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => Ok(join(parts)),
        }
    }

    fn one(&mut self) -> Result<Filter, Error> {
        if self.rest().starts_with('(') {
            return self.parentheses();
        }
        let word = self.peek_word();
        let after = self.unparsed().get(word.len()..).unwrap_or_default();
        if word.eq_ignore_ascii_case("not") && after.trim_start().starts_with('(') {
            self.take_word();
            let inner = self.parentheses()?;
            return Ok(Filter::Not(Box::new(inner)));
        }
        self.comparison()
    }

    fn parentheses(&mut self) -> Result<Filter, Error> {
        self.nested(|reader| {
            reader.open('(')?;
            let inner = reader.any()?;
            reader.close(')', "`)`, `and` or `or`")?;
            Ok(inner)
        })
    }

    /// A filter in brackets, and the attribute of the chosen value that stands behind it.
    fn brackets(&mut self) -> Result<(Filter, Option<String>), Error> {
        let filter = self.nested(|reader| {
            reader.open('[')?;
            let inner = reader.any()?;
            reader.close(']', "`]`, `and` or `or`")?;
            Ok(inner)
        })?;
        if !self.unparsed().starts_with('.') {
            return Ok((filter, None));
        }
        self.position += 1;
        let name = self.take_word();
        match super::path::is_name(name) {
            true => Ok((filter, Some(name.to_owned()))),
            false => Err(self.expected("the name of an attribute after `.`")),
        }
    }

    fn open(&mut self, sign: char) -> Result<(), Error> {
        match self.rest().starts_with(sign) {
            true => {
                self.position += 1;
                Ok(())
            }
            false => Err(self.expected(&format!("`{sign}`"))),
        }
    }

    fn close(&mut self, sign: char, expected: &str) -> Result<(), Error> {
        self.open(sign).map_err(|_| self.expected(expected))
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= NESTING {
            return Err(self.expected("at most 50 nested parentheses and brackets"));
        }
        self.depth += 1;
        let read = inner(self);
        self.depth -= 1;
        read
    }

    fn comparison(&mut self) -> Result<Filter, Error> {
        let path = self.path()?;
        if self.unparsed().starts_with('[') {
            return self.of_element(path);
        }
        self.compared(path)
    }

    /// `emails[type eq "work"]`, and what providers write beyond the standard:
    /// `emails[type eq "work"].value eq "a@x"`.
    fn of_element(&mut self, path: Path) -> Result<Filter, Error> {
        if path.sub.is_some() {
            return Err(
                self.expected("an operator: only an attribute's own values are chosen from")
            );
        }
        let (filter, sub) = self.brackets()?;
        let filter = match sub {
            None => filter,
            Some(sub) => Filter::And(vec![filter, self.compared(Path::of(&sub))?]),
        };
        Ok(Filter::Element {
            path,
            filter: Box::new(filter),
        })
    }

    fn compared(&mut self, path: Path) -> Result<Filter, Error> {
        let word = self.peek_word();
        let is = |known: &str| word.eq_ignore_ascii_case(known);
        if is("pr") {
            self.take_word();
            return Ok(Filter::Present(path));
        }
        let known = RELATIONS.iter().find(|(known, _)| is(known));
        let relation = match known {
            Some((_, relation)) => *relation,
            None if is("ne") => Relation::Equal,
            None => return Err(self.expected(OPERATORS)),
        };
        let negated = is("ne");
        self.take_word();
        let value = self.value()?;
        let compared = Filter::Compare {
            path,
            relation,
            value,
        };
        Ok(match negated {
            true => Filter::Not(Box::new(compared)),
            false => compared,
        })
    }

    fn path(&mut self) -> Result<Path, Error> {
        let word = self.peek_word();
        match Path::read(word) {
            Some(path) => {
                self.take_word();
                Ok(path)
            }
            None => Err(self.expected(PATH)),
        }
    }

    fn value(&mut self) -> Result<Value, Error> {
        let rest = self.rest();
        if rest.starts_with('"') {
            let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            return match texts.next() {
                Some(Ok(text)) => {
                    self.position += texts.byte_offset();
                    Ok(Value::String(text))
                }
                _ => Err(self.expected("a text as in JSON, with its closing quote")),
            };
        }
        let word = self.peek_word();
        let value = match serde_json::from_str(&word.to_ascii_lowercase()) {
            Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => value,
            _ => return Err(self.expected(VALUE)),
        };
        self.take_word();
        Ok(value)
    }

    fn unparsed(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    /// What is left, from the next character that is no space.
    fn rest(&mut self) -> &'a str {
        let rest = self.unparsed().trim_start();
        self.position = self.text.len() - rest.len();
        rest
    }

    fn peek_word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(ends_word).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    fn take_word(&mut self) -> &'a str {
        let word = self.peek_word();
        self.position += word.len();
        word
    }

    fn expected(&mut self, expected: &str) -> Error {
        let word = self.peek_word();
        let found = match word {
            "" => self.unparsed().chars().next().map(String::from),
            word => Some(word.chars().take(40).collect()),
        };
        Error {
            position: self.position,
            expected: expected.to_owned(),
            found: found.map_or_else(|| "the end".to_owned(), |found| format!("`{found}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::filter::Texts;

    fn read(text: &str) -> Filter {
        Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_form_is_read() {
        for (text, printed) in [
            ("userName eq \"bjensen\"", "userName eq \"bjensen\""),
            ("userName Eq \"b\\\"j\"", "userName eq \"b\\\"j\""),
            ("name.familyName co \"O'M\"", "name.familyName co \"O'M\""),
            (
                "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"J\"",
                "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"J\"",
            ),
            ("title pr", "title pr"),
            ("active eq True", "active eq true"),
            ("title ne \"x\"", "not (title eq \"x\")"),
            ("a pr and b pr or c pr", "(a pr and b pr) or c pr"),
            ("a pr and (b pr or c pr)", "a pr and (b pr or c pr)"),
            ("not (a pr) and b gt 3", "not (a pr) and b gt 3"),
            ("not(a pr)", "not (a pr)"),
            (
                "emails[type eq \"work\" and value co \"@x\"] or a pr",
                "emails[type eq \"work\" and value co \"@x\"] or a pr",
            ),
            (
                "emails[type eq \"work\"].value eq \"a@x\"",
                "emails[type eq \"work\" and value eq \"a@x\"]",
            ),
            ("a eq null", "a eq null"),
            ("not eq 1", "not eq 1"),
        ] {
            assert_eq!(read(text).to_string(), printed, "{text}");
            assert_eq!(read(printed), read(text), "{text}");
        }
    }

    #[test]
    fn wrong_filters_are_told_with_their_place() {
        for (text, position, found) in [
            ("", 0, "the end"),
            ("userName", 8, "the end"),
            ("userName is \"x\"", 9, "`is`"),
            ("userName eq 'x'", 12, "`'x'`"),
            ("userName eq \"x", 12, "`\"`"),
            ("(a pr", 5, "the end"),
            ("a pr)", 4, "`)`"),
            ("emails[type eq \"x\"", 18, "the end"),
            ("emails[type eq \"x\"].", 20, "the end"),
            ("a.b.c pr", 0, "`a.b.c`"),
            ("x:y pr", 0, "`x:y`"),
            ("a pr b pr", 5, "`b`"),
        ] {
            let error = Filter::parse(text).expect_err(text);
            assert_eq!(
                (error.position, error.found.as_str()),
                (position, found),
                "{text}: {error}"
            );
        }
        let deep = "(".repeat(100_000);
        assert!(
            Filter::parse(&deep)
                .expect_err("deep")
                .expected
                .contains("50")
        );
        let deep = "a[".repeat(100_000);
        assert!(
            Filter::parse(&deep)
                .expect_err("deep")
                .expected
                .contains("50")
        );
    }

    #[test]
    fn targets_of_a_patch_are_read() {
        let target = |text: &str| Target::parse(text).unwrap_or_else(|error| panic!("{error}"));
        let work = target("emails[type eq \"work\"].value");
        assert_eq!(work.path.sub.as_deref(), Some("value"));
        assert_eq!(
            work.filter.as_ref().and_then(Filter::equalities),
            Some(vec![("type".to_owned(), json!("work"))])
        );
        assert_eq!(work.to_string(), "emails[type eq \"work\"].value");
        let manager =
            target("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value");
        assert_eq!(
            manager.path.schema.as_deref(),
            Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")
        );
        assert_eq!(
            (manager.path.name.as_str(), manager.path.sub.as_deref()),
            ("manager", Some("value"))
        );
        for wrong in [
            "",
            "a b",
            "emails[",
            "emails[type eq \"x\"]value",
            "a.b[c pr]",
            "[a pr]",
        ] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn elements_are_chosen_without_regard_to_case() {
        let element = json!({"type": "Work", "value": "a@x", "primary": true});
        for (text, expected) in [
            ("type eq \"work\"", true),
            ("TYPE eq \"WORK\" and primary eq true", true),
            ("primary eq \"True\"", true),
            ("type ne \"work\"", false),
            ("value ew \"@X\"", true),
            ("display pr", false),
            ("display eq null", true),
        ] {
            assert_eq!(
                read(text).meets(&element, Texts::Folded),
                expected,
                "{text}"
            );
        }
        assert!(read("value eq \"u1\"").meets(&json!("u1"), Texts::Exact));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(
            text in r#"([ ()\[\]"\\.:a-zé\u{2028}0-9]|eq |pr |and |or |not |"x"|urn:a:){0,40}"#
        ) {
            match Filter::parse(&text) {
                Ok(filter) => prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter)),
                Err(error) => prop_assert!(error.position <= text.len()),
            }
            if let Ok(target) = Target::parse(&text) {
                prop_assert_eq!(Target::parse(&target.to_string()), Ok(target));
            }
        }
    }
}
