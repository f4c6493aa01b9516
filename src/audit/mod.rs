//! Audit entries: what is written about a change, and the words for it (SPEC 5).
mod entries;

pub use entries::{
    about_access, about_change, about_compensation, about_configuration, about_divergence_end,
    about_refusal, about_undo,
};
