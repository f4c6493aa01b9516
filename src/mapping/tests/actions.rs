//! Policies, links, ids and renames.
use super::*;

#[tokio::test]
async fn the_first_policy_whose_condition_holds_counts() {
    let mut bench = Bench::new().linked("t");
    let policies = [
        (Some(filter("/target/email eq 'other'")), Action::Delete),
        (
            Some(Condition::Script(bench.script(
                "object.active && target.email == \"old\" && linkQualifier == \"other\"",
            ))),
            Action::Unlink,
        ),
        (
            Some(filter(
                "/object/active eq true and linkQualifier eq 'default'",
            )),
            Action::Report,
        ),
        (None, Action::Exception),
    ];
    for (condition, action) in policies {
        bench.mapping.policies.push(Policy {
            situation: Situation::Confirmed,
            condition,
            action: PolicyAction::Fixed(action),
            post_action: None,
        });
    }
    let decision = bench
        .decide(Some(target("t", json!({"email": "old"}))), vec![])
        .await;
    assert_eq!(decision.row.action, Some(Action::Report));
    assert_eq!(decision.row.target_id.as_deref(), Some("t"));
}

#[tokio::test]
async fn a_script_may_name_the_action() {
    for (text, expected) in [
        (
            "if sourceAction && target == () { \"unlink\" } else { \"DELETE\" }",
            Ok(Action::Unlink),
        ),
        (
            "\"EXPLODE\"",
            Err("500 action of a policy of mapping crm must give the name of an action"),
        ),
        (
            "7",
            Err("500 action of a policy of mapping crm must give the name of an action"),
        ),
        (
            "throw #{code: 423, message: \"no\"}",
            Err("423 action of a policy of mapping crm: no"),
        ),
        (
            "throw \"no\"",
            Err("400 action of a policy of mapping crm: no"),
        ),
        (
            "throw #{code: 503, message: \"no\"}",
            Err("500 action of a policy of mapping crm: no"),
        ),
    ] {
        let mut bench = Bench::new().linked("t");
        let action = PolicyAction::Script(bench.script(text));
        bench.mapping.policies.push(Policy {
            situation: Situation::Missing,
            condition: None,
            action,
            post_action: None,
        });
        let decision = bench.decide(None, vec![]).await;
        match expected {
            Ok(action) => assert_eq!(decision.row.action, Some(action)),
            Err(text) => assert_eq!(message(&decision), text),
        }
        assert_eq!(decision.row.situation, Some(Situation::Missing));
    }
}

#[tokio::test]
async fn exception_names_mapping_and_situation() {
    let decision = Bench::new().linked("t").decide(None, vec![]).await;
    assert_eq!(
        message(&decision),
        "409 mapping crm does not go on in situation MISSING"
    );
    assert_eq!(decision.row.link, None);
}

#[tokio::test]
async fn a_create_takes_the_sources_id_unless_a_property_gives_one() {
    let decision = Bench::new().decide(None, vec![]).await;
    assert_eq!(
        write(&decision),
        &TargetWrite::Create {
            id: Some("7".to_owned()),
            after: object(json!({"email": "ann@example.org"}))
        }
    );
    assert_eq!(decision.unread, None);
    assert_eq!(
        decision.row.link,
        Some(LinkChange::Set {
            link_type: "crm".to_owned(),
            link_qualifier: "default".to_owned(),
            first_id: "7".to_owned(),
            second_id: Some("7".to_owned())
        })
    );
    let by_mail = || Bench::new().with_properties(vec![property("mail -> _id")]);
    assert_eq!(
        by_mail().lookup().await.id.as_deref(),
        Some("ann@example.org")
    );
    let assigned = Bench::new().with_properties(vec![property("missing -> _id")]);
    assert_eq!(assigned.lookup().await.id, None);
    let decision = assigned.decide(None, vec![]).await;
    assert_eq!(
        write(&decision),
        &TargetWrite::Create {
            id: None,
            after: Object::new()
        }
    );
    let unusable = Bench::new().with_properties(vec![property("active -> _id")]);
    assert!(
        message(&unusable.decide(None, vec![]).await).starts_with("400 mapping crm: property /_id")
    );
}

