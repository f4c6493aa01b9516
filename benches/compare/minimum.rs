//! The least that could be called synchronization with a journal: three parallel reads, one
//! group-committed intent row, three writes, nothing else. No hook, no undo, no audit, no recovery.
use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::put,
};
use sqlx::{
    Connection, QueryBuilder, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

struct Minimum {
    http: reqwest::Client,
    targets: String,
    intents: mpsc::UnboundedSender<(String, oneshot::Sender<()>)>,
}

/// Serves `PUT /managed/user/ID` until the process ends; says its address on the first line.
pub async fn serve() {
    let mut arguments = std::env::args().skip(2);
    let targets = arguments.next().expect("the targets' address");
    let database = arguments.next().expect("the database");
    let (intents, queue) = mpsc::unbounded_channel();
    tokio::spawn(write_intents(database, queue));
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let minimum = Arc::new(Minimum {
        http,
        targets,
        intents,
    });
    let router = Router::new()
        .route("/managed/user/{id}", put(change))
        .with_state(minimum);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    axum::serve(listener, router).await.expect("serving");
}

async fn change(
    State(minimum): State<Arc<Minimum>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    let address = |target: &str| format!("http://{}/{target}/{id}", minimum.targets);
    let read = |target| minimum.http.get(address(target)).send();
    let (one, two, three) = tokio::join!(read("t1"), read("t2"), read("t3"));
    for answer in [one, two, three] {
        let Ok(answer) = answer else {
            return StatusCode::BAD_GATEWAY;
        };
        let _ = answer.bytes().await;
    }
    let (written, on_disk) = oneshot::channel();
    let intent = String::from_utf8_lossy(&body).into_owned();
    if minimum.intents.send((intent, written)).is_err() || on_disk.await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    for target in ["t1", "t2", "t3"] {
        let write = minimum
            .http
            .put(address(target))
            .header("content-type", "application/json")
            .body(body.clone());
        match write.send().await {
            Ok(answer) if answer.status().is_success() => {}
            _ => return StatusCode::CONFLICT,
        }
    }
    StatusCode::OK
}

async fn write_intents(
    database: String,
    mut queue: mpsc::UnboundedReceiver<(String, oneshot::Sender<()>)>,
) {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .expect("the database");
    sqlx::query("create table intent (id integer primary key, body text not null)")
        .execute(&mut connection)
        .await
        .expect("the table");
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, 64).await > 0 {
        let mut insert = QueryBuilder::<Sqlite>::new("insert into intent (body) ");
        insert.push_values(&batch, |mut row, (body, _)| {
            row.push_bind(body.as_str());
        });
        insert
            .build()
            .execute(&mut connection)
            .await
            .expect("the insert");
        for (_, written) in batch.drain(..) {
            let _ = written.send(());
        }
    }
}
