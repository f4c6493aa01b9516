//! The HTTP API from outside: a server on a real folder with three real targets.
pub mod access;
mod bad_input;
mod change;
mod described;
mod events;
mod look;
mod recon;
mod serving;

use crate::support::folder::Folder;

#[tokio::test]
async fn the_folder_of_these_tests_has_no_problems() {
    let folder = Folder::new().await;
    let runtime = |limits: &recant::hooks::Limits| recant::hooks::Runtime::new(limits.clone());
    let loaded = recant::config::load(folder.path(), &runtime, &|_| None);
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
}
