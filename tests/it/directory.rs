//! The whole engine with a directory: what a failed change leaves there, links, and passwords.
use std::path::Path;

use recant::{
    connectors::{Settings, SharedConnector, open},
    model::{Object, OperationRecord, Outcome},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{
    slapd::{PEOPLE, Slapd},
    target::{Ask, Fault},
    world::{COMPENSATE, Process, Shape, World, delete, put},
};

/// A directory first, then a target that can fail.
struct Stage {
    runtime: Runtime,
    slapd: Slapd,
    world: World,
    process: Process,
}

impl Stage {
    /// None where there is no directory.
    fn new(properties: Value) -> Option<Self> {
        Self::of(Slapd::people(), properties)
    }

    /// The same with another object class.
    fn of(class: Value, properties: Value) -> Option<Self> {
        let runtime = Runtime::new().unwrap();
        let slapd = runtime.block_on(Slapd::start())?;
        let schema = json!({"type": "object", "properties": {
            "name": {"type": "string"},
            "password": {"type": "string", "confidential": true},
        }});
        let world = World::new(&Shape {
            targets: 1,
            on_sync: Some(COMPENSATE),
            managed: json!({"schema": schema}),
            ..Shape::default()
        });
        let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        world.write("recant.toml", &format!("[secrets]\nkey = \"{key}\"\n"));
        let connector = slapd.settings(class);
        world.write("conf/connectors/dir.json", &connector.to_string());
        let mappings = json!({"mappings": [
            {"name": "user_dir", "source": "managed/user", "target": "system/dir/account",
                "properties": properties},
            {"name": "user_t1", "source": "managed/user", "target": "system/t1/account",
                "properties": [{"source": "name", "target": "name"}]},
        ]});
        world.write("conf/sync.json", &mappings.to_string());
        let process = world.start();
        Some(Self {
            runtime,
            slapd,
            world,
            process,
        })
    }

    /// The target after the directory refuses its next write.
    fn fail(&self, ask: Ask) {
        self.world.targets[0].mend();
        self.world.targets[0].fail(Some(ask), 0, 1, Fault::Refused);
    }

    fn entry(&self, id: &str) -> Option<Object> {
        let connector = connector(&self.slapd.settings(Slapd::people()));
        let found = self.runtime.block_on(connector.read("account", id));
        found.unwrap().map(|found| found.to_object())
    }

    /// Whether the directory takes a person's password.
    fn accepts(&self, uid: &str, password: &str) -> bool {
        let mut settings = self.slapd.settings(Slapd::people());
        settings["bindDn"] = json!(format!("uid={uid},{PEOPLE}"));
        settings["bindPassword"] = json!(password);
        let read = self.runtime.block_on(async {
            let connector = connector(&settings);
            connector.read("account", uid).await
        });
        match read {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.code, 49, "{error:?}");
                false
            }
        }
    }

    fn change(&self, id: &str, content: Value) -> Outcome {
        self.ended(self.process.change(put(id, content)))
    }

    fn delete(&self, id: &str) -> Outcome {
        self.ended(self.process.change(delete(id)))
    }

    fn ended(&self, result: Result<recant::app::Changed, recant::app::Error>) -> Outcome {
        let outcome = match &result {
            Ok(changed) => Some(changed.outcome),
            Err(error) => error.outcome,
        };
        outcome.unwrap_or_else(|| panic!("{result:?}"))
    }

    fn last(&self) -> OperationRecord {
        let mut all = self.process.operations();
        all.retain(|record| record.depth == 0);
        all.sort_by_key(|record| record.started_at);
        all.pop().unwrap()
    }
}

fn connector(settings: &Value) -> SharedConnector {
    open(&Settings::parse("dir", settings, Path::new("/")).unwrap()).unwrap()
}

