//! Finds, reads and compiles scripts: those of the folder `hooks`, and those that stand in JSON.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
    sync::Arc,
};

use super::Context;
use crate::{
    config::{
        problem::{Place, Problems, Severity, suggestion},
        read::{Files, document::step},
        written::script as written,
    },
    hooks::{Runtime, Script},
    model::Object,
};

/// The folder of the script files.
pub(crate) const FOLDER: &str = "hooks";
const LANGUAGE: &str = "text/rhai";

/// The scripts of one folder.
pub(crate) struct Scripts {
    runtime: Runtime,
    /// The text of each script file by its name; none: it cannot be read.
    texts: BTreeMap<String, Option<Arc<str>>>,
    /// What came of each file under each set of variables.
    compiled: BTreeMap<(String, String), Option<Script>>,
}

/// Whether something in the configuration runs a script file.
#[derive(Clone, Copy)]
enum Use {
    Hook,
    None,
}

/// How the message about a variable begins that neither hooks nor globals give.
const UNKNOWN_VARIABLE: &str = "there is no variable";

/// Where a script stands: whose it is and which of its hooks.
#[derive(Clone)]
pub(crate) struct Owner {
    /// `mapping` or `type`.
    pub(crate) kind: &'static str,
    /// The name of the mapping or type.
    pub(crate) name: String,
}

impl Scripts {
    /// Reads every script file of the folder.
    pub(crate) fn read(files: &mut Files, runtime: Runtime, problems: &mut Problems) -> Self {
        let mut texts = BTreeMap::new();
        for name in files.list(FOLDER, "rhai", problems) {
            let file = format!("{FOLDER}/{name}");
            let text = match escapes(&files.folder, &name) {
                Some(message) => {
                    problems.error_at_line(&file, 1, message);
                    None
                }
                None => files.required(&file, problems),
            };
            texts.insert(name, text.map(Arc::from));
        }
        Self {
            runtime,
            texts,
            compiled: BTreeMap::new(),
        }
    }

    /// What compiles and runs them.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Every script file that compiles, by its name. Those that nothing uses are compiled now, so
    /// that what is wrong with them is told, too.
    pub(crate) fn catalog(mut self, problems: &mut Problems) -> BTreeMap<String, Script> {
        let used: BTreeSet<String> = self.compiled.keys().map(|(name, _)| name.clone()).collect();
        let unused: Vec<String> = self
            .texts
            .keys()
            .filter(|name| !used.contains(*name))
            .cloned()
            .collect();
        for name in unused {
            self.file(&name, &Object::new(), Use::None, problems);
        }
        let compiled = self.compiled.into_iter();
        compiled
            .filter_map(|((name, _), script)| Some((name, script?)))
            .collect()
    }

    /// A script file with these variables; none where it is missing or does not compile.
    fn file(
        &mut self,
        name: &str,
        globals: &Object,
        use_of: Use,
        problems: &mut Problems,
    ) -> Option<Script> {
        let key = (name.to_owned(), globals_key(globals));
        if let Some(known) = self.compiled.get(&key) {
            return known.clone();
        }
        let text = self.texts.get(name).cloned().flatten()?;
        let script = match self.runtime.compile(name, &text, globals.clone()) {
            Ok(script) => Some(script),
            Err(error) => {
                let message = format!("{} (column {})", error.message, error.column);
                // A script that nothing uses may be meant for variables that nothing gives it.
                let severity = match use_of {
                    Use::None if error.message.starts_with(UNKNOWN_VARIABLE) => Severity::Warning,
                    _ => Severity::Error,
                };
                let place = Place::Line(error.line.max(1));
                problems.push(severity, &format!("{FOLDER}/{name}"), place, message);
                None
            }
        };
        self.compiled.insert(key, script.clone());
        script
    }
}

impl Context<'_> {
    /// Compiles a script that stands at `pointer` as the hook `hook` of `owner`.
    pub(crate) fn script(
        &mut self,
        written: &written::Script,
        pointer: &str,
        owner: &Owner,
        hook: &str,
    ) -> Option<Script> {
        let mut script = self.compiled_script(written, pointer, owner, hook)?;
        script.side_effects = written.side_effects.unwrap_or_default();
        Some(script)
    }

    fn compiled_script(
        &mut self,
        written: &written::Script,
        pointer: &str,
        owner: &Owner,
        hook: &str,
    ) -> Option<Script> {
        let Owner { kind, name } = owner;
        let whose = format!("the script of {kind} `{name}`, hook `{hook}`");
        let language = written.kind.as_deref()?;
        if language != LANGUAGE {
            let file = match &written.file {
                Some(file) => format!(" (file `{file}`)"),
                None => String::new(),
            };
            let message = format!("{whose}{file} is `{language}`: port it to `{LANGUAGE}`");
            self.error(&step(pointer, "type"), message);
            return None;
        }
        let globals = written.globals.clone().unwrap_or_default();
        match (&written.file, &written.source) {
            (Some(_), Some(_)) => {
                self.error(
                    pointer,
                    format!("{whose} has both `file` and `source`: keep one"),
                );
                None
            }
            (None, None) => {
                self.error(pointer, format!("{whose} has neither `file` nor `source`"));
                None
            }
            (Some(file), None) => self.script_file(file, &globals, pointer, &whose),
            (None, Some(source)) => {
                let name = format!("{name}/{hook}");
                match self.scripts.runtime.compile(&name, source, globals) {
                    Ok(script) => Some(script),
                    Err(error) => {
                        self.error(&step(pointer, "source"), format!("{whose}: {error}"));
                        None
                    }
                }
            }
        }
    }

    fn script_file(
        &mut self,
        file: &str,
        globals: &Object,
        pointer: &str,
        whose: &str,
    ) -> Option<Script> {
        let pointer = step(pointer, "file");
        // IDM's configurations write `script/x.js`, others `./x.rhai`.
        let name = file.trim_start_matches("./");
        if self.scripts.texts.contains_key(name) {
            return self.scripts.file(name, globals, Use::Hook, self.problems);
        }
        let inside = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let message = if !inside {
            format!("{whose}: `{file}` leads out of the folder `{FOLDER}`: name a file inside it")
        } else if !name.ends_with(".rhai") {
            format!("{whose}: `{file}` does not end in `.rhai`")
        } else {
            let near = suggestion(name, self.scripts.texts.keys().map(String::as_str));
            format!("{whose}: there is no file `{FOLDER}/{name}`{near}")
        };
        self.error(&pointer, message);
        None
    }
}

/// What is wrong with a script file that is a link to somewhere outside the folder of scripts.
fn escapes(folder: &Path, name: &str) -> Option<&'static str> {
    let root = folder.join(FOLDER).canonicalize().ok()?;
    let path = folder.join(FOLDER).join(name).canonicalize().ok()?;
    (!path.starts_with(root))
        .then_some("is a link that leads out of the folder `hooks`: put the file itself there")
}

fn globals_key(globals: &Object) -> String {
    serde_json::to_string(globals).unwrap_or_default()
}
