//! What can only be told of mappings side by side.
use std::collections::BTreeSet;

use super::Known;
use crate::{
    config::{
        compile::Context, problem::suggestion, read::document::step, written::sync as written,
    },
    managed::HookPoint,
    mapping::Mapping,
    model::{Container, object::ID},
};

/// Resolves `links`: which mapping's links another one uses, and from which side.
pub(super) fn links(
    context: &mut Context<'_>,
    written: &[Option<written::Mapping>],
    mappings: &mut [(String, Mapping)],
) {
    let ends: Vec<(String, Container, Container)> = mappings
        .iter()
        .map(|(_, mapping)| {
            let ends = (mapping.source.clone(), mapping.target.clone());
            (mapping.name.clone(), ends.0, ends.1)
        })
        .collect();
    let mut turned = BTreeSet::new();
    for (pointer, mapping) in mappings.iter_mut() {
        let this = written_of(written, &mapping.name);
        let Some(named) = this.and_then(|this| this.links.as_ref()) else {
            continue;
        };
        let pointer = step(pointer, "links");
        if *named == mapping.name {
            context.error(&pointer, "names the mapping itself: leave it out");
            continue;
        }
        let Some(other) = written_of(written, named) else {
            let names = written.iter().flatten().filter_map(|m| m.name.as_deref());
            let near = suggestion(named, names);
            context.error(&pointer, format!("there is no mapping `{named}`{near}"));
            continue;
        };
        if let Some(further) = &other.links {
            let message = format!("`{named}` itself uses the links of `{further}`: name that one");
            context.error(&pointer, message);
            continue;
        }
        // A mapping that has problems of its own is not among these.
        let Some((_, source, target)) = ends.iter().find(|(name, ..)| name == named) else {
            continue;
        };
        if (source, target) == (&mapping.source, &mapping.target) {
            mapping.link_type.clone_from(named);
        } else if (target, source) == (&mapping.source, &mapping.target) {
            mapping.link_type.clone_from(named);
            // The first id of a link is the managed object's, whichever mapping owns the links:
            // links are looked up by it when the object changes.
            if matches!(source, Container::System { .. }) {
                turned.insert(named.clone());
            } else {
                mapping.links_reversed = true;
            }
        } else {
            let message = format!(
                "`{named}` links `{source}` with `{target}`: a mapping can only use links between \
                 its own source and target"
            );
            context.error(&pointer, message);
        }
    }
    for (_, mapping) in mappings {
        let inbound = matches!(mapping.source, Container::System { .. });
        mapping.links_reversed |= inbound && turned.contains(&mapping.link_type);
    }
}

/// Finds target attributes that can have no such name where they are to be written.
pub(super) fn names(context: &mut Context<'_>, known: Known<'_>, mappings: &[(String, Mapping)]) {
    for (pointer, mapping) in mappings {
        let Container::System { connector, .. } = &mapping.target else {
            continue;
        };
        let Some(settings) = known.connectors.valid.get(connector) else {
            continue;
        };
        let targets = mapping.properties.iter();
        let names = targets.filter_map(|property| property.target.first());
        for name in names.filter(|name| *name != ID && !settings.can_name(name)) {
            let message = format!(
                "`{name}` can be no attribute of `{}`: a directory's have letters, digits and `-`",
                mapping.target
            );
            context.error(&step(pointer, "properties"), message);
        }
    }
}

/// Warns of what is allowed but rarely meant.
pub(super) fn hints(
    context: &mut Context<'_>,
    known: Known<'_>,
    written: &[Option<written::Mapping>],
    mappings: &[(String, Mapping)],
) {
    let mut told = BTreeSet::new();
    for (pointer, mapping) in mappings {
        let Container::Managed(name) = &mapping.source else {
            continue;
        };
        let immediate = mapping.enable_sync;
        let without_hook = known
            .types
            .valid
            .get(name)
            .is_some_and(|managed| !managed.hooks.contains_key(&HookPoint::OnSync));
        if immediate && without_hook && told.insert(name.clone()) {
            let message = format!(
                "the type `{name}` has no `onSync` hook: a change that a target refuses ends `partial`; \
                 for all or nothing give it one, such as hooks/compensate.rhai"
            );
            context.warning(&step(pointer, "source"), message);
        }
        write_only(context, known, pointer, mapping);
        let uses_links =
            written_of(written, &mapping.name).is_some_and(|this| this.links.is_some());
        if mapping.properties.is_empty() && !uses_links {
            context.warning(pointer, "has no `properties`: it writes no attribute");
        }
    }
}

/// Says what can and cannot be taken back of attributes that their target never shows.
fn write_only(context: &mut Context<'_>, known: Known<'_>, pointer: &str, mapping: &Mapping) {
    let Container::System { connector, class } = &mapping.target else {
        return;
    };
    let Some(settings) = known.connectors.valid.get(connector) else {
        return;
    };
    let targets = mapping.properties.iter();
    let names = targets.filter_map(|property| property.target.first());
    for name in names.filter(|name| settings.is_write_only(class, name)) {
        let message = format!(
            "`{name}` of `{}` can be written and not read: taking a change back writes what the \
             old object gives there, not what the target held; where it gives nothing, the target \
             counts as diverged",
            mapping.target
        );
        context.warning(&step(pointer, "properties"), message);
    }
}

fn written_of<'a>(
    written: &'a [Option<written::Mapping>],
    name: &str,
) -> Option<&'a written::Mapping> {
    written
        .iter()
        .flatten()
        .find(|mapping| mapping.name.as_deref() == Some(name))
}
