//! Real servers that are stopped or killed in the middle of a write, before and after it took
//! effect: each comes out as what is certain, and everything goes back exactly.
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use recant::{
    app::App,
    connectors::{SharedConnector, Update},
    model::{CauseKind, ChangeRequest, Outcome, TargetObject},
    sync::checkpoint::{self, Point},
};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, MySqlConnection, PgConnection};

use crate::{
    connector_contract::{connector, execute},
    support::{
        databases::{Database, Product},
        proxy::{Mode, Proxy},
        slapd::Slapd,
        target::{Ask, Fault},
        world::{COMPENSATE, Shape, World, delete, put},
    },
};

const CLASS: &str = "account";
const TABLE: &str =
    "create table people (login varchar(80) primary key, name varchar(80) not null)";
const PRODUCTS: [Product; 2] = [Product::Postgres, Product::MariaDb];

fn settings(url: &str) -> Value {
    json!({"type": "sql", "url": url, "timeoutMs": 4000, "retry": {"attempts": 2},
        "circuit": {"failures": 0},
        "objects": {"account": {"table": "people", "key": "login"}}})
}

fn through(url: &str, proxy: &Proxy) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_port(Some(proxy.address().port())).unwrap();
    url.into()
}

async fn ann(target: &SharedConnector) -> TargetObject {
    let object = json!({"name": "Ann"}).as_object().cloned().unwrap();
    target.create(CLASS, Some("ann"), &object).await.unwrap();
    target.read(CLASS, "ann").await.unwrap().unwrap()
}

