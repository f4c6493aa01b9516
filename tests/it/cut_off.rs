//! Writes of many requests that are cut off in the middle: groups of thousands end wholly old or
//! wholly new, by the time limit, by a crash, and where taking back fails first.
use std::{sync::Arc, time::Duration};

use recant::{
    model::{ChangeRequest, OperationRecord, Outcome},
    sync::checkpoint::{self, Point},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{
    people::Answer,
    proxy::{Mode, Proxy},
    scim::{self, Options, ScimServer},
    scim_service::{Habits, ScimService},
    world::{COMPENSATE, Process, Shape, World, delete, put},
};

/// A service with groups, and an engine before it.
struct Stage {
    runtime: Runtime,
    service: Arc<ScimService>,
    world: World,
    process: Process,
}

const GROUP: &str = "staff";

impl Stage {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let habits = Habits {
            most_members: Some(100),
            etags: true,
            ..Habits::default()
        };
        let config = json!({"patch": {"supported": true}, "filter": {"supported": true},
            "etag": {"supported": true}});
        let service = runtime.block_on(ScimService::start(Some(config), habits));
        let world = world(&service.address.to_string(), None);
        let process = world.start();
        Self {
            runtime,
            service: Arc::new(service),
            world,
            process,
        }
    }

    /// The group as the service holds it, its members in order.
    fn group(&self) -> Option<Value> {
        let _on = self.runtime.enter();
        held(self.service.holds("Groups", GROUP))
    }

    /// From the write after so many more on, nobody gets an answer.
    fn stall(&self, after: usize) {
        self.service.shop().stall = Some(after);
    }

    /// The service answers again once the compensation is on disk.
    fn mend_for_the_undo(&self) {
        let service = Arc::clone(&self.service);
        checkpoint::watch(self.process.app.engine().store().node(), move |point| {
            if point == Point::CompensationJournaled {
                service.shop().stall = None;
            }
            false
        });
    }

    fn change(&self, request: ChangeRequest) -> Outcome {
        outcome(self.process.change(request))
    }
}

/// A folder whose one mapping writes groups to a SCIM service.
fn world(address: &str, bearer: Option<&str>) -> World {
    let world = World::new(&Shape {
        targets: 0,
        on_sync: Some(COMPENSATE),
        managed: json!({"schema": {"type": "object"}}),
        ..Shape::default()
    });
    let mut connector = json!({"type": "scim", "baseUrl": format!("http://{address}/v2"),
        "timeoutMs": 600, "retry": {"attempts": 2, "baseMs": 1}, "circuit": {"failures": 0},
        "deviations": {"membersPerRequest": 100},
        "objects": {"team": {"resourceType": "Group"}}});
    if let Some(token) = bearer {
        connector["auth"] = json!({"bearer": token});
        connector["timeoutMs"] = json!(20_000);
    }
    world.write("conf/connectors/cloud.json", &connector.to_string());
    let mappings = json!({"mappings": [{"name": "groups", "source": "managed/user",
        "target": "system/cloud/team", "properties": [
            {"source": "name", "target": "displayName"},
            {"source": "members", "target": "members"}]}]});
    world.write("conf/sync.json", &mappings.to_string());
    world
}

fn outcome(result: Result<recant::app::Changed, recant::app::Error>) -> Outcome {
    let outcome = match &result {
        Ok(changed) => Some(changed.outcome),
        Err(error) => error.outcome,
    };
    outcome.unwrap_or_else(|| panic!("{result:?}"))
}

/// A group without what changes by itself.
fn held(group: Option<Value>) -> Option<Value> {
    let mut group = group?;
    let object = group.as_object_mut().unwrap();
    object.remove("meta");
    object.remove("id");
    if let Some(members) = object.get_mut("members").and_then(Value::as_array_mut) {
        members.sort_by_key(|member| member["value"].to_string());
    }
    Some(group)
}

/// A group with members of these numbers.
fn people(name: &str, numbers: std::ops::Range<usize>) -> Value {
    let members: Vec<String> = numbers.map(|number| format!("p{number:05}")).collect();
    json!({"name": name, "members": members})
}

fn last(process: &Process) -> OperationRecord {
    let mut all = process.operations();
    all.retain(|record| record.depth == 0);
    all.sort_by_key(|record| record.started_at);
    all.pop().unwrap()
}