fn by_uid() -> Value {
    json!([
        {"source": "userName", "target": "uid"},
        {"source": "name", "target": "cn"},
        {"source": "name", "target": "sn"},
        {"source": "mail", "target": "mail"},
        {"source": "phones", "target": "telephoneNumber"},
        {"source": "password", "target": "userPassword"},
    ])
}

fn ann() -> Value {
    json!({"userName": "ann", "name": "Ann", "mail": "ann@example.com",
        "phones": ["2", "1", "3"], "password": "first-secret"})
}

fn with(changes: &Value) -> Value {
    let mut person = ann();
    for (name, value) in changes.as_object().unwrap() {
        person[name] = value.clone();
    }
    person
}

#[test]
fn a_change_that_fails_elsewhere_leaves_the_directory_as_it_was() {
    let Some(stage) = Stage::new(by_uid()) else {
        return;
    };
    let empty = stage.slapd.dump();
    stage.fail(Ask::Create);
    assert_eq!(stage.change("1", ann()), Outcome::Compensated);
    assert_eq!(stage.slapd.dump(), empty, "create");
    assert_eq!(stage.change("1", ann()), Outcome::Synced);
    let before = stage.slapd.dump();
    let id = stage.entry("ann").unwrap()["_id"].clone();
    for changes in [
        json!({"mail": "other@example.com"}),
        json!({"phones": ["1", "4"]}),
        json!({"mail": null, "phones": null}),
        json!({"userName": "anna"}),
        json!({"userName": "a, b+c=\"d\"", "name": "Anna", "phones": ["9"]}),
        json!({"userName": "ANN"}),
    ] {
        let mut changes = changes;
        changes["name"] = json!("Annabel");
        stage.fail(Ask::Update);
        let outcome = stage.change("1", with(&changes));
        assert_eq!(outcome, Outcome::Compensated, "{changes}");
        assert_eq!(stage.slapd.dump(), before, "{changes}");
        assert_eq!(stage.entry("ann").unwrap()["_id"], id, "{changes}");
    }
    stage.fail(Ask::Delete);
    assert_eq!(stage.delete("1"), Outcome::Compensated);
    assert_eq!(stage.slapd.dump(), before, "delete");
    assert!(stage.accepts("ann", "first-secret"), "its password too");
    // The entry has another id by now, and the link follows it.
    let again = stage.entry("ann").unwrap()["_id"].clone();
    assert_ne!(again, id);
    stage.world.targets[0].mend();
    let outcome = stage.change("1", with(&json!({"mail": "new@example.com"})));
    assert_eq!(outcome, Outcome::Synced);
    let now = stage.entry(again.as_str().unwrap()).unwrap();
    assert_eq!(now["mail"], "new@example.com");
    assert_eq!(stage.delete("1"), Outcome::Synced);
    assert_eq!(stage.slapd.dump(), empty);
}

/// Changes an entry past Recant.
fn change_past(stage: &Stage, id: &str, changes: &Value) {
    stage.runtime.block_on(async {
        let connector = connector(&stage.slapd.settings(Slapd::people()));
        let before = connector.read("account", id).await.unwrap().unwrap();
        let mut after = before.attributes.clone();
        after.extend(changes.as_object().cloned().unwrap());
        let update = recant::connectors::Update {
            before: &before,
            after: &after,
            rename: None,
        };
        connector.update("account", &update).await.unwrap();
    });
}

#[test]
fn of_several_names_the_entry_gets_the_one_back_that_named_it() {
    let mut class = Slapd::people();
    class["rdnAttribute"] = json!("cn");
    for name in ["cn", "_id"] {
        let properties = json!([
            {"source": "name", "target": name},
            {"source": "userName", "target": "sn"},
        ]);
        let Some(stage) = Stage::of(class.clone(), properties) else {
            return;
        };
        assert_eq!(stage.change("1", ann()), Outcome::Synced);
        let id = stage.runtime.block_on(async {
            let connector = connector(&stage.slapd.settings(class.clone()));
            let found = connector.read("account", "Ann").await.unwrap();
            found.unwrap().id
        });
        change_past(&stage, &id, &json!({"cn": ["Ann", "Aaron", "Annie"]}));
        let before = stage.slapd.dump();
        assert!(before.contains("cn: Annie"), "{before}");
        stage.fail(Ask::Update);
        let renamed = with(&json!({"name": "Annie"}));
        assert_eq!(stage.change("1", renamed), Outcome::Compensated, "{name}");
        assert_eq!(stage.slapd.dump(), before, "{name}");
    }
}

