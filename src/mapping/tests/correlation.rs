//! Correlation and link qualifiers.
use super::*;

fn by_script(text: &str) -> Bench {
    let mut bench = Bench::new();
    bench.mapping.correlation = Some(Correlation::Script(bench.script(text)));
    bench
}

fn by_query(text: &str) -> Bench {
    let mut bench = Bench::new();
    let scripts = BTreeMap::from([("default".to_owned(), bench.script(text))]);
    bench.mapping.correlation = Some(Correlation::Query(scripts));
    bench
}

#[tokio::test]
async fn a_query_is_a_text_or_a_map() {
    let filter = Filter::parse("mail eq 'x'").expect("a filter");
    for text in ["\"mail eq 'x'\"", "#{_queryFilter: `mail eq \"x\"`}"] {
        let candidates = by_query(text).lookup().await.candidates;
        assert_eq!(
            candidates,
            Some(Candidates::Query(filter.clone())),
            "{text}"
        );
    }
    assert_eq!(by_query("()").lookup().await.candidates, None);
    for text in ["\"mail is x\"", "7", "#{_queryId: \"x\"}"] {
        let decision = by_query(text).decide(None, vec![]).await;
        assert!(message(&decision).starts_with("500 correlationQuery of mapping crm must give"));
        assert_eq!(decision.row.situation, None);
    }
}

#[tokio::test]
async fn a_script_names_ids_or_objects() {
    let ids = |ids: &[&str]| {
        Some(Candidates::Ids(
            ids.iter().map(|id| (*id).to_owned()).collect(),
        ))
    };
    for (text, expected) in [
        ("[\"a\", 7, #{_id: \"b\", x: 1}]", ids(&["a", "7", "b"])),
        ("[source.mail]", ids(&["ann@example.org"])),
        ("[]", ids(&[])),
        ("()", ids(&[])),
    ] {
        assert_eq!(
            by_script(text).lookup().await.candidates,
            expected,
            "{text}"
        );
    }
    for text in ["\"a\"", "[#{x: 1}]", "[true]"] {
        let decision = by_script(text).decide(None, vec![]).await;
        assert!(message(&decision).starts_with("500 correlationScript of mapping crm must give"));
    }
}

#[tokio::test]
async fn a_create_remembers_how_it_is_found_again() {
    let decision = Bench::new().correlated().decide(None, vec![]).await;
    assert_eq!(
        decision.row.find.as_deref(),
        Some("/mail eq \"ann@example.org\"")
    );
}

#[tokio::test]
async fn a_found_target_is_updated_and_linked() {
    let decision = Bench::new()
        .correlated()
        .decide(None, vec![hit("t", None)])
        .await;
    assert_eq!(decision.row.target_id.as_deref(), Some("t"));
    assert!(matches!(write(&decision), TargetWrite::Update { before, .. } if before.id == "t"));
    assert!(
        matches!(&decision.row.link, Some(LinkChange::Set { second_id: Some(id), .. }) if id == "t")
    );
}

#[tokio::test]
async fn qualifiers_are_fixed_or_given_by_a_script() {
    let mut bench = Bench::new();
    let source = bench.case().source;
    let names = link_qualifiers(&bench.mapping, source, bench.scripts()).await;
    assert_eq!(names.as_deref(), Ok(&["default".to_owned()][..]));
    for (text, expected) in [
        (
            "if object.active { [\"a\", \"b\", \"a\"] } else { [] }",
            Some(vec!["a", "b"]),
        ),
        ("[]", Some(vec![])),
        ("\"a\"", None),
        ("[1]", None),
    ] {
        bench.mapping.link_qualifiers = LinkQualifiers::Script(bench.script(text));
        let names = link_qualifiers(&bench.mapping, bench.case().source, bench.scripts()).await;
        let names = names.ok().map(|names| names.to_vec());
        let expected: Option<Vec<String>> =
            expected.map(|names| names.into_iter().map(str::to_owned).collect());
        assert_eq!(names, expected, "{text}");
    }
}

#[tokio::test]
async fn valid_source_must_answer_yes_or_no() {
    let mut bench = Bench::new();
    bench.mapping.valid_source = Some(bench.script("source.mail"));
    let decision = bench.decide(None, vec![]).await;
    assert_eq!(
        message(&decision),
        "500 validSource of mapping crm must give true or false"
    );
}
