//! An LDAP server for one test: OpenLDAP's slapd in a folder of its own.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use recant::model::Object;
use serde_json::{Value, json};

use super::servers::slapd_program;

/// The top of the directory.
pub const TOP: &str = "dc=example,dc=com";
/// Where people are.
pub const PEOPLE: &str = "ou=people,dc=example,dc=com";
/// Where groups are.
pub const GROUPS: &str = "ou=groups,dc=example,dc=com";
/// The account that Recant binds as; access rules and password policy hold for it.
pub const ACCOUNT: &str = "cn=sync,dc=example,dc=com";
const PASSWORD: &str = "syncsecret1";

/// What the tests' own object class of people holds, besides what every directory knows.
const SCHEMA: &str = "\
attributetype ( 1.3.6.1.4.1.4203.666.77.1 NAME 'note' EQUALITY caseExactMatch SUBSTR caseExactSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.77.2 NAME 'age' SUP note )
attributetype ( 1.3.6.1.4.1.4203.666.77.3 NAME 'salary' SUP note )
attributetype ( 1.3.6.1.4.1.4203.666.77.4 NAME 'weight' SUP note )
attributetype ( 1.3.6.1.4.1.4203.666.77.5 NAME 'active' SUP note )
attributetype ( 1.3.6.1.4.1.4203.666.77.6 NAME 'born' SUP note )
attributetype ( 1.3.6.1.4.1.4203.666.77.7 NAME 'seen' SUP note )
attributetype ( 1.3.6.1.4.1.4203.666.77.8 NAME 'isStaff' EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.78.1 NAME 'tester' SUP top STRUCTURAL MUST uid MAY ( name $ mail $ note $ age $ salary $ weight $ active $ born $ seen ) )
objectclass ( 1.3.6.1.4.1.4203.666.78.2 NAME 'staff' SUP top AUXILIARY MAY isStaff )
";

const ENTRIES: &str = "\
dn: dc=example,dc=com
objectClass: domain
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=leavers,ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: leavers

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: cn=default,dc=example,dc=com
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdCheckQuality: 2
pwdMinLength: 10

dn: cn=sync,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: sync
userPassword: syncsecret1
";

/// A server that ends with the test.
#[derive(Debug)]
pub struct Slapd {
    folder: tempfile::TempDir,
    process: Child,
    port: u16,
    tls_port: u16,
}

impl Slapd {
    /// A server with policies for passwords and addresses; none where it is left out.
    pub async fn start() -> Option<Self> {
        Self::start_with("").await
    }

    /// The same with more lines in its configuration, those of its database.
    pub async fn start_with(lines: &str) -> Option<Self> {
        let program = slapd_program()?;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        fs::create_dir(path.join("db")).expect("a folder");
        fs::write(path.join("own.schema"), SCHEMA).expect("a file");
        fs::write(path.join("entries.ldif"), ENTRIES).expect("a file");
        fs::write(path.join("slapd.conf"), configuration(path, lines)).expect("a file");
        certificate(path);
        let added = Command::new(beside(&program, "slapadd"))
            .args(["-q", "-f"])
            .arg(path.join("slapd.conf"))
            .arg("-l")
            .arg(path.join("entries.ldif"))
            .output()
            .expect("slapadd");
        assert!(added.status.success(), "{added:?}");
        let (port, tls_port) = (free_port(), free_port());
        let process = spawn(&program, path, port, tls_port);
        let slapd = Self {
            folder,
            process,
            port,
            tls_port,
        };
        slapd.wait().await;
        Some(slapd)
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its `ldap` URL.
    pub fn url(&self) -> String {
        format!("ldap://localhost:{}", self.port)
    }

    /// Its `ldaps` URL.
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://localhost:{}", self.tls_port)
    }

    /// The certificate that its own comes from.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// What a connector's file says about it, with this object class `account`.
    pub fn settings(&self, class: Value) -> Value {
        json!({"type": "ldap", "url": self.url(), "bindDn": ACCOUNT, "bindPassword": PASSWORD,
            "timeoutMs": 5000, "objects": {"account": class}})
    }

