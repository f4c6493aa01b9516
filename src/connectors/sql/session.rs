//! Connections to a database: a small pool, and running statements without losing an error.
//!
//! The pool is our own because a target that is down must be reported at once (a general pool waits
//! for it to come up), and because a call that is dropped half way must never give its connection,
//! with whatever is under way on it, to the next one.
use std::{
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::TryStreamExt;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions, Connection as _, Either, Executor, MySql,
    MySqlConnection, PgConnection, Postgres, Row, Sqlite, SqliteConnection, TypeInfo, ValueRef,
    mysql::{MySqlArguments, MySqlConnectOptions, MySqlRow},
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use super::{
    columns::Cell,
    failure::{Stage, classify, is_survived},
    settings::{Dialect, Settings},
    wire::Statement,
};
use crate::connectors::{Error, signs};

/// How long an unused connection is trusted without asking the server.
const TRUSTED: Duration = Duration::from_secs(1);

/// How many rows SQLite's thread may be ahead of who reads them: a page, so that the two do not
/// wait for each other row by row.
const ROWS_AHEAD: usize = 1_024;

/// Whether the server commits every statement by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    /// It does.
    Alone,
    /// The connector says COMMIT.
    Asked,
}

/// Connections to one database, made when they are needed.
pub struct Pool {
    target: Target,
    idle: Mutex<Vec<(Connection, Instant)>>,
    places: Semaphore,
    patience: Duration,
}

/// How to connect.
enum Target {
    Postgres(PgConnectOptions),
    MySql(MySqlConnectOptions, String),
    /// Whether the file is switched to its write-ahead log.
    Sqlite(SqliteConnectOptions, bool),
}

/// One connection.
enum Connection {
    Postgres(Box<PgConnection>),
    MySql(Box<MySqlConnection>),
    Sqlite(Box<SqliteConnection>),
}

/// A connection for one call. Unless it is given back it is closed, and the server rolls back.
pub struct Lease<'a> {
    pool: &'a Pool,
    connection: Connection,
    is_fresh: bool,
    /// Whether nothing is under way on the connection, and it works.
    is_usable: bool,
    _place: SemaphorePermit<'a>,
}

/// What a statement gave.
#[derive(Debug, Default)]
pub struct Answer {
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// How many rows it changed.
    pub affected: u64,
    /// The key that MySQL assigned; 0 where it assigned none.
    pub assigned: u64,
}

impl Pool {
    /// Up to `size` connections. Nothing is connected yet. `timeout` is that of one attempt: what
    /// waits for a connection, and what waits in the server, gives up before it is over, so that no
    /// statement goes on after its caller stopped waiting.
    ///
    /// # Errors
    /// Refused where the URL cannot be used.
    pub fn new(
        settings: &Settings,
        size: usize,
        commits: Commits,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let url = settings.url.expose();
        let unusable = |error| classify(error, Stage::Connect);
        let limit = timeout.mul_f64(0.5);
        let target = match settings.dialect {
            Dialect::Postgres => {
                let options = PgConnectOptions::from_str(url).map_err(unusable)?;
                Target::Postgres(postgres_options(options, limit))
            }
            Dialect::MySql => {
                let options = MySqlConnectOptions::from_str(url).map_err(unusable)?;
                Target::MySql(
                    options.disable_statement_logging(),
                    mysql_session(limit, commits),
                )
            }
            Dialect::Sqlite => {
                let options = SqliteConnectOptions::from_str(url).map_err(unusable)?;
                let options = options
                    .busy_timeout(limit)
                    .row_buffer_size(ROWS_AHEAD)
                    .disable_statement_logging();
                Target::Sqlite(options, settings.write_ahead_log)
            }
        };
        Ok(Self {
            target,
            idle: Mutex::default(),
            places: Semaphore::new(size),
            patience: timeout.mul_f64(0.4),
        })
    }

