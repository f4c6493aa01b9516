//! The sizes that native functions keep to while they work: Rhai measures only what they return.
use rhai::{Array, Dynamic, EvalAltResult, Position};

use crate::hooks::{
    Limits,
    failure::{broken, limit},
    session::Raised,
    weight,
};

/// What native functions may build.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    string_bytes: usize,
    members: usize,
}

impl Bounds {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            string_bytes: limits.string_bytes,
            members: limits.collection_members,
        }
    }

    /// Whether a text of this length may be built.
    pub(super) fn length(self, bytes: usize) -> Result<(), Raised> {
        if bytes > self.string_bytes {
            return Err(broken(limit::STRING));
        }
        Ok(())
    }

    /// The text, where it is not too long.
    pub(super) fn text(self, text: String) -> Result<String, Raised> {
        self.length(text.len())?;
        Ok(text)
    }

    /// The array, where it is not too long.
    pub(super) fn array(self, array: Array) -> Result<Array, Raised> {
        if array.len() > self.members {
            return Err(broken(limit::ARRAY));
        }
        Ok(array)
    }

    /// The weight of a value, where it is not nested too deeply.
    pub(super) fn weigh(self, value: &Dynamic) -> Result<u64, Raised> {
        weight::weight(value).map_err(broken)
    }

    /// Whether values of this weight may be held before they are measured one by one. No array of
    /// allowed values is heavier.
    pub(super) fn hold(self, weight: u64) -> Result<(), Raised> {
        let most = self.string_bytes + self.members * 100;
        if weight > most as u64 {
            return Err(
                EvalAltResult::ErrorDataTooLarge("array".to_owned(), Position::NONE).into(),
            );
        }
        Ok(())
    }
}
