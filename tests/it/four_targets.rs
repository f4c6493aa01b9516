//! A PostgreSQL table, a directory, a SCIM server and a REST service hold a change together: each of
//! them fails in each way, for each kind of change, and all four hold exactly what they held before.
use std::sync::Arc;

use ldap3::Mod;
use recant::{
    app::App,
    model::{ChangeRequest, Outcome},
    sync::checkpoint::{self, Point},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::{
    connector_contract::execute,
    support::{
        people::{Answer, People},
        proxy::{Mode, Proxy},
        scim::{self, Options, ScimServer},
        servers,
        slapd::{ACCOUNT, GROUPS, Slapd, TOP},
        world::{COMPENSATE, delete, put},
    },
};

const TARGETS: [&str; 4] = ["hr", "directory", "cloud", "shop"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Update,
    Rename,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The target says no.
    Refused,
    /// Nobody listens there any more.
    Unavailable,
    /// The connection is cut before the write arrives, and the target cannot be asked.
    UnknownNotApplied,
    /// The write is carried out, its answer is lost, and the target cannot be asked.
    UnknownApplied,
    /// The write is carried out, its answer is lost; the target tells when asked, so that the change
    /// goes on, and the next target is down.
    FoundApplied,
}

const KINDS: [Kind; 4] = [Kind::Create, Kind::Update, Kind::Rename, Kind::Delete];
const WAYS: [Way; 5] = [
    Way::Refused,
    Way::Unavailable,
    Way::UnknownNotApplied,
    Way::UnknownApplied,
    Way::FoundApplied,
];

/// Four servers, a proxy before each, and a folder that names them.
struct World {
    table: String,
    slapd: Slapd,
    scim: ScimServer,
    people: People,
    proxies: Arc<[Proxy; 4]>,
    app: App,
    _folder: tempfile::TempDir,
}

/// What all four hold, by their own tools, without what changes by itself.
type Dump = (Vec<String>, String, Vec<Value>, Vec<Value>);

impl World {
    async fn start() -> Option<Self> {
        let server = servers::postgres_url()?;
        let scim = ScimServer::start(Options::default()).await?;
        let slapd = Slapd::start_with(LOCK_RULE).await?;
        let table = servers::fresh_database(&server).await;
        execute(&table, &[TABLE, LOCK_TABLE, LOCK_FUNCTION, LOCK_TRIGGER]).await;
        directory_lock(&slapd, None).await;
        make_groups(&slapd).await;
        let people = People::start().await;
        let url = url::Url::parse(&table).unwrap();
        let database = format!("127.0.0.1:{}", url.port().unwrap())
            .parse()
            .unwrap();
        let proxies = Arc::new([
            Proxy::before(database).await,
            Proxy::before(slapd.address()).await,
            Proxy::before(scim.address).await,
            Proxy::before(people.address).await,
        ]);
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), &connectors(&url, &slapd, &proxies));
        let app = App::open(folder.path()).await.unwrap();
        let shared = Arc::clone(&proxies);
        // Targets come back before the undo: what failed is known by then.
        checkpoint::watch(app.engine().store().node(), move |point| {
            if point == Point::CompensationJournaled {
                shared.iter().for_each(Proxy::up);
            }
            false
        });
        Some(Self {
            table,
            slapd,
            scim,
            people,
            proxies,
            app,
            _folder: folder,
        })
    }

    /// `kind` says what was done to `x`: a deletion that was taken back makes a new resource.
    async fn dump(&self, kind: Kind) -> Dump {
        let mut connection = PgConnection::connect(&self.table).await.unwrap();
        let rows = "select person::text from person order by login";
        let rows = sqlx::query(AssertSqlSafe(rows.to_owned()));
        let rows = rows.fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let mut users = self.scim.dump("Users").await;
        for user in &mut users {
            // Of somebody whom no change concerns everything is as it was, his version too.
            if user["userName"] != "bob" {
                without_what_a_write_makes(user, kind);
            }
        }
        users.sort_by_key(|user| user["userName"].to_string());
        let shop = self.people.shop();
        let people = shop.people.iter();
        (
            rows.iter().map(|row| row.get(0)).collect(),
            self.slapd.dump(),
            users,
            people
                .map(|(id, (_, person))| json!([id, person]))
                .collect(),
        )
    }

    /// Lets the next write to a target fail in a way.
    async fn arm(&self, target: usize, way: Way) {
        let proxies = Arc::clone(&self.proxies);
        match (way, target) {
            (Way::Refused, 0) => execute(&self.table, &["update lock set is_on = true"]).await,
            (Way::Refused, 1) => directory_lock(&self.slapd, Some(ACCOUNT)).await,
            (Way::Refused, 2) => proxies[2].set(Mode::Forbid),
            (Way::Refused, _) => self.people.shop().refusals.push(Answer {
                status: 403,
                headers: Vec::new(),
                body: json!({"message": "not today"}).to_string(),
                carried_out: false,
            }),
            _ => {}
        }
        let node = self.app.engine().store().node();
        let once = std::sync::atomic::AtomicBool::new(true);
        checkpoint::watch(node, move |point| {
            let first = || once.swap(false, std::sync::atomic::Ordering::SeqCst);
            match (point, way) {
                (Point::CompensationJournaled, _) => proxies.iter().for_each(Proxy::up),
                (Point::BeforeWrite(row), _) if row == target && way != Way::Refused && first() => {
                    // The directory is looked at before what concerns groups is written.
                    let (request, answer) = match TARGETS[target] {
                        "directory" => (Mode::CutEntryWrite, Mode::CutEntryAnswer),
                        _ => (Mode::CutRequest, Mode::CutAnswer),
                    };
                    match way {
                        Way::Unavailable => proxies[target].down(),
                        Way::UnknownNotApplied => proxies[target].cut_and_close(request),
                        Way::UnknownApplied => proxies[target].cut_and_close(answer),
                        _ => proxies[target].cut_once(answer),
                    }
                }
                (Point::BeforeWrite(row), Way::FoundApplied) if row == target + 1 => {
                    proxies[row].down();
                }
                _ => {}
            }
            false
        });
    }

    async fn disarm(&self) {
        execute(&self.table, &["update lock set is_on = false"]).await;
        directory_lock(&self.slapd, None).await;
        self.people.shop().refusals.clear();
        checkpoint::watch(self.app.engine().store().node(), |_| false);
        self.proxies.iter().for_each(Proxy::up);
    }

    async fn change(&self, request: ChangeRequest) -> (Option<Outcome>, u16, String) {
        match self.app.change(request).await {
            Ok(changed) => (Some(changed.outcome), changed.status, String::new()),
            Err(error) => (error.outcome, error.code, format!("{error:?}")),
        }
    }

    /// One failure, from a clean state to a clean state.
    async fn fails(&self, kind: Kind, target: usize, way: Way) {
        let place = format!("{kind:?}, {} {way:?}", TARGETS[target]);
        if kind != Kind::Create {
            let (outcome, _, said) = self.change(put("x", person("ann", "Ann"))).await;
            assert_eq!(outcome, Some(Outcome::Synced), "{place}: {said}");
        }
        let before = self.dump(kind).await;
        self.arm(target, way).await;
        let (outcome, code, said) = self.change(request(kind)).await;
        assert_eq!(outcome, Some(Outcome::Compensated), "{place}: {said}");
        let expected: &[u16] = match way {
            Way::Refused => &[409],
            // A pooled connection that broke while it was idle may have broken while writing.
            Way::Unavailable | Way::FoundApplied => &[503, 504],
            Way::UnknownNotApplied | Way::UnknownApplied => &[504],
        };
        assert!(expected.contains(&code), "{place}: {code} {said}");
        self.disarm().await;
        assert_eq!(self.dump(kind).await, before, "{place}");
        // All four are as they were, and Recant knows them: the same change works now.
        let (outcome, _, said) = self.change(request(kind)).await;
        assert_eq!(outcome, Some(Outcome::Synced), "{place}, again: {said}");
        assert_ne!(self.dump(kind).await, before, "{place}");
        if kind != Kind::Delete {
            let (outcome, _, said) = self.change(delete("x")).await;
            assert_eq!(outcome, Some(Outcome::Synced), "{place}, the end: {said}");
        }
    }
}

