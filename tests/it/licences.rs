//! Holds `deny.toml` against the crates that are built: their licences, and those that are banned.
use std::{collections::BTreeSet, path::Path, process::Command};

/// `name`, `licence expression` of a crate.
type Crate = (String, String);

#[test]
fn every_crate_has_an_allowed_licence() {
    let allowed = words_of("licenses", "allow", |item| item.as_str());
    let crates = crates();
    assert!(crates.len() > 100, "only {} crates", crates.len());
    let refused: Vec<&Crate> = crates
        .iter()
        .filter(|(_, licence)| !allows(&allowed, licence))
        .collect();
    assert!(refused.is_empty(), "not in deny.toml: {refused:?}");
}

#[test]
fn no_banned_crate_is_built() {
    let banned = words_of("bans", "deny", |item| item.get("crate")?.as_str());
    assert!(banned.contains("openssl-sys"));
    let built: Vec<Crate> = crates()
        .into_iter()
        .filter(|(name, _)| banned.contains(name))
        .collect();
    assert!(built.is_empty(), "banned by deny.toml: {built:?}");
}

#[test]
fn expressions_are_read_as_spdx_says() {
    let allowed = BTreeSet::from(["MIT", "ISC", "MPL-2.0", "Apache-2.0 WITH LLVM-exception"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/Apache-2.0",
        "ISC AND (GPL-3.0 OR MIT)",
        "(MIT OR GPL-3.0) AND ISC",
        "MPL-2.0+",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(allows(&allowed, good), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND (GPL-3.0 OR LGPL-2.1)",
        "Apache-2.0",
    ] {
        assert!(!allows(&allowed, bad), "{bad}");
    }
}

fn words_of(table: &str, key: &str, word: fn(&toml::Value) -> Option<&str>) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let settings: toml::Table = text.parse().expect("deny.toml");
    settings[table][key]
        .as_array()
        .expect(key)
        .iter()
        .filter_map(word)
        .map(str::to_owned)
        .collect()
}

/// Every crate that takes part in building the workspace here, with all features.
fn crates() -> Vec<Crate> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--all-features"])
        .args(["--edges", "all", "--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .expect("cargo tree");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines: BTreeSet<Crate> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(name, licence)| (first_word(name), licence.replace(" (*)", "")))
        .collect();
    lines.into_iter().collect()
}

fn first_word(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Whether an SPDX expression can be met with allowed licences. `A/B` is an old way to write
/// `A OR B`; `A+` means A or a later version.
fn allows(allowed: &BTreeSet<String>, expression: &str) -> bool {
    let expression = expression
        .replace('/', " OR ")
        .replace(" WITH ", "_WITH_")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = expression.split_whitespace().peekable();
    either(allowed, &mut words) && words.peek().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(allowed: &BTreeSet<String>, words: &mut Words<'_>) -> bool {
    let mut met = both(allowed, words);
    while words.next_if_eq(&"OR").is_some() {
        met |= both(allowed, words);
    }
    met
}

fn both(allowed: &BTreeSet<String>, words: &mut Words<'_>) -> bool {
    let mut met = one(allowed, words);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(allowed, words);
    }
    met
}

fn one(allowed: &BTreeSet<String>, words: &mut Words<'_>) -> bool {
    match words.next() {
        Some("(") => {
            let met = either(allowed, words);
            words.next() == Some(")") && met
        }
        Some(licence) => allowed.contains(&licence.replace("_WITH_", " WITH ").replace('+', "")),
        None => false,
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
