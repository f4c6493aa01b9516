//! What is asked twice happens once: repeated requests, and creates whose answer was lost.
use recant::{
    model::{ChangeRequest, Outcome, change::IdempotencyKey},
    sync::checkpoint::Point,
};
use serde_json::{Value, json};

use crate::support::{
    target::{Ask, Fault},
    world::{COMPENSATE, Shape, World, delete, put},
};

fn keyed(key: &str, content: Value) -> ChangeRequest {
    let digest = content.to_string();
    ChangeRequest {
        unseen: Vec::new(),
        idempotency: Some(IdempotencyKey {
            key: key.to_owned(),
            request_digest: digest,
        }),
        ..put("x", content)
    }
}

#[test]
fn requests_with_one_key_at_the_same_time_happen_once() {
    let world = World::new(&Shape::default());
    let process = world.start();
    let slow = std::time::Duration::from_millis(20);
    world
        .targets
        .iter()
        .for_each(|target| target.slow_down(slow));
    let (first, second, other) = process.run(async {
        let app = &process.app;
        tokio::join!(
            app.change(keyed("k", json!({"name": "one"}))),
            app.change(keyed("k", json!({"name": "one"}))),
            app.change(keyed("k", json!({"name": "another"}))),
        )
    });
    assert_eq!(first.as_ref().unwrap().operation, second.unwrap().operation);
    assert_eq!(other.unwrap_err().code, 422);
    assert_eq!(world.targets[0].asked(Ask::Create), 1);
    // Nobody waits for ever, and the key stays known.
    let again = process.change(keyed("k", json!({"name": "one"}))).unwrap();
    assert_eq!(again.operation, first.unwrap().operation);
    process.change(put("x", json!({"name": "two"}))).unwrap();
    process.crash();
}

/// Where the target assigns ids, an answer that was lost must not lead to a second object.
fn lost_create(mapping: Value) -> (Option<Outcome>, usize) {
    let world = World::new(&Shape {
        targets: 1,
        mapping,
        ..Shape::default()
    });
    world.targets[0].assign_ids();
    let process = world.start();
    world.targets[0].fail(Some(Ask::Create), 0, 1, Fault::LostAfter);
    let outcome = match process.change(put("x", json!({"name": "one", "mail": "one@x"}))) {
        Ok(changed) => Some(changed.outcome),
        Err(error) => error.outcome,
    };
    process.crash();
    (outcome, world.dump()[0].len())
}

#[test]
fn a_lost_create_finds_itself_again_by_correlation_or_diverges() {
    let query = "#{_queryFilter: `/mail eq \"${source.mail}\"`}";
    let correlation = json!({"correlationQuery": {"type": "text/rhai", "source": query}});
    assert_eq!(lost_create(correlation), (Some(Outcome::Synced), 1));
    assert_eq!(lost_create(json!({})), (Some(Outcome::Diverged), 1));
}

/// A world whose one target assigns ids, and carries a create out once however often it is asked.
fn remembering(on_sync: Option<&str>) -> World {
    let world = World::new(&Shape {
        targets: 1,
        on_sync,
        ..Shape::default()
    });
    world.targets[0].assign_ids();
    world.targets[0].remember_keys();
    world
}

#[test]
fn a_lost_create_is_repeated_where_the_target_remembers_keys() {
    for fault in [Fault::LostAfter, Fault::LostBefore] {
        let world = remembering(Some(COMPENSATE));
        let process = world.start();
        world.targets[0].fail(Some(Ask::Create), 0, 1, fault);
        let changed = process.change(put("x", json!({"name": "one"}))).unwrap();
        assert_eq!(changed.outcome, Outcome::Synced, "{fault:?}");
        assert_eq!(world.targets[0].asked(Ask::Create), 2);
        assert_eq!(world.targets[0].dump().len(), 1);
        // The link leads to the one object.
        process.change(put("x", json!({"name": "two"}))).unwrap();
        assert_eq!(
            world.targets[0].dump().into_values().collect::<Vec<_>>(),
            [json!({"name": "two"})]
        );
        process.crash();
    }
}

#[test]
fn a_create_that_stays_unknown_is_said_to_be_so() {
    let world = remembering(Some(COMPENSATE));
    let process = world.start();
    world.targets[0].fail(Some(Ask::Create), 0, 3, Fault::LostAfter);
    let error = process
        .change(put("x", json!({"name": "one"})))
        .unwrap_err();
    assert_eq!(error.outcome, Some(Outcome::Diverged));
    assert_eq!(world.targets[0].asked(Ask::Create), 3);
    assert_eq!(world.targets[0].dump().len(), 1);
    process.crash();
}

#[test]
fn a_create_that_a_crash_cut_off_is_repeated_under_the_same_key() {
    for point in [Point::BeforeWrite(0), Point::AfterWrite(0)] {
        let world = remembering(Some(COMPENSATE));
        let process = world.start();
        assert!(process.change_until(put("x", json!({"name": "one"})), move |at| at == point));
        process.crash();
        let process = world.start();
        process.until_settled();
        let outcomes: Vec<_> = process.operations().iter().map(|it| it.outcome).collect();
        assert_eq!(outcomes, [Some(Outcome::Synced)], "{point:?}");
        assert_eq!(world.targets[0].dump().len(), 1, "{point:?}");
        process.change(delete("x")).unwrap();
        assert!(world.targets[0].dump().is_empty());
        process.crash();
    }
}

#[test]
fn an_undo_that_creates_again_is_repeated_where_the_target_remembers_keys() {
    let world = World::new(&Shape {
        targets: 2,
        ..Shape::default()
    });
    let process = world.start();
    process.change(put("x", json!({"name": "one"}))).unwrap();
    world.targets[0].assign_ids();
    world.targets[0].remember_keys();
    world.targets[0].fail(Some(Ask::Create), 0, 1, Fault::LostAfter);
    world.targets[1].fail(Some(Ask::Delete), 0, 1, Fault::Refused);
    let _ = process.change(delete("x")).unwrap_err();
    assert_eq!(world.targets[0].asked(Ask::Create), 3);
    let held: Vec<_> = world.targets[0].dump().into_values().collect();
    assert_eq!(held, [json!({"name": "one"})]);
    process.crash();
}
