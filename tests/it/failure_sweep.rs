//! Each write fails once in each way, each undo fails once, and the outcome says what is true.
use recant::model::Outcome;
use serde_json::{Value, json};

use crate::support::{
    target::{Ask, Fault},
    world::{COMPENSATE, Process, Shape, World, delete, put},
};

fn old() -> Value {
    json!({"name": "old", "department": "d1"})
}

fn new() -> Value {
    json!({"name": "new", "mail": "m"})
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Create,
    Update,
    Delete,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    fn prepare(self, shape: &Shape<'_>) -> (World, Process) {
        let world = World::new(shape);
        let process = world.start();
        if !matches!(self, Self::Create) {
            process.change(put("x", old())).unwrap();
        }
        (world, process)
    }

    fn ask(self) -> Ask {
        match self {
            Self::Create => Ask::Create,
            Self::Update => Ask::Update,
            Self::Delete => Ask::Delete,
        }
    }

    fn undo_ask(self) -> Ask {
        match self {
            Self::Create => Ask::Delete,
            Self::Update => Ask::Update,
            Self::Delete => Ask::Create,
        }
    }

    fn before(self) -> Option<Value> {
        (!matches!(self, Self::Create)).then(old)
    }

    fn after(self) -> Option<Value> {
        (!matches!(self, Self::Delete)).then(new)
    }

    fn run(self, process: &Process) -> (Option<Outcome>, u16) {
        let request = match self {
            Self::Delete => delete("x"),
            Self::Create | Self::Update => put("x", new()),
        };
        match process.change(request) {
            Ok(changed) => (Some(changed.outcome), changed.status),
            Err(error) => (error.outcome, error.code),
        }
    }
}

fn check(world: &World, process: &Process, expected: Option<&Value>, place: &str) {
    for (number, held) in world.dump().into_iter().enumerate() {
        assert_eq!(held.get("x"), expected, "{place}: target {}", number + 1);
    }
    let stored = process.read("x").map(|mut object| {
        object.retain(|name, _| !name.starts_with('_'));
        Value::Object(object)
    });
    assert_eq!(stored.as_ref(), expected, "{place}: repository");
    assert_eq!(
        process.run(process.app.verify_audit()).unwrap().broken,
        None,
        "{place}"
    );
}

/// A fault, how many calls it meets, and what the change comes to: outcome and status.
const WAYS: [(Fault, usize, Outcome, u16); 7] = [
    (Fault::Refused, 1, Outcome::Compensated, 409),
    (Fault::Unavailable, 1, Outcome::Synced, 200),
    (Fault::Unavailable, 9, Outcome::Compensated, 503),
    (Fault::LostBefore, 1, Outcome::Synced, 200),
    (Fault::LostBefore, 9, Outcome::Compensated, 503),
    (Fault::LostAfter, 1, Outcome::Synced, 200),
    (Fault::LostAfter, 9, Outcome::Synced, 200),
];

#[test]
fn each_write_fails_once_in_each_way() {
    for kind in Kind::ALL {
        for row in 0..3 {
            for (fault, times, outcome, status) in WAYS {
                let place = format!("{kind:?}, write {row}, {fault:?} × {times}");
                let (world, process) = kind.prepare(&Shape::default());
                world.targets[row].fail(Some(kind.ask()), 0, times, fault);
                let (ended, code) = kind.run(&process);
                assert_eq!(ended, Some(outcome), "{place}");
                let created = matches!(kind, Kind::Create) && outcome == Outcome::Synced;
                assert_eq!(code, if created { 201 } else { status }, "{place}");
                let synced = outcome == Outcome::Synced;
                let expected = if synced { kind.after() } else { kind.before() };
                check(&world, &process, expected.as_ref(), &place);
                process.crash();
            }
        }
    }
}

#[test]
fn each_undo_fails_once_and_is_healed() {
    for kind in Kind::ALL {
        for row in 0..2 {
            let place = format!("{kind:?}, undo {row}");
            let (world, process) = kind.prepare(&Shape::default());
            world.targets[2].fail(Some(kind.ask()), 0, 1, Fault::Refused);
            let passed = usize::from(kind.ask() == kind.undo_ask());
            world.targets[row].fail(Some(kind.undo_ask()), passed, 9, Fault::Unavailable);
            assert_eq!(
                kind.run(&process),
                (Some(Outcome::Diverged), 500),
                "{place}"
            );
            let other = 1 - row;
            let dump = world.dump();
            assert_eq!(
                dump[other].get("x"),
                kind.before().as_ref(),
                "{place}: the other target"
            );
            assert_eq!(
                dump[row].get("x"),
                kind.after().as_ref(),
                "{place}: the diverged target"
            );
            let record = diverged(&process);
            assert_eq!(record.diverged.len(), 1, "{place}");
            assert_eq!(
                record.diverged[0].target,
                format!("system/t{}/account", row + 1)
            );
            let still = process
                .run(process.app.heal(record.id, "test"))
                .unwrap_err();
            assert_eq!(still.code, 409, "{place}");
            world.targets[row].mend();
            let healed = process.run(process.app.heal(record.id, "test")).unwrap();
            assert_eq!(healed.outcome, Some(Outcome::Compensated), "{place}");
            assert!(healed.healed_at.is_some(), "{place}");
            check(&world, &process, kind.before().as_ref(), &place);
            let again = process
                .run(process.app.heal(record.id, "test"))
                .unwrap_err();
            assert_eq!(again.code, 409, "{place}: healed twice");
            process.crash();
        }
    }
}