#[test]
fn a_rename_past_recant_does_not_lose_the_link() {
    let Some(stage) = Stage::new(json!([
        {"source": "userName", "target": "uid"},
        {"source": "name", "target": "sn"},
        {"source": "name", "target": "cn"},
        {"source": "mail", "target": "mail"},
    ])) else {
        return;
    };
    assert_eq!(stage.change("1", ann()), Outcome::Synced);
    let before = stage.entry("ann").unwrap();
    stage.runtime.block_on(async {
        let connector = connector(&stage.slapd.settings(Slapd::people()));
        let before = connector.read("account", "ann").await.unwrap().unwrap();
        let mut after = before.attributes.clone();
        after.insert("dn".into(), json!(format!("uid=moved,ou=leavers,{PEOPLE}")));
        let update = recant::connectors::Update {
            before: &before,
            after: &after,
            rename: None,
        };
        let moved = connector.update("account", &update).await.unwrap();
        assert_eq!(moved.id, before.id);
        assert_eq!(moved.attributes.unwrap()["uid"], "moved");
    });
    // The same entry, named again as the mapping says, where it is now.
    assert_eq!(
        stage.change("1", with(&json!({"mail": "x@example.com"}))),
        Outcome::Synced
    );
    let now = stage.entry("ann").unwrap();
    assert_eq!(now["_id"], before["_id"]);
    assert_eq!(now["dn"], format!("uid=ann,ou=leavers,{PEOPLE}"));
    assert_eq!(now["mail"], "x@example.com");
}

#[test]
fn another_person_who_is_called_as_ones_id_is_never_meant() {
    let mut class = Slapd::people();
    class["idAttribute"] = json!("employeeNumber");
    let properties = json!([
        {"source": "userName", "target": "uid"},
        {"source": "number", "target": "employeeNumber"},
        {"source": "name", "target": "sn"},
        {"source": "name", "target": "cn"},
    ]);
    let Some(stage) = Stage::of(class, properties) else {
        return;
    };
    assert_eq!(
        stage.change("1", with(&json!({"number": "1001"}))),
        Outcome::Synced
    );
    // Past Recant she goes, and somebody comes whose name is the number that she had.
    stage.runtime.block_on(async {
        let connector = connector(&stage.slapd.settings(Slapd::people()));
        let ann = connector.read("account", "ann").await.unwrap().unwrap();
        connector.delete("account", &ann).await.unwrap();
        let mut other = crate::support::slapd::person("1001", "Somebody Else");
        other.insert("employeeNumber".into(), json!("2002"));
        connector.create("account", None, &other).await.unwrap();
    });
    let before = stage.slapd.dump();
    stage.ended(
        stage
            .process
            .change(put("1", with(&json!({"number": "1001", "name": "Anna"})))),
    );
    let others = |dump: &str| -> Vec<String> {
        let entries = dump
            .split("dn: ")
            .filter(|entry| entry.contains("employeeNumber: 2002"));
        entries.map(str::to_owned).collect()
    };
    assert!(stage.slapd.dump().contains("cn: Somebody Else"));
    assert_eq!(others(&stage.slapd.dump()).len(), others(&before).len());
    assert_eq!(
        stage.slapd.dump().matches("Somebody Else").count(),
        before.matches("Somebody Else").count()
    );
    stage.ended(stage.process.change(delete("1")));
    assert!(
        stage.slapd.dump().contains("cn: Somebody Else"),
        "nor is she deleted"
    );
}

