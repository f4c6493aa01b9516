//! The address of the store: SQLite files are relative to the project folder.
use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What a path in an address must not hold as it is.
const NOT_IN_A_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');

/// The address with an absolute SQLite file in it; or what would be right.
pub(crate) fn resolved(url: &str, folder: &Path) -> Result<String, String> {
    match url.split_once(':') {
        Some(("sqlite", ":memory:")) => Ok(url.to_owned()),
        Some(("sqlite", rest)) => sqlite(rest.strip_prefix("//").unwrap_or(rest), folder),
        Some(("postgres" | "postgresql" | "mysql" | "mariadb", _)) => server(url),
        _ => Err("expected `sqlite://FILE`, `postgres://…` or `mysql://…`".into()),
    }
}

fn sqlite(rest: &str, folder: &Path) -> Result<String, String> {
    let (file, query) = match rest.split_once('?') {
        Some((file, query)) => (file, format!("?{query}")),
        None => (rest, String::new()),
    };
    if file == ":memory:" {
        return Ok(format!("sqlite::memory:{query}"));
    }
    let file = percent_decode_str(file)
        .decode_utf8()
        .map_err(|_| "the file's name is not UTF-8 text".to_owned())?;
    if file.is_empty() {
        return Err("expected a file, as in `sqlite://recant.db`".into());
    }
    let path = folder.join(file.as_ref());
    let parent = path.parent().unwrap_or(folder);
    if !parent.is_dir() {
        let parent = parent.display();
        return Err(format!("the folder `{parent}` does not exist: create it"));
    }
    let path = path.to_string_lossy();
    let path = utf8_percent_encode(&path, NOT_IN_A_PATH);
    Ok(format!("sqlite://{path}{query}"))
}

fn server(url: &str) -> Result<String, String> {
    // The parser's own message is left out: it may quote the password.
    let parsed = url::Url::parse(url)
        .map_err(|_| "is no address: expected `postgres://USER:PASSWORD@HOST/DATABASE`")?;
    if parsed.path().len() < 2 {
        return Err("names no database: expected `postgres://USER:PASSWORD@HOST/DATABASE`".into());
    }
    Ok(url.to_owned())
}
