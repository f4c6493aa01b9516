//! The example folder is whole: it loads without a single problem.
use std::path::Path;

use recant::{config, hooks::Runtime};

fn variable(name: &str) -> Option<String> {
    let value = match name {
        "RECANT_KEY" => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "DIRECTORY_URL" => "http://127.0.0.1:9000",
        "DIRECTORY_TOKEN" => "not-a-secret",
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn hr_to_four_systems_has_no_problem() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hr-to-four-systems");
    let loaded = config::load(&folder, &|limits| Runtime::new(limits.clone()), &variable);
    let told: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, [] as [&str; 0]);
    let configuration = loaded.configuration.unwrap();
    let mappings: Vec<&str> = configuration
        .mappings
        .iter()
        .map(|mapping| mapping.name.as_str())
        .collect();
    assert_eq!(
        mappings,
        [
            "personToBadges",
            "personToPhones",
            "personToPayroll",
            "personToDirectory"
        ]
    );
    let payroll = &configuration.mappings[2];
    assert_eq!(payroll.confidential, ["salary"]);
    assert_eq!(configuration.connectors.len(), 4);
}

#[test]
fn its_environment_is_asked_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hr-to-four-systems");
    let loaded = config::load(&folder, &|limits| Runtime::new(limits.clone()), &|_| None);
    let told: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(loaded.configuration.is_none());
    for name in ["RECANT_KEY", "DIRECTORY_URL", "DIRECTORY_TOKEN"] {
        let ending = format!("the environment variable `{name}` is not set");
        assert!(told.iter().any(|line| line.ends_with(&ending)), "{told:#?}");
    }
}

#[test]
fn its_standard_hooks_are_those_that_ship() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["compensate.rhai", "display_name.rhai", "is_active.rhai"] {
        let read = |folder: &str| std::fs::read_to_string(root.join(folder).join(name)).unwrap();
        assert_eq!(
            read("hooks"),
            read("examples/hr-to-four-systems/hooks"),
            "{name}"
        );
    }
}
