//! Values that must be unique, whoever writes them and on whichever node: created at once, renamed, taken
//! back, deleted and made again, and there before they had to be unique.
use recant::{
    app::{Changed, Error},
    model::ChangeRequest,
    sync::checkpoint::Point,
};
use serde_json::{Value, json};

use crate::support::{
    servers,
    target::{Ask, Fault},
    world::{Process, Shape, World, delete, put},
};

/// Users whose `name` no other has, whatever its case.
fn unique() -> Value {
    json!({"scim": {"resourceType": "User", "attributes": {"userName": "name"}}})
}

/// A folder of one node.
fn node(store: &str, managed: Value) -> World {
    World::new(&Shape {
        store: Some(store.to_owned()),
        managed,
        ..Shape::default()
    })
}

/// Two nodes of one store, with the same targets.
fn pair(store: &str) -> (World, World) {
    let one = node(store, unique());
    let mut other = node(store, unique());
    other.targets.clone_from(&one.targets);
    (one, other)
}

fn stores(folder: &tempfile::TempDir) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut stores = vec![format!("sqlite://{}/shared.db", folder.path().display())];
    for server in [servers::postgres_url(), servers::mariadb_url()]
        .into_iter()
        .flatten()
    {
        stores.push(runtime.block_on(servers::fresh_database(&server)));
    }
    stores
}

fn named(id: &str, name: &str) -> ChangeRequest {
    put(id, json!({"name": name}))
}

/// Refused because another has the value, and nothing was done.
fn assert_taken(result: Result<Changed, Error>) {
    let error = result.unwrap_err();
    let taken = error.detail.as_ref().and_then(|detail| detail.get("taken"));
    assert_eq!(
        (error.code, taken),
        (409, Some(&json!("userName"))),
        "{error:?}"
    );
}

#[test]
fn of_many_nodes_and_requests_one_gets_the_name() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder) {
        let (here, there) = pair(&store);
        let (one, other) = (here.start(), there.start());
        for round in 0..5 {
            let tasks: Vec<_> = (0..6)
                .map(|task| {
                    let process: &Process = if task % 2 == 0 { &one } else { &other };
                    let app = process.app.clone();
                    let spelled = if task % 3 == 0 { "Ada" } else { "aDA" };
                    let request = named(&format!("u{round}-{task}"), &format!("{spelled}{round}"));
                    process.spawn(async move { app.change(request).await })
                })
                .collect();
            let done: Vec<_> = tasks
                .into_iter()
                .map(|task| one.run(task).unwrap())
                .collect();
            let (won, lost): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
            assert_eq!(won.len(), 1, "{store}: {lost:?}");
            lost.into_iter().for_each(assert_taken);
        }
        assert_eq!(here.dump()[0].len(), 5);
        one.crash();
        other.crash();
    }
}

#[test]
fn a_name_is_free_again_once_nobody_can_get_it_back() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder) {
        let (here, there) = pair(&store);
        let (one, other) = (here.start(), there.start());
        one.change(named("x", "ada")).unwrap();
        assert_taken(other.change(named("y", "ADA")));
        one.change(named("x", "Ada")).unwrap();
        one.change(named("x", "bob")).unwrap();
        other.change(named("y", "ada")).unwrap();
        assert_taken(one.change(named("x", "ada")));
        assert_taken(other.change(named("y", "bob")));
        for _ in 0..5 {
            one.change(delete("x")).unwrap();
            other.change(named("x2", "bob")).unwrap();
            other.change(delete("x2")).unwrap();
            one.change(named("x", "bob")).unwrap();
        }
        // A swap goes by way of a third name.
        one.change(named("x", "third")).unwrap();
        other.change(named("y", "bob")).unwrap();
        one.change(named("x", "ada")).unwrap();
        one.crash();
        other.crash();
    }
}

#[test]
fn what_a_target_refuses_leaves_every_name_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder) {
        let (here, there) = pair(&store);
        let (one, other) = (here.start(), there.start());
        one.change(named("x", "ada")).unwrap();
        here.targets[2].fail(Some(Ask::Update), 0, 1, Fault::Refused);
        assert_eq!(one.change(named("x", "bob")).unwrap_err().code, 409);
        assert_taken(other.change(named("y", "ada")));
        other.change(named("y", "bob")).unwrap();
        here.targets[2].fail(Some(Ask::Create), 0, 1, Fault::Refused);
        assert_eq!(one.change(named("z", "eve")).unwrap_err().code, 409);
        other.change(named("w", "eve")).unwrap();
        here.targets[2].fail(Some(Ask::Delete), 0, 1, Fault::Refused);
        assert_eq!(one.change(delete("x")).unwrap_err().code, 409);
        assert_taken(other.change(named("v", "ada")));
        one.crash();
        other.crash();
    }
}

#[test]
fn a_lost_nodes_change_keeps_both_names_until_another_has_ended_it() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder) {
        let (here, there) = pair(&store);
        let (lost, other) = (here.start(), there.start());
        lost.change(named("x", "ada")).unwrap();
        assert!(lost.change_until(named("x", "bob"), |at| at == Point::AfterWrite(1)));
        assert_taken(other.change(named("y", "bob")));
        let waited = other.change(named("y", "ada")).unwrap_err();
        assert_eq!(waited.code, 409);
        assert!(waited.retry_after.is_some(), "it may come free");
        lost.crash();
        other.until_settled();
        assert_eq!(other.read("x").unwrap()["name"], "bob");
        other.change(named("y", "ada")).unwrap();
        assert_taken(other.change(named("z", "bob")));
        other.crash();
    }
}

#[test]
fn what_was_stored_before_is_gone_through_once() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(&folder) {
        let world = node(&store, json!({}));
        let process = world.start();
        for (id, name) in [("a", "ada"), ("b", "ADA"), ("c", "carl")] {
            process.change(named(id, name)).unwrap();
        }
        process.crash();
        let mut guarded = node(&store, unique());
        guarded.targets.clone_from(&world.targets);
        let process = guarded.start();
        process.until_settled();
        for name in ["ada", "Carl"] {
            assert_taken(process.change(named("new", name)));
        }
        // Two that were the same before stay, and change in other ways.
        process
            .change(put("b", json!({"name": "Ada", "mail": "b@x.example"})))
            .unwrap();
        process.change(named("a", "alice")).unwrap();
        process
            .change(put("b", json!({"name": "Ada", "mail": null})))
            .unwrap();
        assert_taken(process.change(named("new", "ada")));
        process.crash();
        // Without the rule nothing is unique, nor remembered.
        let mut free = node(&store, json!({}));
        free.targets.clone_from(&world.targets);
        let process = free.start();
        process.change(named("new", "alice")).unwrap();
        process.change(named("a", "alan")).unwrap();
        process.crash();
        let process = guarded.start();
        assert_taken(process.change(named("late", "Alan")));
        assert_taken(process.change(named("late", "ALICE")));
        process.crash();
    }
}

#[test]
fn a_dry_run_tells_what_the_change_would_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let world = node(
        &format!("sqlite://{}/one.db", folder.path().display()),
        unique(),
    );
    let process = world.start();
    process.change(named("x", "ada")).unwrap();
    let error = process
        .run(process.app.plan(named("y", "ADA")))
        .unwrap_err();
    assert_eq!(error.code, 409);
    process.run(process.app.plan(named("x", "ADA"))).unwrap();
    process.run(process.app.plan(named("y", "bob"))).unwrap();
    assert_eq!(world.dump()[0].len(), 1);
    process.crash();
}