    /// A connection for one call.
    ///
    /// # Errors
    /// Unavailable where none can be had, refused where the credentials are not good.
    pub async fn lease(&self) -> Result<Lease<'_>, Error> {
        let busy = || {
            Error::unavailable(
                "08001",
                "no connection to the database could be had in time",
            )
        };
        timeout(self.patience, self.acquire())
            .await
            .unwrap_or_else(|_| Err(busy()))
    }

    async fn acquire(&self) -> Result<Lease<'_>, Error> {
        let place =
            self.places.acquire().await.map_err(|error| {
                Error::unavailable("08001", "the pool is closed").because(error)
            })?;
        while let Some((mut connection, since)) = self.take() {
            if since.elapsed() < TRUSTED || connection.ping().await.is_ok() {
                return Ok(Lease {
                    pool: self,
                    connection,
                    is_fresh: false,
                    is_usable: true,
                    _place: place,
                });
            }
        }
        let connected = self.target.connect().await;
        if matches!(connected, Ok(_) | Err(sqlx::Error::Database(_))) {
            signs::answered();
        }
        let connection = connected.map_err(|error| classify(error, Stage::Connect))?;
        Ok(Lease {
            pool: self,
            connection,
            is_fresh: true,
            is_usable: true,
            _place: place,
        })
    }

    fn take(&self) -> Option<(Connection, Instant)> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    /// Drops every connection that waits: what holds for one that broke may hold for them.
    pub fn forget(&self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Lease<'_> {
    /// Gives the connection back, if it works; no transaction may be open on it.
    pub fn give_back(self) {
        if self.is_usable {
            self.pool
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((self.connection, Instant::now()));
        }
    }

    /// Whether nothing is under way on the connection, and it works.
    pub fn is_usable(&self) -> bool {
        self.is_usable
    }

    /// Whether the connection was made for this call.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Runs a statement to its very end: errors that come with the commit arrive after the rows.
    ///
    /// # Errors
    /// As [`classify`] sees it at `stage`.
    pub async fn run(&mut self, statement: &Statement, stage: Stage) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        let mut done = false;
        self.is_usable = false;
        if stage.is_decisive() {
            signs::sent();
        }
        let result = self.connection.run(statement, &mut answer, &mut done).await;
        match result {
            Ok(()) => {
                signs::answered();
                self.is_usable = true;
                Ok(answer)
            }
            Err(error) => {
                if matches!(error, sqlx::Error::Database(_)) {
                    signs::answered();
                }
                self.is_usable = is_survived(&error);
                if !self.is_usable {
                    self.pool.forget();
                }
                let stage = match stage {
                    Stage::Write if done => Stage::Commit,
                    stage => stage,
                };
                Err(classify(error, stage))
            }
        }
    }

    /// Runs a command without values and rows.
    ///
    /// # Errors
    /// As [`classify`] sees it at `stage`.
    pub async fn command(&mut self, text: &'static str, stage: Stage) -> Result<(), Error> {
        self.is_usable = false;
        if stage.is_decisive() {
            signs::sent();
        }
        let result = match &mut self.connection {
            Connection::Postgres(connection) => connection.execute(text).await.map(drop),
            Connection::MySql(connection) => connection.execute(text).await.map(drop),
            Connection::Sqlite(connection) => connection.execute(text).await.map(drop),
        };
        self.is_usable = result.as_ref().err().is_none_or(is_survived);
        if matches!(result, Ok(()) | Err(sqlx::Error::Database(_))) {
            signs::answered();
        }
        result.map_err(|error| classify(error, stage))
    }
}

/// Runs `$statement` on `$connection`, gathering what comes into `$answer`.
macro_rules! run {
    ($connection:expr, $statement:expr, $answer:expr, $done:expr, $bind:ident, $row:ident, $assigned:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($statement.text.clone()));
        for cell in &$statement.binds {
            query = $bind(query, cell);
        }
        let mut steps = (&mut **$connection).fetch_many(query);
        while let Some(step) = steps.try_next().await? {
            match step {
                Either::Left(end) => {
                    *$done = true;
                    $answer.affected += end.rows_affected();
                    $answer.assigned = $assigned(&end);
                }
                Either::Right(row) => $answer.rows.push($row(&row)?),
            }
        }
        Ok(())
    }};
}

impl Connection {
    async fn run(
        &mut self,
        statement: &Statement,
        answer: &mut Answer,
        done: &mut bool,
    ) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => run!(
                connection,
                statement,
                answer,
                done,
                bind_postgres,
                postgres_row,
                |_| 0
            ),
            Self::MySql(connection) => run!(
                connection,
                statement,
                answer,
                done,
                bind_mysql,
                mysql_row,
                sqlx::mysql::MySqlQueryResult::last_insert_id
            ),
            Self::Sqlite(connection) => run!(
                connection,
                statement,
                answer,
                done,
                bind_sqlite,
                sqlite_row,
                |_| 0
            ),
        }
    }

    async fn ping(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => connection.ping().await,
            Self::MySql(connection) => connection.ping().await,
            Self::Sqlite(connection) => connection.ping().await,
        }
    }
}

