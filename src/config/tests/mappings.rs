//! managed.json, sync.json, connectors and scripts: every key, and what is said about wrong ones.
use super::{Folder, lines};
use crate::mapping::{Condition, Correlation, LinkQualifiers, PolicyAction};

const TYPES: &str = r#"{"objects": [
    {"name": "user", "schema": {"properties": {"mail": {"type": "string"}}},
     "onSync": {"type": "text/rhai", "source": "()"}},
    {"name": "group", "schema": {"properties": {}}}
]}"#;
const CRM: &str = r#"{"type": "csv", "file": "crm.csv", "objects": {"account": {"key": "id"}}}"#;

/// A folder with types, the connector `crm`, and these mappings.
fn with_mappings(mappings: &str) -> Folder {
    Folder::new()
        .with("conf/managed.json", TYPES)
        .with("conf/connectors/crm.json", CRM)
        .with("conf/sync.json", &format!("{{\"mappings\": [{mappings}]}}"))
}

/// What is said about one mapping from `managed/user` to `system/crm/account` with these keys.
fn told(keys: &str) -> Vec<String> {
    let properties = if keys.contains("properties") {
        ""
    } else {
        r#", "properties": [{"source": "mail", "target": "mail"}]"#
    };
    with_mappings(&format!(
        r#"{{"name": "m", "source": "managed/user", "target": "system/crm/account"{properties}{keys}}}"#
    ))
    .lines()
}

#[test]
fn a_csv_file_that_is_made_gets_the_mapped_columns() {
    let folder = with_mappings(
        r#"{"name": "m", "source": "managed/user", "target": "system/crm/account", "properties": [
            {"source": "_id", "target": "_id"}, {"source": "mail", "target": "mail"},
            {"source": "sn", "target": "name/family"}]}"#,
    );
    let connectors = folder.load().configuration.unwrap().connectors;
    let crate::connectors::Kind::Csv(csv) = &connectors["crm"].kind else {
        panic!("a CSV file");
    };
    assert_eq!(csv.columns.as_deref().unwrap(), ["mail", "name"]);
}

#[test]
fn a_directory_has_no_attribute_that_its_filters_cannot_name() {
    let told = |target: &str| {
        let people = r#"{"type": "ldap", "url": "ldap://localhost", "objects": {"account": {
            "baseDn": "dc=x", "objectClasses": ["person"], "rdnAttribute": "cn"}}}"#;
        let mapping = format!(
            r#"{{"name": "m", "source": "managed/user", "target": "system/people/account",
                "properties": [{{"source": "_id", "target": "_id"}},
                    {{"source": "mail", "target": "{target}"}}]}}"#
        );
        with_mappings(&mapping)
            .with("conf/connectors/people.json", people)
            .lines()
            .join("\n")
    };
    for name in ["mail_address", "given name"] {
        let lines = told(name);
        assert!(
            lines.contains(&format!("`{name}` can be no attribute")),
            "{lines}"
        );
        assert!(lines.contains("/mappings/0/properties"), "{lines}");
    }
    let lines = told("mail;lang-de");
    assert!(!lines.contains("can be no attribute"), "{lines}");
}

#[test]
fn links_begin_at_the_managed_object() {
    for (owner, user) in [("toCrm", "fromCrm"), ("fromCrm", "toCrm")] {
        let ends = |name: &str| match name {
            "toCrm" => r#""source": "managed/user", "target": "system/crm/account""#,
            _ => r#""source": "system/crm/account", "target": "managed/user""#,
        };
        let folder = with_mappings(&format!(
            r#"{{"name": "{owner}", {}, "properties": []}},
               {{"name": "{user}", {}, "links": "{owner}", "properties": []}}"#,
            ends(owner),
            ends(user)
        ));
        let configuration = folder.load().configuration.unwrap();
        for mapping in &configuration.mappings {
            assert_eq!(mapping.links_reversed, mapping.name == "fromCrm", "{owner}");
            assert_eq!(mapping.link_type, owner);
        }
    }
}