#[tokio::test]
async fn a_create_never_overwrites() {
    let existing = || Some(target("7", json!({})));
    let decision = Bench::new().decide(existing(), vec![]).await;
    assert_eq!(
        message(&decision),
        "409 mapping crm: the target object 7 already exists"
    );
    assert_eq!(decision.row.situation, Some(Situation::Absent));
    assert_eq!(decision.row.link, None);

    let ignoring = Bench::new().with_policy(Situation::Absent, Action::Ignore);
    assert_eq!(
        ignoring.decide(existing(), vec![]).await.row.step,
        Step::Nothing
    );

    // The hook chooses another id than the one that was read: it is still to be read.
    let renaming = Bench::new().with_hook(MappingHook::OnCreate, "target._id = \"x\"");
    let mut decision = renaming.decide(existing(), vec![]).await;
    assert_eq!(decision.unread.as_deref(), Some("x"));
    assert_eq!(
        write(&decision).after(),
        Some(object(json!({"_id": "x", "email": "ann@example.org"})))
    );
    decision.taken();
    assert_eq!(
        message(&decision),
        "409 mapping crm: the target object x already exists"
    );
    assert_eq!((decision.unread, decision.row.link), (None, None));
}

#[tokio::test]
async fn an_update_writes_only_what_differs() {
    let bench = || Bench::new().linked("t");
    let same = target("t", json!({"email": "ann@example.org", "own": 1}));
    let decision = bench().decide(Some(same), vec![]).await;
    assert_eq!(
        (&decision.row.step, &decision.row.link),
        (&Step::Nothing, &None)
    );
    let before = target("t", json!({"email": "old", "own": 1}));
    let decision = bench().decide(Some(before.clone()), vec![]).await;
    assert_eq!(
        write(&decision),
        &TargetWrite::Update {
            before,
            after: object(json!({"email": "ann@example.org", "own": 1})),
            rename: None
        }
    );
}

#[tokio::test]
async fn a_changed_id_renames_and_links_anew() {
    let bench = Bench::new()
        .linked("old@example.org")
        .with_properties(vec![property("mail -> _id")]);
    let before = target("old@example.org", json!({"own": 1}));
    let decision = bench.decide(Some(before.clone()), vec![]).await;
    assert_eq!(
        write(&decision),
        &TargetWrite::Update {
            before: before.clone(),
            after: before.attributes,
            rename: Some("ann@example.org".to_owned())
        }
    );
    assert_eq!(decision.unread.as_deref(), Some("ann@example.org"));
    assert!(
        matches!(&decision.row.link, Some(LinkChange::Set { second_id: Some(id), .. }) if id == "ann@example.org")
    );
    // Without such a property an existing target keeps its id.
    let decision = Bench::new()
        .linked("t")
        .decide(Some(target("t", json!({}))), vec![])
        .await;
    assert!(matches!(
        write(&decision),
        TargetWrite::Update { rename: None, .. }
    ));
}

#[tokio::test]
async fn a_target_of_another_source_is_left_alone() {
    let taken = || vec![hit("t", Some(link("8", "t")))];
    for action in [Action::Update, Action::Link] {
        let bench = Bench::new()
            .correlated()
            .with_policy(Situation::FoundAlreadyLinked, action);
        let decision = bench.decide(None, taken()).await;
        assert!(
            message(&decision).contains("linked to another source"),
            "{action}"
        );
    }
    let bench = Bench::new()
        .correlated()
        .with_policy(Situation::FoundAlreadyLinked, Action::Delete);
    let decision = bench.decide(None, taken()).await;
    assert_eq!(decision.row.link, Some(LinkChange::Remove(link("8", "t"))));
}

#[tokio::test]
async fn links_of_another_mapping_are_read_from_the_other_side() {
    let mut bench = Bench::new();
    bench.mapping.links_reversed = true;
    bench.link = Some(link("t", "7"));
    assert_eq!(bench.lookup().await.id.as_deref(), Some("t"));
    bench.link = None;
    let decision = bench.decide(None, vec![]).await;
    assert!(
        matches!(&decision.row.link, Some(LinkChange::Set { first_id, second_id: Some(second), .. })
            if first_id == "7" && second == "7")
    );
    let assigned = Bench {
        link: None,
        ..bench
    }
    .with_properties(vec![property("missing -> _id")]);
    assert!(message(&assigned.decide(None, vec![]).await).contains("known before"));
}
