//! Which functions a script calls, found in its text, so that a misspelt one is reported when the
//! script is compiled and not in the middle of a failed change.
use std::{
    collections::{BTreeSet, HashSet},
    iter::Peekable,
    str::Chars,
};

/// Words that stand before a parenthesis and are no functions, and functions of the language itself
/// that no list names.
const LANGUAGE: [&str; 27] = [
    "if",
    "else",
    "while",
    "loop",
    "for",
    "in",
    "do",
    "until",
    "switch",
    "return",
    "throw",
    "try",
    "catch",
    "let",
    "const",
    "fn",
    "private",
    "Fn",
    "call",
    "type_of",
    "is_def_fn",
    "is_def_var",
    "is_shared",
    "print",
    "debug",
    "not",
    "global",
];

/// A function that is called and that nobody defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) name: String,
    /// 1-based.
    pub(super) line: usize,
    /// 1-based.
    pub(super) column: usize,
}

/// A word of the text, outside of comments and texts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    line: usize,
    column: usize,
    /// A parenthesis follows.
    called: bool,
    /// The word before it is `fn`.
    defined: bool,
}

/// The first call of a function that is neither known nor defined in the text. A name that the text
/// also uses without calling it may be a member that holds a function, and is let through.
pub(super) fn first_unknown(text: &str, known: &BTreeSet<String>) -> Option<Unknown> {
    let words = Scanner::new(text).words();
    let elsewhere: HashSet<&str> = words
        .iter()
        .filter(|word| word.defined || !word.called)
        .map(|word| word.text.as_str())
        .collect();
    let unknown = words.iter().find(|word| {
        let name = word.text.as_str();
        word.called
            && !elsewhere.contains(name)
            && !known.contains(name)
            && !LANGUAGE.contains(&name)
    })?;
    Some(Unknown {
        name: unknown.text.clone(),
        line: unknown.line,
        column: unknown.column,
    })
}

/// The known name that is most like this one, if any is like it at all.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = if name.chars().count() < 5 { 1 } else { 2 };
    known
        .map(|other| (distance(name, other), other))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, other)| other)
}

