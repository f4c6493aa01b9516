//! What is wrong with a project folder: one line each, with the place.
use std::fmt;

use serde::Serialize;

use crate::model::secret::Redactor;

/// One thing that is wrong, and what would be right. `message` holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the folder can be used all the same.
    pub severity: Severity,
    /// The file, relative to the project folder, with `/` between its parts.
    pub file: String,
    /// Where in the file.
    pub place: Place,
    /// What is wrong there and what would be right.
    pub message: String,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The folder cannot be used.
    Error,
    /// The folder can be used; something in it has no effect or may surprise.
    Warning,
}

/// A place in a file. As JSON a line is a number and a pointer a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// A line, 1-based; 1 also stands for the whole file.
    Line(usize),
    /// A JSON pointer (RFC 6901), empty for the whole document.
    Pointer(String),
}

/// The problems found so far, and the texts that none of them may show.
#[derive(Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    secrets: Vec<serde_json::Value>,
}

impl Problem {
    /// Whether it keeps the folder from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// An error about a file as a whole.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            place: Place::Line(1),
            message: message.into(),
        }
    }
}

/// Problems as `recant check --json` and `GET /config/problems` show them: `{"problems": […]}`.
#[must_use]
pub fn to_json(problems: &[Problem]) -> serde_json::Value {
    serde_json::json!({ "problems": problems })
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            file,
            place,
            message,
        } = self;
        write!(formatter, "{severity} {file}{place}: {message}")
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(formatter, ":{line}"),
            Self::Pointer(pointer) => write!(formatter, "#{pointer}"),
        }
    }
}

impl Problems {
    pub(crate) fn push(
        &mut self,
        severity: Severity,
        file: &str,
        place: Place,
        message: impl Into<String>,
    ) {
        let problem = Problem {
            severity,
            file: file.to_owned(),
            place,
            // One line each, whatever a library put into its message.
            message: message.into().trim().replace(['\n', '\r'], " "),
        };
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    pub(crate) fn error_at_line(&mut self, file: &str, line: usize, message: impl Into<String>) {
        self.push(Severity::Error, file, Place::Line(line.max(1)), message);
    }

    /// Takes over the warnings that were found apart.
    pub(crate) fn take_warnings(&mut self, apart: Self) {
        let warnings = apart.found.into_iter().filter(|found| !found.is_error());
        self.found.extend(warnings);
    }

    /// Keeps a substituted text out of every message.
    pub(crate) fn hide(&mut self, secret: &str) {
        // One or two characters are no secret, and would mask half of every message.
        if secret.chars().count() > 2 {
            self.secrets.push(secret.into());
        }
    }

    /// All of them, without secrets: file by file, by line where there are lines.
    pub(crate) fn finish(self) -> Vec<Problem> {
        let redactor = Redactor::new(&self.secrets);
        let mut files: Vec<String> = Vec::new();
        for problem in &self.found {
            if !files.contains(&problem.file) {
                files.push(problem.file.clone());
            }
        }
        let mut found = self.found;
        found.sort_by_cached_key(|problem| {
            let line = match problem.place {
                Place::Line(line) => line,
                Place::Pointer(_) => 0,
            };
            (files.iter().position(|file| *file == problem.file), line)
        });
        for problem in &mut found {
            problem.message = redactor.text(&problem.message);
        }
        found
    }
}

/// The known word that `unknown` was probably meant to be.
pub(crate) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = unknown.to_lowercase();
    let distance = |word: &str| {
        let word = word.to_lowercase();
        let begins = word.len() > 3 && folded.starts_with(&word);
        let shortened = folded.len() > 3 && word.starts_with(&folded);
        if begins || shortened {
            return Some(1);
        }
        let distance = strsim::damerau_levenshtein(&folded, &word);
        let shorter = word.len().min(folded.len());
        (distance < shorter && distance <= 1 + shorter / 4).then_some(distance)
    };
    known
        .into_iter()
        .filter_map(|word| Some((distance(word)?, word)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `; did you mean …?` where a known word is near, or nothing.
pub(crate) fn suggestion<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(unknown, known).map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}
