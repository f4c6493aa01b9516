//! Audit entries: what is written about a change, and the words for it.