impl Target {
    async fn connect(&self) -> Result<Connection, sqlx::Error> {
        Ok(match self {
            Self::Postgres(options) => Connection::Postgres(Box::new(options.connect().await?)),
            Self::MySql(options, session) => {
                let mut connection = options.connect().await?;
                connection.execute(AssertSqlSafe(session.clone())).await?;
                Connection::MySql(Box::new(connection))
            }
            Self::Sqlite(options, switches) => {
                // The mode stays with the file, and others may use it: one that was there before
                // keeps its own unless the administrator says so.
                let is_ours = *switches || !options.get_filename().exists();
                let mut connection = options.connect().await?;
                if is_ours {
                    // Readers and the writer then do not wait for each other. Where the file cannot
                    // be written it stays as it is, and reading it goes on.
                    let _ = connection.execute("PRAGMA journal_mode = WAL").await;
                }
                Connection::Sqlite(Box::new(connection))
            }
        })
    }
}

fn postgres_options(options: PgConnectOptions, limit: Duration) -> PgConnectOptions {
    let limit = limit.as_millis().max(1).to_string();
    options
        .application_name("recant")
        .options([
            ("statement_timeout", limit.as_str()),
            ("timezone", "UTC"),
            ("datestyle", "ISO"),
            ("intervalstyle", "postgres"),
        ])
        .disable_statement_logging()
}

/// Strict types (a value that does not fit is an error, not a shorter value), and limits: MariaDB
/// reads what stands between `/*M!` and `*/`, MySQL has no such limit for writes.
fn mysql_session(limit: Duration, commits: Commits) -> String {
    let whole = limit.as_secs().max(1);
    let autocommit = match commits {
        Commits::Alone => 1,
        Commits::Asked => 0,
    };
    format!(
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), \
         innodb_lock_wait_timeout = {whole}, autocommit = {autocommit} \
         /*M! , max_statement_time = {} */",
        limit.as_secs_f64()
    )
}

fn bind_postgres<'q>(
    query: Query<'q, Postgres, PgArguments>,
    cell: &'q Cell,
) -> Query<'q, Postgres, PgArguments> {
    match cell {
        Cell::Text(text) => query.bind(text.as_str()),
        // Nothing else is made for PostgreSQL (`wire::fit`).
        _ => query.bind(None::<&str>),
    }
}

fn bind_mysql<'q>(
    query: Query<'q, MySql, MySqlArguments>,
    cell: &'q Cell,
) -> Query<'q, MySql, MySqlArguments> {
    match cell {
        Cell::Null => query.bind(None::<&str>),
        Cell::Text(text) => query.bind(text.as_str()),
        Cell::Bytes(bytes) => query.bind(bytes.as_slice()),
        Cell::Integer(number) => query.bind(*number),
        Cell::Unsigned(number) => query.bind(*number),
        Cell::Real(number) => query.bind(*number),
        Cell::Single(number) => query.bind(*number),
    }
}

fn bind_sqlite<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    cell: &'q Cell,
) -> Query<'q, Sqlite, SqliteArguments> {
    match cell {
        Cell::Null => query.bind(None::<&str>),
        Cell::Text(text) => query.bind(text.as_str()),
        Cell::Bytes(bytes) => query.bind(bytes.as_slice()),
        Cell::Integer(number) => query.bind(*number),
        // SQLite has no unsigned numbers; the text becomes what the column makes of it.
        Cell::Unsigned(number) => query.bind(number.to_string()),
        Cell::Real(number) => query.bind(*number),
        Cell::Single(number) => query.bind(f64::from(*number)),
    }
}

fn postgres_row(row: &PgRow) -> Result<Vec<Cell>, sqlx::Error> {
    (0..row.len())
        .map(|index| {
            let text = row.try_get::<Option<String>, _>(index)?;
            Ok(text.map_or(Cell::Null, Cell::Text))
        })
        .collect()
}

fn mysql_row(row: &MySqlRow) -> Result<Vec<Cell>, sqlx::Error> {
    (0..row.len())
        .map(|index| {
            let value = row.try_get_raw(index)?;
            if value.is_null() {
                return Ok(Cell::Null);
            }
            Ok(match row.column(index).type_info().name() {
                "FLOAT" => Cell::Single(row.try_get_unchecked(index)?),
                "DOUBLE" => Cell::Real(row.try_get_unchecked(index)?),
                _ => Cell::Bytes(row.try_get_unchecked(index)?),
            })
        })
        .collect()
}

fn sqlite_row(row: &SqliteRow) -> Result<Vec<Cell>, sqlx::Error> {
    (0..row.len())
        .map(|index| {
            let value = row.try_get_raw(index)?;
            if value.is_null() {
                return Ok(Cell::Null);
            }
            let kind = value.type_info().name().to_owned();
            Ok(match kind.as_str() {
                "INTEGER" => Cell::Integer(row.try_get_unchecked(index)?),
                "REAL" => Cell::Real(row.try_get_unchecked(index)?),
                "BLOB" => Cell::Bytes(row.try_get_unchecked(index)?),
                _ => Cell::Text(row.try_get_unchecked(index)?),
            })
        })
        .collect()
}
