//! Database servers that one test owns, to be stopped and killed in the middle of whatever they do.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::servers;

/// Which product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    Postgres,
    MariaDb,
}

/// A server of its own; it ends with this value.
#[derive(Debug)]
pub struct Database {
    pub product: Product,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Database {
    /// Starts one on a free port; none where the product is left out.
    pub fn start(product: Product) -> Option<Self> {
        match product {
            Product::Postgres => drop(servers::postgres_url()?),
            Product::MariaDb => drop(servers::mariadb_url()?),
        }
        let folder = tempfile::tempdir().expect("a folder");
        open_to_all(folder.path());
        let mut server = Self {
            product,
            folder,
            port: free_port(),
            child: None,
        };
        server.prepare();
        server.restart();
        Some(server)
    }

    /// Where it is, for a client.
    pub fn url(&self) -> String {
        match self.product {
            Product::Postgres => format!("postgres://recant@127.0.0.1:{}/postgres", self.port),
            Product::MariaDb => format!("mysql://recant:secret@127.0.0.1:{}/hr", self.port),
        }
    }

    /// The address alone.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Starts it, again where it has been killed, and waits until it answers.
    pub fn restart(&mut self) {
        let begun = Instant::now();
        loop {
            self.child = Some(self.spawn());
            while self.is_running() {
                if self.answers() {
                    return;
                }
                pause();
            }
            // What was killed a moment ago may still hold the lock.
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no server: {}",
                self.log()
            );
            pause();
        }
    }

    /// It stays where it is, with everything that it is made of, and answers nobody.
    pub fn pause(&self) {
        for process in self.processes() {
            signal(process, "-STOP");
        }
    }

    /// Kills it, and whatever of it is still there.
    pub fn kill(&mut self) {
        for process in self.processes() {
            signal(process, "-KILL");
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.child = None;
    }

    fn processes(&self) -> Vec<u32> {
        let Some(child) = &self.child else {
            return Vec::new();
        };
        let mut all = vec![child.id()];
        let mut next = 0;
        while let Some(parent) = all.get(next).copied() {
            all.extend(children(parent));
            next += 1;
        }
        all
    }

    fn prepare(&mut self) {
        let data = self.folder.path().join("data");
        let done = match self.product {
            Product::Postgres => {
                own(self.folder.path(), "postgres");
                run(as_user("postgres", &postgres("initdb"))
                    .args([
                        "-A",
                        "trust",
                        "-U",
                        "recant",
                        "-E",
                        "UTF8",
                        "--locale=C.UTF-8",
                    ])
                    .arg("--no-sync")
                    .arg("-D")
                    .arg(&data))
            }
            Product::MariaDb => {
                own(self.folder.path(), "mysql");
                let mut command = Command::new("mariadb-install-db");
                command
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}", data.display()));
                command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
                if is_root() {
                    command.arg("--user=mysql");
                }
                let file = self.folder.path().join("first.sql");
                let first = "create database if not exists hr;\n\
                    create user if not exists recant@'127.0.0.1' identified by 'secret';\n\
                    grant all on *.* to recant@'127.0.0.1';\n";
                fs::write(&file, first).expect("a file");
                own(&file, "mysql");
                run(&mut command)
            }
        };
        assert!(done, "{:?} could not be prepared", self.product);
    }

    fn spawn(&self) -> Child {
        let (folder, data) = (self.folder.path(), self.folder.path().join("data"));
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = match self.product {
            Product::Postgres => {
                let mut command = as_user("postgres", &postgres("postgres"));
                command.arg("-D").arg(&data).arg("-k").arg(folder);
                command.args(["-p", &self.port.to_string()]);
                command.args(["-c", "listen_addresses=127.0.0.1"]);
                command
            }
            Product::MariaDb => {
                let mut command = Command::new(mariadbd());
                command
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}", data.display()));
                command.arg(format!("--port={}", self.port));
                command.arg(format!("--socket={}", folder.join("s").display()));
                command.arg(format!("--pid-file={}", folder.join("pid").display()));
                command.arg(format!(
                    "--init-file={}",
                    folder.join("first.sql").display()
                ));
                command.args(["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M"]);
                if is_root() {
                    command.arg("--user=mysql");
                }
                command
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a server")
    }

    fn is_running(&mut self) -> bool {
        let child = self.child.as_mut().expect("a server");
        child.try_wait().expect("a process").is_none()
    }

    /// Whether it lets somebody in.
    fn answers(&self) -> bool {
        let mut command = match self.product {
            Product::Postgres => {
                let mut command = Command::new(postgres("psql"));
                command.args([
                    "-qh",
                    "127.0.0.1",
                    "-U",
                    "recant",
                    "-c",
                    "select 1",
                    "postgres",
                ]);
                command.args(["-p", &self.port.to_string()]);
                command
            }
            Product::MariaDb => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "-h127.0.0.1", "-urecant", "-psecret"]);
                command.args(["-P", &self.port.to_string(), "-e", "select 1", "hr"]);
                command
            }
        };
        run(&mut command)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(command: &mut Command) -> bool {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A program of the newest PostgreSQL here.
fn postgres(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut all: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(name))
        .collect();
    all.retain(|program| program.exists());
    all.sort();
    all.pop().unwrap_or_else(|| PathBuf::from(name))
}

fn mariadbd() -> PathBuf {
    let usual = Path::new("/usr/sbin/mariadbd");
    if usual.exists() {
        usual.to_owned()
    } else {
        "mariadbd".into()
    }
}

/// A database server does not run as root: the account is the one that its package made for it.
fn as_user(user: &str, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    // In place of the program that changes the account, so that this process is the server's.
    let mut command = Command::new("setpriv");
    command.args(["--init-groups", "--reuid", user, "--regid", user, "--"]);
    command.arg(program);
    command
}

fn own(path: &Path, user: &str) {
    if is_root() {
        let owner = format!("{user}:");
        assert!(
            run(Command::new("chown").arg(owner).arg(path)),
            "{}",
            path.display()
        );
    }
}

fn open_to_all(path: &Path) {
    assert!(
        run(Command::new("chmod").arg("755").arg(path)),
        "{}",
        path.display()
    );
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id");
    output.stdout.starts_with(b"0\n")
}

fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|it| it.parse().ok())
        .collect()
}

fn signal(process: u32, name: &str) {
    let _ = run(Command::new("kill").args([name, &process.to_string()]));
}

fn pause() {
    #[expect(clippy::disallowed_methods, reason = "polls on a test's own thread")]
    std::thread::sleep(Duration::from_millis(50));
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
