//! The audit trail beside the store: files, syslog and collectors that are broken, slow, and back again.
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use recant::{
    app::App,
    clock::{Clock as _, SystemClock},
    model::{ChangeRequest, Container, Precondition, Requested},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::{TcpListener, UdpSocket, UnixDatagram},
};

use crate::support::{folder::Folder, server::eventually};

pub(crate) async fn folder(destinations: &str) -> Folder {
    let folder = Folder::new().await;
    let settings = std::fs::read_to_string(folder.path().join("recant.toml")).unwrap();
    folder.write("recant.toml", &format!("{settings}\n{destinations}"));
    folder
}

pub(crate) async fn change(app: &App, id: &str) {
    let request = ChangeRequest {
        unseen: Vec::new(),
        container: Container::managed("user"),
        requested: Requested::Replace {
            id: id.into(),
            content: json!({"userName": id}).as_object().cloned().unwrap(),
            precondition: Precondition::None,
        },
        caller: "hr".into(),
        transaction_id: SystemClock.fresh_id().to_string(),
        idempotency: None,
        request: json!({}),
    };
    app.change(request).await.unwrap();
}

pub(crate) async fn head(app: &App) -> i64 {
    app.engine().store().flush().await.unwrap();
    app.engine().store().audit_head().await.unwrap()
}

/// Every line of the file and those that were put aside, in the order of their names.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let folder = path.parent().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|files| files.map(|file| file.unwrap().path()).collect())
        .unwrap_or_default();
    files.retain(|file| {
        file.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(name)
    });
    // The one that is written has the shortest name, and is the last.
    files.sort_by_key(|file| (file == path, file.clone()));
    files
        .iter()
        .flat_map(|file| {
            // One that was put aside since it was listed is missing here, as are its lines.
            let text = match std::fs::read_to_string(file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                read => read.unwrap(),
            };
            let lines: Vec<Value> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            lines
        })
        .collect()
}

/// Whether these are all positions up to the end, none left out, in order but for repeats.
pub(crate) fn has_all(positions: impl Iterator<Item = i64>, end: i64) -> bool {
    let mut next = 1;
    for position in positions {
        assert!(position <= next, "{position} came before {next}");
        next = next.max(position + 1);
    }
    next == end + 1
}