#[test]
fn every_key_of_a_mapping_is_known() {
    let script = r#"{"type": "text/rhai", "source": "true"}"#;
    let folder = with_mappings(&format!(
        r#"{{"name": "toCrm", "source": "managed/user", "target": "system/crm/account",
            "enableSync": true, "linkQualifiers": ["default", "admin"],
            "properties": [
                {{"source": "mail", "target": "mail", "transform": {{"type": "text/rhai", "file": "lib/low.rhai", "globals": {{"x": 1}}}},
                  "condition": "/object/mail pr", "default": null}},
                {{"source": "", "target": "address/city", "transform": {script}, "condition": {script}}},
                {{"target": "kind", "default": "person"}}],
            "validSource": {script}, "validTarget": {script}, "sourceCondition": "/mail co '@'",
            "correlationQuery": [{{"linkQualifier": "default", "type": "text/rhai", "source": "\"true\""}},
                                 {{"linkQualifier": "admin", "type": "text/rhai", "source": "\"true\""}}],
            "policies": [{{"situation": "FOUND", "action": "UPDATE", "condition": "/object/mail pr", "postAction": {script}}},
                         {{"situation": "FOUND", "action": {script}}}],
            "onCreate": {script}, "onUpdate": {script}, "onDelete": {script}, "onLink": {script}, "onUnlink": {script},
            "result": {script},
            "queuedSync": {{"enabled": true, "pageSize": 10, "pollingInterval": 500, "maxQueueSize": 100,
                           "maxRetries": -1, "retryDelay": 20, "postRetryAction": "dead-letter-queue"}},
            "sourceQuery": {{"_queryFilter": "true", "resourceName": "managed/user"}}, "targetQuery": "true",
            "allowEmptySourceSet": true, "runTargetPhase": false}},
           {{"name": "fromCrm", "source": "system/crm/account", "target": "managed/user", "links": "toCrm",
            "enableSync": false, "correlationScript": {script},
            "linkQualifiers": {script}, "properties": [{{"source": "mail", "target": "mail"}}]}}"#
    ))
    .with("hooks/lib/low.rhai", "source.lower()");
    let loaded = folder.load();
    assert_eq!(lines(&loaded), [] as [&str; 0]);
    let configuration = loaded.configuration.unwrap();
    let [first, second] = configuration.mappings.as_slice() else {
        panic!("two mappings");
    };
    assert!(
        matches!(first.correlation, Some(Correlation::Query(ref scripts)) if scripts.len() == 2)
    );
    assert!(matches!(first.source_condition, Some(Condition::Filter(_))));
    assert!(matches!(first.policies[1].action, PolicyAction::Script(_)));
    assert_eq!(first.hooks.len(), 6);
    assert_eq!(
        first.properties[0]
            .transform
            .as_ref()
            .unwrap()
            .name
            .as_ref(),
        "lib/low.rhai"
    );
    let retries = first.queued_sync.as_ref().unwrap().max_retries;
    assert_eq!(retries, Some(u32::MAX), "for ever");
    assert!(!first.run_target_phase && first.allow_empty_source_set);
    assert!(second.links_reversed && second.link_type == "toCrm" && !second.enable_sync);
    assert!(matches!(second.link_qualifiers, LinkQualifiers::Script(_)));
    assert_eq!(
        configuration.scripts.keys().collect::<Vec<_>>(),
        ["lib/low.rhai"]
    );
}

#[test]
fn scripts_of_another_language_make_a_porting_list() {
    let told = told(
        r#", "onCreate": {"type": "text/javascript", "file": "script/on.js"},
             "properties": [{"target": "a", "transform": {"type": "groovy", "source": "1"}}]"#,
    );
    assert_eq!(
        told,
        [
            "error conf/sync.json#/mappings/0/properties/0/transform/type: the script of mapping `m`, hook `transform of a` is `groovy`: port it to `text/rhai`",
            "error conf/sync.json#/mappings/0/onCreate/type: the script of mapping `m`, hook `onCreate` (file `script/on.js`) is `text/javascript`: port it to `text/rhai`",
        ]
    );
}

