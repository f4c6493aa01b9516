//! The example folder is whole: it loads without a single problem.
use std::path::Path;

use recant::{
    config::{self, Configuration},
    hooks::{Failure, Run, Runtime, Script, Variable},
    mapping::Correlation,
};
use serde_json::{Value, json};

fn variable(name: &str) -> Option<String> {
    let value = match name {
        "RECANT_KEY" => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "DIRECTORY_URL" => "http://127.0.0.1:9000",
        "DIRECTORY_TOKEN" => "not-a-secret",
        _ => return None,
    };
    Some(value.to_owned())
}

fn example() -> config::Loaded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hr-to-four-systems");
    config::load(&folder, &|limits| Runtime::new(limits.clone()), &variable)
}

async fn run(configuration: &Configuration, script: &Script, variables: Value) -> Run {
    let names = ["source", "linkQualifier", "object"];
    let variables = names
        .into_iter()
        .filter_map(|name| {
            let value = variables.get(name)?.clone();
            let variable = if name == "object" {
                Variable::Mutable(vec![name], value)
            } else {
                Variable::Constant(value)
            };
            Some((name, variable))
        })
        .collect();
    configuration.runtime.run(script, variables, None).await
}

#[test]
fn hr_to_four_systems_has_no_problem() {
    let loaded = example();
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

#[tokio::test]
async fn its_own_hooks_do_what_they_say() {
    let configuration = example().configuration.unwrap();
    let badge = configuration.scripts["badge_number.rhai"].clone();
    for (qualifier, number) in [("door", "17"), ("car", "17-C")] {
        let variables = json!({"source": "17", "linkQualifier": qualifier});
        let run = run(&configuration, &badge, variables).await;
        assert_eq!(run.result, Ok(json!(number)));
    }

    let Some(Correlation::Query(queries)) = &configuration.mappings[3].correlation else {
        panic!("a correlation query");
    };
    let variables = json!({"source": {"mail": "O'Hara@Example.com"}});
    let run_query = run(&configuration, &queries["default"], variables).await;
    let filter = run_query.result.unwrap();
    let filter = filter["_queryFilter"].as_str().unwrap();
    let filter = recant::model::Filter::parse(filter).unwrap();
    let account = json!({"mail": "o'hara@example.com"});
    assert!(filter.matches(account.as_object().unwrap()));

    let give_back = &configuration.scripts["give_back.rhai"];
    let left = json!({"object": {"status": "left", "phone": "1", "carPlate": "2", "sn": "x"}});
    let given_back = run(&configuration, give_back, left).await;
    assert_eq!(
        given_back.variables["object"],
        json!({"status": "left", "sn": "x"})
    );

    let person = &configuration.types["person"];
    let own_mail = &person.hooks[&recant::managed::HookPoint::OnValidate];
    for (mail, allowed) in [("a@EXAMPLE.com", true), ("a@elsewhere.com", false)] {
        let run = run(&configuration, own_mail, json!({"object": {"mail": mail}})).await;
        match run.result {
            Ok(_) => assert!(allowed),
            Err(Failure::Thrown { code, .. }) => assert!(!allowed && code == Some(422)),
            Err(other) => panic!("{other}"),
        }
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
