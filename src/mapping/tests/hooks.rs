//! Hooks of mappings and post actions.
use super::*;

#[tokio::test]
async fn on_create_and_on_update_may_change_the_target() {
    let text = "target.email = target.email.to_upper(); target.by = `${situation} ${sourceId} ${mappingConfig.target}`; target.gone = ()";
    let created = Bench::new().with_hook(MappingHook::OnCreate, text);
    let decision = created.decide(None, vec![]).await;
    assert_eq!(
        write(&decision).after(),
        Some(object(json!({
            "_id": "7", "email": "ANN@EXAMPLE.ORG", "by": "ABSENT 7 system/crm/account"
        })))
    );
    let updated = Bench::new()
        .linked("t")
        .with_hook(MappingHook::OnUpdate, text);
    let before = target("t", json!({"email": "old", "gone": 1, "nothing": null}));
    let decision = updated.decide(Some(before), vec![]).await;
    assert_eq!(
        write(&decision).after(),
        Some(object(json!({
            "_id": "t", "email": "ANN@EXAMPLE.ORG", "by": "CONFIRMED 7 system/crm/account", "nothing": null
        })))
    );
    let run = &decision.runs[0];
    assert_eq!((run.hook.as_str(), &run.failure), ("crm/onUpdate", &None));
}

#[tokio::test]
async fn on_update_runs_even_where_nothing_differs_and_may_rename() {
    let bench = Bench::new().linked("t").with_properties(vec![]).with_hook(
        MappingHook::OnUpdate,
        "if oldTarget.n == 1 { target._id = \"u\" }",
    );
    let decision = bench
        .decide(Some(target("t", json!({"n": 1}))), vec![])
        .await;
    assert!(matches!(write(&decision), TargetWrite::Update { rename: Some(id), .. } if id == "u"));
    let decision = bench
        .decide(Some(target("t", json!({"n": 2}))), vec![])
        .await;
    assert_eq!(decision.row.step, Step::Nothing);
    assert_eq!(decision.runs.len(), 1);
}

#[tokio::test]
async fn other_hooks_see_the_target_and_may_refuse() {
    let text =
        "if target.email == \"old\" { log_info(\"seen\"); throw #{code: 422, message: targetId} }";
    let existing = || Some(target("t", json!({"email": "old"})));
    for (hook, situation, action) in [
        (MappingHook::OnDelete, Situation::Confirmed, Action::Delete),
        (MappingHook::OnLink, Situation::Confirmed, Action::Link),
        (MappingHook::OnUnlink, Situation::Confirmed, Action::Unlink),
    ] {
        let bench = Bench::new()
            .linked("t")
            .with_policy(situation, action)
            .with_hook(hook, text);
        let decision = bench.decide(existing(), vec![]).await;
        assert_eq!(
            message(&decision),
            format!("422 {} of mapping crm: t", hook.key())
        );
        assert_eq!(decision.row.link, None);
        assert!(decision.runs[0].failure.is_some() && decision.runs[0].log.len() == 1);
    }
    let gone = Bench::new()
        .linked("t")
        .with_policy(Situation::Missing, Action::Delete);
    let decision = gone
        .with_hook(MappingHook::OnDelete, "throw 1")
        .decide(None, vec![])
        .await;
    assert_eq!(decision.row.step, Step::Nothing);
}

#[tokio::test]
async fn mappings_only_compute() {
    for text in ["revert()", "create(\"managed/user\", #{})"] {
        let bench = Bench::new().with_hook(MappingHook::OnCreate, text);
        let decision = bench.decide(None, vec![]).await;
        assert_eq!(
            message(&decision),
            "500 onCreate of mapping crm may only read, but asked for changes"
        );
    }
}

#[tokio::test]
async fn post_actions_run_after_what_is_done() {
    for (action, ran) in [
        (Action::Update, true),
        (Action::Report, true),
        (Action::Noreport, true),
        (Action::Unlink, true),
        (Action::Async, false),
        (Action::Ignore, false),
        (Action::Exception, false),
    ] {
        let mut bench = Bench::new()
            .linked("t")
            .with_policy(Situation::Confirmed, action);
        let script = bench.script("log_info(`${action} ${situation} ${target.email}`)");
        bench.mapping.policies[0].post_action = Some(script);
        let decision = bench
            .decide(Some(target("t", json!({"email": "old"}))), vec![])
            .await;
        assert_eq!(decision.runs.len(), usize::from(ran), "{action}");
        if action == Action::Update {
            let line = &decision.runs[0].log[0].message;
            assert_eq!(line, "UPDATE CONFIRMED ann@example.org");
        }
    }
    let mut bench = Bench::new().with_policy(Situation::Absent, Action::Create);
    bench.mapping.policies[0].post_action = Some(bench.script("throw \"late\""));
    let decision = bench.decide(None, vec![]).await;
    assert_eq!(message(&decision), "400 postAction of mapping crm: late");
    assert_eq!(decision.row.link, None);
}
