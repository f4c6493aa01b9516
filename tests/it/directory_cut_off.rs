//! Changes of an account with groups that are cut off between two requests: the directory ends wholly
//! old or wholly new, whether the server comes back at once, later, or after Recant itself has died.
use std::sync::Arc;

use recant::{
    connectors::{Settings, open},
    model::{ChangeRequest, OperationRecord, Outcome},
    sync::checkpoint::{self, Point},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{
    proxy::{Mode, Proxy},
    slapd::{GROUPS, Slapd, TOP},
    target::{Ask, Fault},
    world::{COMPENSATE, Process, Shape, World, delete, put},
};

const NOBODY: &str = "cn=nobody,dc=example,dc=com";

/// A directory behind a proxy, then a target that can fail.
struct Stage {
    runtime: Runtime,
    slapd: Slapd,
    proxy: Arc<Proxy>,
    world: World,
    process: Process,
}

impl Stage {
    /// None where there is no directory.
    fn new() -> Option<Self> {
        let runtime = Runtime::new().unwrap();
        let slapd = runtime.block_on(Slapd::start())?;
        let proxy = Arc::new(runtime.block_on(Proxy::before(slapd.address())));
        let world = World::new(&Shape {
            targets: 1,
            on_sync: Some(COMPENSATE),
            managed: json!({"schema": {"type": "object"}}),
            ..Shape::default()
        });
        let mut class = Slapd::people();
        class["memberships"] = json!({"baseDn": GROUPS, "emptyMember": NOBODY});
        let mut connector = slapd.settings(class);
        connector["url"] = json!(format!("ldap://{}", proxy.address()));
        connector["retry"] = json!({"attempts": 3, "baseMs": 1});
        connector["circuit"] = json!({"failures": 0});
        world.write("conf/connectors/dir.json", &connector.to_string());
        let mappings = json!({"mappings": [
            {"name": "user_dir", "source": "managed/user", "target": "system/dir/account",
                "properties": [
                    {"source": "userName", "target": "uid"},
                    {"source": "name", "target": "cn"},
                    {"source": "name", "target": "sn"},
                    {"source": "groups", "target": "groups"}]},
            {"name": "user_t1", "source": "managed/user", "target": "system/t1/account",
                "properties": [{"source": "name", "target": "name"}]},
        ]});
        world.write("conf/sync.json", &mappings.to_string());
        let process = world.start();
        let stage = Self {
            runtime,
            slapd,
            proxy,
            world,
            process,
        };
        stage.make_groups();
        Some(stage)
    }

    fn make_groups(&self) {
        let class = json!({"baseDn": GROUPS, "rdnAttribute": "cn",
            "objectClasses": ["groupOfNames"], "emptyMember": NOBODY});
        let settings = self.slapd.settings(class);
        let settings = Settings::parse("dir", &settings, std::path::Path::new("/")).unwrap();
        self.runtime.block_on(async {
            let connector = open(&settings).unwrap();
            // One of them has a member whom no change concerns, so that the first write there counts.
            for (name, members) in [
                ("staff", json!([])),
                ("board", json!([])),
                ("chess", json!([TOP])),
            ] {
                let group = json!({"cn": name, "member": members});
                let group = group.as_object().cloned().unwrap();
                connector.create("account", None, &group).await.unwrap();
            }
        });
    }

    fn change(&self, request: ChangeRequest) -> Outcome {
        let result = self.process.change(request);
        let outcome = match &result {
            Ok(changed) => Some(changed.outcome),
            Err(error) => error.outcome,
        };
        outcome.unwrap_or_else(|| panic!("{result:?}"))
    }

    /// The directory comes back once the compensation is on disk.
    fn back_for_the_undo(&self) {
        let (proxy, runtime) = (Arc::clone(&self.proxy), self.runtime.handle().clone());
        checkpoint::watch(self.process.app.engine().store().node(), move |point| {
            if point == Point::CompensationJournaled {
                let _on = runtime.enter();
                proxy.up();
            }
            false
        });
    }

    /// The directory takes so many writes of the compensation, and then nobody gets through.
    fn cut_the_undo(&self, writes: u64, stop: Option<Point>) -> impl Fn(Point) -> bool + use<> {
        let proxy = Arc::clone(&self.proxy);
        move |point| {
            if point == Point::CompensationJournaled {
                proxy.cut_and_close_after(writes, Mode::CutEntryWrite);
            }
            Some(point) == stop
        }
    }

    fn up(&self) {
        let _on = self.runtime.enter();
        self.proxy.up();
    }

    fn heal(&self) -> Option<Outcome> {
        let record = last(&self.process);
        let healed = self.process.run(self.process.app.heal(record.id, "test"));
        healed.unwrap().outcome
    }

    /// Recant dies, and begins again while the directory is there.
    fn begin_again(self) -> Self {
        let Self {
            runtime,
            slapd,
            proxy,
            world,
            process,
        } = self;
        process.crash();
        {
            let _on = runtime.enter();
            proxy.up();
        }
        let process = world.start();
        process.until_settled();
        Self {
            runtime,
            slapd,
            proxy,
            world,
            process,
        }
    }
}

fn last(process: &Process) -> OperationRecord {
    let mut all = process.operations();
    all.retain(|record| record.depth == 0);
    all.sort_by_key(|record| record.started_at);
    all.pop().unwrap()
}

fn dn(group: &str) -> String {
    format!("cn={group},{GROUPS}")
}

fn ann() -> Value {
    json!({"userName": "ann", "name": "Ann", "groups": [dn("staff"), dn("chess")]})
}

/// Another name alone, and another name with other groups.
fn renames() -> [Value; 2] {
    let alone = json!({"userName": "anna", "name": "Anna", "groups": [dn("staff"), dn("chess")]});
    let both = json!({"userName": "anna", "name": "Anna", "groups": [dn("board"), dn("staff")]});
    [alone, both]
}

#[test]
fn a_deletion_that_is_cut_off_behind_the_groups_is_finished_or_goes_back() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let empty = stage.slapd.dump();
    for writes in 1..=3 {
        assert_eq!(stage.change(put("1", ann())), Outcome::Synced);
        let before = stage.slapd.dump();
        // The directory is back for the undo.
        stage.proxy.cut_and_close_after(writes, Mode::CutEntryWrite);
        stage.back_for_the_undo();
        assert_eq!(stage.change(delete("1")), Outcome::Compensated, "{writes}");
        assert_eq!(stage.slapd.dump(), before, "{writes}");
        // It is back only when somebody heals the change.
        checkpoint::watch(stage.process.app.engine().store().node(), |_| false);
        stage.proxy.cut_and_close_after(writes, Mode::CutEntryWrite);
        assert_eq!(stage.change(delete("1")), Outcome::Diverged, "{writes}");
        assert_ne!(stage.slapd.dump(), before, "{writes}");
        stage.up();
        assert_eq!(stage.heal(), Some(Outcome::Compensated), "{writes}");
        assert_eq!(stage.slapd.dump(), before, "{writes}");
        // It is back at once.
        stage.proxy.cut_once_after(writes, Mode::CutEntryWrite);
        assert_eq!(stage.change(delete("1")), Outcome::Synced, "{writes}");
        assert_eq!(stage.slapd.dump(), empty, "{writes}");
        // Recant dies there.
        assert_eq!(stage.change(put("1", ann())), Outcome::Synced);
        stage.proxy.cut_and_close_after(writes, Mode::CutEntryWrite);
        let stop = |point| point == Point::AfterWrite(0);
        assert!(stage.process.change_until(delete("1"), stop));
        assert!(stage.proxy.is_down());
        stage = stage.begin_again();
        assert_eq!(last(&stage.process).outcome, Some(Outcome::Synced));
        assert_eq!(stage.slapd.dump(), empty, "{writes}");
    }
}

