//! The reader of query filters: recursive descent with a limit on nesting.
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Error, Filter, Operator};
use crate::model::pointer::Pointer;

/// How deep parentheses and `!` may nest, so that no text can exhaust the stack.
const NESTING: usize = 100;
const OPERATORS: &str = "an operator (eq, co, sw, lt, le, gt, ge or pr)";
const VALUE: &str = "a value (a quoted text, a number, true, false or null)";

/// Reads a whole text as a filter.
pub(super) fn filter(text: &str) -> Result<Filter, Error> {
    let mut reader = Reader {
        text,
        position: 0,
        depth: 0,
    };
    let filter = reader.any()?;
    match reader.rest() {
        "" => Ok(filter),
        _ => Err(reader.expected("`and`, `or` or the end")),
    }
}

/// Whether a character ends a field, an operator or a number.
pub(super) fn ends_word(character: char) -> bool {
    character.is_whitespace() || matches!(character, '(' | ')' | '"' | '\'' | '!')
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Parts joined by `or`.
    fn any(&mut self) -> Result<Filter, Error> {
        self.chain("or", Self::all, Filter::Or)
    }

    /// Parts joined by `and`.
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
        let mut more = Vec::new();
        while self.peek_word().eq_ignore_ascii_case(word) {
            self.take_word();
            more.push(part(self)?);
        }
        if more.is_empty() {
            return Ok(first);
        }
        more.insert(0, first);
        Ok(join(more))
    }

    fn one(&mut self) -> Result<Filter, Error> {
        match self.rest().chars().next() {
            Some('!') => self.nested(|reader| {
                reader.position += 1;
                Ok(Filter::Not(Box::new(reader.one()?)))
            }),
            Some('(') => self.nested(|reader| {
                reader.position += 1;
                let inner = reader.any()?;
                if !reader.rest().starts_with(')') {
                    return Err(reader.expected("`)`, `and` or `or`"));
                }
                reader.position += 1;
                Ok(inner)
            }),
            _ => match self.peek_word() {
                "" => Err(self.expected("a field, `true`, `false`, `!` or `(`")),
                "true" => Ok(self.literal(true)),
                "false" => Ok(self.literal(false)),
                _ => self.comparison(),
            },
        }
    }

    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Filter, Error>,
    ) -> Result<Filter, Error> {
        if self.depth >= NESTING {
            return Err(self.expected("at most 100 nested parentheses and `!`"));
        }
        self.depth += 1;
        let filter = inner(self);
        self.depth -= 1;
        filter
    }

    fn literal(&mut self, holds: bool) -> Filter {
        self.take_word();
        Filter::Literal(holds)
    }

    fn comparison(&mut self) -> Result<Filter, Error> {
        let field = self.field()?;
        let word = self.peek_word();
        if word.eq_ignore_ascii_case("pr") {
            self.take_word();
            return Ok(Filter::Present(field));
        }
        let operator = Operator::ALL
            .into_iter()
            .find(|operator| word.eq_ignore_ascii_case(operator.as_str()))
            .ok_or_else(|| self.expected(OPERATORS))?;
        self.take_word();
        let value = self.value()?;
        Ok(Filter::Compare {
            field,
            operator,
            value,
        })
    }

    fn field(&mut self) -> Result<Pointer, Error> {
        let wrong = self.expected("a field (a JSON pointer: `~` only as ~0 or ~1)");
        let word = percent_decode_str(self.take_word())
            .decode_utf8()
            .map_err(|_| wrong.clone())?;
        Pointer::parse(&word).map_err(|_| wrong)
    }

    fn value(&mut self) -> Result<Value, Error> {
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote).map(Value::String),
            _ => {
                let wrong = self.expected(VALUE);
                match serde_json::from_str(self.take_word()) {
                    Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => Ok(value),
                    _ => Err(wrong),
                }
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, Error> {
        self.position += 1;
        let mut plain = String::new();
        loop {
            let at = self.position;
            match self.next_character() {
                Some(character) if character == quote => return Ok(plain),
                Some('\\') => plain.push(self.escaped(at)?),
                Some(character) => plain.push(character),
                None => return Err(self.expected("the closing quote")),
            }
        }
    }

    /// The character that an escape stands for; `at` is where its backslash is.
    fn escaped(&mut self, at: usize) -> Result<char, Error> {
        let character = match self.next_character() {
            Some(character @ ('"' | '\'' | '\\' | '/')) => Some(character),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => self.unicode(),
            _ => None,
        };
        character.ok_or_else(|| {
            self.position = at;
            self.expected("an escape of JSON (\\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX)")
        })
    }

    /// The character of `\uXXXX`, or of two of them that are a surrogate pair.
    fn unicode(&mut self) -> Option<char> {
        let unit = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&unit) {
            return char::from_u32(unit);
        }
        let second = self.unparsed().strip_prefix("\\u").is_some();
        self.position += if second { 2 } else { return None };
        let low = self
            .four_digits()
            .filter(|low| (0xDC00..0xE000).contains(low))?;
        char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.unparsed().get(..4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.position += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn next_character(&mut self) -> Option<char> {
        let character = self.unparsed().chars().next()?;
        self.position += character.len_utf8();
        Some(character)
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
