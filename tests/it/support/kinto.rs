//! The REST service Kinto from PyPI, started by the test that needs it, and what it holds.
use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use recant::connectors::{
    Kind, Settings, SharedConnector, open,
    shape::{Shape, Shaper, Shaping},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{scim::client, servers};

/// Who writes there; the service takes everybody's word for it.
const USER: &str = "recant";
const PASSWORD: &str = "letmein";
const COLLECTION: &str = "/buckets/recant/collections/people";

/// What the service is told; the rest are its defaults.
const SETTINGS: &str = "[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = %(http_port)s
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.userid_hmac_secret = nothing-to-hide
kinto.bucket_create_principals = system.Authenticated
multiauth.policies = basicauth
";

/// A running service with an empty collection; it stops with this value. It keeps all in memory.
#[derive(Debug)]
pub struct Kinto {
    /// Where it listens.
    pub address: SocketAddr,
    program: String,
    child: Child,
    folder: tempfile::TempDir,
}

impl Kinto {
    /// Starts one on a free port; none where it is left out.
    pub async fn start() -> Option<Self> {
        let program = servers::kinto()?;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("kinto.ini"), SETTINGS).expect("a file");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let child = spawn(&program, folder.path(), address);
        let mut server = Self {
            address,
            program,
            child,
            folder,
        };
        server.ready().await;
        Some(server)
    }

    /// A connector to its people, at an address of one's choice.
    pub fn connector(address: SocketAddr, update: &str) -> SharedConnector {
        let value = json!({"type": "rest", "baseUrl": format!("http://{address}/v1"),
            "timeoutMs": 5000, "auth": {"basic": {"user": USER, "password": PASSWORD}},
            "objects": {"account": {"path": format!("{COLLECTION}/records"), "create": "put",
                "update": update, "list": {"itemsPointer": "/data"}}}});
        let folder = std::path::Path::new("/");
        let mut settings = Settings::parse("kinto", &value, folder).expect("settings");
        let Kind::Rest(rest) = &mut settings.kind else {
            panic!("a REST service");
        };
        let by = Shape::By(Shaping::new("kinto", Arc::new(Data)));
        for class in rest.classes.values_mut() {
            (class.on_request, class.on_response) = (by.clone(), by.clone());
        }
        open(&settings).expect("a connector")
    }

    /// Ends the process at once.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("a process");
    }

    /// Starts it again, empty, at the same address.
    pub async fn restart(&mut self) {
        self.child = spawn(&self.program, self.folder.path(), self.address);
        self.ready().await;
    }

    /// Every record, as the service tells it, in the order of the ids.
    pub async fn dump(&self) -> Vec<Value> {
        let records = format!("{COLLECTION}/records");
        let body = self.ask(Method::GET, &records).await.expect("an answer");
        let mut all = body["data"].as_array().cloned().expect("a list");
        all.sort_by_key(|record| record["id"].to_string());
        all
    }

    async fn ask(&self, method: Method, path: &str) -> Option<Value> {
        let request = client().request(method, format!("http://{}/v1{path}", self.address));
        let answer = request.basic_auth(USER, Some(PASSWORD)).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }

    async fn ready(&mut self) {
        let begun = Instant::now();
        while self.ask(Method::GET, "/").await.is_none() {
            let ended = self.child.try_wait().expect("a process");
            assert!(ended.is_none(), "Kinto ended: {ended:?}");
            assert!(begun.elapsed() < Duration::from_secs(60), "no Kinto");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for path in ["/buckets/recant", COLLECTION] {
            self.ask(Method::PUT, path).await.expect(path);
        }
    }
}

impl Drop for Kinto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &str, folder: &std::path::Path, address: SocketAddr) -> Child {
    Command::new(program)
        .arg(folder.join("kinto.ini"))
        .arg(format!("http_port={}", address.port()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// A record stands in `data`, with a time that the service alone writes. In lists it stands alone.
#[derive(Debug)]
struct Data;

#[async_trait]
impl Shaper for Data {
    async fn shape(&self, operation: &'static str, value: Value) -> Result<Value, String> {
        if operation != "read" {
            return Ok(json!({"data": value}));
        }
        let mut record = value.get("data").cloned().unwrap_or(value);
        let members = record.as_object_mut().ok_or("no record")?;
        members.shift_remove("last_modified");
        Ok(record)
    }
}
