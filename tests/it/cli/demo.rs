//! The demo holds what it claims.
use super::{code, json, recant, text};

#[test]
fn the_demo_holds_what_it_claims() {
    let here = tempfile::tempdir().unwrap();
    let report = json(&recant(here.path(), &["demo", "--json"]), 0);
    assert_eq!(report["holds"], true);
    assert!(report["claims"].as_u64().unwrap() >= 15, "{report}");
    let shown = recant(here.path(), &["demo"]);
    assert_eq!(code(&shown), 0, "{}", text(&shown.stdout));
    let shown = text(&shown.stdout);
    assert!(
        shown.lines().all(|line| line.chars().count() <= 80),
        "{shown}"
    );
    assert_eq!(here.path().read_dir().unwrap().count(), 0);
}