#[test]
fn a_rename_that_is_cut_off_before_its_groups_is_finished_or_goes_back() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    assert_eq!(stage.change(put("1", ann())), Outcome::Synced);
    let before = stage.slapd.dump();
    for renamed in renames() {
        assert_eq!(stage.change(put("1", renamed.clone())), Outcome::Synced);
        let after = stage.slapd.dump();
        assert_eq!(stage.change(put("1", ann())), Outcome::Synced);
        assert_eq!(stage.slapd.dump(), before);
        for writes in 1..=3 {
            let told = format!("{renamed} {writes}");
            let request = || put("1", renamed.clone());
            stage.proxy.cut_and_close_after(writes, Mode::CutEntryWrite);
            stage.back_for_the_undo();
            assert_eq!(stage.change(request()), Outcome::Compensated, "{told}");
            assert_eq!(stage.slapd.dump(), before, "{told}");
            checkpoint::watch(stage.process.app.engine().store().node(), |_| false);
            stage.proxy.cut_and_close_after(writes, Mode::CutEntryWrite);
            assert_eq!(stage.change(request()), Outcome::Diverged, "{told}");
            assert_ne!(stage.slapd.dump(), before, "{told}");
            stage.up();
            assert_eq!(stage.heal(), Some(Outcome::Compensated), "{told}");
            assert_eq!(stage.slapd.dump(), before, "{told}");
            stage.proxy.cut_once_after(writes, Mode::CutEntryWrite);
            assert_eq!(stage.change(request()), Outcome::Synced, "{told}");
            assert_eq!(stage.slapd.dump(), after, "{told}");
            assert_eq!(stage.change(put("1", ann())), Outcome::Synced);
            stage.proxy.cut_and_close_after(writes, Mode::CutEntryWrite);
            let stop = |point| point == Point::AfterWrite(0);
            assert!(stage.process.change_until(request(), stop), "{told}");
            assert!(stage.proxy.is_down(), "{told}");
            stage = stage.begin_again();
            assert_eq!(
                last(&stage.process).outcome,
                Some(Outcome::Synced),
                "{told}"
            );
            assert_eq!(stage.slapd.dump(), after, "{told}");
            assert_eq!(stage.change(put("1", ann())), Outcome::Synced);
            assert_eq!(stage.slapd.dump(), before, "{told}");
        }
    }
}

