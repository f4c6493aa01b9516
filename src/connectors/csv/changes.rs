//! What changed in a CSV file, by the digests of its rows.
//!
//! A file tells nothing about its past, so what it held is kept beside it: for each of the latest
//! tokens a file below `.NAME.csv.changes`, with id and digest of every row and the token as its
//! name. The token is the digest of that, so equal contents have one.
use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::json;

use super::wire::Table;
use crate::{
    connectors::{
        Change, Changes, Error,
        watermark::{digest, unknown_token},
    },
    model::{Object, TargetObject},
};

/// How many tokens are known.
const KNOWN: usize = 32;

/// Digests of rows by their ids.
type Rows = BTreeMap<String, String>;

/// The changes of a file since a token; without one, the newest token only. `class` is for people.
///
/// # Errors
/// Refused where the token is not known any more; unavailable where nothing can be kept beside the
/// file.
pub(super) fn changes(
    file: &Path,
    table: &Table,
    class: &str,
    since: Option<&str>,
) -> Result<Changes, Error> {
    let objects: Vec<TargetObject> = table.objects().collect();
    let now: Rows = objects
        .iter()
        .map(|object| (object.id.clone(), digest(&object.attributes)))
        .collect();
    let folder = folder(file);
    let before = match since {
        Some(token) => Some(known(&folder, token)?.ok_or_else(|| unknown_token(class))?),
        None => None,
    };
    let token = keep(&folder, &now).map_err(|error| {
        let folder = folder.display();
        Error::unavailable(503, format!("nothing can be kept in `{folder}`")).because(error)
    })?;
    let changes = before.map_or_else(Vec::new, |before| {
        let changed = |object: &TargetObject| before.get(&object.id) != now.get(&object.id);
        let present = objects.into_iter().filter(changed).map(Change::Present);
        let gone = before.keys().filter(|id| !now.contains_key(*id));
        present.chain(gone.cloned().map(Change::Gone)).collect()
    });
    Ok(Changes {
        changes,
        token,
        more: false,
    })
}

fn folder(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}.changes"))
}

/// The rows under a token; none where it is not known.
fn known(folder: &Path, token: &str) -> Result<Option<Rows>, Error> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    match fs::read(folder.join(token)) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = "what the file held before cannot be read";
            Err(Error::unavailable(503, message).because(error))
        }
    }
}

/// Keeps the rows under their token before anybody gets to know it.
fn keep(folder: &Path, rows: &Rows) -> io::Result<String> {
    let text = json!(rows);
    let mut whole = Object::new();
    whole.insert("rows".to_owned(), text.clone());
    let token = digest(&whole);
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!("{token}.tmp"));
    let handle = fs::File::create(&draft)?;
    serde_json::to_writer(&handle, &text)?;
    handle.sync_all()?;
    fs::rename(&draft, folder.join(&token))?;
    forget(folder, &token)?;
    Ok(token)
}

/// Drops the oldest tokens.
fn forget(folder: &Path, newest: &str) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() != newest {
            kept.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    kept.sort();
    let surplus = (kept.len() + 1).saturating_sub(KNOWN);
    for (_, path) in kept.into_iter().take(surplus) {
        fs::remove_file(path)?;
    }
    Ok(())
}
