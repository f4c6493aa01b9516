//! Loads a project folder.
use std::path::Path;

use super::{
    compile::{
        Context,
        connectors::Connectors,
        integrations,
        mappings::{self, Known},
        project,
        scripts::Scripts,
        types::{self, Types},
    },
    problem::{Place, Problem, Problems, Severity},
    read::{
        Document, Files,
        files::Reading,
        json,
        substitute::{Environment, substitute},
        toml,
    },
    settings::Configuration,
};
use crate::hooks::{Limits, Runtime};

/// The file of server, store, access and limits.
pub(crate) const PROJECT: &str = "recant.toml";
/// The file of managed types.
pub(crate) const MANAGED: &str = "conf/managed.json";
/// The file of mappings.
pub(crate) const SYNC: &str = "conf/sync.json";
/// The file of what comes in from external systems; it may be left out.
pub(crate) const INTEGRATIONS: &str = "conf/integrations.json";
/// The folder of target systems.
pub(crate) const CONNECTORS: &str = "conf/connectors";

/// What came of loading a folder.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration; none where there is an error.
    pub configuration: Option<Configuration>,
    /// Everything that is wrong, by file.
    pub problems: Vec<Problem>,
    /// The files that were looked at, whether they are there or not.
    pub watched: std::collections::BTreeSet<std::path::PathBuf>,
}

/// Loads the folder. `runtime` makes what compiles and runs scripts under the limits that the
/// folder sets; `environment` gives the value of an environment variable.
#[must_use]
pub fn load(
    folder: &Path,
    runtime: &dyn Fn(&Limits) -> Runtime,
    environment: &Environment<'_>,
) -> Loaded {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if !folder.is_dir() {
        let name = folder.display().to_string();
        let message = "there is no such folder: `recant init` makes one";
        return Loaded {
            configuration: None,
            problems: vec![Problem::of_file(&name, message)],
            watched: [folder.clone()].into(),
        };
    }
    let mut loading = Loading {
        files: Files::new(&folder),
        problems: Problems::default(),
        environment,
    };
    let configuration = loading.configuration(&folder, runtime);
    let problems = loading.problems.finish();
    let usable = !problems.iter().any(Problem::is_error);
    Loaded {
        configuration: configuration.filter(|_| usable),
        problems,
        watched: loading.files.watched,
    }
}

/// The value of a variable in this process' environment.
#[must_use]
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether what recant.toml does not say is really not said there.
enum Trust {
    Full,
    /// The file cannot be read.
    None,
}

struct Loading<'a> {
    files: Files,
    problems: Problems,
    environment: &'a Environment<'a>,
}

