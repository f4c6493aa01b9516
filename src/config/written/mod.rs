//! The files as they are written: every key, with its description for editors. Nothing here is
//! checked beyond its JSON type; `config::compile` does the rest.
pub(crate) mod integrations;
pub(crate) mod managed;
pub(crate) mod project;
pub(crate) mod scim;
pub(crate) mod script;
pub(crate) mod sync;