#[test]
fn broken_scripts_are_told_with_file_and_line_once() {
    let folder = with_mappings(
        r#"{"name": "m", "source": "managed/user", "target": "system/crm/account",
            "properties": [{"target": "a", "transform": {"type": "text/rhai", "file": "bad.rhai"}},
                           {"target": "b", "transform": {"type": "text/rhai", "file": "bad.rhai"}},
                           {"target": "c", "transform": {"type": "text/rhai", "source": "1 +"}}]}"#,
    )
    .with("hooks/bad.rhai", "let a = 1;\n\nlet = 2;\n")
    .with("hooks/unused.rhai", "}")
    .with("hooks/unused_with_globals.rhai", "domain");
    let told = folder.lines();
    let begins = [
        "error hooks/bad.rhai:3: ",
        "error conf/sync.json#/mappings/0/properties/2/transform/source: the script of mapping `m`, hook `transform of c`: line 1, ",
        "error hooks/unused.rhai:1: ",
        "warning hooks/unused_with_globals.rhai:1: there is no variable `domain`",
    ];
    assert_eq!(told.len(), begins.len(), "{told:#?}");
    for (line, begin) in told.iter().zip(begins) {
        assert!(line.starts_with(begin), "{told:#?}");
    }
}

#[test]
fn scripts_stay_in_their_folder() {
    let folder = with_mappings(
        r#"{"name": "m", "source": "managed/user", "target": "system/crm/account",
            "onCreate": {"type": "text/rhai", "file": "../conf/x.rhai"},
            "onUpdate": {"type": "text/rhai", "file": "/etc/x.rhai"},
            "onDelete": {"type": "text/rhai", "file": "link.rhai"},
            "onLink": {"type": "text/rhai", "file": "mising.rhai"},
            "onUnlink": {"type": "text/rhai", "file": "a.rhai", "source": "1"},
            "result": {"type": "text/rhai"},
            "validSource": {"file": "missing.rhai"},
            "properties": [{"source": "a", "target": "a"}]}"#,
    )
    .with("conf/x.rhai", "true")
    .with("hooks/missing.rhai", "true");
    std::os::unix::fs::symlink(folder.path("conf/x.rhai"), folder.path("hooks/link.rhai")).unwrap();
    assert_eq!(
        folder.lines(),
        [
            "error hooks/link.rhai:1: is a link that leads out of the folder `hooks`: put the file itself there",
            "error conf/sync.json#/mappings/0/validSource: `type` is missing",
            "error conf/sync.json#/mappings/0/onCreate/file: the script of mapping `m`, hook `onCreate`: `../conf/x.rhai` leads out of the folder `hooks`: name a file inside it",
            "error conf/sync.json#/mappings/0/onUpdate/file: the script of mapping `m`, hook `onUpdate`: `/etc/x.rhai` leads out of the folder `hooks`: name a file inside it",
            "error conf/sync.json#/mappings/0/onLink/file: the script of mapping `m`, hook `onLink`: there is no file `hooks/mising.rhai`; did you mean `missing.rhai`?",
            "error conf/sync.json#/mappings/0/onUnlink: the script of mapping `m`, hook `onUnlink` has both `file` and `source`: keep one",
            "error conf/sync.json#/mappings/0/result: the script of mapping `m`, hook `result` has neither `file` nor `source`",
        ]
    );
}

