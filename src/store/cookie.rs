//! Where a page ended, as an opaque text that belongs to one query.
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Refusal, Search, page::Key};
use crate::model::audit::hexadecimal;

/// The place after the last row of a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cookie {
    /// Which query it belongs to.
    #[serde(rename = "q")]
    query: String,
    /// The values of the last row that the query sorts by.
    #[serde(rename = "v")]
    pub values: Vec<Value>,
    /// Its key.
    #[serde(rename = "k")]
    pub key: Key,
}

impl Cookie {
    /// The place after a row with these sort values and this key.
    pub(super) fn after(scope: &str, search: &Search, values: Vec<Value>, key: Key) -> Self {
        Self {
            query: fingerprint(scope, search),
            values,
            key,
        }
    }

    /// The cookie as text.
    pub(super) fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads the cookie of a query, if it has one.
    pub(super) fn of(scope: &str, search: &Search) -> Result<Option<Self>, Refusal> {
        let Some(text) = &search.cookie else {
            return Ok(None);
        };
        let cookie: Self = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or(Refusal::ForeignCookie)?;
        if cookie.query != fingerprint(scope, search) {
            return Err(Refusal::ForeignCookie);
        }
        Ok(Some(cookie))
    }
}

/// What must be the same from page to page: the set, the filter and the order.
fn fingerprint(scope: &str, search: &Search) -> String {
    let text = format!("{scope}|{:?}|{:?}", search.filter, search.sort);
    hexadecimal(&Sha256::digest(text))
        .chars()
        .take(16)
        .collect()
}
