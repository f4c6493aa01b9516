//! A file's content as JSON, which knows the place of each value in the file.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::config::problem::{Place, Problems, Severity};

/// A file that was read.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Its path relative to the project folder.
    pub(crate) file: String,
    /// Its content.
    pub(crate) value: Value,
    /// The line of each JSON pointer, where the file is not JSON itself.
    pub(crate) lines: Option<BTreeMap<String, usize>>,
    /// Pointers of texts with a reference that could not be put in. That was reported; what else
    /// is wrong there follows from it and is not worth a line.
    pub(crate) unresolved: BTreeSet<String>,
}

impl Document {
    pub(crate) fn new(file: &str, value: Value, lines: Option<BTreeMap<String, usize>>) -> Self {
        Self {
            file: file.to_owned(),
            value,
            lines,
            unresolved: BTreeSet::new(),
        }
    }

    /// The place of a pointer, or of the nearest value around it.
    pub(crate) fn place(&self, pointer: &str) -> Place {
        let Some(lines) = &self.lines else {
            return Place::Pointer(pointer.to_owned());
        };
        let mut pointer = pointer;
        loop {
            if let Some(line) = lines.get(pointer) {
                return Place::Line(*line);
            }
            match pointer.rsplit_once('/') {
                Some((outer, _)) => pointer = outer,
                None => return Place::Line(1),
            }
        }
    }

    pub(crate) fn error(&self, problems: &mut Problems, pointer: &str, message: impl Into<String>) {
        self.push(problems, Severity::Error, pointer, message);
    }

    pub(crate) fn warning(
        &self,
        problems: &mut Problems,
        pointer: &str,
        message: impl Into<String>,
    ) {
        self.push(problems, Severity::Warning, pointer, message);
    }

    pub(crate) fn push(
        &self,
        problems: &mut Problems,
        severity: Severity,
        pointer: &str,
        message: impl Into<String>,
    ) {
        if !self.unresolved.contains(pointer) {
            problems.push(severity, &self.file, self.place(pointer), message);
        }
    }
}

/// A pointer one step further in.
pub(crate) fn step(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}

/// A pointer to an item of a list.
pub(crate) fn item(pointer: &str, index: usize) -> String {
    format!("{pointer}/{index}")
}