#[test]
fn mappings_lead_between_places_that_exist() {
    let folder = with_mappings(
        r#"{"name": "m", "source": "managed/usr", "target": "system/crm/acount", "properties": [{"source": "a", "target": "a"}]},
           {"name": "m", "source": "user", "target": "system/cmr/account", "properties": [{"source": "a", "target": "a"}]},
           {"name": "n", "source": "managed/user", "target": "managed/group", "properties": [{"source": "a", "target": "a"}]},
           {"name": "o", "source": "managed/user", "target": "system/crm/account", "links": "q", "properties": []},
           {"name": "p/q", "source": "managed/group", "target": "system/crm/account", "links": "o", "properties": []},
           {"name": "s", "source": "managed/group", "target": "system/crm/account", "links": "s", "properties": []}"#,
    );
    let told = folder.lines();
    assert_eq!(
        told,
        [
            "error conf/sync.json#/mappings/0/source: there is no type `usr` in conf/managed.json; did you mean `user`?",
            "error conf/sync.json#/mappings/0/target: conf/connectors/crm.json has no object class `acount`; did you mean `account`?",
            "error conf/sync.json#/mappings/1/name: the mapping `m` stands here for the second time, after /mappings/0",
            "error conf/sync.json#/mappings/1/source: `user` names no container: expected managed/TYPE or system/CONNECTOR/CLASS",
            "error conf/sync.json#/mappings/1/target: there is no connector conf/connectors/cmr.json; did you mean `crm`?",
            "error conf/sync.json#/mappings/2/target: leads from `managed/user` to `managed/group`, but one side of a mapping is a target system: let a hook of `user` such as `postUpdate` ask for the change with `update(\"managed/group/…\", …)`",
            "error conf/sync.json#/mappings/4/name: a name is made of letters, digits, `_`, `-` and `.`",
            "error conf/sync.json#/mappings/3/links: there is no mapping `q`",
            "error conf/sync.json#/mappings/4/links: `o` itself uses the links of `q`: name that one",
            "error conf/sync.json#/mappings/5/links: names the mapping itself: leave it out",
            "warning conf/sync.json#/mappings/4/source: the type `group` has no `onSync` hook: a change that a target refuses ends `partial`; for all or nothing give it one, such as hooks/compensate.rhai",
        ]
    );
}

#[test]
fn filters_are_told_with_the_position() {
    let told = told(r#", "sourceCondition": "/mail eq", "sourceQuery": {"_queryFilter": "x ??"}"#);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with(
            "error conf/sync.json#/mappings/0/sourceCondition: is no query filter: at "
        ),
        "{told:?}"
    );
    assert!(
        told[1].starts_with(
            "error conf/sync.json#/mappings/0/sourceQuery/_queryFilter: is no query filter: at "
        ),
        "{told:?}"
    );
}

#[test]
fn both_correlations_and_traps_are_told() {
    let told = told(
        r#", "correlationQuery": {"linkQualifier": "adm", "type": "text/rhai", "source": "\"true\""},
             "correlationScript": {"type": "text/rhai", "source": "[]"},
             "policies": [{"situation": "SOURCE_MISSING", "action": "UNLINK"}],
             "queuedSync": {"postRetryAction": "logged-ignore", "maxRetrys": 3},
             "linkQualifiers": ["a", "a", ""]"#,
    );
    assert_eq!(
        told,
        [
            "warning conf/sync.json#/mappings/0/queuedSync/maxRetrys: unknown key `maxRetrys` has no effect; did you mean `maxRetries`?",
            "error conf/sync.json#/mappings/0/linkQualifiers/1: `a` stands here for the second time",
            "error conf/sync.json#/mappings/0/linkQualifiers/2: is empty: name a qualifier",
            "error conf/sync.json#/mappings/0/correlationScript: has both `correlationQuery` and `correlationScript`: keep one",
            "warning conf/sync.json#/mappings/0/policies/0/action: `UNLINK` leaves the target behind when its source is deleted, and a create that is taken back may not be undone: use `DELETE`, which is the default",
            "warning conf/sync.json#/mappings/0/queuedSync/postRetryAction: is not supported: a change that failed for good is kept, as `dead-letter-queue` says",
        ]
    );
}

#[test]
fn types_are_checked_and_confidential_ones_need_a_key() {
    let folder = Folder::new().with(
        "conf/managed.json",
        r#"{"objects": [
            {"name": "user", "schema": {"properties": {"salary": {"confidential": true}}}, "onSnc": {}},
            {"name": "user", "schema": {"properties": {}}},
            {"name": "bad one", "schema": {"properties": {"a": {"type": "strin"}}}},
            {"schema": {}}, {"name": "bare"}
        ]}"#,
    );
    let told = folder.lines();
    assert_eq!(told.len(), 7, "{told:#?}");
    assert_eq!(
        told[0],
        "warning conf/managed.json#/objects/0/onSnc: unknown key `onSnc` has no effect; did you mean `onSync`?"
    );
    assert_eq!(
        told[1],
        "error conf/managed.json#/objects/3: `name` is missing"
    );
    assert_eq!(
        told[2],
        "error conf/managed.json#/objects/4: `schema` is missing"
    );
    assert_eq!(
        told[3],
        "error conf/managed.json#/objects/1/name: the type `user` stands here for the second time, after /objects/0"
    );
    assert_eq!(
        told[4],
        "error conf/managed.json#/objects/2/name: a name is made of letters, digits, `_`, `-` and `.`"
    );
    assert!(
        told[5].starts_with("error conf/managed.json#/objects/2/schema/properties/a/type: "),
        "{told:#?}"
    );
    assert!(told[6].starts_with("error conf/managed.json#/objects/0/schema/properties/salary/confidential: `salary` is confidential, so recant.toml must name a key"), "{told:#?}");
}