/// The resource without what its service makes of any write: version and time, and with a new
/// resource its id, too.
fn without_what_a_write_makes(user: &mut Value, kind: Kind) {
    let meta = user["meta"].as_object_mut().unwrap();
    meta.remove("version");
    meta.remove("lastModified");
    if kind == Kind::Delete {
        meta.remove("created");
        meta.remove("location");
        user.as_object_mut().unwrap().remove("id");
    }
}

fn person(login: &str, name: &str) -> Value {
    json!({"login": login, "name": name, "mail": format!("{login}@example.com"), "title": "Engineer",
        "groups": groups(&["staff", "chess"])})
}

fn groups(names: &[&str]) -> Value {
    let dn = |name: &&str| format!("cn={name},{GROUPS}");
    names.iter().map(dn).collect()
}

fn request(kind: Kind) -> ChangeRequest {
    let mut content = match kind {
        Kind::Create => person("ann", "Ann"),
        Kind::Update => person("ann", "Anna O'Neil, the 2nd"),
        Kind::Rename => person("anna", "Anna"),
        Kind::Delete => return delete("x"),
    };
    if kind == Kind::Update {
        content.as_object_mut().unwrap().remove("title");
        content["groups"] = groups(&["board", "chess"]);
    }
    put("x", content)
}

