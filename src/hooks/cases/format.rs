//! Files of cases as they are written: `hooks/NAME.cases.json`.
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::model::{
    Object,
    hook_run::{Ended, Inputs, Kept, Read},
};

/// Cases of one script, in the file `hooks/NAME.cases.json` beside `hooks/NAME.rhai`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Cases of a hook")]
pub struct CaseFile {
    /// The schema of this file, for editors.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The script's file in the folder `hooks`; that of this file's name if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The hook that the script runs as: `managed/user/onSync` or `MAPPING/onUpdate`. Its `globals`
    /// are the script's, and it decides which variables may be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// The change that it was recorded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_from: Option<String>,
    /// What `now()` gives; the beginning of 2024 if left out. `uuid()` counts up from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<DateTime<Utc>>,
    /// Variables that the configuration would give, over those of the hook.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    #[schemars(with = "std::collections::BTreeMap<String, Value>")]
    pub globals: Object,
    /// The variables that the script sees.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, Value>")]
    pub variables: Object,
    /// Names for one value that the script may change, the first of them in `variables`. If left
    /// out: `object` and `newObject` in `onCreate`, `onUpdate` and `onStore` of a type, `target` in
    /// `onCreate` and `onUpdate` of a mapping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutable: Vec<String>,
    /// What `read` and `query` answer; any other read is an error of the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Read>,
    /// What must come of it; what is not named here may be anything.
    pub expect: Expectation,
}

/// What must come of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// `accept`, `reject` (it threw), `revert` (it asked for the change to be taken back) or `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The script's value.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub result: Option<Value>,
    /// What it throws: a text, or those of `code`, `message` and `detail` that matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throws: Option<Value>,
    /// A part of the message about what is wrong with it, or the limit that it breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Every change of another object that it asks for, in order: `{method, path, content}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Vec<Value>>,
    /// Variables that it may change, as it leaves them, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<std::collections::BTreeMap<String, Value>>")]
    pub changed: Option<Object>,
    /// Every line that it logs, in order: `info: text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Vec<String>>,
}

/// `null` is a value to expect, too.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The JSON schema of files of cases.
#[must_use]
pub fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(CaseFile)).unwrap_or_default()
}

impl CaseFile {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// Where it is wrong: line, column, and what was expected.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for case in &file.cases {
            if case.expect == Expectation::default() {
                return Err(format!("the case `{}` expects nothing", case.name));
            }
        }
        Ok(file)
    }

    /// The file as it is written.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl Case {
    /// A case that holds for a kept run; what is confidential in the run must be masked already.
    #[must_use]
    pub fn of(kept: &Kept, name: String, operation: String) -> Self {
        let Ended {
            verdict,
            result,
            throws,
            error,
            asks,
            changed,
            log: _,
        } = kept.ended.clone();
        let is_accepted = verdict == "accept";
        Self {
            name,
            hook: Some(kept.hook.clone()),
            recorded_from: Some(operation),
            now: Some(kept.at),
            globals: Object::new(),
            variables: kept.inputs.variables.clone(),
            mutable: kept.inputs.mutable.clone(),
            reads: kept.inputs.reads.clone(),
            expect: Expectation {
                verdict: Some(verdict),
                result: (is_accepted && !result.is_null()).then_some(result),
                throws,
                error,
                asks: Some(asks).filter(|asks| !asks.is_empty()),
                changed: Some(changed).filter(|changed| !changed.is_empty()),
                log: None,
            },
        }
    }

    /// What the script is given.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        Inputs {
            variables: self.variables.clone(),
            mutable: self.changeable(),
            reads: self.reads.clone(),
        }
    }

    fn changeable(&self) -> Vec<String> {
        if !self.mutable.is_empty() {
            return self.mutable.clone();
        }
        let hook = self.hook.as_deref().unwrap_or_default();
        let (owner, point) = hook.rsplit_once('/').unwrap_or_default();
        let names: &[&str] = match point {
            "onCreate" | "onUpdate" | "onStore" if owner.starts_with("managed/") => {
                &["object", "newObject"]
            }
            "onCreate" | "onUpdate" => &["target"],
            _ => &[],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}
