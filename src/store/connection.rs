//! Connections to the three databases, and a transaction that refuses to commit after a failure.
use std::time::Duration;

use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    DbBackend, DbErr, ExecResult, QueryResult, SqliteTransactionMode, Statement, StatementBuilder,
    TransactionOptions, TransactionTrait,
};
use sqlx::{
    mysql::MySqlPoolOptions,
    sqlite::{SqliteJournalMode, SqliteSynchronous},
};

use super::error::{Error, Refusal};

/// How long a statement may take, and how long a free connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long anything may take, the waiting for a connection included, before it is given up here.
pub(super) const LONGEST: Duration = Duration::from_secs(20);
/// How long a connection may rest before it is tried out again.
const RESTED: Duration = Duration::from_secs(5);
/// After how many pages the write-ahead log is copied into the database, 4 KB each: pages that are
/// written again and again are copied once.
const CHECKPOINT: &str = "8000";
/// Prepared statements kept per connection: the writer uses each in several sizes.
const STATEMENTS: usize = 512;
/// How many rows SQLite's thread may be ahead of who reads them: a page, so that the two do not
/// wait for each other row by row.
const ROWS_AHEAD: usize = 1_024;

/// The connections of a store: few that write, several that read.
#[derive(Debug, Clone)]
pub(super) struct Database {
    writer: Reader,
    reader: Reader,
    backend: DbBackend,
}

/// Whether a missing SQLite file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Yes.
    Create,
    /// No.
    Fail,
}

impl Database {
    /// Connects to the database at `url`.
    pub(super) async fn connect(url: &str, missing: Missing) -> Result<Self, Error> {
        let backend = backend_of(url)?;
        let connect = |connections: u32| {
            let options = options(url, backend, connections, missing);
            async move {
                sea_orm::Database::connect(options)
                    .await
                    .map_err(Error::at("connect to its database"))
            }
        };
        let (writer, reader) = match backend {
            // A database in memory belongs to the one connection that made it.
            DbBackend::Sqlite if is_in_memory(url) => {
                let only = connect(1).await?;
                (only.clone(), only)
            }
            // SQLite has one writer; more would only wait for each other.
            DbBackend::Sqlite => (connect(1).await?, connect(4).await?),
            // One for the rounds, one for the lease.
            _ => (connect(2).await?, connect(8).await?),
        };
        Ok(Self {
            writer: Reader(writer),
            reader: Reader(reader),
            backend,
        })
    }

    /// Which of the three it is.
    pub(super) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// Whether other processes may write too, and rows must be locked before they are judged.
    pub(super) fn locks_rows(&self) -> bool {
        self.backend != DbBackend::Sqlite
    }

    /// For reading outside transactions; each statement has its time.
    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// For reading outside transactions what the writers' connections see.
    pub(super) fn fresh(&self) -> &Reader {
        &self.writer
    }

    /// For reading several statements from one snapshot.
    pub(super) fn snapshots(&self) -> &DatabaseConnection {
        &self.reader.0
    }

    /// For migrations.
    pub(super) fn writer(&self) -> &DatabaseConnection {
        &self.writer.0
    }

    /// Begins a transaction that writes. On SQLite it takes the write lock at once: one that reads
    /// first and writes later may fail at any time.
    pub(super) async fn begin(&self) -> Result<Transaction, DbErr> {
        let inner = match self.backend {
            DbBackend::Sqlite => {
                let options = TransactionOptions {
                    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                    ..TransactionOptions::default()
                };
                self.writer.0.begin_with_options(options).await?
            }
            _ => self.writer.0.begin().await?,
        };
        Ok(Transaction {
            inner,
            failed: false,
        })
    }

    /// Runs one statement on its own and tells how many rows it touched.
    pub(super) async fn execute(&self, statement: &impl StatementBuilder) -> Result<u64, DbErr> {
        Ok(self.writer.execute(statement).await?.rows_affected())
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        let _ = self.writer.0.close_by_ref().await;
        let _ = self.reader.0.close_by_ref().await;
    }
}

/// A connection whose statements end when their time is over, whatever the network does.
#[derive(Debug, Clone)]
pub(super) struct Reader(DatabaseConnection);

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        limited(self.0.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        limited(self.0.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        limited(self.0.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        limited(self.0.query_all_raw(statement)).await
    }
}

/// Ends work on the database that takes longer than its own limits allow: a server that is gone
/// without a word, or a network that swallows packets, would be waited for without end.
pub(super) async fn limited<T>(work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    match tokio::time::timeout(LONGEST, work).await {
        Ok(result) => result,
        Err(_) => Err(timed_out()),
    }
}

/// Treated like a database that gives no connection: it is waited for.
pub(super) fn timed_out() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}

