//! The story of one change in plain sentences, told from its audit entries alone.
//!
//! Nothing else is asked: the story can be told when the journal has forgotten the change, and from
//! an export. Entries hold masked values, so a story holds no secret either.
mod story;
mod words;

use serde::Serialize;
use serde_json::Value;

use crate::model::audit::{ChainedEntry, Topic};

/// The story of one change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// The root change that is told of.
    pub operation: String,
    /// What it changed.
    pub object: String,
    /// How it ended, as far as the entries tell; later ends of a divergence count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What happened, in order.
    pub sentences: Vec<Sentence>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sentence {
    /// 0 for the change itself, 1 for a compensation or a change that a hook asked for.
    pub depth: usize,
    /// What it is about.
    pub kind: Kind,
    /// When, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The entry that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The sentence.
    pub text: String,
}

/// What a sentence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What was asked for, by whom.
    Request,
    /// What a hook said.
    Hook,
    /// A write that succeeded.
    Write,
    /// Something that went wrong.
    Failure,
    /// What was taken back.
    Undo,
    /// A target that does not hold what it should.
    Divergence,
    /// How it ended.
    End,
    /// What was left out, and why.
    Note,
}

/// Tells the story of the change `operation` from the entries of its transaction, in the order of
/// the chain. None where no entry is about it.
#[must_use]
pub fn explain(operation: &str, entries: &[ChainedEntry]) -> Option<Story> {
    let facts: Vec<Fact<'_>> = entries.iter().map(Fact).collect();
    story::tell(operation, &facts)
}

/// The root of the lineage that an entry belongs to, where it names one.
#[must_use]
pub fn root_of(entry: &ChainedEntry) -> Option<&str> {
    Fact(entry).text("root")
}

/// An entry, read by the names of its fields.
#[derive(Debug, Clone, Copy)]
struct Fact<'a>(&'a ChainedEntry);

impl<'a> Fact<'a> {
    fn member(self, name: &str) -> Option<&'a Value> {
        self.0.entry.body.get(name).filter(|value| !value.is_null())
    }

    fn text(self, name: &str) -> Option<&'a str> {
        self.member(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    fn number(self, name: &str) -> Option<u64> {
        self.member(name).and_then(Value::as_u64)
    }

    fn object(self, name: &str) -> Option<&'a crate::model::Object> {
        self.member(name).and_then(Value::as_object)
    }

    fn list(self, name: &str) -> &'a [Value] {
        self.member(name)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    fn event(self) -> &'a str {
        self.text("eventName").unwrap_or_default()
    }

    fn topic(self) -> Topic {
        self.0.entry.topic
    }

    fn operation(self) -> Option<String> {
        self.0.entry.operation.map(|id| id.to_string())
    }

    fn belongs_to(self, operation: &str) -> bool {
        self.operation().as_deref() == Some(operation)
    }

    fn has_succeeded(self) -> bool {
        self.text("status") == Some("SUCCESS")
    }

    fn sentence(self, depth: usize, kind: Kind, text: String) -> Sentence {
        let text = words::of_one_line(text);
        let at = self.0.entry.timestamp;
        Sentence {
            depth,
            kind,
            at: Some(at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            entry: Some(self.0.entry.id.to_string()),
            text,
        }
    }
}

impl Story {
    /// The story as text, one sentence in each line, nested changes indented.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for sentence in &self.sentences {
            text.push_str(&"  ".repeat(sentence.depth));
            text.push_str(&sentence.text);
            text.push('\n');
        }
        text
    }
}
