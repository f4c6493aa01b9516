//! recant.toml: every key, and what is said about wrong ones.
use std::time::Duration;

use super::{Folder, lines};

fn told(toml: &str) -> Vec<String> {
    Folder::new().with("recant.toml", toml).lines()
}

#[test]
fn a_folder_without_recant_toml_has_the_defaults() {
    let folder = Folder::new();
    let loaded = folder.load();
    assert_eq!(lines(&loaded), [] as [&str; 0]);
    let configuration = loaded.configuration.unwrap();
    assert_eq!(configuration.server.listen.to_string(), "127.0.0.1:8480");
    assert!(!configuration.server.trust_transaction_header);
    let file = folder.path("recant.db");
    assert_eq!(
        configuration.store.url,
        format!("sqlite://{}", file.display())
    );
    assert_eq!(
        configuration.journal.keep,
        Duration::from_secs(30 * 24 * 3600)
    );
    assert_eq!(
        configuration.files.keys().collect::<Vec<_>>(),
        ["conf/managed.json", "conf/sync.json"]
    );
}

#[test]
fn every_key_is_known() {
    let toml = r#"
        [server]
        listen = "0.0.0.0:9000"
        tls_cert = "tls/cert.pem"
        tls_key = "tls/key.pem"
        tls_client_ca = "tls/cert.pem"
        tls_client_auth = "required"
        public_url = "https://recant.example/"
        trust_transaction_header = true
        body_limit_bytes = 2048
        rate_limit_per_second = 0
        request_timeout_seconds = 5
        shutdown_timeout_seconds = 6
        [store]
        url = "postgres://recant:secret@db/recant"
        [auth.oidc]
        issuer = "https://id.example"
        audience = "recant"
        name_claim = "email"
        roles_claim = "/realm_access/roles"
        algorithms = ["RS256", "EdDSA"]
        clock_skew_seconds = 5
        authorized_parties = ["hr"]
        ca_file = "tls/cert.pem"
        client_id = "recant"
        client_secret = "secret"
        scopes = ["openid"]
        [auth.oidc.role_mapping]
        "recant/admins" = ["admin"]
        staff = ["caller", "auditor"]
        [auth.sessions]
        idle_minutes = 10
        longest_minutes = 60
        provider_minutes = 15
        [[auth.certificates]]
        holder = "DNS:hr.example"
        name = "hr"
        roles = ["caller"]
        [secrets]
        key = "${env:RECANT_KEY}"
        old_keys = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
        [limits]
        operations = 5000
        wall_time_ms = 100
        string_bytes = 1000
        collection_members = 100
        call_depth = 10
        [journal]
        keep_days = 7
        lease_seconds = 10
        [changes]
        max_waiting = 5
        max_wait_seconds = 2
        recovery_wait_seconds = 3
        [telemetry]
        log_format = "json"
        log_filter = "info,recant::sync=debug"
        otlp_endpoint = "http://localhost:4318"
    "#;
    let folder = Folder::new()
        .with("recant.toml", toml)
        .with("tls/cert.pem", "-----BEGIN CERTIFICATE-----\n")
        .with("tls/key.pem", "-----BEGIN PRIVATE KEY-----\n")
        .with_variable("RECANT_KEY", "/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v4=");
    let loaded = folder.load();
    assert_eq!(lines(&loaded), [""; 0]);
    let configuration = loaded.configuration.unwrap();
    assert_eq!(configuration.server.rate_limit, None);
    assert_eq!(configuration.limits.operations, 5000);
    assert_eq!(configuration.changes.recovery_wait.as_secs(), 3);
    assert_eq!(configuration.secrets.len(), 2);
    let oidc = configuration.auth.oidc.as_ref().unwrap();
    let client = oidc.client.as_ref().unwrap();
    assert_eq!(
        client.redirect,
        "https://recant.example/ui/sign-in/callback"
    );
    let mapping = oidc.role_mapping.as_ref().unwrap();
    assert_eq!(
        mapping["staff"],
        crate::model::Roles::named(["caller", "auditor"])
    );
    assert_eq!(configuration.auth.certificates[0].name, "hr");
    assert_eq!(configuration.auth.sessions.idle.as_secs(), 600);
    assert_eq!(configuration.auth.sessions.by_provider.as_secs(), 900);
    let shown = format!("{configuration:?} {:?}", configuration.auth);
    assert!(
        !shown.contains("/v7+") && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn every_problem_is_told_at_once_with_its_line() {
    let told = told(
        "[server]\nlisten = 8480\nlisten_on = \"x\"\ntls_cert = \"no.pem\"\n\
         [store]\nurl = \"oracle://x\"\n\
         [secrets]\nkey = \"c2hvcnQ=\"\n\
         [journal]\nkeep_days = 0\n\
         [telemetry]\nlog_format = \"jsn\"\n",
    );
    assert_eq!(
        told,
        [
            "error recant.toml:2: expected a text, found a number",
            "warning recant.toml:3: unknown key `listen_on` has no effect; did you mean `listen`?",
            "error recant.toml:4: `tls_cert` needs `tls_key` beside it",
            "error recant.toml:6: expected `sqlite://FILE`, `postgres://…` or `mysql://…`",
            "error recant.toml:8: is no key: expected 32 bytes in base64, as `openssl rand -base64 32` prints them",
            "error recant.toml:10: must be at least 1",
            "error recant.toml:12: `jsn` is not one of `json`, `text`; did you mean `json`?",
        ]
    );
}

#[test]
fn syntax_errors_carry_their_line_and_hide_nothing_else() {
    let folder = Folder::new()
        .with("recant.toml", "[server]\nlisten = \n")
        .with("conf/managed.json", "{\n  \"objects\": [,]\n}")
        .without("conf/sync.json");
    let told = folder.lines();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].starts_with("error recant.toml:2: is not TOML: "),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("error conf/managed.json:2: is not JSON: "),
        "{told:?}"
    );
    assert_eq!(
        told[2],
        "error conf/sync.json:1: there is no such file: create it"
    );
    assert!(folder.load().configuration.is_none());
}

