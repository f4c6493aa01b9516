//! Encodings and digests.
use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rhai::{Dynamic, Engine};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Bounds, function};
use crate::hooks::{
    convert,
    session::{Raised, Session},
};

pub(super) fn register(engine: &mut Engine, session: &Arc<Session>, bounds: Bounds) {
    register_base64(engine, session, bounds);
    register_json(engine, session, bounds);
    function(
        engine,
        "sha256",
        &["text: text", "text"],
        "The SHA-256 digest of a text (as UTF-8), in hexadecimal. Not for passwords: it is quick\n\
         to guess.",
        |text: &str| hexadecimal(&Sha256::digest(text.as_bytes())),
    );
    function(
        engine,
        "hex",
        &["text: text", "text"],
        "The bytes of a text (as UTF-8) in hexadecimal.",
        move |text: &str| {
            bounds.length(text.len().saturating_mul(2))?;
            Ok::<_, Raised>(hexadecimal(text.as_bytes()))
        },
    );
}

fn register_base64(engine: &mut Engine, session: &Arc<Session>, bounds: Bounds) {
    function(
        engine,
        "base64",
        &["text: text", "text"],
        "The bytes of a text (as UTF-8) in Base64.",
        move |text: &str| bounds.text(STANDARD.encode(text)),
    );
    let raising = Arc::clone(session);
    function(
        engine,
        "base64_decode",
        &["text: text", "text"],
        "The text that stands in Base64.",
        move |text: &str| {
            let bytes = STANDARD.decode(text.trim());
            let bytes = bytes.map_err(|_| raising.raise("the text is no Base64"))?;
            String::from_utf8(bytes)
                .map_err(|_| raising.raise("what stands in Base64 is no text in UTF-8"))
        },
    );
}

fn register_json(engine: &mut Engine, session: &Arc<Session>, bounds: Bounds) {
    let raising = Arc::clone(session);
    function(
        engine,
        "to_json",
        &["value", "text"],
        "A value as JSON.",
        move |value: Dynamic| {
            let value = convert::to_value(&value)
                .map_err(|misfit| raising.raise(format!("to_json: {misfit}")))?;
            bounds.text(value.to_string())
        },
    );
    let raising = Arc::clone(session);
    function(
        engine,
        "parse_json",
        &["text: text", "value"],
        "The value that stands in JSON.",
        move |text: &str| {
            let value: Value = serde_json::from_str(text)
                .map_err(|error| raising.raise(format!("the text is no JSON: {error}")))?;
            convert::to_dynamic(value)
                .map_err(|misfit| raising.raise(format!("parse_json: {misfit}")))
        },
    );
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
