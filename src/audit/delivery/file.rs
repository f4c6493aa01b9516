//! Entries as JSON Lines in a file that is begun anew from a size or an age on.
use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use chrono::{DateTime, Utc};
use tokio::{
    fs,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};

use super::FileSettings;
use crate::model::audit::ChainedEntry;

/// A file that entries are appended to. It is opened for each batch, so that one that was moved or
/// deleted meanwhile is made anew.
pub(super) struct File {
    settings: FileSettings,
}

impl File {
    pub(super) fn new(settings: FileSettings) -> Self {
        Self { settings }
    }

    /// Appends entries and waits until they are on disk.
    pub(super) async fn take(&mut self, entries: &[ChainedEntry]) -> Result<(), String> {
        let path = self.settings.path.clone();
        let said = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
        self.append(entries).await.map_err(said)
    }

    async fn append(&self, entries: &[ChainedEntry]) -> std::io::Result<()> {
        let path = &self.settings.path;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).await?;
        }
        let mut text = String::new();
        for entry in entries {
            text.push_str(&entry.to_line());
            text.push('\n');
        }
        self.rotate(text.len() as u64).await?;
        let is_new = !fs::try_exists(path).await?;
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true).read(true);
        // Who may read the folder may not read the audit for that.
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(path).await?;
        // Half a line that a crash or a full disk left stands alone; its entry comes again.
        if !ends_with_line(&mut file).await? {
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes()).await?;
        file.flush().await?;
        file.sync_data().await?;
        if is_new {
            sync_folder(path).await?;
        }
        Ok(())
    }

    /// Puts the file aside where it is too large or too old for `more` bytes.
    async fn rotate(&self, more: u64) -> std::io::Result<()> {
        let path = &self.settings.path;
        let Ok(known) = fs::metadata(path).await else {
            return Ok(());
        };
        let begun = known.created().or_else(|_| known.modified())?;
        let age = begun.elapsed().unwrap_or_default();
        let is_full = known.len() > 0 && known.len().saturating_add(more) > self.settings.max_bytes;
        let is_old = known.len() > 0 && self.settings.max_age.is_some_and(|most| age >= most);
        if !is_full && !is_old {
            return Ok(());
        }
        let aside = free_name(path, begun).await;
        fs::rename(path, aside).await?;
        sync_folder(path).await?;
        self.forget().await
    }

    /// Removes the oldest files that were put aside, beyond those that are kept.
    async fn forget(&self) -> std::io::Result<()> {
        let Some(keep) = self.settings.keep else {
            return Ok(());
        };
        let path = &self.settings.path;
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        let prefix = format!("{}.", name.to_string_lossy());
        let mut aside: Vec<PathBuf> = Vec::new();
        let mut files = fs::read_dir(folder).await?;
        while let Some(file) = files.next_entry().await? {
            let name = file.file_name();
            let rest = name.to_string_lossy();
            if rest.strip_prefix(&prefix).is_some_and(is_stamp) {
                aside.push(file.path());
            }
        }
        aside.sort();
        let beyond = aside.len().saturating_sub(keep);
        for file in aside.into_iter().take(beyond) {
            fs::remove_file(file).await?;
        }
        Ok(())
    }
}

/// Names that sort by time: `audit.jsonl.20261121T160503Z`, and a number behind it where that is
/// taken.
async fn free_name(path: &Path, begun: SystemTime) -> PathBuf {
    let begun: DateTime<Utc> = begun.into();
    let stamp = begun.format("%Y%m%dT%H%M%S%.3fZ").to_string();
    let named = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{stamp}"));
        if number > 0 {
            name.push(format!("-{number:04}"));
        }
        PathBuf::from(name)
    };
    let mut number = 0;
    while fs::try_exists(named(number)).await.unwrap_or(false) && number < 9_999 {
        number += 1;
    }
    named(number)
}

/// Whether this is what [`free_name`] puts behind a name: nothing else in the folder is ours to
/// remove.
fn is_stamp(text: &str) -> bool {
    let (stamp, number) = text.split_once('-').unwrap_or((text, "0000"));
    let is_like = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text
                .bytes()
                .zip(pattern.bytes())
                .all(|(byte, wanted)| match wanted {
                    b'0' => byte.is_ascii_digit(),
                    other => byte == other,
                })
    };
    is_like(stamp, "00000000T000000.000Z") && is_like(number, "0000")
}

/// Makes a new name in a folder durable, where folders can be opened.
async fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        fs::File::open(folder).await?.sync_all().await?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

async fn ends_with_line(file: &mut fs::File) -> std::io::Result<bool> {
    if file.metadata().await?.len() == 0 {
        return Ok(true);
    }
    file.seek(std::io::SeekFrom::End(-1)).await?;
    let mut last = [0_u8; 1];
    file.read_exact(&mut last).await?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_put_aside_is_removed() {
        let name = free_name(Path::new("/nowhere/audit.jsonl"), SystemTime::UNIX_EPOCH).await;
        let name = name.to_string_lossy().into_owned();
        assert_eq!(name, "/nowhere/audit.jsonl.19700101T000000.000Z");
        assert!(is_stamp("19700101T000000.000Z"));
        assert!(is_stamp("19700101T000000.000Z-0012"));
        for other in ["2025.zip", "1", "19700101T000000.000Z.gz", "19700101", ""] {
            assert!(!is_stamp(other), "{other}");
        }
    }
}