fn diverged(process: &Process) -> recant::model::OperationRecord {
    let records = process.operations();
    records
        .into_iter()
        .find(|record| record.depth == 0 && record.outcome == Some(Outcome::Diverged))
        .unwrap()
}

#[test]
fn an_undo_whose_answer_is_lost_is_looked_up() {
    for kind in Kind::ALL {
        let (world, process) = kind.prepare(&Shape::default());
        world.targets[2].fail(Some(kind.ask()), 0, 1, Fault::Refused);
        let passed = usize::from(kind.ask() == kind.undo_ask());
        world.targets[0].fail(Some(kind.undo_ask()), passed, 1, Fault::LostAfter);
        assert_eq!(
            kind.run(&process),
            (Some(Outcome::Compensated), 409),
            "{kind:?}"
        );
        check(&world, &process, kind.before().as_ref(), "lost undo");
        process.crash();
    }
}

#[test]
fn a_third_value_is_unknown_and_somebody_elses_change_is_left_alone() {
    let (world, process) = Kind::Update.prepare(&Shape::default());
    world.targets[1].fail(Some(Ask::Update), 0, 1, Fault::Overtaken);
    assert_eq!(Kind::Update.run(&process), (Some(Outcome::Diverged), 500));
    let dump = world.dump();
    assert_eq!(dump[0].get("x"), Some(&old()));
    assert_eq!(
        dump[1].get("x"),
        Some(&json!({"name": "somebody else"})),
        "left as it is"
    );
    assert_eq!(dump[2].get("x"), Some(&old()));
    let record = diverged(&process);
    assert!(record.diverged[0].cause.message.contains("somebody else"));
    assert_eq!(record.diverged[0].expected.as_ref().unwrap()["name"], "old");
    assert_eq!(
        record.diverged[0].actual.as_ref().unwrap()["name"],
        "somebody else"
    );
    let resolved = process
        .run(process.app.resolve(record.id, "t2 is right", "ann"))
        .unwrap();
    assert_eq!(resolved.resolution.unwrap().kind, "resolved");
    let again = process
        .run(process.app.resolve(record.id, "twice", "ann"))
        .unwrap_err();
    assert_eq!(again.code, 409);
    process.crash();
}

#[test]
fn a_later_synced_change_supersedes_a_divergence() {
    let (world, process) = Kind::Update.prepare(&Shape::default());
    world.targets[2].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    world.targets[0].fail(Some(Ask::Update), 1, 9, Fault::Unavailable);
    assert_eq!(Kind::Update.run(&process), (Some(Outcome::Diverged), 500));
    let id = diverged(&process).id;
    world.targets[0].mend();
    let next = process.change(put("x", json!({"name": "next"}))).unwrap();
    assert_eq!(next.outcome, Outcome::Synced);
    let closed = process.run(process.app.operation(id)).unwrap();
    let resolution = closed.resolution.unwrap();
    assert_eq!(
        (resolution.kind.as_str(), resolution.operation),
        ("superseded", Some(next.operation))
    );
    assert_eq!(
        process.run(process.app.heal(id, "test")).unwrap_err().code,
        409
    );
    process.crash();
}

#[test]
fn without_a_hook_a_failure_is_partial_and_with_one_planning_rejects() {
    for kind in Kind::ALL {
        let shape = Shape {
            on_sync: None,
            ..Shape::default()
        };
        let (world, process) = kind.prepare(&shape);
        world.targets[1].fail(Some(kind.ask()), 0, 1, Fault::Refused);
        let (outcome, status) = kind.run(&process);
        assert_eq!(outcome, Some(Outcome::Partial));
        assert!(status < 300);
        let dump = world.dump();
        assert_eq!(dump[0].get("x"), kind.after().as_ref());
        assert_eq!(dump[1].get("x"), kind.before().as_ref());
        assert_eq!(dump[2].get("x"), kind.before().as_ref(), "skipped");
        process.crash();

        let (world, process) = kind.prepare(&Shape {
            on_sync: Some(COMPENSATE),
            ..Shape::default()
        });
        world.targets[2].fail(Some(Ask::Read), 0, 9, Fault::Unavailable);
        assert_eq!(
            kind.run(&process),
            (Some(Outcome::Rejected), 503),
            "{kind:?}"
        );
        world.targets[2].mend();
        check(
            &world,
            &process,
            kind.before().as_ref(),
            "rejected at planning",
        );
        process.crash();
    }
}

