//! Matching text against patterns, in time linear in the text.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use regex::{Regex, RegexBuilder};
use rhai::Engine;

use super::function;
use crate::hooks::session::{Raised, Session};

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES: usize = 64 * 1024;
/// Bytes of a text that is matched.
const TEXT_BYTES: usize = 64 * 1024;
/// Patterns that are kept compiled.
const KEPT: usize = 64;

/// Patterns that an engine has compiled already.
#[derive(Debug, Default)]
struct Patterns(Mutex<HashMap<String, Regex>>);

pub(super) fn register(engine: &mut Engine, session: &Arc<Session>) {
    let raising = Arc::clone(session);
    let patterns = Patterns::default();
    function(
        engine,
        "matches",
        &["text: text", "pattern: text", "boolean"],
        "Whether a regular expression matches somewhere in a text; `^…$` for the whole text.\n\
         Write patterns in backquotes: `` text.matches(`^\\d+$`) ``.",
        move |text: &str, pattern: &str| {
            if text.len() > TEXT_BYTES {
                return Err(raising.raise("the text is too long to be matched"));
            }
            let pattern = patterns.get(&raising, pattern)?;
            Ok::<_, Raised>(pattern.is_match(text))
        },
    );
}

impl Patterns {
    fn get(&self, session: &Session, pattern: &str) -> Result<Regex, Raised> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(pattern) {
            return Ok(known.clone());
        }
        let compiled = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES)
            .build()
            .map_err(|_| session.raise("the pattern is wrong, or too large"))?;
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(pattern.to_owned(), compiled.clone());
        Ok(compiled)
    }
}
