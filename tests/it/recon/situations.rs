//! Every situation that a reconciliation can meet, with what is done about it by default and by
//! policy; a dry run tells the same and does nothing.
use serde_json::{Value, json};

use super::*;
use crate::support::world::{Process, delete, put};

/// Correlates by mail, takes no `guest` source and no `foreign` target.
fn mapping(policies: Value) -> Value {
    let script = |text: &str| json!({"type": "text/rhai", "source": text});
    json!({
        "correlationQuery":
            script("`mail eq \"${source.mail}\"`"),
        "validSource": script("source.department != \"guest\""),
        "validTarget": script("target.department != \"foreign\""),
        "policies": policies,
    })
}

/// One record for each situation, made behind Recant's back where it takes that.
fn disturbed(world: &World, process: &Process) {
    let person = |name: &str, department: &str| json!({"name": name, "mail": format!("{name}@x"), "department": department});
    for name in [
        "same",
        "drifted",
        "missing",
        "unqualified",
        "gone",
        "both-gone",
    ] {
        process.change(put(name, person(name, "a"))).unwrap();
    }
    let target = &world.targets[0];
    target.put(
        "drifted",
        json!({"name": "somebody", "mail": "drifted@x", "department": "a"}),
    );
    target.remove("missing");
    // From here on nothing reaches the target by itself.
    let text = std::fs::read_to_string(world.folder.path().join("conf/sync.json")).unwrap();
    let mut sync: Value = serde_json::from_str(&text).unwrap();
    sync["mappings"][0]["enableSync"] = json!(false);
    world.write("conf/sync.json", &sync.to_string());
    process.run(async {
        for _ in 0..500 {
            if !process.app.engine().setup().mappings[0].enable_sync {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the edit is not taken up");
    });
    process
        .change(put("unqualified", person("unqualified", "guest")))
        .unwrap();
    process.change(delete("gone")).unwrap();
    process.change(delete("both-gone")).unwrap();
    target.remove("both-gone");
    process
        .change(put("absent", person("absent", "a")))
        .unwrap();
    process.change(put("found", person("found", "a"))).unwrap();
    target.put("t-found", json!({"mail": "found@x"}));
    process.change(put("rival", person("same", "a"))).unwrap();
    process
        .change(put("ambiguous", person("ambiguous", "a")))
        .unwrap();
    target.put("a1", json!({"mail": "ambiguous@x"}));
    target.put("a2", json!({"mail": "ambiguous@x"}));
    process
        .change(put("ignored", person("ignored", "guest")))
        .unwrap();
    target.put("stray", json!({"mail": "stray@x"}));
    target.put(
        "foreign",
        json!({"mail": "foreign@x", "department": "foreign"}),
    );
}

const BY_DEFAULT: [&str; 11] = [
    "ABSENT CREATE create SUCCESS absent absent",
    "AMBIGUOUS EXCEPTION - SUCCESS ambiguous -",
    "CONFIRMED UPDATE update SUCCESS drifted drifted",
    "FOUND UPDATE update SUCCESS found t-found",
    "FOUND_ALREADY_LINKED EXCEPTION - SUCCESS rival same",
    "LINK_ONLY EXCEPTION - SUCCESS both-gone both-gone",
    "MISSING EXCEPTION - SUCCESS missing missing",
    "SOURCE_IGNORED REPORT - SUCCESS ignored -",
    "SOURCE_MISSING EXCEPTION - SUCCESS gone gone",
    "TARGET_IGNORED REPORT - SUCCESS - foreign",
    "UNASSIGNED EXCEPTION - SUCCESS - stray",
];

#[test]
fn every_situation_is_met_and_its_default_action_done() {
    let world = world(mapping(json!([])));
    let process = world.start();
    disturbed(&world, &process);
    let app = &process.app;
    let before = world.dump();
    let reported = process.run(async { reconcile(app, dry(wanted())).await });
    let told = process.run(story(app, &reported));
    assert_eq!(world.dump(), before, "a dry run writes nothing");
    let run = process.run(async { reconcile(app, wanted()).await });
    assert_eq!(run.counts.failures, 0, "an exception is no failure");
    let lines = process.run(story(app, &run));
    let mut expected: Vec<&str> = BY_DEFAULT.to_vec();
    expected.push("UNQUALIFIED DELETE delete SUCCESS unqualified unqualified");
    assert_eq!(lines, expected);
    assert_eq!(told, lines, "the dry run tells what the run does");
    let summary = |run: &Run| {
        let value = run.to_value();
        [
            value["situationSummary"].clone(),
            value["statusSummary"].clone(),
        ]
    };
    assert_eq!(summary(&reported), summary(&run));
    let target = world.dump().remove(0);
    assert_eq!(target["absent"]["mail"], "absent@x");
    assert_eq!(target["t-found"]["name"], "found");
    assert_eq!(target["drifted"]["name"], "drifted");
    assert!(!target.contains_key("unqualified"));
    let found = process.run(matching(app, &run, "situation eq \"FOUND\""));
    assert_eq!(found.len(), 1);
    assert!(found[0].change.is_some(), "a change of its own");
    // What could be put right is; what a policy must decide is told again.
    let again = process.run(async { reconcile(app, wanted()).await });
    let lines = process.run(story(app, &again));
    let left = |line: &&&str| line.contains("EXCEPTION") || line.contains("REPORT");
    let mut expected: Vec<&str> = BY_DEFAULT.iter().filter(left).copied().collect();
    expected.push("SOURCE_IGNORED REPORT - SUCCESS unqualified -");
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn every_configured_action_is_done() {
    let policy = |situation: &str, action: &str| json!({"situation": situation, "action": action});
    let world = world(mapping(json!([
        policy("MISSING", "CREATE"),
        policy("FOUND", "LINK"),
        policy("FOUND_ALREADY_LINKED", "NOREPORT"),
        policy("AMBIGUOUS", "IGNORE"),
        policy("UNQUALIFIED", "UNLINK"),
        policy("SOURCE_IGNORED", "ASYNC"),
        policy("SOURCE_MISSING", "DELETE"),
        policy("LINK_ONLY", "UNLINK"),
        policy("UNASSIGNED", "DELETE"),
        policy("TARGET_IGNORED", "IGNORE"),
        {"situation": "ABSENT", "action": "REPORT", "condition": "/object/name eq \"absent\""},
    ])));
    let process = world.start();
    disturbed(&world, &process);
    let app = &process.app;
    let reported = process.run(async { reconcile(app, dry(wanted())).await });
    let run = process.run(async { reconcile(app, wanted()).await });
    let lines = process.run(story(app, &run));
    let expected = [
        "ABSENT REPORT - SUCCESS absent -",
        "CONFIRMED UPDATE update SUCCESS drifted drifted",
        "FOUND LINK link SUCCESS found t-found",
        "LINK_ONLY UNLINK unlink SUCCESS both-gone both-gone",
        "MISSING CREATE create SUCCESS missing missing",
        "SOURCE_MISSING DELETE delete SUCCESS gone gone",
        "UNASSIGNED DELETE delete SUCCESS - stray",
        "UNQUALIFIED UNLINK unlink SUCCESS unqualified unqualified",
    ];
    assert_eq!(lines, expected);
    assert_eq!(process.run(story(app, &reported)), lines);
    let target = world.dump().remove(0);
    let ids: Vec<&str> = target.keys().map(String::as_str).collect();
    assert_eq!(
        ids,
        [
            "a1",
            "a2",
            "drifted",
            "foreign",
            "missing",
            "same",
            "t-found",
            "unqualified"
        ]
    );
}

#[test]
fn a_target_that_a_source_found_is_never_without_a_source_for_the_target_phase() {
    let policy = |situation: &str, action: &str| json!({"situation": situation, "action": action});
    let world = world(mapping(json!([
        policy("FOUND", "IGNORE"),
        policy("UNQUALIFIED", "NOREPORT"),
        policy("AMBIGUOUS", "EXCEPTION"),
        policy("UNASSIGNED", "DELETE"),
    ])));
    let process = world.start();
    disturbed(&world, &process);
    let run = process.run(async { reconcile(&process.app, wanted()).await });
    assert_eq!((run.counts.deleted, run.counts.held), (1, 0));
    let target = world.dump().remove(0);
    for id in ["t-found", "unqualified", "a1", "a2"] {
        assert!(target.contains_key(id), "{id}");
    }
    assert!(!target.contains_key("stray"));
}

#[test]
fn a_source_that_could_not_be_looked_at_holds_back_deletions_of_what_may_be_its_own() {
    let script = |text: &str| json!({"type": "text/rhai", "source": text});
    let world = world(json!({
        "correlationQuery":
            script("if source.name == \"odd\" { throw \"no\"; } `mail eq \"${source.mail}\"`"),
        "enableSync": false,
        "policies": [
            {"situation": "UNASSIGNED", "action": "DELETE"},
            {"situation": "SOURCE_MISSING", "action": "DELETE"},
        ],
    }));
    let process = world.start();
    let person = |name: &str| json!({"name": name, "mail": format!("{name}@x")});
    process.change(put("even", person("even"))).unwrap();
    process.change(put("left", person("left"))).unwrap();
    let app = &process.app;
    process.run(async { reconcile(app, wanted()).await });
    process.change(delete("left")).unwrap();
    process.change(put("odd", person("odd"))).unwrap();
    world.targets[0].put("t-odd", json!({"mail": "odd@x"}));
    let run = process.run(async { reconcile(app, wanted()).await });
    assert_eq!((run.counts.failures, run.counts.held), (1, 1), "{run:?}");
    assert!(
        run.message
            .as_ref()
            .unwrap()
            .contains("could not be looked at")
    );
    let left = |world: &World| world.dump()[0].keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        left(&world),
        ["even", "t-odd"],
        "the other deletion was done"
    );
    process.run(async {
        app.approve_recon(run.id, "boss").await.unwrap();
        app.wait_for_recon(run.id).await.unwrap()
    });
    assert_eq!(left(&world), ["even"]);
}
