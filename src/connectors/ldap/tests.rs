//! Tests of what a directory's file says.
use serde_json::{Value, json};

use super::*;

fn validate(changes: Value) -> Result<Settings, Vec<Problem>> {
    let mut value = json!({"url": "ldap://dir.example", "objects": {"account": {
        "baseDn": "ou=people,dc=example,dc=com", "objectClasses": ["inetOrgPerson", "x"],
        "rdnAttribute": "uid"}}});
    for (pointer, change) in changes.as_object().unwrap() {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap()[key] = change.clone();
    }
    Settings::validate(
        serde_json::from_value(value).unwrap(),
        Path::new("/project"),
    )
}

#[test]
fn every_problem_of_a_directory_is_reported_at_its_place() {
    for (changes, place) in [
        (json!({"/url": "http://dir.example"}), "/url"),
        (json!({"/url": "ldap://dir.example/dc=x"}), "/url"),
        (json!({"/url": "ldaps://[::1]"}), "/url"),
        (
            json!({"/url": "ldaps://dir.example", "/startTls": true}),
            "/startTls",
        ),
        (
            json!({"/url": "ldaps://dir.example", "/caFile": "no.pem"}),
            "/caFile",
        ),
        (json!({"/caFile": "/etc/hosts"}), "/caFile"),
        (json!({"/bindDn": "cn=x"}), "/bindPassword"),
        (
            json!({"/bindDn": "cn=x", "/bindPassword": ""}),
            "/bindPassword",
        ),
        (json!({"/bindPassword": "x"}), "/bindDn"),
        (
            json!({"/objects/account/baseDn": "people"}),
            "/objects/account/baseDn",
        ),
        (
            json!({"/objects/account/rdnAttribute": ""}),
            "/objects/account/rdnAttribute",
        ),
        (
            json!({"/objects/account/filter": "uid=*"}),
            "/objects/account/filter",
        ),
        (
            json!({"/objects/account/filter": "(uid=*"}),
            "/objects/account/filter",
        ),
        (
            json!({"/objects/account/binary": ["a b"]}),
            "/objects/account/binary",
        ),
        (
            json!({"/objects/account/operational": ["mail_address"]}),
            "/objects/account/operational",
        ),
        (
            json!({"/objects/account/emptyMember": "x"}),
            "/objects/account/emptyMember",
        ),
    ] {
        let problems = validate(changes.clone()).unwrap_err();
        let is_told = problems.iter().any(|problem| problem.pointer == place);
        assert!(is_told, "{changes}: {problems:?}");
    }
}

#[test]
fn whatever_names_an_attribute_can_stand_in_a_filter() {
    for (name, is_one) in [
        ("mail", true),
        ("x-1", true),
        ("cn;lang-de;x-y", true),
        ("2.5.4.3", true),
        ("2.5.4.03", false),
        ("2..5", false),
        ("", false),
        ("-x", false),
        ("1a", false),
        ("cn;", false),
        ("mail_address", false),
        ("given name", false),
        ("größe", false),
        ("cn;x=*))(employeeNumber=7*)(!(cn;y", false),
    ] {
        assert_eq!(is_attribute(name), is_one, "{name}");
        let filter = format!("(&({name}=a))");
        assert!(!is_one || ldap3::parse_filter(filter).is_ok(), "{name}");
    }
}

#[test]
fn what_is_left_out_is_what_directories_have() {
    let settings = validate(json!({})).unwrap();
    let class = &settings.classes["account"];
    assert_eq!(
        class.filter,
        "(&(objectClass=inetOrgPerson)(objectClass=x))"
    );
    assert_eq!(class.id_attribute, "entryUUID");
    assert!(class.is_write_only("USERPASSWORD") && class.is_list("memberof"));
    assert!(!class.is_id_the_name());
    assert_eq!(settings.place(), "dir.example:389");
}

#[test]
fn a_password_in_the_clear_is_a_caution() {
    let bound = json!({"/bindDn": "cn=x", "/bindPassword": "y"});
    assert_eq!(validate(bound).unwrap().cautions().len(), 1);
    assert!(validate(json!({})).unwrap().cautions().is_empty());
    let encrypted = json!({"/bindDn": "cn=x", "/bindPassword": "y", "/startTls": true});
    assert!(validate(encrypted).unwrap().cautions().is_empty());
}
