//! What scripts can use, for editors and for people; made from the engine itself.
use std::{collections::BTreeMap, fmt::Write};

use rhai::Engine;
use serde::{Deserialize, Serialize};

use super::{failure::plain_types, sandbox::FORBIDDEN, variables};

/// A function that scripts can call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Definition {
    /// Its name; `get NAME` for a property.
    pub name: String,
    /// Name, parameters and what it gives.
    pub signature: String,
    /// What it does.
    pub doc: String,
}

#[derive(Deserialize)]
struct Metadata {
    functions: Vec<Function>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Function {
    full_hash: u64,
    name: String,
    #[serde(default)]
    params: Vec<Parameter>,
    #[serde(default)]
    return_type: String,
    #[serde(default)]
    doc_comments: Vec<String>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
}

/// Types that scripts never hold.
const FOREIGN: [&str; 13] = [
    "i8", "u8", "i16", "u16", "i32", "u32", "u64", "i128", "u128", "f32", "Blob", "BitRange",
    "Range",
];
/// Functions that are there to be refused.
const REFUSED: [&str; 3] = ["sleep", "get_fn_metadata_list", "for_each"];

/// The names of every function of an engine.
pub(super) fn names(engine: &Engine) -> impl Iterator<Item = String> {
    functions(engine).into_iter().map(|function| function.name)
}

/// Every function of an engine that scripts have a use for, by name. Where one of ours takes the
/// place of the language's, only ours.
pub(super) fn entries(engine: &Engine) -> Vec<Definition> {
    let mut chosen: BTreeMap<u64, Function> = BTreeMap::new();
    for function in functions(engine).into_iter().filter(Function::is_useful) {
        let ours = function.is_ours();
        let known = chosen.get(&function.full_hash);
        if ours || known.is_none() {
            chosen.insert(function.full_hash, function);
        }
    }
    let mut entries: Vec<_> = chosen.into_values().map(Definition::from).collect();
    entries.sort();
    entries.dedup();
    entries
}

/// A file for editors that know Rhai: the functions with their pages, and the variables.
pub(super) fn file(engine: &Engine) -> String {
    let mut text = "module static;\n".to_owned();
    for name in variables::names() {
        let page = variables::pages().find(|page| page.name == name);
        if let Some(page) = page {
            let _ = write!(text, "\n/// {}", page.doc);
        }
        let _ = write!(text, "\nlet {name}: ?;\n");
    }
    for entry in entries(engine) {
        text.push('\n');
        for line in entry.doc.lines() {
            let _ = writeln!(text, "/// {line}");
        }
        let _ = writeln!(text, "fn {};", entry.signature);
    }
    text
}

fn functions(engine: &Engine) -> Vec<Function> {
    let metadata = engine
        .gen_fn_metadata_to_json(true)
        .ok()
        .and_then(|text| serde_json::from_str::<Metadata>(&text).ok());
    metadata.map_or_else(Vec::new, |metadata| metadata.functions)
}

impl Function {
    fn is_useful(&self) -> bool {
        let named = self
            .name
            .starts_with(|first: char| first.is_ascii_alphabetic())
            && !self.name.starts_with("set$")
            && !self.name.contains("index$");
        let foreign = |kind: &str| {
            kind.split(|letter: char| !letter.is_alphanumeric())
                .any(|word| FOREIGN.contains(&word))
        };
        named
            && !FORBIDDEN.contains(&self.name.as_str())
            && !REFUSED.contains(&self.name.as_str())
            && !self.params.iter().any(|parameter| foreign(&parameter.kind))
    }

    /// Ours name their types as authors of scripts know them.
    fn is_ours(&self) -> bool {
        self.params.iter().all(|parameter| {
            !parameter
                .kind
                .contains(|letter: char| letter == '&' || letter.is_ascii_uppercase())
        })
    }
}

/// Pages of the language's functions that come without one.
const PAGES: [(&str, &str); 5] = [
    (
        "append",
        "Adds text, or what a value is as a text, to the end of a text.",
    ),
    ("max", "The larger of two numbers."),
    ("min", "The smaller of two numbers."),
    ("to_float", "The number with a fraction: `7` becomes `7.0`."),
    (
        "to_int",
        "The number without its fraction: `7.9` becomes `7`.",
    ),
];

/// The page of a function that comes without one.
fn page(name: &str) -> String {
    let page = PAGES.iter().find(|(known, _)| *known == name);
    page.map_or_else(String::new, |(_, page)| (*page).to_owned())
}

impl From<Function> for Definition {
    fn from(function: Function) -> Self {
        let name = function.name.replace("get$", "get ");
        let parameters: Vec<String> = function.params.iter().map(Parameter::written).collect();
        let gives = match kind(&function.return_type).as_str() {
            "" | "()" => String::new(),
            kind => format!(" -> {kind}"),
        };
        let doc: Vec<&str> = function
            .doc_comments
            .iter()
            .flat_map(|comment| comment.lines())
            .map(|line| line.trim_start_matches('/').trim())
            .collect();
        Self {
            signature: format!("{name}({}){gives}", parameters.join(", ")),
            doc: match doc.join("\n") {
                text if text.trim().is_empty() => page(&name),
                text => text,
            },
            name,
        }
    }
}

impl Parameter {
    fn written(&self) -> String {
        match kind(&self.kind).as_str() {
            "" => self.name.clone(),
            kind => format!("{}: {kind}", self.name),
        }
    }
}

/// A type as authors of scripts know it.
fn kind(text: &str) -> String {
    let text = text
        .strip_prefix("Result<")
        .and_then(|inner| inner.strip_suffix(", Box<EvalAltResult>>"))
        .unwrap_or(text);
    let text = text.replace("&str", "text").replace("Dynamic", "?");
    plain_types(&text)
        .replace("Array", "array")
        .replace("Map", "map")
}