#[test]
fn the_groups_of_an_account_go_back_with_it() {
    let mut class = Slapd::people();
    class["memberships"] = json!({"baseDn": "ou=groups,dc=example,dc=com",
        "emptyMember": "cn=nobody,dc=example,dc=com"});
    let mut properties = by_uid();
    properties
        .as_array_mut()
        .unwrap()
        .push(json!({"source": "groups", "target": "groups"}));
    let Some(stage) = Stage::of(class, properties) else {
        return;
    };
    stage.runtime.block_on(async {
        let class = json!({"baseDn": "ou=groups,dc=example,dc=com", "rdnAttribute": "cn",
            "objectClasses": ["groupOfNames"], "emptyMember": "cn=nobody,dc=example,dc=com"});
        let connector = connector(&stage.slapd.settings(class));
        for name in ["staff", "board", "chess"] {
            let group = json!({"cn": name}).as_object().cloned().unwrap();
            connector.create("account", None, &group).await.unwrap();
        }
    });
    let dn = |name: &str| format!("cn={name},ou=groups,dc=example,dc=com");
    let empty = stage.slapd.dump();
    let member = with(&json!({"groups": [dn("staff"), dn("chess")]}));
    stage.fail(Ask::Create);
    assert_eq!(stage.change("1", member.clone()), Outcome::Compensated);
    assert_eq!(stage.slapd.dump(), empty, "create");
    assert_eq!(stage.change("1", member.clone()), Outcome::Synced);
    let before = stage.slapd.dump();
    assert_ne!(before, empty);
    for changes in [
        json!({"groups": [dn("board")]}),
        json!({"groups": null}),
        json!({"userName": "anna", "groups": [dn("board"), dn("staff")]}),
        json!({"userName": "anna"}),
    ] {
        let mut changed = member.clone();
        changed["name"] = json!("Annabel");
        for (name, value) in changes.as_object().unwrap() {
            changed[name] = value.clone();
        }
        stage.fail(Ask::Update);
        assert_eq!(
            stage.change("1", changed),
            Outcome::Compensated,
            "{changes}"
        );
        assert_eq!(stage.slapd.dump(), before, "{changes}");
    }
    stage.fail(Ask::Delete);
    assert_eq!(stage.delete("1"), Outcome::Compensated);
    assert_eq!(stage.slapd.dump(), before, "delete");
    stage.world.targets[0].mend();
    // A group that is not there stops the change before anything is written.
    let ghosts = stage
        .process
        .change(put("1", with(&json!({"groups": [dn("ghosts")]}))));
    assert_eq!(stage.ended(ghosts), Outcome::Rejected);
    assert_eq!(stage.delete("1"), Outcome::Synced);
    assert_eq!(stage.slapd.dump(), empty);
}

#[test]
fn an_id_of_the_mapping_is_what_names_the_entry() {
    let Some(stage) = Stage::new(json!([
        {"source": "userName", "target": "_id"},
        {"source": "name", "target": "sn"},
        {"source": "name", "target": "cn"},
    ])) else {
        return;
    };
    assert_eq!(stage.change("1", ann()), Outcome::Synced);
    let before = stage.slapd.dump();
    let id = stage.entry("ann").unwrap()["_id"].clone();
    // The same person again: nothing to write, and no rename to its own name.
    assert_eq!(
        stage.change("1", with(&json!({"mail": "x@example.com"}))),
        Outcome::Synced
    );
    let writes = stage.last().writes;
    assert!(
        writes.iter().all(|write| write.operation.is_none()),
        "{writes:?}"
    );
    stage.fail(Ask::Update);
    let renamed = with(&json!({"userName": "anna", "name": "Anna"}));
    assert_eq!(stage.change("1", renamed.clone()), Outcome::Compensated);
    assert_eq!(stage.slapd.dump(), before);
    stage.world.targets[0].mend();
    assert_eq!(stage.change("1", renamed), Outcome::Synced);
    assert_eq!(stage.entry("anna").unwrap()["_id"], id);
    // Another person of that name is refused before anything is written.
    let second = stage.ended(
        stage
            .process
            .change(put("2", with(&json!({"userName": "anna"})))),
    );
    assert_eq!(second, Outcome::Rejected);
}