/// A transaction that remembers a failed statement: PostgreSQL answers `COMMIT` after one with
/// success and stores nothing.
pub(super) struct Transaction {
    inner: DatabaseTransaction,
    failed: bool,
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// It certainly was not.
    Failed(DbErr),
    /// It may have been.
    Unknown(DbErr),
}

impl CommitError {
    /// Why, whatever the outcome.
    pub(super) fn into_cause(self) -> DbErr {
        match self {
            Self::Failed(error) | Self::Unknown(error) => error,
        }
    }
}

impl Transaction {
    /// Runs a statement and tells how many rows it touched.
    pub(super) async fn execute(
        &mut self,
        statement: &impl StatementBuilder,
    ) -> Result<u64, DbErr> {
        let result = self.inner.execute(statement).await;
        self.failed |= result.is_err();
        Ok(result?.rows_affected())
    }

    /// Reads rows.
    pub(super) async fn all(
        &mut self,
        statement: &impl StatementBuilder,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let result = self.inner.query_all(statement).await;
        self.failed |= result.is_err();
        result
    }

    /// Commits, unless a statement failed.
    pub(super) async fn commit(self) -> Result<(), CommitError> {
        if self.failed {
            return Err(CommitError::Failed(DbErr::Custom(
                Refusal::FailedBefore.to_string(),
            )));
        }
        self.inner.commit().await.map_err(CommitError::Unknown)
    }

    /// Takes everything back.
    pub(super) async fn rollback(self) -> Result<(), DbErr> {
        self.inner.rollback().await
    }
}

/// Whether the database lives only as long as its connection.
pub(super) fn is_in_memory(url: &str) -> bool {
    url.starts_with("sqlite") && (url.contains(":memory:") || url.contains("mode=memory"))
}

fn backend_of(url: &str) -> Result<DbBackend, Error> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "sqlite" => Ok(DbBackend::Sqlite),
        "postgres" | "postgresql" => Ok(DbBackend::Postgres),
        "mysql" | "mariadb" => Ok(DbBackend::MySql),
        // Only the scheme: the rest of an URL may hold a password.
        _ => Err(Error::at("read its URL")(Refusal::UnknownUrl(
            scheme.to_owned(),
        ))),
    }
}

fn options(url: &str, backend: DbBackend, connections: u32, missing: Missing) -> ConnectOptions {
    let url = match url.strip_prefix("mariadb:") {
        Some(rest) => format!("mysql:{rest}"),
        None => url.to_owned(),
    };
    let in_memory = is_in_memory(&url);
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .connect_timeout(PATIENCE)
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    match backend {
        DbBackend::Sqlite => sqlite(&mut options, in_memory.then_some(()), missing),
        DbBackend::Postgres => postgres(&mut options),
        _ => mysql(&mut options),
    }
    options
}

fn sqlite(options: &mut ConnectOptions, in_memory: Option<()>, missing: Missing) {
    options
        .test_before_acquire(false)
        .map_sqlx_sqlite_opts(move |options| {
            let options = options
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(PATIENCE)
                .statement_cache_capacity(STATEMENTS)
                .row_buffer_size(ROWS_AHEAD);
            if in_memory.is_some() {
                return options;
            }
            options
                .journal_mode(SqliteJournalMode::Wal)
                .pragma("wal_autocheckpoint", CHECKPOINT)
                .create_if_missing(missing == Missing::Create)
        });
    if in_memory.is_some() {
        options
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None);
    }
}

fn postgres(options: &mut ConnectOptions) {
    options
        .test_before_acquire_if_idle_for(RESTED)
        .statement_timeout(PATIENCE)
        .set_application_name("recant")
        .map_sqlx_postgres_opts(|options| options.statement_cache_capacity(STATEMENTS));
}

/// Read committed, so that looking for a row that is not there locks no gap.
fn mysql(options: &mut ConnectOptions) {
    options
        .test_before_acquire_if_idle_for(RESTED)
        .map_sqlx_mysql_opts(|options| options.statement_cache_capacity(STATEMENTS))
        .map_sqlx_mysql_pool_opts(|pool: MySqlPoolOptions| {
            pool.after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::Executor::execute(
                        &mut *connection,
                        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                    )
                    .await?;
                    sqlx::Executor::execute(
                        &mut *connection,
                        "SET SESSION innodb_lock_wait_timeout = 10",
                    )
                    .await?;
                    Ok(())
                })
            })
        });
}
