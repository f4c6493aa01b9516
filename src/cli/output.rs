//! What verbs print to: text or JSON, with colours or without, and the exit code that goes with it.
use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use serde_json::{Value, json};

use crate::{
    app,
    model::{OperationId, Outcome, audit::is_unruly},
};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The change was compensated or rejected.
    TakenBack = 3,
    /// The change diverged.
    Diverged = 4,
}

/// Text for people or JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Whether text carries colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// No.
    Plain,
    /// As ANSI escape sequences.
    Ansi,
}

/// What a piece of text means; the colours follow from it and are readable on light and dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Normal,
    /// It went well.
    Good,
    /// It is worth a look.
    Warn,
    /// It went wrong.
    Bad,
    /// A heading.
    Strong,
    /// Less important.
    Faint,
}

/// What our colours begin and end with, by [`tint`] and by tables.
const OURS: [&str; 14] = [
    "\u{1b}[0m",
    "\u{1b}[1m",
    "\u{1b}[2m",
    "\u{1b}[22m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[39m",
    "\u{1b}[49m",
    "\u{1b}[38;5;1m",
    "\u{1b}[38;5;2m",
    "\u{1b}[38;5;3m",
    "\u{1b}[m",
    "\u{1b}[36m",
];

/// Where a verb prints its result.
pub struct Output {
    writer: Box<dyn Write + Send>,
    /// Text or JSON.
    pub form: Form,
    /// With colours or without.
    pub colours: Colours,
    /// Columns of the terminal; none where there is no terminal.
    pub width: Option<u16>,
}

/// Why a verb did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The use-case (or the server) said no.
    #[error("{message}")]
    Refused {
        /// The CREST body `{code, reason, message, detail}`.
        body: Value,
        /// Its message.
        message: String,
        /// The root change.
        operation: Option<OperationId>,
        /// How it ended.
        outcome: Option<Outcome>,
    },
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// Something else failed: what, where, and what would be right.
    #[error("{0}")]
    Other(String),
    /// The result could not be printed.
    #[error("cannot print the result: {0}")]
    Output(#[from] io::Error),
}

/// A verb's end.
pub type Result<T = Exit> = std::result::Result<T, Failure>;

impl Output {
    /// Prints to the standard output.
    #[must_use]
    pub fn stdout(form: Form) -> Self {
        Self {
            writer: Box::new(io::stdout()),
            form,
            colours: colours(&io::stdout()),
            width: comfy_table::Table::new().width(),
        }
    }

    /// Prints to a writer, without colours.
    #[cfg(test)]
    #[must_use]
    pub fn to(writer: Box<dyn Write + Send>, form: Form) -> Self {
        Self {
            writer,
            form,
            colours: Colours::Plain,
            width: None,
        }
    }

    /// Whether JSON is wanted.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Prints a line.
    ///
    /// # Errors
    /// The writer's.
    ///
    /// Whatever it holds of other people's making, no letter of it does anything but be seen: only our
    /// own colours and line breaks count.
    pub fn line(&mut self, line: impl AsRef<str>) -> Result<()> {
        Ok(writeln!(
            self.writer,
            "{}",
            seen(line.as_ref(), self.colours)
        )?)
    }

    /// Prints a value as JSON, indented.
    ///
    /// # Errors
    /// The writer's.
    pub fn json(&mut self, value: &Value) -> Result<()> {
        self.line(format!("{value:#}"))
    }

    /// The text in the colour of its tone.
    #[must_use]
    pub fn tint(&self, tone: Tone, text: impl AsRef<str>) -> String {
        tint(self.colours, tone, text.as_ref())
    }

    /// Makes sure that everything is printed.
    ///
    /// # Errors
    /// The writer's.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.writer.flush()?)
    }
}

impl Tone {
    /// The tone of an outcome's word; normal for other words.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "synced" | "SUCCESSFUL" | "SUCCESS" | "ok" | "accept" => Self::Good,
            "compensated" | "partial" | "SKIPPED" | "warning" | "unfinished" | "revert" => {
                Self::Warn
            }
            "rejected" | "diverged" | "FAILED" | "FAILURE" | "UNKNOWN" | "error" | "failed"
            | "reject" => Self::Bad,
            _ => Self::Normal,
        }
    }
}

impl Exit {
    /// The exit code for a change that ended so.
    #[must_use]
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Synced | Outcome::Partial => Self::Done,
            Outcome::Compensated | Outcome::Rejected => Self::TakenBack,
            Outcome::Diverged => Self::Diverged,
        }
    }
}

impl Failure {
    /// The exit code. Whoever closed our output early has read enough.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Refused {
                outcome: Some(outcome),
                ..
            } => match Exit::of(*outcome) {
                Exit::Done => Exit::Failed,
                exit => exit,
            },
            Self::Refused { .. } | Self::Other(_) | Self::Output(_) => Exit::Failed,
        }
    }

    /// What to say on the standard error; none where nobody listens.
    #[must_use]
    pub fn report(&self, form: Form, colours: Colours) -> Option<String> {
        match (self, form) {
            (Self::Output(error), _) if error.kind() == io::ErrorKind::BrokenPipe => None,
            (Self::Refused { body, .. }, Form::Json) => Some(format!("{body:#}")),
            (_, Form::Json) => Some(format!("{:#}", json!({"message": self.to_string()}))),
            (_, Form::Text) => {
                let word = tint(colours, Tone::Bad, "error:");
                let text = format!("{word} {self}{}", self.place());
                Some(seen(&text, colours).into_owned())
            }
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Refused {
                operation: Some(operation),
                ..
            } => format!(" (operation {operation})"),
            _ => String::new(),
        }
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        Self::Refused {
            body: error.body(),
            message: error.message,
            operation: error.operation,
            outcome: error.outcome,
        }
    }
}

