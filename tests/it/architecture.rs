//! Holds the house's plan against the code: which room may enter which, and what only one may do.
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use source::{calls, code_of, names_after};

/// Each room and the rooms that it may enter.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &[]),
    ("hooks", &["model", "clock"]),
    ("managed", &["model", "hooks"]),
    ("mapping", &["model", "hooks", "managed"]),
    ("connectors", &["model"]),
    ("oidc", &["model", "clock"]),
    ("store", &["model", "clock"]),
    ("audit", &["model", "clock", "store"]),
    ("sync", ENGINE),
    ("feed", FEED),
    ("recon", RECON),
    ("config", CONFIG),
    ("app", APP),
    ("api", &["model", "clock", "app"]),
    ("scim", &["model", "clock", "app"]),
    ("web", &["model", "clock", "app"]),
    ("server", EVERYTHING),
    ("cli", EVERYTHING),
];

const ENGINE: &[&str] = &[
    "model",
    "clock",
    "hooks",
    "managed",
    "mapping",
    "connectors",
    "store",
    "audit",
];
const FEED: &[&str] = &[
    "model",
    "clock",
    "hooks",
    "managed",
    "mapping",
    "connectors",
    "store",
    "audit",
    "sync",
];
const RECON: &[&str] = &[
    "model",
    "clock",
    "hooks",
    "managed",
    "mapping",
    "connectors",
    "store",
    "audit",
    "sync",
];
const CONFIG: &[&str] = &[
    "model",
    "clock",
    "hooks",
    "managed",
    "mapping",
    "connectors",
    "oidc",
    "store",
    "audit",
    "sync",
];
const APP: &[&str] = &[
    "model",
    "clock",
    "hooks",
    "managed",
    "mapping",
    "connectors",
    "oidc",
    "store",
    "audit",
    "sync",
    "feed",
    "recon",
    "config",
];
const EVERYTHING: &[&str] = &[
    "model",
    "clock",
    "hooks",
    "managed",
    "mapping",
    "connectors",
    "oidc",
    "store",
    "audit",
    "sync",
    "feed",
    "recon",
    "config",
    "app",
    "api",
    "scim",
    "web",
    "server",
];

/// Libraries that only some rooms may name.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("sea_orm", &["store"]),
    ("sea_orm_migration", &[]),
    ("sea_query", &["store"]),
    ("rhai", &["hooks"]),
    ("clap", &["cli"]),
    ("askama", &["web"]),
    ("jsonwebtoken", &["oidc"]),
    ("x509_parser", &["server"]),
];

/// The methods by which a connector writes, each with its number of arguments, and the one file
/// that calls them.
const WRITES: &[(&str, usize)] = &[
    ("create", 3),
    ("create_once", 4),
    ("update", 2),
    ("delete", 2),
    ("uncreate", 3),
];
const WRITER: &str = "src/sync/apply.rs";

const LINES: usize = 600;

#[test]
fn rooms_enter_only_the_rooms_they_may() {
    none(sources(&["src"]).iter().flat_map(entries));
}

#[test]
fn libraries_stay_in_their_rooms() {
    none(sources(&["src"]).iter().flat_map(libraries));
}

#[test]
fn only_apply_writes_to_targets() {
    none(sources(&["src"]).iter().flat_map(writes));
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    let files = sources(&["src", "migration", "tests", "benches", "examples"]);
    assert!(files.len() > 30, "only {} files", files.len());
    none(files.iter().flat_map(form));
}

#[test]
fn the_map_names_every_room() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    none(map_gaps(&map).into_iter());
}

#[test]
fn every_path_in_the_docs_exists() {
    for name in ["README.md", "src/lib.rs"] {
        if let Ok(text) = fs::read_to_string(root().join(name)) {
            none(dead_paths(&text).into_iter());
        }
    }
}

/// A source file, its path relative to the repository.
struct File {
    path: String,
    text: String,
}