async fn name(target: &SharedConnector) -> Value {
    for _ in 0..100 {
        // The first connections to a server that was killed may be those of before.
        if let Ok(found) = target.read(CLASS, "ann").await {
            return found.unwrap().attributes["name"].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server cannot be read")
}

/// Another session that keeps a row for itself until its server is killed.
async fn lock(url: &str) -> Box<dyn std::any::Any + Send> {
    let query = "select * from people for update";
    if url.starts_with("postgres") {
        let mut other = PgConnection::connect(url).await.unwrap();
        other.execute("begin").await.unwrap();
        other.execute(query).await.unwrap();
        Box::new(other)
    } else {
        let mut other = MySqlConnection::connect(url).await.unwrap();
        other.execute("start transaction").await.unwrap();
        other.execute(query).await.unwrap();
        Box::new(other)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_while_it_writes_leaves_the_outcome_open() {
    for product in PRODUCTS {
        let Some(mut server) = Database::start(product) else {
            continue;
        };
        let url = server.url();
        execute(&url, &[TABLE]).await;
        let proxy = Proxy::before(server.address()).await;
        let target = connector(&settings(&through(&url, &proxy)), Path::new("/"));
        let direct = connector(&settings(&url), Path::new("/"));
        let before = ann(&target).await;
        let mut after = before.attributes.clone();
        after.insert("name".into(), json!("killed before"));
        let other = lock(&url).await;
        // The write waits for the row when its server dies. Where it would have committed by itself
        // nobody may say that nothing happened, though nothing did.
        let (writer, from, to) = (target.clone(), before.clone(), after.clone());
        let write = tokio::spawn(async move {
            let update = Update {
                before: &from,
                after: &to,
                rename: None,
            };
            writer.update(CLASS, &update).await
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!write.is_finished(), "{product:?}: it waits for the row");
        server.kill();
        let error = write.await.unwrap().unwrap_err();
        // MariaDB waits for a COMMIT that was not sent yet.
        let kind = match product {
            Product::Postgres => CauseKind::Unknown,
            Product::MariaDb => CauseKind::Unavailable,
        };
        assert_eq!(error.kind, kind, "{product:?}: {error:?}");
        let update = Update {
            before: &before,
            after: &after,
            rename: None,
        };
        let error = target.update(CLASS, &update).await.unwrap_err();
        assert_eq!(error.kind, CauseKind::Unavailable, "{product:?}: {error:?}");
        drop(other);
        server.restart();
        assert_eq!(name(&direct).await, "Ann", "{product:?}");
        assert_eq!(name(&target).await, "Ann", "{product:?}");

        // The answer is lost, and the server dies: what it had committed is there after its end.
        after.insert("name".into(), json!("killed after"));
        for pieces in 0..6 {
            proxy.set_after(pieces, Mode::CutAnswer);
            let result = target.update(CLASS, &update_of(&before, &after)).await;
            server.kill();
            proxy.set(Mode::Pass);
            server.restart();
            let held = name(&direct).await;
            match result {
                Ok(_) => assert_eq!(held, "killed after", "{product:?} {pieces}"),
                Err(error) if held == "killed after" => {
                    assert_eq!(
                        error.kind,
                        CauseKind::Unknown,
                        "{product:?} {pieces}: {error:?}"
                    );
                }
                Err(error) => {
                    assert_ne!(
                        error.kind,
                        CauseKind::Refused,
                        "{product:?} {pieces}: {error:?}"
                    );
                }
            }
            if held == "killed after" {
                let now = direct.read(CLASS, "ann").await.unwrap().unwrap();
                direct
                    .update(CLASS, &update_of(&now, &before.attributes))
                    .await
                    .unwrap();
            }
            name(&target).await;
        }
    }
}

fn update_of<'a>(before: &'a TargetObject, after: &'a recant::model::Object) -> Update<'a> {
    Update {
        before,
        after,
        rename: None,
    }
}

/// When the server goes away, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// It is killed before the write is sent.
    Before,
    /// It stands still when the write is sent, and is killed before it goes on.
    During,
    /// It is killed once the write took effect, and another target refuses.
    After,
}

/// A server that can be stopped and killed.
enum Server {
    Sql(Database),
    Directory(Slapd),
}

impl Server {
    fn name(&self) -> String {
        match self {
            Self::Sql(server) => format!("{:?}", server.product),
            Self::Directory(_) => "slapd".to_owned(),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Sql(server) => server.pause(),
            Self::Directory(server) => server.pause(),
        }
    }

    fn kill(&mut self) {
        match self {
            Self::Sql(server) => server.kill(),
            Self::Directory(server) => server.kill(),
        }
    }

    fn restart(&mut self) {
        match self {
            Self::Sql(server) => server.restart(),
            Self::Directory(server) => {
                let handle = tokio::runtime::Handle::current();
                tokio::task::block_in_place(|| handle.block_on(server.restart()));
            }
        }
    }

    async fn dump(&self) -> String {
        match self {
            Self::Sql(server) => {
                let url = server.url();
                let target = connector(&settings(&url), Path::new("/"));
                let query = recant::connectors::Query {
                    filter: recant::model::Filter::Literal(true),
                    page_size: 100,
                    cursor: None,
                };
                format!("{:?}", target.query(CLASS, &query).await.unwrap().objects)
            }
            Self::Directory(server) => server.dump(),
        }
    }
}

/// A server that dies, and a target in memory behind it.
async fn world(server: &Server) -> (World, App) {
    let world = World::new(&Shape {
        targets: 1,
        on_sync: Some(COMPENSATE),
        managed: json!({"schema": {"type": "object"}}),
        ..Shape::default()
    });
    let (connector, properties) = match server {
        Server::Sql(server) => {
            execute(&server.url(), &[TABLE]).await;
            let own =
                json!([{"source": "login", "target": "_id"}, {"source": "name", "target": "name"}]);
            (settings(&server.url()), own)
        }
        Server::Directory(server) => {
            let mut settings = server.settings(Slapd::people());
            settings["timeoutMs"] = json!(3000);
            settings["retry"] = json!({"attempts": 1});
            settings["circuit"] = json!({"failures": 0});
            let own = json!([{"source": "login", "target": "uid"}, {"source": "name", "target": "sn"},
                {"source": "name", "target": "cn"}]);
            (settings, own)
        }
    };
    world.write("conf/connectors/db.json", &connector.to_string());
    let by_uid =
        json!({"type": "text/rhai", "source": "#{_queryFilter: `uid eq \"${source.login}\"`}"});
    let mut first = json!({"name": "first", "source": "managed/user", "target": "system/db/account",
        "properties": properties});
    if matches!(server, Server::Directory(_)) {
        first["correlationQuery"] = by_uid;
    }
    let mappings = json!({"mappings": [first,
        {"name": "second", "source": "managed/user", "target": "system/t1/account",
            "properties": [{"source": "name", "target": "name"}]}]});
    world.write("conf/sync.json", &mappings.to_string());
    let app = world.open().await;
    (world, app)
}

async fn change(app: &App, request: ChangeRequest) -> (Option<Outcome>, u16, String) {
    match app.change(request).await {
        Ok(changed) => (Some(changed.outcome), changed.status, String::new()),
        Err(error) => (error.outcome, error.code, format!("{error:?}")),
    }
}

fn person(login: &str, name: &str) -> Value {
    json!({"login": login, "name": name})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_dies_when_everything_goes_back_exactly() {
    let mut servers = Vec::new();
    for product in PRODUCTS {
        servers.extend(Database::start(product).map(Server::Sql));
    }
    servers.extend(Slapd::start().await.map(Server::Directory));
    for server in servers {
        let product = server.name();
        let (world, app) = world(&server).await;
        let server = Arc::new(Mutex::new(server));
        let dump = async || {
            let taken = tokio::task::block_in_place(|| server.lock().unwrap());
            let handle = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| handle.block_on(taken.dump()))
        };
        for kind in ["create", "update", "rename", "delete"] {
            for when in [When::Before, When::During, When::After] {
                let place = format!("{product} {kind} {when:?}");
                if kind != "create" {
                    let (outcome, _, said) = change(&app, put("x", person("ann", "Ann"))).await;
                    assert_eq!(outcome, Some(Outcome::Synced), "{place}: {said}");
                }
                let before = dump().await;
                let request = || match kind {
                    "create" => put("x", person("ann", "Ann")),
                    "update" => put("x", person("ann", "Anna")),
                    "rename" => put("x", person("anna", "Anna")),
                    _ => delete("x"),
                };
                arm(&world, &app, &server, when);
                let (outcome, code, said) = change(&app, request()).await;
                assert_eq!(outcome, Some(Outcome::Compensated), "{place}: {said}");
                let expected: &[u16] = match when {
                    When::Before => &[503, 504],
                    When::During => &[503, 504],
                    When::After => &[409],
                };
                assert!(expected.contains(&code), "{place}: {code} {said}");
                world.targets[0].mend();
                checkpoint::watch(app.engine().store().node(), |_| false);
                assert_eq!(dump().await, before, "{place}");
                let (outcome, _, said) = change(&app, request()).await;
                assert_eq!(outcome, Some(Outcome::Synced), "{place}, again: {said}");
                if kind != "delete" {
                    let (outcome, _, said) = change(&app, delete("x")).await;
                    assert_eq!(outcome, Some(Outcome::Synced), "{place}, the end: {said}");
                }
            }
        }
    }
}

/// Lets the server go away in the next change, and come back before anything is taken back.
fn arm(world: &World, app: &App, server: &Arc<Mutex<Server>>, when: When) {
    if when == When::After {
        for ask in [Ask::Create, Ask::Update, Ask::Delete] {
            world.targets[0].fail(Some(ask), 0, 1, Fault::Refused);
        }
    }
    let server = Arc::clone(server);
    checkpoint::watch(app.engine().store().node(), move |point| {
        let mut server = server.lock().unwrap();
        match (point, when) {
            (Point::BeforeWrite(0), When::Before) => server.kill(),
            (Point::BeforeWrite(0), When::During) => server.stop(),
            (Point::AfterWrite(0), When::After) => server.kill(),
            (Point::CompensationJournaled, _) => {
                server.kill();
                server.restart();
            }
            _ => {}
        }
        false
    });
}