pub(crate) fn status(statuses: &[Value], name: &str) -> Value {
    let found = statuses.iter().find(|one| one["name"] == name);
    found.cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_rotated_made_anew_and_lack_nothing() {
    let folder = folder(
        "[audit.destinations.archive]\ntype = \"file\"\npath = \"out/audit.jsonl\"\nmax_bytes = 6000\n",
    )
    .await;
    let path = folder.path().join("out/audit.jsonl");
    // The folder cannot be made: something is in its way.
    folder.write("out", "in the way");
    let app = App::open(folder.path()).await.unwrap();
    change(&app, "u0").await;
    eventually("the destination fails", || async {
        let statuses = app.audit_destinations().await.unwrap();
        let status = status(&statuses, "archive");
        status["state"] == "failing" && status["behind"].as_i64() > Some(0)
    })
    .await;
    std::fs::remove_file(folder.path().join("out")).unwrap();
    for number in 1..6 {
        change(&app, &format!("u{number}")).await;
    }
    let end = head(&app).await;
    eventually("the file has everything", || async {
        let positions: Vec<i64> = lines(&path)
            .iter()
            .map(|line| line["position"].as_i64().unwrap())
            .collect();
        has_all(positions.into_iter(), end)
    })
    .await;
    eventually("it says that it has everything", || async {
        let statuses = app.audit_destinations().await.unwrap();
        status(&statuses, "archive")["state"] == "current"
    })
    .await;

    change(&app, "u7").await;
    let end = head(&app).await;
    eventually("another file was begun", || async {
        let files = std::fs::read_dir(folder.path().join("out"))
            .unwrap()
            .count();
        files > 1
            && lines(&path)
                .last()
                .is_some_and(|line| line["position"] == end)
    })
    .await;

    // Somebody moves the file away: it is made anew, and nothing is told twice or lost.
    std::fs::rename(&path, folder.path().join("moved.jsonl")).unwrap();
    change(&app, "u9").await;
    let end = head(&app).await;
    eventually("a new file", || async {
        lines(&path)
            .last()
            .is_some_and(|line| line["position"] == end)
    })
    .await;
    app.close(Duration::from_secs(5)).await;

    // The next start goes on from where the last one was.
    let app = App::open(folder.path()).await.unwrap();
    change(&app, "u10").await;
    let last = head(&app).await;
    eventually("it goes on", || async {
        lines(&path)
            .last()
            .is_some_and(|line| line["position"] == last)
    })
    .await;
    let again = lines(&path)
        .iter()
        .filter(|line| line["position"] == end)
        .count();
    assert_eq!(again, 1, "what was noted is not told again");
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_files_go_when_there_are_more_than_are_kept() {
    let folder = folder(
        "[audit.destinations.archive]\ntype = \"file\"\npath = \"out/audit.jsonl\"\nmax_bytes = 1024\nkeep_files = 2\n",
    )
    .await;
    let app = App::open(folder.path()).await.unwrap();
    let path = folder.path().join("out/audit.jsonl");
    for number in 0..6 {
        change(&app, &format!("u{number}")).await;
        let end = head(&app).await;
        eventually("the file follows", || async {
            lines(&path)
                .last()
                .is_some_and(|line| line["position"] == end)
        })
        .await;
    }
    let files = std::fs::read_dir(folder.path().join("out"))
        .unwrap()
        .count();
    assert_eq!(files, 3);
    app.close(Duration::from_secs(5)).await;
}

/// A receiver that closes the first connections in the middle.
async fn syslog(listener: TcpListener, closing: usize, heard: Arc<Mutex<Vec<String>>>) {
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream);
            if number < closing {
                let mut some = [0_u8; 10];
                let _ = reader.read_exact(&mut some).await;
                return;
            }
            loop {
                let mut length = Vec::new();
                if reader.read_until(b' ', &mut length).await.unwrap_or(0) == 0 {
                    return;
                }
                let length: usize = String::from_utf8(length).unwrap().trim().parse().unwrap();
                let mut message = vec![0_u8; length];
                if reader.read_exact(&mut message).await.is_err() {
                    return;
                }
                heard
                    .lock()
                    .unwrap()
                    .push(String::from_utf8(message).unwrap());
            }
        });
    }
}

