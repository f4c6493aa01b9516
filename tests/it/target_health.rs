//! A target that is down: changes are held off before anything is written, and what is under way is
//! carried to its end all the same.
use std::time::Duration;

use recant::{
    app::{App, Error},
    model::{OperationId, Outcome},
};
use serde_json::{Value, json};

use crate::support::{
    target::{Ask, Fault},
    world::{Shape, World, delete, put},
};

/// A world whose targets count as down after two calls, for as long as any test lasts.
fn world(shape: &Shape<'_>) -> World {
    let world = World::new(shape);
    for number in 1..=shape.targets {
        watch(&world, number, 600_000);
    }
    world
}

fn watch(world: &World, number: usize, open_ms: u64) {
    let settings = json!({
        "type": "custom", "timeoutMs": 2000, "retry": {"attempts": 2, "baseMs": 1},
        "circuit": {"failures": 2, "openMs": open_ms}, "objects": {"account": {}},
    });
    let file = format!("conf/connectors/t{number}.json");
    world.write(&file, &settings.to_string());
}

async fn health(app: &App, name: &str) -> Value {
    app.test_connector(name).await.unwrap()["health"].clone()
}

fn rejected(error: Error) -> Duration {
    assert_eq!((error.code, error.outcome), (503, Some(Outcome::Rejected)));
    error.retry_after.expect("when to come back")
}

fn ada(name: &str) -> recant::model::ChangeRequest {
    put("ada", json!({"name": name}))
}

#[tokio::test]
async fn while_a_target_is_down_changes_are_rejected_before_anything_is_written() {
    let world = world(&Shape::default());
    let app = world.open().await;
    app.change(ada("Ada")).await.unwrap();
    let before = world.dump();
    world.targets[1].fail(Some(Ask::Read), 0, 1_000, Fault::Unavailable);
    let first = app.change(ada("Bob")).await.unwrap_err();
    assert_eq!((first.code, first.retry_after), (503, None));
    let asked = world.targets[1].asked(Ask::Read);

    let error = app.change(ada("Bob")).await.unwrap_err();
    let (body, operation) = (error.body(), error.operation.unwrap());
    assert!(rejected(error) > Duration::from_secs(60));
    assert_eq!(body["detail"]["cause"]["code"], 503);
    assert_eq!(body["detail"]["mapping"], "user_t2");
    assert_eq!(body["detail"]["syncDetails"].as_array().unwrap().len(), 3);
    let said = body["message"].as_str().unwrap();
    assert!(
        said.contains("`t2` does not answer (unavailable, code 503)"),
        "{said}"
    );
    let record = app.operation(operation).await.unwrap();
    assert_eq!(record.outcome, Some(Outcome::Rejected));
    // A dry run is held off too, and a change that leads elsewhere only would not be.
    assert!(
        app.plan(ada("Bob"))
            .await
            .unwrap_err()
            .retry_after
            .is_some()
    );
    assert_eq!(world.targets[1].asked(Ask::Read), asked);
    assert_eq!(world.dump(), before);

    let health = health(&app, "t2").await;
    // The test itself has reached the target, so the circuit is closed again.
    assert_eq!(health["circuit"], "closed");
    assert_eq!(health["lastFailure"]["message"], "unavailable, code 503");
    assert!(health["since"].is_string());
    world.targets[1].mend();
    app.change(ada("Bob")).await.unwrap();
}

#[tokio::test]
async fn the_first_change_after_the_pause_tries_the_target_again() {
    let world = world(&Shape::default());
    watch(&world, 1, 1);
    let app = world.open().await;
    world.targets[0].fail(Some(Ask::Read), 0, 2, Fault::Unavailable);
    app.change(ada("Ada")).await.unwrap_err();
    // The target answers by now; how long the pause is in the end depends on the machine.
    while let Err(error) = app.change(ada("Ada")).await {
        rejected(error);
    }
    assert_eq!(health(&app, "t1").await["circuit"], "closed");
}

#[tokio::test]
async fn undo_writes_go_to_a_target_that_counts_as_down() {
    let world = world(&Shape::default());
    let app = world.open().await;
    app.change(ada("Ada")).await.unwrap();
    let before = world.dump();
    // The write of t3 arrives, its answer is lost, and both looks at it fail: the circuit is open
    // when the undo looks a third time.
    world.targets[2].fail(Some(Ask::Update), 0, 1, Fault::LostAfter);
    world.targets[2].fail(Some(Ask::Read), 1, 2, Fault::Unavailable);
    let error = app.change(ada("Bob")).await.unwrap_err();
    assert_eq!(
        (error.code, error.outcome),
        (504, Some(Outcome::Compensated))
    );
    assert_eq!(world.dump(), before);
    let health = health(&app, "t3").await;
    assert_eq!(health["lastFailure"]["message"], "unavailable, code 503");
    app.change(ada("Cyd")).await.unwrap();
}

#[tokio::test]
async fn heal_reaches_a_target_that_counts_as_down_and_lets_changes_in_again() {
    let world = world(&Shape::default());
    let app = world.open().await;
    app.change(ada("Ada")).await.unwrap();
    let before = world.dump();
    world.targets[1].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    world.targets[0].fail(Some(Ask::Update), 1, 1_000, Fault::Unavailable);
    let error = app.change(ada("Bob")).await.unwrap_err();
    assert_eq!(error.outcome, Some(Outcome::Diverged));
    let operation: OperationId = error.operation.unwrap();
    rejected(app.change(ada("Cyd")).await.unwrap_err());
    assert_eq!(app.heal(operation, "test").await.unwrap_err().code, 409);
    world.targets[0].mend();
    let healed = app.heal(operation, "test").await.unwrap();
    assert_eq!(healed.outcome, Some(Outcome::Compensated));
    assert_eq!(world.dump(), before);
    app.change(ada("Cyd")).await.unwrap();
}

#[test]
fn recovery_goes_on_with_a_target_that_counts_as_down() {
    let world = world(&Shape::default());
    let process = world.start();
    process.change(ada("Ada")).unwrap();
    assert!(process.change_until(ada("Bob"), |point| {
        matches!(point, recant::sync::checkpoint::Point::AfterWrite(0))
    }));
    process.crash();
    // Recovery's own reads open the circuit; it waits and goes on when the target is back.
    world.targets[0].fail(Some(Ask::Read), 0, 1_000, Fault::Unavailable);
    world.targets[1].fail(Some(Ask::Read), 0, 1_000, Fault::Unavailable);
    world.targets[2].fail(Some(Ask::Read), 0, 1_000, Fault::Unavailable);
    let process = world.start();
    process.until_waiting();
    for target in &world.targets {
        target.mend();
    }
    process.until_settled();
    let names: Vec<_> = world
        .dump()
        .iter()
        .map(|dump| dump["ada"].clone())
        .collect();
    assert_eq!(names, vec![json!({"name": "Bob"}); 3]);
    process.change(delete("ada")).unwrap();
}

#[tokio::test]
async fn without_a_hook_a_target_that_is_down_counts_at_its_turn() {
    let world = world(&Shape {
        on_sync: None,
        ..Shape::default()
    });
    let app = world.open().await;
    world.targets[1].fail(Some(Ask::Read), 0, 1_000, Fault::Unavailable);
    for name in ["Ada", "Bob"] {
        let changed = app.change(ada(name)).await.unwrap();
        assert_eq!(changed.outcome, Outcome::Partial);
    }
    // The second one did not ask the target that is down.
    assert_eq!(world.targets[1].asked(Ask::Read), 2);
    assert_eq!(world.dump()[0]["ada"], json!({"name": "Bob"}));
}