#[test]
fn a_password_is_written_when_it_changes_and_put_back_where_it_is_known() {
    let Some(stage) = Stage::new(by_uid()) else {
        return;
    };
    assert_eq!(stage.change("1", ann()), Outcome::Synced);
    assert!(stage.accepts("ann", "first-secret"));
    assert!(!stage.entry("ann").unwrap().contains_key("userPassword"));
    // Somebody sets it past Recant; a change of something else leaves that.
    let own = json!({"userPassword": "their-own-secret"});
    change_past(&stage, "ann", &own);
    assert_eq!(
        stage.change("1", with(&json!({"name": "Anna"}))),
        Outcome::Synced
    );
    assert!(stage.accepts("ann", "their-own-secret"));
    // Taken back, it is what the old object gives.
    stage.fail(Ask::Update);
    let changed = json!({"name": "Annabel", "password": "second-secret"});
    assert_eq!(stage.change("1", with(&changed)), Outcome::Compensated);
    assert!(stage.accepts("ann", "first-secret"));
    assert!(!stage.accepts("ann", "second-secret"));
    assert!(!format!("{:?}", stage.process.operations()).contains("-secret"));
}

#[test]
fn a_password_that_nobody_knows_any_more_is_said_to_be_lost() {
    let Some(stage) = Stage::new(by_uid()) else {
        return;
    };
    let mut without = ann();
    without.as_object_mut().unwrap().shift_remove("password");
    assert_eq!(stage.change("1", without), Outcome::Synced);
    stage.fail(Ask::Update);
    assert_eq!(
        stage.change("1", with(&json!({"name": "Anna"}))),
        Outcome::Diverged
    );
    let diverged = stage.last().diverged;
    assert_eq!(diverged.len(), 1, "{diverged:?}");
    assert!(
        diverged[0].cause.message.contains("userPassword"),
        "{diverged:?}"
    );
    let now = stage.entry("ann").unwrap();
    assert_eq!(now["cn"], "Ann", "the rest is back");
}

#[test]
fn a_password_that_a_deleted_entry_had_unseen_is_said_to_be_lost() {
    let mut properties = by_uid();
    properties.as_array_mut().unwrap().pop();
    let Some(stage) = Stage::new(properties) else {
        return;
    };
    assert_eq!(stage.change("1", ann()), Outcome::Synced);
    let before = stage.slapd.dump();
    stage.fail(Ask::Delete);
    assert_eq!(stage.delete("1"), Outcome::Compensated, "it had none");
    assert_eq!(stage.slapd.dump(), before);
    let own = json!({"userPassword": "their-own-secret"});
    change_past(&stage, "ann", &own);
    stage.fail(Ask::Delete);
    assert_eq!(stage.delete("1"), Outcome::Diverged);
    let diverged = stage.last().diverged;
    assert_eq!(diverged.len(), 1, "{diverged:?}");
    let message = &diverged[0].cause.message;
    assert!(message.contains("userPassword"), "{message}");
    assert_eq!(stage.slapd.dump(), before, "the rest is back");
}

#[test]
fn a_password_policy_refuses_in_its_own_words_and_everything_goes_back() {
    let Some(stage) = Stage::new(by_uid()) else {
        return;
    };
    let before = stage.slapd.dump();
    let short = with(&json!({"password": "tiny"}));
    assert_eq!(stage.change("1", short), Outcome::Compensated);
    assert_eq!(stage.slapd.dump(), before);
    let cause = stage.last().writes[0].cause.clone().unwrap();
    assert_eq!(cause.code, 19);
    assert!(cause.message.contains("too short"), "{cause:?}");
    assert!(stage.world.targets[0].dump().is_empty());
}
