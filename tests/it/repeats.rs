//! What is asked twice happens once: repeated requests, and creates whose answer was lost.
use recant::model::{ChangeRequest, Outcome, change::IdempotencyKey};
use serde_json::{Value, json};

use crate::support::{
    target::{Ask, Fault},
    world::{Shape, World, put},
};

fn keyed(key: &str, content: Value) -> ChangeRequest {
    let digest = content.to_string();
    ChangeRequest {
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
