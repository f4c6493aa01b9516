//! Shaping what goes to a target and what comes from it, by a script that the wiring room brings.
use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;

/// What shapes a value; it sees nothing else and changes nothing else.
#[async_trait]
pub trait Shaper: Send + Sync + Debug {
    /// What it makes of a value. `operation` tells what that is for: `create`, `update` or `read`.
    ///
    /// # Errors
    /// Why it makes nothing of it, with the script and the line.
    async fn shape(&self, operation: &'static str, value: Value) -> Result<Value, String>;
}

/// Whether a value is shaped.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Shape {
    /// It stays as it is.
    #[default]
    Plain,
    /// A script is named, but nobody has compiled it.
    Named,
    /// By this.
    By(Shaping),
}

/// A shaper that is known by what it was made of.
#[derive(Debug, Clone)]
pub struct Shaping {
    digest: String,
    shaper: Arc<dyn Shaper>,
}

impl Shape {
    /// Whether there is a script, compiled or not.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        *self != Self::Plain
    }

    /// What becomes of a value.
    ///
    /// # Errors
    /// The script's failure.
    pub async fn apply(&self, operation: &'static str, value: Value) -> Result<Value, String> {
        match self {
            Self::Plain => Ok(value),
            Self::Named => Err("this program compiles no scripts for connectors".to_owned()),
            Self::By(shaping) => shaping.shaper.shape(operation, value).await,
        }
    }
}

impl Shaping {
    /// A shaper; equal digests mean that it was made of the same.
    pub fn new(digest: impl Into<String>, shaper: Arc<dyn Shaper>) -> Self {
        Self {
            digest: digest.into(),
            shaper,
        }
    }
}

impl PartialEq for Shaping {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
