//! What a connector's file says about a target that the embedding program brings itself.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::settings::{Problem, class_name_problems};

/// As written in `conf/connectors/NAME.json` with `"type": "custom"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Raw {
    /// The object classes that the program's connector serves, by name.
    objects: BTreeMap<String, RawClass>,
}

/// One object class as written: the program knows the rest.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawClass {}

/// A target of the program's own, as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The object classes.
    pub classes: Vec<String>,
}

impl Settings {
    /// What was written, checked.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn validate(raw: Raw) -> Result<Self, Vec<Problem>> {
        let problems = class_name_problems(raw.objects.keys());
        if problems.is_empty() {
            Ok(Self {
                classes: raw.objects.into_keys().collect(),
            })
        } else {
            Err(problems)
        }
    }
}
