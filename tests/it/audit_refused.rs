//! Destinations of the audit trail that refuse some entries for good, or all: what is set aside, sent
//! again, given up, and how long pruning waits.
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use chrono::TimeDelta;
use recant::app::{App, Builder};
use serde_json::{Value, json};

use crate::{
    api::access::client,
    audit_delivery::{change, folder, head, lines, status},
    support::{
        clock::MovedClock,
        folder::Folder,
        server::{Running, eventually},
    },
};

/// A collector with its own mind about what it takes.
#[derive(Clone, Default)]
struct Picky {
    taken: Arc<Mutex<BTreeSet<i64>>>,
    /// Refuses records about `poison` with 400.
    is_picky: Arc<AtomicBool>,
    /// Tells so as a partial success, in place of 400.
    tells_partly: Arc<AtomicBool>,
    /// Refuses everything with 400, as a server does that is no collector.
    is_deaf: Arc<AtomicBool>,
    /// Refuses larger bodies with 413; 0: none.
    most: Arc<AtomicUsize>,
}

async fn collect(State(picky): State<Picky>, body: Bytes) -> Response {
    let on = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
    let said = |status: StatusCode, message: &str| {
        (status, Json(json!({"code": 3, "message": message}))).into_response()
    };
    if on(&picky.is_deaf) {
        return said(
            StatusCode::BAD_REQUEST,
            "the plain HTTP request was sent to HTTPS",
        );
    }
    let most = picky.most.load(Ordering::SeqCst);
    if most > 0 && body.len() > most {
        return said(StatusCode::PAYLOAD_TOO_LARGE, "too large");
    }
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let records = asked.pointer("/resourceLogs/0/scopeLogs/0/logRecords");
    let records = records
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let is_poison = |record: &Value| {
        record["body"]["stringValue"]
            .as_str()
            .unwrap()
            .contains("poison")
    };
    let is_bad = on(&picky.is_picky) && records.iter().any(is_poison);
    if is_bad && !on(&picky.tells_partly) {
        return said(
            StatusCode::BAD_REQUEST,
            "bad \u{1b}[31mrecord\nfor Bearer s3cret-token",
        );
    }
    let mut rejected = 0;
    for record in &records {
        if is_bad && is_poison(record) {
            rejected += 1;
            continue;
        }
        let attributes = record["attributes"].as_array().unwrap();
        let position = attributes
            .iter()
            .find(|one| one["key"] == "recant.position");
        let position = position.unwrap()["value"]["stringValue"].as_str().unwrap();
        picky
            .taken
            .lock()
            .unwrap()
            .insert(position.parse().unwrap());
    }
    let answer = json!({"partialSuccess": {"rejectedLogRecords": rejected.to_string(),
        "errorMessage": "no poison"}});
    Json(answer).into_response()
}

impl Picky {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/logs", post(collect))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    async fn folder(&self, audit: &str) -> Folder {
        let endpoint = self.start().await;
        folder(&format!(
            "[audit]\n{audit}\n[audit.destinations.collector]\ntype = \"otlp\"\nendpoint = \"{endpoint}\"\n\
             headers = {{ authorization = \"Bearer s3cret-token\" }}\n"
        ))
        .await
    }

    fn lacks(&self, end: i64) -> Vec<i64> {
        let taken = self.taken.lock().unwrap();
        (1..=end)
            .filter(|position| !taken.contains(position))
            .collect()
    }
}

async fn told(app: &App) -> Value {
    status(&app.audit_destinations().await.unwrap(), "collector")
}

/// A change once the node has its lease again, which it lost with the clock.
async fn changed_after_a_pause(app: &App, id: &str) {
    eventually("the node has a lease", || async {
        !app.engine().store().lease_left().is_zero()
    })
    .await;
    change(app, id).await;
}