#[test]
fn a_group_that_runs_out_of_time_in_the_middle_goes_back_exactly() {
    let stage = Stage::new();
    assert_eq!(
        stage.change(put(GROUP, people("Staff", 0..3_000))),
        Outcome::Synced
    );
    let before = stage.group();
    for stalled in [0, 1, 17, 29] {
        stage.stall(stalled);
        stage.mend_for_the_undo();
        let changed = people("Everybody", 1_500..4_500);
        assert_eq!(
            stage.change(put(GROUP, changed)),
            Outcome::Compensated,
            "{stalled}"
        );
        assert_eq!(stage.group(), before, "{stalled}");
    }
    // The same for its creation, and for its deletion.
    stage.stall(0);
    stage.mend_for_the_undo();
    assert_eq!(stage.change(delete(GROUP)), Outcome::Compensated);
    assert_eq!(stage.group(), before, "delete");
    assert_eq!(stage.change(delete(GROUP)), Outcome::Synced);
    stage.stall(9);
    stage.mend_for_the_undo();
    assert_eq!(
        stage.change(put(GROUP, people("Staff", 0..3_000))),
        Outcome::Compensated
    );
    assert_eq!(stage.group(), None, "create");
}

#[test]
fn what_is_cut_off_once_is_finished() {
    let stage = Stage::new();
    for (stalled, wanted) in [
        (7, people("Staff", 0..2_000)),
        (11, people("All", 500..3_000)),
    ] {
        // The write stalls once and is not carried out; the second attempt goes on behind it.
        stage.service.shop().stall_once = Some(stalled);
        assert_eq!(stage.change(put(GROUP, wanted.clone())), Outcome::Synced);
        let group = stage.group().unwrap();
        assert_eq!(group["displayName"], wanted["name"]);
        let members = wanted["members"].as_array().unwrap();
        assert_eq!(group["members"].as_array().unwrap().len(), members.len());
        assert_eq!(last(&stage.process).writes[0].attempts, 2);
    }
}

#[test]
fn a_service_that_asks_for_patience_in_the_middle_gets_it() {
    let stage = Stage::new();
    let busy = Answer {
        status: 429,
        headers: vec![("retry-after", "1".to_owned())],
        body: String::new(),
        carried_out: false,
    };
    for (after, wanted) in [
        (7, people("Staff", 0..2_000)),
        (11, people("All", 500..3_000)),
    ] {
        stage.service.shop().later = Some((after, busy.clone()));
        let writes = stage.service.shop().bodies.len();
        let began = std::time::Instant::now();
        assert_eq!(stage.change(put(GROUP, wanted.clone())), Outcome::Synced);
        assert!(began.elapsed() >= Duration::from_secs(1));
        let group = stage.group().unwrap();
        let members = wanted["members"].as_array().unwrap().len();
        assert_eq!(group["members"].as_array().unwrap().len(), members);
        // Each piece once, and the one that was refused again: nothing was taken back between.
        let pieces = if after == 7 { 20 } else { 15 };
        assert_eq!(stage.service.shop().bodies.len(), writes + pieces + 1);
    }
}

#[test]
fn the_time_limit_is_that_of_one_request() {
    let stage = Stage::new();
    stage.service.shop().pause = Duration::from_millis(60);
    // Thirty requests of 60 ms each, and 600 ms for each of them.
    assert_eq!(
        stage.change(put(GROUP, people("Staff", 0..3_000))),
        Outcome::Synced
    );
    assert_eq!(last(&stage.process).writes[0].attempts, 1);
}

#[test]
fn a_group_that_cannot_be_taken_back_is_healed() {
    let stage = Stage::new();
    assert_eq!(
        stage.change(put(GROUP, people("Staff", 0..2_000))),
        Outcome::Synced
    );
    let before = stage.group();
    stage.stall(5);
    let changed = people("Everybody", 1_000..3_000);
    assert_eq!(stage.change(put(GROUP, changed)), Outcome::Diverged);
    assert_ne!(stage.group(), before);
    let record = last(&stage.process);
    // Cut off again on its way back, and then not.
    stage.stall(3);
    let heal = || stage.process.run(stage.process.app.heal(record.id, "test"));
    heal().unwrap_err();
    stage.service.shop().stall = None;
    assert_eq!(heal().unwrap().outcome, Some(Outcome::Compensated));
    assert_eq!(stage.group(), before);
    // The same for a group that was deleted, and came back by half.
    assert_eq!(stage.change(delete(GROUP)), Outcome::Synced);
    stage.stall(4);
    assert_eq!(
        stage.change(put(GROUP, people("New", 0..1_000))),
        Outcome::Diverged
    );
    stage.service.shop().stall = None;
    let record = last(&stage.process);
    stage
        .process
        .run(stage.process.app.heal(record.id, "test"))
        .unwrap();
    assert_eq!(stage.group(), None);
}

