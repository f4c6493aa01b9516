//! For each kind of change, each crash window and each write: stop there, start again, and every
//! target is wholly old or wholly new.
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use recant::{
    model::{ChangeRequest, Outcome},
    sync::checkpoint::{self, Point},
};
use serde_json::{Value, json};

use crate::support::{
    target::{Ask, Fault},
    world::{Process, Shape, World, delete, put},
};

/// A hook that takes failures back and, when a parent has been created, asks for a child.
const WITH_CHILD: &str = r#"
if !syncResults.success { revert(); return; }
if newObject != () && newObject.name == "parent" { create("managed/user/child", #{ name: "child" }); }
"#;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Create,
    Update,
    Delete,
}

/// What goes wrong beside the crash.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    Nothing,
    /// The third target refuses the change, before and after the crash.
    ThirdRefuses,
}

struct Case {
    kind: Kind,
    trouble: Trouble,
    shape: Shape<'static>,
    new: Value,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Kind::Create, Kind::Update, Kind::Delete] {
        for trouble in [Trouble::Nothing, Trouble::ThirdRefuses] {
            let new = json!({"name": "new", "mail": "new@example.org"});
            cases.push(Case {
                kind,
                trouble,
                shape: Shape::default(),
                new,
            });
        }
    }
    let shape = Shape {
        on_sync: Some(WITH_CHILD),
        ..Shape::default()
    };
    let new = json!({"name": "parent"});
    cases.push(Case {
        kind: Kind::Create,
        trouble: Trouble::Nothing,
        shape,
        new,
    });
    cases
}

fn old() -> Value {
    json!({"name": "old", "department": "d1"})
}

impl Case {
    fn prepared(&self) -> (World, Process) {
        let world = World::new(&self.shape);
        let process = world.start();
        if self.kind != Kind::Create {
            process.change(put("x", old())).unwrap();
        }
        if self.trouble == Trouble::ThirdRefuses {
            let ask = match self.kind {
                Kind::Create => Ask::Create,
                Kind::Update => Ask::Update,
                Kind::Delete => Ask::Delete,
            };
            world.targets[2].fail(Some(ask), 0, 100, Fault::Refused);
        }
        (world, process)
    }

    fn request(&self) -> ChangeRequest {
        match self.kind {
            Kind::Delete => delete("x"),
            Kind::Create | Kind::Update => put("x", self.new.clone()),
        }
    }

    fn before(&self) -> Option<Value> {
        (self.kind != Kind::Create).then(old)
    }

    fn after(&self) -> Option<Value> {
        (self.kind != Kind::Delete).then(|| self.new.clone())
    }

    /// The points that an undisturbed run passes, in order.
    fn points(&self) -> Vec<Point> {
        let (_world, process) = self.prepared();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        checkpoint::watch(process.app.engine().store().node(), move |point| {
            log.lock().unwrap().push(point);
            false
        });
        let _ = process.change(self.request());
        process.crash();
        let mut points = seen.lock().unwrap().clone();
        let mut known = BTreeSet::new();
        points.retain(|point| known.insert(*point));
        points
    }

    /// Stops at a point, starts again and compares everything.
    fn crash_at(&self, point: Point) {
        let (world, process) = self.prepared();
        assert!(
            process.change_until(self.request(), move |at| at == point),
            "{point:?} not reached"
        );
        process.crash();
        let process = world.start();
        process.until_settled();
        let place = format!(
            "{:?} with {:?}, crashed at {point:?}",
            self.kind, self.trouble
        );
        self.check(&world, &process, point, &place);
        process.crash();
    }

    fn check(&self, world: &World, process: &Process, point: Point, place: &str) {
        let records = process.operations();
        let record = records
            .iter()
            .filter(|record| record.depth == 0 && record.object.id == "x")
            .max_by_key(|record| record.started_at);
        let journaled = point != Point::Planned;
        let outcome = match record {
            Some(record) if journaled => record.outcome.unwrap(),
            _ => Outcome::Rejected,
        };
        let expected = match outcome {
            Outcome::Synced => self.after(),
            Outcome::Compensated | Outcome::Rejected => self.before(),
            other => panic!("{place}: ended {other}"),
        };
        if journaled && self.trouble == Trouble::Nothing {
            assert_eq!(outcome, Outcome::Synced, "{place}");
        }
        if self.trouble == Trouble::ThirdRefuses {
            assert_ne!(outcome, Outcome::Synced, "{place}");
        }
        let stored = process.read("x").map(|mut object| {
            object.retain(|name, _| !name.starts_with('_'));
            Value::Object(object)
        });
        assert_eq!(stored, expected, "{place}: the repository");
        for (number, held) in world.dump().into_iter().enumerate() {
            assert_eq!(
                held.get("x"),
                expected.as_ref(),
                "{place}: target {}",
                number + 1
            );
            if expected == Some(json!({"name": "parent"})) {
                assert_eq!(
                    held.get("child"),
                    Some(&json!({"name": "child"})),
                    "{place}: child"
                );
            }
        }
        let verification = process.run(process.app.verify_audit()).unwrap();
        assert_eq!(verification.broken, None, "{place}");
        self.check_next_change(world, process, place);
    }

    /// The lane is free and the links are right: the next changes go through.
    fn check_next_change(&self, world: &World, process: &Process, place: &str) {
        world.targets.iter().for_each(|target| target.mend());
        let next = json!({"name": "next"});
        let changed = process.change(put("x", next.clone()));
        let changed = changed.unwrap_or_else(|error| panic!("{place}: next change: {error:?}"));
        assert_eq!(changed.outcome, Outcome::Synced, "{place}");
        assert!(
            world.dump().iter().all(|held| held.get("x") == Some(&next)),
            "{place}: next"
        );
        process.change(delete("x")).unwrap();
        assert!(
            world.dump().iter().all(|held| !held.contains_key("x")),
            "{place}: gone"
        );
    }
}

#[test]
fn every_crash_window_ends_wholly_old_or_wholly_new() {
    let mut reached = BTreeSet::new();
    for case in cases() {
        for point in case.points() {
            reached.insert(point);
            case.crash_at(point);
        }
    }
    let missing: Vec<Point> = all_points()
        .into_iter()
        .filter(|point| !reached.contains(point))
        .collect();
    assert!(missing.is_empty(), "no case reaches {missing:?}");
}

/// Every crash window of a change with three targets. The last target's undo is never needed: it
/// is the one that failed.
fn all_points() -> Vec<Point> {
    let mut points = vec![
        Point::Planned,
        Point::Journaled,
        Point::Applied,
        Point::Judged,
        Point::CompensationJournaled,
        Point::Undone,
        Point::Ended,
        Point::FollowUps,
    ];
    points.extend((0..3).flat_map(|row| [Point::BeforeWrite(row), Point::AfterWrite(row)]));
    points.extend((0..2).flat_map(|row| [Point::BeforeUndo(row), Point::AfterUndo(row)]));
    points
}