#[test]
fn a_missing_folder_is_an_error() {
    let folder = Folder::new();
    let missing = folder.path("nowhere");
    let loaded = super::super::load(
        &missing,
        &|limits: &crate::hooks::Limits| crate::hooks::Runtime::new(limits.clone()),
        &|_| None,
    );
    let line = format!(
        "error {}:1: there is no such folder: `recant init` makes one",
        missing.display()
    );
    assert_eq!(lines(&loaded), [line]);
}

#[test]
fn references_are_put_in_and_kept_out_of_messages() {
    let folder = Folder::new()
        .with("recant.toml", "[store]\nurl = \"${env:KIND}://${file:secret/pw}\"\n[auth.oidc]\nissuer = \"${env:NO}\"\naudience = \"${file:none}\"\n")
        .with("secret/pw", "hush-hush\n")
        .with_variable("KIND", "hush-hush\n");
    let told = folder.lines();
    assert!(
        told[0].starts_with("error recant.toml:2: expected `sqlite"),
        "{told:?}"
    );
    assert_eq!(
        &told[1..],
        [
            "error recant.toml:4: the environment variable `NO` is not set",
            "error recant.toml:5: the file `none` cannot be read: No such file or directory (os error 2)",
        ]
    );
    assert!(!told.join("").contains("hush"), "{told:?}");
}

#[test]
fn what_would_open_a_door_too_far_is_refused() {
    for (toml, expected) in [
        (
            "[auth.oidc]\nissuer = \"http://id.example\"\naudience = \"r\"",
            "error recant.toml:2: expected an address that begins with https:// (http:// only on this machine)",
        ),
        (
            "[auth.oidc]\nissuer = \"https://id.example\"\naudience = \"r\"\nalgorithms = [\"HS256\"]",
            "error recant.toml:4: `HS256` is no signature that can be believed",
        ),
        (
            "[auth.oidc]\nissuer = \"https://id.example\"\naudience = \"r\"\nclient_id = \"r\"",
            "error recant.toml:4: signing in needs `public_url`",
        ),
        (
            "[auth.oidc]\nissuer = \"https://id.example\"\naudience = \"r\"\n[auth.oidc.role_mapping]\nstaff = [\"root\"]",
            "error recant.toml:5: there is no role `root`",
        ),
        (
            "[[auth.certificates]]\nholder = \"hr\"\nname = \"hr\"\nroles = [\"caller\"]",
            "error recant.toml:2: `hr` names nobody: expected CN=NAME, DNS:NAME, URI:NAME, email:NAME",
        ),
        (
            "[[auth.certificates]]\nholder = \"CN=hr\"\nname = \"oidc:ann\"\nroles = [\"caller\"]",
            "error recant.toml:3: expected a name that does not begin with `oidc:`",
        ),
        (
            "[server]\ntls_client_auth = \"required\"",
            "error recant.toml:2: name the authorities of client certificates",
        ),
        (
            "[server]\npublic_url = \"https://recant.example/x\"",
            "error recant.toml:2: `https://recant.example/x` is no address of a server",
        ),
    ] {
        let told = told(toml);
        let found = told.iter().any(|line| line.starts_with(expected));
        assert!(found, "{toml}\n{told:?}");
    }
}
