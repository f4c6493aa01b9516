//! A directory: what is special about entries, and that each fault is called what it is.
use std::path::Path;

use super::{
    connector,
    suite::{self, Subject},
};
use crate::support::slapd::Slapd;

fn subject(settings: &serde_json::Value) -> Subject {
    Subject {
        connector: connector(settings, Path::new("/")),
        renames: true,
        versions: false,
        types: false,
    }
}

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    suite::run(&subject(&slapd.settings(Slapd::testers()))).await;
}