#[test]
fn a_members_change_by_somebody_else_is_left_and_listed() {
    let stage = Stage::new();
    assert_eq!(
        stage.change(put(GROUP, people("Staff", 0..1_000))),
        Outcome::Synced
    );
    stage.stall(5);
    let service = Arc::clone(&stage.service);
    checkpoint::watch(stage.process.app.engine().store().node(), move |point| {
        if point == Point::CompensationJournaled {
            let mut shop = service.shop();
            shop.stall = None;
            let group = &mut shop.resources.get_mut("Groups").unwrap()[0];
            let members = group["members"].as_array_mut().unwrap();
            members.push(json!({"value": "stranger"}));
            group["meta"]["version"] = json!("W/\"theirs\"");
        }
        false
    });
    let changed = people("Staff", 500..2_000);
    assert_eq!(stage.change(put(GROUP, changed)), Outcome::Diverged);
    let members = stage.group().unwrap()["members"].clone();
    let is_there = |id: &str| members.as_array().unwrap().contains(&json!({"value": id}));
    assert!(is_there("stranger"), "somebody else's member stays");
    let diverged = last(&stage.process).diverged;
    assert!(
        diverged[0].cause.message.contains("somebody else"),
        "{diverged:?}"
    );
}

#[test]
fn after_a_crash_in_the_middle_a_group_is_wholly_old_or_wholly_new() {
    for (old, stalled) in [(None, 4), (Some(0..1_500), 0), (Some(0..1_500), 8)] {
        let stage = Stage::new();
        if let Some(old) = old.clone() {
            assert_eq!(
                stage.change(put(GROUP, people("Staff", old))),
                Outcome::Synced
            );
        }
        let before = stage.group();
        stage.stall(stalled);
        let app = stage.process.app.clone();
        let request = put(GROUP, people("Everybody", 700..2_500));
        let task = stage
            .process
            .spawn(async move { app.change(request).await });
        while !stage.service.shop().is_stalled {
            assert!(!task.is_finished());
            #[expect(clippy::disallowed_methods, reason = "polls on a test's own thread")]
            std::thread::sleep(Duration::from_millis(1));
        }
        let Stage {
            runtime,
            service,
            world,
            process,
        } = stage;
        process.crash();
        {
            let mut shop = service.shop();
            shop.stall = None;
            shop.is_stalled = false;
        }
        let process = world.start();
        process.until_settled();
        let stage = Stage {
            runtime,
            service,
            world,
            process,
        };
        let record = last(&stage.process);
        let now = stage.group();
        match record.outcome {
            Some(Outcome::Synced) => {
                let now = now.unwrap();
                assert_eq!(now["displayName"], "Everybody");
                assert_eq!(now["members"].as_array().unwrap().len(), 1_800);
            }
            Some(Outcome::Compensated) => assert_eq!(now, before, "{old:?} {stalled}"),
            other => panic!("{other:?}: {record:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_on_a_real_scim_server_goes_back_exactly() {
    let Some(server) = ScimServer::start(Options::default()).await else {
        return;
    };
    let proxy = Arc::new(Proxy::before(server.address).await);
    let world = world(&proxy.address().to_string(), Some(scim::TOKEN));
    let app = world.open().await;
    let before = people("Staff", 0..1_000);
    assert_eq!(
        outcome(app.change(put(GROUP, before)).await),
        Outcome::Synced
    );
    let dump = async || held(server.dump("Groups").await.pop());
    let before = dump().await;
    assert_eq!(
        before.as_ref().unwrap()["members"]
            .as_array()
            .unwrap()
            .len(),
        1_000
    );
    let shared = Arc::clone(&proxy);
    checkpoint::watch(app.engine().store().node(), move |point| {
        if point == Point::CompensationJournaled {
            shared.up();
        }
        false
    });
    for (pieces, mode) in [
        (6, Mode::CutAnswer),
        (9, Mode::CutRequest),
        (14, Mode::CutAnswer),
    ] {
        proxy.set_after(pieces, mode);
        let changed = people("Everybody", 500..2_000);
        assert_eq!(
            outcome(app.change(put(GROUP, changed)).await),
            Outcome::Compensated,
            "{pieces}"
        );
        assert_eq!(dump().await, before, "{pieces}");
    }
}
