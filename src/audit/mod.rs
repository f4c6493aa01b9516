//! Audit entries: what is written about a change, and the words for it (SPEC 5).
mod body;
pub mod delivery;
mod entries;
mod explain;
mod intervention;
mod recon;
mod scripts;

pub use entries::{
    Values, about_access, about_change, about_compensation, about_configuration,
    about_divergence_end, about_refusal, about_undo,
};
pub use explain::{Kind, Sentence, Story, explain, root_of};
pub use intervention::{
    By, about_audit_by_hand, about_cancel, about_moved_event, about_reset, about_run_by_hand,
};
pub use recon::{about_recon, about_recon_entry};
pub use scripts::about_saved_script;