impl Loading<'_> {
    fn configuration(
        &mut self,
        folder: &Path,
        runtime: &dyn Fn(&Limits) -> Runtime,
    ) -> Option<Configuration> {
        let (document, trust) = self.project_document();
        let project = project::compile(&document, folder, &mut self.problems);
        let runtime = runtime(&project.limits);
        let mut connectors = self.connectors(folder);
        self.foreign_files();
        let managed = self.json(MANAGED);
        let sync = self.json(SYNC);
        let integrations = self.json_if_there(INTEGRATIONS);
        let mut scripts = Scripts::read(&mut self.files, runtime.clone(), &mut self.problems);
        for (name, document) in std::mem::take(&mut connectors.scripted) {
            self.compile(Some(&document), &mut scripts, |context| {
                connectors.compile_scripts(&name, context);
            });
        }
        let types = self.compile(managed.as_ref(), &mut scripts, |context| {
            let types = types::compile(context);
            if matches!(trust, Trust::Full) && !project.names_key {
                types::require_key(context, &types);
            }
            types
        });
        let no_types = Types::default();
        let known = Known {
            types: types.as_ref().unwrap_or(&no_types),
            connectors: &connectors,
        };
        let mappings = self.compile(sync.as_ref(), &mut scripts, |context| {
            mappings::compile(context, known)
        });
        connectors.note_columns(mappings.as_deref().unwrap_or_default());
        let external = self.compile(integrations.as_ref(), &mut scripts, |context| {
            integrations::compile(context, &connectors)
        });
        let external = external.unwrap_or_default();
        let scripts = scripts.catalog(&mut self.problems);
        Some(Configuration {
            folder: folder.to_owned(),
            server: project.server,
            store: project.store,
            auth: project.auth,
            secrets: project.secrets,
            limits: project.limits,
            journal: project.journal,
            changes: project.changes,
            events: project.events,
            audit: project.audit,
            hooks: project.hooks,
            scim_service: project.scim,
            telemetry: project.telemetry,
            mappings: mappings?,
            scim: std::sync::Arc::new(types.as_ref()?.resources.clone()),
            types: types?.valid,
            connectors: connectors.valid,
            integrations: external.integrations,
            subscriptions: external.subscriptions,
            scripts,
            runtime,
            files: self.files.digests.clone(),
            watched: self.files.watched.clone(),
            read: self.files.read.clone(),
        })
    }

    /// What `work` makes of a document, where there is one.
    fn compile<T>(
        &mut self,
        document: Option<&Document>,
        scripts: &mut Scripts,
        work: impl FnOnce(&mut Context<'_>) -> T,
    ) -> Option<T> {
        Some(work(&mut Context {
            document: document?,
            scripts,
            problems: &mut self.problems,
        }))
    }

    /// recant.toml; where it is missing or wrong, an empty document stands in for it.
    fn project_document(&mut self) -> (Document, Trust) {
        let empty = || Document::new(PROJECT, serde_json::json!({}), Some([].into()));
        let text = match self.files.text(PROJECT, &mut self.problems) {
            Reading::Text(text) => text,
            Reading::Missing => return (empty(), Trust::Full),
            Reading::Unreadable => return (empty(), Trust::None),
        };
        match toml::parse(PROJECT, &text, &mut self.problems) {
            Some(mut document) => {
                self.substitute(&mut document);
                (document, Trust::Full)
            }
            None => (empty(), Trust::None),
        }
    }

    fn json(&mut self, file: &str) -> Option<Document> {
        let text = self.files.required(file, &mut self.problems)?;
        self.parsed(file, &text)
    }

    fn json_if_there(&mut self, file: &str) -> Option<Document> {
        match self.files.text(file, &mut self.problems) {
            Reading::Text(text) => self.parsed(file, &text),
            Reading::Missing | Reading::Unreadable => None,
        }
    }

    fn parsed(&mut self, file: &str, text: &str) -> Option<Document> {
        let mut document = json::parse(file, text, &mut self.problems)?;
        self.substitute(&mut document);
        Some(document)
    }

    fn connectors(&mut self, folder: &Path) -> Connectors {
        let mut connectors = Connectors::default();
        let names = self.files.list(CONNECTORS, "json", &mut self.problems);
        // A connector is a file of the folder itself, not of one inside it.
        for name in names.into_iter().filter(|name| !name.contains('/')) {
            let file = format!("{CONNECTORS}/{name}");
            let document = self.json(&file);
            connectors.add(&file, document, folder, &mut self.problems);
        }
        connectors
    }

    /// Warns of files that hold a part of the configuration elsewhere, but are not read here.
    fn foreign_files(&mut self) {
        for name in self.files.list("conf", "json", &mut self.problems) {
            let target = name
                .strip_prefix("provisioner.openicf-")
                .and_then(|rest| rest.strip_suffix(".json"));
            let advice = match target {
                Some(target) => format!("describe the target in {CONNECTORS}/{target}.json"),
                None if name.starts_with("mapping-") => format!("put the mapping into {SYNC}"),
                None => continue,
            };
            let message = format!("is not read: {advice}");
            let file = format!("conf/{name}");
            self.problems
                .push(Severity::Warning, &file, Place::Line(1), message);
        }
    }

    fn substitute(&mut self, document: &mut Document) {
        substitute(
            document,
            &mut self.files,
            self.environment,
            &mut self.problems,
        );
    }
}
