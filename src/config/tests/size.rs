//! Large and deep input.
use super::Folder;

#[test]
fn many_mappings_load() {
    let mappings: Vec<String> = (0..200)
        .map(|number| {
            format!(
                r#"{{"name": "m{number}", "source": "managed/user", "target": "system/crm/account",
                    "sourceCondition": "/a eq {number}",
                    "properties": [{{"source": "a", "target": "a", "transform": {{"type": "text/rhai", "file": "t.rhai"}}}},
                                   {{"source": "b", "target": "b", "transform": {{"type": "text/rhai", "source": "source + {number}"}}}}]}}"#
            )
        })
        .collect();
    let folder = Folder::new()
        .with(
            "conf/managed.json",
            r#"{"objects": [{"name": "user", "schema": {"properties": {}}, "onSync": {"type": "text/rhai", "file": "t.rhai"}}]}"#,
        )
        .with(
            "conf/connectors/crm.json",
            r#"{"type": "csv", "file": "crm.csv", "objects": {"account": {"key": "id"}}}"#,
        )
        .with("conf/sync.json", &format!("{{\"mappings\": [{}]}}", mappings.join(",")))
        .with("hooks/t.rhai", "1");
    let loaded = folder.load();
    assert_eq!(super::lines(&loaded), [] as [&str; 0]);
    assert_eq!(loaded.configuration.unwrap().mappings.len(), 200);
}

#[test]
fn deep_and_large_files_are_told() {
    let deep = "[".repeat(100_000);
    let folder = Folder::new()
        .with("conf/managed.json", &deep)
        .with("conf/sync.json", &" ".repeat(17 * 1024 * 1024))
        .with("recant.toml", &format!("a = {deep}"));
    let told = folder.lines();
    assert!(
        told[0].starts_with("error recant.toml:1: is not TOML: "),
        "{told:?}"
    );
    let rest: Vec<&str> = told
        .iter()
        .filter(|line| !line.contains("recant.toml"))
        .map(String::as_str)
        .collect();
    assert_eq!(
        rest,
        [
            "error conf/managed.json:1: is not JSON: recursion limit exceeded (column 128)",
            "error conf/sync.json:1: cannot be read: it is larger than 16 MiB",
        ]
    );
}

#[test]
fn what_is_no_text_or_no_file_is_told() {
    let folder = Folder::new();
    std::fs::write(folder.path("conf/managed.json"), b"{\n\xff}").unwrap();
    std::fs::remove_file(folder.path("conf/sync.json")).unwrap();
    std::fs::create_dir(folder.path("conf/sync.json")).unwrap();
    assert_eq!(
        folder.lines(),
        [
            "error conf/managed.json:2: is not UTF-8 text: save it as UTF-8",
            "error conf/sync.json:1: cannot be read: it is no regular file",
        ]
    );
}

#[test]
fn files_that_only_idm_reads_are_told() {
    let told = Folder::new()
        .with("conf/mapping-user_crm.json", "{}")
        .with("conf/provisioner.openicf-crm.json", "{}")
        .with("conf/audit.json", "{}")
        .lines();
    assert_eq!(
        told,
        [
            "warning conf/mapping-user_crm.json:1: is not read: put the mapping into conf/sync.json",
            "warning conf/provisioner.openicf-crm.json:1: is not read: describe the target in conf/connectors/crm.json",
        ]
    );
}