#[test]
fn the_undo_of_a_rename_that_is_cut_off_before_the_groups_is_finished() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    assert_eq!(stage.change(put("1", ann())), Outcome::Synced);
    let before = stage.slapd.dump();
    for renamed in renames() {
        for writes in 1..=3 {
            let told = format!("{renamed} {writes}");
            let request = || put("1", renamed.clone());
            stage.world.targets[0].mend();
            stage.world.targets[0].fail(Some(Ask::Update), 0, 1, Fault::Refused);
            let node = stage.process.app.engine().store().node().to_owned();
            checkpoint::watch(&node, stage.cut_the_undo(writes, None));
            assert_eq!(stage.change(request()), Outcome::Diverged, "{told}");
            assert_ne!(stage.slapd.dump(), before, "{told}");
            checkpoint::watch(&node, |_| false);
            stage.up();
            assert_eq!(stage.heal(), Some(Outcome::Compensated), "{told}");
            assert_eq!(stage.slapd.dump(), before, "{told}");
            // Recant dies there.
            stage.world.targets[0].mend();
            stage.world.targets[0].fail(Some(Ask::Update), 0, 1, Fault::Refused);
            let stop = stage.cut_the_undo(writes, Some(Point::AfterUndo(0)));
            assert!(stage.process.change_until(request(), stop), "{told}");
            assert!(stage.proxy.is_down(), "{told}");
            stage = stage.begin_again();
            let outcome = last(&stage.process).outcome;
            assert_eq!(outcome, Some(Outcome::Compensated), "{told}");
            assert_eq!(stage.slapd.dump(), before, "{told}");
        }
    }
}
