//! How a script's text uses a variable: enough of Rhai's grammar to tell `source.mail` from
//! everything else that can be done with `source`.

/// One mention of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Use<'t> {
    /// `NAME.MEMBER` or `NAME["MEMBER"]`, read.
    Read(&'t str),
    /// The same, as the left side of `=`.
    Assigned(&'t str),
    /// Anything else: what the script reads is not clear.
    Unclear,
}

/// A script's text, cut into words, texts and signs; comments are left out.
pub(super) struct Words<'t>(Vec<Token<'t>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Text(&'t str),
    Sign(char),
}

impl<'t> Words<'t> {
    /// Cuts a text up. The text must compile: what is no Rhai may be misread.
    pub(super) fn of(text: &'t str) -> Self {
        let mut cutter = Cutter {
            rest: text,
            tokens: Vec::new(),
        };
        while !cutter.rest.is_empty() {
            cutter.code();
        }
        Self(cutter.tokens)
    }

    /// Every mention of a variable.
    pub(super) fn uses(&self, variable: &str) -> Vec<Use<'t>> {
        let positions = self.0.iter().enumerate();
        positions
            .filter(|(at, token)| {
                **token == Token::Word(variable) && !self.is_member(*at) && !self.is_key(*at)
            })
            .map(|(at, _)| self.use_at(at + 1))
            .collect()
    }

    fn use_at(&self, after: usize) -> Use<'t> {
        let after = after + usize::from(self.sign(after) == Some('?'));
        let (member, next) = match (self.sign(after), self.0.get(after + 1)) {
            (Some('.'), Some(Token::Word(member))) => (member, after + 2),
            (Some('['), Some(Token::Text(member))) if self.sign(after + 2) == Some(']') => {
                (member, after + 3)
            }
            _ => return Use::Unclear,
        };
        match (self.sign(next), self.sign(next + 1)) {
            // A method sees the whole value.
            (Some('('), _) => Use::Unclear,
            (Some('='), Some('=')) => Use::Read(member),
            (Some('='), _) => Use::Assigned(member),
            _ => Use::Read(member),
        }
    }

    fn is_member(&self, at: usize) -> bool {
        at > 0 && self.sign(at - 1) == Some('.')
    }

    /// Whether this is the name of a member in `#{NAME: value}`.
    fn is_key(&self, at: usize) -> bool {
        self.sign(at + 1) == Some(':') && self.sign(at + 2) != Some(':')
    }

    fn sign(&self, at: usize) -> Option<char> {
        match self.0.get(at) {
            Some(Token::Sign(sign)) => Some(*sign),
            _ => None,
        }
    }
}

struct Cutter<'t> {
    rest: &'t str,
    tokens: Vec<Token<'t>>,
}

impl<'t> Cutter<'t> {
    /// Takes one token, comment or space.
    fn code(&mut self) {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else {
            return;
        };
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.comment();
        } else if first == '"' {
            self.quoted('"');
        } else if first == '\'' {
            self.quoted('\'');
        } else if first == '`' {
            self.template();
        } else if first == '#' && rest.trim_start_matches('#').starts_with('"') {
            self.raw();
        } else if is_word(first) {
            let word = self.skip(
                rest.find(|character| !is_word(character))
                    .unwrap_or(rest.len()),
            );
            self.tokens.push(Token::Word(word));
        } else {
            self.skip(first.len_utf8());
            if !first.is_whitespace() {
                self.tokens.push(Token::Sign(first));
            }
        }
    }

    /// A block comment; they nest.
    fn comment(&mut self) {
        self.skip(2);
        let mut depth = 1;
        while depth > 0 && !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
            } else {
                self.character();
            }
        }
    }

    /// A text or character in quotes, with escapes.
    fn quoted(&mut self, quote: char) {
        self.skip(1);
        let start = self.rest;
        while !self.rest.is_empty() && !self.rest.starts_with(quote) {
            if self.rest.starts_with('\\') {
                self.skip(1);
            }
            self.character();
        }
        self.text(start);
        self.skip(1);
    }

    /// `#"…"#`, with as many `#` as it likes.
    fn raw(&mut self) {
        let hashes = self.rest.len() - self.rest.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        self.skip(hashes + 1);
        let start = self.rest;
        let length = start.find(&end).unwrap_or(start.len());
        self.skip(length);
        self.text(start);
        self.skip(end.len());
    }

    /// A text in backticks: what stands in `${…}` is code.
    fn template(&mut self) {
        self.skip(1);
        while !self.rest.is_empty() && !self.rest.starts_with('`') {
            if self.rest.starts_with("${") {
                self.skip(2);
                self.block();
            } else {
                self.character();
            }
        }
        self.skip(1);
        self.tokens.push(Token::Sign('`'));
    }

    /// Code up to the brace that ends it.
    fn block(&mut self) {
        // Whatever stood before must not be read together with what stands in the block.
        self.tokens.push(Token::Sign('{'));
        let mut depth = 1;
        while depth > 0 && !self.rest.is_empty() {
            match self.rest.chars().next() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                _ => {}
            }
            self.code();
        }
    }

    fn text(&mut self, start: &'t str) {
        let length = start.len() - self.rest.len();
        self.tokens
            .push(Token::Text(start.get(..length).unwrap_or_default()));
    }

    fn character(&mut self) {
        self.skip(self.rest.chars().next().map_or(0, char::len_utf8));
    }

    fn skip(&mut self, bytes: usize) -> &'t str {
        let (skipped, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_reading_a_member_from_everything_else() {
        use Use::{Assigned, Read, Unclear};
        for (text, expected) in [
            ("source.mail", vec![Read("mail")]),
            ("source?.mail + source.sn", vec![Read("mail"), Read("sn")]),
            ("source [ \"mail\" ] == 1", vec![Read("mail")]),
            ("source.mail == 1", vec![Read("mail")]),
            ("source.mail = 1", vec![Assigned("mail")]),
            ("source.mail.x = 1", vec![Read("mail")]),
            ("source.keys()", vec![Unclear]),
            ("let all = source; all.mail", vec![Unclear]),
            ("f(source)", vec![Unclear]),
            ("source[name]", vec![Unclear]),
            ("source", vec![Unclear]),
            ("object.source + #{source: 1}", vec![]),
            ("// source\n/* source /* source */ source */ 1", vec![]),
            ("\"source \\\" source\" + 'x' + #\"a \" source\"#", vec![]),
            ("\"http://x\" + source.mail", vec![Read("mail")]),
            (
                "`it's ${source.mail} // source ${f(#{a: source})}` + source.sn",
                vec![Read("mail"), Unclear, Read("sn")],
            ),
            ("resource.mail + source_id", vec![]),
        ] {
            assert_eq!(Words::of(text).uses("source"), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_cut_up(text in r#"([a-z ."'`#${}/*\\=(]|source|é){0,40}"#) {
            let _ = Words::of(&text).uses("source");
        }
    }
}
