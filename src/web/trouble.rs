//! What a page shows where something does not work.
use axum::response::{IntoResponse, Response};

use crate::app::Error;

/// Why there is no page; the guard renders it, with the layout of whoever is there.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    /// The HTTP status.
    pub(super) code: u16,
    /// What is wrong, for people.
    pub(super) message: String,
    /// A page to go back to.
    pub(super) back: Option<String>,
    /// Whether it is to be recorded as a denied access.
    pub(super) denied: bool,
}

/// A page, or why there is none.
pub(super) type Result<T = Response> = std::result::Result<T, Trouble>;

impl Trouble {
    /// Something that does not work.
    pub(super) fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            back: None,
            denied: false,
        }
    }

    /// Somebody may not do this.
    pub(super) fn denied(code: u16, message: impl Into<String>) -> Self {
        Self {
            denied: true,
            ..Self::new(code, message)
        }
    }

    /// With a page to go back to.
    pub(super) fn back_to(mut self, address: impl Into<String>) -> Self {
        self.back = Some(address.into());
        self
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::new(error.code, error.message)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}
