//! Which target attributes come from confidential source attributes.
use super::{
    Mapping, MappingHook, Property,
    words::{Use, Words},
};
use crate::{
    hooks::Script,
    model::{pointer::Pointer, secret::EVERY_ATTRIBUTE},
};

/// Target attributes whose values come from confidential source attributes, judged by what the
/// properties and scripts of a mapping read; where that is unclear, an attribute counts as
/// confidential, and where it is not clear which one a hook sets,
/// [`EVERY_ATTRIBUTE`] is among them. `confidential` names the source's confidential attributes.
/// What scripts get from `read` and `query` holds nothing confidential.
#[must_use]
pub fn confidential_targets(mapping: &Mapping, confidential: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    if confidential.is_empty() {
        return found;
    }
    for property in &mapping.properties {
        if reveals(property, confidential) {
            note(
                &mut found,
                property.target.first().unwrap_or(EVERY_ATTRIBUTE),
            );
        }
    }
    for hook in [MappingHook::OnCreate, MappingHook::OnUpdate] {
        if let Some(script) = mapping.hooks.get(&hook) {
            note_hook(&mut found, script, confidential);
        }
    }
    found
}

/// Whether a property's value may hold something confidential.
fn reveals(property: &Property, confidential: &[String]) -> bool {
    let named = property.source.as_ref().and_then(Pointer::first);
    match (named, &property.transform) {
        (Some(name), _) => is_among(name, confidential),
        (None, None) => property.source.is_some(),
        (None, Some(script)) => {
            let words = Words::of(&script.text);
            reads(&words, "source", confidential) || reads(&words, "oldSource", confidential)
        }
    }
}

/// Adds what a hook may set to something confidential.
fn note_hook(found: &mut Vec<String>, script: &Script, confidential: &[String]) {
    let words = Words::of(&script.text);
    let reveals = reads(&words, "source", confidential)
        || reads(&words, "oldSource", confidential)
        || reads(&words, "target", found)
        || reads(&words, "oldTarget", found);
    if !reveals {
        return;
    }
    for mention in words.uses("target") {
        match mention {
            Use::Read(name) | Use::Assigned(name) => note(found, name),
            Use::Unclear => note(found, EVERY_ATTRIBUTE),
        }
    }
}

/// Whether a script may read one of these attributes of an object.
fn reads(words: &Words<'_>, variable: &str, attributes: &[String]) -> bool {
    !attributes.is_empty()
        && words
            .uses(variable)
            .into_iter()
            .any(|mention| match mention {
                Use::Read(name) => is_among(name, attributes),
                Use::Assigned(_) => false,
                Use::Unclear => true,
            })
}

fn is_among(name: &str, attributes: &[String]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute == name || attribute == EVERY_ATTRIBUTE)
}

fn note(found: &mut Vec<String>, name: &str) {
    if !found.iter().any(|known| known == name) {
        found.push(name.to_owned());
    }
}
