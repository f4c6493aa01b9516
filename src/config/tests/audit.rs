//! `[audit]` and `[hooks]`: every key, and what is said about wrong ones.
use std::time::Duration;

use super::{Folder, lines};
use crate::{
    audit::delivery::{Destination, SyslogAddress},
    model::signing::Signer,
};

#[test]
fn every_key_of_the_audit_is_known() {
    let toml = r#"
        [hooks]
        keep_runs = 0
        [audit]
        keep_days = 2
        undelivered_days = 7
        public_keys = ["${file:old.key.pub}"]
        checkpoint_key = "${file:audit.key}"
        checkpoint_seconds = 5
        checkpoint_file = "out/checkpoints.jsonl"
        [audit.destinations.a]
        type = "file"
        path = "out/audit.jsonl"
        max_bytes = 2048
        max_age_hours = 3
        keep_files = 4
        [audit.destinations.b]
        type = "syslog"
        address = "tls://siem.example:6514"
        ca_file = "ca.pem"
        app_name = "x"
        facility = 4
        [audit.destinations.c]
        type = "otlp"
        endpoint = "http://localhost:4318"
        headers = { authorization = "${env:TOKEN}" }
    "#;
    let earlier = Signer::from_seed(&[2; 32]).unwrap();
    let folder = Folder::new()
        .with("recant.toml", toml)
        .with("audit.key", &Signer::private_pem(&[3; 32]))
        .with("old.key.pub", &earlier.verifier().pem())
        .with("ca.pem", "x")
        .with_variable("TOKEN", "Bearer s3cret");
    let loaded = folder.load();
    assert_eq!(lines(&loaded), [] as [&str; 0]);
    let configuration = loaded.configuration.unwrap();
    assert_eq!(configuration.hooks.keep_runs, 0);
    let audit = &configuration.audit;
    assert_eq!(audit.keep, Some(Duration::from_secs(2 * 24 * 3600)));
    assert!(audit.signer.is_some());
    assert_eq!(audit.undelivered, Duration::from_secs(7 * 24 * 3600));
    let trust = audit.trust();
    assert!(trust.knows(earlier.verifier().id()));
    assert!(trust.knows(audit.signer.as_ref().unwrap().verifier().id()));
    assert_eq!(audit.checkpoint_every, Duration::from_secs(5));
    assert_eq!(
        audit.checkpoint_file,
        Some(folder.path("out/checkpoints.jsonl"))
    );
    assert_eq!(audit.destinations.len(), 3);
    match &audit.destinations["b"] {
        Destination::Syslog(settings) => assert_eq!(
            settings.address,
            SyslogAddress::Tls {
                address: "siem.example:6514".into(),
                host: "siem.example".into(),
                ca_file: folder.path("ca.pem"),
            }
        ),
        other => panic!("{other:?}"),
    }
    let shown = format!("{audit:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("PRIVATE"),
        "{shown}"
    );
}

#[test]
fn what_is_wrong_with_the_audit_is_told_without_secrets() {
    let toml = r#"
        [audit]
        checkpoint_key = "s3cret"
        public_keys = ["s3cret"]
        [audit.destinations.a]
        type = "file"
        [audit.destinations.b]
        type = "syslog"
        address = "siem.example"
        [audit.destinations.c]
        type = "otlp"
        endpoint = "ftp://x"
        [audit.destinations.d]
        type = "pigeon"
        [audit.destinations.e]
        type = "syslog"
        address = "tls://siem.example:6514"
    "#;
    let told = Folder::new().with("recant.toml", toml).lines();
    let text = told.join("\n");
    assert!(!text.contains("s3cret"), "{text}");
    for part in [
        "no Ed25519 private key",
        "no Ed25519 public key",
        "`path` is missing",
        "`siem.example` is no address",
        "begins with http://",
        "pigeon",
        "`ca_file` is missing",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let idle = Folder::new().with("recant.toml", "[audit]\ncheckpoint_file = \"x\"\n");
    let told = idle.lines().join("\n");
    assert!(
        told.contains("no effect without `checkpoint_key`"),
        "{told}"
    );
}
