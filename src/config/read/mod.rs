//! From bytes on disk to documents: bounded, with places, with `${env:}` and `${file:}` put in.
pub(crate) mod document;
pub(crate) mod files;
pub(crate) mod json;
pub(crate) mod shape;
pub(crate) mod substitute;
pub(crate) mod toml;

pub(crate) use document::Document;
pub(crate) use files::Files;
