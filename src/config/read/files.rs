//! Reads the files of a project folder, each within a bound, and keeps their digests.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{config::problem::Problems, model::audit::hexadecimal};

/// The largest file that is read.
pub(crate) const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// The files of one folder, as far as they have been read.
#[derive(Debug)]
pub(crate) struct Files {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Hexadecimal SHA-256 by path relative to the folder.
    pub(crate) digests: BTreeMap<String, String>,
    /// Every file whose content matters, digests or not.
    pub(crate) watched: BTreeSet<PathBuf>,
    /// What each of them held when it was read, as a digest; none: it could not be read.
    pub(crate) read: BTreeMap<PathBuf, Option<String>>,
}

/// What came of reading a file that may be missing.
pub(crate) enum Reading {
    Text(String),
    Missing,
    /// Reported already.
    Unreadable,
}

impl Files {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            digests: BTreeMap::new(),
            watched: BTreeSet::new(),
            read: BTreeMap::new(),
        }
    }

    /// A file's bytes, wherever it is; it is watched from now on.
    pub(crate) fn bytes(&mut self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.watched.insert(path.to_owned());
        let bytes = bounded(path);
        let digest = bytes.as_ref().ok().map(|bytes| digest(bytes));
        self.read.insert(path.to_owned(), digest);
        bytes
    }

    /// The text of a file of the folder. All but a missing file is reported here.
    pub(crate) fn text(&mut self, file: &str, problems: &mut Problems) -> Reading {
        let path = self.folder.join(file);
        let bytes = match self.bytes(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Reading::Missing,
            Err(error) => {
                problems.error_at_line(file, 1, format!("cannot be read: {error}"));
                return Reading::Unreadable;
            }
        };
        self.digests.insert(file.to_owned(), digest(&bytes));
        match String::from_utf8(bytes) {
            Ok(text) => Reading::Text(text.trim_start_matches('\u{feff}').to_owned()),
            Err(error) => {
                let valid = error
                    .as_bytes()
                    .iter()
                    .take(error.utf8_error().valid_up_to());
                let line = 1 + valid.filter(|byte| **byte == b'\n').count();
                problems.error_at_line(file, line, "is not UTF-8 text: save it as UTF-8");
                Reading::Unreadable
            }
        }
    }

    /// As `text`, but a missing file is an error.
    pub(crate) fn required(&mut self, file: &str, problems: &mut Problems) -> Option<String> {
        match self.text(file, problems) {
            Reading::Text(text) => Some(text),
            Reading::Missing => {
                problems.error_at_line(file, 1, "there is no such file: create it");
                None
            }
            Reading::Unreadable => None,
        }
    }

    /// Names of the files in a sub-folder with an extension, relative to the sub-folder, sorted;
    /// none where there is no such folder.
    pub(crate) fn list(
        &self,
        sub_folder: &str,
        extension: &str,
        problems: &mut Problems,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(inner) = folders.pop() {
            let path = self.folder.join(sub_folder).join(&inner);
            let entries = match std::fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    problems.error_at_line(sub_folder, 1, format!("cannot be listed: {error}"));
                    continue;
                }
            };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') {
                    continue;
                }
                let name = format!("{inner}{name}");
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(format!("{name}/")),
                    Ok(_) if Path::new(&name).extension().is_some_and(|e| e == extension) => {
                        found.push(name);
                    }
                    _ => {}
                }
            }
        }
        found.sort();
        found
    }
}

/// The digest by which a file's content is known again.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// A file's bytes, at most [`LARGEST_FILE`] of them, and never a device or a pipe.
pub(crate) fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    // Asked before opening: to open a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(std::io::Error::other("it is larger than 16 MiB"));
    }
    Ok(bytes)
}
