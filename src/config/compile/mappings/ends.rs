//! Where a mapping leads from and to.
use super::{Known, One};
use crate::{config::problem::suggestion, model::Container};

impl One<'_, '_> {
    /// The container with this name, if there is one.
    pub(super) fn container(&mut self, key: &str, text: Option<&str>) -> Option<Container> {
        let pointer = self.at(key);
        let container: Container = match text?.parse() {
            Ok(container) => container,
            Err(error) => {
                self.context.error(&pointer, format!("{error}"));
                return None;
            }
        };
        match unknown(&container, self.known) {
            Some(message) => {
                self.context.error(&pointer, message);
                None
            }
            None => Some(container),
        }
    }

    pub(super) fn direction(&mut self, source: Option<&Container>, target: Option<&Container>) {
        let message = match (source, target) {
            (Some(Container::Managed(from)), Some(Container::Managed(to))) => format!(
                "leads from `managed/{from}` to `managed/{to}`, but one side of a mapping is a target system: \
                 let a hook of `{from}` such as `postUpdate` ask for the change with `update(\"managed/{to}/…\", …)`"
            ),
            (Some(Container::System { .. }), Some(Container::System { .. })) => {
                "leads from one target system to another, but one side of a mapping is `managed/TYPE`: \
                 map the one into a managed type, and that to the other"
                    .into()
            }
            _ => return,
        };
        self.context.error(&self.at("target"), message);
    }
}

/// What is wrong with a container that nobody serves.
fn unknown(container: &Container, known: Known<'_>) -> Option<String> {
    match container {
        Container::Managed(name) => {
            let places = &known.types.places;
            if places.contains_key(name) || !known.types.complete {
                return None;
            }
            let near = suggestion(name, places.keys().map(String::as_str));
            Some(format!(
                "there is no type `{name}` in conf/managed.json{near}"
            ))
        }
        Container::System { connector, class } => {
            let Some(classes) = known.connectors.classes.get(connector) else {
                let names = known.connectors.classes.keys().map(String::as_str);
                let near = suggestion(connector, names);
                return Some(format!(
                    "there is no connector conf/connectors/{connector}.json{near}"
                ));
            };
            let classes = classes.as_ref()?;
            if classes.contains(class) {
                return None;
            }
            let near = suggestion(class, classes.iter().map(String::as_str));
            Some(format!(
                "conf/connectors/{connector}.json has no object class `{class}`{near}"
            ))
        }
    }
}