impl From<app::StartError> for Failure {
    fn from(error: app::StartError) -> Self {
        let causes = with_causes(&error);
        match error {
            app::StartError::Problems(lines) => Self::Other(format!(
                "the folder has errors (`recant check` lists them):\n{}",
                lines.join("\n")
            )),
            _ => Self::Other(causes),
        }
    }
}

/// An error with everything that caused it, in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// Colours only on a terminal, and not where `NO_COLOR` (no-color.org) or `TERM=dumb` say so.
#[must_use]
pub fn colours(stream: &impl IsTerminal) -> Colours {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    if stream.is_terminal() && !unwanted {
        Colours::Ansi
    } else {
        Colours::Plain
    }
}

/// The text with every letter that would do something written out (`\u{1b}`), our own colours and
/// line breaks excepted. In JSON it stays JSON of the same meaning.
fn seen(text: &str, colours: Colours) -> Cow<'_, str> {
    if !text
        .chars()
        .any(|letter| letter != '\n' && is_unruly(letter))
    {
        return Cow::Borrowed(text);
    }
    let mut seen = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let ours = match colours {
            Colours::Ansi => OURS.iter().find(|ours| rest.starts_with(**ours)),
            Colours::Plain => None,
        };
        let taken = ours.map_or(letter.len_utf8(), |ours| ours.len());
        match (ours, letter) {
            (Some(ours), _) => seen.push_str(ours),
            (None, '\n') => seen.push('\n'),
            (None, letter) if is_unruly(letter) => {
                // As JSON writes it, so that JSON stays what it is.
                let _ = write!(seen, "\\u{:04x}", u32::from(letter));
            }
            (None, letter) => seen.push(letter),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    Cow::Owned(seen)
}

/// A text as it stands in a cell of a table: nothing in it counts, not even our colours.
#[must_use]
pub fn seen_in_cell(text: &str) -> String {
    let line = one_line(text);
    seen(&line, Colours::Plain).into_owned()
}

/// A text of one line: what would break it is written out.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\r']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\r', "\\r").replace('\n', "\\n"))
}

/// The text in the colour of its tone.
#[must_use]
pub fn tint(colours: Colours, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Good => "32",
        Tone::Warn => "33",
        Tone::Bad => "31",
        Tone::Strong => "1",
        Tone::Faint => "2",
        Tone::Normal => return text.to_owned(),
    };
    match colours {
        Colours::Plain => text.to_owned(),
        Colours::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_outcome() {
        let refused = |outcome| Failure::Refused {
            body: json!({}),
            message: "no".into(),
            operation: None,
            outcome,
        };
        assert_eq!(refused(Some(Outcome::Rejected)).exit(), Exit::TakenBack);
        assert_eq!(refused(Some(Outcome::Compensated)).exit(), Exit::TakenBack);
        assert_eq!(refused(Some(Outcome::Diverged)).exit(), Exit::Diverged);
        assert_eq!(refused(None).exit(), Exit::Failed);
        assert_eq!(Failure::Usage(String::new()).exit(), Exit::Usage);
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(failure.exit(), Exit::Done);
        assert_eq!(failure.report(Form::Text, Colours::Plain), None);
    }

    #[test]
    fn what_others_wrote_does_nothing_but_be_seen() {
        let hostile = "a\u{1b}[2J\u{9b}1m\u{7}\u{202e}b\nc";
        let plain = seen(hostile, Colours::Plain);
        assert_eq!(plain, "a\\u001b[2J\\u009b1m\\u0007\\u202eb\nc");
        let ours = tint(Colours::Ansi, Tone::Bad, hostile);
        let coloured = seen(&ours, Colours::Ansi);
        assert!(coloured.starts_with("\u{1b}[31ma\\u001b[2J"), "{coloured}");
        assert!(coloured.ends_with("c\u{1b}[0m"), "{coloured}");
        let hidden = seen("\u{1b}[8mhidden", Colours::Ansi);
        assert_eq!(hidden, "\\u001b[8mhidden");
        // JSON stays JSON, and means the same.
        let value = json!({"m": hostile});
        let text = format!("{value:#}");
        let shown = seen(&text, Colours::Plain);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
        let error = Failure::Other(hostile.to_owned()).report(Form::Text, Colours::Plain);
        assert!(!error.unwrap().contains('\u{1b}'));
        assert_eq!(one_line("a\r\nb"), "a\\r\\nb");
    }

    #[test]
    fn plain_text_holds_no_escapes() {
        assert_eq!(tint(Colours::Plain, Tone::Bad, "x"), "x");
        assert_eq!(tint(Colours::Ansi, Tone::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
