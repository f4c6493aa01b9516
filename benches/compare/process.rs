//! Servers as processes of their own, and what the system says that they used.
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;

/// A running server; it ends with this value.
pub struct Server {
    child: Child,
    pub address: String,
    has_metrics: bool,
    _folder: Option<TempDir>,
}

/// What a process used so far.
pub struct Usage {
    pub cpu: Duration,
    pub commits: f64,
    pub resident_megabytes: u64,
}

impl Usage {
    pub fn since(self, before: &Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            commits: self.commits - before.commits,
            ..self
        }
    }
}

impl Server {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// CPU and memory by the system's accounting, commits by the server's own.
    pub async fn usage(&self) -> Usage {
        let id = self.child.id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|f| f.parse::<u64>().ok())
                .unwrap_or(0)
        };
        // Fields 14 and 15 of proc(5), in ticks of 10 ms.
        let cpu = Duration::from_millis((ticks(11) + ticks(12)) * 10);
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0);
        Usage {
            cpu,
            commits: self.commits().await,
            resident_megabytes: resident / 1024,
        }
    }

    async fn commits(&self) -> f64 {
        if !self.has_metrics {
            return f64::NAN;
        }
        let text = match reqwest::get(format!("{}/metrics", self.url())).await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        let commits = text
            .lines()
            .filter(|line| line.starts_with("recant_store_commits_total"));
        commits
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program in another role; it says its address on its first line.
pub async fn spawn_self(role: &str, arguments: &[&str]) -> Server {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .arg(role)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut address = String::new();
    let output = child.stdout.take().expect("its output");
    BufReader::new(output)
        .read_line(&mut address)
        .expect("its address");
    Server {
        child,
        address: address.trim().to_owned(),
        has_metrics: false,
        _folder: None,
    }
}

/// `recant serve` on a folder with three REST targets and the standard compensation hook.
pub async fn recant(targets: &str) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    };
    write(
        "recant.toml",
        &format!("[server]\nlisten = \"127.0.0.1:{port}\"\n[telemetry]\nlog_filter = \"warn\"\n"),
    );
    write(
        "hooks/compensate.rhai",
        include_str!("../../hooks/compensate.rhai"),
    );
    let on_sync = json!({"type": "text/rhai", "file": "compensate.rhai"});
    let managed = json!({"objects": [{"name": "user", "schema": {"type": "object",
        "properties": {"userName": {"type": "string"}, "salary": {"type": "integer"}}},
        "onSync": on_sync}]});
    write("conf/managed.json", &managed.to_string());
    let names = [
        "userName",
        "givenName",
        "sn",
        "mail",
        "department",
        "salary",
    ];
    let properties: Vec<_> = names
        .iter()
        .map(|name| json!({"source": name, "target": name}))
        .collect();
    let mappings: Vec<_> = ["t1", "t2", "t3"]
        .iter()
        .map(|name| {
            let connector = json!({"type": "rest", "baseUrl": format!("http://{targets}"),
                "objects": {"account": {"path": format!("/{name}"), "idAttribute": "id",
                    "create": "put", "update": "put"}}});
            write(
                &format!("conf/connectors/{name}.json"),
                &connector.to_string(),
            );
            json!({"name": format!("user_{name}"), "source": "managed/user",
                "target": format!("system/{name}/account"), "properties": properties})
        })
        .collect();
    write("conf/sync.json", &json!({"mappings": mappings}).to_string());
    let child = Command::new(env!("CARGO_BIN_EXE_recant"))
        .arg("serve")
        .arg("--dir")
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("recant");
    let address = format!("127.0.0.1:{port}");
    let server = Server {
        child,
        address,
        has_metrics: true,
        _folder: Some(folder),
    };
    let ready = format!("{}/health/ready", server.url());
    for _ in 0..500 {
        if reqwest::get(&ready)
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return server;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("recant does not become ready");
}