/// How many letters have to be changed, added or taken away (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        let mut next = vec![before];
        for (other, above) in right.iter().zip(row.iter().skip(1)) {
            let changed = diagonal + usize::from(letter != *other);
            before = changed.min(above + 1).min(before + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Goes through a text letter by letter, past comments and texts.
struct Scanner<'a> {
    letters: Peekable<Chars<'a>>,
    line: usize,
    column: usize,
    words: Vec<Word>,
    /// For each `${` that is open, how many braces are open inside.
    inserted: Vec<usize>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            letters: text.chars().peekable(),
            line: 1,
            column: 0,
            words: Vec::new(),
            inserted: Vec::new(),
        }
    }

    fn words(mut self) -> Vec<Word> {
        while let Some(letter) = self.next() {
            match letter {
                '/' if self.letters.peek() == Some(&'/') => self.skip_line(),
                '/' if self.letters.peek() == Some(&'*') => self.skip_comment(),
                '"' => self.skip_text('"'),
                '\'' => self.skip_text('\''),
                '`' => self.skip_template(),
                '#' => self.skip_raw(),
                '{' => self.brace(),
                '}' => self.close_brace(),
                letter if letter.is_alphanumeric() || letter == '_' => self.word(letter),
                _ => {}
            }
        }
        self.words
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.letters.next()?;
        if letter == '\n' {
            self.line += 1;
            self.column = 0;
        } else {
            self.column += 1;
        }
        Some(letter)
    }

    fn word(&mut self, first: char) {
        let (line, column) = (self.line, self.column);
        let mut text = String::from(first);
        while let Some(letter) = self
            .letters
            .next_if(|letter| letter.is_alphanumeric() || *letter == '_')
        {
            self.column += 1;
            text.push(letter);
        }
        while self
            .letters
            .peek()
            .is_some_and(|letter| letter.is_whitespace())
        {
            self.next();
        }
        let called = self.letters.peek() == Some(&'(');
        let defined = self.words.last().is_some_and(|word| word.text == "fn");
        self.words.push(Word {
            text,
            line,
            column,
            called,
            defined,
        });
    }

    fn skip_line(&mut self) {
        while self.letters.peek().is_some_and(|letter| *letter != '\n') {
            self.next();
        }
    }

    fn skip_comment(&mut self) {
        self.next();
        let mut depth = 1;
        while depth > 0 {
            match (self.next(), self.letters.peek()) {
                (Some('*'), Some('/')) => {
                    self.next();
                    depth -= 1;
                }
                (Some('/'), Some('*')) => {
                    self.next();
                    depth += 1;
                }
                (None, _) => return,
                _ => {}
            }
        }
    }

    fn skip_text(&mut self, end: char) {
        while let Some(letter) = self.next() {
            match letter {
                '\\' => {
                    self.next();
                }
                letter if letter == end => return,
                _ => {}
            }
        }
    }

    /// A text in backquotes, up to its end or to code that is inserted.
    fn skip_template(&mut self) {
        while let Some(letter) = self.next() {
            if letter == '`' {
                return;
            }
            if letter == '$' && self.letters.peek() == Some(&'{') {
                self.next();
                self.inserted.push(0);
                return;
            }
        }
    }

    /// A text such as `#"…"#`, if it is one.
    fn skip_raw(&mut self) {
        let mut marks = 1;
        while self.letters.peek() == Some(&'#') {
            self.next();
            marks += 1;
        }
        if self.letters.peek() != Some(&'"') {
            return;
        }
        self.next();
        while let Some(letter) = self.next() {
            let mut closing = 0;
            while letter == '"' && closing < marks && self.letters.peek() == Some(&'#') {
                self.next();
                closing += 1;
            }
            if closing == marks {
                return;
            }
        }
    }

    fn brace(&mut self) {
        if let Some(open) = self.inserted.last_mut() {
            *open += 1;
        }
    }

    fn close_brace(&mut self) {
        match self.inserted.last_mut() {
            Some(0) => {
                self.inserted.pop();
                self.skip_template();
            }
            Some(open) => *open -= 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(text: &str) -> Option<(String, usize, usize)> {
        let known = ["lower", "log_info"].map(str::to_owned).into();
        first_unknown(text, &known).map(|found| (found.name, found.line, found.column))
    }

    #[test]
    fn calls_in_comments_and_texts_do_not_count() {
        for text in [
            "// nope()\n/* nope() /* nope() */ nope() */ lower(\"nope() \\\" nope()\")",
            "`nope() ${lower(`nope() ${1}`)} nope()`",
            "#\"nope() \" nope()\"# + 'n'",
            "fn own (x) { x } own(1); if (true) { own(2) }",
            "let held = || 1; held.call()",
            "let map = #{}; map.held = || 1; map.held()",
        ] {
            assert_eq!(unknown(text), None, "{text}");
        }
    }

    #[test]
    fn a_call_of_nothing_is_found_where_it_stands() {
        assert_eq!(unknown("1;\n  nope (2)"), Some(("nope".to_owned(), 2, 3)));
        assert_eq!(unknown("`a ${nope()}`"), Some(("nope".to_owned(), 1, 6)));
        assert_eq!(unknown("x.nope()"), Some(("nope".to_owned(), 1, 3)));
        assert_eq!(unknown("\"a\"; nope()"), Some(("nope".to_owned(), 1, 6)));
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let known = || ["lower", "upper", "log_warn"].into_iter();
        assert_eq!(nearest("lowr", known()), Some("lower"));
        assert_eq!(nearest("log_wran", known()), Some("log_warn"));
        assert_eq!(nearest("elephant", known()), None);
    }
}