    /// People as the contract suite has them; their id is what names them.
    pub fn testers() -> Value {
        json!({"baseDn": PEOPLE, "objectClasses": ["tester"], "rdnAttribute": "uid",
            "idAttribute": "uid"})
    }

    /// People as directories have them; their id is `entryUUID`.
    pub fn people() -> Value {
        json!({"baseDn": PEOPLE, "objectClasses": ["inetOrgPerson"], "rdnAttribute": "uid"})
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("the end");
    }

    /// Starts it again on the same ports and data.
    pub async fn restart(&mut self) {
        let program = slapd_program().expect("slapd");
        self.process = spawn(&program, self.folder.path(), self.port, self.tls_port);
        self.wait().await;
    }

    /// It stays where it is and answers nobody.
    pub fn pause(&self) {
        self.signal("-STOP");
        // One thread after the other stops.
        let tasks = format!("/proc/{}/task", self.process.id());
        let runs = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") T ")
        };
        while fs::read_dir(&tasks).expect(&tasks).flatten().any(runs) {
            std::thread::yield_now();
        }
    }

    /// It goes on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Every entry as the server's own tool writes it, without what the server keeps for itself.
    pub fn dump(&self) -> String {
        let program = slapd_program().expect("slapd");
        let output = Command::new(beside(&program, "slapcat"))
            .args(["-o", "ldif-wrap=no", "-f"])
            .arg(self.folder.path().join("slapd.conf"))
            .output()
            .expect("slapcat");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let mut entries: Vec<String> = text.split("\n\n").map(record).collect();
        entries.sort_unstable();
        entries.join("\n")
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.expect("kill").success());
    }

    async fn wait(&self) {
        for _ in 0..400 {
            if tokio::net::TcpStream::connect(self.address()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("slapd does not listen on {}", self.port);
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A person with what `inetOrgPerson` asks for.
pub fn person(uid: &str, name: &str) -> Object {
    let value = json!({"uid": uid, "cn": name, "sn": name, "mail": format!("{uid}@example.com")});
    value.as_object().cloned().expect("an object")
}

/// An entry's lines in order, without those that change by themselves.
fn record(text: &str) -> String {
    const OWN: [&str; 12] = [
        "entryUUID:",
        "entryCSN:",
        "createTimestamp:",
        "modifyTimestamp:",
        "creatorsName:",
        "modifiersName:",
        "structuralObjectClass:",
        "contextCSN:",
        "pwdChangedTime:",
        "pwdFailureTime:",
        "userPassword::",
        "memberOf:",
    ];
    let kept = |line: &&str| !OWN.iter().any(|own| line.starts_with(own));
    let mut lines: Vec<&str> = text.lines().filter(kept).collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn configuration(folder: &Path, lines: &str) -> String {
    let path = folder.display();
    format!(
        "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
include {path}/own.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload constraint
moduleload unique
moduleload syncprov
pidfile {path}/pid
sockbuf_max_incoming_auth 67108864
TLSCACertificateFile {path}/cert.pem
TLSCertificateFile {path}/cert.pem
TLSCertificateKeyFile {path}/key.pem
database mdb
suffix \"{TOP}\"
rootdn \"cn=admin,{TOP}\"
rootpw secret
directory {path}/db
maxsize 268435456
dbnosync
index objectClass,uid,cn,mail,member,entryUUID eq
{lines}
overlay ppolicy
ppolicy_default \"cn=default,{TOP}\"
overlay constraint
constraint_attribute mail regex ^[^@]+@example\\.com$
overlay unique
unique_uri ldap:///?mail?sub?
access to attrs=userPassword by dn.exact=\"{ACCOUNT}\" write by self write by anonymous auth by * none
access to * by dn.exact=\"{ACCOUNT}\" write by users read by anonymous read
"
    )
}

fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-days", "30", "-subj", "/CN=localhost"])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
        ])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
}

fn spawn(program: &str, folder: &Path, port: u16, tls_port: u16) -> Child {
    Command::new(program)
        .arg("-f")
        .arg(folder.join("slapd.conf"))
        .arg("-h")
        .arg(format!(
            "ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"
        ))
        .args(["-d", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("slapd")
}

/// Another program of the same package.
fn beside(program: &str, name: &str) -> PathBuf {
    Path::new(program).with_file_name(name)
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
