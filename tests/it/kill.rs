//! A real process killed at random moments under load, started again, and compared with its targets.
//!
//! `RECANT_KILLS=300 cargo test --test it kill` kills it more often.
use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::support::{rest::RestTarget, world::COMPENSATE};

const KILLS: u64 = 12;
const OBJECTS: usize = 12;
const REFUSED: &str = "refuse-me";

struct Site {
    folder: TempDir,
    first: RestTarget,
    last: RestTarget,
    port: u16,
}

/// What one client knows of its object.
#[derive(Default, Clone)]
struct Known {
    /// The name that was last acknowledged.
    acknowledged: Option<String>,
    /// Names sent since then whose end nobody told.
    open: Vec<String>,
}

impl Site {
    async fn new() -> Self {
        let site = Self {
            folder: tempfile::tempdir().unwrap(),
            first: RestTarget::start().await,
            last: RestTarget::start().await,
            port: TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port(),
        };
        site.last.refuse_bodies_with(REFUSED);
        site.write(
            "recant.toml",
            &format!("[server]\nlisten = \"127.0.0.1:{}\"\n", site.port),
        );
        site.write("hooks/compensate.rhai", COMPENSATE);
        let managed = json!({"objects": [{
            "name": "user", "schema": {"type": "object"},
            "onSync": {"type": "text/rhai", "file": "compensate.rhai"},
        }]});
        site.write("conf/managed.json", &managed.to_string());
        let mapping = |name: &str, target: &str| {
            json!({"name": name, "source": "managed/user", "target": target,
                "properties": [{"source": "name", "target": "name"}]})
        };
        let mappings = json!({"mappings": [
            mapping("one", "system/first/person"),
            mapping("two", "system/payroll/person"),
            mapping("three", "system/last/person"),
        ]});
        site.write("conf/sync.json", &mappings.to_string());
        for (name, target) in [("first", &site.first), ("last", &site.last)] {
            let connector = json!({"type": "rest", "baseUrl": target.url(),
                "objects": {"person": {"path": "/people", "idAttribute": "id",
                    "create": "put", "update": "put"}}});
            site.write(
                &format!("conf/connectors/{name}.json"),
                &connector.to_string(),
            );
        }
        let payroll = json!({"type": "sql", "url": "sqlite://payroll.db",
            "objects": {"person": {"table": "person", "key": "id"}}});
        site.write("conf/connectors/payroll.json", &payroll.to_string());
        let mut database = site.payroll().await;
        database
            .execute("create table person (id text primary key, name text)")
            .await
            .unwrap();
        database.close().await.unwrap();
        site
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    async fn payroll(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.folder.path().join("payroll.db"))
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(20));
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn serve(&self, http: &reqwest::Client) -> Child {
        let mut child = serve(self.folder.path());
        for _ in 0..1_000 {
            let ready = http.get(self.url("/health/ready")).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return child;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("it does not become ready");
    }

    /// Every record without an outcome.
    async fn unfinished(&self, http: &reqwest::Client) -> Vec<Value> {
        let filter = "/operations?_queryFilter=!(outcome%20pr)";
        let answer = http.get(self.url(filter)).send().await.unwrap();
        let page: Value = answer.json().await.unwrap();
        page["result"].as_array().unwrap().clone()
    }

    async fn until_settled(&self, http: &reqwest::Client) {
        for _ in 0..1_500 {
            if self.unfinished(http).await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "changes without an outcome: {:?}",
            self.unfinished(http).await
        );
    }

    /// Object id to name in each target, in mapping order.
    async fn targets(&self) -> [BTreeMap<String, String>; 3] {
        let rest = |target: &RestTarget| {
            let people = target.people().into_iter();
            people
                .map(|(id, person)| (id, person["name"].as_str().unwrap().to_owned()))
                .collect()
        };
        let mut database = self.payroll().await;
        let rows = sqlx::query("select id, name from person")
            .fetch_all(&mut database)
            .await
            .unwrap();
        database.close().await.unwrap();
        let payroll = rows
            .iter()
            .map(|row| (row.get("id"), row.get("name")))
            .collect();
        [rest(&self.first), payroll, rest(&self.last)]
    }
}

fn serve(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_recant"))
        .args(["serve", "--dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Changes one object again and again until the server is gone.
async fn client(http: reqwest::Client, url: String, round: u64, known: Arc<Mutex<Known>>) {
    for number in 0.. {
        let refused = number % 5 == 4;
        let name = if refused {
            format!("{REFUSED}-{number}")
        } else {
            format!("r{round}n{number}")
        };
        known.lock().unwrap().open.push(name.clone());
        let answer = http.put(&url).json(&json!({"name": name})).send().await;
        let Ok(answer) = answer else { return };
        let status = answer.status().as_u16();
        if answer.bytes().await.is_err() {
            return;
        }
        let mut known = known.lock().unwrap();
        known.open.clear();
        match status {
            200 | 201 => known.acknowledged = Some(name),
            409 if refused => {}
            other => panic!("{other} for {name}"),
        }
    }
}

fn kills() -> u64 {
    std::env::var("RECANT_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_is_half_written_and_nothing_acknowledged_is_lost() {
    let site = Site::new().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let known: Vec<Arc<Mutex<Known>>> = (0..OBJECTS).map(|_| Arc::default()).collect();
    let mut child = site.serve(&http).await;
    for round in 0..kills() {
        let tasks: Vec<_> = known
            .iter()
            .enumerate()
            .map(|(number, known)| {
                let url = site.url(&format!("/managed/user/u{number}"));
                tokio::spawn(client(http.clone(), url, round, Arc::clone(known)))
            })
            .collect();
        // Spread over the first half second, the same moments in every run.
        tokio::time::sleep(Duration::from_millis(40 + (round * 137) % 460)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        child = site.serve(&http).await;
        site.until_settled(&http).await;
        compare(&site, &http, &known, round).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let verified = Command::new(env!("CARGO_BIN_EXE_recant"))
        .args(["audit", "verify", "--dir"])
        .arg(site.folder.path())
        .status()
        .unwrap();
    assert!(verified.success(), "the audit chain is broken");
}

async fn compare(site: &Site, http: &reqwest::Client, known: &[Arc<Mutex<Known>>], round: u64) {
    let targets = site.targets().await;
    for (number, known) in known.iter().enumerate() {
        let id = format!("u{number}");
        let answer = http
            .get(site.url(&format!("/managed/user/{id}")))
            .send()
            .await
            .unwrap();
        let stored = match answer.status().as_u16() {
            404 => None,
            _ => answer.json::<Value>().await.unwrap()["name"]
                .as_str()
                .map(str::to_owned),
        };
        for (target, held) in targets.iter().enumerate() {
            assert_eq!(
                held.get(&id),
                stored.as_ref(),
                "round {round}: {id} in target {target}"
            );
        }
        let mut known = known.lock().unwrap();
        let open = known.open.iter().any(|name| stored.as_ref() == Some(name));
        assert!(
            stored == known.acknowledged || open,
            "round {round}: {id} is {stored:?}, acknowledged was {:?}, open {:?}",
            known.acknowledged,
            known.open
        );
        assert!(
            !stored
                .as_ref()
                .is_some_and(|name| name.starts_with(REFUSED)),
            "round {round}"
        );
        known.acknowledged = stored;
        known.open.clear();
    }
}
