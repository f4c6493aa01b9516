//! Project folders: whatever stands in their files, loading ends with a configuration or with
//! problems that say where.
use std::fs;

use recant::{
    config,
    hooks::{Limits, Runtime},
};

/// The files of a folder, in the order in which `data` holds their texts, a zero byte between two.
pub const FILES: [&str; 5] = [
    "recant.toml",
    "conf/managed.json",
    "conf/sync.json",
    "conf/connectors/crm.json",
    "hooks/hook.rhai",
];

/// Writes `data` as the files of a folder, and loads it.
pub fn check(data: &[u8]) {
    let _ = problems(data);
}

/// What is wrong with the folder, as `recant check` prints it.
pub fn problems(data: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in FILES.into_iter().zip(data.split(|byte| *byte == 0)) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let runtime = |limits: &Limits| Runtime::new(limits.clone());
    let loaded = config::load(folder.path(), &runtime, &|_| None);
    let wrong = loaded.problems.iter().any(config::Problem::is_error);
    assert_eq!(
        loaded.configuration.is_none(),
        wrong,
        "{:?}",
        loaded.problems
    );
    let lines: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(lines.iter().all(|line| !line.is_empty()));
    lines
}
