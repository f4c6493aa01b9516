//! A script as managed.json and sync.json write it.
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A script: `{"type": "text/rhai", "file": "…"}` or `{"type": "text/rhai", "source": "…"}`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Script {
    /// The language: `text/rhai`.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(crate) kind: Option<String>,
    /// A file in the folder `hooks`.
    pub(crate) file: Option<String>,
    /// The script itself.
    pub(crate) source: Option<String>,
    /// Variables that the script sees, by name.
    pub(crate) globals: Option<Map<String, Value>>,
    /// Whether this hook of a mapping has effects elsewhere, such as a mail, so that a replay runs
    /// it only where it is asked for; false if left out.
    pub(crate) side_effects: Option<bool>,
}

/// A text or a script.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum TextOrScript {
    /// A text.
    Text(String),
    /// A script.
    Script(Script),
}