/// The member of a group that has none.
const NOBODY: &str = "cn=nobody,dc=example,dc=com";
const TABLE: &str = "create table person (login text primary key, name text not null, \
    mail text unique, title text)";
const LOCK_TABLE: &str = "create table lock as select false as is_on";
const LOCK_FUNCTION: &str = "create function locked() returns trigger language plpgsql as $$ begin \
    if (select is_on from lock) then raise exception 'not today' using errcode = 'check_violation'; \
    end if; if tg_op = 'DELETE' then return old; end if; return new; end $$";
const LOCK_TRIGGER: &str = "create trigger locked before insert or update or delete on person \
    for each row execute function locked()";
/// Whoever is in this group may only read.
const LOCK_RULE: &str = "access to * by group.exact=\"cn=lock,dc=example,dc=com\" read by * break";

/// A connection that may do everything.
async fn as_admin(slapd: &Slapd) -> ldap3::Ldap {
    let (connection, mut ldap) = ldap3::LdapConnAsync::new(&slapd.url()).await.unwrap();
    ldap3::drive!(connection);
    let admin = format!("cn=admin,{TOP}");
    let bound = ldap.simple_bind(&admin, "secret").await.unwrap();
    bound.success().unwrap();
    ldap
}

/// Groups that people are in: one with a member whom no change concerns, and two without any.
async fn make_groups(slapd: &Slapd) {
    let mut ldap = as_admin(slapd).await;
    for (name, member) in [("staff", TOP), ("board", NOBODY), ("chess", NOBODY)] {
        let entry = vec![
            ("objectClass", ["groupOfNames"].into_iter().collect()),
            ("cn", [name].into_iter().collect()),
            ("member", [member].into_iter().collect()),
        ];
        let made = ldap.add(&format!("cn={name},{GROUPS}"), entry).await;
        made.unwrap().success().unwrap();
    }
    ldap.unbind().await.unwrap();
}

/// Puts somebody into the group that may only read, or nobody.
async fn directory_lock(slapd: &Slapd, whom: Option<&str>) {
    let mut ldap = as_admin(slapd).await;
    let admin = format!("cn=admin,{TOP}");
    let group = format!("cn=lock,{TOP}");
    let member = || std::collections::HashSet::from([whom.unwrap_or(&admin).to_owned()]);
    let entry = vec![
        ("objectClass", ["groupOfNames"].into_iter().collect()),
        ("cn", ["lock"].into_iter().collect()),
        ("member", [admin.as_str()].into_iter().collect()),
    ];
    let _ = ldap.add(&group, entry).await.unwrap();
    let changed = Mod::Replace("member".to_owned(), member());
    let changed = ldap.modify(&group, vec![changed]).await.unwrap();
    changed.success().unwrap();
    ldap.unbind().await.unwrap();
}

