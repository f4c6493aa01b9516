//! Puts `${env:NAME}` and `${file:PATH}` into the texts of a document (SPEC 1).
use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Document, Files,
    document::{item, step},
};
use crate::config::problem::Problems;

/// Where environment variables come from.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Replaces every reference in the document. What was put in is kept out of all messages; what
/// cannot be put in is an error at its place.
pub(crate) fn substitute(
    document: &mut Document,
    files: &mut Files,
    environment: &Environment<'_>,
    problems: &mut Problems,
) {
    let mut value = std::mem::take(&mut document.value);
    let mut work = Substitution {
        document,
        files,
        environment,
        problems,
        unresolved: BTreeSet::new(),
    };
    work.value(&mut value, "");
    document.unresolved = work.unresolved;
    document.value = value;
}

struct Substitution<'a> {
    document: &'a Document,
    files: &'a mut Files,
    environment: &'a Environment<'a>,
    problems: &'a mut Problems,
    unresolved: BTreeSet<String>,
}

impl Substitution<'_> {
    fn value(&mut self, value: &mut Value, pointer: &str) {
        match value {
            Value::String(text) if text.contains("${") => *text = self.text(text, pointer),
            Value::Array(items) => {
                for (index, inner) in items.iter_mut().enumerate() {
                    self.value(inner, &item(pointer, index));
                }
            }
            Value::Object(members) => {
                for (key, inner) in members.iter_mut().filter(|(key, _)| !key.starts_with("//")) {
                    self.value(inner, &step(pointer, key));
                }
            }
            _ => {}
        }
    }

    /// The text with its references replaced; what was put in is not looked at again.
    fn text(&mut self, text: &str, pointer: &str) -> String {
        let mut done = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, found)) = rest.split_once("${") {
            done.push_str(before);
            let reference = found
                .split_once('}')
                .and_then(|(inside, after)| Some((inside.split_once(':')?, after)));
            match reference {
                Some((("env", name), after)) => {
                    done.push_str(&self.variable(name, pointer));
                    rest = after;
                }
                Some((("file", path), after)) => {
                    done.push_str(&self.file(path, pointer));
                    rest = after;
                }
                _ => {
                    if found.starts_with("env:") || found.starts_with("file:") {
                        self.unresolved(pointer, "a `${` reference lacks its closing `}`".into());
                    }
                    done.push_str("${");
                    rest = found;
                }
            }
        }
        done.push_str(rest);
        done
    }

    fn variable(&mut self, name: &str, pointer: &str) -> String {
        let Some(value) = (self.environment)(name) else {
            self.unresolved(
                pointer,
                format!("the environment variable `{name}` is not set"),
            );
            return String::new();
        };
        self.put_in(value)
    }

    fn file(&mut self, path: &str, pointer: &str) -> String {
        let full = self.files.folder.join(path);
        let text = self
            .files
            .bytes(&full)
            .map_err(|error| error.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into()));
        match text {
            Ok(text) => self.put_in(text),
            Err(error) => {
                self.unresolved(
                    pointer,
                    format!("the file `{path}` cannot be read: {error}"),
                );
                String::new()
            }
        }
    }

    fn unresolved(&mut self, pointer: &str, message: String) {
        self.document.error(self.problems, pointer, message);
        self.unresolved.insert(pointer.to_owned());
    }

    /// Without one final line break, as editors leave one.
    fn put_in(&mut self, mut value: String) -> String {
        if value.ends_with('\n') {
            value.pop();
            if value.ends_with('\r') {
                value.pop();
            }
        }
        self.problems.hide(&value);
        value
    }
}