/// The positions that messages tell.
fn told(messages: &[String]) -> Vec<i64> {
    let position = |message: &String| {
        let (_, rest) = message.split_once(" position=\"").unwrap();
        rest.split_once('"').unwrap().0.parse().unwrap()
    };
    messages.iter().map(position).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_syslog_that_breaks_is_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let folder = folder(&format!(
        "[audit.destinations.siem]\ntype = \"syslog\"\naddress = \"tcp://{address}\"\napp_name = \"recant-test\"\n"
    ))
    .await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(syslog(listener, 2, Arc::clone(&heard)));
    let app = App::open(folder.path()).await.unwrap();
    for number in 0..4 {
        change(&app, &format!("u{number}")).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let end = head(&app).await;
    eventually("everything that came after the breaks", || async {
        told(&heard.lock().unwrap()).last() == Some(&end)
    })
    .await;
    let first = heard.lock().unwrap()[0].clone();
    assert!(
        first.starts_with("<110>1 ") || first.starts_with("<108>1 "),
        "{first}"
    );
    assert!(first.contains(" recant-test "), "{first}");
    let json = first.split_once("] ").unwrap().1;
    assert!(serde_json::from_str::<Value>(json).unwrap()["digest"].is_string());
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_go_to_a_port_and_to_a_local_socket() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = receiver.local_addr().unwrap();
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("log");
    let local = UnixDatagram::bind(&socket).unwrap();
    let folder = folder(&format!(
        "[audit.destinations.net]\ntype = \"syslog\"\naddress = \"udp://{address}\"\n\
         [audit.destinations.local]\ntype = \"syslog\"\naddress = \"unix://{}\"\n",
        socket.display()
    ))
    .await;
    let app = App::open(folder.path()).await.unwrap();
    change(&app, "ann").await;
    let end = head(&app).await;
    let mut buffer = vec![0_u8; 65_536];
    let within = Duration::from_secs(20);
    for _ in 0..end {
        let length = tokio::time::timeout(within, receiver.recv(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(String::from_utf8_lossy(&buffer[..length]).contains("recant@32473"));
        tokio::time::timeout(within, local.recv(&mut buffer))
            .await
            .unwrap()
            .unwrap();
    }
    app.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_over_tls_is_spoken_to_whom_the_file_vouches_for() {
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/certificates");
    let pem = |name: &str| std::fs::read(certificates.join(name)).unwrap();
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem("first.pem"))
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(&pem("first.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut some = vec![0_u8; 4_096];
            while let Ok(length @ 1..) = stream.read(&mut some).await {
                hearing.lock().unwrap().extend_from_slice(&some[..length]);
            }
        }
    });
    let destination = |name: &str, file: &str| {
        format!(
            "[audit.destinations.{name}]\ntype = \"syslog\"\naddress = \"tls://localhost:{port}\"\nca_file = {:?}\n",
            certificates.join(file).display().to_string()
        )
    };
    let text = [
        destination("right", "first.pem"),
        destination("wrong", "second.pem"),
    ]
    .concat();
    let folder = folder(&text).await;
    let app = App::open(folder.path()).await.unwrap();
    change(&app, "ann").await;
    eventually(
        "the one that vouches is current, the other fails",
        || async {
            let statuses = app.audit_destinations().await.unwrap();
            let (right, wrong) = (status(&statuses, "right"), status(&statuses, "wrong"));
            right["state"] == "current" && wrong["state"] == "failing"
        },
    )
    .await;
    let text = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    assert!(text.contains("recant@32473"), "{text}");
    app.close(Duration::from_secs(5)).await;
}

#[derive(Clone)]
struct Collector {
    answer: Arc<AtomicU16>,
    records: Arc<Mutex<Vec<i64>>>,
    wait: Duration,
}

async fn collect(
    State(collector): State<Collector>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    tokio::time::sleep(collector.wait).await;
    let status = StatusCode::from_u16(collector.answer.load(Ordering::SeqCst)).unwrap();
    if status == StatusCode::OK {
        let records = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
            .as_array()
            .unwrap();
        let position = |record: &Value| -> i64 {
            let attributes = record["attributes"].as_array().unwrap();
            let found = attributes
                .iter()
                .find(|one| one["key"] == "recant.position")
                .unwrap();
            found["value"]["stringValue"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        };
        collector
            .records
            .lock()
            .unwrap()
            .extend(records.iter().map(position));
    }
    (status, Json(json!({"partialSuccess": {}})))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_and_slow_keeps_no_change_waiting_and_gets_everything() {
    let collector = Collector {
        answer: Arc::new(AtomicU16::new(503)),
        records: Arc::default(),
        wait: Duration::from_millis(800),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/v1/logs", post(collect))
        .with_state(collector.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = folder(&format!(
        "[audit.destinations.collector]\ntype = \"otlp\"\nendpoint = \"http://{address}\"\n\
         headers = {{ authorization = \"Bearer s3cret\" }}\n\
         [audit.destinations.nobody]\ntype = \"otlp\"\nendpoint = \"http://127.0.0.1:9\"\n"
    ))
    .await;
    let app = App::open(folder.path()).await.unwrap();
    let begun = std::time::Instant::now();
    for number in 0..10 {
        change(&app, &format!("u{number}")).await;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    eventually("both say that they are behind, and why", || async {
        let statuses = app.audit_destinations().await.unwrap();
        let (one, other) = (status(&statuses, "collector"), status(&statuses, "nobody"));
        one["lastError"]
            .as_str()
            .is_some_and(|error| error.contains("503"))
            && other["lastError"]
                .as_str()
                .is_some_and(|error| error.contains("reached"))
            && one["behind"].as_i64() > Some(0)
            && one["behindSince"].is_string()
    })
    .await;
    let statuses = app.audit_destinations().await.unwrap();
    assert!(!json!(statuses).to_string().contains("s3cret"));
    // What is not delivered is not pruned.
    let store = app.engine().store();
    assert_eq!(store.audit_after(0, 1).await.unwrap()[0].position, 1);
    collector.answer.store(200, Ordering::SeqCst);
    let end = head(&app).await;
    eventually("everything was taken", || async {
        let records = collector.records.lock().unwrap().clone();
        has_all(records.into_iter(), end)
    })
    .await;
    app.close(Duration::from_secs(5)).await;
}
