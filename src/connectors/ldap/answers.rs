//! Answers of a server, read so that one which is no such answer is an error and no end of the task.
use std::panic::{AssertUnwindSafe, catch_unwind};

use ldap3::{ResultEntry, SearchEntry};

use super::session::Entry;
use crate::connectors::Error;

/// What a part of an answer holds; none where it is not what it says it is. The library takes every
/// answer for a good one and panics over others.
pub fn read<T>(parse: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(parse)).ok()
}

/// The entry in an answer to a search.
///
/// # Errors
/// Unavailable where it cannot be read.
pub fn entry(answer: ResultEntry, place: &str) -> Result<Entry, Error> {
    let found = read(|| SearchEntry::construct(answer));
    found.map(Entry::new).ok_or_else(|| unreadable(place))
}

/// The server says something that no server should.
pub fn unreadable(place: &str) -> Error {
    Error::unavailable(2, format!("an answer of {place} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_none() {
        assert_eq!(read(|| 1), Some(1));
        assert_eq!(read(|| "x".parse::<u8>().unwrap()), None);
    }
}