#[test]
fn an_unreadable_file_makes_no_problems_of_others() {
    let folder = with_mappings(
        r#"{"name": "m", "source": "managed/user", "target": "system/crm/account",
            "properties": [{"source": "a", "target": "a"}]}"#,
    )
    .with(
        "conf/managed.json",
        r#"{"objects": [{"name": "user", "schema": {"properties": {"a": {"confidential": true}}},
            "onSync": {"type": "text/rhai", "source": "1"}}]}"#,
    )
    .with("recant.toml", "[");
    assert_eq!(folder.lines().len(), 1, "{:#?}", folder.lines());
    let folder = folder
        .with("recant.toml", "")
        .with("conf/managed.json", "[")
        .with("conf/connectors/crm.json", "[");
    let told = folder.lines();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told.iter().all(|line| line.contains(":1: is not JSON: ")),
        "{told:#?}"
    );
}

#[test]
fn connectors_are_checked_and_hide_nothing() {
    let folder = Folder::new()
        .with("conf/connectors/a.json", "{")
        .with("conf/connectors/b.json", r#"{"type": "fax"}"#)
        .with(
            "conf/connectors/c d.json",
            r#"{"$schema": "x", "// why": 1, "type": "csv", "file": "x.csv", "timoutMs": 5,
                "objects": {"o": {"key": "id"}}}"#,
        );
    let told = folder.lines();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(
        told[0].starts_with("error conf/connectors/a.json:1: is not JSON: "),
        "{told:#?}"
    );
    assert!(
        told[1].starts_with("error conf/connectors/b.json#/type: "),
        "{told:#?}"
    );
    assert_eq!(
        told[2],
        "warning conf/connectors/c d.json#/timoutMs: unknown key `timoutMs` has no effect; did you mean `timeoutMs`?"
    );
    let unnameable = "error conf/connectors/c d.json:1: the file is named after its target: ";
    assert!(told[3].starts_with(unnameable), "{told:#?}");
}

#[test]
fn the_problems_as_json_have_four_members() {
    let folder = Folder::new()
        .with("recant.toml", "[stor]\n")
        .with("conf/sync.json", "7");
    let problems = folder.load().problems;
    let json = super::super::to_json(&problems);
    assert_eq!(
        json,
        serde_json::json!({"problems": [
            {"severity": "warning", "file": "recant.toml", "place": 1,
             "message": "unknown key `stor` has no effect; did you mean `store`?"},
            {"severity": "error", "file": "conf/sync.json", "place": "",
             "message": "expected an object, found a number"},
        ]})
    );
}

#[test]
fn values_of_every_type_everywhere_are_told_and_never_panic() {
    let whole = r#"{"mappings": [{"name": "m", "source": "managed/user", "target": "system/crm/account",
        "links": "m", "linkQualifiers": ["a"], "properties": [{"source": "a", "target": "b", "transform": {"type": "text/rhai", "source": "1"},
        "condition": "true", "default": 1}], "sourceCondition": {"type": "text/rhai", "file": "x", "globals": {}},
        "correlationQuery": [{"linkQualifier": "a"}], "policies": [{"situation": "FOUND", "action": "UPDATE"}],
        "queuedSync": {"enabled": true, "pageSize": 1}, "sourceQuery": {"_queryFilter": "true"}}]}"#;
    let whole: serde_json::Value = serde_json::from_str(whole).unwrap();
    let mut places = Vec::new();
    pointers(&whole, String::new(), &mut places);
    let folder = with_mappings("");
    for place in places {
        for odd in [
            serde_json::json!(null),
            serde_json::json!(-1.5),
            serde_json::json!(u64::MAX),
            serde_json::json!([[]]),
            serde_json::json!({"": {}}),
            serde_json::json!("\u{0}~1/%é"),
            serde_json::json!(""),
            serde_json::json!(true),
        ] {
            let mut bent = whole.clone();
            *bent.pointer_mut(&place).unwrap() = odd;
            folder.write("conf/sync.json", &bent.to_string());
            assert!(!folder.lines().is_empty(), "{bent}");
        }
    }
}