#[test]
fn the_undo_runs_in_reverse_order_and_only_over_what_was_touched() {
    let (world, process) = Kind::Update.prepare(&Shape {
        targets: 4,
        ..Shape::default()
    });
    world.targets[2].fail(Some(Ask::Update), 0, 1, Fault::Refused);
    let before: Vec<usize> = world
        .targets
        .iter()
        .map(|target| target.log().len())
        .collect();
    assert_eq!(
        Kind::Update.run(&process),
        (Some(Outcome::Compensated), 409)
    );
    let writes: Vec<usize> = world
        .targets
        .iter()
        .zip(before)
        .map(|(target, before)| target.log().len() - before)
        .collect();
    assert_eq!(writes, [2, 2, 0, 0]);
    let nested = process
        .operations()
        .into_iter()
        .find(|record| record.depth == 1)
        .unwrap();
    let order: Vec<&str> = nested
        .writes
        .iter()
        .map(|write| write.target.as_str())
        .collect();
    assert_eq!(order, ["system/t2/account", "system/t1/account"]);
    process.crash();
}

/// A deletion that the third target refuses, while the first one assigns ids.
fn deleted_where_ids_are_assigned(fault: Option<Fault>) -> (World, Process) {
    let (world, process) = Kind::Delete.prepare(&Shape::default());
    let assigns = &world.targets[0].assigns_ids;
    assigns.store(true, std::sync::atomic::Ordering::SeqCst);
    world.targets[2].fail(Some(Ask::Delete), 0, 1, Fault::Refused);
    if let Some(fault) = fault {
        world.targets[0].fail(Some(Ask::Create), 0, 1, fault);
    }
    assert_eq!(
        Kind::Delete.run(&process),
        (Some(Outcome::Diverged), 500),
        "it has another id now"
    );
    (world, process)
}

#[test]
fn an_object_that_came_back_under_another_id_is_healed_without_a_second_one() {
    let (world, process) = deleted_where_ids_are_assigned(None);
    let id = diverged(&process).id;
    let healed = process.run(process.app.heal(id, "test")).unwrap();
    assert_eq!(healed.outcome, Some(Outcome::Compensated));
    assert_eq!(world.targets[0].dump().len(), 1, "no second one");
    let next = process.change(put("x", new())).unwrap();
    assert_eq!(next.outcome, Outcome::Synced);
    let held: Vec<Value> = world.targets[0].dump().into_values().collect();
    assert_eq!(held, [new()], "the link leads to the new id");
    process.crash();
}

#[test]
fn an_object_that_may_have_come_back_is_not_created_twice() {
    let (world, process) = deleted_where_ids_are_assigned(Some(Fault::LostAfter));
    assert_eq!(world.targets[0].dump().len(), 1);
    let record = diverged(&process);
    let cause = &record.diverged[0].cause.message;
    assert!(cause.contains("may have been created again"), "{cause}");
    let still = process.run(process.app.heal(record.id, "test"));
    assert_eq!(still.unwrap_err().code, 409);
    assert_eq!(
        world.targets[0].dump().len(),
        1,
        "heal creates no second one"
    );
    process.crash();
}

#[test]
fn resolving_a_divergence_closes_its_compensation_too() {
    let (_world, process) = deleted_where_ids_are_assigned(None);
    let id = diverged(&process).id;
    process.run(process.app.resolve(id, "fine", "ann")).unwrap();
    let open = process.operations();
    let open = open.iter().filter(|record| record.is_open_divergence());
    assert_eq!(open.count(), 0);
    process.crash();
}

#[test]
fn two_mappings_that_write_the_same_object_are_refused() {
    let world = World::new(&Shape {
        targets: 2,
        ..Shape::default()
    });
    let text = std::fs::read_to_string(world.folder.path().join("conf/sync.json")).unwrap();
    world.write("conf/sync.json", &text.replace("system/t2/", "system/t1/"));
    let process = world.start();
    let refused = process.change(put("x", new())).unwrap_err();
    assert_eq!(
        (refused.outcome, refused.code),
        (Some(Outcome::Rejected), 409)
    );
    assert!(
        refused.message.contains("another mapping of this change"),
        "{refused}"
    );
    assert!(world.dump().iter().all(|held| held.is_empty()));
    process.crash();
}
