//! What an error of a database means: nothing happened, nothing happened yet, or nobody knows.
use sqlx::{
    error::DatabaseError,
    mysql::MySqlDatabaseError,
    postgres::{PgDatabaseError, PgSeverity},
    sqlite::SqliteError,
};

use crate::connectors::Error;

/// What was going on when the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connecting: nothing was asked yet.
    Connect,
    /// Reading, or writing in a transaction that is not committed: nothing happened for good.
    Open,
    /// A statement that commits by itself, before the server said that it was carried out.
    Write,
    /// The commit: the server has everything and decides.
    Commit,
}

impl Stage {
    /// Whether a connection that is lost now leaves open whether the write happened.
    pub fn is_decisive(self) -> bool {
        matches!(self, Self::Write | Self::Commit)
    }
}

/// The error in the words of a connector. Texts of the driver about values (a row that failed a
/// check, say) are left out: the message of the server is enough, and they may be confidential.
pub fn classify(error: sqlx::Error, stage: Stage) -> Error {
    match error {
        sqlx::Error::Database(error) => database(error.as_ref(), stage),
        sqlx::Error::Configuration(error) => {
            Error::refused(400, format!("the URL cannot be used: {error}"))
        }
        sqlx::Error::Encode(error) => {
            Error::refused(400, "a value cannot be sent to the database").because(error)
        }
        sqlx::Error::Tls(error) => {
            Error::unavailable("08001", "no TLS connection to the database").because(error)
        }
        sqlx::Error::Io(error) if stage == Stage::Connect => {
            let message = format!("the database cannot be reached: {error}");
            Error::unavailable("08001", message).because(error)
        }
        error if stage == Stage::Connect => {
            Error::unavailable("08001", "the database cannot be reached").because(error)
        }
        error if stage.is_decisive() => {
            let message = "the connection was lost while the database was writing";
            Error::unknown("08007", message).because(error)
        }
        error => {
            Error::unavailable("08006", "the connection to the database was lost").because(error)
        }
    }
}

fn database(error: &dyn DatabaseError, stage: Stage) -> Error {
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        postgres(error, stage)
    } else if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        mysql(error, stage)
    } else if let Some(error) = error.try_downcast_ref::<SqliteError>() {
        sqlite(error, stage)
    } else {
        Error::refused(500, error.message())
    }
}

/// What is certain about an error that the server reports.
enum Certainty {
    /// The server will say the same again.
    Refused,
    /// It may go better later.
    Later,
    /// It may have been carried out.
    Open,
}

impl Certainty {
    fn error(self, code: String, message: &str) -> Error {
        match self {
            Self::Refused => Error::refused(code, message),
            Self::Later => Error::unavailable(code, message),
            Self::Open => Error::unknown(code, message),
        }
    }
}

fn postgres(error: &PgDatabaseError, stage: Stage) -> Error {
    let code = error.code();
    let certainty = match (error.severity(), stage) {
        // The server crashes: what was being committed may be on its disk.
        (PgSeverity::Panic, Stage::Write | Stage::Commit) => Certainty::Open,
        // The session ends after the statement was carried out: the commit may have happened.
        (PgSeverity::Fatal, Stage::Commit) => Certainty::Open,
        _ if is_later(code) => Certainty::Later,
        _ => Certainty::Refused,
    };
    certainty.error(code.to_owned(), error.message())
}

/// Classes and codes of the SQL standard and of PostgreSQL after which the same may work later:
/// connection trouble, rollback for the sake of others, want of resources, intervention, locks.
fn is_later(code: &str) -> bool {
    ["08", "40", "53", "57", "58", "XX"]
        .iter()
        .any(|class| code.starts_with(class))
        || code == "55P03"
        || code == "55006"
}

fn mysql(error: &MySqlDatabaseError, stage: Stage) -> Error {
    let code = error.code().unwrap_or("HY000");
    let certainty = match (error.number(), stage) {
        // Deadlock and lost certification roll back, at the commit too.
        (1205 | 1213, _) => Certainty::Later,
        (_, Stage::Commit) if !code.starts_with("23") => Certainty::Open,
        // Connections, memory, space, files, users' limits, shutdown, interruption, time limits.
        (
            1021
            | 1037
            | 1038
            | 1040
            | 1041
            | 1053
            | 1114
            | 1129
            | 1135
            | 1158..=1161
            | 1203
            | 1226
            | 1317
            | 1637
            | 1927
            | 1969
            | 3024
            | 3168,
            _,
        ) => Certainty::Later,
        _ if code.starts_with("08") && stage != Stage::Connect => Certainty::Later,
        _ if code.starts_with("40") => Certainty::Later,
        _ => Certainty::Refused,
    };
    certainty.error(code.to_owned(), error.message())
}

fn sqlite(error: &SqliteError, stage: Stage) -> Error {
    let code: u32 = error
        .code()
        .and_then(|code| code.parse().ok())
        .unwrap_or_default();
    let certainty = match code & 0xff {
        // What a failed write of the disk left behind is not known.
        10 if stage.is_decisive() => Certainty::Open,
        // busy, locked, no memory, interrupted, input/output, full, cannot open, protocol
        5 | 6 | 7 | 9 | 10 | 13 | 14 | 15 => Certainty::Later,
        _ => Certainty::Refused,
    };
    certainty.error(sqlite_code(code), error.message())
}

/// The name of SQLite's result code (<https://www.sqlite.org/rescode.html>).
fn sqlite_code(code: u32) -> String {
    let name = match (code, code & 0xff) {
        (275, _) => "SQLITE_CONSTRAINT_CHECK",
        (787, _) => "SQLITE_CONSTRAINT_FOREIGNKEY",
        (1299, _) => "SQLITE_CONSTRAINT_NOTNULL",
        (1555, _) => "SQLITE_CONSTRAINT_PRIMARYKEY",
        (1811, _) => "SQLITE_CONSTRAINT_TRIGGER",
        (2067, _) => "SQLITE_CONSTRAINT_UNIQUE",
        (_, 1) => "SQLITE_ERROR",
        (_, 5) => "SQLITE_BUSY",
        (_, 6) => "SQLITE_LOCKED",
        (_, 8) => "SQLITE_READONLY",
        (_, 10) => "SQLITE_IOERR",
        (_, 13) => "SQLITE_FULL",
        (_, 14) => "SQLITE_CANTOPEN",
        (_, 19) => "SQLITE_CONSTRAINT",
        (_, 20) => "SQLITE_MISMATCH",
        (_, 26) => "SQLITE_NOTADB",
        _ => return code.to_string(),
    };
    name.to_owned()
}

/// Whether the connection goes on after the error.
pub fn is_survived(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return error.severity() == PgSeverity::Error;
    }
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(error) => !matches!(
            error.number(),
            1053 | 1152 | 1158..=1161 | 1184 | 1927 | 4031
        ),
        None => true,
    }
}

/// Whether the error says that the table no longer is what it was when it was described.
pub fn is_stale(error: &Error) -> bool {
    let stale = ["42703", "42S22", "42P01", "42S02", "42804"];
    error
        .code
        .as_str()
        .is_some_and(|code| stale.contains(&code))
        || error.message.contains("cached plan must not change")
        || error.message.contains("no such column")
        || error.message.contains("has no column named")
}
