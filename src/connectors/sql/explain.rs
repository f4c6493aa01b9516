//! A failed test in words that an administrator can act on.
use std::path::Path;

use super::settings::{Dialect, Settings};
use crate::{connectors::Error, model::CauseKind};

/// What an administrator can do about a failed test.
pub(super) fn explain(settings: &Settings, class: &str, error: &Error) -> String {
    let place = &settings.place;
    let said = &error.message;
    if settings.dialect == Dialect::Sqlite && !Path::new(place).exists() {
        return format!("the file `{place}` does not exist (`url`)");
    }
    let code = error.code.as_str().unwrap_or_default();
    match code {
        _ if code.starts_with("28") => {
            format!("`{place}` does not accept the credentials in `url`: {said}")
        }
        "3D000" => format!("the database of `{place}` does not exist (`url`): {said}"),
        _ if said.starts_with("Unknown database") => {
            format!("the database of `{place}` does not exist (`url`): {said}")
        }
        "42501" => format!(
            "object class `{class}` at `{place}`: the user of `url` may not read the table \
             (GRANT SELECT, INSERT, UPDATE, DELETE): {said}"
        ),
        "42P01" if settings.dialect == Dialect::MySql => format!(
            "object class `{class}` at `{place}`: {said}, or the user of `url` may not see it"
        ),
        _ if code.starts_with("08") || error.kind == CauseKind::Unavailable => {
            format!("`{place}` cannot be reached (`url`): {said}")
        }
        _ => format!("object class `{class}` at `{place}`: {said}"),
    }
}
