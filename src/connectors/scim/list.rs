//! A page of a list (RFC 7644, section 3.4.2; RFC 9865) and where the next one begins.
use serde::Deserialize;
use serde_json::Value;

use super::dialect::Paging;
use crate::connectors::Error;

/// A page as the service gave it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct List {
    /// The resources; missing where there are none.
    #[serde(rename = "Resources")]
    pub resources: Vec<Value>,
    /// How many there are on all pages.
    total_results: Option<u64>,
    /// The number of the first one here.
    start_index: Option<u64>,
    /// Where the next page begins.
    next_cursor: Option<String>,
}

impl List {
    /// Reads a page.
    ///
    /// # Errors
    /// *Unavailable* where it is none.
    pub fn read(body: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(body)
            .map_err(|_| Error::unavailable(502, "the service answered no SCIM list"))
    }

    /// Where the page after this one begins, which began at `token`; none after the last. A page may
    /// be shorter or longer than what was asked for.
    ///
    /// # Errors
    /// Refused where the service gives the same page again.
    pub fn next(&self, paging: Paging, token: Option<&str>) -> Result<Option<String>, Error> {
        match paging {
            Paging::None => Ok(None),
            Paging::Cursor => {
                let next = self.next_cursor.clone().filter(|next| !next.is_empty());
                if next.is_some() && next.as_deref() == token {
                    return Err(same_page());
                }
                Ok(next)
            }
            _ => self.next_index(token),
        }
    }

    fn next_index(&self, token: Option<&str>) -> Result<Option<String>, Error> {
        let start: u64 = token.map_or(Ok(1), str::parse).unwrap_or(1);
        let count = u64::try_from(self.resources.len()).unwrap_or(u64::MAX);
        let next = start.saturating_add(count);
        let is_last = count == 0 || self.total_results.is_some_and(|total| next > total);
        // A service that gives the whole list each time answers every page with its first one.
        let is_same = self.start_index.is_some_and(|at| at != start) && token.is_some();
        match (is_last, is_same) {
            (_, true) if count > 0 => Err(same_page()),
            (true, _) => Ok(None),
            (false, _) => Ok(Some(next.to_string())),
        }
    }
}

/// Whether a list was refused for its filter (RFC 7644, section 3.12).
pub fn is_filter_refusal(error: &Error) -> bool {
    matches!(error.code.as_u64(), Some(400 | 403 | 501))
}

fn same_page() -> Error {
    let message = "the list's next page is the same page: say how the service pages (`paging`)";
    Error::refused(502, message)
}