impl File {
    /// The room that the file is in; none for `lib.rs` and `main.rs`.
    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (room != "lib" && room != "main").then_some(room)
    }

    /// How many modules enclose this file's own code, the crate's root not counted.
    fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let parts = inside.split('/').count();
        if inside.ends_with("/mod.rs") {
            parts - 1
        } else {
            parts
        }
    }

    fn complaint(&self, line: usize, message: &str) -> String {
        format!("{}:{line}: {message}", self.path)
    }
}

/// Rooms that a file enters though it may not. `crate::ROOM` counts wherever it stands, and so does
/// a chain of `super` that leads out of the room. (Inside an inline module such a chain is taken to
/// lead one room further than it does; rooms and modules should not share names.)
fn entries(file: &File) -> Vec<String> {
    let Some(room) = file.room() else {
        return Vec::new();
    };
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![file.complaint(1, &format!("`{room}` is not in the table of rooms"))];
    };
    let code = code_of(&file.text);
    let outwards = "super::".repeat(file.depth());
    let mut found = names_after(&code, "crate::");
    found.extend(names_after(&code, &outwards));
    found
        .into_iter()
        .filter(|(_, name)| is_room(name) && *name != room && !allowed.contains(name))
        .map(|(line, name)| file.complaint(line, &format!("`{room}` may not enter `{name}`")))
        .collect()
}

fn libraries(file: &File) -> Vec<String> {
    let code = code_of(&file.text);
    let mut complaints = Vec::new();
    for (library, rooms) in LIBRARIES {
        if file.room().is_some_and(|room| rooms.contains(&room)) {
            continue;
        }
        let used = code.lines().position(|line| names_library(line, library));
        if let Some(at) = used {
            complaints.push(file.complaint(at + 1, &format!("`{library}` is not for this room")));
        }
    }
    complaints
}

fn names_library(line: &str, library: &str) -> bool {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
        .any(|word| word == library)
}

/// Calls that look like a connector's write, by name and number of arguments (`Trait::method(x, …)`
/// has one more). Connectors themselves only do what they are told.
fn writes(file: &File) -> Vec<String> {
    if file.path == WRITER || file.room() == Some("connectors") {
        return Vec::new();
    }
    let code = code_of(&file.text);
    let mut complaints = Vec::new();
    for (method, arguments) in WRITES {
        for (line, given) in calls(&code, method) {
            if (*arguments..=arguments + 1).contains(&given) {
                let message = format!("`{method}` with {given} arguments: only {WRITER} writes");
                complaints.push(file.complaint(line, &message));
            }
        }
    }
    complaints
}

fn form(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    let opening: Vec<&str> = file
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .take_while(|line| !line.trim().is_empty())
        .collect();
    if opening.is_empty() {
        complaints.push(file.complaint(1, "does not open with a `//!` sentence"));
    } else if !opening.concat().trim_end().ends_with('.') {
        complaints.push(file.complaint(opening.len(), "the opening sentence does not end"));
    }
    let lines = file.text.lines().count();
    if lines > LINES {
        complaints.push(file.complaint(lines, &format!("more than {LINES} lines")));
    }
    complaints
}

/// Rooms that `lib.rs` declares without a row in the table, or that its map leaves out.
fn map_gaps(map: &str) -> Vec<String> {
    let declared: Vec<&str> = map
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let documented = |room: &str| {
        map.lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .any(|line| line.contains(&format!("[`{room}`]")))
    };
    let mut gaps: Vec<String> = declared
        .iter()
        .filter(|room| !is_room(room))
        .map(|room| format!("src/lib.rs: `{room}` is not in the table of rooms"))
        .collect();
    gaps.extend(
        ROOMS
            .iter()
            .filter(|(room, _)| !documented(room))
            .map(|(room, _)| format!("src/lib.rs: the map leaves out [`{room}`]")),
    );
    gaps
}

/// Paths into the repository that do not exist.
fn dead_paths(text: &str) -> Vec<String> {
    const FOLDERS: [&str; 8] = [
        "src/",
        "tests/",
        "migration/",
        "examples/",
        "benches/",
        "docs/",
        "fuzz/",
        ".ci/",
    ];
    text.split(|character: char| character.is_whitespace() || "`()[]|,\"'".contains(character))
        .map(|word| {
            word.trim_start_matches("./")
                .trim_end_matches(['.', ':', ';'])
        })
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !root().join(word).exists())
        .map(|word| format!("{word} is named, but not there"))
        .collect()
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

