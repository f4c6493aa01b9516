//! People into a directory and a SCIM service through Recant, beside `ldapadd`, `ldapmodify` and a
//! plain SCIM client doing the same writes on servers of their own.
//!
//! `RECANT_HR_DATA=FOLDER tests/run --shell cargo bench --bench provision`; without the folder,
//! invented people; `RECANT_PEOPLE` says how many. It takes slapd, ldap-utils and the SCIM server of
//! the tests. Every person is created, then gets another title.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench may fail, and prints what it found"
)]

#[path = "../../tests/it/support/scim.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod scim;
#[path = "../../tests/it/support/servers.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod servers;
#[path = "../../tests/it/support/slapd.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod slapd;

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use recant::{
    app::App,
    model::{ChangeRequest, Container, Outcome, Precondition, Requested, patch::Patch},
};
use serde_json::{Value, json};

use scim::{Options, ScimServer, TOKEN};
use slapd::{PEOPLE, Slapd};

/// How many people there are where nobody says otherwise.
const EVERYBODY: usize = 20_000;
/// How many changes are under way at once.
const WORKERS: usize = 32;

/// What both ways write of a person.
#[derive(Debug, Clone)]
struct Person {
    number: String,
    first: String,
    last: String,
    title: String,
}

/// How long the two rounds took.
#[derive(Debug, Clone, Copy)]
struct Took {
    create: Duration,
    modify: Duration,
}

#[tokio::main]
async fn main() {
    let people = people();
    let (Some(directory), Some(service)) = (
        Slapd::start().await,
        ScimServer::start(Options::default()).await,
    ) else {
        return;
    };
    println!(
        "{} people, each created and then changed once",
        people.len()
    );
    let recant = through_recant(&people, &directory, &service).await;
    println!("through Recant into both: {}", told(recant, people.len()));
    let (plain_directory, plain_service) = (
        Slapd::start().await.expect("slapd"),
        ScimServer::start(Options::default()).await.expect("SCIM"),
    );
    let tools = by_ldap_tools(&people, &plain_directory);
    println!("ldapadd, ldapmodify: {}", told(tools, people.len()));
    let client = by_scim_client(&people, &plain_service).await;
    println!("a plain SCIM client: {}", told(client, people.len()));
    let ratio = |recant: Duration, one: Duration, other: Duration| {
        (one + other).as_secs_f64() / recant.as_secs_f64()
    };
    println!(
        "Recant does {:.2} of the plain creates and {:.2} of the plain changes, both one after the other",
        ratio(recant.create, tools.create, client.create),
        ratio(recant.modify, tools.modify, client.modify),
    );
    assert_eq!(directory.dump(), plain_directory.dump(), "the directories");
    assert!(
        held(&service).await == held(&plain_service).await,
        "the services"
    );
    println!("both directories and both services hold the same");
}

fn told(took: Took, count: usize) -> String {
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    format!(
        "{:.1} s ({:.0}/s) to create, {:.1} s ({:.0}/s) to change",
        took.create.as_secs_f64(),
        rate(took.create),
        took.modify.as_secs_f64(),
        rate(took.modify),
    )
}

fn people() -> Vec<Person> {
    let count = std::env::var("RECANT_PEOPLE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(EVERYBODY);
    let Some(folder) = std::env::var_os("RECANT_HR_DATA") else {
        return (0..count).map(invented).collect();
    };
    let file = PathBuf::from(folder).join("people.jsonl.gz");
    let file = fs::File::open(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    BufReader::new(flate2::read::GzDecoder::new(file))
        .lines()
        .take(count)
        .map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let text = |name: &str| line[name].as_str().unwrap_or("none").to_owned();
            Person {
                number: line["empNo"].to_string(),
                first: text("firstName"),
                last: text("lastName"),
                title: text("title"),
            }
        })
        .collect()
}

fn invented(number: usize) -> Person {
    Person {
        number: (10_001 + number).to_string(),
        first: format!("First{number}"),
        last: "Müller-O'Neil".to_owned(),
        title: "Engineer".to_owned(),
    }
}

impl Person {
    fn new_title(&self) -> String {
        format!("Senior {}", self.title)
    }

    fn mail(&self) -> String {
        format!("{}@example.com", self.number)
    }
}

// ---- through Recant

async fn through_recant(people: &[Person], directory: &Slapd, service: &ScimServer) -> Took {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), directory, service);
    let app = App::open(folder.path()).await.unwrap();
    let begun = Instant::now();
    each(people, |person| {
        let content = json!({"number": person.number, "first": person.first, "last": person.last,
            "mail": person.mail(), "title": person.title});
        send(
            &app,
            Requested::Create {
                id: Some(person.number.clone()),
                content: content.as_object().cloned().unwrap(),
            },
        )
    })
    .await;
    let create = begun.elapsed();
    let begun = Instant::now();
    each(people, |person| {
        let patch = Patch::parse_merge(json!({"title": person.new_title()})).unwrap();
        send(
            &app,
            Requested::Patch {
                id: person.number.clone(),
                patch,
                precondition: Precondition::None,
            },
        )
    })
    .await;
    let modify = begun.elapsed();
    app.close(Duration::from_secs(30)).await;
    Took { create, modify }
}

async fn send(app: &App, requested: Requested) {
    let request = ChangeRequest {
        unseen: Vec::new(),
        container: Container::managed("person"),
        requested,
        caller: "hr".to_owned(),
        transaction_id: "hr".to_owned(),
        idempotency: None,
        request: Value::Null,
    };
    let changed = app
        .change(request)
        .await
        .unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(changed.outcome, Outcome::Synced);
}