fn connectors(database: &url::Url, slapd: &Slapd, proxies: &[Proxy; 4]) -> [Value; 4] {
    let mut table = database.clone();
    table.set_host(Some("127.0.0.1")).unwrap();
    table.set_port(Some(proxies[0].address().port())).unwrap();
    let table = json!({"type": "sql", "url": table.as_str(),
        "objects": {"account": {"table": "person", "key": "login"}}});
    let mut people = Slapd::people();
    people["memberships"] = json!({"baseDn": GROUPS, "emptyMember": NOBODY});
    let mut directory = slapd.settings(people);
    directory["url"] = json!(format!("ldap://localhost:{}", proxies[1].address().port()));
    let cloud = json!({"type": "scim", "baseUrl": format!("http://{}/v2", proxies[2].address()),
        "auth": {"bearer": scim::TOKEN},
        "objects": {"account": {"resourceType": "User", "key": "userName"}}});
    let shop = People::settings(proxies[3].address(), "put", "put");
    [table, directory, cloud, shop].map(|mut connector| {
        connector["timeoutMs"] = json!(5000);
        // What is cut off between an account and its groups is finished by a second attempt.
        let attempts = if connector["type"] == "ldap" { 2 } else { 1 };
        connector["retry"] = json!({"attempts": attempts, "baseMs": 1});
        connector
    })
}

fn write_folder(folder: &std::path::Path, connectors: &[Value; 4]) {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("recant.toml", "");
    let managed = json!({"objects": [{"name": "user", "schema": {"type": "object"},
        "onSync": {"type": "text/rhai", "source": COMPENSATE}}]});
    write("conf/managed.json", &managed.to_string());
    for (name, connector) in TARGETS.iter().zip(connectors) {
        write(
            &format!("conf/connectors/{name}.json"),
            &connector.to_string(),
        );
    }
    let script = |source: &str| json!({"type": "text/rhai", "source": source});
    let own = |names: &[(&str, &str)]| -> Vec<Value> {
        let names = names.iter();
        names
            .map(|(source, target)| json!({"source": source, "target": target}))
            .collect()
    };
    let mut cloud = own(&[
        ("login", "_id"),
        ("name", "displayName"),
        ("name", "name/familyName"),
        ("title", "title"),
        (
            "title",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
        ),
    ]);
    cloud.push(json!({"source": "mail", "target": "emails",
        "transform": script("[#{value: source, type: \"work\"}]")}));
    let properties = [
        own(&[
            ("login", "_id"),
            ("name", "name"),
            ("mail", "mail"),
            ("title", "title"),
        ]),
        own(&[
            ("login", "uid"),
            ("name", "cn"),
            ("name", "sn"),
            ("mail", "mail"),
            ("title", "title"),
            ("groups", "groups"),
        ]),
        cloud,
        own(&[
            ("login", "login"),
            ("name", "name"),
            ("mail", "mail"),
            ("title", "title"),
        ]),
    ];
    let mappings = TARGETS.iter().zip(properties).map(|(name, properties)| {
        let mut mapping = json!({"name": format!("user_{name}"), "source": "managed/user",
            "target": format!("system/{name}/account"), "properties": properties});
        if *name == "directory" {
            // The directory gives the ids: a create whose answer is lost is found by its login.
            mapping["correlationQuery"] = script("#{_queryFilter: `uid eq \"${source.login}\"`}");
        }
        mapping
    });
    let mappings: Vec<Value> = mappings.collect();
    write("conf/sync.json", &json!({"mappings": mappings}).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_real_targets_hold_all_or_nothing() {
    let Some(world) = World::start().await else {
        return;
    };
    // Somebody whom no change concerns.
    let (outcome, _, said) = world.change(put("bystander", person("bob", "Bob"))).await;
    assert_eq!(outcome, Some(Outcome::Synced), "{said}");
    for kind in KINDS {
        for target in 0..TARGETS.len() {
            for way in WAYS {
                let is_last = target + 1 == TARGETS.len();
                if !(is_last && way == Way::FoundApplied) {
                    world.fails(kind, target, way).await;
                }
            }
        }
    }
}
