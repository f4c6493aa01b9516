//! integrations.json: what is said about keys that sign nothing.
use super::Folder;

const CRM: &str = r#"{"type": "csv", "file": "crm.csv", "objects": {"account": {"key": "id"}}}"#;

/// What is said about these secrets of a subscription, and of a webhook.
fn told(secrets: &str) -> Vec<String> {
    let file = format!(
        r#"{{"subscriptions": [{{"name": "crm", "url": "https://crm.example/", "secrets": {secrets}}}],
            "integrations": [{{"connector": "crm", "webhook": {{"secrets": {secrets}}}}}]}}"#
    );
    Folder::new()
        .with("conf/connectors/crm.json", CRM)
        .with("conf/integrations.json", &file)
        .lines()
}

#[test]
fn a_key_that_signs_nothing_is_refused_at_its_place() {
    let fine = r#"["0123456789abcdef", "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="]"#;
    assert_eq!(told(fine), [] as [&str; 0]);
    for (secret, what) in [
        ("", "is empty"),
        ("whsec_", "is empty"),
        ("0123456789abcde", "at least 16 bytes"),
        ("whsec_b2xk", "at least 16 bytes"),
        ("whsec_MDEyMzQ1Njc4OWFiY2RlZ!!=", "base64"),
    ] {
        let lines = told(&format!(r#"["0123456789abcdef", "{secret}"]"#));
        assert_eq!(lines.len(), 2, "{secret}: {lines:#?}");
        for place in [
            "/subscriptions/0/secrets/1",
            "/integrations/0/webhook/secrets/1",
        ] {
            let line = lines.iter().find(|line| line.contains(place));
            let line = line.unwrap_or_else(|| panic!("{place}: {lines:#?}"));
            assert!(line.contains(what), "{line}");
        }
        assert!(
            !lines.iter().any(|line| line.contains("b2xk")),
            "{lines:#?}"
        );
    }
    for none in ["[]", "[null]"] {
        assert!(!told(none).is_empty(), "{none}");
    }
}
