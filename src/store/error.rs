//! What the store fails at.
use sea_orm::{DbErr, RuntimeErr};

/// What the store failed at.
#[derive(Debug, thiserror::Error)]
#[error("the store failed to {step}")]
pub struct Error {
    /// What was tried.
    pub step: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why the store refuses something that a database would have taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The URL names no database that the store works on.
    #[error("`{0}` is no store: expected sqlite://, postgres:// or mysql://")]
    UnknownUrl(String),
    /// Migrations are missing.
    #[error("{0} migrations have not run: run `recant migrate`")]
    NotMigrated(usize),
    /// A confidential attribute, and nothing to encrypt it with.
    #[error(
        "attribute `{attribute}` of type `{managed_type}` is confidential, but no key is configured"
    )]
    NoKey {
        /// The managed type.
        managed_type: String,
        /// The attribute.
        attribute: String,
    },
    /// Something was encrypted with a key that is not configured.
    #[error("it is encrypted with key `{0}`, which is not configured")]
    UnknownKey(String),
    /// The key has the right id, but does not open what was sealed.
    #[error("key `{0}` does not open it: the key or the stored value is not what it was")]
    WrongKey(String),
    /// Encryption itself failed.
    #[error("a value could not be encrypted")]
    Encryption,
    /// A name or an id is longer than the tables hold.
    #[error("{what} is longer than {longest} characters")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it may be.
        longest: usize,
    },
    /// A filter or sort key names an attribute that is encrypted.
    #[error("attribute `{0}` is confidential: it can be neither filtered nor sorted by")]
    ConfidentialField(String),
    /// The cookie was not made by this store for this query.
    #[error("the paged results cookie does not belong to this query")]
    ForeignCookie,
    /// The change feed does not reach back to the cursor any more.
    #[error("events after {after} are kept no more: the feed begins after {oldest}")]
    Pruned {
        /// The cursor.
        after: i64,
        /// The smallest cursor that works.
        oldest: i64,
    },
    /// Another node finished the change.
    #[error("another node has taken this change over")]
    TakenOver,
    /// The store was closed, or its last handle dropped.
    #[error("the store is closed")]
    Closed,
    /// What is stored is not what the store writes.
    #[error("{0} is stored in a form that is not understood")]
    Damaged(&'static str),
    /// The store did not answer in time.
    #[error("the store did not answer within {0} seconds")]
    TimedOut(u64),
    /// The audit chain, or what was signed of it, is not what it was.
    #[error(
        "checkpoint {0} does not agree with the store any more: nothing is signed over that; \
         `recant audit verify` tells where the chain does not hold"
    )]
    SignedElse(i64),
    /// A statement failed inside the transaction that was to be committed.
    #[error("an earlier statement of the transaction failed")]
    FailedBefore,
}

impl Error {
    /// An error at the named step.
    pub(super) fn at<E>(step: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self {
            step,
            source: source.into(),
        }
    }

    /// Why the store itself refused, where it was the store and not the database.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.source.downcast_ref()
    }
}

/// What may be done about a failed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Wait until the database works again.
    Wait,
    /// Try again at once: somebody else was in the way.
    Retry,
    /// Nothing: the same statement will fail again.
    None,
}

/// What may be done about a database error.
pub(super) fn remedy(error: &DbErr) -> Remedy {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Remedy::Wait,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match error.as_ref() {
                sqlx::Error::Database(error) => remedy_of_code(error.as_ref()),
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Remedy::Wait,
                _ => Remedy::None,
            }
        }
        _ => Remedy::None,
    }
}

/// Whether the statement itself took too long, or no connection came in time.
pub(super) fn is_timeout(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return matches!(error, DbErr::ConnectionAcquire(_));
    };
    match error.as_ref() {
        sqlx::Error::Database(error) => {
            match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
                Some(error) => matches!(error.number(), 1969 | 3024),
                None => error.code().is_some_and(|code| code == "57014"),
            }
        }
        sqlx::Error::PoolTimedOut => true,
        _ => false,
    }
}

/// SQLSTATE classes on PostgreSQL; error numbers on MySQL; primary result codes on SQLite.
fn remedy_of_code(error: &dyn sqlx::error::DatabaseError) -> Remedy {
    if error.is_unique_violation() {
        return Remedy::Retry;
    }
    if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return match error.number() {
            1205 | 1213 => Remedy::Retry,
            1021 | 1040 | 1053 | 1290 | 1927 | 3024 | 1969 | 2006 | 2013 => Remedy::Wait,
            _ => Remedy::None,
        };
    }
    let code = error.code().unwrap_or_default();
    if error
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some()
    {
        // The low byte is the primary code: busy, locked, no memory, read-only, I/O, full, cannot open.
        return match code.parse::<i32>().unwrap_or_default() & 0xff {
            5..=8 | 10 | 13 | 14 => Remedy::Wait,
            _ => Remedy::None,
        };
    }
    match code.get(..2).unwrap_or_default() {
        "40" | "55" => Remedy::Retry,
        "08" | "53" | "57" | "58" | "25" => Remedy::Wait,
        _ => Remedy::None,
    }
}