/// Works on all people, so many at once.
async fn each<'a, F: Future<Output = ()>>(people: &'a [Person], work: impl Fn(&'a Person) -> F) {
    use futures::StreamExt as _;
    let work = &work;
    futures::stream::iter(people.iter().map(work))
        .for_each_concurrent(WORKERS, |work| work)
        .await;
}

fn write_folder(folder: &Path, directory: &Slapd, service: &ScimServer) {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("recant.toml", "");
    write(
        "hooks/compensate.rhai",
        include_str!("../../hooks/compensate.rhai"),
    );
    let managed = json!({"objects": [{"name": "person", "schema": {"type": "object"},
        "onSync": {"type": "text/rhai", "file": "compensate.rhai"}}]});
    write("conf/managed.json", &managed.to_string());
    let properties = |pairs: &[(&str, &str)]| -> Vec<Value> {
        let pairs = pairs.iter();
        pairs
            .map(|(source, target)| json!({"source": source, "target": target}))
            .collect()
    };
    let script = |source: &str| json!({"type": "text/rhai", "source": source});
    let mut service_properties = properties(&[
        ("number", "userName"),
        ("first", "name/givenName"),
        ("last", "name/familyName"),
        ("title", "title"),
    ]);
    service_properties.push(json!({"source": "mail", "target": "emails",
        "transform": script("[#{value: source, type: \"work\"}]")}));
    let mappings = json!({"mappings": [
        {"name": "person_directory", "source": "managed/person", "target": "system/directory/account",
            "properties": properties(&[("number", "uid"), ("last", "sn"), ("first", "givenName"),
                ("number", "cn"), ("mail", "mail"), ("title", "title")])},
        {"name": "person_service", "source": "managed/person", "target": "system/service/account",
            "properties": service_properties},
    ]});
    write("conf/sync.json", &mappings.to_string());
    let directory = directory.settings(Slapd::people());
    write("conf/connectors/directory.json", &directory.to_string());
    // This server looks through all its users for every filter: its own ids spare it that.
    let service = json!({"type": "scim", "baseUrl": service.url(), "auth": {"bearer": TOKEN},
        "objects": {"account": {"resourceType": "User", "key": "id"}}});
    write("conf/connectors/service.json", &service.to_string());
}

// ---- by the servers' own tools

fn by_ldap_tools(people: &[Person], directory: &Slapd) -> Took {
    let folder = tempfile::tempdir().unwrap();
    let (mut entries, mut changes) = (String::new(), String::new());
    for person in people {
        let Person {
            number,
            first,
            last,
            title,
        } = person;
        let (mail, new) = (person.mail(), person.new_title());
        // Base64 takes any text.
        let coded = |text: &str| {
            use base64::Engine as _;
            base64::prelude::BASE64_STANDARD.encode(text)
        };
        let _ = writeln!(
            entries,
            "dn: uid={number},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {number}\ncn: {number}\n\
             sn:: {}\ngivenName:: {}\nmail: {mail}\ntitle:: {}\n",
            coded(last),
            coded(first),
            coded(title),
        );
        let _ = writeln!(
            changes,
            "dn: uid={number},{PEOPLE}\nchangetype: modify\nreplace: title\ntitle:: {}\n",
            coded(&new),
        );
    }
    let run = |tool: &str, name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let settings = directory.settings(json!({}));
        let begun = Instant::now();
        let status = Command::new(tool)
            .args(["-x", "-H", &directory.url()])
            .args(["-D", settings["bindDn"].as_str().unwrap()])
            .args(["-w", settings["bindPassword"].as_str().unwrap(), "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .status()
            .unwrap_or_else(|error| panic!("{tool} (ldap-utils): {error}"));
        assert!(status.success(), "{tool}: {status}");
        begun.elapsed()
    };
    Took {
        create: run("ldapadd", "people.ldif", &entries),
        modify: run("ldapmodify", "changes.ldif", &changes),
    }
}

async fn by_scim_client(people: &[Person], service: &ScimServer) -> Took {
    let client = scim::client();
    let url = format!("{}/Users", service.url());
    let ids = std::sync::Mutex::new(std::collections::HashMap::new());
    let begun = Instant::now();
    each(people, async |person: &Person| {
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": person.number, "title": person.title,
            "name": {"givenName": person.first, "familyName": person.last},
            "emails": [{"value": person.mail(), "type": "work"}]});
        let sent = client
            .post(&url)
            .bearer_auth(TOKEN)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 201);
        let made: Value = sent.json().await.unwrap();
        let id = made["id"].as_str().unwrap().to_owned();
        ids.lock().unwrap().insert(person.number.clone(), id);
    })
    .await;
    let create = begun.elapsed();
    let begun = Instant::now();
    each(people, async |person: &Person| {
        let id = ids.lock().unwrap()[&person.number].clone();
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "title", "value": person.new_title()}]});
        let url = format!("{url}/{id}");
        let sent = client
            .patch(url)
            .bearer_auth(TOKEN)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(sent.status().is_success());
    })
    .await;
    Took {
        create,
        modify: begun.elapsed(),
    }
}

/// Every user, without what the server gives itself.
async fn held(service: &ScimServer) -> Vec<String> {
    let mut users = Vec::new();
    let client = scim::client();
    loop {
        let url = format!(
            "{}/Users?count=1000&startIndex={}",
            service.url(),
            users.len() + 1
        );
        let page: Value = client
            .get(url)
            .bearer_auth(TOKEN)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let page = page["Resources"].as_array().cloned().unwrap_or_default();
        if page.is_empty() {
            break;
        }
        users.extend(page.into_iter().map(|mut user| {
            let user = user.as_object_mut().unwrap();
            user.remove("id");
            user.remove("meta");
            user.sort_keys();
            json!(user).to_string()
        }));
    }
    users.sort_unstable();
    users
}