fn pointers(value: &serde_json::Value, at: String, found: &mut Vec<String>) {
    found.push(at.clone());
    match value {
        serde_json::Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                pointers(inner, format!("{at}/{index}"), found);
            }
        }
        serde_json::Value::Object(members) => {
            for (key, inner) in members {
                pointers(inner, format!("{at}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// A folder with a REST connector whose scripts are these.
fn with_shapes(scripts: &str) -> Folder {
    let connector = format!(
        r#"{{"type": "rest", "baseUrl": "http://localhost:1", "objects": {{"account": {{
            "path": "/people", {scripts}}}}}}}"#
    );
    Folder::new()
        .with("conf/managed.json", TYPES)
        .with("conf/sync.json", r#"{"mappings": []}"#)
        .with("conf/connectors/crm.json", &connector)
}

#[test]
fn scripts_of_connectors_are_compiled_and_errors_name_their_place() {
    let told = |scripts: &str| with_shapes(scripts).lines();
    let good = r#""onRequest": {"type": "text/rhai", "source": "object.x = 1; object"}"#;
    assert_eq!(told(good), Vec::<String>::new());
    let wrong = told(r#""onResponse": {"type": "text/rhai", "source": "objekt"}"#).join("\n");
    assert!(
        wrong.contains("conf/connectors/crm.json#/objects/account/onResponse/source"),
        "{wrong}"
    );
    assert!(
        wrong.contains("line 1") && wrong.contains("objekt"),
        "{wrong}"
    );
    for (scripts, part) in [
        (r#""onRequest": {"source": "1"}"#, "`type` is missing"),
        (
            r#""onRequest": {"type": "text/javascript", "source": "1"}"#,
            "port it",
        ),
        (
            r#""onRequest": {"type": "text/rhai", "file": "no.rhai"}"#,
            "no file `hooks/no.rhai`",
        ),
    ] {
        let wrong = told(scripts).join("\n");
        assert!(wrong.contains(part), "{wrong}");
    }
}

#[tokio::test]
async fn a_script_shapes_a_value_and_does_nothing_else() {
    use serde_json::json;
    let shape = |source: &str| {
        let script = format!(r#""onRequest": {{"type": "text/rhai", "source": "{source}"}}"#);
        let connectors = with_shapes(&script)
            .load()
            .configuration
            .unwrap()
            .connectors;
        let crate::connectors::Kind::Rest(rest) = connectors["crm"].kind.clone() else {
            panic!("a REST service");
        };
        rest.classes["account"].on_request.clone()
    };
    let value = || json!({"name": "A"});
    let wrapped = shape("#{data: object, op: operation}");
    assert_eq!(
        wrapped.apply("create", value()).await,
        Ok(json!({"data": {"name": "A"}, "op": "create"}))
    );
    let changed = shape("object.kind = 7;");
    assert_eq!(
        changed.apply("create", value()).await,
        Ok(json!({"name": "A", "kind": 7}))
    );
    for (source, part) in [
        ("revert(); object", "may only shape"),
        ("read(`managed/user/1`)", "read"),
        ("let x = 0; loop { x += 1 }", "operations"),
        ("throw `no`", "no"),
    ] {
        let error = shape(source).apply("create", value()).await.unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    // An edit makes another connector; the same text does not.
    assert_ne!(shape("1"), shape("2"));
    assert_eq!(shape("1"), shape("1"));
}
