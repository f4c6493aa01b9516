//! The SCIM server from PyPI, started by the test that needs it, and what it holds.
use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::servers;

/// The token that it wants.
pub const TOKEN: &str = "letmein";

/// A running server; it stops with this value. It keeps all in memory.
#[derive(Debug)]
pub struct ScimServer {
    /// Where it listens.
    pub address: SocketAddr,
    program: String,
    arguments: Vec<String>,
    child: Child,
    folder: tempfile::TempDir,
}

/// What it serves, and what it says it can do.
#[derive(Debug, Default)]
pub struct Options {
    /// Schemas and resource types instead of those of RFC 7643.
    pub schemas: Option<(Value, Value)>,
    /// What it announces instead of all that it can.
    pub config: Option<Value>,
}

impl ScimServer {
    /// Starts one on a free port; none where it is left out.
    pub async fn start(options: Options) -> Option<Self> {
        let program = servers::scim_server()?;
        let folder = tempfile::tempdir().expect("a folder");
        let mut arguments = Vec::new();
        let mut give = |option: &str, name: &str, value: &Value| {
            let file: PathBuf = folder.path().join(name);
            std::fs::write(&file, value.to_string()).expect("a file");
            arguments.extend([option.to_owned(), file.display().to_string()]);
        };
        if let Some((schemas, types)) = &options.schemas {
            give("--schema", "schemas.json", schemas);
            give("--resource-type", "types.json", types);
        }
        if let Some(config) = &options.config {
            give("--service-provider-config", "config.json", config);
        }
        let address = free_address();
        let child = spawn(&program, &arguments, address);
        let mut server = Self {
            address,
            program,
            arguments,
            child,
            folder,
        };
        server.ready().await;
        Some(server)
    }

    /// Where SCIM begins.
    pub fn url(&self) -> String {
        format!("http://{}/v2", self.address)
    }

    /// Ends the process at once.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("a process");
    }

    /// Starts it again, empty, at the same address.
    pub async fn restart(&mut self) {
        self.child = spawn(&self.program, &self.arguments, self.address);
        self.ready().await;
    }

    /// Lets it stand still, or go on: it keeps connections and answers nothing.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status();
        assert!(status.expect("a kill").success());
    }

    /// Every resource of a collection, as the server tells it.
    pub async fn dump(&self, collection: &str) -> Vec<Value> {
        let url = format!("{}/{collection}?count=100000", self.url());
        let answer = client().get(url).bearer_auth(TOKEN).send().await;
        let body: Value = answer.expect("an answer").json().await.expect("a list");
        let mut all = body["Resources"].as_array().cloned().unwrap_or_default();
        all.sort_by_key(|resource| resource["externalId"].to_string());
        all
    }

    async fn ready(&mut self) {
        let url = format!("{}/ServiceProviderConfig", self.url());
        let begun = Instant::now();
        while client().get(&url).bearer_auth(TOKEN).send().await.is_err() {
            let ended = self.child.try_wait().expect("a process");
            assert!(ended.is_none(), "the SCIM server ended: {ended:?}");
            assert!(begun.elapsed() < Duration::from_secs(60), "no SCIM server");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for ScimServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that goes to loopback directly.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}

/// A resource type with the attributes of the contract suite's people.
pub fn person_type() -> (Value, Value) {
    let attribute = |name: &str, kind: &str, uniqueness: &str| {
        json!({"name": name, "type": kind, "multiValued": false, "required": false,
            "caseExact": true, "mutability": "readWrite", "returned": "default",
            "uniqueness": uniqueness, "description": name})
    };
    let mut attributes = vec![attribute("mail", "string", "server")];
    for (name, kind) in [
        ("name", "string"),
        ("note", "string"),
        ("age", "integer"),
        ("salary", "decimal"),
        ("weight", "decimal"),
        ("active", "boolean"),
        ("born", "string"),
        ("seen", "string"),
    ] {
        attributes.push(attribute(name, kind, "none"));
    }
    let urn = "urn:example:schemas:2.0:Person";
    let schemas = json!([{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": urn, "name": "Person", "description": "A person", "attributes": attributes}]);
    let types = json!([{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": "Person", "name": "Person", "description": "A person", "endpoint": "/People",
        "schema": urn}]);
    (schemas, types)
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

fn spawn(program: &str, arguments: &[String], address: SocketAddr) -> Child {
    Command::new(program)
        .args(["--hostname", "127.0.0.1", "--bearer-token", TOKEN])
        .args(["--port", &address.port().to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}
