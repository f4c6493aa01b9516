//! What a script may use up.
use std::time::Duration;

/// What a script may use up. The defaults are those of SPEC section 3, the same in every build.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Operations per run.
    pub operations: u64,
    /// Wall-clock time per run, reads included.
    pub wall_time: Duration,
    /// Bytes of one text.
    pub string_bytes: usize,
    /// Members of one array or map, those of its members included.
    pub collection_members: usize,
    /// Nested calls.
    pub call_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 1_000_000,
            wall_time: Duration::from_secs(5),
            string_bytes: 1024 * 1024,
            collection_members: 100_000,
            call_depth: 64,
        }
    }
}

/// Bytes of a script's text.
pub(super) const SCRIPT_BYTES: usize = 256 * 1024;
/// Nested expressions outside of functions; checked when a script is compiled.
pub(super) const EXPRESSION_DEPTH: usize = 64;
/// Nested expressions inside of functions; checked when a script is compiled.
pub(super) const FUNCTION_EXPRESSION_DEPTH: usize = 32;
/// Variables that exist at one moment.
pub(super) const VARIABLES: usize = 500;
/// Functions that a script defines.
pub(super) const FUNCTIONS: usize = 500;
/// Changes of other objects that one run may ask for.
pub(super) const FOLLOW_UPS: usize = 1000;
/// Lines that one run may log; what goes beyond is dropped.
pub(super) const LOG_LINES: usize = 200;
/// Bytes of one logged line; the rest is cut off.
pub(super) const LOG_LINE_BYTES: usize = 4096;
/// Arrays and maps inside one another, in values that come in or go out.
pub(super) const NESTING: usize = 100;
