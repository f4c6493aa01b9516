//! A project folder for one test.
use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    config::{Loaded, load, shared_runtime},
    hooks::{Limits, Runtime},
};

/// A temporary folder with files, and an environment.
pub(super) struct Folder {
    root: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    /// Kept from load to load, as a server does.
    runtime: Box<dyn Fn(&Limits) -> Runtime + Send + Sync>,
}

impl Folder {
    /// A folder without a problem: no types, no mappings.
    pub(super) fn new() -> Self {
        let folder = Self {
            root: tempfile::tempdir().unwrap(),
            environment: BTreeMap::new(),
            runtime: Box::new(shared_runtime()),
        };
        folder
            .with("conf/managed.json", r#"{"objects": []}"#)
            .with("conf/sync.json", r#"{"mappings": []}"#)
    }

    /// With this file.
    pub(super) fn with(self, file: &str, text: &str) -> Self {
        self.write(file, text);
        self
    }

    /// Writes this file.
    pub(super) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Without this file.
    pub(super) fn without(self, file: &str) -> Self {
        std::fs::remove_file(self.path(file)).unwrap();
        self
    }

    /// With this environment variable.
    pub(super) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root.path().join(file)
    }

    pub(super) fn load(&self) -> Loaded {
        load(self.root.path(), &self.runtime, &|name| {
            self.environment.get(name).cloned()
        })
    }

    /// The problems, as `recant check` prints them.
    pub(super) fn lines(&self) -> Vec<String> {
        lines(&self.load())
    }
}

/// The problems, as `recant check` prints them.
pub(super) fn lines(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(ToString::to_string).collect()
}
