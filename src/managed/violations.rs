//! What an object violates, in the words of CREST's policy failures.
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::{Value, json};

use super::{ManagedType, PolicyFailure, PolicyRequirement};
use crate::model::{Object, object::is_meta};

/// Everything that `object` violates, by property.
pub(super) fn of(managed_type: &ManagedType, object: &Object) -> Vec<PolicyFailure> {
    let instance = Value::Object(
        object
            .iter()
            .filter(|(name, _)| !is_meta(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    );
    let mut failures: Vec<PolicyFailure> = Vec::new();
    for error in managed_type.validator.iter_errors(&instance) {
        let place = error.instance_path().as_str();
        let requirement = |params| PolicyRequirement {
            requirement: upper_case(error.kind().keyword()),
            params,
        };
        for property in properties(place, error.kind()) {
            let first = property.split('/').next().unwrap_or_default();
            let hidden = managed_type.confidential.iter().any(|name| name == first);
            let params = if hidden {
                json!({})
            } else {
                params(error.kind())
            };
            add(&mut failures, property, requirement(params));
        }
    }
    failures
}

/// The properties that a violation is about: what is missing or unexpected is named itself.
fn properties(place: &str, kind: &Kind) -> Vec<String> {
    let place = place.strip_prefix('/').unwrap_or(place);
    let inside = |name: &str| match place {
        "" => name.to_owned(),
        place => format!("{place}/{name}"),
    };
    match kind {
        Kind::Required { property } => vec![inside(property.as_str().unwrap_or_default())],
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| inside(name)).collect()
        }
        _ => vec![place.to_owned()],
    }
}

/// What the schema asks for; never a value of the object.
fn params(kind: &Kind) -> Value {
    let limit = |value: Value| json!({kind.keyword(): value});
    match kind {
        Kind::Pattern { pattern } => limit(json!(pattern)),
        Kind::Format { format } => limit(json!(format)),
        Kind::Enum { options } => limit(options.as_ref().clone()),
        Kind::Constant { expected_value } => limit(expected_value.as_ref().clone()),
        Kind::MaxItems { limit: number }
        | Kind::MinItems { limit: number }
        | Kind::MaxLength { limit: number }
        | Kind::MinLength { limit: number }
        | Kind::MaxProperties { limit: number }
        | Kind::MinProperties { limit: number } => limit(json!(number)),
        Kind::Maximum { limit: number }
        | Kind::Minimum { limit: number }
        | Kind::ExclusiveMaximum { limit: number }
        | Kind::ExclusiveMinimum { limit: number } => limit(number.clone()),
        Kind::MultipleOf { multiple_of } => limit(json!(multiple_of)),
        Kind::Type { kind: types } => json!({"types": names(types)}),
        _ => json!({}),
    }
}

fn names(types: &jsonschema::error::TypeKind) -> Vec<String> {
    match types {
        jsonschema::error::TypeKind::Single(one) => vec![one.to_string()],
        jsonschema::error::TypeKind::Multiple(several) => {
            several.iter().map(|one| one.to_string()).collect()
        }
    }
}

fn add(failures: &mut Vec<PolicyFailure>, property: String, requirement: PolicyRequirement) {
    match failures
        .iter_mut()
        .find(|failure| failure.property == property)
    {
        Some(failure) if failure.requirements.contains(&requirement) => {}
        Some(failure) => failure.requirements.push(requirement),
        None => failures.push(PolicyFailure {
            property,
            requirements: vec![requirement],
        }),
    }
}

/// `minLength` as `MIN_LENGTH`.
fn upper_case(keyword: &str) -> String {
    keyword.chars().fold(
        String::with_capacity(keyword.len() + 4),
        |mut name, letter| {
            if letter.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
            name
        },
    )
}
