//! The list of metrics is whole: what rooms emit by name is in it, and what is in it is emitted.
use std::{collections::BTreeSet, fs, path::Path};

use recant::model::metrics::ALL;

#[test]
fn what_is_emitted_is_listed_and_what_is_listed_is_emitted() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    collect(&src, &mut sources);
    let list = src.join("model/metrics.rs");
    let listed = fs::read_to_string(&list).unwrap();
    let listed: BTreeSet<(String, String)> = constants(&listed).collect();
    assert_eq!(listed.len(), ALL.len());
    let mut emitted = BTreeSet::new();
    for path in sources.iter().filter(|path| **path != list) {
        let text = fs::read_to_string(path).unwrap();
        let literal = names(&text);
        let unknown = literal
            .iter()
            .find(|name| !listed.iter().any(|(_, known)| known == *name));
        assert_eq!(unknown, None, "{}", path.display());
        let by_constant = listed
            .iter()
            .filter(|(constant, _)| text.contains(&format!("metrics::{constant}")))
            .map(|(_, name)| name.clone());
        emitted.extend(by_constant.chain(literal));
    }
    let silent: Vec<_> = listed
        .iter()
        .filter(|(_, name)| !emitted.contains(name))
        .collect();
    assert!(silent.is_empty(), "never emitted: {silent:?}");
}

fn collect(folder: &Path, sources: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
}

/// The constants of the list with their names.
fn constants(text: &str) -> impl Iterator<Item = (String, String)> {
    text.lines().filter_map(|line| {
        let (constant, rest) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
        Some((constant.to_owned(), rest.strip_suffix("\";")?.to_owned()))
    })
}

/// Names of metrics that stand in macros which emit them.
fn names(text: &str) -> Vec<String> {
    ["counter!(\"", "histogram!(\"", "gauge!(\""]
        .into_iter()
        .flat_map(|macro_name| text.split(macro_name).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}
