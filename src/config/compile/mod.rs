//! From what is written to what is used; every problem is reported, none stops the search for more.
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod connectors;
pub(crate) mod integrations;
pub(crate) mod mappings;
pub(crate) mod parts;
pub(crate) mod project;
pub(crate) mod scim;
pub(crate) mod scripts;
pub(crate) mod store_url;
pub(crate) mod types;

use crate::config::{problem::Problems, read::Document};
use scripts::Scripts;

/// What compiling a document needs beside the document.
pub(crate) struct Context<'a> {
    pub(crate) document: &'a Document,
    pub(crate) scripts: &'a mut Scripts,
    pub(crate) problems: &'a mut Problems,
}

impl Context<'_> {
    pub(crate) fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.document.error(self.problems, pointer, message);
    }

    pub(crate) fn warning(&mut self, pointer: &str, message: impl Into<String>) {
        self.document.warning(self.problems, pointer, message);
    }
}

/// Whether a name can stand in an address such as `managed/NAME`; or what would be right.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    (name.is_empty() || !name.chars().all(fits))
        .then_some("a name is made of letters, digits, `_`, `-` and `.`")
}
