//! Why a mapping cannot decide, as the cause of its row.
use serde_json::json;

use crate::{
    hooks,
    model::{Action, Cause, CauseKind, Situation},
};

/// Why a mapping cannot say what to write. Nothing was written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// A script threw, broke a limit, or is wrong.
    #[error("{hook} of mapping {mapping}: {source}")]
    Script {
        /// The mapping's name.
        mapping: String,
        /// Which of its scripts: `validSource`, `transform of /mail`, `onCreate`, …
        hook: String,
        /// What happened.
        source: Box<hooks::Failure>,
    },
    /// A script gave something that cannot be used.
    #[error("{hook} of mapping {mapping} must give {expected}")]
    Unusable {
        /// The mapping's name.
        mapping: String,
        /// Which of its scripts.
        hook: String,
        /// What it should give.
        expected: &'static str,
    },
    /// A script asked for a revert or for changes of objects.
    #[error("{hook} of mapping {mapping} may only read, but asked for changes")]
    Asked {
        /// The mapping's name.
        mapping: String,
        /// Which of its scripts.
        hook: String,
    },
    /// The action is EXCEPTION.
    #[error("mapping {mapping} does not go on in situation {situation}")]
    Exception {
        /// The mapping's name.
        mapping: String,
        /// The situation.
        situation: Situation,
    },
    /// The action needs a source or a target that is not there, or must not be there.
    #[error("mapping {mapping}: {action} in situation {situation} is impossible: {reason}")]
    Impossible {
        /// The mapping's name.
        mapping: String,
        /// The action.
        action: Action,
        /// The situation.
        situation: Situation,
        /// Why.
        reason: &'static str,
    },
    /// A create or a rename would use an id that is taken at the target.
    #[error("mapping {mapping}: the target object {id} already exists")]
    Exists {
        /// The mapping's name.
        mapping: String,
        /// The id.
        id: String,
    },
    /// A property does not fit its place.
    #[error("mapping {mapping}: property {property} {reason}")]
    Property {
        /// The mapping's name.
        mapping: String,
        /// The target attribute.
        property: String,
        /// What is wrong with it; never its value.
        reason: String,
    },
}

impl Failure {
    /// The code of the answer: that of CREST for a refusal, a hook's own from 400 to 499.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Script { source, .. } => match source.as_ref() {
                hooks::Failure::Thrown { code: None, .. } => 400,
                hooks::Failure::Thrown {
                    code: Some(code), ..
                } => u16::try_from(*code)
                    .ok()
                    .filter(|code| (400..500).contains(code))
                    .unwrap_or(500),
                hooks::Failure::Limit { .. } | hooks::Failure::Error { .. } => 500,
            },
            Self::Unusable { .. } | Self::Asked { .. } => 500,
            Self::Exception { .. } | Self::Impossible { .. } | Self::Exists { .. } => 409,
            Self::Property { .. } => 400,
        }
    }

    /// What the row's `cause` says.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let code = self.code();
        Cause {
            code: json!(code),
            reason: match code {
                400 => "Bad Request",
                403 => "Forbidden",
                404 => "Not Found",
                409 => "Conflict",
                412 => "Precondition Failed",
                500 => "Internal Server Error",
                _ => "Refused by a hook",
            }
            .to_owned(),
            message: self.to_string(),
            kind: CauseKind::Refused,
        }
    }
}