/// Positions of the entries that are about `poison`.
async fn poisoned(app: &App) -> Vec<i64> {
    let entries = app.engine().store().audit_after(0, 9_999).await.unwrap();
    let is_poison = |entry: &recant::model::audit::ChainedEntry| {
        entry.to_value().to_string().contains("poison")
    };
    let poisoned = entries.iter().filter(|entry| is_poison(entry));
    poisoned.map(|entry| entry.position).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_set_aside_and_holds_nothing_else_up() {
    for partly in [false, true] {
        let picky = Picky::default();
        picky.is_picky.store(true, Ordering::SeqCst);
        picky.tells_partly.store(partly, Ordering::SeqCst);
        let folder = picky.folder("").await;
        let app = App::open(folder.path()).await.unwrap();
        for id in ["u1", "poison", "u2", "u3"] {
            change(&app, id).await;
        }
        let end = head(&app).await;
        let poison = poisoned(&app).await;
        assert!(!poison.is_empty());
        eventually("all others arrive", || async { picky.lacks(end) == poison }).await;
        eventually("and that is said", || async {
            let status = told(&app).await;
            status["state"] == "current" && status["behind"] == 0
        })
        .await;
        let status = told(&app).await;
        assert_eq!(status["notTaken"]["refused"], poison.len(), "{status}");
        let reason = status["notTaken"]["entries"][0]["reason"].as_str().unwrap();
        let words = if partly { "no poison" } else { "400" };
        assert!(reason.contains(words), "{reason}");
        assert!(!status.to_string().contains("s3cret"), "{status}");
        assert!(!reason.chars().any(char::is_control), "{reason:?}");
        app.close(Duration::from_secs(5)).await;

        // It is known after a restart; somebody has it sent again when the collector has learned.
        let app = App::open(folder.path()).await.unwrap();
        assert_eq!(told(&app).await["notTaken"]["refused"], poison.len());
        let by = recant::app::By {
            caller: "ops",
            transaction_id: "t",
        };
        let first = Some(poison[0]);
        app.resend_audit("collector", first, by).await.unwrap();
        eventually("it is refused again", || async {
            let status = told(&app).await;
            status["notTaken"]["entries"][0]["again"] == false && picky.lacks(end) == poison
        })
        .await;
        picky.is_picky.store(false, Ordering::SeqCst);
        let asked = app.resend_audit("collector", None, by).await.unwrap();
        assert_eq!(asked["asked"], poison.len());
        eventually("it arrives", || async { picky.lacks(end).is_empty() }).await;
        eventually("nothing is left aside", || async {
            told(&app).await.get("notTaken").is_none()
        })
        .await;
        assert_eq!(
            app.resend_audit("collector", None, by)
                .await
                .unwrap_err()
                .code,
            404
        );
        assert_eq!(
            app.resend_audit("nobody", None, by).await.unwrap_err().code,
            404
        );
        app.close(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_are_too_large_are_split() {
    let picky = Picky::default();
    picky.is_deaf.store(true, Ordering::SeqCst);
    let folder = picky.folder("").await;
    let app = App::open(folder.path()).await.unwrap();
    for number in 0..12 {
        change(&app, &format!("u{number}")).await;
    }
    // What refuses everything, an empty request too, is no collector: nothing is set aside.
    eventually("it fails", || async {
        told(&app).await["state"] == "failing"
    })
    .await;
    let status = told(&app).await;
    assert!(status.get("notTaken").is_none(), "{status}");
    assert!(status["behind"].as_i64() > Some(10), "{status}");
    picky.most.store(6_000, Ordering::SeqCst);
    picky.is_deaf.store(false, Ordering::SeqCst);
    let end = head(&app).await;
    eventually("all arrive", || async { picky.lacks(end).is_empty() }).await;
    assert!(told(&app).await.get("notTaken").is_none());
    // One that is too large by itself is set aside.
    change(&app, &"x".repeat(250)).await;
    picky.most.store(1_500, Ordering::SeqCst);
    change(&app, &"y".repeat(250)).await;
    change(&app, "small").await;
    eventually("the others pass", || async {
        let status = told(&app).await;
        status["notTaken"]["refused"].as_i64() > Some(0) && status["behind"] == 0
    })
    .await;
    let reason = told(&app).await["notTaken"]["entries"][0]["reason"].clone();
    assert!(reason.as_str().unwrap().contains("413"), "{reason}");
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_waits_for_a_destination_so_long_and_no_longer() {
    let picky = Picky::default();
    picky.is_picky.store(true, Ordering::SeqCst);
    let folder = picky.folder("keep_days = 1\nundelivered_days = 2\n").await;
    let clock = MovedClock::default();
    let builder = Builder::new(folder.path()).clock(Arc::new(clock.clone()));
    let app = builder.open().await.unwrap();
    for id in ["u1", "poison", "u2"] {
        change(&app, id).await;
    }
    let end = head(&app).await;
    let poison = poisoned(&app).await;
    eventually("all others arrive", || async {
        picky.lacks(end) == poison && told(&app).await["behind"] == 0
    })
    .await;
    clock.pass(TimeDelta::hours(30));
    changed_after_a_pause(&app, "fresh").await;
    app.prune_audit().await.unwrap();
    let store = app.engine().store();
    let first = store.audit_after(0, 1).await.unwrap()[0].position;
    assert_eq!(first, poison[0], "what was refused waits for somebody");
    // A collector that is deaf holds all that it lacks, but not for ever.
    picky.is_deaf.store(true, Ordering::SeqCst);
    change(&app, "late").await;
    let late = head(&app).await;
    clock.pass(TimeDelta::hours(80));
    app.prune_audit().await.unwrap();
    let left = store.audit_after(0, 9_999).await.unwrap();
    assert!(
        left.first().is_none_or(|entry| entry.position > late),
        "{left:?}"
    );
    assert_eq!(app.verify_audit().await.unwrap().broken, None);
    picky.is_deaf.store(false, Ordering::SeqCst);
    changed_after_a_pause(&app, "after").await;
    let end = head(&app).await;
    eventually("it goes on, and says what it never got", || async {
        let status = told(&app).await;
        status["behind"] == 0
            && picky.taken.lock().unwrap().contains(&end)
            && status["notTaken"]["pruned"].as_i64() > Some(0)
    })
    .await;
    // What was refused and is gone by now is told as gone when somebody asks for it.
    let by = recant::app::By {
        caller: "ops",
        transaction_id: "t",
    };
    app.resend_audit("collector", Some(poison[0]), by)
        .await
        .unwrap();
    eventually("it is told", || async {
        let status = told(&app).await;
        let entries = status["notTaken"]["entries"].as_array().unwrap().clone();
        entries
            .iter()
            .any(|one| one["position"] == poison[0] && one["how"] == "pruned")
    })
    .await;
    let gone = app.give_up_audit("collector", None, by).await.unwrap();
    assert!(gone["givenUp"].as_i64() > Some(0));
    assert!(told(&app).await.get("notTaken").is_none());
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_for_over_the_api_and_stands_in_the_audit() {
    let picky = Picky::default();
    picky.is_picky.store(true, Ordering::SeqCst);
    let folder = picky.folder("").await;
    let server = Running::start(&folder).await;
    change(&server.app, "poison").await;
    change(&server.app, "u1").await;
    eventually("it is set aside", || async {
        told(&server.app).await["notTaken"]["refused"].as_i64() > Some(0)
    })
    .await;
    let admin = client(&server.app, &server.client, &["admin"]).await;
    let path = "/audit/destinations/collector?_action=";
    for wrong in [json!({"position": "x"}), json!([])] {
        admin
            .json("POST", &format!("{path}resend"), &wrong)
            .await
            .expect(400);
    }
    let none = json!({"position": 999});
    admin
        .json("POST", &format!("{path}resend"), &none)
        .await
        .expect(404);
    let asked = admin
        .json("POST", &format!("{path}resend"), &json!({}))
        .await
        .expect(200);
    assert!(asked.json()["asked"].as_i64() > Some(0), "{}", asked.text);
    eventually("it is refused again", || async {
        told(&server.app).await["notTaken"]["entries"][0]["again"] == false
    })
    .await;
    let given_up = admin
        .json("POST", &format!("{path}giveUp"), &json!(null))
        .await
        .expect(200);
    assert!(given_up.json()["givenUp"].as_i64() > Some(0));
    let entries = admin
        .get("/audit/config?_queryFilter=eventName%20eq%20%22auditDelivery%22")
        .await
        .expect(200);
    let entries = entries.json();
    let actions = entries["result"].as_array().unwrap().iter();
    let actions: Vec<_> = actions.map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["resend", "giveUp"]);
    server.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder(
        "[audit.destinations.archive]\ntype = \"file\"\npath = \"out/audit.jsonl\"\nmax_bytes = 1024\n",
    )
    .await;
    let app = App::open(folder.path()).await.unwrap();
    let path = folder.path().join("out/audit.jsonl");
    for number in 0..3 {
        change(&app, &format!("u{number}")).await;
        let end = head(&app).await;
        eventually("the file follows", || async {
            lines(&path)
                .last()
                .is_some_and(|line| line["position"] == end)
        })
        .await;
    }
    app.close(Duration::from_secs(5)).await;
    let files = std::fs::read_dir(folder.path().join("out")).unwrap();
    let modes: Vec<u32> = files
        .map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert!(
        modes.len() > 1 && modes.iter().all(|mode| *mode == 0o600),
        "{modes:?}"
    );
}

/// A lease that is given free at the end lets the next start go on at once.
#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_runs_beside_the_changes_and_gives_free_what_it_holds() {
    let picky = Picky::default();
    let folder = picky.folder("").await;
    let app = App::open(folder.path()).await.unwrap();
    change(&app, "u1").await;
    let end = head(&app).await;
    eventually("it arrives", || async { picky.lacks(end).is_empty() }).await;
    app.close(Duration::from_secs(5)).await;
    let url = format!("sqlite://{}", folder.path().join("recant.db").display());
    let database = sea_orm::Database::connect(&url).await.unwrap();
    use sea_orm::ConnectionTrait as _;
    let statement = sea_orm::Statement::from_string(
        database.get_database_backend(),
        "select lease_until from audit_delivery",
    );
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0);
    database.close().await.unwrap();
}