fn none(complaints: impl Iterator<Item = String>) {
    let complaints: Vec<String> = complaints.collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn sources(folders: &[&str]) -> Vec<File> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut files);
    }
    files
}

fn collect(folder: &Path, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root()).unwrap();
            files.push(File {
                path: relative.to_str().unwrap().to_owned(),
                text: fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// ---- each rule on a sample that breaks it

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn a_forbidden_room_is_seen_however_it_is_named() {
    for (path, text) in [
        ("src/model/a.rs", "use crate::store::Store;"),
        ("src/model/a.rs", "use crate::{clock, model::x};"),
        ("src/model/a.rs", "fn f() { crate::sync::plan() }"),
        ("src/model/a.rs", "use super::super::store;"),
        ("src/model/mod.rs", "use super::{store, x};"),
        ("src/clock.rs", "use super::model;"),
        ("src/api/a/b.rs", "use super::super::super::store::Search;"),
        ("src/cellar/mod.rs", ""),
    ] {
        assert_eq!(entries(&file(path, text)).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("src/model/a.rs", "use crate::model::b; // crate::store"),
        ("src/model/a/b.rs", "use super::super::store;"),
        ("src/sync/plan.rs", "use crate::{model::Object, store};"),
        ("src/hooks/a.rs", "let text = \"crate::store\";"),
        ("src/lib.rs", "pub use crate::app::App;"),
    ] {
        assert_eq!(entries(&file(path, text)), [""; 0], "{path}: {text}");
    }
}

#[test]
fn a_library_outside_its_room_is_seen() {
    let text = "use sea_orm::EntityTrait;";
    assert_eq!(libraries(&file("src/sync/a.rs", text)).len(), 1);
    assert_eq!(libraries(&file("src/store/a.rs", text)), [""; 0]);
    assert_eq!(libraries(&file("src/sync/a.rs", "// sea_orm")), [""; 0]);
}

#[test]
fn a_target_write_elsewhere_is_seen() {
    for text in [
        "target.connector.create(class, None, &object).await",
        "timeout(limit, c\n.update(class, &change)).await",
        "connector.delete(class, &before)",
        "Connector::delete(&*connector, class, &before)",
    ] {
        assert_eq!(writes(&file("src/sync/settle.rs", text)).len(), 1, "{text}");
        assert_eq!(writes(&file(WRITER, text)), [""; 0]);
    }
    for text in [
        "hasher.update(bytes)",
        "options.create(true)",
        "get(a).delete(b)",
    ] {
        assert_eq!(writes(&file("src/sync/settle.rs", text)), [""; 0], "{text}");
    }
}

#[test]
fn a_file_without_a_sentence_or_too_long_is_seen() {
    assert_eq!(form(&file("a.rs", "use x;")).len(), 1);
    assert_eq!(form(&file("a.rs", "//! No end\nuse x;")).len(), 1);
    assert_eq!(form(&file("a.rs", &"//! A.\n".repeat(601))).len(), 1);
    assert_eq!(
        form(&file("a.rs", "//! On two\n//! lines.\n//!\n//! More")),
        [""; 0]
    );
}

#[test]
fn a_hole_in_the_map_is_seen() {
    let whole: String = ROOMS
        .iter()
        .map(|(room, _)| format!("//! [`{room}`]\n"))
        .collect();
    assert_eq!(map_gaps(&whole), [""; 0]);
    assert_eq!(map_gaps(&whole.replace("[`sync`]", "sync")).len(), 1);
    assert_eq!(map_gaps(&format!("{whole}pub mod cellar;")).len(), 1);
}

#[test]
fn a_dead_path_is_seen() {
    assert_eq!(dead_paths("see `src/lib.rs`, [x](tests/run)."), [""; 0]);
    assert_eq!(dead_paths("see `src/none.rs`.").len(), 1);
}
